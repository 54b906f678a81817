"""The facts that the long reports hide: each stated once, in words that no other sentence uses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """One statement, the question about it, and the answer."""

    statement: str
    question: str
    answer: str


FACTS = (
    Fact(
        "The contingency reserve for {place} was set at {amount}.",
        "How large is the contingency reserve for {place}?",
        "{amount}",
    ),
    Fact(
        "The safe in {place} opens with the reference {code}.",
        "With which reference does the safe in {place} open?",
        "{code}",
    ),
    Fact(
        "The ferry chartered for the excursion was the {ship}.",
        "Which ferry was chartered for the excursion?",
        "{ship}",
    ),
    Fact(
        "The whistleblower was later revealed to be {person}.",
        "Who was later revealed to be the whistleblower?",
        "{person}",
    ),
    Fact(
        "The moratorium at {place} lasted exactly {days} days.",
        "How many days did the moratorium at {place} last?",
        "{days}",
    ),
    Fact(
        "The time capsule was buried at {place}, beneath the old sundial.",
        "Where was the time capsule buried?",
        "{place}",
    ),
    Fact(
        "An anonymous benefactor donated {amount} for the observatory.",
        "How much did the benefactor donate for the observatory?",
        "{amount}",
    ),
    Fact(
        "The prototype was registered under the designation {code}.",
        "Under which designation was the prototype registered?",
        "{code}",
    ),
    Fact(
        "The anniversary regatta was won by the {ship}.", "Which boat won the anniversary regatta?", "{ship}"
    ),
    Fact(
        "The honorary medal was awarded to {person}.", "To whom was the honorary medal awarded?", "{person}"
    ),
    Fact(
        "The quarantine in {place} was lifted after {days} days.",
        "After how many days was the quarantine in {place} lifted?",
        "{days}",
    ),
    Fact(
        "The archive was evacuated to {place} during the flood.",
        "To which place was the archive evacuated during the flood?",
        "{place}",
    ),
    Fact(
        "The arbitration ended with a settlement of {amount}.",
        "With what settlement did the arbitration end?",
        "{amount}",
    ),
    Fact("The sealed envelope bore the mark {code}.", "Which mark did the sealed envelope bear?", "{code}"),
    Fact(
        "The wreck off the breakwater was identified as the {ship}.",
        "As which ship was the wreck off the breakwater identified?",
        "{ship}",
    ),
    Fact("The composer of the jubilee hymn is {person}.", "Who composed the jubilee hymn?", "{person}"),
    Fact(
        "The expedition to the glacier took {days} days in all.",
        "How many days did the expedition to the glacier take?",
        "{days}",
    ),
    Fact(
        "The meteorite fragment was found at {place}.", "Where was the meteorite fragment found?", "{place}"
    ),
    Fact("The tapestry was insured for {amount}.", "For how much was the tapestry insured?", "{amount}"),
    Fact(
        "The decommissioned satellite carried the identifier {code}.",
        "Which identifier did the decommissioned satellite carry?",
        "{code}",
    ),
    Fact(
        "The lighthouse keeper named his sloop the {ship}.",
        "What did the lighthouse keeper name his sloop?",
        "{ship}",
    ),
    Fact(
        "The forged signature was attributed to {person}.",
        "To whom was the forged signature attributed?",
        "{person}",
    ),
    Fact(
        "The hunger strike was called off after {days} days.",
        "After how many days was the hunger strike called off?",
        "{days}",
    ),
    Fact(
        "The embassy courier was last seen at {place}.", "Where was the embassy courier last seen?", "{place}"
    ),
)

"""The whole answer, whichever comparator is chosen: how it ended, what it calls, what it says.

What no comparator of texts may overlook is settled here first. A side that gave no answer agrees with
nothing, not even with another that gave none. A call against text is a disagreement. Where both
sides call, the calls decide, and words beside them hide nothing. What is left is text against text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from router_lab.records import Ending, Side
from router_lab.router.answers.endings import WORDS
from router_lab.router.answers.thoughts import is_blank
from router_lab.router.comparators.pair import Options, Pair, PairVerdict, UserComparator
from router_lab.router.comparators.structure import Json
from router_lab.router.comparators.tools import Tools, named


@dataclass(frozen=True, slots=True)
class Comparator:
    """Compares whole answers; `texts` is what compares their texts.

    An answer that was cut, is empty, was refused or filtered is no answer: it agrees with nothing.
    """

    texts: Options | UserComparator

    @property
    def name(self) -> str:
        """The name of what compares the texts."""
        return self.texts.name

    @property
    def is_likeness(self) -> bool:
        """Whether it is likeness that what compares the texts measures."""
        return self.texts.is_likeness

    def __call__(self, pair: Pair) -> PairVerdict:
        """Compare. Raises what a user's comparator raises."""
        settled = no_answer(pair) or call_against_text(pair)
        if settled is not None:
            return settled
        if not pair.primary_tool_calls:
            return self.texts(pair)
        calls = _calls_comparator(self.texts)(pair)
        if not isinstance(self.texts, UserComparator) or not calls.agreement:
            return calls
        # A user's function sees the calls too: it may find a fault in them, but not excuse one.
        said = self.texts(pair)
        may_count = said.failed or said.agreement is None or said.agreement < calls.agreement
        return said if may_count else calls


def no_answer(pair: Pair) -> PairVerdict | None:
    """The verdict on a pair of which a side gave no answer one can judge; None when both did."""
    bad = {side: WORDS[ending] for side, ending in _endings(pair) if ending != "complete"}
    if not bad:
        return None
    # A judge would prefer any answer to none; of a primary without one there is nothing to learn.
    details = {"preference": 0.0, "flipped": False} if "primary" not in bad else {}
    return PairVerdict(
        0.0, " and ".join(f"the {side} answer {words}" for side, words in bad.items()), details
    )


def call_against_text(pair: Pair) -> PairVerdict | None:
    """The verdict on a pair of which only one side calls tools; None for any other."""
    primary, shadow = pair.primary_tool_calls, pair.shadow_tool_calls
    if bool(primary) == bool(shadow):
        return None
    if primary:
        return PairVerdict(0.0, f"the primary calls {named(primary)}, the shadow answers in text")
    return PairVerdict(0.0, f"the shadow calls {named(shadow)}, the primary answers in text")


def _endings(pair: Pair) -> Iterator[tuple[Side, Ending]]:
    """How each side ended; one with nothing in it is empty, whatever was said of it."""
    primary = pair.primary_tool_calls or pair.primary_data is not None or not is_blank(pair.primary_text)
    shadow = pair.shadow_tool_calls or pair.shadow_data is not None or not is_blank(pair.shadow_text)
    yield "primary", pair.primary_ending if primary or pair.primary_ending != "complete" else "empty"
    yield "shadow", pair.shadow_ending if shadow or pair.shadow_ending != "complete" else "empty"


def _calls_comparator(texts: Options | UserComparator) -> Tools:
    """Calls are compared as strictly or leniently as JSON is, where that was said."""
    if isinstance(texts, Tools):
        return texts
    if not isinstance(texts, Json):
        return Tools()
    return Tools(
        tolerance=texts.tolerance,
        relative=texts.relative,
        unordered=texts.unordered,
        strings=texts.strings if "strings" in texts.model_fields_set else Tools().strings,
        ignore=texts.ignore,
    )

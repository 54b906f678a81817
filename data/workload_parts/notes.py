"""Meeting notes and incident reports, to be summarised in one sentence."""

from __future__ import annotations

from typing import Any

from workload_parts.common import CITIES, COMPANIES, Item, date, person

SYSTEM = "You summarise notes for busy people: one sentence, plain words, the decision or cause first."

# A decision and the sentence that sums it up; then what was said around it.
DECISIONS = (
    (
        "move the product launch from {a} to {b} because the packaging supplier is late",
        "The launch moves from {a} to {b} because the packaging supplier is late; {owner} takes care of it.",
    ),
    (
        "close the {city} depot on Saturdays and add an evening shift on Thursdays instead",
        "The {city} depot closes on Saturdays and gets a Thursday evening shift; {owner} takes care of it.",
    ),
    (
        "hire {n} more drivers for {city} rather than extend the contract with the courier",
        "The team hires {n} drivers for {city} instead of extending the courier contract; {owner} takes care of it.",
    ),
    (
        "give up the printed catalogue and spend the {n} thousand euros on product photos",
        "The printed catalogue ends and its {n} thousand euros go into product photos; {owner} takes care of it.",
    ),
    (
        "keep the current database for another year and review the cost again in {b}",
        "The current database stays for another year, with a cost review in {b}; {owner} takes care of it.",
    ),
    (
        "raise the free-delivery limit to {n} euros from {b}",
        "Free delivery starts at {n} euros from {b}; {owner} takes care of it.",
    ),
    (
        "test the four-day week with the {city} office, starting in {b}",
        "The {city} office tests the four-day week from {b}; {owner} takes care of it.",
    ),
    (
        "replace weekly status meetings by a written report every Monday",
        "A written report every Monday replaces the weekly status meeting; {owner} takes care of it.",
    ),
    (
        "accept the offer of {company} for the returns software, at {n} thousand euros a year",
        "The team accepts {company}'s returns software at {n} thousand euros a year; {owner} takes care of it.",
    ),
    (
        "stop selling to resellers outside Europe until the customs papers are automated",
        "Sales to resellers outside Europe stop until customs papers are automated; {owner} takes care of it.",
    ),
)
TALK = (
    "{p} reported that returns fell by {x} percent against last quarter.",
    "{p} asked whether the forecast for {city} still holds; nobody had newer figures.",
    "The coffee machine on the second floor is to be repaired this week.",
    "{p} showed three designs for the trade fair stand; feedback goes to the shared folder.",
    "There was a long discussion about parking, without a result.",
    "{p} is on leave for two weeks and names {q} as deputy.",
    "Customer satisfaction stands at {x} percent, slightly above target.",
    "{p} reminded everyone to book training days before they lapse.",
    "The audit by {company} found nothing serious; two documents are missing.",
    "{p} and {q} will visit the supplier in {city} and report back.",
)

# What happened, why, and what it meant.
INCIDENTS = (
    (
        "the checkout page answered with errors",
        "an expired certificate on the payment gateway",
        "renewing the certificate",
    ),
    (
        "order confirmations were sent twice",
        "a retry rule that ignored the message id",
        "switching the retry rule off",
    ),
    ("the stock figures stood still", "a full disk on the import server", "deleting old log files"),
    (
        "customers saw prices without tax",
        "a wrong default in the new country settings",
        "rolling the settings back",
    ),
    (
        "the mobile app could not sign anyone in",
        "a clock that was four minutes slow on one host",
        "restarting time synchronisation",
    ),
    (
        "search results came back empty",
        "an index rebuild that was started by day",
        "restoring last night's index",
    ),
    ("reports took over an hour", "a missing index after the database upgrade", "adding the index by hand"),
    (
        "labels were printed with the wrong addresses",
        "a shifted column in the carrier's file",
        "importing the corrected file",
    ),
    (
        "support calls were cut off after a minute",
        "an idle limit in the new telephone switch",
        "raising the limit",
    ),
    (
        "the warehouse scanners lost their network",
        "two access points on one channel",
        "moving one to a free channel",
    ),
)
STEPS = (
    "{t} {p} was paged and opened the incident channel.",
    "{t} First suspicion: last night's release. It was rolled back without effect.",
    "{t} The status page was updated for customers.",
    "{t} {p} compared two hosts and found one difference.",
    "{t} {company} confirmed that nothing was wrong on their side.",
    "{t} Support counted {x} complaints up to this point.",
    "{t} {p} suggested restarting everything; the group decided to look further first.",
    "{t} A graph of the queue showed the real start, earlier than the first alarm.",
)


def summaries(rng: Any, count: int) -> list[Item]:
    return [
        _meeting(rng, number // 2) if number % 2 else _incident(rng, number // 2) for number in range(count)
    ]


def _meeting(rng: Any, number: int) -> Item:
    decision, summary = DECISIONS[number % len(DECISIONS)]
    months = ("March", "April", "May", "June", "September", "October", "November")
    a, b = rng.sample(months, 2)
    owner = person(rng)
    values = {"a": a, "b": b, "n": rng.randint(3, 90), "owner": owner, "city": rng.choice(CITIES)}
    values["company"] = rng.choice(COMPANIES)
    people = [person(rng) for _ in range(rng.randint(3, 6))]
    talk = [
        text.format(
            p=rng.choice(people),
            q=owner,
            x=rng.randint(2, 97),
            city=rng.choice(CITIES),
            company=rng.choice(COMPANIES),
        )
        for text in rng.sample(TALK, rng.randint(4, 7))
    ]
    talk.insert(
        rng.randint(1, len(talk)), f"Decided: to {decision.format(**values)}. {owner} takes care of it."
    )
    points = "\n".join(f"- {line}" for line in talk)
    prompt = f"Minutes, {date(rng)[0]}\nPresent: {', '.join([*people, owner])}\n\n{points}\n\nSum up what was decided."
    return Item("summarize::short", prompt, summary.format(**values), "text", 120, SYSTEM)


def _incident(rng: Any, number: int) -> Item:
    what, why, fix = INCIDENTS[number % len(INCIDENTS)]
    hour, minute, length = rng.randint(0, 20), rng.randint(0, 59), rng.randint(18, 170)
    affected = rng.randint(40, 9000)
    minutes = sorted(rng.sample(range(1, length), 5))
    steps = [
        text.format(
            t=_clock(hour, minute + at), p=person(rng), x=rng.randint(3, 60), company=rng.choice(COMPANIES)
        )
        for at, text in zip(minutes, rng.sample(STEPS, 5), strict=True)
    ]
    end = _clock(hour, minute + length)
    prompt = (
        f"Incident {rng.randint(1000, 9999)}, {date(rng)[0]}\n{_clock(hour, minute)} Monitoring: {what}.\n"
        + "\n".join(steps)
        + f"\n{end} Cause found: {why}. Resolved by {fix}. {affected} customers were affected.\n\n"
        "Sum up what happened, why, and how it was resolved."
    )
    summary = (
        f"For {length} minutes {what}, affecting {affected} customers, because of {why}; {fix} resolved it."
    )
    return Item("summarize::short", prompt, summary, "text", 120, SYSTEM)


def _clock(hour: int, minute: int) -> str:
    return f"{(hour + minute // 60) % 24:02d}:{minute % 60:02d}"

"""One page of pairs: everything a drawing needs, and its HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from router_lab.counted import counted
from router_lab.panels.compare.cards import card
from router_lab.panels.compare.pair_query import Choices, Repeats, Summary
from router_lab.records import Side
from router_lab.scores.verdict_store import EarlierVerdict
from router_lab.shown.escape import Html, tag
from router_lab.shown.style import note


@dataclass(frozen=True, slots=True)
class PageContent:
    """Everything one drawing of the panel needs. `together`: pairs with the same prompt are one.

    `unseen`: what the two sides of a pair may have cost more than is likely, USD. `thoughts`: what they
    thought before they answered. `expected`: what an answer was expected to be, by pair.
    """

    choices: Choices
    summary: Summary
    pages: int
    number: int
    together: bool
    pairs: list[Repeats]
    prompts: dict[str, str]
    said: dict[str, dict[str, EarlierVerdict]]
    unseen: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    thoughts: Mapping[str, Mapping[Side, str]] = field(default_factory=dict)
    expected: Mapping[str, str] = field(default_factory=dict)


def pairs_html(
    data: PageContent, verdicts: Mapping[str, str], *, limit: int, current: int | None, live: bool
) -> Html:
    """The page's counts and pairs; `verdicts` by comparison, `current` the number of the pair in focus."""
    cards = [
        card(
            number,
            pair,
            limit=limit,
            prompt=data.prompts.get(pair.first.comparison_id),
            verdict=verdicts.get(pair.first.comparison_id, ""),
            current=number == current,
            live=live,
            unseen=data.unseen.get(pair.first.comparison_id, (0.0, 0.0)),
            thoughts=data.thoughts.get(pair.first.comparison_id, {}),
            expected=data.expected.get(pair.first.comparison_id),
        )
        for number, pair in enumerate(data.pairs, start=1)
    ]
    return tag("div", note(_summed_up(data)), tag("div", style="height:8px"), *cards)


def _summed_up(data: PageContent) -> str:
    counts = data.summary
    parts = [counted(counts.pairs, "pairs"), f"{counts.complete:,} complete"]
    if counts.complete:
        parts.append(f"{counts.differing:,} of them differ")
    if counts.mean_agreement is not None:
        parts.append(f"mean agreement {counts.mean_agreement:.3f}")
    for side in ("primary", "shadow"):
        ended = [
            f"{count:,} {ending.replace('_', ' ')}"
            for whose, ending, count in counts.endings
            if whose == side
        ]
        if ended:
            parts.append(f"no answer of the {side}'s: {', '.join(ended)}")
    return " · ".join(parts) + f" · page {data.number:,} of {data.pages:,}"

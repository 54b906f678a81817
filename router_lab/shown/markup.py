"""The few pieces of HTML the report is made of: text is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from router_lab.shown.escape import Html, join, show, tag, text_html
from router_lab.shown.wording import html_table, plain_text

_WORDS = {
    "Task type",
    "What for",
    "Model",
    "By",
    "Name",
    "Provider",
    "May we stop?",
    "What",
    "Alike",
    "Price from",
    "At the prices of",
}


def table(frame: pd.DataFrame) -> Html:
    """A table that scrolls when it is wide; columns stand right, but for those that hold words."""
    made = html_table(frame, right=[name for name in frame if name not in _WORDS])
    return tag("div", made, class_="wide", tabindex="0")


def section(title: str, parts: Sequence[Html]) -> Html:
    """A heading and what is under it; nothing when there is nothing."""
    return join([tag("h2", text_html(title)), *parts]) if any(parts) else Html("")


def paragraph(text: str, style: str = "") -> Html:
    """A paragraph of plain text, escaped."""
    return tag("p", text_html(text), class_=style or None)


def bullets(texts: Sequence[str]) -> Html:
    """Texts of ours that may hold names, each a line of a list, escaped."""
    listed = [tag("li", text_html(plain_text(text))) for text in texts]
    return tag("ul", *listed, style="margin:4px 0 0 0;padding-left:18px") if texts else Html("")


def details(title: str, parts: Sequence[Html]) -> Html:
    """Parts folded away under a title; nothing when there are none."""
    return tag("details", tag("summary", text_html(title)), *parts) if parts else Html("")


_SIGNS = {"yes": "✔", "no": "✘", "differs": "≠", "later": "…"}
_COLOURS = {"yes": "#009e73", "no": "#d55e00", "differs": "#e69f00", "later": "#e69f00"}
# Of each kind; the others are folded away, so that a ledger of many task types still fits a screen.
_SHOWN_AT_ONCE = 6


@dataclass(frozen=True, slots=True)
class Card:
    """One answer: `kind` is yes, no, differs or later; `facts` are pairs of a label and a sentence."""

    kind: str
    task_type: str
    lead: str
    rest: str
    facts: tuple[tuple[str, str], ...]


def verdict_list(cards: Sequence[Card]) -> Html:
    """The cards in the order given, those beyond the first few of each kind folded away."""
    at_once: list[Html] = []
    folded: dict[str, list[Html]] = {}
    seen: dict[str, int] = {}
    for card in cards:
        seen[card.kind] = seen.get(card.kind, 0) + 1
        place = at_once if seen[card.kind] <= _SHOWN_AT_ONCE else folded.setdefault(card.kind, [])
        place.append(_item(card))
    more = [
        tag("details", tag("summary", show(f"{len(items)} more: {_SIGNS[kind]}")), _list(items))
        for kind, items in folded.items()
    ]
    return join([_list(at_once), *more])


def _list(items: list[Html]) -> Html:
    return tag("ul", *items, class_="verdicts", style="list-style:none;padding:0;margin:.4rem 0")


def _item(card: Card) -> Html:
    sign = tag(
        "span", show(f"{_SIGNS[card.kind]} "), style=f"color:{_COLOURS[card.kind]}", aria_hidden="true"
    )
    head = tag(
        "div", sign, tag("b", show(card.lead)), show(f" {card.rest} for "), tag("b", show(card.task_type))
    )
    lines = [
        tag(
            "div",
            tag("span", show(f"{label}{'' if label.endswith('?') else ':'} "), style="opacity:.75"),
            show(text),
        )
        for label, text in card.facts
    ]
    look = (
        f"border-left:5px solid {_COLOURS[card.kind]};margin:.6rem 0;padding:.2rem .8rem;"
        "overflow-wrap:anywhere"
    )
    return tag("li", head, *lines, class_=card.kind, style=look)

"""What differs between two answers: words of a text, fields of a JSON value.

The work is bounded: equal ends are set aside first, then at most `COMPARED` characters of each
middle are compared word by word with rapidfuzz, so that two answers of a megabyte cost milliseconds.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from rapidfuzz.distance import Indel

from router_lab.shown.escape import (
    Html,
    more,
    show,
    tag,
)
from router_lab.shown.style import (
    CELL,
    FAINT,
    PRIMARY_ONLY,
    SHADOW_ONLY,
)

COMPARED = 20_000
# Equal text longer than this is shortened around its middle.
KEPT = 300

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
Side = Literal["primary", "shadow"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of one side's text and whether the other side has it too."""

    text: str
    equal: bool


@dataclass(frozen=True, slots=True)
class Field:
    """One leaf of a JSON value by its path; a side without it has `None`, JSON's own null is `null`."""

    path: str
    primary: str | None
    shadow: str | None

    @property
    def equal(self) -> bool:
        """Whether both sides hold the same value here."""
        return self.primary == self.shadow


def pieces(primary: str, shadow: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts cut into runs that are equal and runs that are not; each side joins to its text."""
    start = _common_start(primary, shadow)
    end = _common_end(primary[start:], shadow[start:])
    middles = primary[start : len(primary) - end], shadow[start : len(shadow) - end]
    left, right = _middle(*middles)
    before = [Piece(primary[:start], True)] if start else []
    after = [Piece(primary[len(primary) - end :], True)] if end else []
    return [*before, *left, *after], [*before, *right, *after]


def fields(primary: str, shadow: str) -> list[Field] | None:
    """Both answers field by field, differing ones first; None unless both are JSON objects or arrays.

    A model that wraps its JSON in words and a fenced block is taken at its JSON; the words are a field.
    """
    left, right = _leaves(primary), _leaves(shadow)
    if left is None or right is None:
        return None
    paths = dict.fromkeys([*left, *right])
    found = [Field(path, left.get(path), right.get(path)) for path in paths]
    return sorted(found, key=lambda field: field.equal)


def text_html(runs: list[Piece], side: Side, limit: int) -> Html:
    """One side's runs with what only it says marked; equal stretches shortened, the whole cut at `limit`."""
    style = PRIMARY_ONLY if side == "primary" else SHADOW_ONLY
    shown: list[Html] = []
    left = limit
    for place, run in enumerate(runs):
        if left <= 0:
            shown.append(more(sum(len(rest.text) for rest in runs[place:])))
            break
        if run.equal:
            shown.append(_shortened(run.text, left, first=place == 0, last=place == len(runs) - 1))
            left -= min(len(run.text), 2 * KEPT)
        else:
            shown.append(tag("mark", show(run.text, limit=left), style=style))
            left -= len(run.text)
    return Html("".join(shown))


def fields_html(found: list[Field], limit: int, most: int = 60) -> Html:
    """A table of fields: path, primary, shadow; what differs is marked and named in words."""
    rows = [_field_row(field, limit) for field in found[:most]]
    if len(found) > most:
        note = show(f"… {len(found) - most:,} more fields")
        rows.append(tag("tr", tag("td", note, colspan=4, style=f"{CELL};{FAINT}")))
    names = [tag("th", show(name), scope="col", style=CELL) for name in ("Field", "Primary", "Shadow")]
    head = tag("tr", tag("td", style=CELL), *names)  # the signs need no heading
    return tag("table", tag("thead", head), tag("tbody", *rows), style="border-collapse:collapse;width:100%")


def _field_row(field: Field, limit: int) -> Html:
    if field.equal:
        sign, left, right = "=", show(field.primary, limit), show(field.shadow, limit)
    else:
        sign = "≠"
        left = _value(field.primary, PRIMARY_ONLY, limit)
        right = _value(field.shadow, SHADOW_ONLY, limit)
    cells = (show(sign), show(field.path, limit=200), left, right)
    widths = ("width:1.5em", "width:24%", "width:38%", "width:38%")
    return tag(
        "tr", *[tag("td", cell, style=f"{CELL};{width}") for cell, width in zip(cells, widths, strict=True)]
    )


def _value(text: str | None, style: str, limit: int) -> Html:
    if text is None:
        return tag("em", show("absent"), style=FAINT)
    return tag("mark", show(text, limit), style=style)


def _shortened(text: str, limit: int, *, first: bool, last: bool) -> Html:
    """Equal text: whole when short, else the ends that touch a difference."""
    if first and last:
        return show(text, limit)
    keep_start, keep_end = (0 if first else KEPT), (0 if last else KEPT)
    if len(text) <= 2 * KEPT:
        return show(text, limit)
    skipped = len(text) - keep_start - keep_end
    note = tag("em", show(f" … {skipped:,} equal characters … "), style=FAINT)
    return Html(show(text[:keep_start]) + note + show(text[len(text) - keep_end :] if keep_end else ""))


def _middle(primary: str, shadow: str) -> tuple[list[Piece], list[Piece]]:
    left, right = _WORDS.findall(primary[:COMPARED]), _WORDS.findall(shadow[:COMPARED])
    ours: list[Piece] = []
    theirs: list[Piece] = []
    steps = Indel.opcodes(left, right)
    for place, step in enumerate(steps):
        # A lone blank between two changes is easier to read as part of them.
        between = 0 < place < len(steps) - 1 and left[step.src_start : step.src_end] == [" "]
        equal = step.tag == "equal" and not between
        _extend(ours, "".join(left[step.src_start : step.src_end]), equal)
        _extend(theirs, "".join(right[step.dest_start : step.dest_end]), equal)
    _extend(ours, primary[COMPARED:], False)
    _extend(theirs, shadow[COMPARED:], False)
    return ours, theirs


def _extend(runs: list[Piece], text: str, equal: bool) -> None:
    if not text:
        return
    if runs and runs[-1].equal == equal:
        runs[-1] = Piece(runs[-1].text + text, equal)
    else:
        runs.append(Piece(text, equal))


def _common_start(left: str, right: str) -> int:
    """The length of the common beginning, by bisection on slices, backed up to a word's start."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    if low == len(left) == len(right):
        return low
    while low and left[low - 1].isalnum():
        low -= 1
    return low


def _common_end(left: str, right: str) -> int:
    return _common_start(left[::-1], right[::-1])


def _leaves(text: str) -> dict[str, str] | None:
    inside, around = _unfenced(text)
    try:
        value = json.loads(inside)
    # A number of thousands of digits and nesting of thousands of levels are errors of other kinds.
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict | list):
        return None
    found: dict[str, str] = {}
    try:
        _walk(value, "", found)
    except RecursionError:
        return None
    if around:
        found["(words around it)"] = around
    return found


def _unfenced(text: str) -> tuple[str, str]:
    """What a text's one fenced block holds, and the words around it; a text without one is all inside."""
    if text.count("```") != 2:
        return text, ""
    before, block, after = text.split("```")
    _language, _, inside = block.partition("\n")
    return inside, f"{before.strip()} {after.strip()}".strip()


def _walk(value: Any, path: str, found: dict[str, str]) -> None:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            _walk(item, f"{path}.{key}" if path else key, found)
    elif isinstance(value, list) and value:
        for place, item in enumerate(value):
            _walk(item, f"{path}[{place}]", found)
    else:
        found[path or "(whole)"] = json.dumps(value, ensure_ascii=False)

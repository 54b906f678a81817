"""Pairs side by side, differing first, with filters, paging and verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal, get_args

import ipywidgets as widgets
import pandas as pd

from router_lab import arguments
from router_lab.counted import counted
from router_lab.errors import ConfigError
from router_lab.nearest import nearest_hint
from router_lab.panels.compare.filter_bar import FilterBar
from router_lab.panels.compare.marking import MarkingPanel
from router_lab.panels.compare.pair_filter import PairFilter
from router_lab.panels.compare.pair_page import PageContent, pairs_html
from router_lab.panels.compare.pair_query import Repeats
from router_lab.panels.compare.pair_sources import pair_source
from router_lab.panels.keyboard_shortcuts import KeyboardShortcuts
from router_lab.panels.panel import ROW, WIDE, Panel, control
from router_lab.panels.panel_sources import ledger_of
from router_lab.scores.verdict_store import (
    VERDICTS,
    HumanVerdict,
    StoreVerdict,
    VerdictWord,
    keeper,
    said_before,
)
from router_lab.shown.escape import SHOWN_CHARACTERS, Html, tag
from router_lab.shown.style import page, title

WHOLE_CHARACTERS = 100_000
# Gathering pairs with the same prompt sorts all of them: up to here a page takes half a second.
TOGETHER_UP_TO = 200_000

_MOVES = {"n": 1, "b": -1}
_MARKS: dict[str, VerdictWord] = {
    "a": "equally good",
    "1": "primary better",
    "2": "shadow better",
    "0": "both wrong",
    "u": "unsure",
}
KEYS = {"n": "next pair", "b": "back", **_MARKS, "z": "undo"}
Mode = Literal["browse", "marking"]
_MODES: list[tuple[str, Mode]] = [("Browse", "browse"), ("Mark drawn pairs", "marking")]
_HEADING = "Primary and shadow, side by side"


class ComparePanel(Panel[PageContent]):
    """Primary and shadow answers side by side, pairs with the same prompt as one.

    `source` is a ledger, its tables, a frame of comparisons, or a path. Verdicts become scores in the
    ledger (`ledger.scores()`), or go to `on_verdict`; without either, and for a ledger that cannot be
    written, they stay in `.verdicts` of this panel. `KEYS` are its keyboard shortcuts. A million pairs
    are fine: the database filters and sorts, and only the page in view is read.

    Pairs marked while browsing were chosen: their marks are kept as that, and estimates leave them out.
    `mode="marking"`, or the control of that name, shows pairs drawn for marking instead, one at a time
    and blind; see `MarkingPanel`, which `.marking` is.

    Raises `ConfigError` when `source` is none of these, and says what is accepted; and for marking in
    what is no ledger that can be written.
    """

    def __init__(
        self,
        source: object,
        *,
        page_size: int = 10,
        on_verdict: StoreVerdict | None = None,
        mode: Mode = "browse",
    ) -> None:
        if mode not in get_args(Mode):
            hint = nearest_hint(mode, get_args(Mode))
            raise ConfigError(f"mode={mode!r}: choose one of {', '.join(get_args(Mode))}{hint}")
        self._given = source
        self._marking: MarkingPanel | None = None
        self._source = pair_source(source)
        self._keeper = keeper(ledger_of(source), on_verdict)
        self._page_size = page_size
        self._filter = PairFilter()
        self._number = 1
        self._together: bool | None = None
        self._drawing = False
        self._shown: PageContent | None = None
        self._verdicts: dict[str, HumanVerdict] = {}
        self._body = widgets.HTML(layout=WIDE)
        self._make_controls()
        moves = [self.previous, self.page_number, self.next, self.together, self.whole, self.again]
        marks = [self.pair_number, self.verdict, self.remark, self.save, self.take_back]
        self._browsing = [
            self.filters,
            widgets.HBox(moves, layout=ROW),
            self.shortcuts,
            self._body,
            widgets.HBox(marks, layout=ROW),
        ]
        self._place = widgets.VBox(self._browsing, layout=WIDE)
        super().__init__(widgets.HTML(page(title(_HEADING))), self.mode, self._place)
        self._draw(self._readable())
        self._listen()
        self.mode.value = mode

    # What a reader does; each is also a method to call from a cell.

    def filter(self, **changes: Any) -> None:
        """Change the filter (fields of `PairFilter`) and go to the first page: `filter(task_type="code")`.

        Raises `ConfigError` for another field, and for a value that no pair has.
        """
        known = asdict(self._filter)
        for name in changes:
            arguments.choice("filter", name, known)
        self._check_choices(changes)
        self._filter, self._number = PairFilter(**{**known, **changes}), 1
        self._draw(self._readable())

    def _check_choices(self, changes: Mapping[str, Any]) -> None:
        there = self._now.choices
        offered = {
            "task_type": there.task_types,
            "models": there.models,
            "status": there.statuses,
            "epoch": there.epochs,
        }
        for name, values in offered.items():
            value = changes.get(name)
            if value is None or not values or value in values:
                continue
            known = arguments.there_are(value, values)
            raise ConfigError(f"filter: no pair has {name}={arguments.shown(value)}{known}")

    def go_to(self, number: int) -> None:
        """Show page `number`, or the nearest there is."""
        self._number = number
        self._draw(self._readable())

    def mark(self, number: int, verdict: VerdictWord, note: str = "") -> HumanVerdict:
        """Give the pair with this `number` on the page a verdict; store it, then show it as saved."""
        if verdict not in VERDICTS:
            hint = nearest_hint(verdict, VERDICTS)
            raise ConfigError(f"verdict {verdict!r}: choose one of {', '.join(VERDICTS)}{hint}")
        pairs = self._now.pairs
        if not 1 <= number <= len(pairs):
            raise ConfigError(f"pair {number}: this page shows pairs 1 to {len(pairs)}")
        pair = pairs[number - 1].first
        said = HumanVerdict(
            comparison_id=pair.comparison_id, task_type=pair.task_type, verdict=verdict, note=note
        )
        if self._keeper.store is not None:
            self._keeper.store(said)
        self._verdicts.pop(pair.comparison_id, None)  # so that `undo` finds the newest last
        self._verdicts[pair.comparison_id] = said
        self._draw_pairs(self._now)
        self.say(f"Pair {number}: {verdict}, {self._keeper.where}.")
        return said

    def undo(self) -> HumanVerdict | None:
        """Take back the last verdict given here, in the ledger too; None where there is none.

        Raises `ConfigError` where verdicts go to `on_verdict`, which cannot take one back.
        """
        if not self._verdicts:
            self.say("There is no mark to take back.")
            return None
        if self._keeper.store is not None and self._keeper.take_back is None:
            raise ConfigError("a verdict given to on_verdict cannot be taken back here; give another one")
        comparison_id, said = next(reversed(self._verdicts.items()))
        if self._keeper.take_back is not None:
            self._keeper.take_back(comparison_id)
        self._verdicts.pop(comparison_id)
        self._reread_said()
        self.say(f"Taken back: {said}.")
        return said

    @property
    def marking(self) -> MarkingPanel:
        """The panel of pairs drawn for marking. Raises `ConfigError` without a ledger that can be written."""
        if self._marking is None:
            self._marking = MarkingPanel(self._given)
        return self._marking

    def press(self, key: str) -> None:
        """Do what `key`, one of `KEYS`, does: move, or mark the current pair and move on."""
        if key == "z":
            self.undo()
        elif key in _MOVES:
            self._move(_MOVES[key])
        elif self._now.pairs:
            self._save(_MARKS[key])
            saved = self.status
            self._move(1)
            self._status.value = saved

    def selection(self) -> pd.DataFrame:
        """All pairs that pass the filters, in the order shown, with the columns of `ledger.comparisons()`."""
        return self._source.frame(self._filter)

    @property
    def verdicts(self) -> pd.DataFrame:
        """The verdicts given in this panel: comparison_id, task_type, verdict, note."""
        names = list(HumanVerdict.__dataclass_fields__)
        return pd.DataFrame([asdict(said) for said in self._verdicts.values()], columns=names)

    def __repr__(self) -> str:
        shown = self._now
        counts = shown.summary
        return (
            f"ComparePanel({counted(counts.pairs, 'pairs')}, {counts.complete:,} complete, "
            f"{counts.differing:,} differ; page {shown.number} of {shown.pages})"
        )

    # Reading and drawing.

    @property
    def _now(self) -> PageContent:
        assert self._shown is not None  # noqa: S101 - the constructor draws before anyone can ask
        return self._shown

    @property
    def _current_id(self) -> str | None:
        pairs = [] if self._shown is None else self._shown.pairs
        place = self.pair_number.value - 1
        return pairs[place].first.comparison_id if place < len(pairs) else None

    def _read(self) -> PageContent:
        source, wanted, size = self._source, self._filter, self._page_size
        summary = source.summary(wanted)
        together = summary.pairs <= TOGETHER_UP_TO if self._together is None else self._together
        pages = max(1, -(-(source.prompts_asked(wanted) if together else summary.pairs) // size))
        number = min(max(1, self._number), pages)
        if together:
            pairs = source.page_of_prompts(wanted, number, size)
        else:
            pairs = [Repeats(pair) for pair in source.page(wanted, number, size)]
        firsts = [each.first for each in pairs]
        given = source.scores(firsts)
        return PageContent(
            choices=source.choices(),
            summary=summary,
            pages=pages,
            number=number,
            together=together,
            pairs=pairs,
            prompts=source.prompts(firsts),
            unseen=source.unseen_bills(firsts),
            thoughts=source.thoughts(firsts),
            said=said_before(given),
            expected={one["comparison_id"]: one["expected"] for one in given if one["expected"] is not None},
        )

    def _reread_said(self) -> None:
        """Draw the page with what the ledger has of it by now."""
        shown = self._now
        pairs = {pair.first.comparison_id for pair in shown.pairs}
        current = self._newest()
        self._shown = current if {pair.first.comparison_id for pair in current.pairs} == pairs else shown
        self._draw_pairs(self._now)

    def _reread(self) -> PageContent:
        self._source.reopen()
        return self._read()

    def _draw(self, data: PageContent) -> None:
        current = self._current_id
        self._shown, self._number = data, data.number
        ids = [pair.first.comparison_id for pair in data.pairs]
        self._drawing = True
        try:
            self._draw_controls(data)
            # New pairs may have come before it: a key must not mark another one than was read.
            self.pair_number.value = ids.index(current) + 1 if current in ids else 1
        finally:
            self._drawing = False
        self._draw_pairs(data)
        empty = "No pair passes these filters: widen one of them."
        self.say(self._keeper.notice if data.pairs else empty)

    def _draw_controls(self, data: PageContent) -> None:
        self.filters.show(data.choices, self._filter)
        self.page_number.max = data.pages
        self.page_number.value = data.number
        self.page_number.description = f"Page (of {data.pages:,})"
        self.previous.disabled = data.number == 1
        self.next.disabled = data.number == data.pages
        self.together.value = data.together
        self.pair_number.max = max(1, len(data.pairs))
        self.save.disabled = not data.pairs

    def _draw_pairs(self, data: PageContent) -> None:
        self._body.value = page(self._pairs_html(data, live=True))
        self.shortcuts.current = self.pair_number.value

    def _pairs_html(self, data: PageContent, *, live: bool) -> Html:
        return pairs_html(
            data,
            {pair.first.comparison_id: self._said_of(pair.first.comparison_id) for pair in data.pairs},
            limit=WHOLE_CHARACTERS if self.whole.value else SHOWN_CHARACTERS,
            current=self.pair_number.value if live else None,
            live=live,
        )

    def _said_of(self, comparison_id: str) -> str:
        now = self._verdicts.get(comparison_id)
        before = dict(self._now.said.get(comparison_id, {}))
        if now is not None:
            before.pop(self._keeper.by, None)
        parts = [f"✔ {now}"] if now is not None else []
        for by, said in before.items():
            parts.append(f"{said.words}, says “{by}”{' (chosen)' if said.chosen else ''}")
        return "; ".join(parts)

    def _static(self) -> Html:
        return tag("div", title(_HEADING), self._pairs_html(self._now, live=False))

    # Controls and what they do.

    def _make_controls(self) -> None:
        self.filters = FilterBar()
        self.whole = control(widgets.Checkbox, "Whole texts", indent=False)
        self.together = control(widgets.Checkbox, "Same prompts together", indent=False, value=True)
        self.previous = control(widgets.Button, "Previous page")
        self.next = control(widgets.Button, "Next page")
        self.again = control(widgets.Button, "Refresh", tooltip="Read the ledger again")
        self.page_number = control(widgets.BoundedIntText, "Page", width="170px", min=1, max=1, value=1)
        self.pair_number = control(widgets.BoundedIntText, "Verdict on pair", width="160px", min=1, value=1)
        self.verdict = control(widgets.Dropdown, "is", options=VERDICTS)
        self.remark = control(widgets.Text, "Note", width="260px")
        self.save = control(widgets.Button, "Save verdict", button_style="primary")
        self.take_back = control(widgets.Button, "Undo last verdict")
        self.mode = control(widgets.ToggleButtons, "Pairs", options=_MODES)
        self.shortcuts = KeyboardShortcuts(KEYS, lambda key: self._guarded(lambda: self.press(key))())

    def _listen(self) -> None:
        self.filters.on_change(self._guarded(self._on_filter))
        self.together.observe(self._guarded(self._on_together), names="value")
        self.page_number.observe(self._guarded(self._on_page), names="value")
        for one in (self.whole, self.pair_number):
            one.observe(self._guarded(self._on_look), names="value")
        self.previous.on_click(self._guarded(lambda: self.go_to(self._number - 1)))
        self.next.on_click(self._guarded(lambda: self.go_to(self._number + 1)))
        self.again.on_click(self._guarded(self.refresh))
        self.save.on_click(self._guarded(lambda: self._save(self.verdict.value)))
        self.take_back.on_click(self._guarded(self.undo))
        self.mode.observe(self._on_mode, names="value")

    def _on_mode(self, change: Any) -> None:
        try:
            self._place.children = self._browsing if change["new"] == "browse" else [self.marking]
            self.say(self._keeper.notice)
        except ConfigError as error:
            self.mode.value = "browse"
            self.say(str(error), warning=True)

    def _on_filter(self) -> None:
        if not self._drawing:
            self.filter(**asdict(self.filters.chosen()))

    def _on_together(self) -> None:
        if not self._drawing:
            self._together = self.together.value
            self.go_to(1)

    def _on_page(self) -> None:
        if not self._drawing:
            self.go_to(self.page_number.value)

    def _on_look(self) -> None:
        if not self._drawing:
            self._draw_pairs(self._now)

    def _save(self, verdict: VerdictWord) -> None:
        self.mark(self.pair_number.value, verdict, self.remark.value.strip())
        self.remark.value = ""

    def _move(self, step: int) -> None:
        """To the next or previous pair, over the edge of the page too."""
        wanted = self.pair_number.value + step
        if wanted > len(self._now.pairs) and self._number < self._now.pages:
            self.go_to(self._number + 1)
        elif wanted < 1 < self._number:
            self.go_to(self._number - 1)
            self.pair_number.value = len(self._now.pairs)
        else:
            self.pair_number.value = wanted

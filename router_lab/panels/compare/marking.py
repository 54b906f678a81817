"""Pairs drawn for marking, one at a time; which model said what stays hidden, for later marks too."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import ipywidgets as widgets

from router_lab.errors import ConfigError
from router_lab.nearest import nearest_hint
from router_lab.panels.compare.diff import pieces, text_html
from router_lab.panels.keyboard_shortcuts import KeyboardShortcuts
from router_lab.panels.panel import ROW, WIDE, Panel, control
from router_lab.panels.panel_sources import ledger_of
from router_lab.scores.verdict_store import user
from router_lab.shown.answer import ended
from router_lab.shown.escape import (
    SHOWN_CHARACTERS,
    Html,
    plain,
    show,
    tag,
)
from router_lab.shown.style import (
    CARD,
    COLUMNS,
    FAINT,
    HEAD,
    LINE,
    TEXT,
    note,
    page,
    title,
)

if TYPE_CHECKING:
    from router_lab.scores.mark_design import Design
    from router_lab.scores.spot_checking import SpotCheck, SpotChecks

Mark = Literal["A is better", "B is better", "equally good", "both wrong", "unsure"]

_MARKS: dict[str, Mark] = {
    "1": "A is better",
    "2": "B is better",
    "a": "equally good",
    "0": "both wrong",
    "u": "unsure",
}
KEYS = {**_MARKS, "z": "undo", "m": "more pairs"}
_HEADING = "Drawn pairs, to be marked blind"
_PAD = "padding:8px 10px;min-width:0"


class MarkingPanel(Panel["SpotCheck | None"]):
    """Marks pairs that `rl.spot_checks` draws, in turn, and keeps them with their chances in the ledger.

    `by` is who marks (default: the current user); `batch` how many pairs are drawn at a time, of
    `task_type` and below it, by `design` if not as `rl.spot_checks` does. Two answers are shown as A and
    B in an order that differs from pair to pair; which was whose is not said, since who knows one model's
    style marks it elsewhere too. One may stop anywhere. Raises `ConfigError` for what is no ledger, or one
    that cannot be written.
    """

    def __init__(
        self,
        source: object,
        *,
        by: str | None = None,
        batch: int = 20,
        task_type: str | None = None,
        seed: int = 0,
        design: Design | None = None,
    ) -> None:
        ledger = ledger_of(source)
        if ledger is None or not ledger.writable:
            why = "this ledger is read-only" if ledger is not None else "it is none"
            raise ConfigError(f"marks of drawn pairs need a ledger that can be written; {why}")
        if batch < 1:
            raise ConfigError(f"batch={batch!r}: how many pairs to draw at a time, 1 or more")
        from router_lab.scores.spot_checking import spot_checks, why_none_is_left

        self._by = user() if by is None else by
        self._draw_checks = partial(
            spot_checks, ledger, batch, by=self._by, seed=seed, task_type=task_type, design=design
        )
        self._why_none = partial(why_none_is_left, ledger, task_type)
        self._body = widgets.HTML(layout=WIDE)
        self._buttons = {mark: control(widgets.Button, mark) for mark in _MARKS.values()}
        self.remark = control(widgets.Text, "Note", width="260px")
        self.take_back = control(widgets.Button, "Undo last mark")
        self.more = control(widgets.Button, "More pairs", tooltip="Draw the next pairs of the same sample")
        self.shortcuts = KeyboardShortcuts(KEYS, lambda key: self._guarded(lambda: self.press(key))())
        super().__init__(
            widgets.HTML(page(title(_HEADING))),
            self.shortcuts,
            self._body,
            widgets.HBox([*self._buttons.values(), self.remark], layout=ROW),
            widgets.HBox([self.take_back, self.more], layout=ROW),
        )
        for mark, button in self._buttons.items():
            button.on_click(self._guarded(partial(self._mark_with_note, mark)))
        self.take_back.on_click(self._guarded(self.undo))
        self.more.on_click(self._guarded(self.draw_more))
        self.draw_more()

    # What a person does; each is also a method to call from a cell.

    def mark(self, mark: Mark, note: str = "") -> None:
        """Keep this mark on the pair shown, then show the next one. Raises `ConfigError`, `LedgerError`."""
        if mark not in self._buttons:
            hint = nearest_hint(mark, self._buttons)
            raise ConfigError(f"mark {mark!r}: choose one of {', '.join(self._buttons)}{hint}")
        check = self.current
        if check is None:
            self.say("No pair is waiting: draw more pairs.")
            return
        if mark == "unsure":
            self._checks.unsure(check, note)
        elif mark in ("A is better", "B is better"):
            self._checks.say(check, "A" if mark == "A is better" else "B", note)
        else:
            self._checks.say(check, "equal" if mark == "equally good" else "both wrong", note)
        number = self._number - 1
        self.remark.value = ""
        self._draw(self.current)
        self.say(f"Pair {number}: {mark}, saved as {plain(self._by)}'s. {self._next()}")

    def undo(self) -> None:
        """Take back the last mark of this batch, and show its pair again."""
        check = self._checks.undo()
        self._draw(self.current)
        self.say(f"Pair {self._number} is to be marked again." if check else "There is no mark to take back.")

    def draw_more(self) -> None:
        """Draw the next pairs of the sample, those that came since among them."""
        self._checks: SpotChecks = self._draw_checks()
        self._draw(self.current)
        self.say(self._next() + (self._shortage() if self.current is not None else ""))

    def press(self, key: str) -> None:
        """Do what `key`, one of `KEYS`, does."""
        if key in _MARKS:
            self._mark_with_note(_MARKS[key])
        elif key == "z":
            self.undo()
        else:
            self.draw_more()

    @property
    def current(self) -> SpotCheck | None:
        """The pair to mark now; None when all of the batch are marked."""
        left = self._checks.left
        return left[0] if left else None

    def __repr__(self) -> str:
        return f"MarkingPanel(by {plain(self._by)}: {len(self._checks.left)} of {len(self._checks)} left)"

    # Reading and drawing.

    def _mark_with_note(self, mark: Mark) -> None:
        self.mark(mark, self.remark.value.strip())

    @property
    def _number(self) -> int:
        return len(self._checks) - len(self._checks.left) + 1

    def _next(self) -> str:
        if self.current is not None:
            return f"Now pair {self._number} of {len(self._checks)}."
        if len(self._checks):
            return f"All drawn pairs are marked; draw more, or read what they say.{self._shortage()}"
        return self._why_none()

    def _shortage(self) -> str:
        return f" Note: {short}." if (short := self._checks.shortage) else ""

    def _read(self) -> SpotCheck | None:
        return self.current

    def _draw(self, data: SpotCheck | None) -> None:
        self._body.value = page(self._card(data))
        self.shortcuts.current = self._number
        for button in self._buttons.values():
            button.disabled = data is None

    def _card(self, check: SpotCheck | None) -> Html:
        if check is None:
            return Html("")
        head = tag(
            "div",
            tag("b", show(f"{self._number} of {len(self._checks)}")),
            tag("b", show(check.task_type, limit=120)),
            style=HEAD,
        )
        prompt = tag("div", tag("pre", show(check.prompt), style=TEXT), style=f"{_PAD};border-bottom:{LINE}")
        left, right = pieces(check.a, check.b)
        # What only one answer says is marked alike in both: neither is the one to be corrected.
        answers = [
            tag(
                "div",
                tag("div", show(letter), style=f"{FAINT};font-weight:600;margin-bottom:3px"),
                note(f"This answer {words}.") if (words := ended(ending)) else Html(""),
                tag("pre", text_html(runs, "shadow", SHOWN_CHARACTERS), style=TEXT),
                style=_PAD,
            )
            for letter, runs, ending in zip("AB", (left, right), check.endings, strict=True)
        ]
        return tag(
            "section",
            head,
            prompt if check.prompt is not None else Html(""),
            tag("div", *answers, style=COLUMNS),
            style=CARD,
            aria_label=f"Pair {self._number}",
            aria_current="true",
        )

    def _static(self) -> Html:
        return tag("div", title(_HEADING), self._card(self.current))

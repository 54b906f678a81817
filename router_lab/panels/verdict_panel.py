"""May we replace it? The answers of `rl.verdict`, and the two things that help: scoring some, stopping."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets as widgets

from router_lab.errors import ConfigError
from router_lab.panels.compare.marking import MarkingPanel
from router_lab.panels.panel import WIDE, control
from router_lab.panels.panel_sources import ledger_of, tables_opener
from router_lab.panels.sheet import Sheet, SheetPanel, chooser, chosen
from router_lab.panels.switch_panel import SwitchPanel

if TYPE_CHECKING:
    from router_lab.analysis import Verdict

HEADING = "May we replace it?"


class VerdictPanel(SheetPanel):
    """The answer per task type, in words (see `rl.verdict`), over a `Ledger`, its tables, or a path.

    "Score some pairs" opens drawn pairs of the task type chosen, to be marked blind; "Stop or continue"
    opens the switch for it, with the answer as the reason. Both need a ledger that can be written.
    `.selection()` has a row per task type. Raises `ConfigError` for another source.
    """

    heading = HEADING

    def __init__(self, source: object) -> None:
        self._open = tables_opener(source, type(self).__name__)
        self._ledger = ledger_of(source)
        self._verdict: Verdict | None = None
        self.task_type = chooser("Answer for")
        self.score = control(widgets.Button, "Score some pairs", button_style="primary")
        self.switch = control(widgets.Button, "Stop or continue …")
        self._opened = widgets.VBox(layout=WIDE)
        super().__init__(self.task_type, self.score, self.switch, opened=[self._opened])
        self.score.on_click(self._guarded(self.score_some))
        self.switch.on_click(self._guarded(self.stop_or_continue))

    def score_some(self) -> MarkingPanel:
        """Show drawn pairs to be marked. Raises `ConfigError` without a ledger that can be written."""
        panel = MarkingPanel(self._ledger, task_type=chosen(self.task_type))
        self._opened.children = [panel]
        self.say("What you mark counts once you press Refresh.")
        return panel

    def stop_or_continue(self) -> SwitchPanel:
        """Show the switch, with the answer as its reason. Raises `ConfigError` without a ledger."""
        if self._ledger is None:
            raise ConfigError("the switch needs a ledger; these are its tables only")
        panel = SwitchPanel(self._ledger)
        name = chosen(self.task_type)
        if name in [value for _, value in panel.scope.options]:
            panel.scope.value = name
        panel.reason.value = self._reason(name)
        self._opened.children = [panel]
        self.say("")
        return panel

    @property
    def verdict(self) -> Verdict:
        """The answers shown, read anew where the selection has changed."""
        self.selection()
        assert self._verdict is not None  # noqa: S101 - read just now
        return self._verdict

    def _reason(self, name: str | None) -> str:
        found = [one for one in self.verdict.task_types if one.task_type == name]
        return found[0].headline if found else self.verdict.summary

    def _read(self) -> Sheet:
        from router_lab import analysis

        history = getattr(self._ledger, "switch_events", None)
        events = history() if callable(history) else None
        found = self._verdict = analysis.verdict(self._open(), switch_events=events)
        return self._sheet_of(found)

    def _sheet_of(self, found: Verdict) -> Sheet:
        names = tuple(sorted(each.task_type for each in found.task_types))
        one = chosen(self.task_type)
        shown = found.html(one if one in names else None)
        return Sheet(found.summary, found.frame(), body=shown, choices={"task_type": names})

    def _on_change(self) -> None:
        if not self._drawing:
            self._draw(self._sheet_of(self.verdict))

"""May we stop? The exit monitor's verdict per task type, and the evidence behind one of them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import ipywidgets as widgets

from router_lab.counted import counted
from router_lab.defaults import ALPHA, BAR, BASES
from router_lab.ledger.reading.kept_answers import LastAnswer
from router_lab.ledger.reading.queries import moment_of
from router_lab.panels.panel import control
from router_lab.panels.panel_sources import tables_opener
from router_lab.panels.sheet import Sheet, SheetPanel, chooser, chosen
from router_lab.shown.escape import plain

if TYPE_CHECKING:
    from router_lab.analysis import MonitorResult


class MonitorPanel(SheetPanel):
    """The stable-state exit over a ledger (a `Ledger`, its tables, or a path).

    It only looks: acting on a verdict, and keeping it, is for `rl.steer`. With the fields as they
    are at first, the plans in the ledger are shown. `.selection()` has a row per task type. Raises
    `ConfigError` for another source.
    """

    heading = "May we stop comparing?"

    def __init__(self, source: object) -> None:
        self._open = tables_opener(source, type(self).__name__)
        self._last = LastAnswer()
        self.task_type = chooser("Evidence of", "the first")
        self.threshold = control(
            widgets.BoundedFloatText,
            "Agreement to beat",
            width="210px",
            min=0.01,
            max=0.999,
            step=0.01,
            value=BAR,
        )
        self.alpha = control(
            widgets.BoundedFloatText,
            "Error (alpha)",
            width="180px",
            min=0.001,
            max=0.499,
            step=0.01,
            value=ALPHA,
        )
        self.basis = control(
            widgets.Dropdown,
            "Judged by",
            options=[("the best there is", ""), *((one, one) for one in BASES)],
            value="",
        )
        super().__init__(self.task_type, self.threshold, self.alpha, self.basis)

    def _read(self) -> Sheet:
        from router_lab import analysis
        from router_lab.analysis import plots
        from router_lab.analysis.exit.overview import overview, remarks

        threshold, alpha = float(self.threshold.value), float(self.alpha.value)
        is_default = (threshold, alpha) == (BAR, ALPHA)
        plan = None if is_default else analysis.ExitPlan(threshold=threshold, alpha=alpha)
        tables, basis = self._open(), chosen(self.basis)
        # Evidence goes stale by the day.
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        look = partial(analysis.monitor, tables, plan, basis=basis)
        result: MonitorResult = self._last.answer(moment_of(tables), (plan, basis, hour), look)
        frame = result.frame
        names = tuple(result.decisions)
        one = chosen(self.task_type)
        one = one if one in names else next(iter(names), None)
        plot = None if one is None else plots.confidence_band(result, one)
        return Sheet(
            sentence=_sentence(result, one),
            selection=frame,
            tables=(("Verdicts", overview(frame)),),
            notes=tuple(remarks(frame)),
            plot=plot if plot is not None and len(plot.data) > 1 else None,
            choices={"task_type": names},
        )


def _sentence(result: MonitorResult, shown: str | None) -> str:
    if shown is None:
        return "No pairs yet"
    from router_lab.analysis.exit.overview import MAY_STOP

    counts: dict[str, int] = {}
    for decision in result.decisions.values():
        words = MAY_STOP[decision.outcome]
        counts[words] = counts.get(words, 0) + 1
    said = ", ".join(f"{count} {words[0].lower()}{words[1:]}" for words, count in sorted(counts.items()))
    return (
        f"{counted(len(result.decisions), 'task types')}: {said}. "
        f"{plain(shown, limit=60)}: {result.sentence(shown)}"
    )

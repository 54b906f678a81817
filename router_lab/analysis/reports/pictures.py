"""The pictures of a report, each drawn as soon as what it shows is known: here, or elsewhere meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

import pandas as pd

from router_lab.analysis import metrics, plots
from router_lab.analysis.ab_verdict import AbResult
from router_lab.analysis.exit.monitor import MonitorResult
from router_lab.analysis.plots.money_charts import latency_chart, spend_chart
from router_lab.analysis.plots.plot import load
from router_lab.analysis.plots.token_charts import truncation_chart
from router_lab.ledger.reading.tables import Tables
from router_lab.shown.escape import Html
from router_lab.shown.wording import plain

# Each with its title, SVG for a page.
Drawn = list[tuple[str, Html]]
_T = TypeVar("_T")


class Pictures:
    """Begun one after another as their data comes, by an `executor`, or by none: then there are none."""

    def __init__(self, executor: Executor | None) -> None:
        self._executor = executor
        self._begun: dict[str, Future[Drawn]] = {}
        if executor is not None:
            executor.submit(load)

    def of_standing(self, standing: MonitorResult) -> None:
        """Begin with where the exit stands."""
        if self._executor is not None:
            self._begun["standing"] = self._executor.submit(_standing, standing)

    def of_verdicts(self, judged: AbResult) -> None:
        """Begin with the verdicts of one look."""
        if self._executor is not None:
            self._begun["verdicts"] = self._executor.submit(_verdicts, judged)

    def of_calls(self, tables: Tables) -> None:
        """Begin with what calls cost, risked and took. Raises `LedgerError`."""
        if self._executor is not None:
            spent = metrics.spend(tables, by=("task_type", "cause"))
            cut = metrics.truncation(tables, by="day")
            took = metrics.latency(tables, by="model_alias")
            self._begun["calls"] = self._executor.submit(_calls, spent, cut, took)

    def drawn(self) -> tuple[tuple[str, Html], ...]:
        """All that were begun, with their titles, in the order of a report."""
        begun = [self._begun[name] for name in ("verdicts", "standing", "calls") if name in self._begun]
        return tuple(picture for one in begun for picture in one.result())


class Here(Executor):
    """Does at once what it is given."""

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """The answer of `fn`, or what it raised."""
        done: Future[_T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done


def _verdicts(judged: AbResult) -> Drawn:
    return [("verdicts", plots.verdicts(judged).html())]


def _standing(standing: MonitorResult) -> Drawn:
    bands = ((name, plots.confidence_band(standing, name)) for name in standing.decisions)
    return [(f"confidence band of {plain(name)}", band.html()) for name, band in bands if len(band.data) > 1]


def _calls(spent: pd.DataFrame, cut: pd.DataFrame, took: pd.DataFrame) -> Drawn:
    drawn = [("spend by cause", spend_chart(spent, "task_type").html())]
    if len(cut) > 1:
        drawn.append(("truncation over time", truncation_chart(cut, "day").html()))
    return [*drawn, ("latency", latency_chart(took, "model_alias").html())]

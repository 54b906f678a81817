"""Which of several candidates? A race's frontier and table, live while a replay writes its pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from router_lab import arguments
from router_lab.analysis.ledger_tables import frame_of
from router_lab.errors import ConfigError
from router_lab.panels.panel_sources import tables_opener
from router_lab.panels.sheet import Sheet, SheetPanel, chooser, chosen
from router_lab.shown.escape import plain

if TYPE_CHECKING:
    from router_lab.analysis import RacePlan, RaceResult


class RacePanel(SheetPanel):
    """The race of the candidates in a ledger (a `Ledger`, its tables, or a path); `follow()` shows it live.

    `plan` is what was decided beforehand (default: `RacePlan()`), `run_id` the replay shown first
    (default: the newest), `inputs` how many there are to ask in all, so that hopeless candidates are
    told. Without a replay it is of one task type. `.selection()` has a row per candidate. Raises
    `ConfigError`.
    """

    heading = "Which candidate?"

    def __init__(
        self,
        source: object,
        plan: RacePlan | None = None,
        *,
        run_id: str | None = None,
        inputs: int | None = None,
    ) -> None:
        from router_lab.analysis import RacePlan

        self._open = tables_opener(source, type(self).__name__)
        self._plan = RacePlan() if plan is None else arguments.instance("plan", plan, RacePlan, "a RacePlan")
        self._inputs, self._run_id = inputs, run_id
        self.replay = chooser("Replay", "the newest")
        self.task_type = chooser("Task type", "all of it")
        super().__init__(self.replay, self.task_type)

    def _read(self) -> Sheet:
        from router_lab import analysis
        from router_lab.analysis import plots
        from router_lab.analysis.racing.race_overview import race_overview

        tables = self._open()
        runs, kinds = _choices(tables)
        run = chosen(self.replay) or self._run_id or next(iter(runs), None)
        kind = chosen(self.task_type) or (next(iter(kinds), None) if run is None else None)
        choices = {"replay": runs, "task_type": kinds}
        try:
            result = analysis.race(tables, self._plan, run_id=run, task_type=kind, inputs=self._inputs)
        except ConfigError as error:  # another replay or task type may do
            return Sheet(sentence=plain(error, 500), selection=pd.DataFrame(), choices=choices)
        return Sheet(
            sentence=_sentence(result, run or kind),
            selection=result.frame,
            tables=(("Candidates", race_overview(result.frame)),),
            plot=plots.frontier(result) if len(result.frame) else None,
            choices=choices,
        )


def _choices(tables: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The replays, newest first, and the task types that have pairs with a shadow."""
    pairs = tables.comparisons.filter(~tables.comparisons.is_noise)
    runs = pairs.filter(pairs.run_id.notnull() & (pairs.run_id != "")).group_by("run_id")
    newest = frame_of(runs.aggregate(at=pairs.created_at.max()))
    kinds = frame_of(pairs.select("task_type").distinct())
    newest = newest.sort_values(["at", "run_id"], ascending=False)
    return tuple(map(str, newest["run_id"])), tuple(sorted(map(str, kinds["task_type"])))


def _sentence(result: RaceResult, of: str | None) -> str:
    if result.frame.empty:
        return "No pairs yet"
    counts = result.frame["state"].value_counts(sort=False).sort_index()
    said = ", ".join(f"{number} {state}" for state, number in counts.items())
    estimates = f" {result.point_estimates}" if result.point_estimates is not None else ""
    return f"{plain(of or '', 60)}: {said}. {result.choice}{estimates}"

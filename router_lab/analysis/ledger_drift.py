"""Drift over the columns of a ledger: agreement, cost, characters per token, latency."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from router_lab.analysis.drift import Drift, detect, detect_shift
from router_lab.analysis.evidence import evidence as evidence_of
from router_lab.analysis.metrics.estimates import intact_calls
from router_lab.analysis.pairs import judged_pairs
from router_lab.analysis.runs import betting_scale
from router_lab.analysis.tables import Source, Tables, frame_of, tables_of
from router_lab.analysis.wording import html_table, plain
from router_lab.defaults import BAR

CHANGED = "changed"
FROM_START = "below the bar from the start"

_WATCHED: tuple[tuple[str, Literal["up", "down"]], ...] = (
    ("cost_usd", "up"),
    ("latency_ms", "up"),
    ("chars_per_token", "down"),
    ("chars_per_token", "up"),
)


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What was watched. `frame`: task_type, model, metric, direction, observations, allowed, observed,
    alarmed, alarm_at and changed_at (times), mean_run (least expected observations between false alarms),
    finding: `changed`, `below the bar from the start` (alarmed, but there was nothing to change from:
    changed_at is empty), or nothing.
    """

    frame: pd.DataFrame = field(repr=False)

    def __repr__(self) -> str:
        changes, low = self.changed, self.below_from_start
        heading = f"Drift: {len(changes) or 'none'} {'of' if len(changes) else 'in'} {len(self.frame)} series"
        lines = [
            f"  {plain(row.task_type)} on {plain(row.model)}: {row.metric} {row.direction} since about "
            f"{row.changed_at:%Y-%m-%d %H:%M} UTC"
            for row in changes.itertuples()
        ]
        lines += [
            f"  {plain(row.task_type)} on {plain(row.model)}: {row.metric} {1 - row.observed:.3f} over "
            f"{row.observations:,} pairs, {FROM_START} ({1 - row.allowed:.3g}); no change"
            for row in low.itertuples()
        ]
        return "\n".join([heading, *lines])

    @property
    def changed(self) -> pd.DataFrame:
        """The series that changed."""
        return self.frame[self.frame["finding"] == CHANGED]

    @property
    def below_from_start(self) -> pd.DataFrame:
        """The series of agreement that never were at the bar: a matter for the verdict, not a change."""
        return self.frame[self.frame["finding"] == FROM_START]

    def _repr_html_(self) -> str:
        return html_table(self.frame, "Drift")


def drift(source: Source, *, threshold: float = BAR, last: int = 50_000) -> DriftReport:
    """Watch the newest `last` calls and pairs of each task type and model of a ledger.

    Agreement against `threshold` (the exit's own), and scores or a judge's preference where there are any:
    (1 + shadow less primary) / 2 against a loss of 1 - `threshold`. The others against their own first 500
    values.
    Agreement that was below the threshold from its start is told apart: a change needs a before.
    Each series raises a false alarm once in 5,000 observations or more, on average; with many
    series, expect proportionally more.
    """
    tables = tables_of(source)
    rows = [*_agreement(tables, threshold, last), *_calls(tables, last)]
    columns = (
        "task_type", "model", "metric", "direction", "observations", "allowed", "observed",
        "alarmed", "alarm_at", "changed_at", "mean_run", "finding",
    )  # fmt: skip
    return DriftReport(pd.DataFrame(rows, columns=list(columns)))


def _agreement(tables: Tables, threshold: float, last: int) -> Iterator[dict[str, Any]]:
    pairs = tables.comparisons.filter(tables.comparisons.status.isin(["complete", "shadow_failed"]))
    judged = judged_pairs(_newest(pairs, "created_at", ["task_type", "shadow_alias"], last))
    main = judged[~judged["is_noise"]]
    for (task_type, alias), group in main.groupby(["task_type", "shadow_alias"]):
        evidence = evidence_of(group, "agreement").rows
        found = detect(1 - evidence["agreement"], 1 - threshold, metric="agreement")
        yield _row(task_type, alias, "down", found, evidence["created_at"])
        best = evidence_of(group)
        if best.is_quality:
            scaled, bar = betting_scale(best.rows["value"].to_numpy(), best.basis, 1 - threshold)
            found = detect(1 - scaled, 1 - bar, metric=best.basis)
            yield _row(task_type, alias, "down", found, best.rows["created_at"])


def _calls(tables: Tables, last: int) -> Iterator[dict[str, Any]]:
    calls = intact_calls(tables.attempts).mutate(
        model=lambda row: row.model_actual.fill_null(row.model_requested),
        chars_per_token=lambda row: row.prompt_chars / row.tokens_in,
    )
    keys = ["task_type", "model"]
    wanted = calls.select(*keys, "started_at", "cost_usd", "latency_ms", "chars_per_token")
    history = frame_of(_newest(wanted, "started_at", keys, last)).sort_values("started_at", kind="stable")
    for (task_type, model), group in history.groupby(keys):
        for metric, direction in _WATCHED:
            known = group[group[metric].notna()]
            found = detect_shift(known[metric], metric=metric, direction=direction)
            yield _row(task_type, model, direction, found, known["started_at"])


def _newest(table: Any, time: str, keys: list[str], last: int) -> Any:
    import ibis

    order = ibis.window(group_by=keys, order_by=ibis.desc(time))
    return table.mutate(age=ibis.row_number().over(order)).filter(lambda row: row.age < last).drop("age")


def _row(task_type: Any, model: Any, direction: str, found: Drift, times: pd.Series) -> dict[str, Any]:
    return {
        "task_type": task_type,
        "model": model,
        "metric": found.metric,
        "direction": direction,
        "observations": found.observations,
        "allowed": found.allowed,
        "observed": found.observed,
        "alarmed": found.alarmed,
        "alarm_at": times.iloc[found.alarm_at - 1] if found.alarm_at else pd.NaT,
        "changed_at": times.iloc[found.changed_at - 1] if found.changed_at else pd.NaT,
        "mean_run": found.mean_run,
        "finding": FROM_START if found.from_start else CHANGED if found.alarmed else "",
    }

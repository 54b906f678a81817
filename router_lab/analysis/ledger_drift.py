"""Drift over the columns of a ledger: quality or likeness, cost, characters per token, latency."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from router_lab import arguments
from router_lab.analysis.evidence.ladder import Evidence
from router_lab.analysis.evidence.ladder import evidence as evidence_of
from router_lab.analysis.evidence.pairs import asked_basis, judged_pairs
from router_lab.analysis.evidence.quality import inspect
from router_lab.analysis.exit.runs import betting_scale, on_scale
from router_lab.analysis.ledger_tables import Source, answer_of, tables_of
from router_lab.analysis.metrics.grouping import joined
from router_lab.analysis.metrics.token_estimates import intact_calls
from router_lab.analysis.statistics.shift import Drift, detect, detect_shift
from router_lab.defaults import BASES, MARGIN
from router_lab.ledger.reading.tables import Tables
from router_lab.shown.wording import (
    basis_of,
    html_table,
    pairs_of,
    plain,
    plain_text,
)

CHANGED = "changed"
FROM_START = "below the bar from the start"
UNTOLD = "cannot be told yet"
LAST = 50_000

# Two weeks before a change and two since tell it from what comes and goes with the weekday.
_WATCHED_SECONDS = 28 * 86_400

_OF_CALLS = ("task_type", "model")
_WATCHED: tuple[tuple[str, Literal["up", "down"]], ...] = (
    ("cost_usd", "up"),
    ("latency_ms", "up"),
    ("chars_per_token", "down"),
    ("chars_per_token", "up"),
)


_COLUMNS = (
    "task_type", "model", "metric", "whose", "direction", "observations", "of_pairs", "allowed", "observed",
    "alarmed", "alarm_at", "changed_at", "mean_run", "finding", "warnings",
)  # fmt: skip

# Findings of the A/B that a series is not to be believed by.
_MISLEADING = ("selected_scores", "judge_by_chance", "mixed_comparators")


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What was watched. `frame`: task_type, model, metric, direction, observations, allowed, observed,
    alarmed, alarm_at and changed_at (times), mean_run (least expected observations between false alarms),
    finding: `changed`, `below the bar from the start` (alarmed, but there was nothing to change from:
    changed_at is empty), or nothing. Of pairs, `metric` is the basis they are watched by (one of
    `evidence.BASES`), `whose` scores or preference it is, `of_pairs` how many might have spoken, and
    `warnings` what is wrong with them, and of calls why a step cannot be told from a daily or weekly cycle
    yet: too little came before it and since; `observed` and `allowed` are of 1 less what is bet on (see
    `runs.betting_scale`).
    """

    frame: pd.DataFrame = field(repr=False)

    def __repr__(self) -> str:
        changes, low = self.changed, self.below_from_start
        heading = f"Drift: {len(changes) or 'none'} {'of' if len(changes) else 'in'} {len(self.frame)} series"
        lines = [
            f"  {plain(row.task_type)} on {plain(row.model)}: {since_about(row)}{_noted(row)}"
            for row in changes.itertuples()
        ]
        lines += [
            f"  {plain(row.task_type)} on {plain(row.model)}: {since_about(row)} {UNTOLD}: "
            f"{plain_text(row.warnings)}"
            for row in self.untold.itertuples()
        ]
        lines += [
            f"  {plain(row.task_type)} on {plain(row.model)}: {watched(row)} {_scaled(row, 'observed')} over "
            f"{pairs_of(row.observations, row.of_pairs)}, {FROM_START} ({_scaled(row, 'allowed')}); no change"
            f"{_noted(row)}"
            for row in low.itertuples()
        ]
        return "\n".join([heading, f"  Pairs are watched by {self.bases}.", *lines])

    @property
    def bases(self) -> str:
        """What the pairs are watched by and on how many of how many of them, in words."""
        pairs = self.frame[self.frame["metric"].isin(BASES)]
        told: dict[str, list[str]] = {}
        for row in pairs.itertuples():
            on = pairs_of(row.observations, row.of_pairs)
            told.setdefault(plain(watched(row)), []).append(f"{plain(row.task_type)} ({on})")
        named = (f"{by}: {', '.join(of)}" for by, of in sorted(told.items()))
        return "; ".join(named) or "nothing: there are none"

    @property
    def changed(self) -> pd.DataFrame:
        """The series that changed."""
        return self.frame[self.frame["finding"] == CHANGED]

    @property
    def untold(self) -> pd.DataFrame:
        """The series of calls with a step that may be of the hour or the weekday: no change yet."""
        return self.frame[self.frame["finding"] == UNTOLD]

    @property
    def below_from_start(self) -> pd.DataFrame:
        """The series of pairs that never were at the bar: a matter for the verdict, not a change."""
        return self.frame[self.frame["finding"] == FROM_START]

    def _repr_html_(self) -> str:
        return html_table(self.frame, "Drift")


def drift(
    source: Source,
    *,
    margin: float = MARGIN,
    last: int = LAST,
    basis: str | None = None,
    scored_by: str | None = None,
) -> DriftReport:
    """Watch the newest `last` calls and pairs of each task type and model of a ledger.

    Where more calls came in the newest four weeks, every second, fourth, eighth ... of them is watched.
    Pairs are watched by the best evidence that each type has (see `ab`), and by their agreement besides,
    which is there when nobody scores any more; `basis` has them watched by one alone, `scored_by` chooses
    whose scores. They are held against a loss of `margin` (the exit's own), agreement thus against
    1 - `margin`; costs, latencies and characters per token against their own first 500 values: a step of
    these that may be of the hour or the weekday, for no whole day or week was seen before it or since, is
    `untold`. What was below the bar from its start is told apart: a change needs a before. Each series raises
    a false alarm once in 5,000 observations or more, on average; with many series, expect proportionally
    more. A level unlike any before it is a change while it lasts, though it may go again. Raises
    `ConfigError` for an unknown basis or scorer.
    """
    arguments.share("margin", margin)
    arguments.whole("last", last)
    tables = tables_of(source)
    basis = asked_basis(tables, basis, scored_by)
    return drift_of(tables, judged_pairs(tables, basis=basis, scored_by=scored_by), margin, last, basis)


def drift_of(
    tables: Tables, pairs: pd.DataFrame, margin: float = MARGIN, last: int = LAST, basis: str | None = None
) -> DriftReport:
    """`drift` where the ledger's pairs have been read and judged."""
    rows = [*_pairs(pairs, margin, last, basis), *_calls(tables, last)]
    return DriftReport(pd.DataFrame(rows, columns=list(_COLUMNS)))


def since_about(row: Any) -> str:
    """What a series does, and since when, in words."""
    return f"{watched(row)} {row.direction} since about {row.changed_at:%Y-%m-%d %H:%M} UTC"


def watched(row: Any) -> str:
    """What one series of a `DriftReport` is of, in words."""
    return basis_of(row.metric, row.whose) if row.metric in BASES else row.metric.replace("_", " ")


def _pairs(judged: pd.DataFrame, margin: float, last: int, basis: str | None) -> Iterator[dict[str, Any]]:
    for task_type, group in judged.groupby("task_type"):
        main = group[~group["is_noise"]]
        for alias, own in main.groupby("shadow_alias", observed=True):
            # The shadow of a noise pair is the primary itself.
            noise = group[group["is_noise"] & group["request_id"].isin(own["request_id"])]
            newest = pd.concat([own.tail(last), noise]).sort_index()
            best = evidence_of(newest, basis)
            yield _series(task_type, alias, newest, best, margin)
            if basis is None and best.basis != "agreement":
                yield _series(task_type, alias, newest, evidence_of(newest, "agreement"), margin)


def _series(
    task_type: Any, alias: Any, group: pd.DataFrame, found: Evidence, margin: float
) -> dict[str, Any]:
    rows = found.rows
    scaled, bar = betting_scale(rows["value"].to_numpy(), found.basis, margin)
    seen = detect(1 - scaled, 1 - bar, metric=found.basis)
    refused = [one.message for one in inspect(group, found, None) if one.code in _MISLEADING]
    of_pairs = {"whose": found.whose, "of_pairs": found.of, "warnings": "; ".join(refused)}
    return {**_row(task_type, alias, "down", seen, rows["created_at"]), **of_pairs}


def newest_calls(tables: Tables, last: int) -> Any:
    """The newest `last` calls of each task type and model, with what is watched of them, as an Ibis table."""
    calls = intact_calls(tables.attempts).mutate(
        model=lambda row: row.model_actual.fill_null(row.model_requested),
        chars_per_token=lambda row: row.prompt_chars / row.tokens_in,
    )
    wanted = calls.select(*_OF_CALLS, "started_at", "cost_usd", "latency_ms", "chars_per_token")
    return _newest(wanted, "started_at", list(_OF_CALLS), last)


def _calls(tables: Tables, last: int) -> Iterator[dict[str, Any]]:
    history = answer_of(tables, newest_calls, last).to_pandas(date_as_object=False)
    history = history.sort_values("started_at", kind="stable")
    for (task_type, model), group in history.groupby(list(_OF_CALLS)):
        for metric, direction in _WATCHED:
            known = group[group[metric].notna()]
            days = (known["started_at"] - known["started_at"].min()) / pd.Timedelta(days=1)
            found = detect_shift(known[metric], metric=metric, direction=direction, days=days)
            yield _row(task_type, model, direction, found, known["started_at"])


def _newest(table: Any, time: str, keys: list[str], last: int) -> Any:
    """The newest `last` rows of each key, or of more that four weeks have every second, fourth, eighth ...

    Which one that is goes by how many came before it: a row once left out stays out.
    """
    import ibis

    moment = table[time].epoch_seconds()
    ends = table.group_by(keys).aggregate(newest=moment.max(), total=table.count())
    placed = joined(table, ends, keys)
    counts = placed.group_by(keys).aggregate(
        recent=(placed[time].epoch_seconds() > placed.newest - _WATCHED_SECONDS).sum()
    )
    every = (2 ** ibis.greatest((counts.recent / last).log2().ceil(), 0)).cast("int64")
    placed = joined(placed, counts.mutate(every=every), keys)
    number = ibis.row_number().over(ibis.window(group_by=keys, order_by=placed[time]))
    kept = placed.mutate(number=number).filter(
        lambda row: (row.number % row.every == 0) & (row.number >= row.total - last * row.every)
    )
    return kept.select(*table.columns)


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
        "finding": _finding(found),
        "whose": "",
        "of_pairs": found.observations,
        "warnings": found.untold,
    }


def _finding(found: Drift) -> str:
    if found.from_start:
        return FROM_START
    if found.untold:
        return UNTOLD
    return CHANGED if found.alarmed else ""


def _scaled(row: Any, name: str) -> str:
    """What was bet on, in words: agreement as it is, a difference in points."""
    return on_scale(1 - getattr(row, name), row.metric)


def _noted(row: Any) -> str:
    return f". Note: {plain_text(row.warnings)}" if row.warnings else ""

"""One file a manager can read: verdicts, saving, risk, spend, truncation and data quality.

Self-contained HTML with inline pictures and no scripts, or JSON for machines. Aggregates only: no
prompt and no output is in it, unless examples are asked for.
"""

from __future__ import annotations

import json
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from router_lab import arguments
from router_lab.analysis import metrics
from router_lab.analysis.ab_verdict import AbResult, ab
from router_lab.analysis.evidence.pairs import asked_basis, judged_pairs
from router_lab.analysis.exit.decision import EXIT_PLAN, ExitPlan
from router_lab.analysis.exit.monitor import MonitorResult, clusters_of, kept_for, monitor, watched_rows
from router_lab.analysis.exit.watches import newest_watches
from router_lab.analysis.ledger_drift import drift_of
from router_lab.analysis.ledger_tables import (
    Source,
    frame_answered,
    switch_history,
    tables_of,
    watch_history,
)
from router_lab.analysis.metrics.other_prices import settings_of
from router_lab.analysis.plain_columns import history
from router_lab.analysis.reports.answers import Verdict, verdict_of
from router_lab.analysis.reports.findings import Findings
from router_lab.analysis.reports.page import page
from router_lab.analysis.reports.pictures import Here, Pictures
from router_lab.analysis.reports.report_scope import example_pairs, name_of, period_of
from router_lab.defaults import ALPHA
from router_lab.errors import ConfigError
from router_lab.ledger.reading.tables import Tables
from router_lab.private_files import make_folders, write_text
from router_lab.settings import Settings

_MOST_ALIASES = 3


class Report(Findings):
    """Everything the report says, as data. `write` puts it into a file."""

    __slots__ = ()

    def html(self) -> str:
        """The page. Everything that came from a ledger is escaped."""
        return page(self)

    def as_json(self) -> str:
        """The same figures for machines; NaN and infinity are null."""
        tables = {name: _records(frame) for name, frame in self.frames.items()}
        return json.dumps(
            {
                "title": self.title,
                "made_at": self.made_at.isoformat(),
                "ledger": self.ledger,
                "answers": _records(self.answers.frame()),
                "verdicts": _records(self.verdicts.frame),
                "monitor": _records(self.standing.frame),
                "drift": _records(self.drift.frame),
                **tables,
            },
            indent=2,
            allow_nan=False,
        )

    def write(self, path: str | Path, format: Literal["html", "json"] | None = None) -> Path:  # noqa: A002 - the CLI's word
        """Write it; the format follows the suffix unless given. Raises `ConfigError` for another one,
        and where it cannot be written.
        """
        target = Path(path)
        chosen = format or target.suffix.removeprefix(".")
        if chosen not in ("html", "json"):
            raise ConfigError(f"{target}: a report is .html or .json; pass format= for another ending")
        text = self.html() if chosen == "html" else self.as_json()
        try:
            make_folders(target.parent)
            write_text(target, text)
        except OSError as error:
            raise ConfigError(f"{target}: the report cannot be written ({error})") from error
        return target

    def __repr__(self) -> str:
        return f"Report {self.title!r}\n{self.answers!r}\n{self.verdicts!r}\n{self.standing!r}"

    def _repr_html_(self) -> str:
        return self.answers._repr_html_() + self.verdicts._repr_html_() + self.standing._repr_html_()


def report(
    source: Source,
    *,
    plan: ExitPlan | None = None,
    margin: float | None = None,
    alpha: float = ALPHA,
    basis: str | None = None,
    scored_by: str | None = None,
    title: str = "router_lab report",
    pictures: bool | Executor = True,
    examples: int = 0,
    config: Settings | str | PathLike[str] | None = None,
    switch_events: pd.DataFrame | None = None,
    now: datetime | None = None,
) -> Report:
    """Gather a report from a ledger; see `ab` for `margin`, `alpha`, `basis` and `scored_by`, `monitor` for
    `plan` and `switch_events`.

    `examples` of each task type are shown: pairs whose answers are least alike, prompt and both answers.
    `pictures` may be an executor of `concurrent.futures`, such as a `ProcessPoolExecutor`, which draws them
    while the rest is worked out. With a `config`, what the calls would have cost on each of its models
    (`reprice`). One loss is accepted throughout: `margin` by default follows from the plan, and a plan from
    `margin`.
    Raises `ConfigError` for what is no ledger, `LedgerError` for one that cannot be read.
    """
    arguments.text("title", title)
    arguments.whole("examples", examples, 0)
    moment = _checked(plan, margin, alpha, switch_events, now)
    settings = None if config is None else settings_of(config)
    drawing = _drawing(pictures)
    tables = tables_of(source)
    asked = asked_basis(tables, basis, scored_by)
    found = _judge(tables, plan, margin, alpha, asked, scored_by, switch_events, moment, drawing)
    drawing.of_calls(tables)
    frames = {
        "spend_by_cause": metrics.spend(tables, by="cause"),
        "spend_by_task_type": metrics.spend(tables, by=("task_type", "model")),
        "savings": found.savings,
        "truncation": metrics.truncation(tables),
        "truncation_by_signal": metrics.truncation_by_signal(tables),
        "flip_rate": metrics.flip_rate(tables),
        "rates": metrics.rates(tables),
        "pair_status": _statuses(found.pairs),
        "sides": found.sides,
        "models": metrics.spend(tables, by=("provider", "model", "model_alias", "cost_source")),
        "period": period_of(tables),
    }
    if settings is not None:
        frames["repriced"] = metrics.reprice(tables, settings, by=(), now=moment)
    if examples:
        frames["examples"] = example_pairs(tables, examples)
    watched = drift_of(tables, found.pairs, found.standing.plan.margin(), basis=found.basis)
    return Report(
        title,
        moment,
        found.answers,
        found.judged,
        found.standing,
        frames,
        watched,
        drawing.drawn(),
        name_of(source),
    )


def verdict(
    source: Source,
    *,
    plan: ExitPlan | None = None,
    margin: float | None = None,
    alpha: float = ALPHA,
    basis: str | None = None,
    scored_by: str | None = None,
    switch_events: pd.DataFrame | None = None,
    now: datetime | None = None,
) -> Verdict:
    """May we replace it? Per task type the answer in words, on what evidence, what it saves, what is missing.

    The same answers as the report begins with, without its other tables and pictures: `ab`'s verdict, where
    the exit stands, and the saving. Arguments and errors are those of `report`.
    """
    moment = _checked(plan, margin, alpha, switch_events, now)
    tables = tables_of(source)
    asked = asked_basis(tables, basis, scored_by)
    none = Pictures(None)
    return _judge(tables, plan, margin, alpha, asked, scored_by, switch_events, moment, none).answers


def _drawing(pictures: bool | Executor) -> Pictures:
    """Pictures drawn by whom is asked to."""
    if isinstance(pictures, Executor):
        return Pictures(pictures)
    return Pictures(Here() if arguments.flag("pictures", pictures) else None)


def _checked(plan: Any, margin: Any, alpha: Any, switch_events: Any, now: Any) -> datetime:
    """What both take, and the moment of the look."""
    arguments.optional(arguments.instance, "plan", plan, ExitPlan, EXIT_PLAN)
    arguments.optional(arguments.share, "margin", margin)
    arguments.error_rate("alpha", alpha)
    history("switch_events", switch_events)
    return datetime.now(UTC) if now is None else arguments.moment("now", now)


@dataclass(frozen=True, slots=True)
class _ReportEvidence:
    """What the answers rest on, all of the same pairs."""

    pairs: pd.DataFrame
    basis: str | None
    judged: AbResult
    standing: MonitorResult
    savings: pd.DataFrame
    sides: pd.DataFrame
    called: tuple[str, ...]

    @property
    def answers(self) -> Verdict:
        return verdict_of(self.judged, self.standing, self.savings, self.sides, self.called)


def _judge(
    tables: Tables,
    asked: ExitPlan | None,
    margin: float | None,
    alpha: float,
    basis: str | None,
    scored_by: str | None,
    switch_events: pd.DataFrame | None,
    moment: datetime,
    drawing: Pictures,
) -> _ReportEvidence:
    # Without a plan asked for, those of the ledger's watches go on, and their verdicts stay.
    plan = asked or (ExitPlan() if margin is None else _plan_of(margin))
    watches = watch_history(tables)
    kept_watches = newest_watches(watches)
    clusters = clusters_of(kept_watches)
    pairs = judged_pairs(tables, keep=kept_for(clusters), basis=basis, scored_by=scored_by)
    accepted = plan.margin() if margin is None else margin
    standing = monitor(
        watched_rows(pairs, tables, kept_watches if scored_by is None else {}, clusters, basis),
        asked,
        basis=basis,
        switch_events=switch_history(tables) if switch_events is None else switch_events,
        watches=watches,
        default_plan=plan,
        now=moment,
    )
    drawing.of_standing(standing)
    judged = ab(pairs, margin=accepted, alpha=alpha, basis=basis, watches=watches)
    drawing.of_verdicts(judged)
    savings = metrics.savings(tables)
    return _ReportEvidence(pairs, basis, judged, standing, savings, _sides(pairs), _called(tables))


def _plan_of(margin: float) -> ExitPlan:
    return ExitPlan(threshold=1 - margin)


def _called(tables: Tables) -> tuple[str, ...]:
    """Every task type with a call of its own, compared or not."""
    return tuple(frame_answered(tables, _called_types)["task_type"].dropna().astype(str))


def _called_types(tables: Any) -> Any:
    calls = tables.attempts.filter(~tables.attempts.is_shadow)
    return calls.select("task_type").distinct()


def _statuses(pairs: pd.DataFrame) -> pd.DataFrame:
    counted = pairs.groupby(["task_type", "status"], observed=True).size()
    return counted.rename("pairs").reset_index().astype({"task_type": "str", "status": "str"})


def _sides(pairs: pd.DataFrame) -> pd.DataFrame:
    """Who was compared, per task type: task_type, primary, shadow (aliases, several with commas between)."""
    main = pairs[~pairs["is_noise"].fillna(False).astype(bool)].sort_values("created_at", kind="stable")
    sides = main.groupby("task_type")[["primary_alias", "shadow_alias"]].agg(_aliases).reset_index()
    return sides.set_axis(["task_type", "primary", "shadow"], axis=1).astype("str")


def _aliases(column: pd.Series) -> str:
    """The aliases of a side, the last compared first; of many the number of the others."""
    names = list(dict.fromkeys(column.dropna().astype(str).iloc[::-1]))
    shown = ", ".join(names[:_MOST_ALIASES])
    more = len(names) - _MOST_ALIASES
    return f"{shown} and {more} more" if more > 0 else shown


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    text = frame.to_json(orient="records", date_format="iso", double_precision=15)
    records: list[dict[str, Any]] = json.loads(text or "[]")
    return records

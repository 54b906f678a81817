"""Any token estimator, replayed over history: what it would have said, and how it would have learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import ibis
import numpy as np
import pandas as pd
from typing_extensions import override

from router_lab import arguments
from router_lab.analysis.ledger_tables import Source, answer_of, tables_of
from router_lab.analysis.metrics.token_estimates import intact_calls
from router_lab.counted import counted
from router_lab.router.attempts.tokens import (
    Calibrator,
    Features,
    Sample,
    features,
)
from router_lab.settings.models import TokenEstimation
from router_lab.shown.wording import html_table

_NEAR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class PastCall:
    """One call of the past. `prompt` holds counts of its text, or of its length alone if it was not kept."""

    task_type: str
    model: str
    prompt: Features
    tokens_in: int


class ReplayEstimator(Protocol):
    """What can be replayed: it estimates each call before it learns from it."""

    def estimate(self, call: PastCall) -> float:
        """Input tokens; `call.tokens_in` must not be looked at."""

    def learn(self, call: PastCall) -> None:
        """Take note of what was counted."""


@dataclass(frozen=True, slots=True)
class Constant(ReplayEstimator):
    """Always the same characters per token."""

    chars_per_token: float = 4.0

    @override
    def estimate(self, call: PastCall) -> float:
        return float(np.ceil(call.prompt.chars / self.chars_per_token))

    @override
    def learn(self, call: PastCall) -> None:
        pass


class CalibratedEstimator(ReplayEstimator):
    """The router's own estimators under any settings, started fresh."""

    def __init__(self, settings: TokenEstimation | None = None) -> None:
        arguments.optional(
            arguments.instance, "settings", settings, TokenEstimation, "a TokenEstimation, or None"
        )
        self._states: dict[str, bytes] = {}
        self._calibrator = Calibrator(settings or TokenEstimation(), self._states.get)

    @override
    def estimate(self, call: PastCall) -> float:
        return self._calibrator.estimate(call.model, call.task_type, call.prompt).tokens

    @override
    def learn(self, call: PastCall) -> None:
        observed = Sample(call.tokens_in)
        for key, fold in self._calibrator.folds(call.model, call.task_type, call.prompt, observed):
            self._states[key] = fold(self._states.get(key))


@dataclass(frozen=True, slots=True)
class EstimatorReplay:
    """A replay. `calls` has one row per call in time order: task_type, model, estimator, at, chars,
    tokens_in, estimate, divisor (characters per estimated token), missed, excess (estimate / counted
    - 1). `frame` sums up per estimator, task type and model.
    """

    calls: pd.DataFrame = field(repr=False)

    @property
    def frame(self) -> pd.DataFrame:
        """Calls, miss_rate, worst_500 (miss rate of the worst 500 in a row), mean_excess, last_divisor."""
        keys = ["estimator", "task_type", "model"]
        groups = self.calls.groupby(keys, sort=True, dropna=False)
        summed = groups.agg(
            calls=("missed", "size"),
            miss_rate=("missed", "mean"),
            worst_500=("missed", _worst_500),
            mean_excess=("excess", "mean"),
            last_divisor=("divisor", "last"),
        )
        return summed.reset_index()

    def __repr__(self) -> str:
        total = self.calls.groupby("estimator", sort=True).agg(
            calls=("missed", "size"), missed=("missed", "mean"), excess=("excess", "mean")
        )
        lines = [
            f"  {name}: {counted(row.calls, 'calls')}, {row.missed:.2%} underestimated, "
            f"{row.excess:+.0%} on average"
            for name, row in total.iterrows()
        ]
        return (
            "\n".join(["Estimators replayed:", *lines]) if lines else "Estimators replayed: no usable calls"
        )

    def _repr_html_(self) -> str:
        return html_table(self.frame, "Estimators replayed")


def replay_estimators(
    source: Source, estimators: Mapping[str, ReplayEstimator] | None = None, *, last: int = 20_000
) -> EstimatorReplay:
    """Run estimators over the newest `last` intact calls, oldest first, each estimated before it is learnt.

    Default: `recorded` (what was decided with then), `constant_4`, `ema`, `coverage`. Where the
    prompt's text was not kept, character classes are unknown and its length stands for them.
    """
    arguments.whole("last", last)
    if estimators is not None:
        of = "estimators by name, such as {'ema': rl.analysis.CalibratedEstimator()}"
        if not isinstance(estimators, Mapping):
            raise arguments.wrong("estimators", estimators, of)
        for name, one in estimators.items():
            if not isinstance(name, str) or not (hasattr(one, "estimate") and hasattr(one, "learn")):
                raise arguments.wrong("estimators", estimators, of)
    history = _history(tables_of(source), last)
    past = [_past_call(row) for row in history.to_dict("records")]
    chosen = default_estimators() if estimators is None else estimators
    answers = {name: _replayed(one, past) for name, one in chosen.items()}
    if estimators is None:
        answers = {"recorded": history["estimated_tokens_in"].to_numpy(np.float64), **answers}
    return EstimatorReplay(_calls(history, answers))


def _history(tables: Any, last: int) -> pd.DataFrame:
    """The newest `last` intact calls, oldest first."""
    # Of most ledgers they are of one day: the other files are then never read.
    (newest,) = answer_of(tables, _newest_at)["newest"].to_pylist()
    since = None if newest is None else newest - _NEAR
    if since is not None and answer_of(tables, _calls_since, since)["calls"][0].as_py() < last:
        since = None
    found = answer_of(tables, _newest_calls, last, since).to_pandas(date_as_object=False)
    return found.sort_values(["at", "attempt_id"], ignore_index=True)


def _newest_at(tables: Any) -> Any:
    return tables.attempts.aggregate(newest=tables.attempts.started_at.max())


def _calls_since(tables: Any, since: datetime) -> Any:
    calls = _intact_since(tables, since)
    return calls.aggregate(calls=calls.count())


def _newest_calls(tables: Any, last: int, since: datetime | None) -> Any:
    calls = _intact_since(tables, since)
    newest = calls.order_by(calls.started_at.desc(), calls.attempt_id.desc()).limit(last)
    return newest.select(
        "task_type",
        "attempt_id",
        "prompt",
        "tokens_in",
        "estimated_tokens_in",
        model=newest.model_actual.fill_null(newest.model_requested),
        at=newest.started_at,
        chars=newest.prompt_chars,
    )


def _intact_since(tables: Any, since: datetime | None) -> Any:
    calls = intact_calls(tables.attempts)
    return calls if since is None else calls.filter(calls.started_at >= ibis.timestamp(since))


def default_estimators() -> dict[str, ReplayEstimator]:
    """The two the router offers, with their default settings, and four characters per token."""
    return {
        "constant_4": Constant(4.0),
        "ema": CalibratedEstimator(TokenEstimation(estimator="ema")),
        "coverage": CalibratedEstimator(TokenEstimation(estimator="coverage")),
    }


def _worst_500(missed: pd.Series) -> float:
    return float(missed.rolling(500, min_periods=min(500, len(missed))).mean().max())


def _past_call(row: Mapping[Any, Any]) -> PastCall:
    text, chars = row["prompt"], int(row["chars"])
    # A redacted prompt is a hash of another length; only the text itself has the classes.
    kept = isinstance(text, str) and len(text) == chars
    prompt = features(text) if kept else Features(chars=chars, utf8_bytes=4 * chars, letters=chars)
    return PastCall(str(row["task_type"]), str(row["model"]), prompt, int(row["tokens_in"]))


def _replayed(estimator: ReplayEstimator, past: list[PastCall]) -> Any:
    answers = np.empty(len(past))
    for position, call in enumerate(past):
        answers[position] = estimator.estimate(call)
        estimator.learn(call)
    return answers


def _calls(history: pd.DataFrame, answers: Mapping[str, Any]) -> pd.DataFrame:
    base = history[["task_type", "model", "at", "chars", "tokens_in"]]
    parts = [base.assign(estimator=name, estimate=estimate) for name, estimate in answers.items()]
    calls = pd.concat(parts, ignore_index=True) if parts else base.assign(estimator="", estimate=0.0).head(0)
    calls["divisor"] = calls["chars"] / calls["estimate"]
    calls["missed"] = calls["tokens_in"] > calls["estimate"]
    calls["excess"] = calls["estimate"] / calls["tokens_in"] - 1
    return calls

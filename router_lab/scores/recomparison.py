"""Stored pairs compared again by another comparator, without calling primary or shadow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from router_lab import arguments
from router_lab.errors import ConfigError
from router_lab.router.comparators.compare import (
    Comparator,
    Judge,
    Pair,
    compare,
)
from router_lab.router.comparators.compare import comparator as comparator_called
from router_lab.scores.judging import judge_stored, plan_judging
from router_lab.scores.stored_answers import ANSWERS, below, read_pair, rows_of

if TYPE_CHECKING:
    from router_lab.ledger import Ledger
    from router_lab.router import Router

_NEEDED = ("comparison_id", "task_type", "status", "primary_output", "shadow_output")
_KEPT = ("comparator", "agreement", "is_noise", "switch_epoch", "sample_probability", "input_hash")
_COLUMNS = [*dict.fromkeys((*_NEEDED, *ANSWERS, *_KEPT))]


def recompare(
    source: Ledger | pd.DataFrame | str | Path,
    comparator: str,
    options: Mapping[str, Any] | None = None,
    *,
    task_type: str | None = None,
    router: Router | None = None,
) -> pd.DataFrame:
    """Compare the answers stored in `source` (a ledger, its path, or a frame of comparisons) again.

    One row per stored pair, `task_type` and what is below it only: `comparison_id`, `task_type`, `status`,
    `primary_ending`, `shadow_ending`, `is_noise`, `switch_epoch`, `sample_probability`, `input_hash`, the
    stored `old_comparator` and `old_agreement`, the new `comparator`, `agreement` (in [0, 1] or missing)
    and `reason`, and `skipped`, which says why a pair could not be compared again (missing when it was).
    Nothing is written to the ledger.

    `judge` alone asks a model, and needs a `router` whose ledger is `source`: see
    `judging.judge_stored` for what it asks, what that may cost, and what it writes.

    Raises `ConfigError` for an unknown comparator or option, for `judge` without a router, and for a
    frame without the columns it needs.
    """
    if task_type is not None:
        arguments.text("task_type", task_type, "a task type, or None for all")
    arguments.text("comparator", comparator, "a comparator's name, such as 'text'")
    chosen = comparator_called(comparator, options)
    if isinstance(chosen, Judge):
        return judge_stored(plan_judging(source, chosen, router, task_type=task_type))
    stored = below(_stored(source), task_type)
    verdicts = [_again(chosen, read_pair(status, answers)) for status, *answers in rows_of(stored)]
    renamed = stored.rename(columns={"comparator": "old_comparator", "agreement": "old_agreement"})
    found = pd.DataFrame(verdicts, columns=["agreement", "reason", "skipped"], index=stored.index)
    again = renamed.drop(columns=list(ANSWERS[:4])).assign(
        comparator=comparator,
        agreement=found["agreement"].astype("float64"),
        reason=found["reason"].astype(object),
        skipped=found["skipped"].astype(object),
    )
    return again.reset_index(drop=True)


def summary(again: pd.DataFrame) -> pd.DataFrame:
    """`recompare()`'s rows by task type, noise pairs left out.

    `compared` of `pairs` were compared again; `old_agreement` and `agreement` are means over the
    `both` of them that have an agreement by either comparator, `changed` counts those that differ. Raises
    `ConfigError` for another frame.
    """
    if not isinstance(again, pd.DataFrame) or not {"is_noise", "skipped", "old_agreement"} <= set(again):
        raise arguments.wrong("again", again, "the frame that rl.recompare(...) gave")
    own = again[~again["is_noise"]]
    compared = own["skipped"].isna()
    both = compared & own["agreement"].notna() & own["old_agreement"].notna()
    rows = own.assign(
        compared=compared,
        both=both,
        old_agreement=own["old_agreement"].where(both),
        agreement=own["agreement"].where(both),
        changed=both & ((own["agreement"] - own["old_agreement"]).abs() > 1e-9),
    )
    grouped = rows.groupby("task_type", sort=True)
    table: pd.DataFrame = grouped.agg(
        pairs=("comparison_id", "count"),
        compared=("compared", "sum"),
        both=("both", "sum"),
        old_agreement=("old_agreement", "mean"),
        agreement=("agreement", "mean"),
        changed=("changed", "sum"),
    ).reset_index()
    return table


def _again(chosen: Comparator, found: Pair | str) -> tuple[float | None, str, str | None]:
    """The new agreement, its reason, and why there is none."""
    if isinstance(found, str):
        return None, "", found
    verdict = compare(chosen, found)
    return (
        verdict.agreement,
        verdict.reason,
        f"the comparator failed: {verdict.reason}" if verdict.failed else None,
    )


def _stored(source: Any) -> pd.DataFrame:
    if isinstance(source, str | Path):
        from router_lab.ledger import Ledger

        source = Ledger(source)
    if hasattr(source, "comparisons"):
        frame: pd.DataFrame = source.comparisons(columns=_COLUMNS)
        return frame
    if not isinstance(source, pd.DataFrame):
        raise ConfigError(
            f"cannot compare a {type(source).__name__} again; give a Ledger, the path of one, or a frame "
            "like ledger.comparisons()"
        )
    absent = [name for name in _NEEDED if name not in source.columns]
    if absent:
        raise ConfigError(f"the frame has no column {absent[0]!r}; it needs {', '.join(_NEEDED)}")
    frame = source.reindex(columns=_COLUMNS)
    return frame.assign(
        agreement=pd.to_numeric(frame["agreement"], errors="coerce"),
        is_noise=[flag is True or flag == 1 for flag in frame["is_noise"]],
    )

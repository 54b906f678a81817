"""Comparisons as rows that can be judged: what counts, as what, and what is left out and why.

A shadow that failed is an outcome (it agrees with nothing), not a missing value. A primary that
failed, fell back or was truncated is no reference, so its pair is left out and counted. A verdict
the comparator could not give is unscored, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from router_lab.analysis.tables import ACCEPTED, frame_of, tables_if_any
from router_lab.errors import ConfigError

USE_OF_STATUS = {
    "complete": "scored",
    "shadow_failed": "shadow_failed",
    "primary_truncated": "truncated",
    "primary_failed": "no_primary",
    "primary_fell_back": "no_primary",
    "both_failed": "no_primary",
    "comparator_error": "unscored",
    "unknown": "unscored",
    "budget": "dropped",
    "queue_full": "dropped",
    "breaker_open": "dropped",
    "cancelled": "dropped",
    "off": "not_run",
    "not_sampled": "not_run",
}

# Few values over many rows: as categories they are told apart at once.
_USES = pd.CategoricalDtype(sorted(set(USE_OF_STATUS.values())))

_DEFAULTS: dict[str, Any] = {
    "comparison_id": "",
    "status": "complete",
    "comparator": "",
    "agreement": np.nan,
    "is_noise": False,
    "sample_probability": 1.0,
    "switch_epoch": 0,
    "primary_alias": "",
    "shadow_alias": "",
    "primary_model": None,
    "shadow_model": None,
    "primary_score": np.nan,
    "shadow_score": np.nan,
    "primary_cost_usd": np.nan,
    "shadow_cost_usd": np.nan,
    "primary_unknown_usd": 0.0,
    "shadow_unknown_usd": 0.0,
    "primary_latency_ms": np.nan,
    "shadow_latency_ms": np.nan,
}


# Oldest first, and the same for every engine.
_ORDER = ("created_at", "comparison_id")


def judged_pairs(
    pairs: Any, by: str = "task_type", keep: Sequence[str] = (), *, basis: str | None = None
) -> pd.DataFrame:
    """A tidy copy of `pairs`, oldest first: those of a ledger (a `Ledger`, its path or its tables), or a
    frame, an Ibis table or a mapping of columns.

    A ledger's costs are what was billed, with `_unknown_usd` beside them, and with `basis="scores"` its
    scores are looked up; columns are taken as they are. Needs `by` and either `agreement` or both
    `primary_score` and `shadow_score`, all in [0, 1]; other columns of the `comparisons` table are used
    when present. `keep` names further columns to carry along. Adds `use` (scored, shadow_failed,
    truncated, no_primary, unscored, dropped, not_run), `agreement` set to 0 where the shadow failed, and
    `scored_sides`, whether each side has a score of its own. Raises `ConfigError` naming a missing
    column, or what is accepted.
    """
    wanted = [by, "request_id", "input_hash", "created_at", *_DEFAULTS, *keep]
    frame, is_sorted = _as_frame(pairs, wanted, basis)
    _require(frame, by)
    rows = frame[[column for column in dict.fromkeys(wanted) if column in frame]].copy()
    for column, default in _DEFAULTS.items():
        if column not in rows:
            rows[column] = default
    numbers = [name for name, default in _DEFAULTS.items() if isinstance(default, float)]
    rows[numbers] = rows[numbers].apply(pd.to_numeric, errors="coerce").astype(np.float64)
    rows["is_noise"] = rows["is_noise"].fillna(False).astype(bool)
    for column in ("request_id", "input_hash"):
        if column not in rows:
            rows[column] = np.arange(len(rows)).astype(str)
    if "created_at" not in rows:
        rows["created_at"] = pd.NaT
    rows["created_at"] = pd.to_datetime(rows["created_at"], utc=True)
    if not is_sorted:
        rows = rows.sort_values(list(_ORDER), kind="stable", ignore_index=True)
    return _with_uses(rows)


def distinct_values(column: pd.Series) -> list[str]:
    """The distinct non-null values, as sorted text."""
    return sorted(str(value) for value in column.dropna().unique())


def _as_frame(pairs: Any, wanted: Sequence[str], basis: str | None) -> tuple[pd.DataFrame, bool]:
    """The columns wanted that there are, and whether they come oldest first."""
    if isinstance(pairs, pd.DataFrame):
        return pairs, False
    if (tables := tables_if_any(pairs)) is not None:
        # Not before: those who pass frames need no query engine.
        from router_lab.analysis.stored_pairs import billed_pairs, scored_pairs

        pairs = scored_pairs(tables) if basis == "scores" else billed_pairs(tables)
    if hasattr(pairs, "to_pyarrow"):
        found = pairs.select([name for name in dict.fromkeys(wanted) if name in pairs.columns])
        can_sort = set(_ORDER) <= set(found.columns)
        return frame_of(found.order_by(list(_ORDER)) if can_sort else found), can_sort
    try:
        return pd.DataFrame(pairs), False
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"pairs is a {type(pairs).__name__}; pass {ACCEPTED}; or pairs as a DataFrame, an Ibis table or "
            "a mapping of columns"
        ) from error


def _require(frame: pd.DataFrame, by: str) -> None:
    if by not in frame:
        raise ConfigError(
            f"pairs has no column {by!r}; it has {', '.join(map(str, frame.columns)) or 'none'}"
        )
    if "agreement" not in frame and not {"primary_score", "shadow_score"} <= set(frame.columns):
        raise ConfigError("pairs needs the column 'agreement', or both 'primary_score' and 'shadow_score'")


def _with_uses(rows: pd.DataFrame) -> pd.DataFrame:
    rows["use"] = rows["status"].map(USE_OF_STATUS).fillna("unscored").astype(_USES)
    rows["scored_sides"] = rows["primary_score"].between(0, 1) & rows["shadow_score"].between(0, 1)
    failed = rows["use"] == "shadow_failed"
    rows.loc[failed, "agreement"] = 0.0
    with_primary = failed & rows["primary_score"].between(0, 1)
    rows.loc[with_primary, "shadow_score"] = 0.0
    rows.loc[with_primary, "scored_sides"] = True
    usable = rows["agreement"].between(0, 1) | rows["scored_sides"]
    rows.loc[(rows["use"] == "scored") & ~usable, "use"] = "unscored"
    return rows


def evidence_rows(rows: pd.DataFrame, basis: str | None = None) -> tuple[pd.DataFrame, str]:
    """The rows of one group that speak, with `value` = shadow - reference in [-1, 1], and the basis.

    `scores`: each side's own score. `floor`: agreement less the agreement of the primary with itself
    on the same request. `agreement`: agreement less 1. By default the first that the rows have.
    """
    usable = rows[rows["use"].isin(["scored", "shadow_failed"])]
    main, noise = usable[~usable["is_noise"]], usable[usable["is_noise"]]
    if basis == "scores" or (basis is None and len(main) and bool(main["scored_sides"].all())):
        main = main[main["scored_sides"]]
        return main.assign(value=main["shadow_score"] - main["primary_score"]), "scores"
    main = main[main["agreement"].between(0, 1)]
    if basis == "floor" or (basis is None and len(noise)):
        floor = noise.drop_duplicates("request_id").set_index("request_id")["agreement"]
        value = main["agreement"] - main["request_id"].map(floor)
        known = value.notna()
        if basis == "floor" or bool(known.any()):
            return main[known].assign(value=value[known]), "floor"
    return main.assign(value=main["agreement"] - 1.0), "agreement"

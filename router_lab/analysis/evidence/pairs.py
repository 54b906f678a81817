"""Comparisons as rows that can be judged: what counts, as what, and what is left out and why.

A shadow that failed, or whose answer was cut, empty or refused, is an outcome (it agrees with nothing),
not a missing value. A primary that did is no reference, so its pair is left out and counted; so is one
that fell back or whose prompt was truncated. A verdict the comparator could not give is unscored, never 0.
A shadow that could not have worked (no such model, no key) says nothing of quality.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from router_lab import arguments
from router_lab.analysis.evidence.criteria import with_newest_criteria
from router_lab.analysis.evidence.ladder import KEPT_FOR, KINDS, PREFIX, SCORED, check_basis
from router_lab.analysis.ledger_tables import ACCEPTED, tables_if_any
from router_lab.analysis.plain_columns import (
    as_flags,
    as_numbers,
    as_times,
    check_told_apart,
    with_columns_once,
)
from router_lab.errors import ConfigError
from router_lab.ledger.content import hashed, is_hash
from router_lab.ledger.schema import COMPARISONS
from router_lab.nearest import nearest_hint
from router_lab.records import BOTH_ANSWERED
from router_lab.router.answers.thoughts import is_blank

USE_OF_STATUS = {
    "complete": "scored",
    "shadow_failed": "shadow_failed",
    "shadow_misconfigured": "misconfigured",
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

# Statuses that say of a side that it gave nothing, where its ending is not known.
_GAVE_NOTHING: dict[str, Collection[str]] = {
    "primary": ("primary_failed", "both_failed"),
    "shadow": ("shadow_failed", "both_failed", "shadow_misconfigured"),
}

# How the error of a shadow begins that did answer, but with nothing that could be used.
_UNUSABLE = "ResponseParseError"

# Stored columns by which pairs are told apart; the others are ids, times, texts and amounts.
_GROUPS = (
    "task_type",
    "primary_model",
    "shadow_model",
    "primary_alias",
    "shadow_alias",
    "prompt_version",
    "comparator",
    "judge",
    "origin",
    "status",
    "run_id",
)

# Few values over many rows: as categories they are told apart at once.
_USES = pd.CategoricalDtype(
    sorted({*USE_OF_STATUS.values(), "shadow_unusable", "primary_unusable", "both_unusable"})
)

_DEFAULTS: dict[str, Any] = {
    "comparison_id": "",
    "status": "complete",
    "comparator": "",
    "agreement": np.nan,
    "is_noise": False,
    "sample_probability": 1.0,
    "primary_alias": "",
    "shadow_alias": "",
    "primary_model": None,
    "shadow_model": None,
    "primary_parameters": None,
    "shadow_parameters": None,
    "prompt_version": None,
    "primary_ending": None,
    "shadow_ending": None,
    "preference": np.nan,
    "judge": None,
    "is_likeness": None,
    "shadow_error": None,
    "shadow_answered": None,
    "shadow_prompt": np.nan,
    "is_stored": True,
    "origin": "live",
    "primary_cost_usd": np.nan,
    "shadow_cost_usd": np.nan,
    "primary_latency_ms": np.nan,
    "shadow_latency_ms": np.nan,
}


# Columns of scores, each kind of scorer its own; see `stored_pairs.scores_of_pairs`.
SCORE_COLUMNS = (
    *(f"{prefix}{name}" for prefix in PREFIX.values() for name in SCORED),
    "people", "scored_by", "scorer_pairs", "scorer_same", "scorer_alpha",
)  # fmt: skip

_LIKENESS = "is_likeness"

# What else is read of a frame, to see what the columns above do not say.
_TOLD_IN = ("details", "primary_output", "shadow_output", "primary_tool_calls", "shadow_tool_calls")

# An answer whose agreement with the primary's is below this is badly off.
_BADLY_OFF = 0.5

# Oldest first, and the same for every engine.
_ORDER = ("created_at", "comparison_id")


def asked_basis(pairs: Any, basis: str | None, scored_by: str | None) -> str | None:
    """The basis that is asked for, if only by naming whose scores of `pairs` (as in `judged_pairs`) to use.

    Raises `ConfigError` for an unknown basis, for a scorer who scored nothing, and where the two do not go
    together.
    """
    check_basis(basis)
    if scored_by is None:
        return basis
    arguments.text("scored_by", scored_by, "'truth', 'people', 'judge' or one scorer's name")
    kind = _kind(pairs, scored_by)
    if kind is None:
        return basis
    own = "judge" if kind == "judge" else "scores"
    if basis not in (None, own):
        raise ConfigError(
            f"basis is {basis!r} and scored_by is {scored_by!r}, which do not go together: leave one out, or "
            f"say basis={own!r}"
        )
    return own


def _kind(pairs: Any, scored_by: str) -> str | None:
    """Which kind of scorer is asked for; None for a name without a ledger that knows it."""
    if scored_by in KINDS:
        return scored_by
    if (tables := tables_if_any(pairs)) is None:
        return None
    from router_lab.analysis.evidence.stored_pairs import asked_scorer

    return asked_scorer(tables, scored_by).kind


def judged_pairs(
    pairs: Any,
    by: str = "task_type",
    keep: Sequence[str] = (),
    *,
    basis: str | None = None,
    scored_by: str | None = None,
    unread: Collection[str] = (),
    grouped: bool = False,
) -> pd.DataFrame:
    """A tidy copy of `pairs`, oldest first (`grouped`: of each value of `by`): those of a ledger (a `Ledger`,
    its path or its tables), or a frame, an Ibis table or a mapping of columns.

    A ledger's costs are what was billed, with `_unknown_usd` beside them if `keep` names these, and the
    scores in it are looked up; columns are taken as they are. Needs `by` and `agreement`, a judge's
    `preference`, or both `primary_score` and `shadow_score`, all in [0, 1]; other columns of the
    `comparisons` table are used when present. `keep` names further columns to carry along; `scored_by` keeps
    the scores of `truth`, `people`, `judge` or one scorer by name; columns `unread` may be left out. Adds
    `use` (scored, shadow_failed, shadow_unusable, primary_unusable, both_unusable, misconfigured, truncated,
    no_primary, unscored, dropped, not_run), `is_unanswered` where no shadow answered, not even badly, and
    `agreement` set to 0 where it gave nothing. Ids without scores that `keep` does not name may be numbers,
    which tell them apart.
    Raises `ConfigError` naming a missing column, one that holds something else than it should, a scorer who
    scored nothing, or what is accepted.
    """
    check_basis(basis)
    arguments.text("by", by, "a column of the pairs")
    wanted = [by, "request_id", "input_hash", "created_at", *_DEFAULTS, *SCORE_COLUMNS, *keep]
    wanted = [name for name in wanted if name not in unread or name in (by, *keep)]
    frame, is_sorted = _as_frame(pairs, wanted, by, keep, basis, scored_by, grouped=grouped)
    _require(frame, by)
    rows = frame[[column for column in dict.fromkeys(wanted) if column in frame]].copy(deep=False)
    for column, default in _DEFAULTS.items():
        if column not in rows and column not in unread:
            rows[column] = default
    numbers = [name for name, default in _DEFAULTS.items() if isinstance(default, float) and name in rows]
    numbers += [name for name in rows if str(name).endswith(("_score", "chance"))]
    for column in numbers:
        if rows[column].dtype != np.float64:
            rows[column] = as_numbers(rows[column])
    if rows["is_noise"].dtype != bool:
        rows["is_noise"] = as_flags(rows["is_noise"])
    for column in ("request_id", "input_hash"):
        if column not in rows:
            rows[column] = np.arange(len(rows)).astype(str)
    if "created_at" not in rows:
        rows["created_at"] = pd.NaT
    rows["created_at"] = as_times(rows["created_at"])
    for column in [name for name in rows if rows[name].dtype == object]:
        check_told_apart(rows[column])
    if rows["input_hash"].isna().any():  # what nobody named is one input, wherever inputs are counted
        rows["input_hash"] = rows["input_hash"].astype(object).where(rows["input_hash"].notna(), "")
    if not is_sorted:
        order = [by, *_ORDER] if grouped else [*_ORDER]
        rows = rows.sort_values(order, kind="stable", ignore_index=True)
    return with_newest_criteria(_with_uses(rows), by)


def equal_and_badly_off(rows: pd.DataFrame, weights: pd.Series) -> dict[str, float]:
    """The shares of the pairs that are the same, and that have little in common; {} without likeness."""
    alike = rows["agreement"].between(0, 1) & (rows["comparator"] != "judge")
    if not alike.any():
        return {}
    agreement, mass = rows.loc[alike, "agreement"], weights[alike]
    return {
        "equal_share": float(np.average(agreement >= 1.0, weights=mass)),
        "badly_off_share": float(np.average(agreement < _BADLY_OFF, weights=mass)),
    }


def _as_frame(
    pairs: Any,
    wanted: Sequence[str],
    by: str,
    keep: Sequence[str],
    basis: str | None,
    scored_by: str | None,
    *,
    grouped: bool,
) -> tuple[pd.DataFrame, bool]:
    """The columns wanted that there are, `by` and those to `keep` as they are, and whether they come oldest
    first.
    """
    keys, group = {by, *keep}, by if grouped else None
    is_frame = isinstance(pairs, pd.DataFrame)
    if not is_frame and (tables := tables_if_any(pairs)) is not None:
        # Not before: those who pass frames need no query engine.
        from router_lab.analysis.evidence.stored_pairs import with_scores
        from router_lab.analysis.evidence.stored_rows import rows_of_ledger

        frame, is_sorted = rows_of_ledger(tables, wanted, keys, group)
        frame = _with_stored(frame, tables, by)
        return with_scores(frame, tables, scored_by, needed=basis == "scores"), is_sorted
    if not is_frame and hasattr(pairs, "to_pyarrow"):
        from router_lab.analysis.evidence.stored_rows import rows_of_table

        frame, is_sorted = rows_of_table(pairs, wanted, keys, group)
        return _kept_scores(frame, scored_by), is_sorted
    frame = with_columns_once(pairs if is_frame else _made(pairs), (*wanted, *_TOLD_IN))
    return _kept_scores(_with_stored_texts(_with_endings(_with_details(frame))), scored_by), False


def _made(pairs: Any) -> pd.DataFrame:
    """A frame of columns. Raises `ConfigError` for what is none."""
    try:
        if pairs is None:
            raise TypeError("None is no frame")
        return pd.DataFrame(pairs)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"pairs is a {type(pairs).__name__}; pass {ACCEPTED}; or pairs as a DataFrame, an Ibis table or "
            "a mapping of columns"
        ) from error


def _with_stored(frame: pd.DataFrame, tables: Any, by: str) -> pd.DataFrame:
    """Pairs of a ledger with whether answers to pairs of their kind are stored to be read."""
    from router_lab.analysis.evidence.marks import values_with_stored_pairs

    if by not in frame or by not in tables.comparisons.columns:
        return frame
    return frame.assign(is_stored=frame[by].isin(values_with_stored_pairs(tables, by)))


def _with_stored_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with whether both answers of a pair are stored to be read, where that can be seen."""
    if not {"primary_output", "shadow_output"} <= set(frame.columns) or "is_stored" in frame:
        return frame
    stored = pd.Series(True, index=frame.index)
    for side in ("primary", "shadow"):
        text = frame[f"{side}_output"]
        calls = frame.get(f"{side}_tool_calls", pd.Series(None, index=frame.index, dtype=object))
        stored &= text.notna() | calls.notna()
        for one in (text, calls):
            stored &= ~one.map(lambda text: isinstance(text, str) and is_hash(text)).astype(bool)
    return frame.assign(is_stored=stored)


def _with_details(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with what stands in `details`, a mapping or its JSON: the `preference` of its judge and which
    that is, the `shadow_error` of shadows that failed and whether they answered, whether a comparator
    measures likeness.
    """
    if not {"details", "comparator", "status"} <= set(frame.columns):
        return frame
    is_judged = frame["comparator"] == "judge"
    for column, rows in (
        ("preference", is_judged),
        ("judge", is_judged),
        ("shadow_error", frame["status"].isin(_GAVE_NOTHING["shadow"])),
        ("shadow_answered", frame["status"].isin(_GAVE_NOTHING["shadow"])),
        ("shadow_prompt", frame["details"].map(lambda one: "shadow_prompt" in str(one))),
        ("is_likeness", frame["details"].map(lambda one: _LIKENESS in str(one))),
    ):
        if column not in frame:
            found = frame.loc[rows, "details"].map(lambda one, name=column: _mapping(one).get(name))
            frame = frame.assign(**{column: found.reindex(frame.index)})
    return frame


def _with_endings(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with the endings that older versions did not write, as far as the texts tell: empty."""
    for side in ("primary", "shadow"):
        names = [f"{side}_{part}" for part in ("ending", "output", "tool_calls")]
        if not {"status", *names} <= set(frame.columns):
            continue
        ending, text, calls = (frame[name] for name in names)
        asked = ending.isna() & text.notna() & calls.isna() & frame["status"].isin(BOTH_ANSWERED)
        if asked.any():
            is_empty = text[asked].map(lambda one: is_blank(str(one)) or one == hashed(""))
            is_empty = is_empty.reindex(frame.index, fill_value=False)
            frame = frame.assign(**{names[0]: ending.astype(object).mask(is_empty, "empty")})
    return frame


def _mapping(details: object) -> Mapping[str, Any]:
    if isinstance(details, str):
        try:
            details = json.loads(details)
        except ValueError:
            return {}
    return details if isinstance(details, Mapping) else {}


def _kept_scores(frame: pd.DataFrame, scored_by: str | None) -> pd.DataFrame:
    """A frame with the scores of one kind of scorer alone. Raises `ConfigError` if it has none."""
    if scored_by is None:
        return frame
    own = PREFIX.get(scored_by)
    if own is None or f"{own}primary_score" not in frame:
        raise ConfigError(
            f"scored_by is {scored_by!r}, but these pairs do not say who scored them: pass the ledger"
        )
    others = [PREFIX[kind] for kind in PREFIX if kind not in KEPT_FOR[scored_by]]
    return frame.drop(columns=[f"{one}primary_score" for one in others], errors="ignore")


def _absent_column(name: str, frame: pd.DataFrame) -> ConfigError:
    """The error for a column that pairs do not have: the nearest name, and what they can be grouped by."""
    columns = [str(column) for column in frame.columns]
    others = {*COMPARISONS.names, "is_likeness", "shadow_answered", "shadow_error"}
    marked = tuple(prefix for prefix in PREFIX.values() if prefix)
    own = [one for one in columns if one not in others and not one.startswith(marked)]
    groups = [one for one in _GROUPS if one in columns] + [one for one in own if one not in _GROUPS]
    hint = nearest_hint(name, groups)
    return ConfigError(f"pairs has no column {name!r}; it has {', '.join(groups) or 'none'}{hint}")


def _require(frame: pd.DataFrame, by: str) -> None:
    if by not in frame:
        raise _absent_column(by, frame)
    scores = [{f"{prefix}primary_score", f"{prefix}shadow_score"} for prefix in PREFIX.values()]
    if not {"agreement", "preference"} & set(frame.columns) and not any(
        pair <= set(frame.columns) for pair in scores
    ):
        raise ConfigError("pairs needs the column 'agreement', or both 'primary_score' and 'shadow_score'")


def _with_uses(rows: pd.DataFrame) -> pd.DataFrame:
    # By way of distinct statuses, which are few.
    place, statuses = pd.factorize(rows["status"])
    uses = [USE_OF_STATUS.get(status, "unscored") for status in statuses]
    use = pd.Series(pd.Categorical([*uses, "unscored"], dtype=_USES)[place], index=rows.index)
    unusable = [one for one in rows["shadow_error"].dropna().unique() if str(one).startswith(_UNUSABLE)]
    is_answer = rows["shadow_answered"].eq(True) | rows["shadow_error"].isin(unusable)
    rows["is_unanswered"] = _failed(rows, "shadow", _GAVE_NOTHING["shadow"]) & ~is_answer
    for side, statuses in _GAVE_NOTHING.items():
        rows[f"{side}_model"] = rows[f"{side}_model"].mask(_failed(rows, side, statuses))
    primary, shadow = (_ended_badly(rows[f"{side}_ending"]) for side in ("primary", "shadow"))
    # An answer that could not be used, such as JSON cut at the token limit, makes a pair that failed.
    no_json = rows["status"].isin(_GAVE_NOTHING["primary"]) & primary & rows["primary_ending"].ne("failed")
    asked = use.isin(["scored", "unscored", "shadow_failed"]) | no_json
    failed = (use == "shadow_failed") | rows["status"].eq("both_failed")
    use[asked & shadow & ~failed] = "shadow_unusable"
    use[asked & primary] = "primary_unusable"
    use[asked & primary & (shadow | failed)] = "both_unusable"
    gave_nothing = use.isin(["shadow_failed", "shadow_unusable"])
    rows.loc[gave_nothing, "agreement"] = 0.0
    rows.loc[gave_nothing & (rows["comparator"] == "judge"), "preference"] = 0.0
    usable = rows["agreement"].between(0, 1) | rows["preference"].between(0, 1)
    for prefix in PREFIX.values():
        if f"{prefix}primary_score" in rows and f"{prefix}shadow_score" in rows:
            usable |= rows[[f"{prefix}primary_score", f"{prefix}shadow_score"]].notna().all(axis=1)
    use[(use == "scored") & ~usable] = "unscored"
    rows["use"] = use
    return rows


def _failed(rows: pd.DataFrame, side: str, statuses: Collection[str]) -> pd.Series:
    """Where a side failed, so that no model said its name: a name there is the one that was asked for."""
    ending = rows[f"{side}_ending"]
    return ending.eq("failed") | (ending.isna() & rows["status"].isin(statuses))


def _ended_badly(ending: pd.Series) -> pd.Series:
    """Where an answer is known to be none: cut, empty, refused, filtered or failed."""
    return ending.notna() & (ending != "complete")

"""The pairs of a ledger, or of an Ibis table, as a frame, oldest first.

Who was compared with whom, how, and how it ended is the same few texts in millions of rows. On DuckDB a
number tells the kinds of rows apart, what a kind says is asked once, and rows have no texts to be read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, Final

import ibis
import numpy as np
import pandas as pd

from router_lab.analysis.evidence.stored_pairs import (
    billed_pairs,
    ended_pairs,
    has_scores,
    judge_name,
    lacks_endings,
    likeness,
    preference,
    shadow_answered,
    shadow_error,
    shadow_prompt,
)
from router_lab.analysis.ledger_tables import answer_of, frame_of

# Few texts over many rows: as categories they take a byte a row, and are told apart at once.
_FEW_TEXTS: Final = (
    "status", "comparator", "primary_alias", "shadow_alias", "primary_model", "shadow_model",
    "primary_parameters", "shadow_parameters", "primary_ending", "shadow_ending", "shadow_error", "judge",
    "origin",
)  # fmt: skip
_FEW_VALUES: Final = (*_FEW_TEXTS, "task_type", "is_noise", "is_likeness", "shadow_answered")

# What most ledgers have of no pair.
_SCARCE: Final = ("prompt_version", "preference", "shadow_prompt")

# Texts that differ from row to row are better read with the rows.
_MOST_KINDS: Final = 20_000
_KIND: Final = "kind_of_row"

# Which input and which call a row is of. As texts of 64 characters they take longer than all else: numbers
# tell them apart as well (of two million, two share one of 64 bits once in eight million ledgers).
_IDS: Final = ("input_hash", "request_id")

# Oldest first, and the same for every engine.
_ORDER: Final = ("created_at", "comparison_id")


def rows_of_ledger(tables: Any, wanted: Sequence[str], keys: Collection[str]) -> tuple[pd.DataFrame, bool]:
    """The columns `wanted` of a ledger's pairs as billed, and whether they come oldest first.

    Texts that are no `keys` may be categories; ids of a ledger without scores numbers that tell them apart.
    """
    is_older = lacks_endings(tables)
    found = None
    if tables.comparisons.get_backend().name == "duckdb":  # other engines have other numbers
        # What is drawn with a judge's help goes by the texts.
        numbered = [name for name in _IDS if name not in keys and not has_scores(tables)]
        found = _by_kind(tables, is_older, wanted, keys, numbered)
    return found or _in_order(_frame(billed_pairs(tables, _told_pairs(tables, is_older)), wanted, keys))


def rows_of_table(table: Any, wanted: Sequence[str], keys: Collection[str]) -> tuple[pd.DataFrame, bool]:
    """The columns `wanted` of an Ibis table of pairs, likewise."""
    return _in_order(_frame(_with_told(table), wanted, keys))


def _with_told(table: Any) -> Any:
    """A table with what stands in its `details` as columns."""
    if not {"details", "comparator"} <= set(table.columns) or "preference" in table.columns:
        return table
    return table.mutate(
        preference=preference(table),
        shadow_error=shadow_error(table),
        shadow_answered=shadow_answered(table),
        **({"shadow_prompt": shadow_prompt(table)} if "origin" in table.columns else {}),
        is_likeness=likeness(table),
        judge=judge_name(table),
    )


def _frame(table: Any, wanted: Sequence[str], keys: Collection[str]) -> pd.DataFrame:
    found = table.select([name for name in dict.fromkeys(wanted) if name in table.columns])
    few = [name for name in _FEW_TEXTS if name in found.columns and name not in keys]
    return _decoded(frame_of(found, categories=[name for name in few if found[name].type().is_string()]))


def _decoded(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with the texts as they are that stand in JSON."""
    for column in ("shadow_error", "judge"):
        if column in frame and frame[column].notna().any():
            texts = frame[column].dropna().astype(str)
            frame[column] = texts.map(lambda one: json.loads(f'"{one}"')).reindex(frame.index)
    return frame


def _told_pairs(tables: Any, is_older: bool) -> Any:
    return _with_told(ended_pairs(tables, is_older))


def _pairs_with_kind(tables: Any, is_older: bool, wanted: Sequence[str]) -> tuple[Any, list[str]]:
    """The pairs with a number for what they say in texts of which there are few, and the names of these."""
    pairs = _told_pairs(tables, is_older)
    few = [name for name in _FEW_VALUES if name in wanted and name in pairs.columns]
    return pairs.mutate(**{_KIND: ibis.struct({name: pairs[name] for name in few}).hash()}), few


def _kinds(tables: Any, is_older: bool, wanted: Sequence[str], scarce: Sequence[str]) -> Any:
    """What the kinds of pairs say, and whether they have any of what is `scarce`."""
    pairs, few = _pairs_with_kind(tables, is_older, wanted)
    known = {name: pairs[name].notnull().any() for name in scarce if name in pairs.columns}
    return pairs.group_by(_KIND, *few).aggregate(**known).limit(_MOST_KINDS + 1)


def _rows(
    tables: Any, is_older: bool, wanted: Sequence[str], unread: Sequence[str], numbered: Sequence[str]
) -> Any:
    """The columns `wanted` of the pairs as billed but for those `unread`, with the number of their kind."""
    found = billed_pairs(tables, _pairs_with_kind(tables, is_older, wanted)[0])
    found = found.select(_KIND, *(name for name in wanted if name in found.columns and name not in unread))
    return found.mutate(**{name: found[name].hash() for name in numbered})


def _by_kind(
    tables: Any, is_older: bool, wanted: Sequence[str], keys: Collection[str], numbered: Sequence[str]
) -> tuple[pd.DataFrame, bool] | None:
    """As `rows_of_ledger`; None where texts differ from row to row."""
    wanted = tuple(dict.fromkeys(wanted))
    scarce = tuple([name for name in _SCARCE if name in wanted and name not in keys])
    kinds = answer_of(tables, _kinds, is_older, wanted, scarce).to_pandas(date_as_object=False)
    if len(kinds) > _MOST_KINDS or kinds[_KIND].duplicated().any():
        return None
    few = [name for name in kinds.columns if name not in (_KIND, *scarce)]
    unread = (*few, *(name for name in scarce if name in kinds and not kinds[name].any()))
    rows = answer_of(tables, _rows, is_older, wanted, unread, tuple(numbered))
    place = pd.Index(kinds[_KIND]).get_indexer(rows[_KIND].to_numpy())
    if (place < 0).any():  # a table that is another at every look
        return None
    names = rows["comparison_id"]
    # Where ids are numbers, its place is the name of a pair.
    unnamed = ["comparison_id"] if numbered and "comparison_id" not in keys else []
    frame = rows.drop_columns([_KIND, *unnamed]).to_pandas(
        date_as_object=False, split_blocks=True, self_destruct=True
    )
    order = _oldest_first(frame["created_at"], names)
    frame, is_sorted = _placed(frame, order)
    if order is not None:
        place = place[order]
    texts = _decoded(kinds[few])
    frame = frame.assign(**{name: _spread(texts[name], place, name in ("task_type", *keys)) for name in few})
    return frame.assign(**{name: np.arange(len(frame)) for name in unnamed}), is_sorted


def _spread(said: pd.Series, place: Any, is_key: bool) -> Any:
    """What the kinds at each `place` say: truth values, keys as they are, other texts as categories."""
    if said.dtype == bool:
        return said.to_numpy()[place]
    if is_key:
        return pd.Series(said.astype(object).to_numpy()[place], dtype=object)
    codes, categories = pd.factorize(said, sort=True)
    narrow = np.min_scalar_type(-max(len(categories), 1))
    return pd.Categorical.from_codes(codes.astype(narrow)[place], categories)


def _in_order(frame: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """The rows in `_ORDER`, and whether they are."""
    if not set(_ORDER) <= set(frame.columns):
        return frame, False
    return _placed(frame, _oldest_first(frame["created_at"], frame["comparison_id"]))


def _oldest_first(created_at: pd.Series, names: Any) -> Any:
    """The places of rows in `_ORDER`, None where a time is missing. Engines give them nearly so, and sort
    wide rows slowly.
    """
    if created_at.isna().any():
        return None
    times = created_at.to_numpy(dtype="datetime64[us]").astype(np.int64)
    order = np.argsort(times, kind="stable")
    is_next = np.diff(times[order]) == 0
    tied = np.flatnonzero(np.append(is_next, False) | np.append(False, is_next))
    if len(tied):
        rows = order[tied]
        order[tied] = rows[np.lexsort([names.take(rows).to_numpy().astype(str), times[rows]])]
    return order


def _placed(frame: pd.DataFrame, order: Any) -> tuple[pd.DataFrame, bool]:
    """The rows as `order` has them, and whether there is one."""
    if order is None:
        return frame, False
    is_there = bool((order == np.arange(len(order))).all())
    return (frame if is_there else frame.take(order).reset_index(drop=True)), True

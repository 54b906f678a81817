"""The pairs of a ledger, or of an Ibis table, as a frame, oldest first.

Who was compared with whom, how, and how it ended is the same few texts in millions of rows. On DuckDB a
number tells the kinds of rows apart, what a kind says is asked once, and rows have no texts to be read. What
a few attempts change in what their pairs cost and took is asked apart: no join of millions of ids.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import ibis
import numpy as np
import pandas as pd

from router_lab.analysis.evidence.bills import BILLED, KEYS, exceptions, with_bills
from router_lab.analysis.evidence.stored_pairs import (
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
from router_lab.analysis.ledger_tables import answer_of, arrow_of, frame_of
from router_lab.errors import ConfigError

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


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is wanted of pairs: `columns`, of which `keys` as they are and `numbered` as numbers that tell
    them apart; oldest first, of each value of `group` if there is one.
    """

    columns: tuple[str, ...]
    keys: frozenset[str]
    numbered: tuple[str, ...]
    group: str | None

    @property
    def scarce(self) -> tuple[str, ...]:
        """What most ledgers have of no pair."""
        return tuple(name for name in _SCARCE if name in self.columns and name not in self.keys)


def rows_of_ledger(
    tables: Any, wanted: Sequence[str], keys: Collection[str], group: str | None = None
) -> tuple[pd.DataFrame, bool]:
    """The columns `wanted` of a ledger's pairs as billed, and whether they come oldest first, of each value
    of `group`.

    Texts that are no `keys` may be categories; ids of a ledger without scores numbers that tell them apart.
    """
    is_older = lacks_endings(tables)
    sides = [side for side, names in BILLED.items() if {*names} & {*wanted}]
    needed = [name for side in sides for name in (*KEYS[side], *BILLED[side], "status")]
    asked = _Wanted(tuple(dict.fromkeys([*wanted, *needed])), frozenset(keys), (), group)
    frame = None
    if tables.comparisons.get_backend().name == "duckdb":  # other engines have other numbers
        # What is drawn with a judge's help goes by the texts.
        numbered = () if has_scores(tables) else tuple(name for name in _IDS if name not in keys)
        asked = replace(asked, numbered=numbered)
        frame = _by_kind(
            asked,
            lambda scarce: answer_of(tables, _kinds_of_ledger, is_older, asked.columns, scarce),
            lambda unread: answer_of(tables, _rows_of_ledger, is_older, asked.columns, unread, numbered),
        )
    if frame is None:
        asked = replace(asked, numbered=())
        frame = _frame(_told_pairs(tables, is_older), asked)
    for side in sides:
        found = answer_of(tables, exceptions, side, "request_id" in asked.numbered).to_pandas()
        frame = with_bills(frame, side, found, wanted)
    frame = frame[[name for name in frame if name in wanted or name in _ORDER]]
    return _in_order(frame, asked)


def rows_of_table(
    table: Any, wanted: Sequence[str], keys: Collection[str], group: str | None = None
) -> tuple[pd.DataFrame, bool]:
    """The columns `wanted` of an Ibis table of pairs, likewise."""
    told = _with_told(table)
    there = tuple(name for name in dict.fromkeys(wanted) if name in told.columns)
    if nested := [name for name in there if told[name].type().is_nested()]:
        kind = told[nested[0]].type()
        raise ConfigError(
            f"the column {nested[0]!r} of pairs is of type {kind}; it must hold texts or numbers"
        )
    is_scored = any(name.endswith("_score") for name in there)
    numbered = () if is_scored else tuple(name for name in _IDS if name in there and name not in keys)
    asked = _Wanted(there, frozenset(keys), numbered, group)
    frame = None
    if table.get_backend().name == "duckdb" and {*_FEW_VALUES} & {*there}:
        frame = _by_kind(
            asked,
            lambda scarce: arrow_of(_kinds(told, there, scarce)),
            lambda unread: arrow_of(_rows(told, there, unread, numbered)),
        )
    if frame is None:
        asked = replace(asked, numbered=())
        frame = _frame(told, asked)
    return _in_order(frame, asked)


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


def _frame(table: Any, asked: _Wanted) -> pd.DataFrame:
    found = table.select([name for name in asked.columns if name in table.columns])
    few = [name for name in _FEW_TEXTS if name in found.columns and name not in asked.keys]
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


def _with_kind(pairs: Any, wanted: Sequence[str]) -> tuple[Any, list[str]]:
    """Pairs with a number for what they say in texts of which there are few, and the names of these."""
    few = [name for name in _FEW_VALUES if name in wanted and name in pairs.columns]
    return pairs.mutate(**{_KIND: ibis.struct({name: pairs[name] for name in few}).hash()}), few


def _kinds(pairs: Any, wanted: Sequence[str], scarce: Sequence[str]) -> Any:
    """What the kinds of pairs say, and whether they have any of what is `scarce`."""
    pairs, few = _with_kind(pairs, wanted)
    known = {name: pairs[name].notnull().any() for name in scarce if name in pairs.columns}
    return pairs.group_by(_KIND, *few).aggregate(**known).limit(_MOST_KINDS + 1)


def _rows(pairs: Any, wanted: Sequence[str], unread: Sequence[str], numbered: Sequence[str]) -> Any:
    """The columns `wanted` of the pairs but for those `unread`, with the number of their kind."""
    pairs = _with_kind(pairs, wanted)[0]
    found = pairs.select(_KIND, *(name for name in wanted if name in pairs.columns and name not in unread))
    return found.mutate(**{name: found[name].hash() for name in numbered})


def _kinds_of_ledger(tables: Any, is_older: bool, wanted: Sequence[str], scarce: Sequence[str]) -> Any:
    return _kinds(_told_pairs(tables, is_older), wanted, scarce)


def _rows_of_ledger(
    tables: Any, is_older: bool, wanted: Sequence[str], unread: Sequence[str], numbered: Sequence[str]
) -> Any:
    return _rows(_told_pairs(tables, is_older), wanted, unread, numbered)


def _by_kind(
    asked: _Wanted,
    kinds_with: Callable[[tuple[str, ...]], Any],
    rows_without: Callable[[tuple[str, ...]], Any],
) -> pd.DataFrame | None:
    """The columns of pairs, in any order; None where texts differ from row to row.

    The kinds are asked for with what is scarce, the rows without what need not be read.
    """
    kinds = kinds_with(asked.scarce).to_pandas(date_as_object=False)
    if len(kinds) > _MOST_KINDS or kinds[_KIND].duplicated().any():
        return None
    few = [name for name in kinds.columns if name not in (_KIND, *asked.scarce)]
    rows = rows_without((*few, *(name for name in asked.scarce if name in kinds and not kinds[name].any())))
    place = pd.Index(kinds[_KIND]).get_indexer(rows[_KIND].to_numpy())
    if (place < 0).any():  # a table that is another at every look
        return None
    rows = rows.drop_columns([_KIND])
    frame = rows.to_pandas(date_as_object=False, split_blocks=True, self_destruct=True)
    del rows
    texts, is_key = _decoded(kinds[few]), {"task_type", *asked.keys}
    place = place.astype(np.min_scalar_type(len(kinds)))
    return frame.assign(**{name: _spread(texts[name], place, name in is_key) for name in few})


def _spread(said: pd.Series, place: Any, is_key: bool) -> Any:
    """What the kinds at each `place` say: truth values, keys as they are, other texts as categories."""
    if said.dtype == bool:
        return said.to_numpy()[place]
    if is_key:
        return pd.Series(said.astype(object).to_numpy()[place], dtype=object)
    codes, categories = pd.factorize(said, sort=True)
    narrow = np.min_scalar_type(-max(len(categories), 1))
    return pd.Categorical.from_codes(codes.astype(narrow)[place], categories)


def _in_order(frame: pd.DataFrame, asked: _Wanted) -> tuple[pd.DataFrame, bool]:
    """The rows in `_ORDER`, of each value of a group, and whether they are."""
    if not {*_ORDER} <= {*frame.columns}:
        return frame, False
    order = _oldest_first(frame["created_at"], frame["comparison_id"])
    if order is None:
        return frame, False
    if asked.group in frame:
        order = _grouped(pd.factorize(frame[asked.group], sort=True)[0], order)
    is_unnamed = bool(asked.numbered) and "comparison_id" not in asked.keys
    if is_unnamed:  # where ids are numbers, its place is the name of a pair
        frame.pop("comparison_id")
    if not (order == np.arange(len(order))).all():
        frame = _taken(frame, order)
    return (frame.assign(comparison_id=np.arange(len(frame))) if is_unnamed else frame), True


def _taken(frame: pd.DataFrame, order: Any) -> pd.DataFrame:
    """The rows in this order, column by column, of a frame that is used up by it: two of them at once are
    what takes most of the memory.
    """
    columns = list(frame)
    return pd.DataFrame({name: frame.pop(name).array.take(order) for name in columns}, copy=False)


def _grouped(codes: Any, order: Any) -> Any:
    """An order of rows as groups by their `codes`, those of none (-1) last."""
    groups = codes[order]
    last = int(groups.max(initial=-1)) + 1
    groups = np.where(groups < 0, last, groups).astype(np.min_scalar_type(last))
    return order[np.argsort(groups, kind="stable")]


def _oldest_first(created_at: Any, names: Any) -> Any:
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

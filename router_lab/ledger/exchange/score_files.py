"""People's ratings as a frame or a file has them: read, brought to 0..1, and what is wrong with each row."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd

from router_lab.arguments import choice, names
from router_lab.arrow import pa
from router_lab.errors import ConfigError, error_line
from router_lab.ledger.exchange.spreadsheet_files import spreadsheet_file
from router_lab.ledger.values import as_text, shown
from router_lab.nearest import nearest_hint
from router_lab.plain_files import check_plain, open_text
from router_lab.records import VERDICT_SCORES, ScoreVerdict

On = Literal["task_id", "comparison_id", "prompt"]

# A number as a spreadsheet writes it that separates values by semicolons or tabs.
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")

# What may stand for a value in a file, by ours. The last four only tell pairs of one key apart.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "primary_score": ("primary_score", "primary"),
    "shadow_score": ("shadow_score", "shadow"),
    "preference": ("preference", "verdict"),
    "chance": ("chance",),
    "note": ("note",),
    "task_type": ("task_type",),
    "primary_alias": ("primary_alias",),
    "shadow_alias": ("shadow_alias",),
    "run_id": ("run_id",),
}
NARROWING = ("task_type", "primary_alias", "shadow_alias", "run_id")


@dataclass(frozen=True, slots=True)
class RatingProblem:
    """Why a row was not taken: `column` is the file's own name, `value` what stands there, shortened."""

    row: int
    column: str
    value: str
    problem: str

    def __str__(self) -> str:
        return f"row {self.row}, column {self.column!r}: {self.value}: {self.problem}"


@dataclass(frozen=True, slots=True)
class RatedPair:
    """One row: the pair it is of, and what was said of it. Scores are None where one was unsure."""

    row: int
    key: str
    scores: tuple[float | None, float | None]
    verdict: ScoreVerdict | None
    chance: float | None
    note: str
    narrowed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ratings:
    """All rows of a source, in order. `blank` rows say nothing; `columns` are the source's names by ours."""

    name: str
    columns: Mapping[str, str]
    rated: Sequence[RatedPair]
    problems: Sequence[RatingProblem]
    blank: int


def read_ratings(
    source: Any, on: str, scale: tuple[float, float], columns: Mapping[str, str] | None
) -> Ratings:
    """The rows of a frame (pandas, Polars, Arrow), or of a .csv, .tsv, .jsonl or .parquet file.

    Raises `ConfigError` for what cannot be read, and for a missing or ambiguous column.
    """
    worst, best = _checked_scale(scale)
    name, frame, has_decimal_commas = _frame(source)
    known = _columns_of(name, [str(column) for column in frame.columns], on, names("columns", columns))
    rated, problems, blank = [], [], 0
    for number, values in enumerate(_rows(frame, known), start=1):
        reader = _RowReader(number, values, known, on, (worst, best), has_decimal_commas)
        found = reader.read()
        problems += reader.problems
        blank += found is None and not reader.problems
        if found is not None and not reader.problems:
            rated.append(found)
    return Ratings(name, known, rated, problems, blank)


class _RowReader:
    """Reads one row; collects everything that is wrong with it."""

    def __init__(
        self,
        number: int,
        values: Mapping[str, Any],
        columns: Mapping[str, str],
        on: str,
        scale: tuple[float, float],
        has_decimal_commas: bool,
    ) -> None:
        self._number = number
        self._values = values
        self._columns = columns
        self._on = on
        self._scale = scale
        self._has_decimal_commas = has_decimal_commas
        self.problems: list[RatingProblem] = []

    def read(self) -> RatedPair | None:
        """What was said; None for a row that says nothing, or with a problem."""
        said = ("preference",) if "preference" in self._columns else ("primary_score", "shadow_score")
        empty = [name for name in said if self._text(name) is None]
        if len(empty) == len(said):
            return None
        for name in empty:
            self._complain(name, "empty, while the other answer has a score. Give both, or neither")
        scores, verdict = self._said()
        key = self._text(self._on)
        if key is None:
            self._complain(self._on, "empty: it says which pair was rated")
        return RatedPair(
            row=self._number,
            key=key or "",
            scores=scores,
            verdict=verdict,
            chance=self._chance(),
            note=self._text("note") or "",
            narrowed={name: text for name in NARROWING if (text := self._text(name)) is not None},
        )

    def _said(self) -> tuple[tuple[float | None, float | None], ScoreVerdict | None]:
        if "preference" not in self._columns:
            return (self._score("primary_score"), self._score("shadow_score")), None
        word = " ".join((self._text("preference") or "").lower().replace("_", " ").split())
        for verdict in get_args(ScoreVerdict):
            if word == verdict and (verdict == "unsure" or verdict in VERDICT_SCORES):
                return VERDICT_SCORES.get(verdict, (None, None)), verdict
        words = [*VERDICT_SCORES, "unsure"]
        self._complain("preference", f"write one of {', '.join(words)}{nearest_hint(word, words)}")
        return (None, None), None

    def _score(self, name: str) -> float | None:
        worst, best = self._scale
        value = self._number_in(name)
        if value is None:
            return None
        if not min(worst, best) <= value <= max(worst, best):
            scale = f"{worst:g} (useless) to {best:g} (as good as it gets)"
            self._complain(name, f"off the scale, which goes from {scale}. Mend it, or say scale=(low, high)")
            return None
        return abs((value - worst) / (best - worst))  # 0.0, also where the scale goes down

    def _chance(self) -> float | None:
        value = self._number_in("chance")
        if value is not None and not 0 < value <= 1:
            self._complain("chance", "the chance that the pair was drawn is above 0 and at most 1")
        return value

    def _number_in(self, name: str) -> float | None:
        text = self._text(name)
        if text is None:
            return None
        if self._has_decimal_commas and _DECIMAL_COMMA.fullmatch(text):
            text = text.replace(",", ".")
        try:
            value = math.nan if isinstance(self._values[name], bool) or "_" in text else float(text)
        except ValueError:
            value = math.nan
        if math.isnan(value):
            self._complain(name, "no number. Leave it empty where there is none")
            return None
        return value

    def _text(self, name: str) -> str | None:
        value = self._values.get(name)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if isinstance(value, float) and value.is_integer() and name == self._on:
            value = int(value)  # a column of ids with a gap is one of floats
        text = as_text(value)
        return (text if name == "prompt" else text.strip()) if text.strip() else None

    def _complain(self, name: str, problem: str) -> None:
        said = repr(self._text(name))
        said = said if len(said) <= 80 else said[:77] + "..."
        self.problems.append(RatingProblem(self._number, self._columns.get(name, name), said, problem))


def _checked_scale(scale: Any) -> tuple[float, float]:
    try:
        if isinstance(scale, str | bytes):  # whose letters might pass for numbers
            raise TypeError(scale)
        ends = [*scale]
        if any(isinstance(end, bool | str) for end in ends):
            raise TypeError(scale)
        worst, best = map(float, ends)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            f"scale={shown(scale)}: give two numbers, the worst and the best, as (1, 5)"
        ) from None
    if not (math.isfinite(worst) and math.isfinite(best)) or worst == best:
        raise ConfigError(f"scale={scale!r}: the worst and the best must be two different numbers")
    return worst, best


def _frame(source: Any) -> tuple[str, Any, bool]:
    """A name for messages, a pandas frame whose columns are named by texts, and whether its numbers may have
    decimal commas.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        return str(path), *_file(path)
    if isinstance(source, pd.DataFrame):
        named = source.reset_index() if any(name is not None for name in source.index.names) else source
        return "frame", named.set_axis([*map(str, named.columns)], axis=1), False
    if hasattr(source, "__arrow_c_stream__"):
        return "frame", pa.table(source).to_pandas(), False
    raise ConfigError(
        f"{type(source).__name__}: pass a frame (pandas, Polars, Arrow) or the path of a .csv, .tsv, .jsonl "
        "or .parquet file"
    )


def _file(path: Path) -> tuple[Any, bool]:
    kind = path.suffix.lower()
    try:
        check_plain(path)
        if kind in (".csv", ".tsv"):
            return _csv(path)
        if kind in (".jsonl", ".ndjson"):
            return pd.DataFrame([*_objects(path)], dtype=object), False
        if kind == ".parquet":
            return pd.read_parquet(path), False
    except ConfigError:
        raise
    except Exception as error:  # whatever a library says of a file that it cannot read
        raise ConfigError(f"{path}: cannot be read ({error_line(error)})") from error
    raise ConfigError(f"{path}: scores are read from .csv, .tsv, .jsonl and .parquet files")


def _csv(path: Path) -> tuple[Any, bool]:
    """As texts, so that ids such as 007 stay what they are; a row longer than the header is refused."""
    file = spreadsheet_file(path)
    _, header = next(file.rows, ("", []))
    if not header:
        raise ConfigError(f"{path}: is empty")
    rows = []
    for place, cells in file.rows:
        if len(cells) > len(header):
            raise ConfigError(
                f"{place}: {len(cells)} values for {len(header)} columns; quote values that hold "
                f"{file.delimiter!r}"
            )
        rows.append([*cells, *[""] * (len(header) - len(cells))])
    frame = pd.DataFrame(rows, columns=[name.strip() for name in header], dtype=object)
    return frame, file.delimiter != ","


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file, one a line; numbers and booleans stay what they are."""
    with open_text(path, "utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ConfigError(f"{path}, line {number}: not JSON ({error_line(error)})") from error
            if not isinstance(found, dict):
                raise ConfigError(f'{path}, line {number}: no JSON object, such as {{"task_id": "7"}}')
            yield found


def _columns_of(name: str, present: list[str], on: str, given: Mapping[str, str]) -> dict[str, str]:
    """The source's column names by ours. Raises `ConfigError`."""
    choice("on", on, get_args(On))
    unknown = set(given) - {on, *_NAMES}
    if unknown:
        ours_are = [on, *_NAMES]
        hint = nearest_hint(min(unknown), ours_are)
        raise ConfigError(f"column {min(unknown)!r}: ours are {', '.join(ours_are)}{hint}")
    known: dict[str, str] = {}
    for ours, theirs in {on: (on,), **_NAMES}.items():
        wanted = (given[ours],) if ours in given else theirs
        found = [column for column in wanted if present.count(column) > 0]
        if ours in given and not found:
            there = f"there are {', '.join(map(repr, present))}{nearest_hint(given[ours], present)}"
            raise ConfigError(f"{name}: no column {given[ours]!r}; {there}")
        if len(found) > 1 or (found and present.count(found[0]) > 1):
            raise ConfigError(f"{name}: more than one column for {ours}. Keep one, or name it with columns=")
        if found:
            known[ours] = found[0]
    has_scores = [side for side in ("primary_score", "shadow_score") if side in known]
    if on not in known:
        raise ConfigError(
            f"{name}: no column {on!r}, which says what was rated; there are "
            f"{', '.join(map(repr, present)) or 'none'}. Name it with columns=, or say on="
        )
    if ("preference" in known) == bool(has_scores) or len(has_scores) == 1:
        raise ConfigError(
            f"{name}: either two columns, 'primary_score' and 'shadow_score', or one, 'preference', say what "
            f"the answers are worth; there are {', '.join(map(repr, present))}. Name them with columns="
        )
    return known


def _rows(frame: Any, known: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    columns = [frame[theirs].astype(object).tolist() for theirs in known.values()]
    for values in zip(*columns, strict=True):
        yield {ours: _plain(value) for ours, value in zip(known, values, strict=True)}


def _plain(value: Any) -> Any:
    """NumPy's values as Python's, and what pandas has for a missing one as None."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    return value.item() if hasattr(value, "item") else value

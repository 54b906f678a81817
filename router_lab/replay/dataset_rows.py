"""Reading a dataset into rows, lazily, whatever it comes as."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any

from router_lab.arrow import ds
from router_lab.errors import ConfigError, error_line
from router_lab.nearest import nearest_hint
from router_lab.parameters import NAMES
from router_lab.plain_files import open_plain, open_text, plain_within
from router_lab.router.request.request import Request
from router_lab.spreadsheets import allow_long_cells, encoding_of, separator_in, unguarded

# Columns whose value is JSON; in a CSV file it is text to be decoded.
_JSON_COLUMNS = ("messages", "tags", "options", "schema", "tools", "parameters")


@dataclass(frozen=True, slots=True)
class Row:
    """One request of a dataset, checked. `task_id` finds it again in the ledger.

    `has_id` is False when the row had none, and `task_id` is a hash of its input.
    """

    task_id: str
    has_id: bool
    task_type: str
    prompt: str | None = field(repr=False)
    messages: Sequence[Mapping[str, Any]] | None = field(repr=False)
    system: str | None = field(repr=False)
    max_tokens: int | None
    schema: Mapping[str, Any] | None
    tools: Sequence[Any] | None
    tags: Mapping[str, Any] | None
    user_id: str | None
    expected: Any = field(repr=False)
    comparator: str | None
    options: Mapping[str, Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, given: Any, task_type: str | None) -> Row:
        """Check one row; columns we do not know are left alone. Raises `ConfigError` naming the column."""
        if isinstance(given, ConfigError):
            raise given
        if isinstance(given, str):
            given = {"prompt": given}
        if not isinstance(given, Mapping):
            raise ConfigError(f"a row must be a mapping of columns or a prompt, not {type(given).__name__}")
        row = {str(name): present(value) for name, value in given.items()}
        if "expected" not in row:
            _check_nearly_expected(row)
        kind = row.get("task_type") or task_type
        if not kind:
            raise ConfigError("no `task_type`: add the column, or pass replay(..., task_type=...)")
        if (row.get("prompt") is None) == (row.get("messages") is None):
            raise ConfigError("a row has either `prompt` or `messages`")
        decoded = {name: _decoded(name, row.get(name)) for name in _JSON_COLUMNS}
        content = [kind, row.get("prompt"), decoded["messages"], row.get("system"), decoded["schema"]]
        if decoded["tools"] is not None:
            content.append(decoded["tools"])
        if parameters := _parameters(decoded["parameters"]):
            content.append({"parameters": parameters})
        return cls(
            task_id=str(row["id"]) if row.get("id") is not None else _input_id(content),
            has_id=row.get("id") is not None,
            task_type=str(kind),
            prompt=text_of("prompt", row.get("prompt")),
            messages=decoded["messages"],
            system=text_of("system", row.get("system")),
            max_tokens=_whole("max_tokens", row.get("max_tokens")),
            schema=decoded["schema"],
            tools=decoded["tools"],
            tags=decoded["tags"],
            user_id=None if row.get("user_id") is None else str(row["user_id"]),
            expected=row.get("expected"),
            comparator=text_of("comparator", row.get("comparator")),
            options=decoded["options"] or {},
            parameters=parameters,
        )

    def request(self, **asked: Any) -> Request:
        """The row as a request; `asked` are the prompt and what is asked beside it."""
        return Request.build(
            task_type=self.task_type,
            tools=self.tools,
            schema=self.schema,
            user_id=self.user_id,
            task_id=self.task_id,
            tags=self.tags,
            **asked,
        )

    def own_request(self) -> Request:
        """What the primary is asked. Raises `ConfigError` naming the column."""
        return self.request(
            prompt=self.prompt,
            messages=self.messages,
            system=self.system,
            max_tokens=self.max_tokens,
            **self.parameters,
        )


def _check_nearly_expected(names: Iterable[str]) -> None:
    """Raise `ConfigError` for a column that must have been meant: left alone, no answer would be scored."""
    for name in names:
        if _is_nearly_expected(name):
            raise ConfigError(
                f"`{name[:80]}`: did you mean `expected`? Rename the column, so that it is used"
            )


@lru_cache(maxsize=1024)
def _is_nearly_expected(name: str) -> bool:
    """Every row has the same columns: each is looked at once."""
    known = name.lower()
    return known.startswith("expected") or bool(get_close_matches(known, ["expected"], cutoff=0.8))


def is_spark_frame(source: Any) -> bool:
    """Whether rows are given as a data frame of Spark."""
    return hasattr(source, "sparkSession") and hasattr(source, "mapInArrow")


def read_rows(source: Any) -> Iterator[Any]:
    """The rows of a path, a data frame (pandas, polars, Arrow, Spark) or an iterable, one by one.

    A row that cannot be read is yielded as a `ConfigError`, so that it can be counted and passed by.
    Raises `ConfigError` for a source that is none of these, or is not there.
    """
    if isinstance(source, (str, Path)):
        return _file(Path(source))
    if is_spark_frame(source):
        return (row.asDict(recursive=True) for row in source.toLocalIterator())
    if hasattr(source, "iter_rows"):  # polars
        return iter(source.iter_rows(named=True))
    if hasattr(source, "to_batches"):  # Arrow
        return (row for batch in source.to_batches() for row in _of_batch(batch))
    if hasattr(source, "itertuples"):  # pandas
        return _pandas(source)
    if isinstance(source, Iterable) and not isinstance(source, Mapping):
        return iter(source)
    raise ConfigError(
        f"rows: expected a path, a data frame or an iterable of mappings, not {type(source).__name__}"
    )


def count_rows(source: Any) -> int | None:
    """How many rows there are, when that is cheap to know."""
    if isinstance(source, (str, Path)):
        path = Path(source)
        if path.suffix in (".jsonl", ".ndjson") and path.is_file():
            with open_plain(path) as lines:
                return sum(1 for line in lines if line.strip())
        return None
    try:
        return len(source)
    except TypeError:
        return None


def _file(path: Path) -> Iterator[Any]:
    readers = {".jsonl": _json_lines, ".ndjson": _json_lines, ".csv": _csv, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    endings = f"must end in {', '.join(readers)}"
    if not path.exists():
        kinds = f"; a file of rows {endings}" if reader is None else ""
        raise ConfigError(f"rows: {path} does not exist{_neighbour(path)}{kinds}")
    if reader is None and path.is_dir():
        raise ConfigError(
            f"rows: {path} is a folder: a ledger is replayed with candidates, and a file {endings}"
        )
    if reader is None:
        raise ConfigError(f"rows: {path} {endings}; import another tool's log into a ledger, and replay that")
    return _readable(path, reader(path))


def _neighbour(path: Path) -> str:
    """The file or folder beside it that may have been meant."""
    try:
        return nearest_hint(path.name, sorted(one.name for one in path.parent.iterdir()))
    except OSError:
        return ""


def _readable(path: Path, rows: Iterator[Any]) -> Iterator[Any]:
    """`rows`, with whatever a library says of a file that it cannot read as a `ConfigError`."""
    try:
        yield from rows
    except Exception as error:
        raise ConfigError(f"rows: {path} cannot be read ({error_line(error)})") from error


def _json_lines(path: Path) -> Iterator[Any]:
    check = _Utf8Check()
    with open_text(path, "utf-8-sig", errors=_KEPT_BYTES) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            if (wrong := check.wrong(line)) is not None:
                yield ConfigError(f"{path.name}, line {number}: {wrong}")
                continue
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                yield ConfigError(f"{path.name}, line {number}: not JSON ({error})")
    check.end()


# Bytes that are no UTF-8 spoil their own row only: they are read as surrogates, which UTF-8 never has.
_KEPT_BYTES = "surrogateescape"


class _Utf8Check:
    """Finds the rows of a file that were not UTF-8."""

    def __init__(self) -> None:
        self._has_good = False
        self._first: str | None = None

    def wrong(self, text: str) -> str | None:
        """What to say of a row's text; None where it is as it was in the file."""
        try:
            if not text.isascii():
                text.encode()
        except UnicodeEncodeError as error:
            byte = ord(text[error.start]) & 0xFF
            said = f"not UTF-8 (byte 0x{byte:02x} after {error.start} characters): save the file as UTF-8"
            self._first = self._first or said
            return said
        self._has_good = True
        return None

    def end(self) -> None:
        """Raise `ValueError` for a file that is something else altogether: none of its rows is UTF-8."""
        if self._first is not None and not self._has_good:
            raise ValueError(f"no row of it is UTF-8; the first is {self._first}")


# A ledger's own CSV export has one of these columns, and an apostrophe before what looks like a formula.
_OURS = frozenset({"attempt_id", "comparison_id"})


def _csv(path: Path) -> Iterator[Any]:
    check = _Utf8Check()
    with open_plain(path) as file:
        encoding = encoding_of(file.read(2))
    allow_long_cells(path.stat().st_size)
    with open_text(path, encoding, newline="", errors=_KEPT_BYTES) as lines:
        first = next(lines, "")
        separator, begin = separator_in(first)
        rows = csv.DictReader(lines if begin else chain([first], lines), delimiter=separator)
        is_ours = not _OURS.isdisjoint(rows.fieldnames or ())
        for row in rows:
            texts = {key: value for key, value in row.items() if isinstance(value, str)}
            if (wrong := check.wrong("".join(texts.values()))) is not None:
                yield ConfigError(f"{path.name}, row that ends on line {rows.line_num}: {wrong}")
            elif is_ours:
                yield row | {key: unguarded(value) for key, value in texts.items()}
            else:
                yield row
    check.end()


def _parquet(path: Path) -> Iterator[Any]:
    plain_within(path)
    for batch in ds.dataset(path, format="parquet").to_batches(batch_size=256):
        yield from _of_batch(batch)


def _of_batch(batch: Any) -> list[Any]:
    """The rows of an Arrow batch, whose texts nobody may have looked at yet."""
    try:
        rows: list[Any] = batch.to_pylist()
        return rows
    except UnicodeDecodeError as error:
        if batch.num_rows == 1:
            return [ConfigError(f"a text of it is not UTF-8 (byte 0x{error.object[error.start]:02x})")]
        return [row for place in range(batch.num_rows) for row in _of_batch(batch.slice(place, 1))]


def _pandas(frame: Any) -> Iterator[Any]:
    names = [str(name) for name in frame.columns]
    return (dict(zip(names, values, strict=True)) for values in frame.itertuples(index=False, name=None))


def present(value: Any) -> Any:
    """None for every way a table has of saying that there is nothing: NaN, NA, an empty cell."""
    if value is None or (isinstance(value, str) and not value):
        return None
    if isinstance(value, (list, tuple, dict, str, bool, int)):
        return value
    if hasattr(value, "tolist"):  # numpy: arrays and scalars
        value = value.tolist()
    different = value != value
    return None if different is not False and not isinstance(value, (list, dict)) else value


def _decoded(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"`{name}` is not JSON ({error})") from None


def _parameters(given: Any) -> dict[str, Any]:
    """What to ask beside the prompt. Of a ledger's rows: but for the headers, whose values no row has."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"`parameters` must be a mapping, not {type(given).__name__}")
    for name in given:
        if name not in NAMES:
            raise ConfigError(f"`parameters` has {str(name)[:60]!r}; it takes {', '.join(NAMES[:-1])}")
    return {name: value for name, value in given.items() if name != "extra_headers" and value is not None}


def text_of(name: str, value: Any) -> str | None:
    """The text in a column, None where there is none. Raises `ConfigError` naming the column."""
    if value is None or isinstance(value, str):
        return value
    raise ConfigError(f"`{name}` must be text, not {type(value).__name__}")


def _whole(name: str, value: Any) -> int | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.5
    if not number.is_integer() or number < 1:
        raise ConfigError(f"`{name}` must be a whole number above 0, not {value!r}")
    return int(number)


def _input_id(content: Any) -> str:
    """A name for a row that has none: the same for the same input, on every machine."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), default=repr)
    return f"input-{blake2b(canonical.encode('utf-8', 'surrogatepass'), digest_size=12).hexdigest()}"

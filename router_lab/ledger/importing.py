"""Attempts from other tools' logs, sealed like our own, so that people can analyse what they have.

An attempt's id comes from the source's own id, so importing a file twice adds nothing the second
time. Rows the source gives no price for have no cost (null, not zero).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import NAMESPACE_URL, uuid5

from router_lab.errors import ConfigError
from router_lab.ledger.content import Content, hashed
from router_lab.ledger.import_formats import FOREIGN_FORMATS, ForeignFormat, jsonl_format
from router_lab.ledger.import_values import Foreign, foreign
from router_lab.ledger.rewrite import Shelf, add_files
from router_lab.ledger.rows import split_by_date
from router_lab.ledger.schema import ATTEMPTS, arrow_table, microseconds

if TYPE_CHECKING:
    from router_lab.ledger.core import Core

Source = Literal["litellm", "otel", "jsonl"]


def import_file(
    core: Core,
    path: Path,
    source: Source,
    columns: Mapping[str, str] | None,
    content: Content,
) -> int:
    """Add the attempts in `path` that are not in the ledger yet; returns how many.

    `columns` maps our column names to the source's, for `jsonl`. Raises `ConfigError` naming file and
    line for what cannot be read, or for two calls of one id, before anything is added.
    """
    calls = _each_once(_read(path, _format(source, columns)))

    def add(shelf: Shelf) -> int:
        rows = [list(_attempt(call, source, content).values()) for call in _new(core, path, source, calls)]
        data = arrow_table(ATTEMPTS, ATTEMPTS.names, rows)
        return add_files(shelf, [(ATTEMPTS, date, part) for date, part in split_by_date(ATTEMPTS, data)])

    return core.rewrite(add)


def _format(source: Source, columns: Mapping[str, str] | None) -> ForeignFormat:
    if source == "jsonl":
        return jsonl_format(columns or {})
    if source not in FOREIGN_FORMATS:
        raise ConfigError(f"source={source!r}: choose one of {', '.join([*FOREIGN_FORMATS, 'jsonl'])}")
    if columns:
        raise ConfigError(f"columns: those of source={source!r} are known; to map them say source='jsonl'")
    return FOREIGN_FORMATS[source]


def _read(path: Path, known: ForeignFormat) -> Iterator[tuple[str, Foreign]]:
    """Every model call with the place it was found at."""
    for where, document in _documents(path):
        place = where
        try:
            rows = list(known.rows(document))
            for number, row in enumerate(rows, start=1):
                place = f"{where}, row {number}" if len(rows) > 1 else where
                if not isinstance(row, dict):
                    raise ValueError(f"an object is needed, not {type(row).__name__}")
                values = known.read(row)
                if values is not None:
                    yield place, foreign(values)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            said = error if type(error) is ValueError else f"cannot be read as asked ({error!r})"
            raise ConfigError(f"{place}: {said}. {known.advice}") from error


def _documents(path: Path) -> Iterator[tuple[str, Any]]:
    """Either one JSON document, or one per line, with its place."""
    try:
        written = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    # Not `splitlines`: it also splits at characters that JSON allows within texts.
    lines = [(number, line) for number, line in enumerate(written.split("\n"), start=1) if line.strip()]
    if len(lines) > 1 and _is_json(lines[0][1]):
        for number, line in lines:
            place = f"{path}, line {number}"
            yield place, _parsed(line, place)
    elif lines:
        yield str(path), _parsed(written, str(path))


def _is_json(written: str) -> bool:
    try:
        json.loads(written)
    except (ValueError, RecursionError):
        return False
    return True


def _parsed(written: str, place: str) -> Any:
    try:
        return json.loads(written)
    except RecursionError:
        raise ConfigError(f"{place}: nested too deeply to be read") from None
    except ValueError as error:
        raise ConfigError(f"{place}: not JSON ({error})") from error


def _each_once(found: Iterable[tuple[str, Foreign]]) -> list[Foreign]:
    """Raises `ConfigError` where one id stands for calls that differ: all but one would be lost."""
    first: dict[str, tuple[str, Foreign]] = {}
    for place, call in found:
        its_place, known = first.setdefault(call.id, (place, call))
        if known != call:
            raise ConfigError(
                f"{place}: id={call.id!r} is that of another call, at {its_place}. "
                "Take the ids from where every call has its own"
            )
    return [call for _, call in first.values()]


def _new(core: Core, path: Path, source: str, calls: Sequence[Foreign]) -> list[Foreign]:
    """Those the ledger has not. Raises `ConfigError` for an id that it has for another call."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ours = {_attempt_id(source, call): call for call in calls}
    stored = core.reader.arrow("attempts", columns=["attempt_id", "started_at"])
    stored = stored.filter(pc.is_in(stored["attempt_id"], value_set=pa.array(list(ours), pa.string())))
    for attempt_id, started_at in zip(
        stored["attempt_id"].to_pylist(), stored["started_at"].cast(pa.int64()).to_pylist(), strict=True
    ):
        call = ours.pop(attempt_id)
        if microseconds(call.started_at) != started_at:
            raise ConfigError(
                f"{path}: id={call.id!r}, of {call.started_at.isoformat()}, is in the ledger already as a "
                "call of another time. Take the ids from where every call has its own"
            )
    return list(ours.values())


def _attempt_id(source: str, call: Foreign) -> str:
    return uuid5(NAMESPACE_URL, f"{source}:{call.id}").hex


def _attempt(call: Foreign, source: str, content: Content) -> dict[str, Any]:
    """Every column, in table order."""
    prompt = call.prompt or ""
    return dict.fromkeys(ATTEMPTS.names) | {
        "attempt_id": _attempt_id(source, call),
        "request_id": call.request_id or call.id,
        "attempt_no": 1,
        "started_at": microseconds(call.started_at),
        "latency_ms": _latency_ms(call),
        "task_type": call.task_type or f"imported::{source}",
        "route": f"imported::{source}",
        "model_alias": call.model,
        "provider": call.provider or "unknown",
        "model_requested": call.model,
        "model_actual": call.model_actual,
        "is_shadow": False,
        "switch_epoch": 0,
        "input_hash": hashlib.sha256(prompt.encode()).hexdigest(),
        "prompt_chars": len(prompt),
        "estimated_tokens_in": 0,
        "divisor": 0.0,
        "tokens_in": call.tokens_in,
        "tokens_out": call.tokens_out,
        "cache_read_tokens": call.cache_read_tokens,
        "cost_usd": call.cost_usd,
        "cost_source": "none" if call.cost_usd is None else "imported",
        "billing": _billing(call),
        "outcome": "http_error" if call.error else "ok",
        "interrupted": False,
        "error_type": call.error,
        "stop_reason": call.stop_reason,
        "output_reserve": 0,
        "overflow_escalated": False,
        "token_limited": False,
        "breaker_state": "closed",
        "user_id": call.user_id,
        "task_id": call.task_id,
        "tags": {"source": source, **call.tags},
        "prompt": _kept(call.prompt, content),
        "output": _kept(call.output, content),
    }


def _latency_ms(call: Foreign) -> float | None:
    # Clocks that were set back end a call before it began.
    if call.latency_ms is not None or call.ended_at is None or call.ended_at < call.started_at:
        return call.latency_ms
    return (call.ended_at - call.started_at).total_seconds() * 1e3


def _billing(call: Foreign) -> str:
    """An answer from the tool's own cache repeats the token counts of the call that was billed."""
    if call.is_from_cache and not call.cost_usd:
        return "unbilled"
    return "unknown" if call.tokens_in is None else "billed"


def _kept(text: str | None, content: Content) -> str | None:
    if content == "none":
        return None
    return hashed(text) if content == "hash" else text

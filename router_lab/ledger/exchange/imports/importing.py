"""Attempts from other tools' logs, sealed like our own, so that people can analyse what they have.

An attempt's id comes from the source's own id, so importing a file twice adds nothing the second
time. Rows the source gives no price for have no cost (null, not zero).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import NAMESPACE_URL, uuid5

from router_lab.arguments import choice, names
from router_lab.arrow import pa, pc
from router_lab.counted import counted
from router_lab.errors import ConfigError
from router_lab.ledger.content import Content, hashed
from router_lab.ledger.exchange.imports.foreign_call import ForeignCall, LogRow, foreign
from router_lab.ledger.exchange.imports.formats import (
    FOREIGN_FORMATS,
    ForeignFormat,
    NoModelCallError,
    jsonl_format,
    mapped_format,
)
from router_lab.ledger.exchange.imports.log_files import RowRefusal, documents
from router_lab.ledger.exchange.imports.nesting import innermost
from router_lab.ledger.journal.arrow_rows import split_by_date
from router_lab.ledger.schema import ATTEMPTS, arrow_table, microseconds
from router_lab.ledger.sealed.rewrite import add_files
from router_lab.ledger.sealed.sealed_files import SealedStore
from router_lab.router.providers.message_parts import was_cut

if TYPE_CHECKING:
    from router_lab.ledger.core import Core

Source = Literal["litellm", "otel", "openinference", "langfuse", "jsonl"]

_log = logging.getLogger("router_lab.ledger")
_TOLD = 5
# What such an answer refuses, no provider bills.
_UNBILLED = (400, 401, 403, 404, 413, 429)
# The same spans by another name: imported under both, they are the same attempts.
_ONE_FORMAT = {"openinference": "otel"}


class LogImport(int):
    """How many attempts were added. `problems` names every row of the file that was left out, and why."""

    problems: tuple[RowRefusal, ...] = ()


def import_file(
    core: Core,
    path: Path,
    source: Source,
    columns: Mapping[str, str] | None,
    content: Content,
    *,
    strict: bool = False,
) -> LogImport:
    """Add the attempts in `path` that are not in the ledger yet; returns how many.

    `columns` maps our column names to the source's: all for `jsonl`, elsewhere those that people fill.
    Raises `ConfigError`, before anything is added, naming file and line, for a column that no row has, for
    two calls of one id, for a file of which nothing can be used, and with `strict` for any row that cannot.
    """
    paths = names("columns", columns)
    known = _format(source, paths)
    problems: list[RowRefusal] = []
    unseen = dict(paths)
    found = list(_read(path, known, problems, unseen))
    calls = _each_once(innermost(found), source, problems)
    _refuse(path, problems, bool(calls), strict)
    for ours, theirs in unseen.items() if calls else ():
        raise ConfigError(f"{path}: columns: {ours}={theirs!r} is in no row of the file")
    name = _ONE_FORMAT.get(source, source)

    def add(store: SealedStore) -> int:
        rows = [list(_attempt(call, name, content).values()) for call in _new(core, path, name, calls)]
        data = arrow_table(ATTEMPTS, ATTEMPTS.names, rows)
        return add_files(store, [(ATTEMPTS, date, part) for date, part in split_by_date(ATTEMPTS, data)])

    added = LogImport(core.rewrite(add))
    added.problems = tuple(problems)
    return added


def _format(source: Source, columns: Mapping[str, str]) -> ForeignFormat:
    if choice("source", source, [*FOREIGN_FORMATS, "jsonl"]) == "jsonl":
        return jsonl_format(columns)
    return mapped_format(FOREIGN_FORMATS[source], columns)


def _refuse(path: Path, problems: Sequence[RowRefusal], has_calls: bool, strict: bool) -> None:
    """Say which rows are left out. Raises `ConfigError` where they all are, or with `strict`."""
    if not problems:
        return
    told = "\n".join(f"  {problem}" for problem in problems[:_TOLD])
    more = f"\n  and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
    unusable = not has_calls and not all(problem.is_no_call for problem in problems)
    if strict or unusable:
        if len(problems) == 1:
            raise ConfigError(str(problems[0]))
        raise ConfigError(
            f"{path}: nothing was imported, since {counted(len(problems), 'rows')} cannot "
            f"be used:\n{told}{more}"
        )
    _log.warning("%s: %d rows cannot be used and were left out:\n%s%s", path, len(problems), told, more)


def _read(
    path: Path, known: ForeignFormat, problems: list[RowRefusal], unseen: dict[str, str]
) -> Iterator[tuple[LogRow, str, ForeignCall | None]]:
    """Every row with its place, and its model call if it is one; what cannot be used goes to `problems`.

    Columns that a row has leave `unseen`, which names theirs by ours.
    """
    for place, row in known.joined([*_rows(path, known)]):
        if isinstance(row, RowRefusal):
            problems.append(row)
            continue
        try:
            if isinstance(row, ValueError):
                raise row
            if not isinstance(row, dict):
                raise ValueError(f"an object is needed, not {type(row).__name__}")
            found = known.read(row)
            for ours in [name for name, at in unseen.items() if known.member(row, at, unseen) is not unseen]:
                del unseen[ours]
            yield found, place, None if found.values is None else foreign(found.values)
        except _UNREADABLE as error:
            problems.append(_refusal(place, error, known.advice))


def _rows(path: Path, known: ForeignFormat) -> Iterator[tuple[str, Any]]:
    """Every row of every document, with its place; a `RowRefusal` for a document that has none."""
    for where, document in documents(path):
        if isinstance(document, RowRefusal):
            yield where, document
            continue
        try:
            rows = list(known.rows(document))
        except _UNREADABLE as error:
            yield where, _refusal(where, error, known.advice)
            continue
        for number, row in enumerate(rows, start=1):
            yield f"{where}, row {number}" if len(rows) > 1 else where, row


_UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


def _refusal(place: str, error: Exception, advice: str) -> RowRefusal:
    if isinstance(error, NoModelCallError):
        return RowRefusal(place, str(error), is_no_call=True)
    said = error if type(error) is ValueError else f"cannot be read as asked ({error!r})"
    return RowRefusal(place, f"{said}. {advice}")


def _each_once(
    found: Iterable[tuple[str, ForeignCall]], source: Source, problems: list[RowRefusal]
) -> list[ForeignCall]:
    """One call an id; of the versions of one call the last, which knows most.

    Calls of different times under one id are two calls. Where a mapping says what an id is, the mapping is
    wrong, and all but one would be lost: raises `ConfigError`. Elsewhere the later row is a problem.
    """
    kept: dict[str, tuple[str, ForeignCall]] = {}
    for place, call in found:
        its_place, known = kept.setdefault(call.id, (place, call))
        if known == call:
            continue
        if source != "jsonl" and known.started_at == call.started_at:
            kept[call.id] = (place, call)
            continue
        said = f"id={call.id!r} is that of another call, at {its_place}"
        if source == "jsonl":
            raise ConfigError(f"{place}: {said}. Take the ids from where every call has its own")
        problems.append(RowRefusal(place, said))
    return [call for _, call in kept.values()]


def _new(core: Core, path: Path, source: str, calls: Sequence[ForeignCall]) -> list[ForeignCall]:
    """Those the ledger has not. Raises `ConfigError` for an id that it has for another call."""
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


def _attempt_id(source: str, call: ForeignCall) -> str:
    return uuid5(NAMESPACE_URL, f"{source}:{call.id}").hex


def _attempt(call: ForeignCall, source: str, content: Content) -> dict[str, Any]:
    """Every column, in table order."""
    prompt = call.prompt or ""
    unknown_input = hashlib.sha256(f"{source}:{call.id}".encode()).hexdigest()
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
        "input_hash": call.input_hash or unknown_input,
        "prompt_chars": len(prompt),
        "estimated_tokens_in": 0,
        "divisor": 0.0,
        "tokens_in": call.tokens_in,
        "tokens_out": call.tokens_out,
        "cache_read_tokens": call.cache_read_tokens,
        "cache_write_tokens": call.cache_write_tokens,
        "reasoning_tokens": call.reasoning_tokens,
        "cost_usd": call.cost_usd,
        "cost_source": "none" if call.cost_usd is None else "imported",
        "billing": _billing(call),
        "outcome": "http_error" if call.error else "ok",
        "interrupted": False,
        "error_type": call.error,
        "http_status": call.http_status,
        "stop_reason": call.stop_reason,
        "output_reserve": 0,
        "overflow_escalated": False,
        "token_limited": was_cut(call.stop_reason),
        "breaker_state": "closed",
        "user_id": call.user_id,
        "task_id": call.task_id,
        "tags": {"source": source, **call.tags},
        "parameters": dict(call.parameters),
        "prompt": _kept(call.prompt, content),
        "output": _kept(call.output, content),
        "tool_calls": _kept(call.tool_calls, content),
        "thoughts": _kept(call.thoughts, content),
    }


def _latency_ms(call: ForeignCall) -> float | None:
    # Clocks that were set back end a call before it began.
    if call.latency_ms is not None or call.ended_at is None or call.ended_at < call.started_at:
        return call.latency_ms
    return (call.ended_at - call.started_at).total_seconds() * 1e3


def _billing(call: ForeignCall) -> str:
    """An answer from the tool's own cache repeats the token counts of the call that was billed."""
    if not call.cost_usd and (call.is_from_cache or (call.error and call.http_status in _UNBILLED)):
        return "unbilled"
    return "unknown" if call.tokens_in is None and not call.cost_usd else "billed"


def _kept(text: str | None, content: Content) -> str | None:
    if content == "none":
        return None
    return hashed(text) if content == "hash" else text

"""Attempts from other tools' logs, sealed like our own, so that people can analyse what they have.

An attempt's id comes from the source's own id, so importing a file twice adds nothing the second
time. Rows the source gives no price for have no cost (null, not zero).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import NAMESPACE_URL, uuid5

from router_lab.errors import ConfigError
from router_lab.ledger.content import Content, hashed
from router_lab.ledger.import_formats import FOREIGN_FORMATS, Foreign, jsonl_reader
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
    line for what cannot be read, before anything is added.
    """
    read = _reader(source, columns)
    rows = [_attempt(foreign, source, content) for foreign in _read(path, read)]

    def add(shelf: Shelf) -> int:
        known = set(core.reader.arrow("attempts", columns=["attempt_id"])["attempt_id"].to_pylist())
        fresh = {row["attempt_id"]: list(row.values()) for row in rows if row["attempt_id"] not in known}
        names = list(rows[0]) if rows else []
        data = arrow_table(ATTEMPTS, names, list(fresh.values()))
        return add_files(shelf, [(ATTEMPTS, date, part) for date, part in split_by_date(ATTEMPTS, data)])

    return core.rewrite(add)


def _reader(source: Source, columns: Mapping[str, str] | None) -> Callable[[Any], Iterator[Foreign]]:
    if source == "jsonl":
        return jsonl_reader(columns or {})
    if source not in FOREIGN_FORMATS:
        raise ConfigError(f"source={source!r}: choose one of {', '.join([*FOREIGN_FORMATS, 'jsonl'])}")
    return FOREIGN_FORMATS[source]


def _read(path: Path, read: Callable[[Any], Iterator[Foreign]]) -> Iterator[Foreign]:
    for where, document in _documents(path):
        try:
            yield from read(document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"{path}, {where}: cannot be read as asked ({error!r})") from error


def _documents(path: Path) -> Iterator[tuple[str, Any]]:
    """Either one JSON document, or one per line."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    try:
        yield "the document", json.loads(text)
        return
    except json.JSONDecodeError:
        lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except json.JSONDecodeError as error:
            raise ConfigError(f"{path}, line {number}: not JSON ({error})") from error
        yield f"line {number}", document


def _attempt(foreign: Foreign, source: str, content: Content) -> dict[str, Any]:
    """Every column, in table order."""
    row = dict.fromkeys(ATTEMPTS.names)
    prompt, output = foreign.prompt, foreign.output
    row |= {
        "attempt_id": uuid5(NAMESPACE_URL, f"{source}:{foreign.id}").hex,
        "request_id": foreign.request_id or foreign.id,
        "attempt_no": 1,
        "started_at": microseconds(foreign.started_at),
        "latency_ms": foreign.latency_ms,
        "task_type": foreign.task_type or f"imported::{source}",
        "route": f"imported::{source}",
        "model_alias": foreign.model,
        "provider": foreign.provider or "unknown",
        "model_requested": foreign.model,
        "model_actual": foreign.model_actual,
        "is_shadow": False,
        "switch_epoch": 0,
        "input_hash": hashlib.sha256((prompt or "").encode("utf-8", "surrogatepass")).hexdigest(),
        "prompt_chars": len(prompt or ""),
        "estimated_tokens_in": 0,
        "divisor": 0.0,
        "tokens_in": foreign.tokens_in,
        "tokens_out": foreign.tokens_out,
        "cache_read_tokens": foreign.cache_read_tokens,
        "cost_usd": foreign.cost_usd,
        "cost_source": "none" if foreign.cost_usd is None else "imported",
        "billing": "unknown" if foreign.tokens_in is None else "billed",
        "outcome": "http_error" if foreign.error else "ok",
        "interrupted": False,
        "error_type": foreign.error,
        "stop_reason": foreign.stop_reason,
        "output_reserve": 0,
        "overflow_escalated": False,
        "token_limited": False,
        "breaker_state": "closed",
        "user_id": foreign.user_id,
        "task_id": foreign.task_id,
        "tags": {"source": source, **foreign.tags},
        "prompt": _kept(prompt, content),
        "output": _kept(output, content),
    }
    return row


def _kept(text: str | None, content: Content) -> str | None:
    if text is None or content == "none":
        return None
    return (
        hashed(text)
        if content == "hash"
        else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    )

"""Calls that a ledger holds as rows: what was asked, rebuilt from the stored prompt, and what was answered.

A stored prompt is the text itself, or a transcript of a conversation with its system text, tools and schema.
A transcript is taken apart again, and taken for the request only if that has the stored `input_hash`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Any

from router_lab.errors import ConfigError, RouterLabError
from router_lab.ledger.content import is_hash
from router_lab.parameters import CHECKS, Parameters
from router_lab.router.request.request import Request, hash_with
from router_lab.task_types import within as below

_AT_ONCE = 500
_PART = re.compile(r"(?:\A|\n\n)(system|tools|schema|user|assistant): ")
_KEPT = (
    "attempt_id", "request_id", "task_id", "task_type", "prompt", "output", "tool_calls", "input_hash",
    "parameters", "latency_ms", "tokens_in", "tokens_out", "stop_reason", "user_id", "tags", "cost_source",
)  # fmt: skip


def is_ledger(source: Any) -> bool:
    """Whether rows are given as a ledger: one that is open, its tables, or its folder."""
    if isinstance(source, str | Path):
        return "://" in str(source) or Path(source).is_dir()
    return callable(getattr(source, "tables", None)) or hasattr(source, "comparisons")


class LedgerRows:
    """The primaries' answers in a ledger, of a task type and those below it, since a time."""

    name = "ledger"

    def __init__(self, source: Any, within: str | None, since: datetime | None) -> None:
        self._source = source
        self._within = within
        self._since = since

    def __iter__(self) -> Iterator[Any]:
        from router_lab.analysis.ledger_tables import batches_of, tables_of

        asked = _answers(tables_of(self._source), self._within, self._since)
        for batch in batches_of(asked, _AT_ONCE):
            yield from map(self._row, batch.to_pylist())

    def _row(self, stored: Mapping[str, Any]) -> Any:
        where = f"request {stored['request_id']}"
        for name in ("prompt", "output", "tool_calls"):
            if is_hash(stored[name]):
                return ConfigError(f"{where}: of its `{name}` the ledger has a hash only")
        if stored["prompt"] is None:
            return ConfigError(f"{where}: its `prompt` was not kept")
        asked = _asked(stored)
        if asked is None:
            return ConfigError(
                f"{where}: its `prompt` is a transcript from which the request cannot be rebuilt (images, or "
                "results of tools)"
            )
        return {
            **asked,
            "id": stored["task_id"] or stored["request_id"],
            "key": stored["attempt_id"],
            "request_id": stored["request_id"],
            "task_type": stored["task_type"],
            "user_id": stored["user_id"],
            "tags": _json(stored["tags"]),
            "output": stored["output"] or None,
            "tool_calls": stored["tool_calls"],
            "model": stored["model"],
            "cost_usd": stored["total_usd"],
            "latency_ms": stored["latency_ms"],
            "tokens_in": stored["tokens_in"],
            "tokens_out": stored["tokens_out"],
            "stop_reason": stored["stop_reason"],
            "attempt_id": stored["attempt_id"],
        }


def _answers(tables: Any, within: str | None, since: datetime | None) -> Any:
    """Attempts of primaries that answered, with what all attempts of their call cost, as an Ibis table.

    What an earlier replay wrote of a log is no call. An import has one row a call, and several calls may be
    of one request there; `total_usd` is null where its log did not state it.
    """
    import ibis

    attempts = tables.attempts
    attempts = attempts.filter(~attempts.is_shadow & ~attempts.attempt_id.startswith("replay-"))
    if within is not None:
        attempts = attempts.filter(below(attempts.task_type, within))
    if since is not None:
        attempts = attempts.filter(attempts.started_at >= since)
    whole = attempts.cost_usd.sum().over(ibis.window(group_by="request_id"))
    named = attempts.select(
        *_KEPT,
        "outcome",
        model=attempts.model_actual.fill_null(attempts.model_requested),
        total_usd=ibis.cases(
            (attempts.cost_source.isin(["none", "playback"]), ibis.null("float64")),
            (attempts.cost_source == "imported", attempts.cost_usd),
            else_=whole,
        ),
    )
    return named.filter(named.outcome == "ok").drop("outcome", "cost_source")


def _asked(stored: Mapping[str, Any]) -> dict[str, Any] | None:
    """`prompt`, or `messages` with `system`, `tools` and `schema`, and the `parameters` of the call and its
    route; None where that cannot be told.
    """
    text, parameters = stored["prompt"], _call_parameters(_json(stored["parameters"]))
    for asked in ({"prompt": text}, _taken_apart(text)):
        known = None if asked is None else _parameters_of(stored["input_hash"], parameters, asked)
        if asked is not None and known is not None:
            return {**asked, "parameters": known}
    # A log may know no hash of ours; what does not look like a transcript is the prompt itself.
    return {"prompt": text, "parameters": parameters} if _PART.match(text) is None else None


def _parameters_of(
    input_hash: Any, parameters: Mapping[str, Any], asked: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Which of a row's parameters are a part of its hash; None for another request.

    Those that a model's own entry adds are not: they are that model's, not what was asked of it.
    """
    try:
        plain = Request.build(task_type="any", **asked).input_hash
        for count in range(len(parameters), -1, -1):
            for names in combinations(sorted(parameters), count):
                some = {name: parameters[name] for name in names}
                if input_hash == hash_with(plain, Parameters.read(**some).asked()):
                    return some
    except (RouterLabError, ValueError, TypeError):
        return None
    return None


def _taken_apart(text: str) -> dict[str, Any] | None:
    found = list(_PART.finditer(text))
    if not found or found[0].start() != 0:
        return None
    ends = [part.start() for part in found[1:]] + [len(text)]
    rebuilt: dict[str, Any] = {"messages": []}
    for part, end in zip(found, ends, strict=True):
        kind, said = part.group(1), text[part.end() : end]
        if kind in ("user", "assistant"):
            rebuilt["messages"].append({"role": kind, "content": said})
        elif kind == "system":
            rebuilt["system"] = said
        else:
            try:
                rebuilt[kind] = _tools(json.loads(said)) if kind == "tools" else json.loads(said)
            except (ValueError, TypeError, RecursionError):
                return None
    return rebuilt if rebuilt["messages"] else None


def _tools(stored: Any) -> list[dict[str, Any]]:
    return [
        {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}
        for name, description, parameters in stored
    ]


def _call_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name in CHECKS and name != "extra_headers"}


def _json(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        value = json.loads(value)
    return dict(value or {})

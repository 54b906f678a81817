"""Calls that a ledger holds as rows: what was asked, rebuilt from the stored prompt, and what was answered.

A stored prompt is the text itself, or a transcript of a conversation with its system text, tools and schema.
A transcript is taken apart again, and taken for the request only if that has the stored `input_hash`. It
does not say the ids of tool calls: these are looked for in the answers of earlier steps.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import combinations, islice, product
from pathlib import Path
from typing import Any

from router_lab.errors import ConfigError, RouterLabError
from router_lab.ledger.content import is_hash
from router_lab.parameters import CHECKS, Parameters
from router_lab.records import ToolCall
from router_lab.router.answers.tool_calls import canonical_json
from router_lab.router.request.request import Request, hash_with
from router_lab.task_types import within as below

_AT_ONCE = 500
_PART = re.compile(r"(?:\A|\n\n)(system|tools|schema|user|assistant|tool): ")
# Sets of ids that are tried for the calls of one conversation.
_TRIES = 500
_KEPT = (
    "attempt_id", "request_id", "task_id", "task_type", "prompt", "output", "tool_calls", "input_hash",
    "parameters", "latency_ms", "tokens_in", "tokens_out", "stop_reason", "user_id", "tags", "cost_source",
)  # fmt: skip

# What calls, as canonical JSON, have for ids in answers of the ledger.
_Ids = Mapping[str, Sequence[Sequence[str]]]


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
        from router_lab.analysis.ledger_tables import arrow_of, batches_of, tables_of

        tables = tables_of(self._source)
        asked = _answers(tables, self._within, self._since)
        own_tables = tables_of(self._source)  # while rows are read, their own connection answers nothing else
        is_shared = own_tables is tables
        batches = arrow_of(asked).to_batches(_AT_ONCE) if is_shared else batches_of(asked, _AT_ONCE)
        for batch in batches:
            rows = batch.to_pylist()
            known = _ids_of_calls(own_tables, rows)
            yield from (self._row(row, known) for row in rows)

    def _row(self, stored: Mapping[str, Any], known_ids: _Ids) -> Any:
        where = f"request {stored['request_id']}"
        for name in ("prompt", "output", "tool_calls"):
            if is_hash(stored[name]):
                return ConfigError(f"{where}: of its `{name}` the ledger has a hash only")
        if stored["prompt"] is None:
            return ConfigError(f"{where}: its `prompt` was not kept")
        asked = _asked(stored, known_ids)
        if asked is None:
            return ConfigError(
                f"{where}: its `prompt` is a transcript from which the request cannot be rebuilt (images, or "
                "results of tools whose calls are no answer in this ledger)"
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


def _asked(stored: Mapping[str, Any], known_ids: _Ids) -> dict[str, Any] | None:
    """`prompt`, or `messages` with `system`, `tools` and `schema`, and the `parameters` of the call and its
    route; None where that cannot be told.
    """
    text, parameters = stored["prompt"], _call_parameters(_json(stored["parameters"]))
    for asked in ({"prompt": text}, *_with_ids(_taken_apart(text), known_ids)):
        known = _parameters_of(stored["input_hash"], parameters, asked)
        if known is not None:
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
        if kind in ("user", "assistant", "tool"):
            rebuilt["messages"].append(_turn(kind, said))
        elif kind == "system":
            rebuilt["system"] = said
        else:
            try:
                rebuilt[kind] = _tools(json.loads(said)) if kind == "tools" else json.loads(said)
            except (ValueError, TypeError, RecursionError):
                return None
    return rebuilt if rebuilt["messages"] else None


def _turn(role: str, said: str) -> dict[str, Any]:
    """One turn: behind an assistant's text, a line for each of its calls."""
    lines, calls = said.split("\n"), list[dict[str, Any]]()
    while role == "assistant" and lines and (call := _call(lines[-1])) is not None:
        calls.insert(0, call)
        lines.pop()
    turn: dict[str, Any] = {"role": role, "content": "\n".join(lines)}
    return turn | {"tool_calls": calls} if calls else turn


def _call(line: str) -> dict[str, Any] | None:
    try:
        name, arguments = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        return None
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None
    return {"function": {"name": name, "arguments": arguments}}


def _ids_of_calls(tables: Any, rows: Sequence[Mapping[str, Any]]) -> _Ids:
    """The ids that answers of the ledger have for the calls which stand in these prompts."""
    from router_lab.analysis.ledger_tables import arrow_of

    asked = {
        _canonical(turn)
        for row in rows
        if row["prompt"] is not None and "\n\ntool: " in row["prompt"]
        for turn in (_taken_apart(row["prompt"]) or {"messages": []})["messages"]
        if "tool_calls" in turn
    }
    if not asked:
        return {}
    attempts = tables.attempts.filter(tables.attempts.tool_calls.isin(sorted(asked)))
    found: dict[str, list[list[str]]] = defaultdict(list)
    for one in arrow_of(attempts.select("tool_calls", "tool_call_ids").distinct()).to_pylist():
        if one["tool_call_ids"] is not None:
            found[one["tool_calls"]].append(json.loads(one["tool_call_ids"]))
    return found


def _canonical(turn: Mapping[str, Any]) -> str:
    functions = [call["function"] for call in turn["tool_calls"]]
    return canonical_json([ToolCall("", one["name"], one["arguments"]) for one in functions]) or ""


def _with_ids(asked: dict[str, Any] | None, known: _Ids) -> Iterator[dict[str, Any]]:
    """The request with ids for its calls, and for what the tools answered, every way they may have been."""
    if asked is None:
        return
    calling = [turn for turn in asked["messages"] if "tool_calls" in turn]
    # A call that came without an id has its number.
    choices = [
        [
            *known.get(_canonical(turn), ()),
            [f"call_{number + 1}" for number in range(len(turn["tool_calls"]))],
        ]
        for turn in calling
    ]
    for chosen in islice(product(*choices), _TRIES):
        yield asked | {"messages": list(_linked(asked["messages"], iter(chosen)))}


def _linked(messages: Sequence[Mapping[str, Any]], ids: Iterator[Sequence[str]]) -> Iterator[dict[str, Any]]:
    """Calls with their ids, and the answers of tools with those of the calls before them, in their order."""
    waiting: list[str] = []
    for turn in messages:
        if "tool_calls" in turn:
            waiting = list(next(ids))
            pairs = zip(waiting, turn["tool_calls"], strict=False)
            yield {**turn, "tool_calls": [{"id": one, **call} for one, call in pairs]}
        elif turn["role"] == "tool" and waiting:
            yield {**turn, "tool_call_id": waiting.pop(0)}
        else:
            yield dict(turn)


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

"""Langfuse's observations as model calls: what its API and UI export, and its blob export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from router_lab.ledger.exchange.imports.foreign_call import (
    LogRow,
    counted,
    first,
    needed,
    priced,
)
from router_lab.ledger.exchange.imports.message_content import asked, said
from router_lab.ledger.exchange.imports.messages import as_json

# What happens inside of these is another matter than the generation around them.
_BOUNDARIES = ("TOOL", "AGENT")


def langfuse_rows(document: Any) -> Iterator[Any]:
    """Observations: a list of them, one, or those of traces, which say who asked."""
    if isinstance(document, dict) and isinstance(document.get("data"), list):
        document = document["data"]
    for one in document if isinstance(document, list) else [document]:
        observations = one.get("observations") if isinstance(one, dict) else None
        if not isinstance(observations, list) or not all(isinstance(each, dict) for each in observations):
            yield one
            continue
        of_trace = {
            "_user": first(one, "userId", "user_id"),
            "_session": first(one, "sessionId", "session_id"),
        }
        for each in observations:
            yield {"traceId": one.get("id"), **of_trace, **each}


def read_observation(row: dict[str, Any]) -> LogRow:
    """An observation, with the values of its model call if it is a generation."""
    kind = str(row.get("type") or "").upper()
    model = first(row, "model", "providedModelName", "provided_model_name")
    if not kind and model is None:
        raise ValueError("no 'type': these are not observations; export those")
    key, parent = needed(row, "id"), first(row, "parentObservationId", "parent_observation_id")
    if kind not in ("", "GENERATION"):
        return LogRow(None, key, parent, kind in _BOUNDARIES)
    failed = str(row.get("level") or "").upper() == "ERROR"
    seconds = row.get("latency")
    values = {
        **asked(row.get("input"), parameters=first(row, "modelParameters", "model_parameters")),
        **said(row.get("output")),
        "id": key,
        "request_id": first(row, "traceId", "trace_id"),
        "started_at": first(row, "startTime", "start_time") or needed({}, "startTime"),
        "ended_at": first(row, "endTime", "end_time"),
        "latency_ms": float(seconds) * 1e3 if isinstance(seconds, int | float) else None,
        "model": model if model is not None else needed({}, "model"),
        "task_type": None,
        **_tokens(row),
        "cost_usd": _cost(row),
        "error": "error" if failed else None,
        "user_id": first(row, "userId", "user_id", "_user"),
        "task_id": first(row, "sessionId", "session_id", "_session"),
    }
    return LogRow(values, key, parent)


def _tokens(row: Mapping[str, Any]) -> dict[str, Any]:
    details = _numbers(
        first(row, "usageDetails", "usage_details", "providedUsageDetails", "provided_usage_details")
    )
    if details:
        return _of_details(details)
    usage = as_json(row.get("usage"))
    usage = usage if isinstance(usage, Mapping) else {}
    if usage.get("unit") not in (None, "", "TOKENS"):
        return {}
    return counted(
        first(usage, "input", "promptTokens", "prompt_tokens", "inputUsage")
        or first(row, "promptTokens", "prompt_tokens", "inputUsage", "input_usage"),
        first(usage, "output", "completionTokens", "completion_tokens", "outputUsage")
        or first(row, "completionTokens", "completion_tokens", "outputUsage", "output_usage"),
    )


def _of_details(details: Mapping[str, float]) -> dict[str, Any]:
    """Kinds of tokens stand beside one another, and `total` is their sum, unless it says otherwise."""
    into = {name: value for name, value in details.items() if name.startswith("input") or "cache" in name}
    out = {name: value for name, value in details.items() if name.startswith("output")}
    plain_in, plain_out = details.get("input"), details.get("output")
    inside = details.get("total") == (plain_in or 0) + (plain_out or 0)
    return counted(
        plain_in if inside else sum(into.values()) if into else None,
        plain_out if inside else sum(out.values()) if out else None,
        read=_named(details, "cached", "cache_read"),
        written=_named(details, "cache_creation", "cache_write"),
        reasoning=_named(details, "reasoning"),
    )


def _named(details: Mapping[str, float], *parts: str) -> float | None:
    return next((value for name, value in details.items() if any(part in name for part in parts)), None)


def _numbers(value: Any) -> dict[str, float]:
    decoded = as_json(value)
    if not isinstance(decoded, Mapping):
        return {}
    return {str(name): float(number) for name, number in decoded.items() if number not in (None, "")}


def _cost(row: Mapping[str, Any]) -> Any:
    """What it cost; a model that Langfuse knows no price of costs nothing there."""
    details = _numbers(
        first(row, "costDetails", "cost_details", "providedCostDetails", "provided_cost_details")
    )
    if details:
        parts = sum(value for name, value in details.items() if name != "total")
        return priced(details.get("total") or parts)
    usage = row.get("usage")
    stated = first(
        row, "totalCost", "total_cost", "calculatedTotalCost", "calculated_total_cost", "totalPrice"
    )
    if stated is None and isinstance(usage, Mapping):
        stated = usage.get("totalCost")
    return priced(stated)

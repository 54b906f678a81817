"""The primary side of a pair out of a log: what was answered, by which model, and what that cost there.

Nothing is sent for it. Its attempt row keeps the prompt, the answer and the tokens, for people who look at
the pair; it is `unbilled`, with a cost of 0 and the source `imported`, and counts against no budget, since
this ledger did not pay for it. What the log says it cost stands in the pair.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from router_lab.errors import ConfigError
from router_lab.parameters import NOTHING_ASKED
from router_lab.records import Attempt, Completion, Reply, ToolCall
from router_lab.replay.dataset_rows import text_of
from router_lab.router.answers.data import read_answer
from router_lab.router.answers.thoughts import separated
from router_lab.router.answers.tool_calls import call_ids, canonical_json, is_call, read_calls, with_ids
from router_lab.router.attempts.job import Figures, FinishedJob, Job
from router_lab.router.providers.message_parts import was_cut
from router_lab.settings.models import Settings

_MOST = 1e12


@dataclass(frozen=True, slots=True)
class LoggedAnswer:
    """The columns of an answer in a log. `attempt_id` is that of a row in the ledger that is written to."""

    output: str = field(repr=False)
    tool_calls: tuple[ToolCall, ...] = ()
    model: str | None = None
    cost_usd: float | None = None
    latency_ms: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    stop_reason: str | None = None
    attempt_id: str | None = None

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> LoggedAnswer:
        """Check the columns. Raises `ConfigError` naming the one that is wrong, or that is missing."""
        calls = _calls(row.get("tool_calls"))
        output = row.get("output")
        if output is None and not calls:
            raise ConfigError(
                "`output` is missing or empty: primary='logged' needs it; primary='call' asks anew"
            )
        if output is not None and not isinstance(output, str):
            output = json.dumps(output, ensure_ascii=False, default=str)
        return cls(
            output=output or "",
            tool_calls=calls,
            model=text_of("model", row.get("model")),
            cost_usd=_number("cost_usd", row.get("cost_usd")),
            latency_ms=_number("latency_ms", row.get("latency_ms")),
            tokens_in=_count("tokens_in", row.get("tokens_in")),
            tokens_out=_count("tokens_out", row.get("tokens_out")),
            stop_reason=text_of("stop_reason", row.get("stop_reason")),
            attempt_id=text_of("attempt_id", row.get("attempt_id")),
        )


def logged_answer(
    logged: LoggedAnswer, job: Job, settings: Settings, attempt_id: str, now: datetime
) -> FinishedJob:
    """The answer as a finished job, under the alias of its model, or the model's own name."""
    alias = _alias(logged.model, job.route.model, settings)
    job.route = replace(job.route, model=alias)
    text, thoughts = separated(logged.output)
    row = _attempt(logged, job, settings, logged.attempt_id or attempt_id, now, text, thoughts)
    job.rows.append(row)
    data = read_answer(Reply(text, usage=None, stop_reason=None, model=None), None, "auto")
    figures = Figures(logged.cost_usd, logged.latency_ms)
    return FinishedJob(job, _completion(job, row, data, logged.tool_calls), figures=figures)


def stored_answer(job: Job, row: Attempt) -> FinishedJob:
    """An answer that is in the ledger already, as that of a finished job, with the attempts it has so far."""
    job.rows.append(row)
    data = read_answer(Reply(row.output or "", usage=None, stop_reason=None, model=None), None, "auto")
    done = _completion(job, row, data, with_ids(read_calls(row.tool_calls), row.tool_call_ids))
    return FinishedJob(job, done, figures=Figures(job.cost_usd, row.latency_ms))


def _attempt(
    logged: LoggedAnswer,
    job: Job,
    settings: Settings,
    attempt_id: str,
    now: datetime,
    text: str,
    thoughts: str,
) -> Attempt:
    request, alias = job.request, job.route.model
    known = settings.models.get(alias)
    return Attempt(
        attempt_id=attempt_id,
        request_id=job.request_id,
        attempt_no=1,
        started_at=now.astimezone(UTC),
        latency_ms=logged.latency_ms,
        task_type=request.task_type,
        route=job.route.name,
        model_alias=alias,
        provider="unknown" if known is None else known.provider,
        model_requested=logged.model or (alias if known is None else known.model),
        model_actual=logged.model,
        is_shadow=False,
        comparison_id=None,
        switch_epoch=job.switch_epoch,
        input_hash=request.input_hash,
        prompt_chars=request.prompt_chars,
        estimated_tokens_in=0,
        divisor=0.0,
        tokens_in=logged.tokens_in,
        tokens_out=logged.tokens_out,
        cache_read_tokens=None,
        cache_write_tokens=None,
        reasoning_tokens=None,
        cost_usd=0.0,
        worst_usd=0.0,
        cost_source="imported",
        billing="unbilled",
        outcome="ok",
        interrupted=False,
        error_type=None,
        http_status=None,
        stop_reason=logged.stop_reason,
        num_ctx=None,
        output_reserve=0,
        truncation_signal=None,
        overflow_escalated=False,
        token_limited=was_cut(logged.stop_reason),
        breaker_state="closed",
        user_id=request.user_id,
        task_id=request.task_id,
        tags=request.tags,
        parameters={} if request.parameters == NOTHING_ASKED else request.parameters.row(),
        prompt_version=request.prompt_version,
        prompt=request.prompt_text,
        output=text,
        tool_calls=canonical_json(logged.tool_calls),
        thoughts=thoughts or None,
        tool_call_ids=call_ids(logged.tool_calls),
    )


def _completion(job: Job, row: Attempt, data: Any, calls: tuple[ToolCall, ...]) -> Completion:
    metadata = job.metadata(row.latency_ms or 0.0)
    return Completion(text=row.output or "", data=data, tool_calls=calls, metadata=metadata)


def _alias(model: str | None, routed: str, settings: Settings) -> str:
    """The route's alias where the log names no model, or that one; else an alias of it, else its name."""
    if model is None or model in (routed, settings.models[routed].model):
        return routed
    if model in settings.models:
        return model
    return next((alias for alias, one in sorted(settings.models.items()) if one.model == model), model)


def _calls(value: Any) -> tuple[ToolCall, ...]:
    """Calls as this library stores them, or as OpenAI writes them, or the JSON of either."""
    if value is None:
        return ()
    try:
        decoded = json.loads(value) if isinstance(value, str) else value
        if not isinstance(decoded, list | tuple):
            raise ValueError("it must be a list of calls")
        return read_calls([_call(one) for one in decoded])
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"`tool_calls` cannot be read: {error}") from None


def _call(value: Any) -> Mapping[str, Any]:
    if is_call(value):
        known: Mapping[str, Any] = value
        return known
    function = value.get("function") if isinstance(value, Mapping) else None
    if isinstance(function, Mapping):
        arguments = function.get("arguments")
        arguments = json.loads(arguments) if isinstance(arguments, str) and arguments else arguments or {}
        call = {"name": function.get("name"), "arguments": arguments}
        if is_call(call):
            return call
    raise ValueError('a call is {"name": ..., "arguments": {...}}')


def _number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not 0 <= number <= _MOST:
        raise ConfigError(f"`{name}` must be a number from 0 on, not {str(value)[:60]!r}")
    return number


def _count(name: str, value: Any) -> int | None:
    number = _number(name, value)
    if number is None:
        return None
    if not number.is_integer():
        raise ConfigError(f"`{name}` must be a whole number, not {number!r}")
    return int(number)

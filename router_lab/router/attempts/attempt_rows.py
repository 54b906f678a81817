"""From a planned attempt, and then from its settlement, to a row of `attempts`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from router_lab.errors import ResponseParseError
from router_lab.records import Attempt, CostSource, Usage
from router_lab.router.answers.thoughts import separated
from router_lab.router.answers.tool_calls import call_ids, canonical_json
from router_lab.router.attempts.job import Job
from router_lab.router.attempts.settlement import Settlement
from router_lab.router.clock import new_id

if TYPE_CHECKING:
    from router_lab.router.attempts.attempt_plan import AttemptPlan


def lost_row(
    job: Job, plan: AttemptPlan, breaker_state: str, reserved_usd: float, held_usd: float, now: datetime
) -> Attempt:
    """The row as it must read if nothing more is ever heard of the attempt: its likely cost and the worst."""
    request, target = job.request, plan.target
    return Attempt(
        attempt_id=new_id(now),
        request_id=job.request_id,
        attempt_no=len(job.rows) + 1,
        started_at=now,
        latency_ms=None,
        task_type=request.task_type,
        route=job.route.name,
        model_alias=target.alias,
        provider=target.settings.provider,
        model_requested=target.settings.model,
        model_actual=None,
        is_shadow=job.is_shadow,
        comparison_id=job.comparison_id,
        switch_epoch=job.switch_epoch,
        input_hash=request.input_hash,
        prompt_chars=request.prompt_chars,
        estimated_tokens_in=plan.estimate.tokens,
        divisor=plan.estimate.divisor,
        tokens_in=None,
        tokens_out=None,
        cache_read_tokens=None,
        cache_write_tokens=None,
        reasoning_tokens=None,
        cost_usd=reserved_usd,
        worst_usd=held_usd,
        cost_source="reserved",
        billing="unknown",
        outcome="lost",
        interrupted=False,
        error_type=None,
        http_status=None,
        stop_reason=None,
        num_ctx=target.window if target.is_ollama else None,
        output_reserve=plan.output_reserve,
        truncation_signal=None,
        overflow_escalated=job.overflow_escalated,
        token_limited=False,
        breaker_state=breaker_state,
        user_id=request.user_id,
        task_id=request.task_id,
        tags=request.tags,
        parameters=plan.call.parameters.row(),
        prompt_version=request.prompt_version,
        prompt=request.prompt_text,
        output=None,
    )


def settled_row(
    lost: Attempt, settled: Settlement, latency_ms: float | None, cost_usd: float, cost_source: CostSource
) -> Attempt:
    """The row as it came to be, in place of `lost`."""
    usage, reply = settled.usage, settled.reply
    # What is left of an answer that never became a reply still has its thoughts in it.
    output, thoughts = separated(settled.text) if reply is None and settled.text else (settled.text, "")
    return replace(
        lost,
        latency_ms=latency_ms,
        model_actual=reply.model if reply is not None else None,
        tokens_in=usage.tokens_in if usage is not None else None,
        tokens_out=usage.tokens_out if usage is not None else None,
        cache_read_tokens=usage.cache_read_tokens if usage is not None else None,
        cache_write_tokens=_cache_writes(usage),
        reasoning_tokens=usage.reasoning_tokens if usage is not None else None,
        cost_usd=cost_usd,
        worst_usd=lost.worst_usd if settled.billing == "unknown" else cost_usd,
        provider_cost_usd=usage.provider_cost_usd if usage is not None else None,
        cost_source=cost_source,
        billing=settled.billing,
        outcome=settled.outcome,
        interrupted=settled.interrupted,
        error_type=type(settled.error).__name__ if settled.error is not None else None,
        http_status=settled.http_status,
        stop_reason=reply.stop_reason if reply is not None else None,
        truncation_signal=settled.signal,
        token_limited=reply.token_limited if reply is not None else _was_cut(settled),
        output=output,
        tool_calls=canonical_json(reply.tool_calls) if reply is not None else None,
        thoughts=(reply.thinking if reply is not None else thoughts) or None,
        tool_call_ids=call_ids(reply.tool_calls) if reply is not None else None,
    )


def _was_cut(settled: Settlement) -> bool:
    return isinstance(settled.error, ResponseParseError) and settled.error.token_limited


def _cache_writes(usage: Usage | None) -> int | None:
    return None if usage is None else usage.cache_write_tokens + usage.cache_write_1h_tokens

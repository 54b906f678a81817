"""Token counts, under whatever name and in whatever place a server gives them, in our convention.

Servers agree on the idea of a usage and on little else: names differ, cached tokens stand beside the
prompt's count or inside it, reasoning inside the completion or beside it. What the names leave open the
total decides. A prompt is never empty, so a count of zero says that nobody counted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from router_lab.records import Reply, Usage
from router_lab.router.providers.wire import count, decode, member, objects, text_of

# Each list is in the order of preference; a dot leads into an object.
_PROMPT = (
    "prompt_tokens",
    "input_tokens",
    "promptTokens",
    "inputTokens",
    "promptTokenCount",
    "prompt_token_count",
    "inputTokenCount",
    "input_token_count",
    "prompt_eval_count",
    "prompt_token",
    "num_prompt_tokens",
    "prompt_tokens_count",
    "tokens.input_tokens",
)
_ANSWER = (
    "completion_tokens",
    "output_tokens",
    "completionTokens",
    "outputTokens",
    "candidatesTokenCount",
    "candidates_token_count",
    "outputTokenCount",
    "output_token_count",
    "eval_count",
    "generated_tokens",
    "generation_tokens",
    "num_completion_tokens",
    "completion_tokens_count",
    "generated_token_count",
    "tokens.output_tokens",
)
_TOTAL = ("total_tokens", "totalTokens", "totalTokenCount", "total_token_count")
_CACHE_READ = (
    "prompt_tokens_details.cached_tokens",
    "input_tokens_details.cached_tokens",
    "prompt_tokens_details.cache_read_tokens",
    "input_tokens_details.cache_read_tokens",
    "prompt_tokens_details.cache_read_input_tokens",
    "cache_read_input_tokens",
    "cacheReadInputTokens",
    "prompt_cache_hit_tokens",
    "cached_tokens",
    "num_cached_tokens",
    "cached_prompt_tokens",
    "cache_read_tokens",
    "cached_prompt_text_tokens",
    "input_cached_tokens",
    "cachedTokens",
    "cachedContentTokenCount",
    "cached_content_token_count",
    "cachedInputTokens",
    "cached_input_tokens",
    "prompt_eval_cached_count",
)
_CACHE_WRITE = (
    "cache_creation_input_tokens",
    "cacheWriteInputTokens",
    "cacheCreationInputTokens",
    "prompt_tokens_details.cache_write_tokens",
    "prompt_tokens_details.cache_creation_tokens",
    "prompt_tokens_details.cache_creation_input_tokens",
    "input_tokens_details.cache_write_tokens",
    "input_tokens_details.cache_creation_tokens",
    "cache_write_tokens",
    "cache_creation_tokens",
)
_CACHE_WRITE_1H = (
    "cache_creation.ephemeral_1h_input_tokens",
    "prompt_tokens_details.cache_creation_token_details.ephemeral_1h_input_tokens",
)
_CACHE_WRITE_5M = (
    "cache_creation.ephemeral_5m_input_tokens",
    "prompt_tokens_details.cache_creation_token_details.ephemeral_5m_input_tokens",
)
_REASONING = (
    "completion_tokens_details.reasoning_tokens",
    "output_tokens_details.reasoning_tokens",
    "output_tokens_details.thinking_tokens",
    "completion_tokens_details.thinking_tokens",
    "reasoning_tokens",
    "thinking_tokens",
    "reasoningTokens",
    "thoughtsTokenCount",
    "thoughts_token_count",
)
# Names that only servers write whose prompt count leaves the cached tokens out.
_SEPARATE = ("input_tokens", "inputTokens")
_READ_SEPARATE = ("cache_read_input_tokens", "cacheReadInputTokens")
_WRITTEN_SEPARATE = ("cache_creation_input_tokens", "cacheWriteInputTokens", "cacheCreationInputTokens")

# USD, in the order of preference; LiteLLM, Perplexity, DeepInfra, Pydantic's gateway and others.
_COST = (
    "cost.total_cost",
    "cost",
    "total_cost",
    "cost_usd",
    "estimated_cost",
    "response_cost",
    "pydantic_ai_gateway.cost_estimate",
    "cost_estimate",
    "_hidden_params.response_cost",
)
# Where it may stand beside the usage, in the body itself.
_COST_MEMBERS = (
    *dict.fromkeys(name.partition(".")[0] for name in _COST),
    "cost_details",
    "cost_in_usd_ticks",
)
_XAI_TICKS_PER_USD = 10**10

# Numbers that are written as texts.
_DIGITS = re.compile(r"\s*[0-9]{1,11}\s*")
_USD = re.compile(r"\s*\$?\s*([0-9]{1,12}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,2})?)\s*(?:USD)?\s*", re.I)


def read_usage(places: Iterable[Any], *, excludes_cache: bool = False) -> Usage | None:
    """The usage in the first of `places` that has a whole one, else what all of them say together.

    `excludes_cache`: the prompt's count never holds cached tokens (Anthropic's wire format).
    """
    # Most chunks of a stream have nothing in any of the places.
    known = [usage for place in places if place and isinstance(usage := _object(place), Mapping)]
    found = [usage for place in known if (usage := _read(place, excludes_cache)) is not None]
    if not found:
        return None
    best = next((usage for usage in found if is_complete(usage)), found[0])
    for other in found:
        best = replace(
            best,
            tokens_in=best.tokens_in if best.tokens_in is not None else other.tokens_in,
            tokens_out=best.tokens_out if best.tokens_out is not None else other.tokens_out,
            provider_cost_usd=best.provider_cost_usd
            if best.provider_cost_usd is not None
            else other.provider_cost_usd,
        )
    return best


def stated_cost(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a body says of its cost beside its usage: a place for `read_usage`, behind the others."""
    return {name: body[name] for name in _COST_MEMBERS if name in body}


def with_header_cost(usage: Usage | None, headers: Mapping[str, str]) -> Usage | None:
    """`usage` with the cost that LiteLLM's proxy states in a header, where the body states none."""
    if usage is None or usage.provider_cost_usd is not None:
        return usage
    lowered = {name.lower(): value for name, value in headers.items()}
    # A stream's headers come before its cost is known: zero there.
    return replace(usage, provider_cost_usd=_amount(lowered.get("x-litellm-response-cost")) or None)


def _object(place: Any) -> Any:
    """A usage that is written as JSON text, or that stands alone in a list. Of several none is the whole."""
    if isinstance(place, str) and place.lstrip()[:1] in ("{", "["):
        try:
            place = decode(place.encode("utf-8", "replace"))
        except ValueError:
            return None
    return place[0] if isinstance(place, list) and len(place) == 1 else place


def is_complete(usage: Usage | None) -> bool:
    """Whether it can be priced: both counts are there."""
    return usage is not None and usage.tokens_in is not None and usage.tokens_out is not None


def later(old: Usage | None, new: Usage | None) -> Usage | None:
    """The counts of a stream after `new` has come: it replaces `old`, but what it leaves out stays."""
    if old is None or new is None:
        return new if old is None else old
    fresh = new.tokens_in is not None
    return replace(
        new if fresh else old,
        tokens_in=new.tokens_in if fresh else old.tokens_in,
        tokens_out=new.tokens_out if new.tokens_out else old.tokens_out or new.tokens_out,
        reasoning_tokens=max(new.reasoning_tokens, old.reasoning_tokens),
        provider_cost_usd=old.provider_cost_usd if new.provider_cost_usd is None else new.provider_cost_usd,
        service_tier=new.service_tier or old.service_tier,
    )


def credible(usage: Usage | None, reply: Reply) -> Usage | None:
    """`usage` without an answer's count of zero where there is an answer: nobody counted it."""
    if usage is None or usage.tokens_out != 0 or not (reply.text or reply.tool_calls or reply.thinking):
        return usage
    return replace(usage, tokens_out=None)


def _read(raw: Mapping[str, Any], excludes_cache: bool) -> Usage | None:
    stated, answer, total = _first(raw, _PROMPT), _first(raw, _ANSWER), _first(raw, _TOTAL)
    read, written_1h = _first(raw, _CACHE_READ) or 0, _first(raw, _CACHE_WRITE_1H) or 0
    written = _first(raw, _CACHE_WRITE) or (_first(raw, _CACHE_WRITE_5M) or 0) + written_1h
    reasoning = _first(raw, _REASONING) or 0
    cost, tier = _cost(raw), text_of(raw.get("service_tier")) or None
    if stated is None and answer is None and (total is None or total == 0) and cost is None:
        return _timings(raw)
    prompt, missed = stated, _tokens(raw.get("prompt_cache_miss_tokens"))
    if stated is not None and (read or written):
        is_separate = (excludes_cache and _is_anthropic(raw, stated)) or _is_separate_by_name(raw, stated)
        rest = None if not total or answer is None else total - stated - answer
        prompt = stated + _separate_tokens(stated, read, written, rest, is_separate or missed == stated)
    elif stated is None and missed is not None:
        prompt = missed + read
    prompt, answer, reasoning = _settle(prompt or None, answer, total or None, reasoning)
    if stated is None and prompt is not None and read + written > prompt:
        prompt += read + written
    read = min(read, prompt or 0)
    written = min(written, (prompt or 0) - read)
    written_1h = min(written_1h, written)
    usage = Usage(
        tokens_in=prompt,
        tokens_out=answer,
        cache_read_tokens=read,
        cache_write_tokens=written - written_1h,
        cache_write_1h_tokens=written_1h,
        reasoning_tokens=reasoning,
        provider_cost_usd=cost,
        service_tier=tier,
    )
    return _with_iterations(usage, raw) if excludes_cache else usage


def _settle(
    prompt: int | None, answer: int | None, total: int | None, reasoning: int
) -> tuple[int | None, int | None, int]:
    """The counts after the total has had its say: (prompt, answer with its reasoning, reasoning)."""
    if total is not None and answer is not None and prompt is None and total > answer:
        prompt = total - answer
    elif total is not None and prompt is not None and total > prompt + (answer or 0):
        # What neither count holds was written, too: Gemini's and Grok's thoughts stand beside.
        reasoning = reasoning or total - prompt - (answer or 0) if answer is not None else reasoning
        answer = total - prompt
    elif total is None and answer is not None and reasoning > answer:
        answer += reasoning
    return prompt, answer, min(reasoning, answer or 0)


def _is_anthropic(raw: Mapping[str, Any], stated: int | None) -> bool:
    """Whether most of the names are Anthropic's: proxies write OpenAI's, whose prompt holds the cache."""
    is_named = _first(raw, _SEPARATE) == stated
    has_details = bool(member(raw, "prompt_tokens_details") or member(raw, "input_tokens_details"))
    return is_named + bool(_separate_by_name(raw)) + (not has_details) >= 2


def _separate_tokens(stated: int, read: int, written: int, rest: int | None, is_named: bool) -> int:
    """How many of the cached tokens the prompt's count of `stated` leaves out.

    `rest` is what the total has more than the prompt and the answer. It decides; then that more tokens than
    there are cannot be a part of them; then the names, which `is_named` says stand for tokens beside.
    """
    cached = read + written
    if rest and rest in (cached, read, written):
        return rest
    if cached > stated:
        return cached
    return cached if is_named and rest != 0 else 0


def _is_separate_by_name(raw: Mapping[str, Any], stated: int) -> bool:
    """Whether all of the names are of servers whose prompt count leaves the cached tokens out."""
    return (
        bool(_separate_by_name(raw))
        and _first(raw, _SEPARATE) == stated
        and not any(name in raw for name in _PROMPT[:1])
    )


def _separate_by_name(raw: Mapping[str, Any]) -> int:
    """The cached tokens under names that stand beside the prompt's count."""
    written = _first(raw, _WRITTEN_SEPARATE) or sum(
        _first(raw, names[:1]) or 0 for names in (_CACHE_WRITE_5M, _CACHE_WRITE_1H)
    )
    return (_first(raw, _READ_SEPARATE) or 0) + written


def _timings(raw: Mapping[str, Any]) -> Usage | None:
    """llama.cpp's own counts; older servers leave out what the prompt cache held."""
    evaluated, cached = count(raw.get("prompt_n")), count(raw.get("cache_n"))
    if evaluated is None:
        return None
    prompt = evaluated + (cached or 0)
    return Usage(
        tokens_in=prompt or None,
        tokens_out=count(raw.get("predicted_n")),
        cache_read_tokens=min(cached or 0, prompt),
        cached_only=cached is None,
    )


def _with_iterations(usage: Usage, raw: Mapping[str, Any]) -> Usage:
    """Anthropic's totals leave out the rounds that compact a conversation or ask an adviser."""
    rounds = [each for each in objects(raw.get("iterations")) if each.get("type") != "message"]
    for extra in filter(None, (_read({**each, "iterations": None}, True) for each in rounds)):
        usage = replace(
            usage,
            tokens_in=(usage.tokens_in or 0) + (extra.tokens_in or 0) or None,
            tokens_out=(usage.tokens_out or 0) + (extra.tokens_out or 0),
            cache_read_tokens=usage.cache_read_tokens + extra.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens + extra.cache_write_tokens,
            cache_write_1h_tokens=usage.cache_write_1h_tokens + extra.cache_write_1h_tokens,
        )
    return usage


def _cost(raw: Mapping[str, Any]) -> float | None:
    ticks = _tokens(raw.get("cost_in_usd_ticks"))
    if ticks is not None:
        return ticks / _XAI_TICKS_PER_USD
    cost = next((amount for path in _paths(_COST) if (amount := _amount(_at(raw, path))) is not None), None)
    upstream = _amount(member(raw, "cost_details").get("upstream_inference_cost"))
    # With a key of one's own the router states its fee alone.
    if raw.get("is_byok") is True and upstream is not None:
        return (cost or 0.0) + upstream
    return cost


def _amount(value: Any) -> float | None:
    if isinstance(value, str) and (found := _USD.fullmatch(value)):
        value = float(found[1])
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None


def _first(raw: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    """The first count that is not zero, else zero if any name has one."""
    zero = None
    for path in _paths(names):
        found = _tokens(_at(raw, path)) if path[0] in raw else None
        if found:
            return found
        zero = found if zero is None else zero
    return zero


def _tokens(value: Any) -> int | None:
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return count(int(value))
    return count(value)


@cache
def _paths(names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(name.split(".")) for name in names)


def _at(raw: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = raw
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value

"""Why a model stopped, in the words of many servers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

# What servers write where there is no reason yet.
_NONE = frozenset({"", "null", "none", "nil", "undefined", "finish_reason_unspecified"})
# A limit on tokens: OpenAI and Ollama, Anthropic, Gemini, Mistral, Cohere, Bedrock.
_CUT = frozenset({"length", "max_tokens", "max_output_tokens", "max_length", "model_length", "token_limit"})
_REFUSED = frozenset({"refusal", "refused"})
_FILTERED = frozenset(
    {
        "content_filter",
        "content_filtered",
        "content-filter",
        "content_policy_violation",
        "responsibleaipolicyviolation",
        "safety",
        "image_safety",
        "recitation",
        "blocklist",
        "prohibited_content",
        "spii",
        "error_toxic",
        "guardrail_intervened",
        "sensitive",
        "model_armor",
    }
)
# Reasons that no model has, only a server that failed: DeepSeek, Zhipu, SGLang, Ollama, Gemini, Bedrock.
_FAILED = frozenset(
    {"error", "insufficient_system_resource", "network_error", "abort", "aborted", "failed", "server_error"}
    | {"internal_error", "internal_server_error", "timeout", "overloaded", "malformed_function_call"}
    | {"unexpected_tool_call", "too_many_tool_calls", "malformed_model_output", "malformed_tool_use"}
    | {"cancelled", "canceled"}
)

# A reason that is longer is a server's nonsense, and not kept.
_LONGEST_KEPT = 100


def reason_of(value: Any) -> str:
    """The reason that a server gives, or nothing."""
    return value if isinstance(value, str) and value.strip().lower() not in _NONE else ""


def was_cut(reason: str | None) -> bool:
    """Whether the answer was cut at a limit on tokens."""
    return not _CUT.isdisjoint(_words(reason))


def was_refused(reason: str | None) -> bool:
    """Whether the model declined to answer."""
    return not _REFUSED.isdisjoint(_words(reason))


def was_filtered(reason: str | None) -> bool:
    """Whether a filter took the answer, or refused the prompt; also as an error's kind."""
    return not _FILTERED.isdisjoint(_words(reason))


def has_failed(reason: str | None) -> bool:
    """Whether it was the server that failed."""
    return not _FAILED.isdisjoint(_words(reason))


def _words(reason: str | None) -> frozenset[str]:
    """Gemini writes two of them: `content_filter: RECITATION`."""
    said = reason or ""
    return _known_words(said) if len(said) <= _LONGEST_KEPT else _read_words(said)


def _read_words(reason: str) -> frozenset[str]:
    return frozenset(word.strip() for word in reason.lower().split(":"))


# Servers have few of them, and each is asked about several times an answer.
_known_words = lru_cache(maxsize=256)(_read_words)

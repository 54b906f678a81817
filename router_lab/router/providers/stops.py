"""Why a model stopped, in the words of many servers."""

from __future__ import annotations

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
    }
)


def reason_of(value: Any) -> str:
    """The reason that a server gives, or nothing."""
    return value if isinstance(value, str) and value.strip().lower() not in _NONE else ""


def was_cut(reason: str | None) -> bool:
    """Whether the answer was cut at a limit on tokens."""
    return (reason or "").lower() in _CUT


def was_refused(reason: str | None) -> bool:
    """Whether the model declined to answer."""
    return (reason or "").lower() in _REFUSED


def was_filtered(reason: str | None) -> bool:
    """Whether a filter took the answer, or refused the prompt; also as an error's kind."""
    return (reason or "").lower() in _FILTERED

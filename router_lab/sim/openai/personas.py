"""Whose server the simulated OpenAI API plays: where it is, what it refuses, what its answers look like.

The shapes are those of recorded answers (`tests/sim/openai/fixtures/recorded_shapes.json`), where there are
recordings, else of the vendors' documents. Prices in OpenRouter's answers are 1 USD per million tokens
in and 2 out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from router_lab.sim.exchange import ErrorAnswer, HttpRequest, TokenTally

# What a persona says of a request before it is served; None: nothing.
Refusal = Callable[[Mapping[str, Any]], ErrorAnswer | None]


def _nothing(_data: Mapping[str, Any]) -> ErrorAnswer | None:
    return None


@dataclass(frozen=True, slots=True)
class Persona:
    """One vendor's way. `paths` match where chat completions are, beside `/v1/chat/completions`.

    `added` and `dropped` are keys by place: whole, choice, message, call, chunk, chunk_choice, and of
    usage whole_usage and chunk_usage. `message` holds for answers with a text, `call` for those with tool
    calls. `usage` makes the usage of a tally.
    """

    name: str = ""
    paths: str = r"/v1/chat/completions"
    refuse: Refusal = _nothing
    added: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    dropped: Mapping[str, frozenset[str]] = field(default_factory=dict)
    usage: Callable[[TokenTally], dict[str, Any]] | None = None
    streams_usage: bool = False
    error: Callable[[int, str], Any] | None = None
    key_header: str = "authorization"
    needs_api_version: bool = False
    stream_opening: bytes = b""

    def is_at(self, path: str) -> bool:
        """Whether chat completions are served there."""
        return re.fullmatch(self.paths, path) is not None

    def refusal(self, data: Mapping[str, Any], request: HttpRequest) -> ErrorAnswer | None:
        """What the vendor would say against such a request before any model sees it."""
        if self.needs_api_version and "/deployments/" in request.path and "api-version" not in request.query:
            error = {"code": "404", "message": "Resource not found"}
            return ErrorAnswer(404, "Resource not found", extra={"error": error})
        return self.refuse(data)

    def dressed(
        self, answer: Mapping[str, Any], tally: TokenTally, *, is_chunk: bool = False
    ) -> dict[str, Any]:
        """An answer, or a chunk of one, in this vendor's shape."""
        kind = "chunk" if is_chunk else "whole"
        shown = self._with(kind, answer)
        shown["choices"] = [self._choice(choice, is_chunk) for choice in answer["choices"]]
        if answer.get("usage") and self.usage is not None:
            shown["usage"] = self._with(f"{kind}_usage", self.usage(tally))
        if self.name == "groq" and answer.get("usage"):
            shown["x_groq"] = {"id": "req_sim", **({"usage": shown["usage"]} if is_chunk else {})}
        return shown

    def _choice(self, choice: Mapping[str, Any], is_chunk: bool) -> dict[str, Any]:
        shown = self._with("chunk_choice" if is_chunk else "choice", choice)
        if "native_finish_reason" in shown:
            shown["native_finish_reason"] = choice["finish_reason"]
        if not is_chunk:
            message = choice["message"]
            shown["message"] = self._with("call" if message.get("tool_calls") else "message", message)
        return shown

    def _with(self, place: str, value: Mapping[str, Any]) -> dict[str, Any]:
        kept = {name: item for name, item in value.items() if name not in self.dropped.get(place, ())}
        return {**self.added.get(place, {}), **kept}


def _openai_error(message: str, param: str | None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def _refused(status: int, message: str, body: Any) -> ErrorAnswer:
    return ErrorAnswer(status, message, extra=body)


def _no_max_tokens(data: Mapping[str, Any]) -> ErrorAnswer | None:
    if "max_tokens" not in data:
        return None
    message = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. "
        "Use 'max_completion_tokens' instead."
    )
    return _refused(400, message, _openai_error(message, "max_tokens", "unsupported_parameter"))


def _format(data: Mapping[str, Any]) -> Any:
    form = data.get("response_format")
    return form.get("type") if isinstance(form, Mapping) else None


def _groq(data: Mapping[str, Any]) -> ErrorAnswer | None:
    if data.get("n", 1) not in (None, 1):
        message = "'n' : number must be at most 1"
        return _refused(400, message, {"error": {"message": message, "type": "invalid_request_error"}})
    if _format(data) != "json_schema":
        return None
    message = (
        "This model does not support response format `json_schema`. See supported models at "
        "https://console.groq.com/docs/structured-outputs#supported-models"
    )
    return _refused(400, message, {"error": {"message": message, "type": "invalid_request_error"}})


def _deepseek(data: Mapping[str, Any]) -> ErrorAnswer | None:
    if _format(data) != "json_schema":
        return None
    message = "This response_format type is unavailable now"
    return _refused(400, message, _openai_error(message, None, "invalid_request_error"))


def _lmstudio(data: Mapping[str, Any]) -> ErrorAnswer | None:
    if _format(data) != "json_object":
        return None
    message = "'response_format.type' must be 'json_schema' or 'text'"
    return _refused(400, message, {"error": message})


def _xai(data: Mapping[str, Any]) -> ErrorAnswer | None:
    for name in ("stop", "presence_penalty", "frequency_penalty"):
        if name in data:
            message = f"Argument not supported on this model: {name}"
            return _refused(400, message, _xai_error(400, message))
    return None


_MISTRAL_TAKES = frozenset(
    {"model", "messages", "n", "stream", "tools", "tool_choice", "parallel_tool_calls", "response_format"}
    | {"temperature", "top_p", "max_tokens", "stop", "random_seed", "presence_penalty", "frequency_penalty"}
    | {"prediction", "prompt_mode", "safe_prompt", "reasoning_effort", "metadata", "prompt_cache_key"}
)


def _mistral(data: Mapping[str, Any]) -> ErrorAnswer | None:
    detail = [
        {
            "type": "extra_forbidden",
            "loc": ["body", name],
            "msg": "Extra inputs are not permitted",
            "input": value,
        }
        for name, value in data.items()
        if name not in _MISTRAL_TAKES
    ]
    body = {"object": "error", "message": {"detail": detail}, "type": "invalid_request_error", "param": None}
    return _refused(422, "extra inputs", {**body, "code": None, "raw_status_code": 422}) if detail else None


_GEMINI_TAKES = frozenset(
    {"model", "messages", "n", "stream", "stream_options", "tools", "tool_choice", "response_format"}
    | {"temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "reasoning_effort"}
    | {"extra_body", "parallel_tool_calls", "presence_penalty", "frequency_penalty", "user"}
)


def _gemini(data: Mapping[str, Any]) -> ErrorAnswer | None:
    unknown = [name for name in data if name not in _GEMINI_TAKES]
    if not unknown:
        return None
    message = f'Invalid JSON payload received. Unknown name "{unknown[0]}": Cannot find field.'
    return _refused(400, message, _gemini_error(400, message)[0])


def _gemini_error(status: int, message: str) -> list[Any]:
    kinds = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
    return [{"error": {"code": status, "message": message, "status": kinds.get(status, "INTERNAL")}}]


def _openrouter_error(status: int, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "code": status}, "user_id": "user_sim"}


def _mistral_error(status: int, message: str) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "internal_server_error"
    return {"object": "error", "message": message, "type": kind, "param": None, "code": str(status)}


def _xai_error(status: int, message: str) -> dict[str, Any]:
    kind = "Client specified an invalid argument" if status == 400 else "The request failed"
    return {"code": kind, "error": message}


def _plain_error(_status: int, message: str) -> dict[str, Any]:
    return {"error": message}


def _counts(tally: TokenTally) -> dict[str, Any]:
    total = tally.tokens_in + tally.tokens_out
    return {"prompt_tokens": tally.tokens_in, "completion_tokens": tally.tokens_out, "total_tokens": total}


def _detailed(tally: TokenTally) -> dict[str, Any]:
    return {
        **_counts(tally),
        "prompt_tokens_details": {"cached_tokens": tally.cache_read_tokens},
        "completion_tokens_details": {"reasoning_tokens": tally.reasoning_tokens},
    }


def _groq_usage(tally: TokenTally) -> dict[str, Any]:
    times = {"queue_time": 0.01, "prompt_time": 0.02, "completion_time": 0.05, "total_time": 0.07}
    details = {"completion_tokens_details": {"reasoning_tokens": tally.reasoning_tokens}}
    return {**_counts(tally), **times, **details}


def _deepseek_usage(tally: TokenTally) -> dict[str, Any]:
    hit = tally.cache_read_tokens
    split = {"prompt_cache_hit_tokens": hit, "prompt_cache_miss_tokens": tally.tokens_in - hit}
    return {**_detailed(tally), **split}


def _openrouter_usage(tally: TokenTally) -> dict[str, Any]:
    paid = {"in": tally.tokens_in / 1e6, "out": 2 * tally.tokens_out / 1e6}
    cost = paid["in"] + paid["out"]
    details = {
        "upstream_inference_cost": cost,
        "upstream_inference_prompt_cost": paid["in"],
        "upstream_inference_completions_cost": paid["out"],
    }
    return {**_detailed(tally), "cost": cost, "is_byok": False, "cost_details": details}


_FILTER = {
    name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")
}
_SIGNED = {"thought_signature": "c2lt", "extra_content": {"google": {"thought_signature": "c2lt"}}}
_VLLM_MESSAGE = {
    "annotations": None,
    "audio": None,
    "function_call": None,
    "reasoning": None,
    "refusal": None,
}
_VLLM_WHOLE = dict.fromkeys(
    ("kv_transfer_params", "metrics", "prompt_logprobs", "prompt_text", "prompt_token_ids", "service_tier"),
    None,
)
_ANNOTATED: Mapping[str, Any] = {"annotations": []}
_TIER = {"service_tier": "default", "system_fingerprint": "fp_sim"}
_NO_REFUSAL = frozenset({"refusal"})

PLAIN = Persona()

_ALL = (
    Persona(
        "openai",
        refuse=_no_max_tokens,
        added={
            "whole": _TIER,
            "message": _ANNOTATED,
            "call": _ANNOTATED,
            "chunk": {**_TIER, "usage": None, "obfuscation": "sim"},
        },
    ),
    Persona(
        "openrouter",
        r"/api/v1/chat/completions",
        added={
            "whole": {"provider": "Sim"},
            "choice": {"native_finish_reason": None},
            "message": {"reasoning": None},
            "call": {"reasoning": None},
            "chunk": {"provider": "Sim"},
            "chunk_choice": {"native_finish_reason": None},
        },
        usage=_openrouter_usage,
        streams_usage=True,
        error=_openrouter_error,
        stream_opening=b": OPENROUTER PROCESSING\n\n",
    ),
    Persona(
        "groq",
        r"/openai/v1/chat/completions",
        _groq,
        added={
            "whole": {
                "service_tier": "on_demand", "system_fingerprint": "fp_sim", "usage_breakdown": None,
                "x_groq": {},
            },
            "chunk": {"system_fingerprint": "fp_sim"},
        },
        dropped={"message": _NO_REFUSAL, "call": frozenset({"refusal", "content"}), "chunk": frozenset()},
        usage=_groq_usage,
        streams_usage=True,
    ),
    Persona(
        "mistral",
        refuse=_mistral,
        added={"message": {"tool_calls": None}},
        dropped={
            "choice": frozenset({"logprobs"}),
            "message": _NO_REFUSAL,
            "call": _NO_REFUSAL,
            "chunk_choice": frozenset({"logprobs"}),
        },
        usage=_counts,
        streams_usage=True,
        error=_mistral_error,
    ),
    Persona(
        "deepseek",
        r"(?:/v1)?/chat/completions",
        _deepseek,
        added={
            "whole": {"system_fingerprint": "fp_sim"},
            "message": {"reasoning_content": ""},
            "call": {"reasoning_content": ""},
            "chunk": {"system_fingerprint": "fp_sim"},
        },
        dropped={"message": _NO_REFUSAL, "call": _NO_REFUSAL},
        usage=_deepseek_usage,
    ),
    Persona(
        "azure",
        r"/openai/(?:deployments/[^/]+|v1)/chat/completions",
        _no_max_tokens,
        added={
            "whole": {
                "system_fingerprint": "fp_sim",
                "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": _FILTER}],
            },
            "choice": {"content_filter_results": _FILTER},
        },
        key_header="api-key",
        needs_api_version=True,
    ),
    Persona(
        "gemini",
        r"/v1beta/openai/chat/completions",
        _gemini,
        added={"message": _SIGNED, "call": _SIGNED},
        dropped={
            "choice": frozenset({"logprobs"}),
            "message": _NO_REFUSAL,
            "call": frozenset({"refusal", "content"}),
            "chunk_choice": frozenset({"logprobs"}),
        },
        usage=_counts,
        error=_gemini_error,
    ),
    Persona(
        "huggingface",
        added={
            "whole": {"prompt": []},
            "message": {"tool_calls": []},
            "chunk": {"system_fingerprint": "", "sla_metrics": {"ttft_ms": 1, "ts_us": 1}},
        },
        dropped={"call": _NO_REFUSAL, "chunk_choice": frozenset({"logprobs"})},
        usage=_detailed,
    ),
    Persona(
        "xai",
        refuse=_xai,
        added={"whole": {"system_fingerprint": "fp_sim"}},
        streams_usage=True,
        error=_xai_error,
    ),
    Persona(
        "vllm",
        added={
            "whole": {**_VLLM_WHOLE, "system_fingerprint": None},
            "choice": {"routed_experts": None, "stop_reason": None, "token_ids": None},
            "message": _VLLM_MESSAGE,
            "call": _VLLM_MESSAGE,
        },
        dropped={"chunk_usage": frozenset({"completion_tokens_details"})},
        usage=_detailed,
    ),
    Persona(
        "lmstudio",
        refuse=_lmstudio,
        added={"whole": {"system_fingerprint": "sim", "stats": {}}},
        error=_plain_error,
    ),
    Persona("llamacpp", added={"whole": {"system_fingerprint": "b1-sim"}}),
)  # fmt: skip

PERSONAS: Mapping[str, Persona] = {persona.name: persona for persona in _ALL}

"""The servers people use, as configurations of three wire formats: where they are, and how they depart.

`provider:` in the YAML names one. A server that is named by its address alone (`provider: openai` with
Groq's `base_url`) is recognised by its host. What is guessed here is corrected by what a server refuses;
see `router/dialects.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

Wire = Literal["anthropic", "ollama", "openai"]

MaxTokensField = Literal["max_tokens", "max_completion_tokens"]
SchemaForm = Literal["json_schema", "json_object", "none"]
SystemRole = Literal["system", "developer", "user"]

# How a server is told to think, or how long; None: it cannot be told.
ThinkingForm = Literal["adaptive", "budget", "think", "reasoning", "thinking", "chat_template", "google"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one server departs from its wire format. The first four may be set in the YAML, and are learnt.

    `response_format` is how a JSON schema is sent: as such, as a wish for any JSON object with the schema in
    the prompt, or in the prompt alone. `system_role` is whose words the system prompt is; with `user` it
    opens the first message. `effort` is the field of `reasoning_effort` ("" for none), `seed` that of `seed`.
    """

    max_tokens_field: MaxTokensField = "max_tokens"
    stream_options: bool = True
    response_format: SchemaForm = "json_schema"
    system_role: SystemRole = "system"
    thinking: ThinkingForm | None = None
    effort: str = "reasoning_effort"
    seed: str = "seed"
    key_header: Literal["authorization", "x-api-key", "api-key"] = "authorization"


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a vendor's API can do, and how that is known. `schema` is the best form it takes.

    `usage` says where a stream counts tokens. `batch` and `cache` are the vendor's; replays use
    the batches of Anthropic and OpenAI. `source` names the recordings the claim was tried on and the vendor's
    documents.
    """

    streaming: str = "yes"
    tools: str = "yes"
    schema: str = "json_schema"
    usage: str = "in streams, on request"
    cache: str = "no"
    batch: str = "no"
    source: str = ""


@dataclass(frozen=True, slots=True)
class Preset:
    """One name for `provider`. `base_url` is empty where only the user knows it.

    `hosts` are the vendor's own (a leading dot: any name below it): the key in `key_variable` is taken for
    these alone when the YAML names no variable. `is_own_machine`: no public list knows its price.
    """

    name: str
    wire: Wire
    base_url: str = ""
    key_variable: str | None = None
    hosts: tuple[str, ...] = ()
    dialect: Dialect = Dialect()
    abilities: Abilities = field(default=Abilities(), repr=False)
    is_own_machine: bool = False
    price_list: str = ""

    def owns(self, host: str) -> bool:
        """Whether `host` is the vendor's."""
        return any(host.endswith(one) if one.startswith(".") else host == one for one in self.hosts)


_NEWER = Dialect(max_tokens_field="max_completion_tokens")

_ALL = (
    Preset(
        "anthropic",
        "anthropic",
        "https://api.anthropic.com",
        hosts=("api.anthropic.com",),
        dialect=Dialect(thinking="adaptive", effort="output_config", seed="", key_header="x-api-key"),
        abilities=Abilities(
            usage="always",
            cache="by cache_control",
            batch="yes",
            source="193 recordings; docs.anthropic.com/en/api/messages",
        ),
    ),
    Preset(
        "ollama",
        "ollama",
        "http://127.0.0.1:11434",
        dialect=Dialect(thinking="think", effort="think"),
        abilities=Abilities(usage="always", cache="automatic", source="Ollama's source; docs.ollama.com/api"),
        is_own_machine=True,
    ),
    Preset(
        "openai",
        "openai",
        "https://api.openai.com/v1",
        hosts=("api.openai.com",),
        abilities=Abilities(
            cache="automatic",
            batch="yes",
            source="127 recordings; platform.openai.com/docs/api-reference/chat",
        ),
    ),
    Preset(
        "openrouter",
        "openai",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        ("openrouter.ai",),
        Dialect(thinking="reasoning", effort="reasoning"),
        Abilities(
            schema="json_schema, by model",
            usage="always, with its cost",
            cache="by model",
            source="40 recordings; openrouter.ai/docs/api-reference",
        ),
        price_list="openrouter",
    ),
    Preset(
        "groq",
        "openai",
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        ("api.groq.com",),
        _NEWER,
        Abilities(
            schema="json_schema, by model",
            usage="always",
            cache="automatic, by model",
            batch="yes",
            source="50 recordings; console.groq.com/docs/api-reference",
        ),
        price_list="groq",
    ),
    Preset(
        "mistral",
        "openai",
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        ("api.mistral.ai",),
        Dialect(stream_options=False, seed="random_seed"),
        Abilities(
            usage="always",
            cache="automatic, by model",
            batch="yes",
            source="41 recordings; docs.mistral.ai/api",
        ),
        price_list="mistral",
    ),
    Preset(
        "deepseek",
        "openai",
        "https://api.deepseek.com",
        "DEEPSEEK_API_KEY",
        ("api.deepseek.com",),
        Dialect(response_format="json_object", thinking="thinking", seed=""),
        Abilities(
            schema="json_object",
            cache="automatic",
            source="3 recordings; api-docs.deepseek.com/api/create-chat-completion",
        ),
        price_list="deepseek",
    ),
    Preset(
        "azure",
        "openai",
        "",
        "AZURE_OPENAI_API_KEY",
        (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"),
        Dialect(max_tokens_field="max_completion_tokens", key_header="api-key"),
        Abilities(
            schema="json_schema, by model",
            cache="automatic",
            batch="yes",
            source="1 recording; learn.microsoft.com/azure/ai-foundry/openai/reference",
        ),
        price_list="azure",
    ),
    Preset(
        "gemini",
        "openai",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "GEMINI_API_KEY",
        ("generativelanguage.googleapis.com",),
        Dialect(thinking="google"),
        Abilities(
            cache="automatic, by model",
            batch="yes",
            source="2 recordings; ai.google.dev/gemini-api/docs/openai",
        ),
        price_list="google",
    ),
    Preset(
        "huggingface",
        "openai",
        "https://router.huggingface.co/v1",
        "HF_TOKEN",
        ("router.huggingface.co",),
        abilities=Abilities(
            tools="by model",
            schema="json_schema, by model",
            source="11 recordings; huggingface.co/docs/inference-providers",
        ),
    ),
    Preset(
        "xai",
        "openai",
        "https://api.x.ai/v1",
        "XAI_API_KEY",
        ("api.x.ai",),
        _NEWER,
        Abilities(usage="always", cache="automatic", source="docs.x.ai/docs/api-reference (no recordings)"),
        price_list="x-ai",
    ),
    Preset(
        "vllm",
        "openai",
        "http://127.0.0.1:8000/v1",
        dialect=Dialect(thinking="chat_template"),
        abilities=Abilities(
            tools="as the server was started",
            cache="automatic",
            source="4 recordings of a host that runs it; docs.vllm.ai/en/latest/serving",
        ),
        is_own_machine=True,
    ),
    Preset(
        "lmstudio",
        "openai",
        "http://127.0.0.1:1234/v1",
        abilities=Abilities(
            tools="by model", source="lmstudio.ai/docs/developer/openai-compat (no recordings)"
        ),
        is_own_machine=True,
    ),
    Preset(
        "llamacpp",
        "openai",
        "http://127.0.0.1:8080/v1",
        dialect=Dialect(thinking="chat_template"),
        abilities=Abilities(
            tools="as the server was started",
            cache="automatic",
            source="the demo's real server (LIVE=local); github.com/ggml-org/llama.cpp, tools/server",
        ),
        is_own_machine=True,
    ),
)

PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _ALL})

# The vendors whose servers speak OpenAI's format and are known by their addresses, but have no preset.
_BY_HOST: Mapping[str, Dialect] = MappingProxyType(
    {
        "api.openai.com": _NEWER,
        "api.cerebras.ai": _NEWER,
        "api.z.ai": Dialect(response_format="json_object", thinking="thinking"),
    }
)


def guessed_dialect(provider: str, base_url: str) -> Dialect:
    """The dialect to begin with: the vendor's whose address it is, else the preset's own."""
    preset = PRESETS[provider]
    host = (urlsplit(base_url).hostname or "").lower()
    if preset.wire != "openai" or preset.name not in ("openai", "vllm", "lmstudio", "llamacpp"):
        return preset.dialect
    vendor = next(
        (one for one in _ALL if one.wire == "openai" and one.name != "openai" and one.owns(host)), None
    )
    return vendor.dialect if vendor is not None else _BY_HOST.get(host, preset.dialect)

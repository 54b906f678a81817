"""The wire formats, by the name the YAML gives them.

In goes a `ModelCall`, out comes the request as bytes; in goes what the server sent, out comes a `Reply`.
Nothing here opens a socket or knows a ledger. Begin reading in `provider`, which says what each has to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from router_lab.router.providers.anthropic import Anthropic
from router_lab.router.providers.ollama import Ollama
from router_lab.router.providers.openai import OpenAI
from router_lab.router.providers.provider import Chunk, ModelCall, Provider, StreamDecoder, WireRequest

__all__ = ["PROVIDERS", "Chunk", "ModelCall", "Provider", "StreamDecoder", "WireRequest"]

PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {provider.name: provider for provider in (Anthropic(), Ollama(), OpenAI())}
)

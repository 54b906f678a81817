"""The wire formats, by the name the YAML gives them: pure translations between our records and each.

In goes a `ModelCall`, out comes the request as bytes; in goes what the server sent, out comes a `Reply`.
A provider never opens a socket, reads a clock or an environment variable, and knows nothing of ledgers,
budgets or breakers. `Provider` says what each has to do; begin with `wire`, which is what they share.

Neighbours use `anthropic`, `batch_api`, `failures`, `message_parts`, `ollama`, `openai`, `streams`, `usage`
and `wire`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from router_lab.router.providers.anthropic import Anthropic
from router_lab.router.providers.ollama import Ollama
from router_lab.router.providers.openai import OpenAI
from router_lab.router.providers.provider import Provider
from router_lab.router.providers.wire import Chunk, ModelCall, WireRequest

__all__ = ["PROVIDERS", "Chunk", "ModelCall", "Provider", "WireRequest"]

PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {provider.name: provider for provider in (Anthropic(), Ollama(), OpenAI())}
)

"""An alias of the YAML, resolved to everything needed to call it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from router_lab.errors import ConfigError
from router_lab.router.providers import PROVIDERS
from router_lab.router.providers.base import ModelCall, Provider
from router_lab.router.providers.wire import checked_key
from router_lab.router.request import Request
from router_lab.router.routing import Route
from router_lab.settings.models import ModelSettings, Settings

# What a hosted model may write when neither the call, the route nor the model says: its worst case
# is reserved from the budgets, so it is kept modest.
DEFAULT_MAX_TOKENS = 4096
DEFAULT_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Target:
    """One model on one server. `window` is in tokens, None when nobody said."""

    alias: str
    settings: ModelSettings
    provider: Provider
    window: int | None
    default_output: int
    timeout_s: float
    keep_alive: str
    refuse_truncation: bool

    @property
    def breaker_key(self) -> str:
        """Provider and server: two servers of one kind fail independently."""
        return f"{self.settings.provider} {self.settings.base_url}"

    @property
    def model_key(self) -> str:
        """What calibration is keyed by: the same model has the same tokenizer on every server."""
        return f"{self.settings.provider}/{self.settings.model}"

    @property
    def is_ollama(self) -> bool:
        """Whether the silent truncation of wire format `ollama` has to be watched for."""
        return self.settings.provider == "ollama"

    def max_tokens(self, request: Request, route: Route) -> int:
        """The output bound that is sent: the call's, else the route's, else the model's."""
        return (
            request.max_tokens or route.max_tokens or self.settings.max_output_tokens or self.default_output
        )

    def output_reserve(self, max_tokens: int) -> int:
        """Tokens of the window kept for the answer.

        Ollama shares `num_ctx` between prompt and answer: at least the configured reserve, more when
        more may be written, but never over half the window, or nothing would fit a small one.
        """
        if not self.is_ollama or self.window is None:
            return max_tokens
        return min(max(self.default_output, max_tokens), self.window // 2)

    def call(self, request: Request, route: Route, *, stream: bool) -> ModelCall:
        """The provider-neutral call. Raises `ConfigError` when the API key's variable is not set."""
        return ModelCall(
            base_url=self.settings.base_url,
            model=self.settings.model,
            messages=request.messages,
            max_tokens=self.max_tokens(request, route),
            system=request.system,
            tools=request.tools,
            schema=request.schema,
            temperature=route.temperature,
            stream=stream,
            api_key=self._api_key(),
            num_ctx=self.window if self.is_ollama else None,
            keep_alive=self.keep_alive if self.is_ollama else None,
            refuse_truncation=self.refuse_truncation,
        )

    def _api_key(self) -> str | None:
        variable = self.settings.api_key_env
        if variable is None:
            return None
        key = os.environ.get(variable, "").strip()
        if not key:
            raise ConfigError(
                f"models.{self.alias}.api_key_env names {variable}, which is not set in the environment; "
                f"export {variable}=... before calling"
            )
        return checked_key(key, variable)


def build_targets(settings: Settings) -> Mapping[str, Target]:
    """Every alias of the settings, ready to be called."""
    return {alias: _target(alias, model, settings) for alias, model in settings.models.items()}


def _target(alias: str, model: ModelSettings, settings: Settings) -> Target:
    ollama = settings.ollama
    is_ollama = model.provider == "ollama"
    return Target(
        alias=alias,
        settings=model,
        provider=PROVIDERS[model.provider],
        window=(model.num_ctx or ollama.default_num_ctx) if is_ollama else model.context_window,
        default_output=ollama.default_output_reserve if is_ollama else DEFAULT_MAX_TOKENS,
        timeout_s=model.timeout_s or (ollama.timeout_s if is_ollama else DEFAULT_TIMEOUT_S),
        keep_alive=ollama.keep_alive,
        refuse_truncation=ollama.refuse_truncation,
    )

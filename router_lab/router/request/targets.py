"""An alias of the YAML, resolved to everything needed to call it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

from router_lab.errors import ConfigError, UnsupportedError
from router_lab.parameters import Parameters, expanded
from router_lab.presets import Dialect, guessed_dialect
from router_lab.router.providers import PROVIDERS, Provider
from router_lab.router.providers.anthropic import VERSION_HEADER
from router_lab.router.providers.wire import (
    ModelCall,
    WireRequest,
    checked_header,
    checked_key,
    schema_in_words,
)
from router_lab.router.request.request import Request
from router_lab.router.routing import Route
from router_lab.settings.models import ModelSettings, Settings

# What a hosted model may write when neither the call, the route nor the model says: its worst case
# is reserved from the budgets, so it is kept modest.
DEFAULT_MAX_TOKENS = 4096
DEFAULT_TIMEOUT_S = 120.0
# Azure's newest version that is no preview.
AZURE_API_VERSION = "2024-10-21"


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
    parameters: Parameters
    dialect: Dialect

    @property
    def model_key(self) -> str:
        """What calibration is keyed by: the same model has the same tokenizer on every server."""
        return f"{self.settings.provider}/{self.settings.model}"

    @property
    def is_ollama(self) -> bool:
        """Whether the silent truncation of wire format `ollama` has to be watched for."""
        return self.settings.wire == "ollama"

    def asked(self, request: Request, route: Route) -> Parameters:
        """What is asked beside the prompt: the call's, else the route's, else the model's own.

        What only one server understands, or may know, goes to the server of the route's own model alone.
        """
        asked = request.parameters.over(route.parameters)
        if route.server != self.settings.server:
            asked = asked.without_extras()
        return asked.over(self.parameters)

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

    def call(self, request: Request, route: Route, dialect: Dialect, *, stream: bool) -> ModelCall:
        """The provider-neutral call, in the server's dialect.

        Raises `ConfigError` when a variable for the API key or for a header is not set.
        """
        asked = self.asked(request, route)
        if "service_tier" in asked.extra_body and self.settings.price is None:
            raise ConfigError(
                f"models.{self.alias}.price: state the prices of service_tier "
                f"{str(asked.extra_body['service_tier'])[:40]!r}; the public list has those of the usual one"
            )
        base_url, query = self._endpoint()
        system = request.system
        schema = request.schema
        if schema is None and dialect.response_format == "json_schema":
            schema = request.constraint
        elif schema is not None and dialect.response_format != "json_schema":
            system = "\n\n".join(filter(None, (system, schema_in_words(schema))))
        return ModelCall(
            base_url=base_url,
            query=query,
            model=self.settings.model,
            messages=request.messages,
            max_tokens=self.max_tokens(request, route),
            system=system,
            tools=request.tools,
            schema=schema,
            parameters=replace(asked, extra_headers=self._headers(asked.extra_headers)),
            dialect=dialect,
            stream=stream,
            api_key=self._api_key(),
            num_ctx=self.window if self.is_ollama else None,
            keep_alive=self.keep_alive if self.is_ollama else None,
            refuse_truncation=self.refuse_truncation,
        )

    def wire(self, call: ModelCall) -> WireRequest:
        """The request. Raises `UnsupportedError` naming the model and what its provider cannot take."""
        try:
            return self.provider.request(call)
        except UnsupportedError as error:
            where = f"models.{self.alias} ({self.settings.provider}, {self.settings.model})"
            raise UnsupportedError(f"{where}: {error}") from None

    def _endpoint(self) -> tuple[str, str]:
        """The address under which the wire format's path is, and the query after it."""
        base, version = self.settings.base_url, self.settings.api_version
        if self.settings.provider != "azure" or (base.endswith("/openai/v1") and version is None):
            return base, ""
        if "/openai/deployments/" not in base:
            deployment = quote(self.settings.deployment or self.settings.model, safe="")
            base = base.removesuffix("/v1").removesuffix("/openai") + f"/openai/deployments/{deployment}"
        return base, f"api-version={version or AZURE_API_VERSION}"

    def _headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        known: dict[str, str] = {}
        for name, value in headers.items():
            try:
                known[name] = checked_header(name, expanded(value, os.environ))
            except KeyError as error:
                raise ConfigError(
                    f"extra_headers.{name} of models.{self.alias} names {error.args[0]}, which is not set in "
                    f"the environment; export {error.args[0]}=... before calling"
                ) from None
        return known

    def credentials(self) -> Mapping[str, str]:
        """The headers that say who asks. Raises `ConfigError` naming a variable that is not set."""
        key, name = self._api_key(), str(self.dialect.key_header)
        sent = {} if key is None else {name: f"Bearer {key}" if name == "authorization" else key}
        version = VERSION_HEADER if self.settings.wire == "anthropic" else {}
        return {**version, **sent, **self._headers(self.parameters.extra_headers)}

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
    is_ollama = model.wire == "ollama"
    return Target(
        alias=alias,
        settings=model,
        provider=PROVIDERS[model.wire],
        window=(model.num_ctx or ollama.default_num_ctx) if is_ollama else model.context_window,
        default_output=ollama.default_output_reserve if is_ollama else DEFAULT_MAX_TOKENS,
        timeout_s=model.timeout_s or (ollama.timeout_s if is_ollama else DEFAULT_TIMEOUT_S),
        keep_alive=ollama.keep_alive,
        refuse_truncation=ollama.refuse_truncation,
        parameters=model.parameters,
        dialect=_dialect(model),
    )


def _dialect(model: ModelSettings) -> Dialect:
    """What the YAML says, else what is guessed from the preset and the host."""
    said = {name: value for name, value in model.dialect if value is not None}
    return replace(guessed_dialect(model.provider, model.base_url), **said)

"""The YAML as strict, frozen pydantic models. Every field's default is the documented default.

Prices are USD per million tokens; names ending in `_s` are seconds; `_usd` are US dollars.
Rules that span sections (aliases that exist, fallbacks without a cycle) are in `checks.py`.
"""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from router_lab.parameters import CHECKS as PARAMETER_CHECKS
from router_lab.parameters import NAMES as PARAMETERS
from router_lab.parameters import Parameters
from router_lab.presets import PRESETS, MaxTokensField, SchemaForm, SystemRole, Wire
from router_lab.settings.problems import quoted

ProviderName = Literal[
    "anthropic",
    "azure",
    "deepseek",
    "gemini",
    "groq",
    "huggingface",
    "llamacpp",
    "lmstudio",
    "mistral",
    "ollama",
    "openai",
    "openrouter",
    "vllm",
    "xai",
]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# How keys of well-known vendors begin that would pass as the name of a variable.
_KEY_PREFIX = re.compile(r"sk_|gsk_|hf_|gh[pousr]_|github_pat_|AIza|AKIA|eyJ")


def _host(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""


class Section(BaseModel):
    """Base of every section: unknown keys and silent type changes are errors; values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class PriceBand(Section):
    """Prices of a whole call whose prompt, cached parts included, is longer than `above_tokens`.

    What is left out keeps the base price.
    """

    above_tokens: PositiveInt
    input: NonNegative | None = None
    output: NonNegative | None = None
    cache_read: NonNegative | None = None
    cache_write: NonNegative | None = None
    cache_write_1h: NonNegative | None = None


class Price(Section):
    """USD per million tokens. A cache price left out means cached tokens cost the input price.

    `cache_write_1h` left out means writes kept for an hour cost what other cache writes cost.
    """

    input: NonNegative
    output: NonNegative
    cache_read: NonNegative | None = None
    cache_write: NonNegative | None = None
    cache_write_1h: NonNegative | None = None
    bands: tuple[PriceBand, ...] = Field(default=(), strict=False)

    @field_validator("bands")
    @classmethod
    def _one_band_per_length(cls, bands: tuple[PriceBand, ...]) -> tuple[PriceBand, ...]:
        lengths = [band.above_tokens for band in bands]
        for length in lengths:
            if lengths.count(length) > 1:
                raise ValueError(f"two bands start above {length} tokens; keep one of them")
        return bands


class ParameterSettings(Section):
    """What is asked beside the prompt, of a model or on a route; see `router_lab.parameters`.

    Of both and of a call the most specific wins, key by key. Values of `extra_headers` may hold `${NAME}`,
    a variable of the environment.
    """

    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] | None = Field(default=None, strict=False)
    reasoning_effort: str | None = None
    think: bool | int | None = None
    extra_body: dict[str, Any] | None = None
    extra_headers: dict[str, SecretStr] | None = Field(default=None, repr=False)

    @field_validator(*PARAMETERS, mode="before")
    @classmethod
    def _in_its_one_form(cls, value: Any, info: ValidationInfo) -> Any:
        return None if value is None else _checked(str(info.field_name), value)

    @property
    def parameters(self) -> Parameters:
        """All of them, in their one form."""
        return Parameters.read(**{name: getattr(self, name) for name in PARAMETERS})


def _checked(name: str, value: Any) -> Any:
    try:
        return PARAMETER_CHECKS[name](value)
    except ValueError as error:
        # The key stands before the message already.
        raise ValueError(re.sub(rf"^{name}(?:: |\.)", "", str(error))) from None


class DialectSettings(Section):
    """How one server departs from its wire format, where what is guessed and learnt is not right.

    What stands here is never changed by what the server refuses.
    """

    max_tokens_field: MaxTokensField | None = None
    stream_options: bool | None = None
    # How a JSON schema is sent: as it is, as any JSON with the schema in the prompt, or in the prompt alone.
    response_format: SchemaForm | None = None
    system_role: SystemRole | None = None


class ModelSettings(ParameterSettings):
    """One model on one server, under an alias.

    `provider` is a wire format (anthropic, ollama, openai) or a preset of one; see `router-lab providers`.
    `api_version` and `deployment` are Azure's.
    """

    provider: ProviderName
    model: str = Field(min_length=1)
    base_url: str = ""
    api_key_env: str | None = None
    price: Price | None = None
    num_ctx: PositiveInt | None = None
    context_window: PositiveInt | None = None
    max_output_tokens: PositiveInt | None = None
    timeout_s: Positive | None = None
    dialect: DialectSettings = Field(default_factory=DialectSettings)
    api_version: str | None = Field(default=None, pattern=r"^[\w.-]{1,40}$")
    deployment: str | None = Field(default=None, min_length=1, max_length=200)

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_provider(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("provider"), str):
            return data
        preset = PRESETS.get(data["provider"])
        if preset is None:
            return data
        usual = {"base_url": preset.base_url} if preset.base_url and not data.get("base_url") else {}
        address = usual.get("base_url") or data.get("base_url")
        # A key is for its vendor alone: never taken for an address that is not the vendor's.
        is_vendors = isinstance(address, str) and preset.owns(_host(address))
        if preset.key_variable and "api_key_env" not in data and is_vendors:
            usual["api_key_env"] = preset.key_variable
        return {**data, **usual}

    @property
    def wire(self) -> Wire:
        """The wire format the server speaks."""
        return PRESETS[self.provider].wire

    @property
    def is_own_machine(self) -> bool:
        """Whether it is served by the user, at a price that no list knows."""
        return PRESETS[self.provider].is_own_machine

    @property
    def server(self) -> str:
        """What fails, and is asked for what only it knows, as one: the provider and its address."""
        return f"{self.provider} {self.base_url}"

    @field_validator("base_url")
    @classmethod
    def _http_url(cls, value: str) -> str:
        value = value.strip()
        if not value.isprintable() or any(character.isspace() for character in value):
            raise ValueError(f"{quoted(value)} holds white space or a control character; remove it")
        if not value.startswith(("http://", "https://")):
            raise ValueError(f"must start with http:// or https://, got {quoted(value.split('@')[-1])}")
        # The address appears in errors and logs, so nothing secret may ride on it.
        if "@" in value or "?" in value or "#" in value:
            raise ValueError(
                "must be a plain address without user, password, query or fragment; "
                "name the environment variable that holds the key in api_key_env"
            )
        try:
            parts = urlsplit(value)
            if not parts.hostname or parts.port == 0:
                raise ValueError
        except ValueError:
            raise ValueError(f"{quoted(value)} is not an address such as http://127.0.0.1:11434") from None
        return value.rstrip("/")

    @field_validator("api_key_env")
    @classmethod
    def _variable_not_key(cls, value: str | None) -> str | None:
        # A key pasted here must not travel any further, so the message never repeats the value.
        if value is not None and (not _VARIABLE.fullmatch(value) or _KEY_PREFIX.match(value)):
            raise ValueError(
                "must be the name of an environment variable, such as ANTHROPIC_API_KEY, never a key; "
                "if a key stood here, take it out of the file and revoke it"
            )
        return value


class ShadowRoute(Section):
    """A second model whose answer is only compared. `noise_rate` is the share run as A/A.

    The route's own model as its shadow makes an A/A test of every call, at twice the price.
    """

    model: str
    sample_rate: Share = 1.0
    comparator: str = "text"
    options: dict[str, Any] = Field(default_factory=dict)
    noise_rate: Share = 0.0


class RouteSettings(ParameterSettings):
    """Where calls of one task type go. `fallback` aliases are tried in order.

    Sampling and thinking are asked of whichever model answers, and of the shadow; `extra_body` and
    `extra_headers` only of models on the server of the route's own model.
    """

    model: str
    fallback: tuple[str, ...] = Field(default=(), strict=False)
    shadow: ShadowRoute | None = None
    policy: Literal["critical", "standard", "agent"] = "standard"
    max_tokens: PositiveInt | None = None
    output: Literal["auto", "json", "text"] = "auto"

    @field_validator("fallback", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("shadow", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value


class TokenEstimation(Section):
    """How input tokens are estimated before sending; see `router/tokens.py` for the methods."""

    estimator: Literal["ema", "coverage"] = "coverage"
    safety_factor: Annotated[float, Field(gt=0, le=1)] = 0.9
    ema_alpha: Annotated[float, Field(gt=0, le=1)] = 0.2
    divisor_bounds: tuple[Positive, Positive] = Field(default=(2.5, 4.5), strict=False)
    miss_rate: Annotated[float, Field(gt=0, lt=0.5)] = 0.01

    @field_validator("divisor_bounds")
    @classmethod
    def _bounds_in_order(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if bounds[0] > bounds[1]:
            raise ValueError(f"the lower bound comes first: [{bounds[1]:g}, {bounds[0]:g}]")
        return bounds


class OllamaSettings(Section):
    """Defaults for every Ollama model. `refuse_truncation` sends `truncate: false`."""

    default_num_ctx: PositiveInt = 8192
    default_output_reserve: PositiveInt = 1024
    timeout_s: Positive = 120.0
    keep_alive: str = "5m"
    refuse_truncation: bool = True
    token_estimation: TokenEstimation = Field(default_factory=TokenEstimation)


class ShadowSettings(Section):
    """`enabled` is the switch's first state; `locked_off` is a hard off that no flip overrides."""

    enabled: bool = False
    locked_off: bool = False
    max_concurrent: PositiveInt = 8
    max_queued: PositiveInt = 256


class BreakerSettings(Section):
    """Open after `failure_threshold` failures in `window_s`; try one probe after `recovery_s`."""

    failure_threshold: PositiveInt = 5
    window_s: Positive = 600.0
    recovery_s: Positive = 300.0


class RetryPolicy(Section):
    """Exponential backoff with full jitter: up to `base_s * 2**n`, at most `max_s`."""

    retries: Annotated[int, Field(ge=0)]
    base_s: NonNegative
    max_s: NonNegative


class RetryPolicies(Section):
    """The policies a route can name."""

    critical: RetryPolicy = RetryPolicy(retries=3, base_s=2, max_s=30)
    standard: RetryPolicy = RetryPolicy(retries=2, base_s=1, max_s=15)
    agent: RetryPolicy = RetryPolicy(retries=1, base_s=5, max_s=5)

    @model_validator(mode="before")
    @classmethod
    def _keep_other_defaults(cls, data: Any) -> Any:
        """A policy that states some of its keys keeps the defaults of the others."""
        if not isinstance(data, dict):
            return data
        return {
            name: {**cls.model_fields[name].default.model_dump(), **policy}
            if name in cls.model_fields and isinstance(policy, dict)
            else policy
            for name, policy in data.items()
        }


class RetrySettings(Section):
    """`deadline_s` bounds one `complete()` as a whole, fallbacks and waits included.

    A server that asks for a longer wait than `wait_at_most_s` is left for the route's fallback at once.
    """

    deadline_s: Positive = 300.0
    wait_at_most_s: NonNegative = 10.0
    policies: RetryPolicies = Field(default_factory=RetryPolicies)


class ScopeBudget(Section):
    """Limits of one scope in USD; None is counted but not limited."""

    daily_usd: NonNegative | None = None
    monthly_usd: NonNegative | None = None


class CostSettings(Section):
    """Budgets in USD. `scopes` are task-type prefixes, `users` are user ids (`*` for every user)."""

    monthly_budget_usd: NonNegative | None = 100.0
    daily_budget_usd: NonNegative | None = 20.0
    shadow_daily_usd: NonNegative | None = 5.0
    warning_ratio: Share = 0.9
    timezone: str = "UTC"
    scopes: dict[str, ScopeBudget] = Field(default_factory=dict)
    users: dict[str, ScopeBudget] = Field(default_factory=dict)

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        # An unknown name, a path outside the database, a folder of it, a file that is no zone.
        except (KeyError, ValueError, OSError):
            near = difflib.get_close_matches(value[:64], available_timezones(), n=1)
            hint = f"did you mean {near[0]!r}?" if near else "write one such as 'UTC' or 'Europe/Berlin'"
            raise ValueError(f"{quoted(value)} is no time zone of the IANA database; {hint}") from None
        return value


class LedgerSettings(Section):
    """What is stored of prompts and outputs, how durably, who may open it, and when rows are sealed.

    What is `private` only the user that wrote it may open, whatever the umask.
    """

    content: Literal["full", "hash", "none"] = "full"
    durability: Literal["full", "os", "batch"] = "full"
    seal_rows: PositiveInt = 50_000
    seal_seconds: Positive = 300.0
    private: bool = True


class Settings(Section):
    """The whole file."""

    models: dict[str, ModelSettings] = Field(min_length=1)
    routing: dict[str, RouteSettings] = Field(min_length=1)
    ollama: OllamaSettings = Field(default_factory=OllamaSettings)
    shadow: ShadowSettings = Field(default_factory=ShadowSettings)
    breaker: BreakerSettings = Field(default_factory=BreakerSettings)
    retry: RetrySettings = Field(default_factory=RetrySettings)
    cost: CostSettings = Field(default_factory=CostSettings)
    ledger: LedgerSettings = Field(default_factory=LedgerSettings)

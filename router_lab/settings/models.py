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
    """Prompt length, cached parts included, above which the whole call costs this, in tokens."""
    input: NonNegative | None = None
    """USD per million tokens of input."""
    output: NonNegative | None = None
    """USD per million tokens of output."""
    cache_read: NonNegative | None = None
    """USD per million tokens read from a cache."""
    cache_write: NonNegative | None = None
    """USD per million tokens written to a cache."""
    cache_write_1h: NonNegative | None = None
    """USD per million tokens written to a cache for an hour."""


class Price(Section):
    """USD per million tokens. A cache price left out means cached tokens cost the input price.

    `cache_write_1h` left out means writes kept for an hour cost what other cache writes cost.
    """

    input: NonNegative
    """USD per million tokens of input."""
    output: NonNegative
    """USD per million tokens of output."""
    cache_read: NonNegative | None = None
    """USD per million tokens read from a cache; left out: as input."""
    cache_write: NonNegative | None = None
    """USD per million tokens written to a cache; left out: as input."""
    cache_write_1h: NonNegative | None = None
    """USD per million tokens written to a cache for an hour; left out: as other cache writes."""
    bands: tuple[PriceBand, ...] = Field(default=(), strict=False)
    """Other prices of long prompts, each above a length."""

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
    """Sampling temperature, 0 or more, as the provider reads it."""
    top_p: float | None = None
    """Share of probability to sample from."""
    seed: int | None = None
    """Seed of sampling, where the provider takes one."""
    stop: tuple[str, ...] | None = Field(default=None, strict=False)
    """Texts at which an answer ends."""
    reasoning_effort: str | None = None
    """How hard to think, in the provider's words, such as `low`."""
    think: bool | int | None = None
    """Whether to think, or a budget of tokens for it."""
    extra_body: dict[str, Any] | None = None
    """Fields to add to the request's body."""
    extra_headers: dict[str, SecretStr] | None = Field(default=None, repr=False)
    """Headers to add to the request; values may hold `${NAME}` of the environment."""

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
    """The field that bounds the answer's tokens."""
    stream_options: bool | None = None
    """Whether a stream may be asked for its usage."""
    response_format: SchemaForm | None = None
    """How a JSON schema is sent: as such, as any JSON with it in the prompt, or in the prompt alone."""
    system_role: SystemRole | None = None
    """Whose words the system prompt is; with `user` it opens the first message."""


class ModelSettings(ParameterSettings):
    """One model on one server, under an alias.

    `provider` is a wire format (anthropic, ollama, openai) or a preset of one; see `router-lab providers`.
    `api_version` and `deployment` are Azure's.
    """

    provider: ProviderName
    """A wire format or a preset of one; see `router-lab providers`."""
    model: str = Field(min_length=1)
    """The model's name on that server."""
    base_url: str = ""
    """Where the server is; left out: the vendor's address."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key."""
    price: Price | None = None
    """What it costs; left out: as the public price list says."""
    num_ctx: PositiveInt | None = None
    """Ollama's context, in tokens; left out: `ollama.default_num_ctx`."""
    context_window: PositiveInt | None = None
    """Tokens of prompt and answer together, but of Ollama's; left out: not checked."""
    max_output_tokens: PositiveInt | None = None
    """Tokens that an answer of this model may have at most."""
    timeout_s: Positive | None = None
    """Seconds until a request is given up."""
    dialect: DialectSettings = Field(default_factory=DialectSettings)
    """How the server departs from its wire format."""
    api_version: str | None = Field(default=None, pattern=r"^[\w.-]{1,40}$")
    """Azure's version of its API."""
    deployment: str | None = Field(default=None, min_length=1, max_length=200)
    """Azure's name of the deployment."""

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
    """Alias of the model whose answer is only compared."""
    sample_rate: Share = 1.0
    """Share of the calls that are compared."""
    comparator: str = "text"
    """How two answers are compared: a name, or `module:function`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the comparator."""
    noise_rate: Share = 0.0
    """Share of the compared calls whose primary is asked twice, to measure its own noise."""


class RouteSettings(ParameterSettings):
    """Where calls of one task type go. `fallback` aliases are tried in order.

    Sampling and thinking are asked of whichever model answers, and of the shadow; `extra_body` and
    `extra_headers` only of models on the server of the route's own model.
    """

    model: str
    """Alias of the model that answers."""
    fallback: tuple[str, ...] = Field(default=(), strict=False)
    """Aliases that are tried in order when it fails."""
    shadow: ShadowRoute | None = None
    """The second model; its alias alone will do."""
    policy: Literal["critical", "standard", "agent"] = "standard"
    """How often to try again, one of `retry.policies`."""
    max_tokens: PositiveInt | None = None
    """Tokens of an answer at most."""
    output: Literal["auto", "json", "text"] = "auto"
    """What an answer is: `json` has to be JSON, `text` is never read as it, `auto` is read where it is."""

    @field_validator("fallback", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("shadow", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value


class TokenEstimation(Section):
    """How input tokens are estimated before sending; see `router/attempts/tokens.py` for the methods."""

    estimator: Literal["ema", "coverage"] = "coverage"
    """`coverage` bounds how often it is too low, `ema` is a moving average."""
    safety_factor: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Of `ema`: factor on its characters per token, below 1 to err on the side of more tokens."""
    ema_alpha: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Of `ema`: weight of the newest call."""
    divisor_bounds: tuple[Positive, Positive] = Field(default=(2.5, 4.5), strict=False)
    """Of `ema`: least and most characters per token that are believed."""
    miss_rate: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Of `coverage`: share of prompts that may turn out longer than estimated."""

    @field_validator("divisor_bounds")
    @classmethod
    def _bounds_in_order(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if bounds[0] > bounds[1]:
            raise ValueError(f"the lower bound comes first: [{bounds[1]:g}, {bounds[0]:g}]")
        return bounds


class OllamaSettings(Section):
    """Defaults for every Ollama model. `refuse_truncation` sends `truncate: false`."""

    default_num_ctx: PositiveInt = 8192
    """Context of models that state none, in tokens."""
    default_output_reserve: PositiveInt = 1024
    """Tokens kept free for an answer without `max_tokens`."""
    timeout_s: Positive = 120.0
    """Seconds until a request is given up."""
    keep_alive: str = "5m"
    """How long Ollama keeps a model loaded, such as `5m`."""
    refuse_truncation: bool = True
    """Whether to send `truncate: false`, so that newer servers refuse instead of cutting."""
    token_estimation: TokenEstimation = Field(default_factory=TokenEstimation)
    """How tokens are estimated before sending."""


class ShadowSettings(Section):
    """`enabled` is the switch's first state; `locked_off` is a hard off that no flip overrides."""

    enabled: bool = False
    """State the switch begins with in a new ledger."""
    locked_off: bool = False
    """Whether shadows are off in this process whatever the switch says."""
    max_concurrent: PositiveInt = 8
    """Shadows in flight at most."""
    max_queued: PositiveInt = 256
    """Shadows that wait at most; beyond that they are dropped, which leaves a row."""
    comparator_timeout_s: Positive = 30.0
    """Seconds that comparing two answers may take; a pair that takes longer has no agreement."""


class BreakerSettings(Section):
    """Open after `failure_threshold` failures in `window_s`; try one probe after `recovery_s`."""

    failure_threshold: PositiveInt = 5
    """Failures within the window that open the breaker."""
    window_s: Positive = 600.0
    """Seconds over which failures are counted."""
    recovery_s: Positive = 300.0
    """Seconds until one call is let through to try."""


class RetryPolicy(Section):
    """Exponential backoff with full jitter: up to `base_s * 2**n`, at most `max_s`."""

    retries: Annotated[int, Field(ge=0)]
    """Attempts after the first."""
    base_s: NonNegative
    """Seconds of the first wait, at most."""
    max_s: NonNegative
    """Seconds of any wait, at most."""


class RetryPolicies(Section):
    """The policies a route can name."""

    critical: RetryPolicy = RetryPolicy(retries=3, base_s=2, max_s=30)
    """For what must not fail."""
    standard: RetryPolicy = RetryPolicy(retries=2, base_s=1, max_s=15)
    """For everything that names no policy."""
    agent: RetryPolicy = RetryPolicy(retries=1, base_s=5, max_s=5)
    """For what is tried again by its caller."""

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
    """Seconds that one call may take in all, waits and fallbacks included."""
    wait_at_most_s: NonNegative = 10.0
    """Longest wait that a server may ask for before its fallback is tried, in seconds."""
    policies: RetryPolicies = Field(default_factory=RetryPolicies)
    """The policies that a route can name."""


class ScopeBudget(Section):
    """Limits of one scope in USD; None is counted but not limited."""

    daily_usd: NonNegative | None = None
    """US dollars a day; none: counted, not limited."""
    monthly_usd: NonNegative | None = None
    """US dollars a month; none: counted, not limited."""


class CostSettings(Section):
    """Budgets in USD. `scopes` are task-type prefixes, `users` are user ids (`*` for every user)."""

    monthly_budget_usd: NonNegative | None = 100.0
    """US dollars a month over everything; null: not limited."""
    daily_budget_usd: NonNegative | None = 20.0
    """US dollars a day over everything; null: not limited."""
    shadow_daily_usd: NonNegative | None = 5.0
    """US dollars a day for shadows and judges; null: not limited."""
    warning_ratio: Share = 0.9
    """Share of a budget at which an alert is raised."""
    timezone: str = "UTC"
    """IANA name of the zone whose days and months count."""
    scopes: dict[str, ScopeBudget] = Field(default_factory=dict)
    """Budgets of task types and what is below them."""
    users: dict[str, ScopeBudget] = Field(default_factory=dict)
    """Budgets of user ids, `*` for every user."""

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
    """What is kept of prompts and answers: all, their hashes, or nothing."""
    durability: Literal["full", "os", "batch"] = "full"
    """What a row survives: `full` a power cut, `os` a crash; `batch` may lose the last moments."""
    seal_rows: PositiveInt = 50_000
    """Rows after which they are moved to Parquet."""
    seal_seconds: Positive = 300.0
    """Seconds after which rows are moved to Parquet."""
    private: bool = True
    """Whether files are for the user alone, whatever the umask."""


class Settings(Section):
    """All that the YAML says, and the defaults of what it leaves out."""

    models: dict[str, ModelSettings] = Field(min_length=1)
    """Models by alias."""
    routing: dict[str, RouteSettings] = Field(min_length=1)
    """Routes by task type; the longest prefix wins."""
    ollama: OllamaSettings = Field(default_factory=OllamaSettings)
    """Defaults of Ollama models."""
    shadow: ShadowSettings = Field(default_factory=ShadowSettings)
    """The switch and the shadows."""
    breaker: BreakerSettings = Field(default_factory=BreakerSettings)
    """When a failing server is left alone."""
    retry: RetrySettings = Field(default_factory=RetrySettings)
    """When a call is tried again."""
    cost: CostSettings = Field(default_factory=CostSettings)
    """Budgets."""
    ledger: LedgerSettings = Field(default_factory=LedgerSettings)
    """What is kept, and how."""

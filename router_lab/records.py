"""The data that moves between layers: frozen, typed, without behaviour (but for how an answer is shown).

Units are in the names: `_usd` US dollars, `_ms` milliseconds, `tokens` the model's own tokens.
Times are timezone-aware UTC. `tokens_in` always counts the whole prompt, cached parts included,
whatever a provider's own convention is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

__all__ = [
    "VERDICT_SCORES",
    "Alert",
    "Attempt",
    "Billing",
    "BudgetLine",
    "Comparison",
    "ComparisonStatus",
    "Completion",
    "CompletionMetadata",
    "CostSource",
    "Ending",
    "Image",
    "Message",
    "Origin",
    "Outcome",
    "Reply",
    "Role",
    "Score",
    "ScoreKind",
    "ScoreVerdict",
    "Side",
    "StreamChunk",
    "SwitchEvent",
    "SwitchState",
    "Tool",
    "ToolCall",
    "Usage",
    "Watch",
]

Billing = Literal["billed", "unbilled", "unknown"]
Role = Literal["user", "assistant", "tool"]

# What happened to one attempt. `lost` is written by recovery for a process that died mid-call.
Outcome = Literal[
    "ok",
    "parse_error",
    "http_error",
    "transport_error",
    "timeout",
    "cancelled",
    "abandoned",
    "truncated",
    "context_overflow",
    "lost",
]

# Where `cost_usd` comes from: the config's own price, the public price list, the reservation of an
# attempt whose usage was never seen, nothing because the attempt was not billed, another tool's log, or its
# provider's own export (see `Ledger.reconcile`).
CostSource = Literal["config", "genai-prices", "reserved", "none", "imported", "reconciled"]


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a message: its media type (`image/png`) and base64 data."""

    media_type: str
    data: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool the model asks to be called, with its decoded arguments."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. A `tool` message answers the call named by `tool_call_id` (and `tool_name`)."""

    role: Role
    text: str
    images: tuple[Image, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    tool_name: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; `parameters` is a JSON schema object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the provider reported them, in one convention.

    `tokens_in` includes cache reads and writes; `tokens_out` includes reasoning. Writes kept for an
    hour are counted in `cache_write_1h_tokens` and not in `cache_write_tokens`. None means the
    provider did not say. `cached_only` marks a prompt count known to leave out cached tokens.
    """

    tokens_in: int | None = None
    tokens_out: int | None = None
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    cached_only: bool = False
    # What the provider itself says the call cost, and the tier it was served at.
    provider_cost_usd: float | None = None
    service_tier: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """A provider's answer after its wire format has been taken off."""

    text: str
    usage: Usage | None
    stop_reason: str | None
    model: str | None
    tool_calls: tuple[ToolCall, ...] = ()
    thinking: str = field(default="", repr=False)
    token_limited: bool = False
    window_exceeded: bool = False


@dataclass(frozen=True, slots=True)
class CompletionMetadata:
    """What one `complete()` cost and how it went.

    `cost_usd` (US dollars), `attempts` and `latency_ms` are of all its attempts together; models, tokens and
    `stop_reason` are of the attempt that answered.
    """

    request_id: str
    task_type: str
    model_alias: str
    model_actual: str | None
    provider: str
    latency_ms: float
    tokens_in: int | None
    tokens_out: int | None
    estimated_tokens_in: int
    cost_usd: float
    attempts: int
    is_shadow: bool
    overflow_escalated: bool
    token_limited: bool
    stop_reason: str | None

    def facts(self) -> list[str]:
        """The line below an answer: route, model, tokens, cost, and what was unusual."""
        facts = [self.task_type, f"{self.model_alias} ({self.model_actual or 'model unknown'})"]
        if self.tokens_in is not None and self.tokens_out is not None:
            facts.append(f"{self.tokens_in:,} tokens in, {self.tokens_out:,} out")
        facts.append(f"${self.cost_usd:.6f}")
        if self.attempts != 1:
            facts.append(f"{self.attempts} attempts")
        if self.token_limited:
            facts.append("cut at the token limit")
        return facts


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer: `text` without thoughts, `data` when it is JSON, `tool_calls` when tools were asked for.

    `thoughts` is what the model wrote before it answered, where its provider shows that.
    """

    text: str
    data: Any
    metadata: CompletionMetadata
    tool_calls: tuple[ToolCall, ...] = ()
    thoughts: str = field(default="", repr=False)

    def _repr_html_(self) -> str:
        from router_lab.shown.answer import answer_html

        calls = [(call.name, call.arguments) for call in self.tool_calls]
        return answer_html(self.text, calls, self.metadata.facts())


@dataclass(frozen=True, slots=True)
class StreamChunk:
    """A piece of a streamed answer, as the model sends it: thoughts it writes into its text are there too.

    The last one has no text and carries the `completion`, whose text has no thoughts.
    """

    text: str
    completion: Completion | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One HTTP request to a model, or one that was reserved and never sent. A row of `attempts`."""

    attempt_id: str
    request_id: str
    attempt_no: int
    started_at: datetime
    latency_ms: float | None
    task_type: str
    route: str
    model_alias: str
    provider: str
    model_requested: str
    model_actual: str | None
    is_shadow: bool
    comparison_id: str | None
    switch_epoch: int
    input_hash: str
    prompt_chars: int
    estimated_tokens_in: int
    divisor: float
    tokens_in: int | None
    tokens_out: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    cost_usd: float
    cost_source: CostSource
    billing: Billing
    outcome: Outcome
    interrupted: bool
    error_type: str | None
    http_status: int | None
    stop_reason: str | None
    num_ctx: int | None
    output_reserve: int
    truncation_signal: str | None
    overflow_escalated: bool
    token_limited: bool
    breaker_state: str
    user_id: str | None
    task_id: str | None
    tags: Mapping[str, str]
    prompt: str | None = field(repr=False)
    output: str | None = field(repr=False)
    # Calls as canonical JSON: `[{"arguments": {...}, "name": "..."}, ...]` in the order they came.
    tool_calls: str | None = field(default=None, repr=False)
    thoughts: str | None = field(default=None, repr=False)
    # What was asked for beside the prompt (`temperature`, `seed` ...), where anything was.
    parameters: Mapping[str, Any] = field(default_factory=dict)
    # What the provider itself says the attempt cost.
    provider_cost_usd: float | None = None
    # The bound that budgets count: of a bill nobody saw, what was held; else `cost_usd`.
    worst_usd: float | None = None
    # The prompt without its messages: the tag `prompt_version` where the call has one, else `auto:` and a
    # hash of the system text, tools and schema.
    prompt_version: str | None = None


# How one answer of a pair ended: `complete` is an answer one can judge, everything else is a failure
# of the side that gave it.
Ending = Literal["complete", "token_limited", "empty", "refused", "content_filter", "failed"]

# Where a pair comes from: a shadow beside a call, a dataset that was run, another tool's log.
Origin = Literal["live", "replay", "import"]

# Why a pair is, or is not, complete. Everything but `complete` and `primary_failed` explains a
# missing shadow answer, so that the number of eligible requests is always known. A `shadow_misconfigured`
# one could never have worked: no such model, no key, a request that its server does not take.
ComparisonStatus = Literal[
    "complete",
    "primary_failed",
    "primary_fell_back",
    "primary_truncated",
    "shadow_failed",
    "shadow_misconfigured",
    "both_failed",
    "comparator_error",
    "unknown",
    "off",
    "not_sampled",
    "budget",
    "queue_full",
    "breaker_open",
    "cancelled",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One primary/shadow pair, or the reason there is none. A row of `comparisons`."""

    comparison_id: str
    request_id: str
    task_type: str
    created_at: datetime
    primary_attempt_id: str | None
    shadow_attempt_id: str | None
    primary_alias: str
    shadow_alias: str
    primary_model: str | None
    shadow_model: str | None
    input_hash: str
    sample_probability: float
    switch_epoch: int
    status: ComparisonStatus
    comparator: str
    agreement: float | None
    primary_output: str | None = field(repr=False)
    shadow_output: str | None = field(repr=False)
    primary_cost_usd: float | None
    shadow_cost_usd: float | None
    primary_latency_ms: float | None
    shadow_latency_ms: float | None
    details: Mapping[str, Any]
    is_noise: bool = False
    task_id: str | None = None
    primary_tool_calls: str | None = field(default=None, repr=False)
    shadow_tool_calls: str | None = field(default=None, repr=False)
    primary_ending: Ending | None = None
    shadow_ending: Ending | None = None
    origin: Origin = "live"
    run_id: str | None = None
    # What each side was asked beside the prompt, but for a seed and headers, as canonical JSON; `{}` for
    # nothing, None where it is not known.
    primary_parameters: str | None = None
    shadow_parameters: str | None = None
    # The prompt both answered, without its messages: its name, or `auto:` and a hash; see `Attempt`.
    prompt_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something a person should hear about, once per change. A row of `alerts`."""

    alert_id: str
    at: datetime
    kind: str
    subject: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)


Side = Literal["primary", "shadow"]

# Who says what an answer is worth: a scorer that knows the right answer, a person, a model.
ScoreKind = Literal["truth", "person", "judge"]

# What was said of a pair as a whole. `unsure` says nothing of either answer, and counts as said;
# `withdrawn` takes back what the same scorer said before.
ScoreVerdict = Literal["primary better", "shadow better", "equally good", "both wrong", "unsure", "withdrawn"]


# What a verdict says of the two answers, primary and shadow. `unsure` says nothing of either.
VERDICT_SCORES: Mapping[ScoreVerdict, tuple[float, float]] = {
    "primary better": (1.0, 0.0),
    "shadow better": (0.0, 1.0),
    "equally good": (1.0, 1.0),
    "both wrong": (0.0, 0.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What somebody says an answer is worth, from 0 (useless) to 1 (as good as it gets). A row of `scores`.

    It is of one `side` of a pair, or of one attempt; the last one that `by` gave to it counts. `by` names
    a person or a judge, `kind` says which; `shown_as` is the letter under which a blinded answer was
    shown. `quality_score` is None where `verdict` is `unsure` or `withdrawn`.

    `chance` is the probability, in (0, 1], with which the pair was drawn for marking, as it was then; of
    a pair drawn from a `stratum` of `stratum_pairs` pairs it grows with the marks given there, see
    `rl.analysis.marks`. `chosen`: a person picked the pair, so that its score says nothing of other
    pairs. A person's score with neither counts as chosen.
    """

    score_id: str
    at: datetime
    quality_score: float | None
    by: str
    comparison_id: str | None = None
    side: Side | None = None
    attempt_id: str | None = None
    shown_as: str | None = None
    note: str = ""
    kind: ScoreKind = "person"
    verdict: ScoreVerdict | None = None
    chance: float | None = None
    chosen: bool | None = None
    stratum: str | None = None
    stratum_pairs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The plan of a watch of one task type, fixed when it begins, or its verdict. A row of `watches`.

    Rows with one `watch_id` are one watch: the first is the plan, one with an `outcome` the verdict, which
    stays whatever pairs come later. `margin` is a share; `alpha` the error of each side over all
    `task_types`; `threshold` the mean agreement to beat; `least_probability` the lowest chance of a pair to
    be here; `basis` what is judged by, `scorer` whose scores ("" for likeness), `basis_forced` whether
    somebody asked for it. Of what is compared, None is not known. `opened_because` says what ended the
    watch before it. Pairs after `evidence_since` count (None: all), the first of each `cluster` (None: of
    each input); an exit waits until they span `at_least_days` (None: any). `mean`, `lower` and `upper` are
    on the scale from 0 to 1 that is bet on.
    """

    watch_id: str
    at: datetime
    task_type: str
    basis: str
    scorer: str
    basis_forced: bool
    threshold: float
    margin: float
    alpha: float
    task_types: int
    max_pairs: int
    least_probability: float
    primary_alias: str | None = None
    shadow_alias: str | None = None
    primary_model: str | None = None
    shadow_model: str | None = None
    primary_parameters: str | None = None
    shadow_parameters: str | None = None
    prompt_version: str | None = None
    comparator: str | None = None
    evidence_since: datetime | None = None
    opened_because: str = ""
    outcome: str | None = None
    reason: str | None = None
    pairs: int | None = None
    decided_after: int | None = None
    mean: float | None = None
    lower: float | None = None
    upper: float | None = None
    cluster: str | None = None
    at_least_days: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchEvent:
    """One flip of the shadow kill switch. `prefix` is empty for the global switch."""

    epoch: int
    at: datetime
    prefix: str
    on: bool
    reason: str
    author: str
    expires_at: datetime | None = None
    expires_pairs: int | None = None
    expires_usd: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SwitchState:
    """The switch as it stands for one task type."""

    on: bool
    epoch: int
    prefix: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """One budget a call counts against. `limit_usd` None means counted, never refused.

    `scope` is `daily`, `monthly`, `shadow`, `task:PREFIX` or `user:ID` with its grain, such as
    `task:summarize/daily`; `period` is the local date `2026-11-22` or month `2026-11`.
    """

    scope: str
    period: str
    limit_usd: float | None
    warning_ratio: float = 0.9

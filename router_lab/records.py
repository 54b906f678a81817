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

from router_lab.counted import counted

__all__ = [
    "VERDICT_SCORES",
    "Alert",
    "Attempt",
    "Batch",
    "BatchItem",
    "BatchStage",
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

# What happened to one attempt. `lost` is written by recovery for a process that died mid-call, `expired` for
# an item of a batch that its provider did not come to in time.
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
    "expired",
]

# Where `cost_usd` comes from: the config's own price, the public price list, the reservation of an
# attempt whose usage was never seen, nothing because the attempt was not billed, another tool's log, its
# provider's own export (see `Ledger.reconcile`), or a recording that was played back and costs nothing again.
# Of an item of a batch: the list's price for batches, or half of the usual price where nobody states one.
CostSource = Literal[
    "config",
    "genai-prices",
    "config half",
    "genai-prices half",
    "genai-prices batch",
    "reserved",
    "none",
    "imported",
    "reconciled",
    "playback",
]


# A batch on its way: its items are written down, it is being handed in, its provider has it, every item has
# its row; `withdrawn`, it was never handed in.
BatchStage = Literal["preparing", "submitting", "out", "done", "withdrawn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch of calls handed to a provider. `batch_id` is ours, `remote_id` the provider's once it is known.

    Of its `items`, `open_items` have no row yet and hold `held_usd` of the budgets. `owner` is the writer
    that hands it in, None when nobody is at it. `note` is the last thing that went wrong.
    """

    batch_id: str
    stage: BatchStage
    alias: str
    candidate: str
    model: str
    provider: str
    server: str
    run_id: str
    opened_at: datetime
    owner: str | None = None
    remote_id: str | None = None
    submitted_at: datetime | None = None
    items: int = 0
    open_items: int = 0
    held_usd: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class BatchItem:
    """An item that has no row yet: `lost` is its row should nothing be heard of it.

    `schema`, `output` and `max_tokens` are what its answer is read by.
    """

    lost: Attempt
    schema: Mapping[str, Any] | None = None
    output: Literal["auto", "json", "text"] = "auto"
    max_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a message: its media type (`image/png`) and base64 data.

    `detail` is how closely a server of OpenAI's format is to look (`low`, `high`); None leaves it to it.
    """

    media_type: str
    data: str = field(repr=False)
    detail: str | None = None


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
    `stop_reason` are of the attempt that answered. With `is_playback` they are as recorded: the call was not
    made again, and costs nothing now.
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
    is_playback: bool = False

    def facts(self) -> list[str]:
        """The line below an answer: route, model, tokens, cost, and what was unusual."""
        facts = [self.task_type, f"{self.model_alias} ({self.model_actual or 'model unknown'})"]
        if self.tokens_in is not None and self.tokens_out is not None:
            facts.append(f"{self.tokens_in:,} tokens in, {self.tokens_out:,} out")
        facts.append(f"${self.cost_usd:.6f}")
        if self.attempts != 1:
            facts.append(counted(self.attempts, "attempts"))
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
    """An attempt's id; sorts by time."""
    request_id: str
    """The `complete()` call it belongs to; a call, its retries, its fallback and its shadow share one."""
    attempt_no: int
    """Which attempt of its call, from 1."""
    started_at: datetime
    """When it began, UTC, microseconds; its date is the partition."""
    latency_ms: float | None
    """Milliseconds from sending to the last byte; null where nothing came back."""
    task_type: str
    """What the caller asked for, such as `extract::order`."""
    route: str
    """The entry of `routing` that matched, a prefix of the task type or all of it."""
    model_alias: str
    """The entry of `models` that was asked."""
    provider: str
    """Its provider, as the YAML names it."""
    model_requested: str
    """The model's name as it was sent."""
    model_actual: str | None
    """The model that answered, by the server's word; null where it did not say, or did not answer."""
    is_shadow: bool
    """Whether it was sent for comparison only: a shadow's call or its judge's."""
    comparison_id: str | None
    """A pair's id: the one it belongs to; null where no shadow was wanted."""
    switch_epoch: int
    """The flip of the switch it ran under: the newest when the call began."""
    input_hash: str
    """SHA-256 of the input, the same on every machine: prompt, tools, images, schema, parameters."""
    prompt_chars: int
    """Characters of the input as text."""
    estimated_tokens_in: int
    """Input tokens as estimated before sending."""
    divisor: float
    """Characters a token that the estimate went by."""
    tokens_in: int | None
    """Input tokens billed, cached ones included; null where the provider did not say."""
    tokens_out: int | None
    """Output tokens billed, reasoning included; null where the provider did not say."""
    cache_read_tokens: int | None
    """Input tokens that came from the provider's cache; null where it did not say."""
    cache_write_tokens: int | None
    """Input tokens written to the provider's cache; null where it did not say."""
    reasoning_tokens: int | None
    """Output tokens that were thoughts; null where the provider did not say."""
    cost_usd: float
    """US dollars: by the bill where there is one, else the likely figure."""
    cost_source: CostSource
    """Where the price is from: `config`, `genai-prices`, `reserved`, `none`, `imported`, `reconciled`, or
    `playback`: a recorded answer, not paid for again."""
    billing: Billing
    """Whether it is billed: `billed`, `unbilled`, or `unknown` where no bill was seen."""
    outcome: Outcome
    """What came of it, in one word: `ok`, or what went wrong."""
    interrupted: bool
    """Billed, and without a usable answer."""
    error_type: str | None
    """The class of the error; null where there was none."""
    http_status: int | None
    """The answer's HTTP status; null where no answer came."""
    stop_reason: str | None
    """Why the model stopped, in the provider's word; null where it did not say."""
    num_ctx: int | None
    """Ollama: the context window asked for, in tokens; null for other providers."""
    output_reserve: int
    """Tokens of the window kept for the answer."""
    truncation_signal: str | None
    """What gave a silent cut of the prompt away; null where nothing did."""
    overflow_escalated: bool
    """Whether the prompt did not fit the route's model and went to the fallback."""
    token_limited: bool
    """Whether the answer was cut at its token limit."""
    breaker_state: str
    """The provider's circuit breaker, when it was sent: `closed`, `half_open`, `open`."""
    user_id: str | None
    """The caller's word for who asked; null where none was given."""
    task_id: str | None
    """The caller's word for what was asked; null where none was given."""
    tags: Mapping[str, str]
    """The caller's further words, by name."""
    prompt: str | None = field(repr=False)
    """The input as text, or its hash, as `ledger.content` says; null where nothing is kept."""
    output: str | None = field(repr=False)
    """The answer's text without thoughts, or its hash; null where nothing is kept or nothing came."""
    tool_calls: str | None = field(default=None, repr=False)
    """Calls the model asked for, canonical JSON `[{"arguments": {...}, "name": "..."}]`; null: none."""
    thoughts: str | None = field(default=None, repr=False)
    """What the model wrote before its answer; null where there was none or nothing is kept."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What was asked beside the prompt (`temperature`, `seed` ...); empty where nothing was."""
    provider_cost_usd: float | None = None
    """US dollars by the provider's own word; null where it says none."""
    worst_usd: float | None = None
    """US dollars that budgets count: what was held where no bill was seen, else `cost_usd`; null: older."""
    prompt_version: str | None = None
    """The prompt without its messages: its tag, or `auto:` and a hash of system, tools and schema."""
    tool_call_ids: str | None = field(default=None, repr=False)
    """The provider's ids of those calls in their order, a JSON array; null: none."""


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

# Of a pair whose two models answered, whatever its comparator made of that: a judge may be down. One that is
# not `complete` has a `shadow_ending` then.
BOTH_ANSWERED: tuple[ComparisonStatus, ...] = ("complete", "comparator_error", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One primary/shadow pair, or the reason there is none. A row of `comparisons`."""

    comparison_id: str
    """A pair's id."""
    request_id: str
    """The `complete()` call it belongs to."""
    task_type: str
    """What the caller asked for."""
    created_at: datetime
    """When the pair was made, UTC; its date is the partition."""
    primary_attempt_id: str | None
    """The attempt that gave the primary's answer; null where none did."""
    shadow_attempt_id: str | None
    """The attempt that gave the shadow's answer; null where none did."""
    primary_alias: str
    """The primary's alias: the route's model."""
    shadow_alias: str
    """The shadow's alias."""
    primary_model: str | None
    """The primary's model, which answered the caller; null where none did."""
    shadow_model: str | None
    """The shadow's model, which answered for comparison; null where none did."""
    input_hash: str
    """SHA-256 of the input both got, as in `attempts`."""
    sample_probability: float
    """The chance, in (0, 1], with which this input was chosen for a shadow."""
    switch_epoch: int
    """The flip of the switch it ran under."""
    status: ComparisonStatus
    """Whether there is what was asked for, a pair (`complete`), or why there is none."""
    comparator: str
    """How the answers were compared."""
    agreement: float | None
    """How alike the answers are, from 0 to 1; null where they were not compared."""
    primary_output: str | None = field(repr=False)
    """The primary's text, or its hash, as `ledger.content` says; null where nothing is kept."""
    shadow_output: str | None = field(repr=False)
    """The shadow's text, or its hash; null where nothing is kept or nothing came."""
    primary_cost_usd: float | None
    """US dollars of the primary's call, retries and fallback included; null: no call."""
    shadow_cost_usd: float | None
    """US dollars of the shadow's call; null: no call."""
    primary_latency_ms: float | None
    """Milliseconds of the primary's call; null: no answer."""
    shadow_latency_ms: float | None
    """Milliseconds of the shadow's call; null: no answer."""
    details: Mapping[str, Any]
    """What else is known of it: what the comparator says besides, and why there is no pair."""
    is_noise: bool = False
    """Whether the primary was asked twice, to know how far it differs from itself."""
    task_id: str | None = None
    """The caller's word for what was asked; null where none was given."""
    primary_tool_calls: str | None = field(default=None, repr=False)
    """The primary's calls, as in `attempts`; null: none."""
    shadow_tool_calls: str | None = field(default=None, repr=False)
    """The shadow's calls; null: none."""
    primary_ending: Ending | None = None
    """How the primary's answer ended: `complete`, or how it failed; null: older."""
    shadow_ending: Ending | None = None
    """How the shadow's answer ended; null: older, or no answer."""
    origin: Origin = "live"
    """Where the pair is from: `live`, `replay` or `import`."""
    run_id: str | None = None
    """The replay it belongs to; null for live pairs."""
    primary_parameters: str | None = None
    """What the primary was asked besides the prompt, canonical JSON; `{}` nothing, null not known."""
    shadow_parameters: str | None = None
    """What the shadow was asked besides the prompt, canonical JSON; `{}` nothing, null not known."""
    prompt_version: str | None = None
    """The prompt without its messages, as in `attempts`; null where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something a person should hear about, once per change. A row of `alerts`."""

    alert_id: str
    """Identifies the row."""
    at: datetime
    """When, UTC."""
    kind: str
    """Of which kind it is, by what happened, such as `breaker_opened`."""
    subject: str
    """What it is about: a provider, a budget, a task type."""
    message: str
    """What a person should read."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else is known of it: the figures behind it."""


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

    It is of one `side` of a pair, or of one attempt; the last one that `by` gave to it counts. The `chance`
    of a pair drawn from a `stratum` of `stratum_pairs` pairs grows with the marks given there, see
    `rl.analysis.marks`. A person's score that is neither drawn nor chosen counts as chosen.
    """

    score_id: str
    """Identifies the row."""
    at: datetime
    """When, UTC: when it was said."""
    quality_score: float | None
    """What the answer is worth, 0 (useless) to 1; null where `verdict` is `unsure` or `withdrawn`."""
    by: str
    """Who says so: a person, a judge, a data set."""
    comparison_id: str | None = None
    """A pair's id: the one it is of; null for a score of an attempt."""
    side: Side | None = None
    """Which answer of the pair; null for a score of an attempt."""
    attempt_id: str | None = None
    """An attempt's id: the one it is of; null for a score of a pair's side."""
    shown_as: str | None = None
    """The letter a blinded answer was shown under; null where it was not blinded."""
    note: str = ""
    """What is said besides, in words, by the scorer."""
    kind: ScoreKind = "person"
    """Of which kind it is, by who scores: `truth`, `person` or `judge`."""
    verdict: ScoreVerdict | None = None
    """What is said of the shadow's answers against the primary's: of this pair as a whole; null where each
    side was scored by itself."""
    chance: float | None = None
    """The chance, in (0, 1], with which the pair was drawn for marking; null where it was not drawn."""
    chosen: bool | None = None
    """Whether a person picked the pair, so that it speaks for no other; null: not known."""
    stratum: str | None = None
    """The group of pairs it was drawn from; null where it was not drawn."""
    stratum_pairs: int | None = None
    """How many pairs that group had; null where it was not drawn."""
    expected: str | None = None
    """The expected answer, as text or JSON, that the answer was held against; null where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The plan of a watch of one task type, fixed when it begins, or its verdict. A row of `watches`.

    Rows with one `watch_id` are one watch: the first is the plan, one with an `outcome` the verdict, which
    stays whatever pairs come later; the others are looks that found newer pairs, the first 40. Of what is
    compared, null is not known.
    """

    watch_id: str
    """Identifies the watch: its plan and its verdict share one."""
    at: datetime
    """When, UTC: when it began, or when the verdict fell."""
    task_type: str
    """What the caller asked for: what is watched."""
    basis: str
    """What is judged by: `scores`, `judge`, `floor` (of noise) or `agreement`."""
    scorer: str
    """Whose scores; empty for likeness."""
    basis_forced: bool
    """Whether somebody asked for this basis."""
    threshold: float
    """Mean agreement to beat, a share: the plan's."""
    margin: float
    """The loss that is accepted, a share."""
    alpha: float
    """The error of each side, a probability: over all `task_types`."""
    task_types: int
    """Among how many task types the error is shared."""
    max_inputs: int
    """Distinct inputs at most that are worth paying for."""
    least_probability: float
    """The lowest sampling rate of a pair that counts."""
    primary_alias: str | None = None
    """The primary's alias; null: not known."""
    shadow_alias: str | None = None
    """The shadow's alias; null: not known."""
    primary_model: str | None = None
    """The primary's model; null: not known."""
    shadow_model: str | None = None
    """The shadow's model; null: not known."""
    primary_parameters: str | None = None
    """What the primary was asked besides the prompt, canonical JSON; null: not known."""
    shadow_parameters: str | None = None
    """What the shadow was asked besides the prompt, canonical JSON; null: not known."""
    prompt_version: str | None = None
    """The prompt without its messages, which both answered; null: not known."""
    comparator: str | None = None
    """How the answers were compared; null: not known."""
    evidence_since: datetime | None = None
    """Pairs after it count, UTC; null: all."""
    opened_because: str = ""
    """What ended the watch before it; empty for the first."""
    outcome: str | None = None
    """What came of it, in one word: the verdict; null in the row of the plan."""
    reason: str | None = None
    """Why, in words, the verdict is so; null in the row of the plan."""
    pairs: int | None = None
    """Pairs of answers: those it rests on, or those looked at; null in the row of the plan."""
    decided_after: int | None = None
    """Distinct inputs after which the verdict fell; null in the row of the plan."""
    mean: float | None = None
    """Mean of what the row is about, on the scale from 0 to 1 that is bet on; null in the row of the plan."""
    low: float | None = None
    """Low end of the interval of the row's figure, on that scale; null in the row of the plan."""
    high: float | None = None
    """High end of the interval of the row's figure, on that scale; null in the row of the plan."""
    cluster: str | None = None
    """What counts once, such as `tag:template`; null: each input."""
    at_least_days: float | None = None
    """Days that pairs have to span before an exit; null: any."""
    scored_by: str | None = None
    """Whose scores were asked for, a kind of scorers or one by name; null: the best there are."""
    shadow_prompt: str | None = None
    """Which prompt of its own a replay's candidate was asked with, its number in hex; null: not known."""
    inputs: int | None = None
    """Distinct inputs: those it rests on, or those looked at; null in the row of the plan, and in older
    rows, where `pairs` has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchEvent:
    """One flip of the shadow kill switch. `prefix` is empty for the global switch."""

    epoch: int
    """The flip's number, from 1; rows of calls and pairs name it."""
    at: datetime
    """When, UTC."""
    prefix: str
    """The task types it is for; empty for all."""
    on: bool
    """Whether shadows run from then on."""
    reason: str
    """Why, in words: those of who flipped it."""
    author: str
    """Who flipped it."""
    expires_at: datetime | None = None
    """When it ends by itself, UTC; null: never."""
    expires_pairs: int | None = None
    """After how many pairs it ends by itself; null: never."""
    expires_usd: float | None = None
    """After how many US dollars of shadows it ends by itself; null: never."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else is known of it."""


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

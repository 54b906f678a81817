"""The state of one call while it runs: what is asked, what is planned of an attempt, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from router_lab.errors import ContextOverflowError
from router_lab.records import Attempt, Completion, CompletionMetadata, Ending
from router_lab.router.answers.data import AnswerLimits
from router_lab.router.answers.endings import attempt_ending
from router_lab.router.attempts import tokens
from router_lab.router.attempts.settlement import Settlement
from router_lab.router.attempts.tokens import Features, prompt_features
from router_lab.router.comparators.worker import Worker
from router_lab.router.ports import Clock
from router_lab.router.providers.wire import ModelCall, WireRequest
from router_lab.router.request.request import Request
from router_lab.router.request.targets import Target
from router_lab.router.routing import Route
from router_lab.router.secrets import Mask


@dataclass(frozen=True, slots=True)
class AttemptPlan:
    """What is known of an attempt before it is sent."""

    target: Target
    call: ModelCall
    wire: WireRequest
    features: tokens.Features
    estimate: tokens.Estimate
    max_tokens: int
    output_reserve: int
    window: int | None
    may_drop: bool
    mask: Mask

    @property
    def limits(self) -> AnswerLimits:
        """How large an answer to this may be."""
        return AnswerLimits.of(self.max_tokens)

    def check_window(self) -> None:
        """Raises `ContextOverflowError` when the estimate does not fit beside the answer."""
        if tokens.fits(self.estimate, self.window, self.output_reserve, may_drop=self.may_drop):
            return
        raise ContextOverflowError(
            f"{self.target.alias}: an estimated {self.estimate.tokens} input tokens do not fit a context "
            f"window of {self.window} with {self.output_reserve} kept for the answer; shorten the prompt, "
            f"raise num_ctx or give the route a fallback with a larger window",
            tokens_in=self.estimate.tokens,
            context_window=self.window,
            signal="estimate",
        )


@dataclass(slots=True)
class Job:
    """One call of the public API, primary or shadow.

    `deadline` is on the monotonic clock. `worker` reads a shadow's answers that take long to read. Whoever
    asks `offline` tries again by themselves: the first error is raised. `is_named`: its id was given by who
    asks. `played_usd` is what recorded attempts, played back in place of new ones, cost when they were made.
    """

    request: Request
    route: Route
    request_id: str
    started: float
    deadline: float
    switch_epoch: int = 0
    comparison_id: str | None = None
    is_shadow: bool = False
    overflow_escalated: bool = False
    offline: bool = False
    is_named: bool = False
    worker: Worker | None = None
    played_usd: float = 0.0
    rows: list[Attempt] = field(default_factory=list)
    _features: Features | None = None

    @property
    def features(self) -> Features:
        """What is counted in its prompt; counted when first asked for, since not every job is sent."""
        if self._features is None:
            request = self.request
            self._features = prompt_features(request.messages, request.system, request.tools)
        return self._features

    @property
    def aliases(self) -> tuple[str, ...]:
        """The models it asks, in order."""
        return (self.route.model, *self.route.fallback)

    def remaining_s(self, clock: Clock) -> float:
        """Seconds left until the overall deadline."""
        return self.deadline - clock.monotonic()

    @property
    def cost_usd(self) -> float:
        """What every attempt so far cost, or may have cost, together; of those played back, at their time."""
        return self.played_usd + sum(row.cost_usd for row in self.rows)

    def completion(self, settled: Settlement, clock: Clock) -> Completion:
        """The answer, with the figures of the whole job."""
        reply = settled.reply
        assert reply is not None  # noqa: S101 - only answers become completions
        return Completion(
            text=reply.text,
            data=settled.data,
            tool_calls=reply.tool_calls,
            thoughts=reply.thinking,
            metadata=self.metadata((clock.monotonic() - self.started) * 1000.0),
        )

    def metadata(self, latency_ms: float) -> CompletionMetadata:
        """The figures of the whole job, whose last attempt answered."""
        row = self.rows[-1]
        return CompletionMetadata(
            request_id=self.request_id,
            task_type=self.request.task_type,
            model_alias=row.model_alias,
            model_actual=row.model_actual,
            provider=row.provider,
            latency_ms=latency_ms,
            tokens_in=row.tokens_in,
            tokens_out=row.tokens_out,
            estimated_tokens_in=row.estimated_tokens_in,
            cost_usd=self.cost_usd,
            attempts=len(self.rows),
            is_shadow=row.is_shadow,
            overflow_escalated=row.overflow_escalated,
            token_limited=row.token_limited,
            stop_reason=row.stop_reason,
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """What an answer from a log cost and took there; None where the log does not say."""

    cost_usd: float | None
    latency_ms: float | None


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """A finished job with its answer, or the error it ended in and, where that is known, the remedy.

    `figures` are those of an answer that was not asked for here.
    """

    job: Job
    done: Completion | None
    error: BaseException | None = None
    remedy: str | None = None
    figures: Figures | None = None

    @property
    def cost_usd(self) -> float | None:
        """What all its attempts cost, or may have cost; None where that is not known."""
        return self.job.cost_usd if self.figures is None else self.figures.cost_usd

    @property
    def latency_ms(self) -> float | None:
        """How long the answer took; None without one."""
        if self.figures is not None:
            return self.figures.latency_ms
        return self.done.metadata.latency_ms if self.done is not None else None

    @property
    def row(self) -> Attempt | None:
        """The attempt that gave the answer, or the last one that failed to."""
        return self.job.rows[-1] if self.job.rows else None

    @property
    def was_cancelled(self) -> bool:
        """Whether its caller went away: cancelled, interrupted, or a stream given up."""
        return self.error is not None and not isinstance(self.error, Exception)

    @property
    def output(self) -> str | None:
        """The answer's text, or what the last attempt left of one."""
        if self.done is not None:
            return self.done.text
        return self.row.output if self.row is not None else None

    @property
    def ending(self) -> Ending:
        """How its final attempt ended."""
        return attempt_ending(self.row, self.error)

"""The state of one `complete()` while it runs: its input, its place in an experiment, its rows."""

from __future__ import annotations

from dataclasses import dataclass, field

from router_lab.records import Attempt, Completion, CompletionMetadata
from router_lab.router.attempts.settlement import Settlement
from router_lab.router.attempts.tokens import Features, prompt_features
from router_lab.router.comparators.worker import Worker
from router_lab.router.ports import Clock
from router_lab.router.request.request import Request
from router_lab.router.routing import Route


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

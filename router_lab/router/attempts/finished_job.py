"""What came of one call: an answer, or the error it ended in."""

from __future__ import annotations

from dataclasses import dataclass

from router_lab.records import Attempt, Completion, Ending
from router_lab.router.answers.endings import attempt_ending
from router_lab.router.attempts.job import Job


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

"""One question of a replay: asked again while it may be answered, as fast as its server stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from router_lab.errors import (
    BudgetExceededError,
    ConfigError,
    LedgerError,
    NotRecordedError,
    ProviderError,
    ResponseParseError,
    RouterLabError,
    UnpricedModelError,
    UnsupportedError,
)
from router_lab.records import Attempt
from router_lab.replay.pace import Pace
from router_lab.router.attempts.job import FinishedJob, Job

if TYPE_CHECKING:
    from router_lab.router.offline import OfflineRouter

# What the candidate's configuration or account is the cause of: its next row would meet it as well.
HOPELESS = frozenset({401, 402, 403, 404, 410})
# Tries of one row at a server that fails, apart from those it had no room for.
_TRIES = 6


@dataclass(slots=True)
class CandidateTally:
    """What came of one candidate so far. `skipped` pairs were there before; `stopped` says why it ended.

    `out` answers are in batches that their provider has.
    """

    answered: int = 0
    failed: int = 0
    skipped: int = 0
    reused: int = 0
    unanswered: int = 0
    out: int = 0
    cost_usd: float = 0.0
    unknown_usd: float = 0.0
    stopped: str | None = None

    @property
    def done(self) -> int:
        """Pairs there are nothing left to do for."""
        return self.answered + self.failed + self.skipped

    def pay(self, rows: Sequence[Attempt]) -> None:
        """Count what attempts cost."""
        for row in rows:
            if row.billing == "unknown":
                self.unknown_usd += row.cost_usd if row.worst_usd is None else row.worst_usd
            else:
                self.cost_usd += row.cost_usd


async def ask(
    router: OfflineRouter,
    alias: str,
    job_of: Callable[[Sequence[Attempt]], Job],
    *,
    pace: Pace,
    tally: CandidateTally,
    is_stopped: Callable[[], bool],
    note: Callable[[str], None],
) -> FinishedJob | None:
    """The answer of `alias`, or its failure; None where nothing can be known of it now.

    `job_of` makes the job anew, with the attempts there were so far. A failure that the next row would meet
    as well ends the tally. Raises `BudgetExceededError`, `LedgerError`.
    """
    rows: Sequence[Attempt] = ()
    tries = 0
    while True:
        entered = await pace.enter()
        if is_stopped() or tally.stopped:
            pace.leave()
            return None
        job = job_of(rows)
        rows, sent = job.rows, len(rows)
        try:
            done = await router.answer(job, alias)
        except ProviderError as error:
            failure: Exception = error
            if not error.retryable:
                pace.answered()
                break
            pace.refused(entered, error.retry_after_s)
            tries += error.status != 429
            if pace.is_given_up:
                tally.stopped = f"its server gives nothing but failures: {error}"
                return None
            if tries >= _TRIES:
                break
        except ResponseParseError as error:
            pace.answered()
            failure, tries = error, tries + _TRIES // 2
            if error.token_limited or tries >= _TRIES:
                break
        except NotRecordedError as error:  # of a router that plays back; it says nothing of the model
            pace.leave()
            note(str(error))
            return None
        except BaseException as error:
            pace.leave()
            if not isinstance(error, RouterLabError) or isinstance(error, (BudgetExceededError, LedgerError)):
                raise
            failure = error
            break
        else:
            pace.answered()
            return FinishedJob(job, done)
        finally:
            tally.pay(job.rows[sent:])
    if is_hopeless(failure):
        tally.stopped = f"{type(failure).__name__}: {failure}"
        return None
    return FinishedJob(job, None, failure)


def is_hopeless(error: Exception) -> bool:
    """Whether the candidate's next row would fail of the same: its key, its model's name, its credit."""
    if isinstance(error, ProviderError):
        return error.exhausted or error.status in HOPELESS
    return isinstance(error, (ConfigError, UnpricedModelError)) and not isinstance(error, UnsupportedError)

"""`rl.replay` is the package and the function: `rl.replay(router, rows)`, `rl.replay.Candidate(...)`."""

from __future__ import annotations

from collections.abc import Coroutine
from types import ModuleType
from typing import TYPE_CHECKING, Any, overload

from router_lab.replay import outcome, result
from router_lab.replay.batching import batch_status
from router_lab.replay.candidates import Candidate, grid
from router_lab.replay.freezing import Bundle, freeze
from router_lab.replay.run import replay
from router_lab.replay.simulation import simulated_ledger
from router_lab.replay.trial import replay_candidates

if TYPE_CHECKING:
    from router_lab.router import Router


class ReplayPackage(ModuleType):
    """The package `router_lab.replay`, which can be called."""

    Bundle = Bundle
    Candidate = Candidate
    CandidateResult = outcome.CandidateResult
    ReplayResult = result.ReplayResult
    ReplayRun = outcome.ReplayRun
    RowResult = result.RowResult
    batch_status = staticmethod(batch_status)
    freeze = staticmethod(freeze)
    grid = staticmethod(grid)
    replay = staticmethod(replay)
    replay_candidates = staticmethod(replay_candidates)
    simulated_ledger = staticmethod(simulated_ledger)

    @overload
    def __call__(
        self, router: Router, rows: Any, *, candidates: Any, **options: Any
    ) -> Coroutine[Any, Any, outcome.ReplayRun]: ...

    @overload
    def __call__(
        self, router: Router, rows: Any, **options: Any
    ) -> Coroutine[Any, Any, result.ReplayResult]: ...

    def __call__(self, router: Router, rows: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        """Run a dataset: with `candidates` as `replay_candidates` does, else as `replay` does."""
        return (
            replay_candidates(router, rows, **options)
            if "candidates" in options
            else replay(router, rows, **options)
        )

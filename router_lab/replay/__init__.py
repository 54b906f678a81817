"""A dataset through a router, offline: `await rl.replay(router, "prompts.jsonl", candidates=["small"])`.

Rows come from a file (`.jsonl`, `.csv`, `.parquet`), a data frame, any iterable of mappings, or a ledger.
With candidates, each is asked every row once, and compared with the answer that the row's log has, or that
the primary gives: begin reading in `trial.py`. Without, every row is completed as its route says: `run.py`.
With `batch=True` they are asked by the batch, at half the price: `batching.py`; of a Spark frame by its
executors: `on_spark.py`.
What is answered in the ledger is not asked again, and the ledger holds everything.

Neighbours use `batching` and `plan`.
"""

from __future__ import annotations

import sys

from router_lab.replay.batching import batch_status
from router_lab.replay.callable_package import ReplayPackage as _ReplayPackage
from router_lab.replay.candidates import Candidate, grid
from router_lab.replay.freezing import Bundle, freeze
from router_lab.replay.outcome import CandidateResult, ReplayRun
from router_lab.replay.result import ReplayResult, RowResult
from router_lab.replay.run import replay
from router_lab.replay.simulation import simulated_ledger
from router_lab.replay.trial import replay_candidates

__all__ = [
    "Bundle",
    "Candidate",
    "CandidateResult",
    "ReplayResult",
    "ReplayRun",
    "RowResult",
    "batch_status",
    "freeze",
    "grid",
    "replay",
    "replay_candidates",
    "simulated_ledger",
]

sys.modules[__name__].__class__ = _ReplayPackage

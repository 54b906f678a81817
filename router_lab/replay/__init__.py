"""A dataset through a router, offline: `await replay(router, "prompts.jsonl")`.

Rows come from a file (`.jsonl`, `.csv`, `.parquet`), a data frame or any iterable of mappings. What is
already answered in the ledger is skipped, what fails is collected, and the result is a small table
beside the ledger, which holds everything.
"""

from __future__ import annotations

from router_lab.replay.result import ReplayResult, RowResult
from router_lab.replay.run import replay

__all__ = ["ReplayResult", "RowResult", "replay"]

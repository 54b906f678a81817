"""The ledger: durable rows, budgets, calibration and the switch in one folder of Parquet and SQLite.

In come intents, settled rows and flips of the switch; out go frames, Ibis tables and sums of money. Begin
with `ledger`, what people call; what the router calls is in `accounts`.

Neighbours use `content`, `journals`, `schema`, `scores` and `switch`.
"""

from __future__ import annotations

from router_lab.ledger.ledger import Ledger

__all__ = ["Ledger"]

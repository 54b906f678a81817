"""The ledger: durable rows, budgets, calibration and the switch in one folder of Parquet and SQLite."""

from __future__ import annotations

from router_lab.ledger.ledger import Ledger

__all__ = ["Ledger"]

"""Comparisons frames for tests, as a ledger would give them."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pandas as pd

from router_lab import analysis
from router_lab.records import Comparison

NOW = pd.Timestamp("2026-11-22T00:00:00Z")


def pairs_frame(agreement, task_type: str = "classify::ticket", **columns) -> pd.DataFrame:
    """One complete pair per agreement, one a minute, distinct inputs; `columns` override."""
    agreement = np.asarray(agreement, dtype=float)
    number = np.arange(len(agreement))
    frame = pd.DataFrame(
        {
            "comparison_id": [f"{task_type}-{i:07d}" for i in number],
            "request_id": [f"r{i:07d}" for i in number],
            "task_type": task_type,
            "created_at": NOW - pd.to_timedelta((len(number) - number) * 60, unit="s"),
            "primary_alias": "cloud",
            "shadow_alias": "local",
            "primary_model": "claude-sonnet-4-5",
            "shadow_model": "qwen2.5:7b",
            "input_hash": [f"h{i:07d}" for i in number],
            "sample_probability": 0.5,
            "switch_epoch": 1,
            "status": "complete",
            "comparator": "label",
            "agreement": agreement,
            "is_noise": False,
            "primary_cost_usd": 0.02,
            "shadow_cost_usd": 0.001,
            "primary_latency_ms": 900.0,
            "shadow_latency_ms": 300.0,
        }
    )
    return frame.assign(**columns)


def agreeing(share: float, pairs: int, seed: int = 0) -> np.ndarray:
    """0/1 agreement with this mean, shuffled: exactly the rounded count of ones."""
    rows = np.zeros(pairs)
    rows[: round(share * pairs)] = 1.0
    return np.random.default_rng(seed).permutation(rows)


def as_ledger(folder, frame):
    """These comparisons as a ledger of one Parquet file, opened."""
    whole = frame.assign(
        primary_attempt_id="a", shadow_attempt_id="b", primary_output="one", shadow_output="two", details="{}"
    ).filter([field.name for field in fields(Comparison)])
    day = folder / "ledger" / "comparisons" / "date=2026-11-21"
    day.mkdir(parents=True)
    whole.astype({"primary_output": "string", "shadow_output": "string"}).to_parquet(day / "pairs.parquet")
    return analysis.open(folder / "ledger")

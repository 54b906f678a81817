"""What a side of a pair was billed is worked out twice, in the engine for savings and in pandas for verdicts:
one bill, of any ledger.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pair_frames import NOW

from kinds import examples
from router_lab import analysis
from router_lab.analysis.evidence.pairs import judged_pairs
from router_lab.analysis.evidence.stored_pairs import billed_usd, unknown_usd, with_reservations
from router_lab.analysis.ledger_tables import frame_of

TEXT, NUMBER, TRUTH, TIME = pa.string(), pa.float64(), pa.bool_(), pa.timestamp("us", "UTC")
ATTEMPTS = {
    "attempt_id": TEXT, "request_id": TEXT, "attempt_no": pa.int64(), "started_at": TIME, "task_type": TEXT,
    "model_alias": TEXT, "is_shadow": TRUTH, "comparison_id": TEXT, "billing": TEXT, "outcome": TEXT,
    "cost_usd": NUMBER, "worst_usd": NUMBER, "latency_ms": NUMBER,
}  # fmt: skip
PAIRS = {
    "comparison_id": TEXT, "request_id": TEXT, "task_type": TEXT, "created_at": TIME, "primary_alias": TEXT,
    "shadow_alias": TEXT, "input_hash": TEXT, "sample_probability": NUMBER, "status": TEXT,
    "comparator": TEXT, "agreement": NUMBER, "primary_cost_usd": NUMBER, "shadow_cost_usd": NUMBER,
    "primary_latency_ms": NUMBER, "shadow_latency_ms": NUMBER, "is_noise": TRUTH, "details": TEXT,
}  # fmt: skip

# Sums of these are exact, whatever their order.
USD = st.sampled_from([None, 0.0, 0.25, 0.5, 1.0, 4.0])
TRY = st.fixed_dictionaries(
    {
        "billing": st.sampled_from(["billed", "unknown", "unknown", "unbilled"]),
        "outcome": st.sampled_from(["ok", "timeout", "lost", "http_error"]),
        "cost_usd": USD,
        "worst_usd": USD,
        "latency_ms": st.sampled_from([None, 100.0, 2_000.0]),
        "model_alias": st.sampled_from(["small", "other", "large", None]),
        "task_type": st.sampled_from(["ask", "tell", "judge", None]),
    }
)
CALL = st.fixed_dictionaries(
    {
        "task_type": st.sampled_from(["ask", "tell", None]),
        "shadow_alias": st.sampled_from(["small", "other", None]),
        "status": st.sampled_from(["complete", "shadow_failed", "both_failed", "budget", "comparator_error"]),
        "comparator": st.sampled_from(["exact", "judge"]),
        "primary_cost_usd": USD,
        "shadow_cost_usd": USD,
        "shadow_latency_ms": st.sampled_from([None, 50.0]),
        "has_request": st.sampled_from([True, True, True, False]),
        "has_noise": st.booleans(),
        "primary": st.lists(TRY, max_size=3),
        "shadow": st.lists(TRY, max_size=3),
    }
)


def write(folder: Path, calls: Sequence[dict[str, Any]]) -> Path:
    """A ledger of these calls: each has a pair, some a noise pair beside it, and attempts of both sides."""
    pairs: list[dict[str, Any]] = []
    attempts: list[dict[str, Any]] = []
    for number, call in enumerate(calls):
        request = f"r{number}" if call["has_request"] else None
        own = {name: call[name] for name in PAIRS if name in call}
        pair = own | {
            "comparison_id": f"c{number}", "request_id": request, "created_at": NOW, "primary_alias": "large",
            "input_hash": f"h{number}", "sample_probability": 0.5, "agreement": 1.0, "is_noise": False,
            "primary_latency_ms": 10.0, "details": "{}",
        }  # fmt: skip
        noise = pair | {"comparison_id": f"c{number}-noise", "shadow_alias": "large", "is_noise": True}
        pairs += [pair, noise] if call["has_noise"] else [pair]
        for side, tries in (("primary", call["primary"]), ("shadow", call["shadow"])):
            is_shadow = side == "shadow"
            attempts += [
                one
                | {
                    "attempt_id": f"{side}-{number}-{place}", "request_id": request, "attempt_no": place + 1,
                    "started_at": NOW, "is_shadow": is_shadow,
                    "comparison_id": f"c{number}" if is_shadow else None,
                }
                for place, one in enumerate(tries)
            ]  # fmt: skip
    for table, columns, rows in (("attempts", ATTEMPTS, attempts), ("comparisons", PAIRS, pairs)):
        day = folder / table / "date=2026-11-22"
        day.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows, pa.schema([*columns.items()])), day / "rows.parquet")
    return folder


def by_engine(tables: Any) -> pd.DataFrame:
    """Both sides' bills of every pair, as savings have them."""
    pairs = with_reservations(tables, tables.comparisons)
    bills = {
        f"{side}_{name}": bill(pairs, side)
        for side in ("primary", "shadow")
        for name, bill in (("cost_usd", billed_usd), ("unknown_usd", unknown_usd))
    }
    return frame_of(pairs.select("comparison_id", **bills)).set_index("comparison_id").sort_index()


@given(st.lists(CALL, min_size=1, max_size=30))  # a ledger takes as long to ask, however many it has
@settings(max_examples=examples(28), phases=[Phase.explicit, Phase.generate])  # to shrink takes minutes
def test_a_bill_is_the_same_to_savings_and_to_verdicts(calls):
    with tempfile.TemporaryDirectory() as folder:
        tables = analysis.open(write(Path(folder), calls))
        engine, saved = by_engine(tables), analysis.savings(tables).set_index("task_type")
        for ids in (["comparison_id"], ["comparison_id", "request_id"]):  # requests as numbers, and as texts
            rows = judged_pairs(tables, keep=[*ids, "primary_unknown_usd", "shadow_unknown_usd"])
            bills = rows.set_index("comparison_id").sort_index()
            pd.testing.assert_frame_equal(bills[[*engine]], engine, check_index_type=False, check_names=False)
    # What is saved in all, of the pairs that savings are of.
    is_known = bills["primary_cost_usd"].notna() & (
        bills["shadow_cost_usd"].notna() | (bills["status"] == "shadow_failed")
    )
    known = bills[is_known & ~bills["is_noise"] & bills["status"].isin(["complete", "shadow_failed"])]
    sums = known.groupby("task_type", dropna=False)[[*engine]].sum()
    assert len(sums) == len(saved)
    for told, mine in (
        ("primary_usd", "primary_cost_usd"), ("shadow_usd", "shadow_cost_usd"),
        ("primary_unknown_usd", "primary_unknown_usd"), ("shadow_unknown_usd", "shadow_unknown_usd"),
    ):  # fmt: skip
        assert np.sort(saved[told]) == pytest.approx(np.sort(sums[mine]))

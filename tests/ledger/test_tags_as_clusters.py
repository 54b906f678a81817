"""A tag of the calls says which inputs are near to one another; the exit counts the first of each."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from ledger_rows import NOON, make_call, pair

from router_lab.analysis import monitor
from router_lab.errors import ConfigError
from router_lab.ledger import Ledger

NAME = "summarize::short"


async def test_the_first_pair_of_each_session_counts(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        for number in range(120):
            # Every tenth call has no tag, and is a session of its own.
            tags = {} if number % 10 == 9 else {"session": f"s{number // 40}"}
            call = await make_call(ledger, request_id=f"r{number}", tags=tags)
            row = pair(
                request_id=call.request_id,
                created_at=NOON + timedelta(minutes=number),
                input_hash=f"{number:064d}",
                comparator="label",
                agreement=1.0,
            )
            await ledger.accounts.record_comparison(row)
        later = NOON + timedelta(hours=3)
        result = monitor(ledger, now=later, cluster="tag:session")
        assert result.decisions[NAME].inputs == 3 + 12
        assert "of distinct inputs, the first of each tag:session, as they were from 2026-11-22" in repr(
            result
        )
        assert monitor(ledger, now=later).decisions[NAME].inputs == 120
        with pytest.raises(ConfigError, match="tag:NAME"):
            monitor(ledger, now=later, cluster="session")

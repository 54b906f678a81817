"""Ledgers the panels are shown over: one that a router really wrote, and one that is empty."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from written_ledger import make_calls

import router_lab as rl


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rl.Ledger]:
    """Shadowed calls over two task types; the first one is refused once."""
    with rl.Ledger(tmp_path_factory.mktemp("written")) as ledger, rl.sim.serve(rl.sim.app(seed=1)) as server:
        ledger.switch.on(reason="panel tests")
        server.app.script(["429"])
        asyncio.run(make_calls(ledger, server.url))
        yield ledger


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[rl.Ledger]:
    """A ledger nobody has called through."""
    with rl.Ledger(tmp_path / "empty") as ledger:
        ledger.switch.off(reason="start")
        yield ledger

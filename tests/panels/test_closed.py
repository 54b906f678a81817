"""A closed panel lets go of all it holds: its widgets, what it has read, the threads of its database."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
from ipywidgets.widgets import widget

import router_lab as rl
from kinds import kept

PANELS = ["ComparePanel", "DivisorPanel", "MonitorPanel", "SpendPanel", "SwitchPanel", "TruncationPanel"]
ALL = [*PANELS, "RacePanel", "VerdictPanel", "dashboard"]


def open_and_close(make: Any, ledger: rl.Ledger) -> Any:
    made = make(ledger)
    seen = weakref.ref(made)
    made.close()
    return seen


def threads() -> int:
    """How many threads this process has, those of libraries among them."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


@pytest.mark.parametrize("name", kept(ALL, "ComparePanel", "RacePanel", "dashboard"))
def test_nothing_holds_a_closed_panel(name: str, written: rl.Ledger) -> None:
    make = getattr(rl.panels, name)
    open_and_close(make, written)
    gc.collect()
    registered = len(widget._instances)
    seen = open_and_close(make, written)
    gc.collect()
    assert seen() is None
    assert len(widget._instances) == registered


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in Linux's /proc")
def test_a_closed_panel_ends_the_threads_of_its_database(written: rl.Ledger) -> None:
    open_and_close(rl.panels.ComparePanel, written)
    gc.collect()
    before = threads()
    open_and_close(rl.panels.ComparePanel, written)
    gc.collect()
    assert threads() <= before


def test_other_panels_stay_as_they_are(written: rl.Ledger) -> None:
    kept = rl.panels.ComparePanel(written)
    open_and_close(rl.panels.ComparePanel, written)
    kept.refresh()
    assert "pairs" in repr(kept) and kept.layout.comm is not None and kept.children[0].layout.comm is not None
    kept.close()


def test_a_panel_that_follows_is_let_go_too(written: rl.Ledger) -> None:
    async def followed() -> Any:
        panel = rl.panels.SpendPanel(written)
        panel.follow(every_s=60)
        await asyncio.sleep(0)
        seen = weakref.ref(panel)
        panel.close()
        return seen

    seen = asyncio.run(followed())
    gc.collect()
    assert seen() is None

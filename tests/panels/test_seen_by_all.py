"""What people with other eyes, hands and screens get: axe's checks, a phone, the dark, values by pointer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from browsing import (
    LOOKS,
    browser_page,
    every_tab_is_seen_by_all,
    in_a_browser,
    notebook,
    the_report_is_seen_by_all,
    voila,
)
from written_ledger import CALLS, make_calls

import router_lab as rl

pytestmark = in_a_browser("playwright", "voila", "axe_playwright_python")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger folder with some pairs of two task types in it."""
    path = tmp_path_factory.mktemp("seen") / "ledger"
    answering = rl.sim.app(seed=3)
    with rl.sim.serve(answering) as server, rl.Ledger(path) as ledger, ledger.switch.on(reason="pairs"):
        asyncio.run(make_calls(ledger, server.url, count=CALLS))
    return path


@pytest.mark.soak  # in the dark `test_in_browser.py` does it, after the dashboard was used
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_tab_passes_axe_and_fits_a_phone(theme: str, folder: Path, tmp_path: Path) -> None:
    cell = f"import router_lab as rl\nrl.panels.dashboard(rl.Ledger({str(folder)!r}))"
    path = notebook(tmp_path / "board.ipynb", cell)
    with voila(path, theme) as url, browser_page(url, tmp_path) as page:
        every_tab_is_seen_by_all(page)


@pytest.mark.soak  # of two looks `test_in_browser.py` does it, after the dashboard's tabs
def test_the_report_passes_axe_at_every_width(folder: Path, tmp_path: Path) -> None:
    written = rl.analysis.report(folder).write(tmp_path / "report.html")
    with browser_page(written.resolve().as_uri(), tmp_path) as page:
        the_report_is_seen_by_all(page, written, LOOKS)

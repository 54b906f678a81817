"""The dashboard as a person uses it: Voilà and JupyterLab in a real Chromium."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from browsing import (
    PHONE,
    browser_page,
    every_tab_is_seen_by_all,
    in_a_browser,
    jupyterlab,
    notebook,
    the_report_is_seen_by_all,
    voila,
)
from written_ledger import CALLS, make_calls

import router_lab as rl
from router_lab.scores.spot_checking import scored_pairs

pytestmark = in_a_browser("playwright", "voila", "jupyterlab", "axe_playwright_python")


def call_elsewhere(folder: Path, count: int) -> None:
    """So many calls in this process, which is another one than the panel's, through a ledger of its own."""

    def call() -> None:
        with rl.Ledger(folder) as ledger, rl.sim.serve(rl.sim.app(seed=1)) as server:
            asyncio.run(make_calls(ledger, server.url, count))

    with ThreadPoolExecutor(1) as thread:  # in this one Playwright has its loop
        thread.submit(call).result()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ledger folder with some pairs of two task types in it, the switch off."""
    path = tmp_path / "ledger"
    with rl.Ledger(path) as ledger, ledger.switch.on(reason="first pairs"):
        call_elsewhere(path, CALLS)
    return path


def flip_on(page: Any, reason: str) -> None:
    page.get_by_role("tab", name="Switch").click()
    page.get_by_label("Reason").fill(reason)
    page.get_by_role("button", name="Turn on …").click()
    page.get_by_text("eligible calls a day").wait_for()
    page.get_by_role("button", name="Yes, turn on").click()
    page.get_by_text("Shadows are on everywhere").wait_for()


def shown_pairs(page: Any) -> list[str]:
    """The ids of the pairs on the page, top to bottom."""
    lines = page.get_by_text(re.compile(r"· pair \w+")).all_inner_texts()
    return [line.rpartition("pair ")[2].strip() for line in lines]


def test_voila_flip_filter_mark_and_follow(folder: Path, tmp_path: Path) -> None:
    """In the dark; then every tab is looked at, in the page that is there, and the report after it."""
    cell = f"import router_lab as rl\nrl.panels.dashboard(rl.Ledger({str(folder)!r}))"
    path = notebook(tmp_path / "board.ipynb", cell)
    with voila(path, "dark") as url, browser_page(url, tmp_path) as page:
        page.get_by_text("You may not yet").first.wait_for()
        page.get_by_role("tab", name="Compare").click()
        page.get_by_text(f"{CALLS} pairs · {CALLS} complete").wait_for()
        page.get_by_label("Task type").select_option("extract::short")
        page.get_by_text(f"{CALLS // 2} pairs · {CALLS // 2} complete").wait_for()
        page.get_by_label("Note").fill("clearer")
        page.get_by_role("button", name="Save verdict").click()
        page.get_by_text("✔ primary better (clearer)").wait_for()
        page.get_by_text("saved in the ledger as").wait_for()

        # Typing n, a or 1 into a text field is no shortcut; after a click on a pair it is one.
        page.get_by_label("Search", exact=True).press_sequentially("n1a")
        page.get_by_label("Search", exact=True).fill("")
        page.get_by_label("Pair 1", exact=True).get_by_text("extract::short").click()
        page.get_by_text("Keys work now").wait_for()
        page.keyboard.press("n")
        page.locator("[aria-label='Pair 2'][aria-current=true]").wait_for()
        page.keyboard.press("2")
        page.get_by_label("Pair 2", exact=True).get_by_text("✔ shadow better").wait_for()
        page.locator("[aria-label='Pair 3'][aria-current=true]").wait_for()
        shown = shown_pairs(page)

        flip_on(page, "from the browser")
        call_elsewhere(folder, 2)
        page.get_by_role("tab", name="Compare").click()
        page.get_by_label("Task type", exact=True).select_option("any")
        page.get_by_role("button", name="Refresh").first.click()
        page.get_by_text(f"{CALLS + 2} pairs · {CALLS + 2} complete").wait_for()
        every_tab_is_seen_by_all(page)
        written = rl.analysis.report(folder).write(tmp_path / "report.html")
        the_report_is_seen_by_all(page, written, [(PHONE, "dark"), (1280, "light")])

    with rl.Ledger(folder) as ledger:
        history, pairs = ledger.switch.history(), ledger.comparisons()
        scored = scored_pairs(ledger).set_index("comparison_id")
    assert scored.loc[shown[:2], ["primary_score", "shadow_score"]].values.tolist() == [
        [1.0, 0.0],
        [0.0, 1.0],
    ]
    flip = history.iloc[-1]
    assert (flip["on"], flip["reason"]) == (True, "from the browser")
    assert list(pairs["switch_epoch"].tail(2)) == [flip["epoch"]] * 2


@pytest.mark.soak
def test_jupyterlab_shows_a_panel_that_follows(folder: Path, tmp_path: Path) -> None:
    cell = (
        "import router_lab as rl\n"
        f"panel = rl.panels.ComparePanel(rl.Ledger({str(folder)!r}))\n"
        "panel.follow(every_s=0.5)\n"
        "panel"
    )
    path = notebook(tmp_path / "panel.ipynb", cell)
    with jupyterlab(path) as url, browser_page(url, tmp_path) as page:
        page.get_by_text("| Idle").wait_for()  # a cell run before the kernel is there would not run
        page.get_by_role("textbox").filter(has_text="ComparePanel").first.click()
        page.keyboard.press("Shift+Enter")
        page.get_by_text(f"{CALLS} pairs · {CALLS} complete").wait_for()
        with rl.Ledger(folder) as ledger:
            ledger.switch.on(reason="live")
            call_elsewhere(folder, 3)
        page.get_by_text(f"{CALLS + 3} pairs · {CALLS + 3} complete").wait_for()
        # JupyterLab's own shortcut for b would add a cell.
        cells = page.locator(".jp-Cell").count()
        page.get_by_label("Pair 1", exact=True).get_by_text("1.", exact=True).click()
        page.get_by_text("Keys work now").wait_for()
        for number in (2, 3):
            page.keyboard.press("n")
            page.locator(f"[aria-label='Pair {number}'][aria-current=true]").wait_for()
        page.keyboard.press("b")
        page.locator("[aria-label='Pair 2'][aria-current=true]").wait_for()
        assert page.locator(".jp-Cell").count() == cells

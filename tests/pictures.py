"""The README's pictures, of panels in a real browser over a seeded ledger: `make pictures`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "panels"))

from browsing import CHROMIUM, browser_page, notebook, voila  # noqa: E402 - found by the line above

import router_lab as rl  # noqa: E402
from router_lab.settings import load  # noqa: E402

PICTURES = ROOT / "notebooks" / "pictures"
WORKLOAD = ROOT / "data" / "workload.jsonl"
MOST_BYTES = 300_000


async def replay_workload(ledger: rl.Ledger, url: str) -> None:
    """The sample workload with shadows on, one row after the other, so that each run gives the same rows."""
    settings = rl.sim.pointed_at(load(ROOT / "config" / "demo.yaml"), url)
    async with rl.Router(settings, ledger=ledger, seed=0) as router:
        with ledger.switch.on(reason="the README's pictures"):
            await rl.replay.replay(router, WORKLOAD, concurrency=1)
            await router.drain()


def written(folder: Path) -> Path:
    """A ledger of the sample workload on simulated servers that fail now and then."""
    trouble = rl.sim.RandomFaults(seed=5, rates={"429": 0.02, "503": 0.02, "garbage": 0.02})
    answering = rl.sim.app(seed=7, workload=WORKLOAD, ollama_version="0.6.5", faults=trouble)
    with rl.sim.serve(answering) as server, rl.Ledger(folder) as ledger:
        asyncio.run(replay_workload(ledger, server.url))
    return folder


def verdict(page: Any) -> None:
    """The report's beginning: the same answers as the dashboard's first tab and `rl.verdict`."""
    page.get_by_text("May we replace it?").first.wait_for()
    picture(page, "verdict", height=760)


def compare_panel(page: Any) -> None:
    page.get_by_label("Task type", exact=True).select_option("extract::order")
    page.get_by_label("Pair 1", exact=True).get_by_text("extract::order").wait_for()
    picture(page, "compare_panel", height=940)


def dashboard_money(page: Any) -> None:
    page.get_by_role("tab", name="Money").click()
    page.get_by_text("Circuit breakers").wait_for()
    picture(page, "dashboard_money", height=1000)


def may_we_stop(page: Any) -> None:
    page.get_by_role("tab", name="May we stop?").click()
    page.get_by_label("Agreement to beat").fill("0.75")
    page.get_by_label("Agreement to beat").press("Enter")
    page.get_by_label("Evidence of").select_option("extract::invoice")
    page.get_by_role("img", name="extract::invoice").wait_for()
    picture(page, "may_we_stop", height=1000)


def picture(page: Any, name: str, height: int) -> None:
    """Keep the top of the page; refuse a file too heavy for a README."""
    page.wait_for_load_state("networkidle")
    path = PICTURES / f"{name}.png"
    page.screenshot(path=path, clip={"x": 0, "y": 0, "width": page.viewport_size["width"], "height": height})
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise SystemExit(f"{path}: {size:,} bytes; at most {MOST_BYTES:,}: make the picture smaller")
    print(f"{path.relative_to(ROOT)}  {size:,} bytes")


def main() -> None:
    """Make all of them."""
    if CHROMIUM is None:
        raise SystemExit("no Chromium on this machine (Debian: apt-get install chromium)")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ledger = written(folder / "ledger")
        report = rl.analysis.report(ledger, pictures=False).write(folder / "report.html")
        with browser_page(report.resolve().as_uri(), folder) as page:
            verdict(page)
        board = notebook(
            folder / "board.ipynb",
            f"import router_lab as rl\nrl.panels.dashboard(rl.Ledger({str(ledger)!r}))",
        )
        with voila(board) as url, browser_page(url, folder) as page:
            page.get_by_role("tab", name="Compare").click()
            page.get_by_text("side by side").wait_for()
            compare_panel(page)
            dashboard_money(page)
            may_we_stop(page)


if __name__ == "__main__":
    main()

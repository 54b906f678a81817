"""What people with other eyes, hands and screens get: axe's checks, a phone, the dark, values by pointer."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from browsing import browser_page, in_a_browser, notebook, voila
from written_ledger import CALLS, make_calls

import router_lab as rl
from kinds import kept

pytestmark = in_a_browser("playwright", "voila", "axe_playwright_python")

# Rules for whole documents: around a dashboard stands Voilà's page, which is not ours.
_ITS_PAGE = ["region", "landmark-one-main", "page-has-heading-one", "document-title", "html-has-lang"]
_PHONE = 390


def faults(page: Any, without: list[str]) -> list[str]:
    """What axe finds on the page: the rule, the first element, and what to do."""
    from axe_playwright_python.sync_playwright import Axe

    rules = {name: {"enabled": False} for name in without}
    found = Axe().run(page, options={"rules": rules}).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]} {one['help']}" for one in found]


def too_wide(page: Any) -> int:
    """By how many pixels the page is wider than its window."""
    found: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return found


# What stands below a tab comes some time after the click: at first nothing, then perhaps that it is read.
_IS_THERE = """name => {
    const place = [...document.querySelectorAll('[role=tab]')].findIndex(one => one.innerText.trim() === name)
    const below = document.querySelectorAll('.widget-tab-contents > *')[place]
    return below.offsetParent && below.innerText.trim() && !below.innerText.includes('Reading the ledger')
}"""


def opened(page: Any, tab: str) -> None:
    page.get_by_role("tab", name=tab, exact=True).click()
    page.wait_for_function(_IS_THERE, arg=tab)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger folder with some pairs of two task types in it."""
    path = tmp_path_factory.mktemp("seen") / "ledger"
    answering = rl.sim.app(seed=3)
    with rl.sim.serve(answering) as server, rl.Ledger(path) as ledger, ledger.switch.on(reason="pairs"):
        asyncio.run(make_calls(ledger, server.url, count=CALLS))
    return path


@pytest.mark.parametrize("theme", kept(["light", "dark"], "dark"))
def test_every_tab_passes_axe_and_fits_a_phone(theme: str, folder: Path, tmp_path: Path) -> None:
    cell = f"import router_lab as rl\nrl.panels.dashboard(rl.Ledger({str(folder)!r}))"
    path = notebook(tmp_path / "board.ipynb", cell)
    with voila(path, theme) as url, browser_page(url, tmp_path) as page:
        page.get_by_role("tab", name="Tokens").wait_for()
        tabs = page.get_by_role("tab").all_inner_texts()
        assert len(tabs) == 7
        for tab in tabs:
            page.set_viewport_size({"width": 1280, "height": 900})
            opened(page, tab)
            assert faults(page, _ITS_PAGE) == [], tab
            page.set_viewport_size({"width": _PHONE, "height": 844})
            assert too_wide(page) == 0, tab
            label = page.get_by_role("tab", name=tab, exact=True).locator(".lm-TabBar-tabLabel")
            assert label.evaluate("one => one.scrollWidth <= one.clientWidth"), f"{tab} is cut off"
        # A figure has the colours of its page, and says its values under the pointer.
        opened(page, "Money")
        drawn = page.get_by_role("img", name="Spend by cause")
        ink = page.evaluate(
            "getComputedStyle(document.querySelector('.router-lab-panel .tex2jax_ignore')).color"
        )
        assert drawn.evaluate("one => getComputedStyle(one).fill") == ink
        assert drawn.locator("title").first.text_content().count("$") == 1


def test_the_report_passes_axe_at_every_width(folder: Path, tmp_path: Path) -> None:
    written = rl.analysis.report(folder).write(tmp_path / "report.html")
    with browser_page(written.resolve().as_uri(), tmp_path) as page:
        for width, scheme in itertools.product((_PHONE, 1280, 1920), ("light", "dark")):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            page.reload()
            page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
            assert faults(page, []) == [], (width, scheme)
            assert too_wide(page) == 0, (width, scheme)

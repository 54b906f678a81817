"""Voilà and JupyterLab on a real port, and a real Chromium in front of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from tempfile import gettempdir
from threading import Thread
from typing import Any

import nbformat
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 60_000


def in_a_browser(*packages: str) -> list[pytest.MarkDecorator]:
    """The marks of a module whose tests need Chromium and `packages`; it says what is missing."""
    missing = [name for name in packages if find_spec(name) is None]
    return [
        pytest.mark.browser,
        pytest.mark.timeout(300),
        pytest.mark.skipif(
            CHROMIUM is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"
        ),
        pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (extras lab and dev)"),
    ]


def notebook(path: Path, *cells: str) -> Path:
    """A notebook with these code cells."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, path)
    return path


@contextmanager
def voila(path: Path, theme: str = "light") -> Iterator[str]:
    """Voilà showing one notebook; yields its URL."""
    with _served(["voila", path.name, "--no-browser", f"--theme={theme}"], path.parent, "Voila") as url:
        yield url


@contextmanager
def jupyterlab(path: Path) -> Iterator[str]:
    """JupyterLab with one notebook open; yields its URL. Pop-ups that reach for the net are off."""
    config = path.parent / "jupyter_config"
    folder = config / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
    folder.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (folder / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
    command = ["jupyterlab", "--no-browser", "--IdentityProvider.token=", "--allow-root"]
    with _served(command, path.parent, "ServerApp", JUPYTER_CONFIG_DIR=str(config)) as url:
        yield f"{url}lab/tree/{path.name}?reset"


@contextmanager
def browser_page(url: str, folder: Path, width: int = 1280) -> Iterator[Any]:
    """A page of headless Chromium on `url`; when a test fails, how it looked is in `folder`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Its socket is among the temporary files, and a socket's path has room for a hundred letters.
        place = {"TMPDIR": "/tmp"} if len(gettempdir()) > 50 else {}
        environment = {**os.environ, **place}
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS, env=environment)
        page = browser.new_page(viewport={"width": width, "height": 1000})
        page.set_default_timeout(WAIT_MS)
        page.goto(url)
        try:
            yield page
        except BaseException:
            page.screenshot(path=folder / "failed.png", full_page=True)
            raise
        finally:
            browser.close()


def _written_in(folder: Path) -> dict[str, str]:
    """Where Jupyter and IPython write, for whoever has no home that can be written to."""
    return {
        "JUPYTER_RUNTIME_DIR": str(folder / "_jupyter_runtime"),
        "JUPYTER_DATA_DIR": str(folder / "_jupyter_data"),
        "IPYTHONDIR": str(folder / "_ipython"),
    }


@contextmanager
def _served(command: list[str], folder: Path, app: str, **environment: str) -> Iterator[str]:
    server = subprocess.Popen(
        [sys.executable, "-m", *command, f"--{app}.ip=127.0.0.1"],
        cwd=folder,
        env={**os.environ, **_written_in(folder), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert server.stdout is not None
    said: list[str] = []
    for line in server.stdout:
        said.append(line)
        if "running at" in line:  # and on the next line, where: of ports that are taken it tries others
            url = re.findall(r"http://127\.0\.0\.1:\d+/", server.stdout.readline())[0]
            break
    else:
        raise RuntimeError("".join(said))
    reader = Thread(target=lambda: deque(server.stdout or (), maxlen=0))
    reader.start()
    try:
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)
        reader.join()
        server.stdout.close()


# Rules for whole documents: around a dashboard stands Voilà's page, which is not ours.
_ITS_PAGE = ["region", "landmark-one-main", "page-has-heading-one", "document-title", "html-has-lang"]
PHONE = 390


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


def every_tab_is_seen_by_all(page: Any) -> None:
    """Each tab of a dashboard passes axe's checks and fits a phone."""
    page.get_by_role("tab", name="Tokens").wait_for()
    tabs = page.get_by_role("tab").all_inner_texts()
    assert len(tabs) == 7
    for tab in tabs:
        page.set_viewport_size({"width": 1280, "height": 900})
        opened(page, tab)
        assert faults(page, _ITS_PAGE) == [], tab
        page.set_viewport_size({"width": PHONE, "height": 844})
        assert too_wide(page) == 0, tab
        label = page.get_by_role("tab", name=tab, exact=True).locator(".lm-TabBar-tabLabel")
        assert label.evaluate("one => one.scrollWidth <= one.clientWidth"), f"{tab} is cut off"
    # A figure has the colours of its page, and says its values under the pointer.
    opened(page, "Money")
    drawn = page.get_by_role("img", name="Spend by cause")
    ink = page.evaluate("getComputedStyle(document.querySelector('.router-lab-panel .tex2jax_ignore')).color")
    assert drawn.evaluate("one => getComputedStyle(one).fill") == ink
    assert drawn.locator("title").first.text_content().count("$") == 1


# Widths and colours that a page of ours is looked at in.
LOOKS = [*product((PHONE, 1280, 1920), ("light", "dark"))]


def the_report_is_seen_by_all(page: Any, report: Path, checked: list[tuple[int, str]]) -> None:
    """A report that was written fits every width, and passes axe's checks in the looks that are `checked`."""
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.goto(report.resolve().as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        assert (width, scheme) not in checked or faults(page, []) == [], (width, scheme)
        assert too_wide(page) == 0, (width, scheme)

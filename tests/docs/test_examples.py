"""Every example of the reference, the pages and the README runs, against the simulated providers."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cells import SETTINGS, command, run
from column_words import contradictions
from frames_shown import FramesShown

import router_lab as rl
from router_lab.docs.notes import examples
from router_lab.docs.pages import PROSE

ROOT = Path(__file__).resolve().parents[2]
PAGES = {name: ROOT / "router_lab" / "docs" / f"{name}.md" for name in PROSE} | {"README": ROOT / "README.md"}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"python", "sh", "yaml", "text"}


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of a user's: a configuration, and a ledger of some calls with shadows."""
    folder = tmp_path_factory.mktemp("users")
    with rl.sim.serve(rl.sim.app()) as server, pytest.MonkeyPatch.context() as patched:
        patched.setenv("ANTHROPIC_API_KEY", "any")
        config = folder / "config" / "router.yaml"
        config.parent.mkdir()
        config.write_text(SETTINGS.format(url=server.url), "utf-8")
        with (
            rl.Ledger(folder / "ledger") as ledger,
            rl.Router.from_yaml(config, ledger=ledger) as router,
            ledger.switch.on(reason="for the examples"),
        ):
            for number in range(30):
                router.complete_sync(f"What is {number} + {number}?", task_type="ask", max_tokens=40)
            router.run_sync(router.drain())
        yield folder


@pytest.fixture
def folder(users: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the user's folder, as the one worked in."""
    shutil.copytree(users, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "any")
    monkeypatch.setenv("USER", "ana")
    return tmp_path


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_example_of_a_public_name_runs(folder: Path):
    """And a column of one name means the same in every frame that they show."""
    shown = FramesShown()

    async def all_of_them() -> None:
        names: dict[str, Any] = {}
        for heading, text in examples().items():
            await run(shown.watched(text, names), names, heading)

    asyncio.run(all_of_them())
    assert sorted(contradictions(shown.frames)) == []
    assert len(shown.frames) > 50, "the examples show hardly a frame"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_example_of_a_page_runs(folder: Path, page: str):
    text = PAGES[page].read_text("utf-8")
    texts = [f"Summarise the minutes of meeting {number}." for number in range(3)]
    names: dict[str, Any] = {"__name__": "cell", "texts": texts}

    async def cell(shown: str) -> None:
        await run(shown, names, page)

    for language, shown in BLOCK.findall(text):
        assert language in LANGUAGES, f"{page}: who runs {language}?"
        if language == "python":
            asyncio.run(cell(shown))
        for line in shown.splitlines() if language == "sh" else ():
            typed(line)


def typed(line: str) -> None:
    """What stands in a block of the shell: a command of ours, or a goal of the Makefile."""
    words = shlex.split(line, comments=True)
    if words[:1] == ["make"]:
        goals = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert words[1] in goals
    elif words:
        assert words[0].endswith("router-lab"), line
        said = command(line.replace("out/ledger", "ledger"))
        assert said.code == 0, f"{line}: {said.errors}"

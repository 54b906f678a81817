"""Mistakes of users, each tried: what is said names the thing and what to do, and nothing is sent or spent.

`python tests/docs/test_mistakes.py` writes anew what is said; look at what it changes.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from cells import SETTINGS, command, run

import router_lab as rl
from router_lab.docs.notes import Mistake, mistakes

ALL = [(f"{topic}, {place}", one) for topic, group in mistakes().items() for place, one in enumerate(group)]
_DIFFERS = {
    r"127\.0\.0\.1:\d+": "127.0.0.1:8080",
    r"for \d{4}-\d\d-\d\d": "for 2026-11-22",
    r"\$0\.\d{6}": "$0.001000",
}.items()
BASE = yaml.safe_load(SETTINGS.format(url="http://127.0.0.1:9"))


@dataclass(frozen=True)
class Desk:
    """What a user has before them: a folder with a configuration and a ledger, and names in a notebook."""

    folder: Path
    server: rl.sim.SimServer
    names: dict[str, Any]

    def said(self, mistake: Mistake) -> str:
        """What is said of the mistake, less what differs from one run to the next."""
        told = {"yaml": self._of_yaml, "sh": self._of_shell, "python": self._of_python}
        text = told[mistake.language](mistake.text)
        text = text.replace(str(self.folder.resolve()), "...").replace(str(self.folder), "...")
        for differs, instead in _DIFFERS:
            text = re.sub(differs, instead, text)
        return text.strip()

    def _of_yaml(self, text: str) -> str:
        """The text is the beginning of the file; sections that it leaves out follow."""
        sections = {
            name: part for name, part in BASE.items() if not re.search(rf"^{name}:", text, re.MULTILINE)
        }
        (self.folder / "mine.yaml").write_text(f"{text}\n{yaml.safe_dump(sections)}", "utf-8")
        return self._raised('rl.Router.from_yaml("mine.yaml", ledger=ledger)')

    def _of_python(self, text: str) -> str:
        return self._raised(text)

    def _raised(self, text: str) -> str:
        try:
            asyncio.run(run(text, self.names, "cell"))
        except rl.RouterLabError as error:
            shown = error._render_traceback_()
            assert len(shown) <= 2, "a notebook shows the line and the message"
            return shown[-1]
        raise AssertionError(f"nothing was said of: {text}")

    def _of_shell(self, text: str) -> str:
        said = command(text)
        assert said.code in (1, 2, 3), f"exit code {said.code}: {text}"
        assert "Traceback" not in said.errors
        return "\n".join(line for line in said.errors.splitlines() if not line.startswith((" ", "usage:")))


@contextmanager
def desk(folder: Path) -> Iterator[Desk]:
    before = Path.cwd()
    os.chdir(folder)
    os.environ.setdefault("ANTHROPIC_API_KEY", "any")
    (folder / "config").mkdir()
    (folder / "rows.jsonl").write_text('{"id": "a", "prompt": "2 + 2?", "output": "4"}\n', "utf-8")
    (folder / "usage.csv").write_text("day,model,requests\n2026-11-01,qwen2.5:7b,1\n", "utf-8")
    try:
        with rl.sim.serve(rl.sim.app()) as server, rl.Ledger("ledger") as ledger:
            written = SETTINGS.format(url=server.url)
            (folder / "config" / "router.yaml").write_text(written, "utf-8")
            poor = rl.settings.parse(f"{written}\ncost: {{daily_budget_usd: 0.00001}}")
            with (
                rl.Router.from_yaml("config/router.yaml", ledger=ledger) as router,
                rl.Router(poor, ledger=ledger) as strict,
            ):
                with ledger.switch.on(reason="for the mistakes"):
                    for number in range(8):
                        router.complete_sync(f"What is {number} + {number}?", task_type="ask", max_tokens=40)
                    router.run_sync(router.drain())
                names = {"rl": rl, "pd": pd, "ledger": ledger, "router": router, "strict": strict}
                yield Desk(folder, server, names)
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def a_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk(tmp_path_factory.mktemp("desk")) as made:
        yield made


@pytest.mark.parametrize("mistake", [one for _, one in ALL], ids=[name for name, _ in ALL])
def test_what_is_said_of_a_mistake(a_desk: Desk, mistake: Mistake, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "110")
    before = len(a_desk.server.app.log), len(a_desk.names["ledger"].attempts())
    assert a_desk.said(mistake) == mistake.says, "meant? then `python tests/docs/test_mistakes.py`"
    after = len(a_desk.server.app.log), len(a_desk.names["ledger"].attempts())
    assert after == before, "a mistake was sent"


def test_there_are_as_many_as_were_asked_for():
    assert len(ALL) >= 140
    assert len({(one.language, one.text) for _, one in ALL}) == len(ALL)


class Written(yaml.SafeDumper):
    """Texts as blocks, so that they read as they are written."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Written.add_representer(str, _block)


def write() -> None:
    """Write what is said now into the page's file."""
    path = Path(inspect.getfile(rl)).parent / "docs" / "mistakes.yaml"
    head = path.read_text("utf-8").partition("\n")[0]
    with tempfile.TemporaryDirectory() as folder, desk(Path(folder)) as made:
        found: dict[str, list[dict[str, str]]] = {}
        for topic, group in mistakes().items():
            for one in group:
                try:
                    told = replace(one, says=made.said(one))
                except Exception as error:
                    print(f"{one.text}: {type(error).__name__}: {error}", file=sys.stderr)
                    continue
                fields = ("title", "language", "text", "says")
                found.setdefault(topic, []).append({name: getattr(told, name) for name in fields})
    text = yaml.dump(found, Dumper=Written, sort_keys=False, allow_unicode=True, width=10_000)
    path.write_text(f"{head}\n{text}", "utf-8")


if __name__ == "__main__":
    write()

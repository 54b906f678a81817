"""Every example of the reference and of the pages runs, against the simulated providers."""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import router_lab as rl
from router_lab.docs.examples import examples

SETTINGS = """
models:
  big: {{provider: anthropic, model: claude-sonnet-4-5, base_url: "{url}", price: {{input: 3, output: 15}}}}
  small: {{provider: ollama, model: "qwen2.5:7b", base_url: "{url}", price: {{input: 0.1, output: 0.1}}}}
routing:
  ask: {{model: big, shadow: {{model: small}}}}
  "summarize::short": {{model: big, shadow: {{model: small}}}}
  judge: {{model: big}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of a user's: a configuration, and a ledger of some calls with shadows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "any")
    monkeypatch.setenv("USER", "ana")
    with rl.sim.serve(rl.sim.app()) as server:
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "router.yaml").write_text(SETTINGS.format(url=server.url), "utf-8")
        with (
            rl.Ledger("ledger") as ledger,
            rl.Router.from_yaml("config/router.yaml", ledger=ledger) as router,
            ledger.switch.on(reason="for the examples"),
        ):
            for number in range(30):
                router.complete_sync(f"What is {number} + {number}?", task_type="ask", max_tokens=40)
            router.run_sync(router.drain())
        yield tmp_path


async def run(text: str, names: dict[str, Any], where: str) -> None:
    """Run a block as a notebook's cell, `await` at its top included."""
    code = compile(text, where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    done = eval(code, names)
    if inspect.isawaitable(done):
        await done


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_example_of_a_public_name_runs(folder: Path):
    async def all_of_them() -> None:
        names: dict[str, Any] = {}
        for heading, text in examples().items():
            await run(text, names, heading)

    asyncio.run(all_of_them())

"""The magics in a real IPython shell, over a simulated server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

import router_lab as rl
from router_lab.records import ToolCall
from router_lab.settings import parse

SETTINGS = """
models: {local: {provider: ollama, model: "qwen2.5:7b", price: {input: 0.1, output: 0.1}}}
routing: {ask: {model: local}}
"""


@pytest.fixture
def shell(
    sim_server: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "_ipython"))  # not everybody has a home to write to
    made = InteractiveShell()
    made.run_line_magic("load_ext", "router_lab")
    with rl.Ledger(tmp_path) as ledger:
        router = rl.Router(rl.sim.pointed_at(parse(SETTINGS), sim_server().url), ledger=ledger)
        made.user_ns.update(ledger=ledger, router=router)
        yield made
        router.close_sync()


def test_a_cell_is_a_call(shell: InteractiveShell) -> None:
    done = shell.run_cell_magic(
        "route", "ask --max-tokens 50 --into answer", "What is the capital of France?\n"
    )
    assert isinstance(done, rl.Completion)
    assert shell.user_ns["answer"] is done
    rows = shell.user_ns["ledger"].attempts()
    assert list(rows["task_type"]) == ["ask"]
    assert "What is the capital of France?" in rows["prompt"].iloc[0]


def test_the_ledger_is_shown(shell: InteractiveShell) -> None:
    assert shell.run_line_magic("ledger", "") is shell.user_ns["ledger"]


def test_a_missing_router_says_how_to_make_one(shell: InteractiveShell) -> None:
    with pytest.raises(UsageError, match=r"nothing is not defined; .*from_yaml"):
        shell.run_cell_magic("route", "ask --router nothing", "hello")
    with pytest.raises(UsageError, match="router is a Router"):
        shell.run_line_magic("ledger", "router")


def test_a_wrong_task_type_is_the_routers_own_error(shell: InteractiveShell) -> None:
    with pytest.raises(rl.RoutingError, match="ask"):
        shell.run_cell_magic("route", "asl", "hello")


def test_an_answer_is_shown_letter_by_letter(shell: InteractiveShell) -> None:
    done = shell.run_cell_magic("route", "ask", "hello")
    shown = replace(done, text="<script>alert(1)</script>\x1b[31m$5$")._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "\x1b" not in shown
    assert "qwen2.5:7b" in shown
    assert f"${done.metadata.cost_usd:.6f}" in shown
    call = ToolCall("1", "<b>search</b>", {"query": "</code><i>"})
    called = replace(done, text="", tool_calls=(call,))._repr_html_()
    assert "<i>" not in called
    assert "&lt;b&gt;search&lt;/b&gt;" in called

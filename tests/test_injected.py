"""Tests give parts and limits as users do, disturb the system and not our code, and wait for what is seen.

Read off the tests themselves, and off the scripts of other processes that stand in them as texts.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

TESTS = Path(__file__).parent
# What waits for all others; what measures, and plays a server by the clock.
MAY_SLEEP = {TESTS / "waiting.py", *(TESTS / "bench").glob("*.py")}
# Functions that replace a name of a module or an object, of whatever patcher; and those of `mock` alone.
REPLACING = {"setattr", "delattr", "setitem", "delitem"}
OF_MOCK = {"patch", "object", "multiple", "dict"}


def faults(text: str, *, may_sleep: bool = False) -> list[str]:
    """What a test does to our code, and where it sleeps, a line each."""
    tree = ast.parse(text)
    found = [*_faults(tree, may_sleep)]
    for script in _scripts(tree):
        found += [f"in a script: {one}" for one in _faults(script, may_sleep)]
    return found


def _scripts(tree: ast.AST) -> Iterator[ast.AST]:
    """Texts that are Python; what is filled in stands as a name."""
    for node in ast.walk(tree):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        texts = [one.value if isinstance(one, ast.Constant) else "filled" for one in parts]
        text = "".join(map(str, texts))
        if "\n" in text and ("sleep" in text or "router_lab" in text):
            try:
                yield ast.parse(dedent(text))
            except (SyntaxError, ValueError):  # prose, or half a surrogate
                continue


def _faults(tree: ast.AST, may_sleep: bool) -> Iterator[str]:
    nodes = [*ast.walk(tree)]
    ours = {*_ours(nodes)}
    clocks = [node for node in nodes if _is_function(node) and node.name == "sleep"]
    in_clocks = {id(node) for one in clocks for node in ast.walk(one)}
    for node in nodes:
        if isinstance(node, ast.Call):
            if _replaces(node, ours):
                yield f"{ast.unparse(node)}: give the part or the limit as users do"
            if _sleeps(node) and not may_sleep and id(node) not in in_clocks:
                yield f"{ast.unparse(node)}: wait by `waiting.until`, or `work_for` what is played"
        for target in _assigned(node):
            is_private = target.attr.startswith("_") and _root(target) not in ("self", "cls")
            if is_private or _root(target) in ours:
                yield f"{ast.unparse(target)} is replaced: give the part as users do"


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _ours(nodes: list[ast.AST]) -> Iterator[str]:
    """The names that stand for something of the package."""
    for node in nodes:
        if isinstance(node, ast.Import):
            named = [one for one in node.names if one.name.partition(".")[0] == "router_lab"]
            yield from ((one.asname or "router_lab") for one in named)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "router_lab":
            yield from ((one.asname or one.name) for one in node.names)


def _replaces(call: ast.Call, ours: set[str]) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name not in REPLACING | OF_MOCK or not call.args:
        return False
    of_mock = isinstance(call.func, ast.Name) or {"mock", "patch"} & {*ast.unparse(call.func).split(".")}
    if name not in REPLACING and not of_mock:
        return False
    target = call.args[0]
    if isinstance(target, ast.Constant):
        return str(target.value).partition(".")[0] == "router_lab"
    return _root(target) in ours


def _sleeps(call: ast.Call) -> bool:
    """Whether it sleeps; a turn of the event loop, `sleep(0)`, is none."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name == "sleep" and not (
        call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0
    )


def _assigned(node: ast.AST) -> Iterator[ast.Attribute]:
    targets = node.targets if isinstance(node, ast.Assign) else []
    yield from (one for one in targets if isinstance(one, ast.Attribute))


def _root(node: ast.AST) -> str:
    """The name that an expression such as `rl.panels.sheet` begins with."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def test_no_test_replaces_what_is_ours_or_sleeps_for_a_state() -> None:
    texts = {path: path.read_text("utf-8") for path in sorted(TESTS.rglob("*.py")) if path != Path(__file__)}
    found = [
        f"{path.relative_to(TESTS)}: {one}"
        for path, text in texts.items()
        for one in faults(text, may_sleep=path in MAY_SLEEP)
    ]
    assert len(texts) > 200
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        'monkeypatch.setattr("router_lab.ledger.disk.locks.IDLE_S", 0.1)',
        'with pytest.MonkeyPatch.context() as mine:\n    mine.setattr("router_lab.defaults.BAR", 0.1)',
        "from router_lab.ledger.disk import locks\nmonkeypatch.setattr(locks, 'IDLE_S', 0.1)",
        "import router_lab as rl\nmonkeypatch.setattr(rl.panels.sheet, 'ABOVE', 0)",
        "from unittest import mock\nmock.patch('router_lab.ledger.Ledger.seal')",
        "from router_lab.ledger import Ledger\nwith patch.object(Ledger, 'seal'):\n    pass",
        "from router_lab.ledger import Ledger\nLedger.seal = lambda self: 0",
        "from router_lab.ledger.sealed import seal\nsetattr(seal, name, lambda: 0)",
        "panel._read = lambda: 1",
        "time.sleep(0.2)",
        "async def test():\n    while not done:\n        await asyncio.sleep(0.01)",
        "SCRIPT = '''\nimport time\ntime.sleep(1)\n'''",
        "SCRIPT = f'''\nfrom router_lab.ledger import Ledger\nLedger.seal = {name}\n'''",
    ],
)
def test_what_replaces_or_sleeps_is_found(text: str) -> None:
    assert len(faults(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "monkeypatch.setattr(os, 'fsync', fails_once)",
        "monkeypatch.setenv('ROUTER_LAB_LOCK_WAIT_S', '0.3')",
        "async def test():\n    await asyncio.sleep(0)",
        "class Clock:\n    async def sleep(self, seconds):\n        await asyncio.sleep(seconds)",
        "class Rows:\n    def __init__(self):\n        self._rows = []",
        "from router_lab import Ledger\nclass Away(Ledger):\n    def seal(self):\n        raise OSError",
        "'''Prose with a sleep(1) in it,\nover two lines.'''",
    ],
)
def test_what_users_do_too_is_no_fault(text: str) -> None:
    assert faults(text) == []

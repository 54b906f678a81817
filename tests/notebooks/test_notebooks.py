"""The committed notebooks still say what they said, and would be caught if they did not."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import papermill
import pytest
from refresh import NOTEBOOKS

import router_lab as rl
from kinds import kept
from router_lab.cli.demo.notebooks import execute
from router_lab.records import Comparison
from router_lab.settings import parse

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
NAMES = [path.name for path in PATHS]

SETTINGS = """
models:
  cloud: {provider: anthropic, model: claude-sonnet-4-5, price: {input: 3, output: 15}}
  local: {provider: ollama, model: "qwen2.5:7b", num_ctx: 2048, price: {input: 0.1, output: 0.1}}
routing: {extract: {model: cloud, max_tokens: 32, shadow: {model: local, comparator: json}}}
"""
# What the shadows of notebook 05 cost, and what is said in its place.
SHADOWS_USD, OTHER_USD = "0.000507", "0.000508"
PAIR = Comparison(
    comparison_id="1",
    request_id="1",
    task_type="extract",
    created_at=datetime(2026, 11, 1, tzinfo=UTC),
    primary_attempt_id=None,
    shadow_attempt_id=None,
    primary_alias="cloud",
    shadow_alias="local",
    primary_model="a",
    shadow_model="b",
    input_hash="h",
    sample_probability=1.0,
    switch_epoch=1,
    status="complete",
    comparator="text",
    agreement=1.0,
    primary_output="yes",
    shadow_output="yes",
    primary_cost_usd=0.25,
    shadow_cost_usd=0.125,
    primary_latency_ms=1.0,
    shadow_latency_ms=1.0,
    details={},
)


def ledger_with(folder: Path, *pairs: Comparison) -> Path:
    async def write() -> None:
        with rl.Ledger(folder) as ledger:
            for pair in pairs:
                await ledger.accounts.record_comparison(pair)

    asyncio.run(write())
    return folder


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_every_code_cell_was_executed_and_nothing_noisy_was_saved(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert "widgets" not in notebook.metadata
    outputs = [output for cell in code for output in cell.outputs]
    assert outputs
    assert not [
        output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"
    ]
    saved = re.sub(r"base64,[\w+/=]+|'image/png': '[^']*'", "", repr(outputs))  # any letters may come there
    assert "widget-view" not in saved
    assert not re.search(r"/tmp|/home|/root|\\\\Users|0x[0-9a-f]{6,}|\d+(\.\d+)? ?ms\b", saved)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_every_notebook_takes_a_ledger(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    (parameters,) = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert 'LEDGER = os.environ.get("ROUTER_LAB_LEDGER")' in parameters.source


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", kept(NAMES, "02_compare.ipynb"))
def test_every_notebook_runs_on_a_users_ledger_and_quietly(
    name: str, written: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    shutil.copy(NOTEBOOKS / name, folder)
    for beside in ("config", "data"):
        (tmp_path / beside).symlink_to(NOTEBOOKS.parent / beside)
    capfd.readouterr()
    execute(folder, written, out)
    said = capfd.readouterr()
    page = (out / name).with_suffix(".html")
    assert said.out == f"\nexecuted {name} -> {page}\n"
    assert said.err == ""  # Spark's Java machine would say a lot
    assert list(out.iterdir()) == [page]
    if name == "02_compare.ipynb":
        assert "extract::user" in page.read_text("utf-8")


@pytest.mark.soak
def test_a_ledger_named_in_the_environment_is_the_one_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = ledger_with(tmp_path / "ledger", replace(PAIR, task_type="from_the_environment"))
    out = tmp_path / "out.ipynb"
    monkeypatch.setenv("ROUTER_LAB_LEDGER", str(ledger))
    run_papermill("02_compare.ipynb", out)
    assert "from_the_environment" in out.read_text("utf-8")


@pytest.mark.parametrize("thresholds", kept(["0.97", "0.5 0.97"], "0.97"))
def test_papermill_sweeps_a_parameter_over_a_users_ledger(
    thresholds: str, written: Path, tmp_path: Path
) -> None:
    shown = {}
    for threshold in thresholds.split():
        out = tmp_path / f"{threshold}.ipynb"
        run_papermill("06_may_we_stop.ipynb", out, LEDGER=str(written), THRESHOLD=float(threshold))
        shown[threshold] = repr([cell.get("outputs") for cell in nbformat.read(out, as_version=4).cells])
    assert all("extract::user" in outputs for outputs in shown.values())
    assert [threshold for threshold in shown if "bar 0.97" in shown[threshold]] == ["0.97"]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A few real calls, so that every panel and metric has something to show."""
    folder = tmp_path / "written"
    with rl.Ledger(folder) as ledger, rl.sim.serve(rl.sim.app(seed=1)) as server:
        asyncio.run(make_calls(ledger, server.url))
    return folder


async def make_calls(ledger: rl.Ledger, url: str) -> None:
    settings = rl.sim.pointed_at(parse(SETTINGS), url)
    async with rl.Router(settings, ledger=ledger, seed=0) as router:
        with ledger.switch.on(reason="a user's own calls"):
            for number in range(4):
                await router.complete(f"Order {number} as JSON, please.", task_type="extract::user")
            await router.drain()


# One passes as it is, the other beside cells with a number that was changed.
TRIED = ("01_quickstart.ipynb", "05_kill_switch.ipynb")


@pytest.mark.soak  # what stands in TRIED is compared below
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in TRIED])
def test_nbval_passes_on_ours(name: str) -> None:
    if name == "09_cluster.ipynb" and not shutil.which("java"):
        pytest.skip("without Java, notebook 09 says so instead of showing numbers")
    ours = nbval(NOTEBOOKS / name)
    assert ours.returncode == 0, ours.stdout


@pytest.mark.timeout(300)  # a kernel for each, one after the other
def test_nbval_passes_on_ours_and_fails_on_a_changed_number(tmp_path: Path) -> None:
    """And on nothing else: after a table and after a panel the same cell comes again, and is said to have
    shown another last digit.
    """
    same, other = TRIED
    notebook = nbformat.read(NOTEBOOKS / other, as_version=4)
    telling = [cell for cell in notebook.cells if SHADOWS_USD in repr(cell.get("outputs"))]
    table, panel = telling
    assert "spent" in table.source and "Panel" in panel.source
    for cell in telling:
        again = nbformat.from_dict({**deepcopy(cell), "id": f"{cell.id}-again"})
        for output in again.outputs:
            output.data = {kind: shown.replace(SHADOWS_USD, OTHER_USD) for kind, shown in output.data.items()}
        notebook.cells.insert(notebook.cells.index(cell) + 1, again)
    for beside in ("config", "data"):
        (tmp_path / beside).symlink_to(NOTEBOOKS.parent / beside)
    changed = tmp_path / "notebooks" / other
    changed.parent.mkdir()
    nbformat.write(notebook, changed)
    # As XML: what pytest writes for people depends on the width of the screen and on `CI`.
    cells = tmp_path / "cells.xml"
    theirs = nbval(NOTEBOOKS / same, changed, f"--junitxml={cells}")
    assert theirs.returncode == 1, theirs.stdout
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    compared = list(ElementTree.parse(cells).iterfind(".//testcase"))
    here = compared[-len(code) :]  # of which file a cell is said to be depends on the folder of the project
    assert [case.get("name") for case in here] == [f"Cell {place}" for place in range(len(code))]
    failed = [case.get("name") for case in here if case.find("failure") is not None]
    assert failed == [f"Cell {place}" for place, cell in enumerate(code) if cell.id.endswith("-again")]
    assert len(compared) > len(here)
    assert len(failed) == len([case for case in compared if case.find("failure") is not None])
    for case in here:
        assert (case.get("name") in failed) == (OTHER_USD in "".join(case.itertext()))


def run_papermill(name: str, out: Path, **parameters: str | float) -> None:
    """A notebook of ours as papermill leaves it."""
    papermill.execute_notebook(
        str(NOTEBOOKS / name),
        str(out),
        parameters,
        cwd=str(NOTEBOOKS),
        kernel_name="python3",
        progress_bar=False,
    )


def nbval(*arguments: Path | str) -> subprocess.CompletedProcess[str]:
    """Execute notebooks and compare with what is saved; exit code 1 when a cell differs."""
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "-p", "nbval.plugin", "--nbval"]
    command += ["--nbval-current-env", "--nbval-cell-timeout=60", "-q", "-p", "no:cacheprovider"]
    command.append(f"--nbval-sanitize-with={Path(__file__).with_name('nbval_sanitize.cfg')}")
    # No other plugin has a say in it, or takes time to load; nor has what is asked of pytest here.
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    return subprocess.run([*command, *arguments], capture_output=True, text=True, env=alone)

"""The committed notebooks still say what they said, and would be caught if they did not."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest
from refresh import NOTEBOOKS

import router_lab as rl
from router_lab.records import Comparison

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))

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
                await ledger.record_comparison(pair)

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
    saved = repr(outputs)
    assert "widget-view" not in saved
    assert not re.search(r"/tmp|/home|/root|\\\\Users|0x[0-9a-f]{6,}|\d+(\.\d+)? ?ms\b", saved)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_every_notebook_takes_a_ledger(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    (parameters,) = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert "LEDGER = None" in parameters.source


@pytest.mark.timeout(600)  # nine kernels, one after the other
def test_nbval_passes_on_ours_and_fails_on_a_changed_number(tmp_path: Path) -> None:
    pairs = [replace(PAIR, comparison_id=str(n), input_hash=str(n)) for n in range(3)]
    other = [*pairs[:-1], replace(pairs[-1], primary_cost_usd=0.26)]
    same_ledger, changed_ledger = tmp_path / "same_ledger", tmp_path / "changed_ledger"
    ledger_with(same_ledger, *pairs)
    ledger_with(changed_ledger, *other)
    same = executed_on(same_ledger, tmp_path / "same.ipynb")
    changed = tmp_path / "changed.ipynb"
    # The outputs are those of the first ledger, the rows those of the second.
    changed.write_text(same.read_text("utf-8").replace(str(same_ledger), str(changed_ledger)), "utf-8")

    ours = nbval(*PATHS, same)
    assert ours.returncode == 0, ours.stdout
    theirs = nbval(changed)
    assert theirs.returncode == 1, theirs.stdout
    assert "0.76" in theirs.stdout


def executed_on(ledger: Path, out: Path) -> Path:
    """Notebook 02 as papermill leaves it on a user's ledger."""
    command = [sys.executable, "-m", "papermill", NOTEBOOKS / "02_compare.ipynb", out, "-p", "LEDGER", ledger]
    subprocess.run([*command, "--no-progress-bar", "--kernel", "python3"], check=True, capture_output=True)
    return out


def nbval(*paths: Path) -> subprocess.CompletedProcess[str]:
    """Execute notebooks and compare with what is saved; exit code 1 when a cell differs."""
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "--nbval-cell-timeout=60"]
    command.append(f"--nbval-sanitize-with={Path(__file__).with_name('nbval_sanitize.cfg')}")
    return subprocess.run([*command, "-q", "-p", "no:cacheprovider", *paths], capture_output=True, text=True)

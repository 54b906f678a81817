"""A notebook that plays recorded answers back is a regression test: it says the same, or nbval fails."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

import router_lab as rl
from router_lab.settings import parse

CONFIG = """
models:
  cloud: {{provider: anthropic, model: claude-sonnet-4-5, base_url: "{url}", price: {{input: 3, output: 15}}}}
  local: {{provider: ollama, model: "qwen2.5:7b", base_url: "{url}", price: {{input: 0.1, output: 0.1}}}}
routing: {{ask: {{model: cloud, max_tokens: 64}}}}
"""
CELLS = [
    """
import json
from pathlib import Path

import router_lab as rl

folder = Path({folder!r})
rows = json.loads((folder / "rows.json").read_text())
""",
    """
ledger = rl.Ledger(folder / "again")
async with rl.Router.from_yaml(folder / "router.yaml", ledger=ledger, playback=folder / "recorded") as router:
    done = await router.complete(rows[0]["prompt"], task_type="ask")
    run = await rl.replay(router, rows, candidates=["local"], run_id="friday")
done.text, run
""",
    """
run.frame.sort_values("task_id")[["task_id", "status", "shadow_output", "agreement"]].reset_index(drop=True)
""",
    """
print(rl.analysis.ab(run.frame, by="shadow_alias"))
""",
]


async def record(folder: Path, said: str) -> None:
    """A ledger of what a server answered; it says `said` for Thursday's rows."""
    rows = [
        {
            "id": f"row-{number}",
            "task_type": "ask",
            "prompt": f"{said} {number}?",
            "output": f"{number} {said}",
        }
        for number in range(12)
    ]
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    with rl.sim.serve(rl.sim.app(seed=1)) as server, rl.Ledger(folder / "recorded") as ledger:
        text = CONFIG.format(url=server.url)
        (folder / "router.yaml").write_text(text, encoding="utf-8")
        async with rl.Router(parse(text), ledger=ledger, seed=0) as router:
            await router.complete(rows[0]["prompt"], task_type="ask")
            await rl.replay(router, rows, candidates=["local"], run_id="friday")


def notebook(folder: Path) -> Path:
    cells = [nbformat.v4.new_code_cell(cell.strip().format(folder=str(folder))) for cell in CELLS]
    path = folder / "regression.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def run(*words: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True)


def nbval(path: Path) -> subprocess.CompletedProcess[str]:
    shutil.rmtree(path.parent / "again", ignore_errors=True)
    return run("pytest", "--nbval", "--nbval-current-env", "-q", "-p", "no:cacheprovider", path)


@pytest.mark.soak
@pytest.mark.timeout(300)  # three kernels, one after the other
def test_the_same_recording_says_the_same_and_another_one_does_not(tmp_path: Path) -> None:
    asyncio.run(record(tmp_path, "How heavy is item"))
    path = notebook(tmp_path)
    made = run("jupyter", "execute", "--inplace", path)
    assert made.returncode == 0, made.stderr
    assert nbval(path).returncode == 0, nbval(path).stdout

    saved = path.read_bytes()
    shutil.rmtree(tmp_path / "recorded")
    asyncio.run(record(tmp_path, "How tall is item"))
    path.write_bytes(saved)
    assert nbval(path).returncode == 1

"""A service that only routes, without the packages of analysis and notebooks: what works, what is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lab import laboratory

# An environment that has no extra (`make test-bare`); else their packages are hidden from this one.
BARE = os.environ.get("BARE_PYTHON")
WITHOUT = """
import importlib.abc, sys
MISSING = {
    "pandas", "ibis", "duckdb", "matplotlib", "scipy", "ipywidgets", "anywidget", "IPython", "traitlets",
    "tiktoken", "uvicorn",
}
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""


def run(script: str, *arguments: str) -> str:
    start = [BARE, "-c", "import sys\n" + script] if BARE else [sys.executable, "-c", WITHOUT + script]
    done = subprocess.run([*start, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_routes_keeps_a_ledger_and_seals_it(tmp_path):
    with laboratory(tmp_path / "ledger") as lab:
        said = run(
            """
import router_lab as rl
from router_lab import settings
parsed = settings.parse('''
models: {local: {provider: ollama, model: "qwen2.5:7b", base_url: "%s", price: {input: 1, output: 1}}}
routing: {ask: {model: local, shadow: {model: local, comparator: text}}}
shadow: {enabled: true}
''' % sys.argv[1])
with rl.Ledger(sys.argv[2]) as ledger, rl.Router(parsed, ledger=ledger) as router:
    router.complete_sync("hello", task_type="ask")
    router.run_sync(router.drain())
    assert "pyarrow" not in sys.modules, "a service that only routes has no use for it"
    print(ledger.seal(), ledger.verify().ok)
""",
            lab.server.url,
            str(tmp_path / "ledger"),
        )
        assert said.split() == ["4", "True"]  # two attempts, their pair, and the switch that was set
        assert len(lab.ledger.attempts()) == 2


def test_what_is_missing_is_named_with_the_extra_that_brings_it(tmp_path):
    said = run(
        """
import router_lab as rl
import router_lab.sim.tokenizer
ledger = rl.Ledger(sys.argv[1])
for ask in (
    lambda: rl.analysis.ab, lambda: rl.panels, lambda: rl.plots, lambda: rl.scores,
    lambda: ledger.attempts(), lambda: ledger.tables(), lambda: ledger.spend(),
    lambda: ledger.switch.history(),
    lambda: ledger.export(sys.argv[1] + "/all.csv"),
    lambda: rl.load_ipython_extension(None),
    lambda: router_lab.sim.tokenizer.get("cl100k"),
    lambda: router_lab.sim.serve(router_lab.sim.app()).__enter__(),
):
    try:
        ask()
    except rl.ConfigError as error:
        print(error)
""",
        str(tmp_path),
    )
    lines = said.splitlines()
    assert len(lines) == 12
    assert all("is not installed: pip install 'router-lab[" in line for line in lines)
    assert "router-lab[notebook]" in lines[1]


def test_the_shell_says_it_in_one_line(tmp_path):
    said = run(
        """
from router_lab.cli import main
from contextlib import redirect_stderr
with redirect_stderr(sys.stdout):
    print(main(["report", "--ledger", sys.argv[1], "--out", sys.argv[1] + "/report.html"]))
""",
        _ledger(tmp_path),
    )
    assert "router-lab[analysis]" in said
    assert said.split()[-1] == "2"


def _ledger(folder: Path) -> str:
    with laboratory(folder) as lab, lab.router("routing: {ask: {model: local}}") as router:
        router.complete_sync("hello", task_type="ask")
    return str(folder)

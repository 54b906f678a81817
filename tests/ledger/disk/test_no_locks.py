"""Where a system has neither file locks nor forks, as Windows: a ledger is read, and not written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lab import MODELS, laboratory

# What Windows does not have of what we ask of a system.
WITHOUT = """
import os, sys
sys.modules["fcntl"] = None
for name in ("fork", "register_at_fork", "O_CLOEXEC", "O_NONBLOCK", "O_NOFOLLOW", "getuid"):
    delattr(os, name)
import router_lab as rl
folder = sys.argv[1]
"""
READS = """
tables = rl.analysis.open(folder)
print(len(rl.Ledger(folder).attempts()), tables.attempts.count().execute(), len(rl.analysis.ab(folder).frame))
rl.analysis.report(tables, pictures=False).write(sys.argv[2])
"""
WRITES = """
for write in (
    lambda: rl.Ledger(folder).switch.on(reason="a trial"),
    lambda: rl.Ledger(folder + "_new").switch.on(reason="a trial"),
    lambda: rl.Router.from_yaml(sys.argv[2], ledger=rl.Ledger(folder)).complete_sync("hi", task_type="ask"),
):
    try:
        write()
    except rl.RouterLabError as error:
        print(type(error).__name__, error)
"""


def without_locks(script: str, *arguments: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT + script, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "LOGNAME": "ana", "HOME": str(arguments[0].parent)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_ledger_is_read_where_no_file_can_be_locked(tmp_path: Path):
    with laboratory(tmp_path / "ledger") as lab, lab.router("routing: {ask: {model: cloud}}") as router:
        for number in range(3):
            router.complete_sync(f"hello {number}", task_type="ask")
    page = tmp_path / "report.html"
    assert without_locks(READS, tmp_path / "ledger", page) == ["3 3 0"]
    assert "router_lab" in page.read_text(encoding="utf-8")


def test_what_writes_a_ledger_there_says_that_it_cannot(tmp_path: Path):
    with laboratory(tmp_path / "ledger") as lab:
        lab.ledger.switch.on(reason="a trial")
    (tmp_path / "router.yaml").write_text(
        f"{MODELS}\nrouting: {{ask: {{model: other}}}}".replace(
            "model: my-model", 'model: my-model, base_url: "http://127.0.0.1:1/v1"'
        ),
        encoding="utf-8",
    )
    before = sorted(tmp_path.rglob("*"))
    told = without_locks(WRITES, tmp_path / "ledger", tmp_path / "router.yaml")
    assert len(told) == 3
    for line in told:
        assert line.startswith("LedgerError ") and "cannot lock files" in line and "rl.analysis.open" in line
    new = tmp_path / "ledger_new"
    assert [path for path in sorted(tmp_path.rglob("*")) if new not in (path, *path.parents)] == before

"""`router-lab report`: its own words for its own options."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from router_lab.cli.command import main
from router_lab.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> str:
    with Ledger(tmp_path / "ledger") as made:
        made.switch.off(reason="nothing yet")
    return str(tmp_path / "ledger")


def test_another_ending_is_told_the_options_of_the_command(ledger: str, tmp_path: Path, capsys) -> None:
    """Regression: the message named the Python argument `format=`."""
    target = tmp_path / "report.pdf"
    assert main(["report", "--ledger", ledger, "--out", str(target)]) == 2
    said = capsys.readouterr().err
    assert "--format html or --format json" in said and "format=" not in said
    assert not target.exists()
    assert main(["report", "--ledger", ledger, "--out", str(target), "--format", "json"]) == 0
    assert target.read_text(encoding="utf-8").startswith("{")


def test_a_margin_is_the_one_of_the_whole_report(ledger: str, tmp_path: Path, capsys) -> None:
    assert main(["report", "--ledger", ledger, "--margin", "1.5", "--out", str(tmp_path / "r.html")]) == 2
    assert "margin is 1.5" in capsys.readouterr().err


def test_json_draws_no_pictures(ledger: str, tmp_path: Path) -> None:
    """Regression: every chart was drawn, which takes half the time, and thrown away."""
    target = tmp_path / "report.json"
    script = (
        "import sys; from router_lab.cli.command import main; "
        f"status = main(['report', '--ledger', {ledger!r}, '--out', {str(target)!r}]); "
        "sys.exit(status or 10 * ('matplotlib' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
    assert target.exists()

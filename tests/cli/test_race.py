"""`router-lab race`, and `router-lab replay --race`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import router_lab as rl
from lab import MODELS, laboratory
from race_log import HOSTILE, ROUTING, log, replayed
from race_log import MODELS as SIMULATED
from router_lab.cli.command import main


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return replayed(tmp_path_factory.mktemp("race") / "ledger")


def test_a_race_is_told_as_python_tells_it_and_drawn(
    ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = tmp_path / "frontier.svg"
    options = ["--run-id", "first", "--margin", "0.2", "--inputs", "120", "--figure", str(figure)]
    assert main(["race", str(ledger), *options]) == 0
    found = rl.race(ledger, rl.analysis.RacePlan(margin=0.2), run_id="first", inputs=120)
    assert capsys.readouterr().out == f"{found}\nwrote {figure}\n"
    assert main(["race", "--ledger", str(ledger), *options[:-2]]) == 0
    assert capsys.readouterr().out == f"{found}\n"
    assert "<svg" in figure.read_text("utf-8") and figure.stat().st_mode & 0o777 == 0o600


def test_a_replay_may_be_a_race(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "log.jsonl"
    rows.write_text("\n".join(map(json.dumps, log(80))), encoding="utf-8")
    with laboratory(tmp_path / "unused", workload=log(80), models=SIMULATED) as lab:
        config = tmp_path / "router.yaml"
        models = MODELS.replace("price:", f'base_url: "{lab.server.url}", price:')
        config.write_text(f"{models}\n{ROUTING}", encoding="utf-8")
        asked = ["replay", str(rows), "--candidate", "small", "--race", "--margin", "0.2", "--yes"]
        assert main([*asked, "--config", str(config), "--ledger", str(tmp_path / "ledger")]) == 0
        assert 0 < len(lab.served) < 80
    assert "small: WORSE" in capsys.readouterr().out


@pytest.mark.few(3)
@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["race", "LEDGER", "--margin", "0"], "margin is 0"),
        (["race", "LEDGER", "--figure", "x.html"], "must end in .png, .svg, .pdf"),
        (["race", "LEDGER/typo"], "holds no ledger"),
        (["race", "LEDGER", "--run-id", "frist"], "did you mean 'first'?"),
        (["race", "LEDGER", "--task-type", "nothing::like::it"], "the ledger has no pairs of it"),
        (["replay", "LEDGER", "--candidate", "small", "--margin", "0.1"], "add --race"),
    ],
    ids=["margin", "figure", "ledger", "run", "task type", "no race"],
)
def test_mistakes_are_one_line(
    ledger: Path, command: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([part.replace("LEDGER", str(ledger)) for part in command]) == 2
    assert said in capsys.readouterr().err


def test_a_hostile_name_is_told_as_text(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["race", str(ledger), "--run-id", "second"]) == 0
    assert HOSTILE in capsys.readouterr().out

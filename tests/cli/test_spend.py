"""`router-lab spend`: the ledger's own figures, in the shell."""

from __future__ import annotations

import json

import pytest

import router_lab as rl
from lab import laboratory
from router_lab.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spend") / "ledger"
    with laboratory(folder) as lab, lab.router("routing: {ask: {model: local}}") as router:
        for number in range(3):
            router.complete_sync(f"What is {number}?", task_type="ask")
    return folder


def test_it_prints_every_budget_and_what_was_spent(folder, capsys):
    assert main(["spend", "--ledger", str(folder)]) == 0
    said = capsys.readouterr().out
    ledger = rl.Ledger(folder)
    for scope in ledger.spend()["scope"]:
        assert scope in said
    assert f"{rl.analysis.spend(ledger)['cost_usd'].sum():,.4f}" in said
    assert "monthly" in said and "ask" in said


def test_programs_get_the_same_numbers(folder, capsys):
    assert main(["spend", "--ledger", str(folder), "--by", "cause", "--format", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    ledger = rl.Ledger(folder)
    assert sum(row["cost_usd"] for row in said["spending"]) == pytest.approx(
        rl.analysis.spend(ledger)["cost_usd"].sum()
    )
    assert {row["scope"] for row in said["budgets"]} == set(ledger.spend()["scope"])


def test_a_mistyped_key_is_asked_back(folder, capsys):
    assert main(["spend", "--ledger", str(folder), "--by", "cuase"]) == 2
    assert "did you mean 'cause'?" in capsys.readouterr().err


def test_an_empty_ledger_has_spent_nothing(tmp_path, capsys):
    with rl.Ledger(tmp_path / "ledger") as ledger:
        ledger.switch.off("begin")
    assert main(["spend", "--ledger", str(tmp_path / "ledger")]) == 0
    said = capsys.readouterr().out
    assert "no attempt yet" in said and "no budget has counted anything yet" in said

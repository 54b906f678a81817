"""A CSV that people open: nothing in it is calculated, nobody else reads it, and its texts come back."""

from __future__ import annotations

import asyncio
import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import router_lab as rl
from router_lab.replay.dataset_rows import read_rows
from router_lab.spreadsheets import guarded, unguarded
from scripted_server import openai, scripted

YAML = """
models:
  a: {{provider: openai, model: good, base_url: "{url}/v1", price: {{input: 1, output: 1}}}}
  b: {{provider: openai, model: bad, base_url: "{url}/v1", price: {{input: 1, output: 1}}}}
routing:
  "=cmd|' /C calc'!A0": {{model: a, shadow: {{model: b, comparator: text}}}}
"""
TASK_TYPE = "=cmd|' /C calc'!A0"
PROMPTS = ["- a list", "=1+1", "'- quoted", "plain", "\t- tab", "''=1"]


async def _call(folder: Path, prompts: dict[str, str]) -> None:
    async with scripted({"good": openai("plain"), "bad": openai('=HYPERLINK("http://x")')}) as server:
        (folder / "r.yaml").write_text(YAML.format(url=server.url))
        with rl.Ledger(folder / "l") as ledger:
            async with rl.Router.from_yaml(folder / "r.yaml", ledger=ledger) as router:
                with ledger.switch.on(reason="trial"):
                    for task_id, prompt in prompts.items():
                        await router.complete(prompt, task_type=TASK_TYPE, task_id=task_id)
                    await router.drain()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger folder with one pair for each prompt."""
    folder = tmp_path_factory.mktemp("made")
    asyncio.run(_call(folder, {f"-{number}": prompt for number, prompt in enumerate(PROMPTS)}))
    return folder / "l"


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "l"))


@given(st.text(st.sampled_from("'=+-@ \t\na\uff1d"), max_size=6))
def test_a_guarded_text_is_no_formula_and_comes_back(text: str) -> None:
    assert unguarded(guarded(text)) == text
    assert guarded(text).lstrip(" \t\r\n")[:1] not in {*"=+-@\uff1d"} - {""} or not text


@pytest.mark.few(1)
@pytest.mark.parametrize("options", [[], ["--raw"]])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_stored_pairs_compared_again_are_written_for_their_user_alone(
    folder: Path, tmp_path: Path, ending: str, options: list[str]
) -> None:
    out = tmp_path / f"again.{ending}"
    again = [sys.executable, "-m", "router_lab.cli", "compare", "--again", "--ledger", str(folder)]
    subprocess.run(
        [*again, "--comparator", "label", "--out", str(out), *options],
        check=True,
        preexec_fn=lambda: os.umask(0),
        capture_output=True,
    )
    assert out.stat().st_mode & 0o777 == 0o600
    if ending == "csv":
        with out.open(newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert any(cell[:1] in {*"=-"} for cell in cells) == bool(options)
    else:
        assert set(pd.read_parquet(out)["task_type"]) == {TASK_TYPE}


@pytest.mark.parametrize(("on", "table"), [("prompt", "attempts"), ("task_id", "comparisons")])
@pytest.mark.parametrize("raw", [False, True])
def test_ratings_on_an_export_find_their_pairs(
    folder: Path, tmp_path: Path, on: str, table: str, raw: bool
) -> None:
    with rl.Ledger(folder) as ledger:
        ledger.export(tmp_path / "out.csv", table, raw=raw)
        rows = pd.read_csv(tmp_path / "out.csv", dtype=str).drop_duplicates(on)
        rows = rows.assign(primary_score="1", shadow_score="0")
        rows[[on, "task_type", "primary_score", "shadow_score"]].to_csv(tmp_path / "rated.csv", index=False)
        assert ledger.import_scores(tmp_path / "rated.csv", by="ana", on=on).added == len(PROMPTS)
        rated = ledger.scores().query("side == 'primary'")["comparison_id"]
        assert set(rated) == set(ledger.comparisons()["comparison_id"])


async def test_what_could_be_two_pairs_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rated.csv").write_text("task_id,primary_score,shadow_score\n'-0,1,0\n'-1,1,0\n")
    await _call(tmp_path, {"'-0": "another"})
    with rl.Ledger(folder) as ledger:
        done = ledger.import_scores(tmp_path / "rated.csv", by="ana", on="task_id", strict=False)
    assert done.added == 1
    (problem,) = done.problems
    assert (problem.row, problem.column) == (1, "task_id")
    assert "apostrophe" in problem.problem


@pytest.mark.parametrize("raw", [False, True])
def test_an_export_is_replayed_with_the_prompts_that_were_sent(
    folder: Path, tmp_path: Path, raw: bool
) -> None:
    with rl.Ledger(folder) as ledger:
        ledger.export(tmp_path / "out.csv", raw=raw)
    sent = {row["prompt"] for row in read_rows(tmp_path / "out.csv")}
    assert sent >= {"- a list", "=1+1", "plain", "\t- tab"}
    assert raw or sent == set(PROMPTS)
    (tmp_path / "own.csv").write_text("prompt\n'- mine\n")
    assert [row["prompt"] for row in read_rows(tmp_path / "own.csv")] == ["'- mine"]

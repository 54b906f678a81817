"""Files that no library can read: our error, with the file's name."""

from __future__ import annotations

from pathlib import Path

import pytest

import router_lab as rl
from lab import laboratory
from router_lab.replay import replay

FILES = {
    "latin.csv": b"id,prompt\n1,caf\xe9\n",
    "latin.jsonl": b'{"id": "1", "prompt": "caf\xe9"}\n',
    "no.parquet": b"PAR1 and then nothing of it",
    "empty.parquet": b"",
}


@pytest.mark.parametrize("name", FILES)
async def test_a_replay_names_the_dataset_it_cannot_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    with laboratory(tmp_path / "ledger") as lab:
        async with lab.router("routing: {ask: {model: local}}") as router:
            result = await replay(router, tmp_path / name, task_type="ask")
        assert len(lab.ledger.attempts()) == 0
    assert result.stopped is not None
    assert name in result.stopped and "cannot be read" in result.stopped


@pytest.mark.parametrize("name", [*FILES, "long.csv"])
def test_an_import_of_ratings_names_the_file_it_cannot_read(tmp_path: Path, name: str) -> None:
    longer = b"comparison_id,primary_score,shadow_score\nc1,0.5,0.5,0.7\n"
    (tmp_path / name).write_bytes(FILES.get(name, longer))
    with rl.Ledger(tmp_path / "ledger") as ledger, pytest.raises(rl.ConfigError, match=name):
        ledger.import_scores(tmp_path / name, by="ann", on="comparison_id")

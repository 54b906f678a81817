"""All that reads what others wrote, given what is nearly right: only our errors, soon, in bounded memory.

A tenth of a second each here; ten minutes each in `make soak` (`FUZZ_SECONDS`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.names import NAMES

RUNNER = Path(__file__).with_name("runner.py")
MOST_GROWN_MB = 400


def fuzz(names: list[str], seconds: float, seed: int, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(RUNNER), ",".join(names), str(seconds), str(seed)],
        capture_output=True,
        text=True,
        timeout=seconds * len(names) + 100,
        env={**os.environ, "TMPDIR": str(folder)},
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-3000:].replace("\\n", "\n") + done.stderr[-3000:]
    figures = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["target"] for each in figures] == names
    assert all(each["inputs"] > 0 and each["grown_mb"] < MOST_GROWN_MB for each in figures)


def test_what_is_nearly_right(tmp_path: Path) -> None:
    fuzz(NAMES, 0.1, 7, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_what_is_nearly_right_for_long(name: str, tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    fuzz([name], float(os.environ.get("FUZZ_SECONDS", "600")), seed, tmp_path)

"""`router-lab sim` with arguments and files that mean nothing: a line with the remedy, no traceback."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from router_lab import sim
from router_lab.cli.command import main


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ('{"prompt": "a"}\nnot json\n', "rows.jsonl:2: this line is no JSON"),
        ('\n["a"]\n', 'rows.jsonl:2: a line is an object with a "prompt"'),
        ('{"question": "a"}\n', 'rows.jsonl:1: a line is an object with a "prompt"'),
    ],
    ids=["words", "a list", "another key"],
)
def test_a_bad_row_of_a_workload_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: str, said: str
) -> None:
    (tmp_path / "rows.jsonl").write_text(rows)
    assert main(["sim", "--port", "0", "--workload", str(tmp_path / "rows.jsonl")]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("share", ["5", "-1", "nan"])
def test_chaos_is_a_share(capsys: pytest.CaptureFixture[str], share: str) -> None:
    assert main(["sim", "--port", "0", f"--chaos={share}"]) == 2
    assert "--chaos is " in capsys.readouterr().err


def test_a_workload_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a", "expected": "b"}\n', encoding="utf-8-sig")
    assert sim.app(workload=path) is not None


def test_a_port_that_is_taken_is_named_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["sim", "--port", str(port)]) == 2
    assert f"port {port} is taken; pass another --port" in capsys.readouterr().err

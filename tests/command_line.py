"""`router-lab ...` run in this process: its output and exit code, without the second that a start takes."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from router_lab.cli import main


def router_lab(
    *arguments: str | Path, cwd: Path | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """What the command says on both streams, and its exit code, as a process of its own would."""
    words = [str(one) for one in arguments]
    out, errors = _file(), _file()
    folder = contextlib.nullcontext() if cwd is None else contextlib.chdir(cwd)
    with folder, _reading(stdin), contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            code = main(words)
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
    return subprocess.CompletedProcess(words, code, _said(out), _said(errors))


def _file(text: str = "") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(text.encode("utf-8")), "utf-8", newline="")


def _said(file: io.TextIOWrapper) -> str:
    file.flush()
    held = file.buffer
    assert isinstance(held, io.BytesIO)
    return held.getvalue().decode("utf-8")


@contextlib.contextmanager
def _reading(text: str) -> Iterator[None]:
    before, sys.stdin = sys.stdin, _file(text)
    try:
        yield
    finally:
        sys.stdin = before

"""Servers in processes of their own, started and stopped around a piece of work."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from router_lab.errors import ConfigError


@contextmanager
def serving(module: str, arguments: Sequence[str]) -> Iterator[str]:
    """Run `python -m module` until the block ends; yields the URL it prints as its first line."""
    command = [sys.executable, "-m", module, *arguments]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: S603
        assert process.stdout is not None  # noqa: S101 - piped above
        try:
            url = process.stdout.readline().strip()
            if not url.startswith("http://"):
                process.wait(timeout=10)
                log.seek(0)
                raise ConfigError(f"python -m {module} did not start: {(url + log.read()).strip()[-500:]}")
            yield url
        finally:
            process.terminate()
            process.wait(timeout=10)
            process.stdout.close()

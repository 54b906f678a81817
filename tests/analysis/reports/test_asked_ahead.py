"""What is written ahead is what a report asks: no more, so that nobody writes what nobody reads."""

from __future__ import annotations

import subprocess
import sys

from synthetic_ledger import write_ledger

# In a process that has asked nothing before.
SCRIPT = """
import sys
from concurrent.futures import Executor, Future
from router_lab import analysis
from router_lab.analysis.reports.asked_ahead import ASKED, ask_ahead

class Read(Future):
    def result(self, timeout=None):
        read.append(self)
        return super().result(timeout)

class Writer(Executor):
    def submit(self, fn, /, *args, **kwargs):
        done = Read()
        done.set_result(fn(*args, **kwargs))
        written.append(done)
        return done

class Undrawn(Executor):
    # What pictures are of is asked, and nobody draws them.
    def submit(self, fn, /, *args, **kwargs):
        done = Future()
        done.set_result([])
        return done

written, read = [], []
ask_ahead(Writer())
assert len(written) == len(ASKED)
analysis.report(sys.argv[1], pictures=Undrawn())
unread = [question.__name__ for (question, _), one in zip(ASKED, written) if one not in read]
print(*unread)
"""


def test_all_that_is_written_ahead_is_asked(tmp_path):
    folder = write_ledger(tmp_path, 200, seed=4)
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    asked = subprocess.run(command, check=True, capture_output=True, text=True)
    assert asked.stdout == "\n"

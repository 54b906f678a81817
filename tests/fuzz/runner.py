"""`python runner.py TARGET,TARGET SECONDS SEED`: changes inputs of each for so long, in a process of its own.

Prints one JSON line: how many inputs, the slowest one in seconds of CPU time, the memory they took. Ends
with 1 at the first input that raises anything but our own errors, or takes over a second, and says where it
is kept; `python runner.py again TARGET FILE SEED` tries that one.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path
from random import Random
from tempfile import gettempdir
from types import FrameType

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), *(str(TESTS / folder) for folder in ("ledger", "router"))]

from fuzz.mutation import mutated  # noqa: E402
from fuzz.targets import Target, target  # noqa: E402
from router_lab.errors import RouterLabError  # noqa: E402

# By the clock on the wall, so that a wait is found too; a busy machine takes ten times as long as its CPU.
_HANGS_S = 60


class HangError(BaseException):
    """An input took many seconds of wall-clock time."""


def main(name: str, seconds: float, seed: int) -> int:
    """Returns the exit code."""
    signal.signal(signal.SIGALRM, _hang)
    warnings.simplefilter("ignore")
    chosen = target(name)
    for given in chosen.seeds:  # imports and caches are no part of what an input costs
        _failure(chosen, given, seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    random = Random(seed)
    end = time.monotonic() + seconds
    count, slowest = 0, 0.0
    while not count or time.monotonic() < end:
        own = random.randrange(2**32)
        data = mutated(chosen.seeds, Random(own))
        problem, took = _failure(chosen, data, own)
        if took > chosen.longest_s and not problem:  # once more: the machine may have been at fault
            problem, took = _failure(chosen, data, own)
            problem = problem or (f"took {took:.1f} s" if took > chosen.longest_s else "")
        count, slowest = count + 1, max(slowest, took)
        if problem:
            kept = Path(gettempdir()) / f"fuzz_{name.replace('/', '_')}_{own}.bin"
            kept.write_bytes(data)
            print(json.dumps({"target": name, "seed": own, "kept": str(kept), "problem": problem}))
            return 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        json.dumps({"target": name, "inputs": count, "slowest_s": round(slowest, 3), "grown_mb": grown >> 10})
    )
    return 0


def _failure(chosen: Target, data: bytes, seed: int) -> tuple[str, float]:
    began = time.process_time()
    signal.alarm(_HANGS_S)
    try:
        chosen.run(data, Random(seed))
    except RouterLabError as error:
        str(error), repr(error)
    except (Exception, HangError):
        return traceback.format_exc(), 0.0
    finally:
        signal.alarm(0)
    return "", time.process_time() - began


def _hang(number: int, frame: FrameType | None) -> None:
    raise HangError(f"still at it after {_HANGS_S} s")


if __name__ == "__main__":
    if sys.argv[1:2] == ["again"]:
        given = Path(sys.argv[3]).read_bytes()
        print(*_failure(target(sys.argv[2]), given, int(sys.argv[4])))
        sys.exit()
    names, seconds, seed = sys.argv[1].split(","), float(sys.argv[2]), int(sys.argv[3])
    sys.exit(any(main(name, seconds, seed) for name in names))

"""A process that forks workers which hold and flip the switch, so that each can be killed cheaply.

Reads lines of JSON `[FOLDER, WORKER, VERB, ARGUMENT]` and answers `done` to each. A worker begins with its
first line. Verbs and arguments:
`enter on`, `enter off`, `on -`, `off -`, `exit N` (the Nth block it is in), `kill -`, `forget -` (all).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from typing import Any

import pyarrow  # noqa: F401 - imported before forking, so that no worker has to

from router_lab.ledger import Ledger


def work(folder: str, orders: Any) -> None:
    ledger = Ledger(folder)
    blocks: list[Any] = []
    for line in orders:
        verb, argument = line.split()
        if verb == "enter":
            flip = ledger.switch.on if argument == "on" else ledger.switch.off
            blocks.append(flip("a block").__enter__())
        elif verb == "exit":
            blocks.pop(int(argument)).__exit__(None, None, None)
        else:
            (ledger.switch.on if verb == "on" else ledger.switch.off)("for good")
        orders.write("done\n")
        orders.flush()


def fork_worker(folder: str) -> tuple[int, Any, socket.socket]:
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        work(folder, theirs.makefile("rw"))
        os._exit(0)
    theirs.close()
    return child, ours.makefile("rw"), ours


def main() -> None:
    workers: dict[str, tuple[int, Any, socket.socket]] = {}
    for line in sys.stdin:
        folder, worker, verb, argument = json.loads(line)
        if verb in ("kill", "forget"):
            for name in [worker] if verb == "kill" else list(workers):
                child, stream, ours = workers.pop(name)
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                stream.close()
                ours.close()
        else:
            if worker not in workers:
                workers[worker] = fork_worker(folder)
            stream = workers[worker][1]
            stream.write(f"{verb} {argument}\n")
            stream.flush()
            assert stream.readline() == "done\n"
        print("done", flush=True)


if __name__ == "__main__":
    main()

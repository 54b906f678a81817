"""Parse the command line, run one command, turn errors into one line and an exit code.

Exit codes: 0 done, 1 a check found something wrong, 2 the command or its configuration is wrong,
3 a provider, budget or ledger refused, 130 interrupted.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import router_lab
from router_lab.cli import (
    batch,
    check,
    compare,
    complete,
    docs,
    freeze,
    init,
    ledger,
    notebook_copies,
    providers,
    race,
    replay,
    report,
    shadow,
    simulate,
    spend,
    switch,
)
from router_lab.cli.demo import demo
from router_lab.errors import ConfigError, RouterLabError, RoutingError
from router_lab.extras import missing

EXAMPLES = """\
examples:
  router-lab demo                                   run the sample workload against simulated providers
  router-lab sim --port 8080                        serve the simulated providers until interrupted
  router-lab providers                              what `provider:` may name, and what each can do
  router-lab init                                   a configuration to begin with
  router-lab check config                           keys, servers, models, prices: all there?
  router-lab complete --task-type summarize "..."   one accounted call
  router-lab switch on --reason "week 48 trial"     let shadows run
  router-lab shadow monitor                         may the comparison stop?
  router-lab replay log.jsonl --candidate small     a log's answers against another model's
  router-lab freeze --out bundle.parquet            a model's answers, for when it is retired
  router-lab race out/ledger --run-id log.jsonl     which candidate is the cheapest within the margin
  router-lab batch status                           what is with a provider; fetches what has come back
  router-lab compare --again --comparator json      stored answers by another measure
  router-lab report --out report.html               verdicts, savings, risks on one page
  router-lab spend                                  budgets now, and where the money went
  router-lab ledger status                          what the ledger holds
  router-lab notebooks copy trial                   the notebooks, in a folder of yours
  router-lab docs                                   the reference, as a site to read offline
"""


_NEW_OBJECTS = 100_000


def parser() -> argparse.ArgumentParser:
    """The whole command line, for `main` and for the documentation's tests."""
    top = argparse.ArgumentParser(
        prog="router-lab",
        description="Route calls to language models, account for every attempt, compare with a shadow.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"router-lab {router_lab.__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (
        demo, simulate, init, providers, check, complete, switch, shadow, replay, freeze, race, batch,
        compare, report, spend, ledger, notebook_copies, docs,
    ):  # fmt: skip
        module.add_to(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    _open_streams()
    parsed = parser().parse_args(arguments)
    try:
        with _rarely_collected():
            code: int = parsed.run(parsed)
        sys.stdout.flush()  # a disk that does not take it says so here, not when the interpreter ends
    except (ConfigError, RoutingError) as error:
        print(f"router-lab: {_said(error, vars(parsed))}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"router-lab: {missing(error)}", file=sys.stderr)
        return 2
    except RouterLabError as error:
        print(f"router-lab: {type(error).__name__}: {_said(error, vars(parsed))}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("router-lab: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output is gone; nothing is left to say
        return 0
    except OSError as error:
        print(f"router-lab: {error}", file=sys.stderr)
        _give_up_output()
        return 3
    return code


def _open_streams() -> None:
    """Streams that are closed (`report >&-`) lead nowhere; else their numbers are given to files of ours,
    which libraries that write of errors there would write into.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # as they are numbered
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - for good


@contextmanager
def _rarely_collected() -> Iterator[None]:
    """Garbage in cycles is looked for after so many new objects as a command's imports and tables make,
    where Python's own measure looks through all of them again and again: a tenth of a report's time.
    """
    before = gc.get_threshold()
    gc.set_threshold(_NEW_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _said(error: RouterLabError, given: Mapping[str, Any]) -> str:
    """An error with its notes; a keyword of Python, `task_type='x'`, is this command's `--task-type 'x'`."""
    message = "; ".join([str(error), *getattr(error, "__notes__", ())])

    def option(found: re.Match[str]) -> str:
        name = found[1] if found[1] in given else found[1].removesuffix("s")
        if name not in given:
            return found[0]
        return f"--{name.replace('_', '-')}" + (" " if found[2] is None and found[3] else "")

    return re.sub(r"\b([a-z_]+)=(?!False|None)(True\b)?(?=(['\"\w(\[])?)", option, message)


def _give_up_output() -> None:
    """Where what was printed cannot be written, the interpreter need not try again when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            sys.stdout.close()

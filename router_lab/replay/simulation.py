"""A ledger to look at where there is none yet: a file's prompts, asked of simulated servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from router_lab import arguments
from router_lab.errors import (
    BudgetExceededError,
    CircuitOpenError,
    ConfigError,
    ContextOverflowError,
    ProviderError,
    ResponseParseError,
)
from router_lab.replay.dataset_rows import read_rows
from router_lab.settings import load
from router_lab.sim import RandomFaults, app, pointed_at, serve
from router_lab.task_types import is_within

if TYPE_CHECKING:
    from router_lab.ledger import Ledger
    from router_lab.router import Router

_ASKED = ("prompt", "system", "task_type", "max_tokens")
# What faults on the wire, a small context window and a small budget come to: told by the ledger's rows.
_ENDS = (BudgetExceededError, CircuitOpenError, ContextOverflowError, ProviderError, ResponseParseError)


async def simulated_ledger(
    rows: str | Path,
    config: str | Path,
    *,
    task_types: Sequence[str] = (),
    without: Sequence[str] = (),
    every: int = 1,
    switch: Sequence[bool] = (True,),
    usd: float | None = None,
    faults: RandomFaults | None = None,
    reason: str = "a run on simulated servers",
) -> Ledger:
    """A ledger of the prompts in `rows`, asked one after the other, in a temporary folder of its own.

    `rows` is a file of prompts with `expected` answers, which is what the simulated models know, and
    `config` the YAML of the router. Asked are those of `task_types` (all by default) and of none in
    `without`, both with what is below them, and of these each `every`-th: once for each part of `switch`,
    with shadows on where it is True, for at most `usd` US dollars and for this `reason`. `faults` are
    those of the servers; a call that fails by them is in the ledger, too. No request leaves the machine.

    `ledger = await rl.replay.simulated_ledger("data/workload.jsonl", "config/demo.yaml", every=8)`

    Raises `ConfigError` where a file cannot be read or nothing is left to ask.
    """
    from router_lab.ledger import Ledger
    from router_lab.router import Router

    _check(task_types, without, every, switch, faults)
    path, settings = arguments.path("rows", rows), load(config)
    calls = list(_calls(path, task_types, without))[::every]
    if not calls:
        raise ConfigError(
            f"{path}: no prompt in it is of these task types; leave task_types= and without= out"
        )
    ledger = Ledger(mkdtemp(prefix="router_lab_"))
    with serve(app(seed=7, workload=path, faults=faults or ())) as server:
        settings = pointed_at(settings, server.url)
        async with Router(settings, ledger=ledger, seed=1) as router:
            for is_on in switch:
                if not is_on:
                    await _ask(router, calls)
                    continue
                with ledger.switch.on(reason=reason, usd=usd):
                    await _ask(router, calls)
    return ledger


def _check(
    task_types: Sequence[str],
    without: Sequence[str],
    every: int,
    switch: Sequence[bool],
    faults: RandomFaults | None,
) -> None:
    for name, given in (("task_types", task_types), ("without", without)):
        if given != ():
            arguments.texts(name, given, "a list of task types")
    arguments.whole("every", every)
    for is_on in switch:
        arguments.flag("switch", is_on)
    arguments.optional(arguments.instance, "faults", faults, RandomFaults, "a sim.RandomFaults")


def _calls(path: Path, task_types: Sequence[str], without: Sequence[str]) -> Iterator[dict[str, Any]]:
    for row in read_rows(path):
        if isinstance(row, ConfigError):
            raise row
        if not isinstance(row, Mapping):
            raise ConfigError(f"{path}: a row is an object with a `prompt`, not {arguments.shown(row)}")
        kind = str(row.get("task_type", ""))
        wanted = not task_types or any(is_within(kind, one) for one in task_types)
        if wanted and not any(is_within(kind, one) for one in without):
            yield {name: row[name] for name in _ASKED if row.get(name) is not None}


async def _ask(router: Router, calls: Sequence[dict[str, Any]]) -> None:
    """Each call and its shadow before the next, so that rows have one order."""
    for call in calls:
        with suppress(*_ENDS):
            await router.complete(**call)
        await router.drain()

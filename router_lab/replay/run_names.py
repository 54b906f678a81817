"""The name of a run: its pairs are evidence about certain rows, drawn with certain chances, and no others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from functools import partial
from math import isclose
from typing import Any

from router_lab.errors import ConfigError
from router_lab.replay.plan import RowChoice, row64
from router_lab.router.ports import Clock

_AT_ONCE = 50_000
# Between two looks whether a run is still being asked by somebody else.
_LOOK_S = 2.0

_log = logging.getLogger("router_lab.replay")


@asynccontextmanager
async def own_run(
    ledger: Any, name: str, chosen: RowChoice, *, is_own: bool, waits: Clock | None = None
) -> AsyncIterator[str]:
    """The `_fitting_run_id`; within the block nobody else asks for that run, see `_sole_run`."""
    fitting = partial(_fitting_run_id, ledger, name, chosen, is_own=is_own)
    is_ours = False
    while not is_ours:
        run_id = await asyncio.to_thread(fitting)
        async with _sole_run(ledger, run_id, waits):
            # Whoever had it until now may have asked other rows under this name.
            is_ours = await asyncio.to_thread(fitting) == run_id
            if is_ours:
                yield run_id


def _fitting_run_id(ledger: Any, name: str, chosen: RowChoice, *, is_own: bool) -> str:
    """`name`, where what the ledger has of that run is of rows that take part now, drawn as they are now.

    For rows that nobody named (`is_own` is false) the next of `rows`, `rows-2` ... that fits. Raises
    `ConfigError` where another sample, task type, time or file would be mixed with what is there.
    """
    number = 1
    while True:
        run_id = name if number == 1 else f"{name}-{number}"
        _check_chances(ledger, run_id, chosen)
        strange = _strange_row(ledger, run_id, chosen)
        if strange is None:
            return run_id
        if is_own:
            raise ConfigError(
                f"run_id={run_id!r}: the ledger has pairs of this run of rows that do not take part now, or "
                f"not with that text and logged answer, such as {strange}: another file, task type, time or "
                "sample would be mixed with them. Ask for the same rows again, or give these a run_id of "
                "their own (with reuse=True, answers that are there are not paid again)"
            )
        number += 1


@asynccontextmanager
async def _sole_run(ledger: Any, run_id: str, waits: Clock | None = None) -> AsyncIterator[None]:
    """Within the block nobody else asks for this run: two at once would pay for the same rows twice.

    Where somebody does, here or elsewhere, it is waited for by the clock `waits`; without one that raises
    `ConfigError`. A ledger that cannot tell is trusted.
    """
    claimed = getattr(ledger.accounts, "claimed", None)
    if claimed is None:
        yield
        return
    said = f"run_id={run_id!r}: this run is being asked just now, by another process or another call"
    is_told = False
    while True:
        with claimed(f"replay {run_id}") as is_ours:
            if is_ours:
                yield
                return
        if waits is None:
            raise ConfigError(f"{said}: wait for its end, or give this one a run_id of its own")
        if not is_told:
            _log.warning("%s, which is waited for", said)
            is_told = True
        await waits.sleep(_LOOK_S)


async def refuse_answers_in_batches(ledger: Any, run_id: str, candidates: Collection[str]) -> None:
    """Raise `ConfigError` where these candidates' answers are in batches of the run: asked otherwise they
    are paid twice.
    """
    batches = getattr(ledger, "batches", None)
    known = () if batches is None else await batches.all()
    out = [one for one in known if one.run_id == run_id and one.candidate in candidates]
    if waiting := sum(one.open_items for one in out):
        raise ConfigError(
            f"run_id={run_id!r}: {waiting} answers of this run are in a batch, and asked now they would be "
            "paid for twice: ask with batch=True, which waits for them, or look with `router-lab batch "
            "status` until they are there; or give this one a run_id of its own"
        )


def _check_chances(ledger: Any, run_id: str, chosen: RowChoice) -> None:
    pairs = _pairs(ledger, run_id)
    if pairs is None:
        return
    for kind, before in sorted(_rows(pairs.select("task_type", "sample_probability").distinct())):
        now = chosen.chances.get(kind)
        if now is not None and before is not None and not isclose(now, before):
            raise ConfigError(
                f"run_id={run_id!r}: rows of {kind} were drawn for this run with a chance of {before:.3g}, "
                f"and now it is {now:.3g}: their pairs would be mixed. Ask for the same `sample`, or give "
                "this one a run_id of its own (with reuse=True, answers that are there are not paid again)"
            )


def _strange_row(ledger: Any, run_id: str, chosen: RowChoice) -> str | None:
    pairs = _pairs(ledger, run_id)
    if pairs is None:
        return None
    columns = pairs.select("task_type", "task_id", "input_hash", "request_id")
    for kind, task_id, input_hash, request_id in _rows(columns):
        # Of a primary that was called the rest of the row says the request.
        same = (row64(kind, task_id or "", input_hash, logged) for logged in (request_id, ""))
        if task_id is not None and not any(map(chosen.rows.has, same)):
            return f"{task_id[:60]!r} of {kind}"
    return None


def _pairs(ledger: Any, run_id: str) -> Any:
    """What the ledger has of a run, as an Ibis table; None where it keeps no tables."""
    from router_lab.analysis.ledger_tables import tables_if_any

    tables = tables_if_any(ledger)
    return None if tables is None else tables.comparisons.filter(tables.comparisons.run_id == run_id)


def _rows(expression: Any) -> Iterator[tuple[Any, ...]]:
    from router_lab.analysis.ledger_tables import batches_of

    for batch in batches_of(expression, _AT_ONCE):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

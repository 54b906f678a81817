"""A race while it is run: rows in random order, and after each round only the undecided are asked on.

A round takes the rows whose hashes come next, whatever the order of the file, so that the rows so far are a
random part of all of them. Who is settled or hopeless after it is sent nothing more. What a race knows stands
in the ledger: running it again, after whatever end, goes on where it was.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from router_lab.errors import ReplacedFilesError
from router_lab.replay.fan_out import FanOut
from router_lab.replay.paid_pairs import key64
from router_lab.replay.plan import Item

if TYPE_CHECKING:
    from router_lab.analysis import RacePlan, RaceResult

# Goes through the items from the first on.
Items = Callable[[], Iterator[Item]]

_TRIES = 5
# The rows of the first round and how many times as many there are after each next one, where a round may take
# a day.
_OF_BATCHES = (100, 3.0)


@dataclass(frozen=True, slots=True)
class RaceRun:
    """What came of a race: the result after its last round, and how many rows each candidate took part in."""

    result: RaceResult
    rows: Mapping[str, int]


async def run_race(
    run: FanOut, plan: RacePlan, items: Items, ask: Callable[[Items], Awaitable[object]], seed: int
) -> RaceRun | None:
    """Race the candidates of `run`; `ask` has a round's items asked and scored. None without any item."""
    from router_lab.analysis.statistics.racing import looks

    rank = partial(_rank, seed)
    ranks = await asyncio.to_thread(_ranks, items, rank)
    everyone, asked, result, first = tuple(run.candidates), dict[str, int](), None, 0
    for last in looks(len(ranks)) if run.settled is None else looks(len(ranks), *_OF_BATCHES):
        asked |= {one.name: last for one in run.candidates}
        await ask(_between(items, rank, ranks[first], ranks[last - 1]))
        result = await asyncio.to_thread(_judged, run, plan, [one.name for one in everyone], len(ranks))
        going_on = {name for name in result.undecided if run.tallies[name].stopped is None}
        run.candidates = [one for one in run.candidates if one.name in going_on]
        first = last
        if run.stopped or not run.candidates:
            break
    run.candidates = everyone
    return None if result is None else RaceRun(result, asked)


def _rank(seed: int, item: Item) -> int:
    """As good as random, and always the same."""
    return key64(f"race:{seed}:{item.key}")


def _ranks(items: Items, rank: Callable[[Item], int]) -> NDArray[np.uint64]:
    """The numbers of all items, in order."""
    return np.sort(np.array(array("Q", map(rank, items())), dtype=np.uint64))


def _between(items: Items, rank: Callable[[Item], int], first: np.uint64, last: np.uint64) -> Items:
    """The items whose ranks are from `first` to `last`."""
    return lambda: (item for item in items() if int(first) <= rank(item) <= int(last))


def _judged(run: FanOut, plan: RacePlan, names: list[str], rows: int) -> RaceResult:
    """As it stands in the ledger, read anew if another process replaces files meanwhile."""
    from router_lab.analysis import race

    for _ in range(_TRIES - 1):
        with suppress(ReplacedFilesError):
            return race(run.router.ledger, plan, run_id=run.run_id, candidates=names, inputs=rows)
    return race(run.router.ledger, plan, run_id=run.run_id, candidates=names, inputs=rows)

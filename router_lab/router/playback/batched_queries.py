"""Questions to a ledger, asked together: one query for what many rows want to know at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

# How long the first one waits for others.
_GATHER_S = 0.005


class BatchedQueries(Generic[Key, Value]):
    """`query` answers many keys at once, in a thread; who asks waits for the batch."""

    def __init__(self, query: Callable[[Sequence[Key]], Mapping[Key, Value]]) -> None:
        self._query = query
        self._asked: dict[Key, asyncio.Future[Value | None]] = {}
        self._asking: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def get(self, key: Key) -> Value | None:
        """What the query says of a key; None where it says nothing. Raises what the query raises."""
        if key not in self._asked:
            self._asked[key] = asyncio.get_running_loop().create_future()
        future = self._asked[key]
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(future)

    async def _ask(self) -> None:
        async with self._one_at_a_time:
            await asyncio.sleep(_GATHER_S)
            asked, self._asked, self._asking = self._asked, {}, None
            try:
                found = await asyncio.to_thread(self._query, list(asked))
            except Exception as error:
                for future in asked.values():
                    future.set_exception(error)
                return
            for key, future in asked.items():
                future.set_result(found.get(key))

"""Work done on a thread beside this one, or here where the interpreter gives no more threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TypeVar

_Item = TypeVar("_Item")


def read_ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """`items`, the next one being made on a thread of its own while the last one is in use."""
    take: Callable[[], _Item | None] = partial(next, items, None)
    with ThreadPoolExecutor(1, thread_name_prefix="router_lab sealing") as thread:
        following = begun(thread, take)
        while (item := following()) is not None:
            following = begun(thread, take)
            yield item


def begun(thread: ThreadPoolExecutor, function: Callable[[], _Item]) -> Callable[[], _Item]:
    """Begin `function` on `thread`; what is returned waits for its result, or raises what it raised."""
    try:
        return thread.submit(function).result
    except RuntimeError:  # the interpreter is ending, as in an exit hook
        return cache(function)

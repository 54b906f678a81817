"""Work beside the event loop that nobody can be sure will end, such as a user's comparator."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from router_lab.errors import RouterLabError

T = TypeVar("T")


class TookTooLongError(RouterLabError):
    """The work was still going on when its time was over, and nobody waits for it any more."""


async def aside(work: Callable[[], T], *, within_s: float) -> T:
    """`work()` on a thread of its own. Raises what it raises, and `TookTooLongError`.

    Python cannot end a thread, so one whose time is over goes on unheard; neither the end of the loop nor
    that of the process waits for it.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = work()
        except Exception as raised:
            error = raised
        try:
            loop.call_soon_threadsafe(tell, result, error)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    threading.Thread(target=run, name="router_lab aside", daemon=True).start()
    try:
        async with asyncio.timeout(within_s):
            return await done
    except TimeoutError:
        raise TookTooLongError(f"took longer than {within_s:g} s") from None

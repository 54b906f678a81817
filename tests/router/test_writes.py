"""Writes of several threads, each with an event loop of its own."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator

import pytest

from router_lab.router.ports import Writes


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("frequent_switches")
def test_one_thread_drains_while_others_write() -> None:
    writes, errors = Writes("a row"), list[BaseException]()

    async def work() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(100):
            ours = [loop.create_future() for _ in range(20)]
            for one in ours:
                writes.add(one)
                loop.call_soon(one.set_result, None)
            await writes.drain()
            assert all(one.done() for one in ours)

    def thread() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=thread) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert errors == []

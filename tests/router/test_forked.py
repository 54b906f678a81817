"""Processes that are forked, spawned or served by a fork server: they work, and they end.

Each script warms up its router and ledger, so that there is something to inherit, and starts children.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from lab import FAST, MODELS, Lab

START = """
import asyncio, json, multiprocessing, os, pickle, sys, threading, warnings
from concurrent.futures import ProcessPoolExecutor
from router_lab import ConfigError, Ledger, LedgerError, Router, settings, sim

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
folder, url, config = sys.argv[1:4]


def made():
    ledger = Ledger(folder)
    return Router(sim.pointed_at(settings.load(config), url), ledger=ledger), ledger


def ask_a_new_one(text):
    router, ledger = made()
    answer = router.complete_sync(text, task_type="ask").text
    router.close_sync()
    ledger.close()
    return bool(answer)


def ended(child):
    child.join(60)
    if child.is_alive():
        child.kill()
    return child.exitcode
"""


@pytest.fixture
def run(lab: Lab, tmp_path: Path) -> Callable[[str], str]:
    """Run a script on the laboratory's ledger and server; it must end by itself, without complaint."""

    def run(body: str) -> str:
        config = tmp_path / "router.yaml"
        routing = "routing: {ask: {model: cloud, max_tokens: 16, shadow: local}}\n"
        config.write_text(f"{MODELS}\n{FAST}\n{routing}", encoding="utf-8")
        path = tmp_path / "script.py"
        path.write_text(START + dedent(body), encoding="utf-8")
        command = [sys.executable, str(path), str(lab.folder), lab.server.url, str(config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert not (done.returncode or done.stderr), done.stderr
        return done.stdout

    return run


def asked(lab: Lab) -> list[str]:
    """The prompts in the ledger, which must be what the server saw and what the folder verifies."""
    rows = lab.attempts
    assert sorted(rows["attempt_id"]) == sorted(each.client_request_id for each in lab.served)
    assert rows["attempt_id"].is_unique
    assert set(rows["outcome"]) == {"ok"}
    assert lab.ledger.status().in_flight == 0
    assert lab.ledger.verify().ok
    return sorted(text.removeprefix("user: ") for text in rows["prompt"])


@pytest.mark.few(1)
@pytest.mark.parametrize("durability", ["full", "batch"])
def test_forked_children_use_what_they_inherit(lab: Lab, run, durability: str):
    run(
        f"""
        router, ledger = made()
        ledger._core.set_durability("{durability}")
        router.complete_sync("before", task_type="ask")
        assert len(ledger.attempts()) == 1  # what reading imports is inherited, too
        fork = multiprocessing.get_context("fork")

        def work(number):
            router.complete_sync(f"child {{number}}", task_type="ask")
            assert not ledger.switch.read("ask").on
            assert len(ledger.attempts()) >= 2
            router.close_sync()
            ledger.close()

        children = [fork.Process(target=work, args=(number,)) for number in range(3)]
        for child in children:
            child.start()
        router.complete_sync("meanwhile", task_type="ask")
        assert [ended(child) for child in children] == [0, 0, 0]
        router.complete_sync("after", task_type="ask")
        router.close_sync()
        ledger.close()
        """
    )
    assert asked(lab) == ["after", "before", "child 0", "child 1", "child 2", "meanwhile"]


def test_children_end_whatever_they_do_or_forget(lab: Lab, run):
    run(
        """
        router, ledger = made()
        router.complete_sync("before", task_type="ask")
        fork = multiprocessing.get_context("fork")
        nothing = fork.Process(target=lambda: None)
        forgets = fork.Process(target=lambda: router.complete_sync("forgets", task_type="ask"))
        for child in (nothing, forgets):
            child.start()
            assert ended(child) == 0
        leaves = os.fork()
        if not leaves:
            router.complete_sync("leaves", task_type="ask")
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(leaves, 0)[1]) == 7
        with ProcessPoolExecutor(2, mp_context=fork) as pool:
            assert list(pool.map(abs, [-1, 2])) == [1, 2]
        # A child that closed its parent's idle connection would leave this call waiting for its time-out.
        router.complete_sync("after", task_type="ask")
        """
    )
    assert asked(lab) == ["after", "before", "forgets", "leaves"]


@pytest.mark.few(1)
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_pools_of_processes_make_calls_with_routers_of_their_own(lab: Lab, run, method: str):
    run(
        f"""
        def main():
            router, ledger = made()
            router.complete_sync("before", task_type="ask")
            context = multiprocessing.get_context("{method}")
            with ProcessPoolExecutor(2, mp_context=context) as pool:
                assert list(pool.map(ask_a_new_one, ["a", "b", "c"], chunksize=2)) == [True] * 3
            for thing in (router, ledger):
                try:
                    pickle.dumps(thing)
                except ConfigError as error:
                    assert "in the other process" in str(error)
                else:
                    raise AssertionError
            router.close_sync()
            ledger.close()

        if __name__ == "__main__":
            main()
        """
    )
    assert asked(lab) == ["a", "b", "before", "c"]


@pytest.mark.soak
def test_children_of_a_parent_at_work_find_the_journal_free(lab: Lab, run):
    """SQLite's table of locks is copied as it is at the moment of the fork."""
    run(
        """
        router, ledger = made()
        router.complete_sync("before", task_type="ask")  # a fork while a module is imported hangs in Python
        ledger.attempts()
        stop = threading.Event()

        def busy(number):
            while not stop.is_set():
                router.complete_sync(f"busy {number}", task_type="ask")
                ledger.attempts(columns=["attempt_id"])

        def child(number):
            router.complete_sync(f"inherited {number}", task_type="ask")
            ask_a_new_one(f"new {number}")

        threads = [threading.Thread(target=busy, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        fork = multiprocessing.get_context("fork")
        exits = []
        for number in range(8):
            started = fork.Process(target=child, args=(number,))
            started.start()
            exits.append(ended(started))
        stop.set()
        for thread in threads:
            thread.join()
        router.close_sync()
        ledger.close()
        assert exits == [0] * 8, exits
        """
    )
    found = asked(lab)
    assert {f"inherited {number}" for number in range(8)} <= set(found)
    assert {f"new {number}" for number in range(8)} <= set(found)


def test_a_fork_inside_an_event_loop_leaves_both_processes_at_work(lab: Lab, run):
    run(
        """
        async def main():
            router, ledger = made()
            async with router:
                await asyncio.gather(*(router.complete(f"before {n}", task_type="ask") for n in range(3)))
                fork = multiprocessing.get_context("fork")
                child = fork.Process(target=lambda: asyncio.run(router.complete("child", task_type="ask")))
                slow = asyncio.create_task(router.complete("meanwhile", task_type="ask"))
                child.start()
                await slow
                assert await asyncio.to_thread(ended, child) == 0
                await asyncio.gather(*(router.complete(f"after {n}", task_type="ask") for n in range(3)))
            ledger.close()

        asyncio.run(main())
        """
    )
    assert asked(lab) == sorted(
        [*(f"after {n}" for n in range(3)), *(f"before {n}" for n in range(3)), "child", "meanwhile"]
    )


def test_a_child_that_goes_on_inside_its_parents_loop_is_told_so_and_settles_nothing(lab: Lab, run):
    """Regression: Python's own `no running event loop`, and a parent's stream that its child settled."""
    run(
        """
        from router_lab.router.calls.streaming import StreamClosedError

        async def in_child(router, stream):
            told = []
            for go_on in (stream.__anext__, lambda: router.complete("child", task_type="ask"), router.close):
                try:
                    await go_on()
                except (ConfigError, StreamClosedError) as error:
                    told.append(str(error))
            return told

        async def main():
            router, ledger = made()
            async with router:
                stream = router.stream("many words", task_type="ask")
                await anext(stream)
                child = os.fork()
                if not child:
                    try:
                        told = await in_child(router, stream)
                        await stream.aclose()
                        assert len(told) == 2 and "parent" in told[0] and "asyncio.run" in told[1]
                        os._exit(0)
                    finally:
                        os._exit(9)
                assert os.waitpid(child, 0)[1] == 0
                assert [chunk.completion async for chunk in stream][-1] is not None
            ledger.close()

        asyncio.run(main())
        """
    )
    assert asked(lab) == ["many words"]
    assert lab.attempts["outcome"].tolist() == ["ok"]


@pytest.mark.few(1)
@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_joblib_makes_calls_in_any_of_its_backends(lab: Lab, run, backend: str):
    run(
        f"""
        from joblib import Parallel, delayed

        def main():
            router, ledger = made()
            router.complete_sync("before", task_type="ask")
            jobs = Parallel(n_jobs=2, backend="{backend}")
            assert jobs(delayed(ask_a_new_one)(text) for text in ["a", "b", "c"]) == [True] * 3
            router.complete_sync("after", task_type="ask")
            router.close_sync()
            ledger.close()

        if __name__ == "__main__":
            main()
        """
    )
    assert asked(lab) == ["a", "after", "b", "before", "c"]


TWO_FORKS = """
import concurrent.futures.thread  # registers a lock that lets one thread fork at a time, if it is taken first
import os, threading
from router_lab.ledger.journal.forks import closed_before_forks

class Connection:
    "Closing it takes until another thread forks, or two seconds."
    begun, again, was_forked_meanwhile = threading.Event(), threading.Event(), None

    def let_go(self):
        if self.begun.is_set():
            self.again.set()
            return
        self.begun.set()
        self.was_forked_meanwhile = self.again.wait(2)

def fork():
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)

connection = Connection()
closed_before_forks(connection.let_go)
other = threading.Thread(target=fork)
other.start()
assert connection.begun.wait(30)
fork()
other.join()
print(connection.was_forked_meanwhile)
"""


def test_no_thread_forks_while_another_closes_connections_for_its_own_fork() -> None:
    """The child had SQLite's locks as the other thread held them, and hung at its first connection."""
    command = [sys.executable, "-W", "ignore", "-c", TWO_FORKS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout == "False\n", done.stderr

"""A ledger or router that nobody has any more gives back threads, descriptors and locks, and keeps its rows.

Every script drops some without closing them, and prints what the process then has more than before.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from lab import FAST, MODELS, Lab
from router_lab.sim import Fault

TESTS = str(Path(__file__).parents[1])
START = """
import asyncio, gc, json, os, sys, threading, time, warnings
import router_lab as rl
from router_lab import Ledger, Router, settings, sim

folder, url, config, tests = sys.argv[1:5]
sys.path.insert(0, tests)
from waiting import comes_true, time_flies, until
given = sim.pointed_at(settings.load(config), url)
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)


def made():
    return Router(given, ledger=Ledger(folder))


def threads():
    return len([one for one in threading.enumerate() if not one.name.startswith("asyncio_")])


def held():
    "Threads and descriptors, sockets and pipes included."
    return threads(), len(os.listdir("/proc/self/fd"))


def more_than(before):
    "What came since, and is still there when garbage is collected."
    gc.collect()
    return [now - then for now, then in zip(held(), before)]


def given_back(before, within_s=60):
    "What is left of what came since, after a while at most."
    comes_true(lambda: max(more_than(before)) <= 0, within_s)
    return more_than(before) + [one.name for one in threading.enumerate()]


def locks():
    return len([name for name in os.listdir(folder + "/_locks") if name.startswith("owner-")])


def begin(reads=False):
    "Whatever a process imports and opens once."
    with Ledger(folder) as ledger, Router(given, ledger=ledger) as router:
        router.complete_sync("first", task_type="plain")
        ledger.switch.on("the script")
        if reads:
            len(ledger.attempts())
    del ledger, router
    gc.collect()
    gc.freeze()  # what stays is walked through no more, each time that somebody looks
    return held()


def say(*what):
    print(json.dumps(what))
"""


@pytest.fixture
def run(lab: Lab, tmp_path: Path) -> Callable[[str], list[Any]]:
    """What a script on the laboratory's ledger and server says; it must end by itself, without complaint."""

    def run(body: str) -> list[Any]:
        config = tmp_path / "router.yaml"
        config.write_text(
            f"{MODELS}\n{FAST}\nrouting:\n  ask: {{model: cloud, max_tokens: 16, shadow: local}}\n"
            "  plain: {model: cloud, max_tokens: 16}\n"
        )
        path = tmp_path / "script.py"
        path.write_text(START + dedent(body))
        command = [sys.executable, str(path), str(lab.folder), lab.server.url, str(config), TESTS]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert not (done.returncode or done.stderr), done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def is_whole(lab: Lab, calls: int) -> None:
    """Every call and pair has its row, and nothing is held any more."""
    rows, pairs = lab.attempts, lab.comparisons
    assert len(rows[~rows["is_shadow"]]) == calls
    assert {each.client_request_id for each in lab.served} <= set(rows["attempt_id"])
    assert set(pairs["primary_attempt_id"]) <= set(rows["attempt_id"])
    assert lab.ledger.status().in_flight == 0
    assert lab.ledger.verify().ok


@pytest.mark.soak
def test_ledgers_dropped_in_a_loop(lab: Lab, run: Callable[[str], list[Any]]) -> None:
    said = run("""
        before = begin()
        for number in range(20):
            ledger = Ledger(folder)
            ledger.switch.on(f"flip {number}")
            ledger.accounts.configure(given)
        del ledger
        say(given_back(before)[:2], locks(), len(Ledger(folder).switch_events()))
        """)
    assert said == [[[0, 0], 0, 22]]


def test_rows_nobody_waited_for_are_there_at_once(lab: Lab, run: Callable[[str], list[Any]]) -> None:
    """A notebook's cell that is run again drops what the last run made, and reads on."""
    said = run("""
        before = begin(reads=True)
        given = given.model_copy(update={"ledger": given.ledger.model_copy(update={"durability": "batch"})})
        for number in range(5):
            router = made()
            router.complete_sync("x", task_type="plain")
            del router
            gc.collect()
            say(len(Ledger(folder).attempts()))
        say(given_back(before)[:2], locks())
        """)
    assert said == [*([count] for count in range(2, 7)), [[0, 0], 0]]
    is_whole(lab, 6)


def test_routers_left_by_their_function(lab: Lab, run: Callable[[str], list[Any]]) -> None:
    said = run("""
        async def asked(router, how):
            if how == "stream":
                async for _ in router.stream("x", task_type="ask"):
                    break
            else:
                await router.complete("x", task_type="ask")

        def one(how):
            router = made()
            if how != "async":
                router.complete_sync("x", task_type="ask")
            if how != "sync":
                asyncio.run(asked(router, how))

        before = begin()
        for how in ("sync", "async", "stream", "both"):
            for _ in range(2):
                one(how)
            say(how, given_back(before)[:2], locks())
        """)
    assert said == [[how, [0, 0], 0] for how in ("sync", "async", "stream", "both")]
    is_whole(lab, 1 + 2 + 2 + 4 + 4)


@pytest.mark.soak
def test_a_router_dropped_on_a_loop_that_goes_on(lab: Lab, run: Callable[[str], list[Any]]) -> None:
    """As in a notebook, whose loop runs for as long as its kernel."""
    said = run("""
        async def main(before):
            for _ in range(5):
                router = made()
                await router.complete("x", task_type="ask")
            del router
            await until(lambda: max(more_than(before)) <= 3 and not more_than(before)[0])
            more = more_than(before)
            say(more[0], more[1] <= 3, locks(), len(asyncio.all_tasks()))

        asyncio.run(main(begin()))
        """)
    assert said == [[0, True, 0, 1]]  # three descriptors are the loop's own
    is_whole(lab, 6)
    assert len(lab.comparisons) == 5


def test_shadows_in_flight_of_a_dropped_router(lab: Lab, run: Callable[[str], list[Any]]) -> None:
    """They are waited for as at exit, then given to the ledger."""
    lab.server.app.script([Fault("hang", provider="ollama", times=None)])
    said = run("""
        before = begin()

        async def main():
            router = made()
            await router.complete("x", task_type="ask")
            del router
            time_flies(asyncio.get_running_loop())
            made_on_a_thread()
            await until(lambda: gc.collect() >= 0 and len(asyncio.all_tasks()) == 1)

        def made_on_a_thread():
            router = made()
            router.complete_sync("y", task_type="ask")
            time_flies(router._thread._loop)

        asyncio.run(main())
        say(given_back(before)[:2], locks())
        """)
    assert said == [[[0, 0], 0]]
    assert lab.comparisons["status"].tolist() == ["cancelled"] * 2
    is_whole(lab, 3)


@pytest.mark.soak
def test_in_a_forked_child(lab: Lab, run: Callable[[str], list[Any]]) -> None:
    """What it inherited and what it made go away alike; what its parent has goes on."""
    said = run("""
        begin()
        router = made()
        router.complete_sync("x", task_type="ask")
        child = os.fork()
        if not child:
            del router
            gc.collect()
            before = held()
            for _ in range(5):
                made().complete_sync("x", task_type="ask")
            say(given_back(before)[:2])
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)
        router.complete_sync("x", task_type="ask")
        router.close_sync()
        router.ledger.close()
        say(locks())
        """)
    assert said == [[[0, 0]], [0]]
    is_whole(lab, 8)


@pytest.mark.soak
def test_readers(lab: Lab, run: Callable[[str], list[Any]]) -> None:
    said = run("""
        begin(reads=True)

        def read():
            tables = rl.analysis.open(folder)
            tables.attempts.count().to_pyarrow()
            ledger = Ledger(folder)
            for rows in ledger.follow("switch_events", timeout_s=0.1, poll_s=0.1):
                pass
            following = Ledger(folder).follow()
            ledger.switch.state
            return following

        read()  # what Ibis and DuckDB keep for themselves
        gc.collect()
        before = held()
        for _ in range(10):
            read()
        say(given_back(before)[:2])
        """)
    assert said == [[[0, 0]]]


@pytest.mark.soak
def test_collected_while_its_own_thread_works(lab: Lab, run: Callable[[str], list[Any]]) -> None:
    """The collector runs wherever something is made: on the writing thread, the router's, within a lock."""
    said = run("""
        import random
        before = begin()
        gc.set_threshold(1)
        for number in range(30):
            router = made()
            router.itself = router.ledger.itself = [router, router.ledger]  # only the collector sees that
            router.ledger.switch.on(f"flip {number}")
            if number % 3 == 0:
                router.complete_sync("x", task_type="plain")
            del router
        gc.set_threshold(700)
        say(given_back(before)[:2], locks())
        """)
    assert said == [[[0, 0], 0]]
    is_whole(lab, 11)


@pytest.mark.soak
def test_dropped_just_before_the_end(lab: Lab, run: Callable[[str], list[Any]]) -> None:
    run("""
        given = given.model_copy(update={"ledger": given.ledger.model_copy(update={"durability": "batch"})})
        for _ in range(3):
            made().complete_sync("x", task_type="ask")
        gc.collect()
        """)
    lab.ledger.recover()
    is_whole(lab, 3)
    assert len(lab.comparisons) == 3


def test_rows_wait_at_exit_for_another_process(lab: Lab, run: Callable[[str], list[Any]]) -> None:
    """Since Python 3.12 no thread starts any more by then."""
    lock = lab.folder / "_locks" / "write.lock"
    run(f"""
        import fcntl, subprocess
        begin()
        ledger = Ledger(folder)
        ledger.accounts.configure(
            given.model_copy(update={{"ledger": given.ledger.model_copy(update={{"durability": "batch"}})}})
        )

        async def alert():
            from datetime import UTC, datetime
            from router_lab.records import Alert
            at = datetime.now(UTC)
            for number in range(3):
                ledger.accounts.record_alert(
                    Alert(alert_id=str(number), at=at, kind="k", subject="s", message="m")
                )

        hold = "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX); "
        hold += "print(1, flush=True); sys.path.insert(0, sys.argv[2]); "
        hold += "from waiting import work_for; work_for(1)"
        holder = subprocess.Popen([sys.executable, "-c", hold, {str(lock)!r}, tests], stdout=subprocess.PIPE)
        holder.stdout.readline()
        asyncio.run(alert())
        """)
    assert len(lab.ledger.alerts()) == 3

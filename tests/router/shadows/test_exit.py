"""However a process ends, the pairs it owed are in the ledger: finished, or marked as cancelled.

Every script here asks four questions of a router whose shadows run one at a time, and forgets
something: to close the router, the ledger, or to live.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from lab import FAST, MODELS, Lab
from router_lab.sim import Fault
from waiting import wait_until

CALLS = 4
TESTS = str(Path(__file__).parents[2])
START = """
import asyncio, os, sys
from router_lab import Ledger, Router, settings, sim

folder, url, config, tests = sys.argv[1:5]
sys.path.insert(0, tests)
from waiting import time_flies, until, wait_until
ledger = Ledger(folder)
router = Router(sim.pointed_at(settings.load(config), url), ledger=ledger)
ledger.switch.on(reason="the script")


async def ask():
    for number in range(4):
        await router.complete(f"Question {number}", task_type="ask")


async def until_a_shadow_is_sent():
    await until(lambda: router._loop_state().shadows.running and ledger.status().in_flight)
"""


@pytest.fixture
def script(lab: Lab, tmp_path: Path) -> Callable[[str], list[str]]:
    """The command line of a script on the laboratory's ledger and server."""

    def write(body: str) -> list[str]:
        config = tmp_path / "router.yaml"
        config.write_text(
            f"{MODELS}\n{FAST}\nrouting: {{ask: {{model: cloud, max_tokens: 16, shadow: local}}}}\n"
            "shadow: {max_concurrent: 1, max_queued: 50}\n"
        )
        path = tmp_path / "script.py"
        path.write_text(START + dedent(body))
        return [sys.executable, str(path), str(lab.folder), lab.server.url, str(config), TESTS]

    return write


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def statuses(lab: Lab) -> dict[str, int]:
    """The pairs by status. Each has one row, and everything that reached the server has one too."""
    lab.ledger.recover()
    rows, pairs = lab.attempts, lab.comparisons
    assert pairs["comparison_id"].is_unique
    assert len(pairs) == CALLS
    assert set(pairs["primary_attempt_id"]) == set(rows[~rows["is_shadow"]]["attempt_id"])
    assert pairs["primary_output"].notna().all()
    assert {each.client_request_id for each in lab.served} <= set(rows["attempt_id"])
    assert lab.ledger.status().in_flight == 0
    counted: dict[str, int] = pairs["status"].value_counts().to_dict()
    return counted


SYNC = """
for number in range(4):
    router.complete_sync(f"Question {number}", task_type="ask")
"""


def test_a_plain_script_that_never_closes_still_finishes_its_shadows(lab: Lab, script):
    # The others wait behind the first one.
    lab.server.app.script([Fault("slow", delay_s=0.5, provider="ollama", times=1)])
    done = run(script(SYNC))
    assert (done.returncode, done.stderr) == (0, "")
    assert statuses(lab) == {"complete": CALLS}


def test_a_plain_script_does_not_wait_for_a_shadow_that_hangs(lab: Lab, script):
    lab.server.app.script([Fault("hang", provider="ollama", times=None)])
    done = run(script(f"{SYNC}\ntime_flies(router._thread._loop)"))
    assert (done.returncode, done.stderr) == (0, "")
    assert statuses(lab) == {"cancelled": CALLS}
    assert len(lab.served_by("ollama")) == 1


@pytest.mark.skipif((3, 12) <= sys.version_info < (3, 13), reason="3.12 starts no thread while it ends")
def test_a_shadow_that_begins_after_the_end_of_a_script_still_finds_its_server_by_name(lab: Lab, script):
    """Whoever waits for the end of a script by `atexit`, or by its main thread, finds executors shut."""
    lab.server.app.script([Fault("slow", delay_s=0.5, model="llama3.2:3b", times=None)])
    by_name = """
    models = dict(router.settings.models)
    models["local"] = models["local"].model_copy(update={"base_url": url.replace("127.0.0.1", "localhost")})
    ask = router.settings.routing["ask"]
    first = ask.model_copy(update={"shadow": ask.shadow.model_copy(update={"model": "small"})})
    routes = {"ask": ask, "first": first}
    router = Router(router.settings.model_copy(update={"models": models, "routing": routes}), ledger=ledger)
    for task_type in ("first", "ask"):
        router.complete_sync("A question", task_type=task_type)
    """
    done = run(script(by_name))
    assert (done.returncode, done.stderr) == (0, "")
    lab.ledger.recover()
    assert lab.comparisons["status"].tolist() == ["complete"] * 2


def test_a_call_of_another_thread_is_answered_before_the_exit(lab: Lab, script):
    lab.server.app.script([Fault("slow", delay_s=0.5, provider="anthropic", times=None)])
    threads = """
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(4)
    for number in range(4):
        pool.submit(lambda number: router.complete_sync(f"Question {number}", task_type="ask"), number)
    wait_until(lambda: len(ledger.attempts()) + ledger.status().in_flight >= 4)  # all have begun
    """
    done = run(script(threads))
    assert (done.returncode, done.stderr) == (0, "")
    assert statuses(lab) == {"complete": CALLS}


def test_an_interrupt_as_the_first_call_begins_its_thread_does_not_keep_the_process(lab: Lab, script):
    """Regression: the thread was known to nobody, and the interpreter waited for it for ever."""
    interrupted = """
    import signal, threading

    signal.signal(signal.SIGINT, signal.default_int_handler)
    start = threading.Thread.start

    def start_interrupted(thread):
        start(thread)
        signal.raise_signal(signal.SIGINT)

    threading.Thread.start = start_interrupted
    try:
        router.complete_sync("Question 0", task_type="ask")
    except KeyboardInterrupt:
        threading.Thread.start = start
    """
    done = run(script(dedent(interrupted) + SYNC))
    assert (done.returncode, done.stderr) == (0, "")
    assert statuses(lab) == {"complete": CALLS}


def test_an_interrupt_that_the_system_gave_to_another_thread_ends_the_call(lab: Lab, script):
    """Regression: as it may once the process was stopped; the main thread slept on until the answer came."""
    lab.server.app.script([Fault("hang", provider="anthropic", times=None)])
    elsewhere = """
    import signal, threading

    def interrupt():
        wait_until(lambda: ledger.status().in_flight)
        os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt).start()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        router.complete_sync("Question 0", task_type="ask")
    except KeyboardInterrupt:
        print("interrupted")
    """
    done = run(script(elsewhere))
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n", "")
    assert lab.attempts["outcome"].tolist() == ["cancelled"]


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "ending",
    ["asyncio.run(ask())", "asyncio.run(ask()); ledger.close()", "asyncio.run(ask()); sys.exit(3)"],
)
def test_a_loop_that_ends_without_the_context_records_what_waited(lab: Lab, script, ending: str):
    lab.server.app.script([Fault("hang", provider="ollama", times=None)])
    done = run(script(ending))
    assert done.returncode == (3 if "exit" in ending else 0)
    assert "Task was destroyed" not in done.stderr
    assert "Traceback" not in done.stderr
    assert statuses(lab) == {"cancelled": CALLS}
    assert len(lab.served_by("ollama")) <= 1


@pytest.mark.soak
def test_a_second_loop_drains_its_own_and_leaves_the_first_ones_to_the_ledger(lab: Lab, script):
    lab.server.app.script([Fault("hang", provider="ollama", contains="Question 0")])
    twice = """
    async def one(number):
        await router.complete(f"Question {number}", task_type="ask")

    async def rest():
        async with router:
            for number in (1, 2, 3):
                await one(number)

    asyncio.run(one(0))
    asyncio.run(rest())
    """
    done = run(script(twice))
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert statuses(lab) == {"cancelled": 1, "complete": 3}


def test_an_abandoned_loop_leaves_its_pairs_to_the_ledger(lab: Lab, script):
    """No cancellation reaches these tasks: the loop is simply never run again."""
    lab.server.app.script([Fault("hang", provider="ollama", times=None)])
    abandoned = """
    loop = asyncio.new_event_loop()
    loop.run_until_complete(ask())
    """
    assert run(script(abandoned)).returncode == 0
    assert statuses(lab) == {"cancelled": CALLS}


@pytest.mark.few(2)
@pytest.mark.parametrize("use", ["complete", "stream"])
@pytest.mark.parametrize(
    "ending", ["", "del task, loop; gc.collect()", "loop.close(); os.kill(os.getpid(), 15)"]
)
def test_a_call_that_its_loop_abandons_leaves_its_intent(lab: Lab, script, use: str, ending: str):
    """Whatever collects the coroutine, in whatever state the interpreter is by then, it must not crash."""
    lab.server.app.script([Fault("hang", provider="anthropic", times=None)])
    abandoned = f"""
    import gc, signal

    async def read():
        async for _ in router.stream("Question", task_type="ask"):
            pass

    async def main():
        global task
        work = router.complete("Question", task_type="ask") if "{use}" == "complete" else read()
        task = asyncio.create_task(work)
        await until(lambda: ledger.status().in_flight)

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    {ending}
    """
    done = run(script(abandoned))
    assert done.returncode in {0, 1, 130, -2}, done
    assert "GeneratorExit" not in done.stderr
    assert "coroutine ignored" not in done.stderr
    lab.ledger.recover()
    assert lab.attempts["outcome"].tolist() == ["lost"]
    assert {each.client_request_id for each in lab.served} <= set(lab.attempts["attempt_id"])


@pytest.mark.few(1)
@pytest.mark.parametrize("ending", ["sys.exit(3)", "raise KeyboardInterrupt"])
def test_leaving_the_context_by_an_exit_cancels_and_records(lab: Lab, script, ending: str):
    lab.server.app.script([Fault("hang", provider="ollama", times=None)])
    leaving = f"""
async def main():
    async with router:
        await ask()
        await asyncio.sleep(0)
        {ending}

asyncio.run(main())
"""
    done = run(script(leaving))
    assert done.returncode != 0
    assert statuses(lab) == {"cancelled": CALLS}


def test_a_killed_process_leaves_its_pairs_too(lab: Lab, script):
    lab.server.app.script([Fault("hang", provider="ollama", times=None)])
    killed = """
async def main():
    await ask()
    await until_a_shadow_is_sent()
    await until(lambda: ledger.status().open_pairs == 4)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""
    assert run(script(killed)).returncode == -9
    before_recovery = lab.comparisons["status"].tolist()
    assert before_recovery == ["cancelled"] * CALLS
    assert statuses(lab) == {"cancelled": CALLS}
    assert lab.attempts[lab.attempts["is_shadow"]]["outcome"].tolist() == ["lost"]


@pytest.mark.soak
def test_a_notebook_kernel_that_is_shut_down_records_what_was_in_flight(lab: Lab, script):
    from jupyter_client import KernelManager

    lab.server.app.script([Fault("hang", provider="ollama", times=None)])
    command = script("")
    setup = f"import sys; sys.argv = {command[1:]!r}\n" + Path(command[1]).read_text()
    manager = KernelManager()
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        for cell in (setup, "await ask()"):
            said = client.execute_interactive(cell, timeout=60, output_hook=lambda message: None)
            assert said["content"]["status"] == "ok", said["content"]
        wait_until(lambda: bool(lab.served_by("ollama")))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=False)
        manager.cleanup_resources()
    assert statuses(lab) == {"cancelled": CALLS}

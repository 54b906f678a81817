"""Candidates asked by Spark's executors: the same pairs, in one ledger, nothing paid twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import router_lab as rl
from lab import Lab, laboratory
from replay_folder import AT_ONCE, CONFIG, PRICES, write_config, write_log
from router_lab.errors import ConfigError
from router_lab.sim.log import bill
from waiting import wait_until

ROWS = 60
SLOW_S = 240  # Java begins, too
pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")


def rows(count: int = 24) -> list[dict[str, Any]]:
    kinds = ("ask", "ask::often")
    return [
        {"id": f"row-{n}", "task_type": kinds[n % 3 > 0], "prompt": f"How heavy is {n}?", "output": "1"}
        for n in range(count)
    ]


def daily_usd(ledger: rl.Ledger) -> float:
    """What was spent on however many days."""
    return float(ledger.spend().query("scope == 'daily'")["spent_usd"].sum())


async def replayed(folder: Path, url: str, source: Any, more: str = "", **options: Any) -> Any:
    settings = rl.settings.parse(CONFIG.format(url=url) + AT_ONCE + more)
    with rl.Ledger(folder) as ledger:
        async with rl.Router(settings, ledger=ledger) as router:
            return await rl.replay(router, source, candidates=["cheap", "other"], run_id="run", **options)


@pytest.mark.spark
@pytest.mark.timeout(300)
async def test_executors_make_the_same_pairs_in_the_one_ledger_and_again_nothing(
    tmp_path: Path, spark: Any
) -> None:
    with laboratory(tmp_path / "ledger") as lab:
        url, folder = lab.server.url, tmp_path / "ledger"
        await replayed(tmp_path / "plain", url, rows(), sample=12, seed=3)
        before = len(lab.served)
        run = await replayed(folder, url, spark.createDataFrame(rows()), sample=12, seed=3)
        served = lab.served[before:]
        assert run.is_complete and run["cheap"].answered == run["other"].answered == 12
        assert run.cost_usd == pytest.approx(bill(served, PRICES)["usd"])
        assert len(served) == 24 and {one.model for one in served} == set(PRICES)
        again = await replayed(folder, url, rows(), sample=12, seed=3, spark=spark)
        assert again.counts["skipped"] == 24 and len(lab.served) == before + 24
    with rl.Ledger(folder) as ledger, rl.Ledger(tmp_path / "plain") as plain:
        columns = ["comparison_id", "shadow_alias", "primary_output", "sample_probability", "switch_epoch"]
        ours, theirs = (
            one.comparisons()[columns].sort_values("comparison_id", ignore_index=True)
            for one in (ledger, plain)
        )
        assert ours.equals(theirs)
        assert ledger.verify().ok and not ledger.verify().notes, ledger.verify()
        assert daily_usd(ledger) == pytest.approx(bill(served, PRICES)["usd"])
        assert len(ledger.switch_events()) == 1
        assert ledger.compact() >= 0 and len(ledger.comparisons()) == 24
    assert not [one for one in (folder / "_journals").iterdir() if one.is_dir()]


@pytest.mark.spark
@pytest.mark.timeout(300)
async def test_executors_share_one_budget_and_the_run_says_that_it_is_used_up(
    tmp_path: Path, spark: Any
) -> None:
    with laboratory(tmp_path / "ledger") as lab:
        limit = "cost: {shadow_daily_usd: 0.0008}\n"
        run = await replayed(tmp_path / "ledger", lab.server.url, rows(), limit, spark=spark)
        spent = bill(lab.served, PRICES)["usd"]
    assert run.stopped is not None and "shadow/daily" in run.stopped
    assert 0 < run.counts["answered"] < 48 and run.cost_usd == pytest.approx(spent) and spent <= 0.0008
    with rl.Ledger(tmp_path / "ledger") as ledger:
        assert ledger.verify().ok and ledger.spend()["held_usd"].max() == 0


@pytest.mark.spark
@pytest.mark.timeout(300)
async def test_executors_that_go_on_over_midnight_stay_within_the_budget_of_the_day_after(
    tmp_path: Path, spark: Any
) -> None:
    """Their slices were of the day on which they began, and counted anew against the next one's."""

    class Yesterday(rl.router.ports.Clock):
        def now(self) -> datetime:
            return super().now() - timedelta(days=1)

    limit = "cost: {shadow_daily_usd: 0.002}\n"
    with laboratory(tmp_path / "ledger") as lab:
        url, folder = lab.server.url, tmp_path / "ledger"
        await replayed(folder, url, rows(100), limit, concurrency=1)
        today = bill(lab.served, PRICES)["usd"]
        settings = rl.settings.parse(CONFIG.format(url=url) + AT_ONCE + limit)
        with rl.Ledger(folder) as ledger:
            async with rl.Router(settings, ledger=ledger, clock=Yesterday()) as router:
                source = [row | {"prompt": f"{row['prompt']} Exactly?"} for row in rows(100)]
                run = await rl.replay(
                    router, source, candidates=["cheap", "other"], run_id="next", spark=spark
                )
        assert 0.001 < today <= bill(lab.served, PRICES)["usd"] <= 0.002
        assert run.stopped is not None and "shadow/daily" in run.stopped
        assert lab.ledger.verify().ok and lab.ledger.spend()["held_usd"].max() == 0
        assert lab.ledger.spend()["period"].nunique() == 2


@pytest.mark.spark
@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_what_is_judged_on_sparks_tables_is_judged_the_same(tmp_path: Path, spark: Any) -> None:
    import ibis

    scored = [row | {"expected": "7 kilograms"} for row in rows()]
    with laboratory(tmp_path / "ledger") as lab:
        await replayed(tmp_path / "ledger", lab.server.url, spark.createDataFrame(scored))
        routing = "routing: {ask: {model: cloud, max_tokens: 32, shadow: {model: cheap}}}"
        lab.ledger.switch.on(reason="a few live pairs")
        async with lab.router(routing) as router:
            for number in range(12):
                await router.complete(f"How heavy is {number}?", task_type="ask")
            await router.drain()
        both = lab.ledger.tables(), lab.ledger.tables("pyspark", connection=ibis.pyspark.connect(spark))
        for judged in (
            lambda tables: rl.analysis.ab(tables, by="shadow_alias"),
            lambda tables: rl.analysis.ab(tables, by="shadow_alias", basis="agreement"),
            lambda tables: rl.race(tables, run_id="run"),
            rl.analysis.monitor,
        ):
            here, there = map(repr, map(judged, both))
            assert here == there and ("cheap: " in here or "ask: " in here)


async def test_what_no_executor_can_be_given_is_named(tmp_path: Path) -> None:
    settings = rl.settings.parse(CONFIG.format(url="http://127.0.0.1:9"))
    with rl.Ledger(tmp_path) as ledger:
        async with rl.Router(settings, ledger=ledger) as router:
            with pytest.raises(ConfigError, match="pass a SparkSession"):
                await rl.replay(router, rows(), candidates=["cheap"], spark="local[2]")
            with pytest.raises(ConfigError, match="a race and batches are run by this process"):
                await rl.replay(router, rows(), candidates=["cheap"], spark=object(), race=True)


def below(parent: int) -> list[tuple[int, str]]:
    """The processes that a process of ours has begun, and those these have, with their command lines."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            own = int(entry.name)
            above = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (ValueError, OSError):
            continue
        if above == parent:
            found += [(own, command), *below(own)]
    return found


def is_at_work(process: int, folder: Path) -> bool:
    """Whether it has a journal of an executor open, below a folder."""
    try:
        groups = str(folder / "ledger" / "_journals")
        return any(str(one.readlink()).startswith(groups) for one in Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return False


def started(folder: Path, master: str, *, start_new_session: bool = False) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "router_lab.cli", "replay", str(folder / "log.jsonl"), "--yes"]
    command += ["--candidate", "cheap", "--candidate", "other", "--concurrency", "4", "--spark", master]
    command += ["--config", str(folder / "router.yaml"), "--ledger", str(folder / "ledger")]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=start_new_session,
    )


def killed_meanwhile(folder: Path, lab: Lab, master: str, victims: Callable[[int], list[int]]) -> None:
    """Run it, kill one of `victims` when a part is answered, and check what there is in the end."""
    running = started(folder, master)
    wait_until(lambda: len(lab.served) >= 15 or running.poll() is not None, SLOW_S)
    assert running.poll() is None, running.communicate()
    os.kill(victims(running.pid)[0], signal.SIGKILL)
    out, err = running.communicate(timeout=300)
    assert running.returncode == 0, out + err
    check_once(lab)
    assert f"cheap: {ROWS} answered" in out


def check_once(lab: Lab) -> None:
    """Every row is answered once by each, and the bill is the ledger's."""
    served = {one.client_request_id: one for one in lab.served}
    pairs, attempts = lab.comparisons, lab.attempts
    assert len(pairs) == 2 * ROWS and set(pairs["status"]) == {"complete"}
    assert not pairs.duplicated(["task_id", "shadow_alias"]).any()
    asked = attempts[attempts["is_shadow"]].set_index("attempt_id")
    answered = asked[asked["outcome"] == "ok"]
    assert len(answered) == 2 * ROWS and set(served) <= set(asked.index)
    kept = [served[one] for one in answered.index]
    assert answered["cost_usd"].sum() == pytest.approx(bill(kept, PRICES)["usd"])
    lost = asked[asked["outcome"] == "lost"]
    assert len(lost) <= 2 * 4
    assert lab.ledger.verify().ok, lab.ledger.verify()
    assert lab.ledger.spend()["held_usd"].max() == 0
    charged = asked["worst_usd"].fillna(asked["cost_usd"]).sum()
    assert daily_usd(lab.ledger) == pytest.approx(charged)


needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="no Java: Spark needs 17 or newer")


@needs_java
@pytest.mark.spark
@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_worker_that_is_killed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with laboratory(tmp_path / "ledger", latency=0.2) as lab:
        write_config(tmp_path, lab.server.url, AT_ONCE)
        write_log(tmp_path, ROWS)

        def workers(driver: int) -> list[int]:
            daemon = next(own for own, command in below(driver) if "pyspark.daemon" in command)
            return [own for own, _ in below(daemon) if is_at_work(own, tmp_path)]

        killed_meanwhile(tmp_path, lab, "local[2,4]", workers)


@needs_java
@pytest.mark.spark
@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_what_executors_answered_before_the_replay_was_killed_is_not_asked_again(
    tmp_path: Path,
) -> None:
    with laboratory(tmp_path / "ledger", latency=0.2) as lab:
        write_config(tmp_path, lab.server.url, AT_ONCE)
        write_log(tmp_path, ROWS)
        running = started(tmp_path, "local[2]")
        wait_until(lambda: len(lab.served) >= 15 or running.poll() is not None, SLOW_S)
        assert running.poll() is None, running.communicate()
        running.send_signal(signal.SIGKILL)
        running.communicate()
        groups = tmp_path / "ledger" / "_journals"
        wait_until(
            lambda: not any(is_at_work(int(one.name), tmp_path) for one in Path("/proc").glob("[0-9]*")),
            SLOW_S,
        )
        assert any(one.is_dir() for one in groups.iterdir())
        settings = rl.settings.load(tmp_path / "router.yaml")
        async with rl.Router(settings, ledger=lab.ledger) as router:
            run = await rl.replay(router, tmp_path / "log.jsonl", candidates=["cheap", "other"])
        assert run.is_complete and run.counts["skipped"] > 0
        assert not any(one.is_dir() for one in groups.iterdir())
        check_once(lab)


@needs_java
@pytest.mark.spark
@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("of_terminal", [False, True])
def test_an_interrupt_ends_the_executors_cleanly_and_it_goes_on(tmp_path: Path, of_terminal: bool) -> None:
    """A terminal's Ctrl-C reaches every process of its group, Spark's own among them."""
    with laboratory(tmp_path / "ledger", latency=1.0) as lab:
        write_config(tmp_path, lab.server.url, AT_ONCE)
        write_log(tmp_path, ROWS)
        running = started(tmp_path, "local[2]", start_new_session=True)
        wait_until(lambda: len(lab.served) >= 15 or running.poll() is not None, SLOW_S)
        assert running.poll() is None, running.communicate()
        (os.killpg if of_terminal else os.kill)(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=120)
        assert running.returncode == 130 and "goes on from there" in err, out + err
        assert "Traceback" not in err, err
        assert 15 <= len(lab.served) < 2 * ROWS
        wait_until(lambda: not below(running.pid), SLOW_S)
        assert not any(one.is_dir() for one in (tmp_path / "ledger" / "_journals").iterdir())
        assert set(lab.attempts["outcome"]) <= {"ok", "cancelled", "lost"} and lab.ledger.verify().ok
        last = started(tmp_path, "local[2]")
        out, err = last.communicate(timeout=300)
        assert last.returncode == 0, out + err
        check_once(lab)


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A standalone cluster of two workers with a core each: its address, and the workers."""
    import pyspark

    home = Path(pyspark.__file__).parent
    names = {"SPARK_HOME": str(home), "SPARK_WORKER_DIR": str(folder / "work")}
    environment = os.environ | names | {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    deploy = [str(home / "bin" / "spark-class"), "org.apache.spark.deploy"]
    log = folder / "master.txt"
    running: list[subprocess.Popen[bytes]] = []

    def start(kind: str, *more: str) -> None:
        with log.open("ab") as said:
            command = [deploy[0], f"{deploy[1]}.{kind}", "--host", "127.0.0.1", "--webui-port", "0", *more]
            running.append(subprocess.Popen(command, env=environment, stdout=said, stderr=said))

    try:
        start("master.Master", "--port", "0")
        wait_until(lambda: "Starting Spark master at" in log.read_text(), SLOW_S)
        address = log.read_text().split("Starting Spark master at ")[1].split()[0]
        for _ in range(2):
            start("worker.Worker", "--cores", "1", "--memory", "600m", address)
        wait_until(lambda: log.read_text().count("Registering worker") == 2, SLOW_S)
        yield address, running[1:]
    finally:
        for one in running:
            one.terminate()
            one.wait()


@needs_java
@pytest.mark.spark
@pytest.mark.soak
@pytest.mark.timeout(900)
def test_an_executor_of_a_cluster_that_is_killed_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "--conf spark.executor.memory=512m pyspark-shell")
    with laboratory(tmp_path / "ledger", latency=0.2) as lab, cluster(tmp_path) as (address, workers):
        write_config(tmp_path, lab.server.url, AT_ONCE)
        write_log(tmp_path, ROWS)

        def executors(_: int) -> list[int]:
            return [
                own
                for worker in workers
                for own, command in below(worker.pid)
                if "CoarseGrainedExecutorBackend" in command
                and any(is_at_work(one, tmp_path) for one, _ in below(own))
            ]

        killed_meanwhile(tmp_path, lab, address, executors)

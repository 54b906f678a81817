"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import settings

from kinds import places
from router_lab import sim
from router_lab.router.request.dialects import PROCESS

# A busy machine is no failure: properties are checked, their speed is not.
settings.register_profile("router_lab", deadline=None, max_examples=25)
settings.register_profile("soak", deadline=None, max_examples=100)
settings.load_profile("router_lab")


# Tests begin hundreds of processes, and each would compile the package anew; so would every worker the tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Nor do the settings of whoever runs them count: their ledger is not written to.
for name in [name for name in os.environ if name.startswith("ROUTER_LAB_")]:
    del os.environ[name]


# Importing every module of the tests leaves no garbage, and what they hold is walked through no more.
gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()
    gc.enable()


# What takes minutes starts first, so that no worker waits for it when the other has nothing left.
LONGEST = (
    "test_notebooks.py",
    "test_in_browser.py",
    "test_examples.py",
    "test_quality_end_to_end.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of parameters that are alike all but `few` go under `soak`. The longest modules come first, then what
    needs Spark, so that one worker starts it for all; the rest, and the tests of a module, keep their order.
    """
    alike: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("few") is not None:
            alike.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for group in alike.values():
        (few,) = group[0].get_closest_marker("few").args
        tried = places(len(group), few)
        for place, item in enumerate(group):
            if place not in tried:
                item.add_marker(pytest.mark.soak)
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    if item.path.name in LONGEST:
        return LONGEST.index(item.path.name)
    return len(LONGEST) + (item.get_closest_marker("spark") is None)


@pytest.fixture(autouse=True)
def nothing_learnt() -> None:
    """Ports come again: what one test's server did not take is not known of the next one's."""
    PROCESS.forget()


@pytest.fixture
def sim_server() -> Iterator[Callable[..., sim.SimServer]]:
    """A factory of simulated servers on real ports, with the arguments of `sim.app`; stopped after the test.

    `server.url` is where it listens, `server.app` has `.log`, `.script(...)` and `.bill(...)`.
    """
    with ExitStack() as stack:

        def start(**options: Any) -> sim.SimServer:
            return stack.enter_context(sim.serve(sim.app(**options)))

        yield start


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """One small Spark: one thread, one shuffle partition, no web page."""
    if shutil.which("java") is None:
        pytest.skip("no Java: Spark needs 17 or newer on the PATH")
    sql = pytest.importorskip(
        "pyspark.sql", reason="pyspark is not installed: pip install 'router-lab[spark]'"
    )
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        # Compiling Java for a few hundred rows takes longer than walking them.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    }
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # what its workers run
    builder = sql.SparkSession.builder.master("local[1]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session = builder.getOrCreate()
        yield session
        session.stop()

"""Fixtures shared by all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import settings

from router_lab import sim

# A busy machine is no failure: properties are checked, their speed is not.
settings.register_profile("router_lab", deadline=None)
settings.load_profile("router_lab")


@pytest.fixture
def sim_server() -> Iterator[Callable[..., sim.SimServer]]:
    """A factory of simulated servers on real ports, with the arguments of `sim.app`; stopped after the test.

    `server.url` is where it listens, `server.app` has `.log`, `.script(...)` and `.bill(...)`.
    """
    with ExitStack() as stack:

        def start(**options: Any) -> sim.SimServer:
            return stack.enter_context(sim.serve(sim.app(**options)))

        yield start

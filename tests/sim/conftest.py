"""A module's own server, begun anew for each test, and its client: `running` gives both, once a module."""

from __future__ import annotations

from typing import Any

import pytest

from router_lab import sim


@pytest.fixture
def server(running: tuple[sim.SimServer, Any]) -> sim.SimServer:
    running[0].app.reset()
    return running[0]


@pytest.fixture
def client(server: sim.SimServer, running: tuple[sim.SimServer, Any]) -> Any:
    return running[1]

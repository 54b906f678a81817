"""Real models for the demo: a small one served on this machine, or whatever the user has."""

from __future__ import annotations

import json
import os
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from router_lab.cli.processes import serving
from router_lab.errors import ConfigError, RoutingError
from router_lab.router.routing import RouteTable
from router_lab.settings.models import ModelSettings, Settings

# Few and short enough for a 135M model on one core per server to finish in a couple of minutes.
_LOCAL_PER_TYPE = 12
_LOCAL_CHARS = 1200
_LOCAL_TOKENS = 64
_LIVE_PER_TYPE = 10


@contextmanager
def local_model(settings: Settings) -> Iterator[Settings]:
    """Two servers of one real model; yields the settings with their addresses filled in."""
    from router_lab.cli.demo.llama_server import model_file

    model_file()
    with (
        serving("router_lab.cli.demo.llama_server", [str(_free_port()), "plain"]) as plain,
        serving("router_lab.cli.demo.llama_server", [str(_free_port()), "stock"]) as stock,
    ):
        addresses = {"plain": plain, "stock": f"{stock}/v1"}
        models = {
            alias: model.model_copy(update={"base_url": addresses[alias]})
            for alias, model in settings.models.items()
        }
        yield settings.model_copy(update={"models": models})


def local_rows(workload: Path, settings: Settings, each: int = _LOCAL_PER_TYPE) -> list[dict[str, Any]]:
    """Short prompts of the task types that `settings` routes, `each` of them the same number."""
    short = (
        {**row, "max_tokens": min(row["max_tokens"], _LOCAL_TOKENS)}
        for row in _rows(workload)
        if len(row["prompt"]) <= _LOCAL_CHARS
    )
    return _some_of_each(short, settings, each)


def reachable(settings: Settings) -> Settings:
    """The settings with only the models that answer: keys that are set, Ollama models that are pulled.

    Raises `ConfigError` when no route is left.
    """
    models = {alias: model for alias, model in settings.models.items() if _answers(model)}
    routing = {
        name: route.model_copy(
            update={
                "fallback": tuple(alias for alias in route.fallback if alias in models),
                "shadow": route.shadow if route.shadow and route.shadow.model in models else None,
            }
        )
        for name, route in settings.routing.items()
        if route.model in models
    }
    if not routing:
        wanted = ", ".join(
            f"{alias} ({model.api_key_env or model.base_url})" for alias, model in settings.models.items()
        )
        raise ConfigError(f"none of the models of config/router.yaml can be reached: {wanted}")
    return settings.model_copy(update={"models": models, "routing": routing})


def live_rows(workload: Path, settings: Settings) -> list[dict[str, Any]]:
    """A few prompts of every task type that still has a route."""
    return _some_of_each(_rows(workload), settings, _LIVE_PER_TYPE)


def _answers(model: ModelSettings) -> bool:
    if model.api_key_env is not None:
        return bool(os.environ.get(model.api_key_env))
    if model.wire != "ollama":
        return _listens(model.base_url)
    try:
        tags = httpx.get(f"{model.base_url}/api/tags", timeout=2.0).json()
        return any(entry.get("name") == model.model for entry in tags.get("models", []))
    except (httpx.HTTPError, ValueError):
        return False


def _listens(url: str) -> bool:
    try:
        httpx.get(url, timeout=2.0)
    except httpx.HTTPError:
        return False
    return True


def _rows(workload: Path) -> Iterator[dict[str, Any]]:
    with workload.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def _some_of_each(rows: Iterator[dict[str, Any]], settings: Settings, most: int) -> list[dict[str, Any]]:
    routes, taken, chosen = RouteTable(settings), Counter[str](), []
    for row in rows:
        task_type = row["task_type"]
        if taken[task_type] < most and _is_routed(routes, task_type):
            taken[task_type] += 1
            chosen.append(row)
    return chosen


def _is_routed(routes: RouteTable, task_type: str) -> bool:
    try:
        routes.resolve(task_type)
    except RoutingError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

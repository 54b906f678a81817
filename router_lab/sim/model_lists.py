"""`GET /v1/models` and `/v1/models/{id}`, which OpenAI and Anthropic have at one address in two shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from router_lab.sim.catalog import SimModel
from router_lab.sim.exchange import ErrorAnswer, HttpRequest

_PATH = "/v1/models"
_CREATED, _CREATED_AT = 1_763_800_000, "2025-11-22T08:26:40Z"


def is_at(path: str) -> bool:
    """Whether the list of models, or one of them, is there."""
    return path == _PATH or path.startswith(f"{_PATH}/")


def shown(request: HttpRequest, models: Sequence[SimModel]) -> dict[str, Any]:
    """What is at the request's path, of these `models`. Raises `ErrorAnswer`."""
    is_anthropic = "anthropic-version" in request.headers
    shape = _anthropic if is_anthropic else _openai
    name = unquote(request.path.removeprefix(_PATH).removeprefix("/"))
    if name:
        return shape(_named(name, models, is_anthropic=is_anthropic))
    data = [shape(model) for model in models]
    if not is_anthropic:
        return {"object": "list", "data": data}
    ids = [each["id"] for each in data]
    return {
        "data": data,
        "has_more": False,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
    }


def _named(name: str, models: Sequence[SimModel], *, is_anthropic: bool) -> SimModel:
    """The model. Raises `ErrorAnswer`."""
    found = next((model for model in models if model.name == name), None)
    if found is not None:
        return found
    message = f"model: {name}" if is_anthropic else f"The model '{name}' does not exist"
    if is_anthropic:
        told: dict[str, Any] = {"type": "error", "error": {"type": "not_found_error", "message": message}}
    else:
        error = {"message": message, "type": "invalid_request_error", "param": "model"}
        told = {"error": {**error, "code": "model_not_found"}}
    raise ErrorAnswer(404, message, extra=told)


def _openai(model: SimModel) -> dict[str, Any]:
    return {"id": model.name, "object": "model", "created": _CREATED, "owned_by": "sim"}


def _anthropic(model: SimModel) -> dict[str, Any]:
    return {"type": "model", "id": model.name, "display_name": model.name, "created_at": _CREATED_AT}

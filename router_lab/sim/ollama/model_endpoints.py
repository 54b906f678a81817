"""The endpoints by which Ollama describes its models: `/api/tags`, `/api/ps`, `/api/show`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from router_lab.sim import reading
from router_lab.sim.catalog import SimModel
from router_lab.sim.exchange import ErrorAnswer, HttpRequest
from router_lab.sim.server_state import ServerState


def now() -> str:
    """The time as Ollama writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def tags(state: ServerState) -> dict[str, Any]:
    """`GET /api/tags`: every Ollama model of the server, as if modified just now."""
    return {"models": [{**_described(model), "modified_at": now()} for model in state.of("ollama")]}


def loaded(state: ServerState) -> dict[str, Any]:
    """`GET /api/ps`: the loaded models, with their true context from 0.10.0 on."""
    until = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    models = []
    for name, num_ctx in state.loaded.items():
        entry = {
            **_described(state.models[("ollama", name)]),
            "expires_at": until,
            "size_vram": 4_700_000_000,
        }
        models.append(entry | ({"context_length": num_ctx} if state.behaviour.shows_context_length else {}))
    return {"models": models}


def show(request: HttpRequest, state: ServerState) -> dict[str, Any]:
    """`POST /api/show`. Raises `ErrorAnswer` for a model that is not there."""
    data = reading.json_object(request.body, _invalid)
    name = reading.text(data.get("model") or data.get("name"))
    model = state.models.get(("ollama", name))
    if model is None:
        raise ErrorAnswer(404, f"model '{name}' not found")
    thinking = ["thinking"] if model.reasoning_tokens else []
    info = {"general.architecture": model.family, f"{model.family}.context_length": model.context_window}
    return {
        "modelfile": f"FROM {name}",
        "parameters": "",
        "template": "{{ .Prompt }}",
        "details": _described(model)["details"],
        "model_info": info,
        "capabilities": ["completion", "tools", *thinking],
        "modified_at": now(),
    }


def _described(model: SimModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "model": model.name,
        "size": 4_683_087_332,
        "digest": sha256(model.name.encode()).hexdigest(),
        "details": {
            "parent_model": "",
            "format": "gguf",
            "family": model.family,
            "families": [model.family],
            "parameter_size": model.parameter_size,
            "quantization_level": "Q4_K_M",
        },
    }


def _invalid(reason: str) -> ErrorAnswer:
    return ErrorAnswer(400, f"invalid character in the request body: {reason}")

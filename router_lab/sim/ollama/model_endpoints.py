"""The endpoints by which Ollama describes its models: `/api/tags`, `/api/ps`, `/api/show`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from router_lab.sim import reading
from router_lab.sim.catalog import SimModel
from router_lab.sim.exchange import HttpRequest, Refused
from router_lab.sim.world import World


def now() -> str:
    """The time as Ollama writes it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def tags(world: World) -> dict[str, Any]:
    """`GET /api/tags`."""
    return {"models": [{**_described(model), "modified_at": now()} for model in world.of("ollama")]}


def loaded(world: World) -> dict[str, Any]:
    """`GET /api/ps`: the loaded models, with their true context from 0.10.0 on."""
    until = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    models = []
    for name, num_ctx in world.loaded.items():
        entry = {
            **_described(world.models[("ollama", name)]),
            "expires_at": until,
            "size_vram": 4_700_000_000,
        }
        models.append(entry | ({"context_length": num_ctx} if world.behaviour.shows_context_length else {}))
    return {"models": models}


def show(request: HttpRequest, world: World) -> dict[str, Any]:
    """`POST /api/show`. Raises `Refused` for a model that is not there."""
    data = reading.json_object(request.body, _invalid)
    name = reading.text(data.get("model") or data.get("name"))
    model = world.models.get(("ollama", name))
    if model is None:
        raise Refused(404, f"model '{name}' not found")
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


def _invalid(reason: str) -> Refused:
    return Refused(400, f"invalid character in the request body: {reason}")

"""Simulated providers: one ASGI application that speaks Ollama, Anthropic and OpenAI on the wire.

    from router_lab import sim

    with sim.serve(sim.app(seed=7, workload="data/workload.jsonl")) as server:
        server.url                          # http://127.0.0.1:40513: all three APIs
        server.app.script(["ok", "429", sim.Fault("hang", model="qwen2.5:7b")])
        server.app.log                      # what reached the server, and whether it is billed

The official clients talk to it unmodified: `anthropic.Anthropic(base_url=url)`, `ollama.Client(url)`,
`openai.OpenAI(base_url=url + "/v1")`. In process, give `httpx.ASGITransport(sim.app())` to a client.

Token counts come from real tokenizers, another one for each provider; answers depend on the seed, the
model and the prompt alone; prompts that do not fit are treated as the chosen Ollama version does.
`sim.app(persona="groq")` answers as that vendor does, and refuses what it refuses (see `personas`).
What a model is like is a `SimModel`; what can go wrong is listed in `router_lab.sim.faults`.
"""

from __future__ import annotations

from router_lab.sim.application import SimApp, app
from router_lab.sim.catalog import DEFAULT_MODELS, SimModel
from router_lab.sim.faults import FAULT_NAMES, Fault, RandomFaults
from router_lab.sim.log import ServedRequest
from router_lab.sim.model_request import prompt_hash
from router_lab.sim.openai.personas import PERSONAS
from router_lab.sim.pointing import pointed_at
from router_lab.sim.server import SimServer, run, serve

__all__ = [
    "DEFAULT_MODELS",
    "FAULT_NAMES",
    "PERSONAS",
    "Fault",
    "RandomFaults",
    "ServedRequest",
    "SimApp",
    "SimModel",
    "SimServer",
    "app",
    "pointed_at",
    "prompt_hash",
    "run",
    "serve",
]

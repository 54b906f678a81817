"""The models a simulated server has, and what each is like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from router_lab.sim.tokenizer import TokenizerName
from router_lab.task_types import lineage

Provider = Literal["anthropic", "ollama", "openai"]

PROVIDERS: tuple[Provider, ...] = ("anthropic", "ollama", "openai")


@dataclass(frozen=True, slots=True)
class SimModel:
    """One simulated model.

    `context_window` is in tokens; for Ollama it is the training context that a requested `num_ctx` is
    clamped to. `skill` is the share of right answers, `skills` overrides it by task-type prefix.
    `parse_failure_rate` is the share of JSON answers that are not quite JSON.
    `ttft_ms` (time to first token) and `token_ms` are milliseconds before the server's latency factor.

    `route` is how Ollama since 0.30 renders prompts: `rendered` truncates silently, `native` and `mlx`
    refuse. `dialect` is whose errors an OpenAI-compatible server speaks. `reasoning_tokens` is the mean
    length of hidden reasoning (0 for none). `caches_prompts` makes prompt caching automatic, as
    OpenAI's is, and for Anthropic as if every request carried `cache_control`. `window_is_strict`
    makes Anthropic refuse an input plus `max_tokens` over the window instead of stopping at it.
    `adds_bos` says that the chat template starts with a token that Ollama keeps on top of `num_keep`.
    """

    name: str
    provider: Provider
    tokenizer: TokenizerName
    context_window: int
    skill: float
    skills: Mapping[str, float] = field(default_factory=dict)
    parse_failure_rate: float = 0.01
    ttft_ms: float = 200.0
    token_ms: float = 5.0
    max_output_tokens: int = 8192
    route: Literal["rendered", "native", "mlx"] = "rendered"
    dialect: Literal["openai", "llamacpp", "vllm"] = "openai"
    parameter_size: str = "7.6B"
    family: str = "qwen2"
    reasoning_tokens: int = 0
    caches_prompts: bool = False
    window_is_strict: bool = False
    adds_bos: bool = False

    def skill_for(self, task_type: str) -> float:
        """The share of right answers at `task_type`: the longest matching `::` prefix wins."""
        return next((self.skills[name] for name in lineage(task_type) if name in self.skills), self.skill)


DEFAULT_MODELS: tuple[SimModel, ...] = (
    SimModel("qwen2.5:7b", "ollama", "cl100k", 32_768, 0.90, ttft_ms=120, token_ms=12),
    SimModel(
        "llama3.2:3b",
        "ollama",
        "tekken",
        131_072,
        0.78,
        parse_failure_rate=0.03,
        ttft_ms=60,
        token_ms=6,
        parameter_size="3.2B",
        family="llama",
        adds_bos=True,
    ),
    SimModel(
        "claude-sonnet-4-5",
        "anthropic",
        "tekken-32k",
        200_000,
        0.97,
        parse_failure_rate=0.002,
        ttft_ms=600,
        token_ms=9,
    ),
    SimModel(
        "claude-sonnet-5-5",
        "anthropic",
        "tekken-32k",
        200_000,
        0.98,
        parse_failure_rate=0.001,
        ttft_ms=500,
        token_ms=7,
    ),
    SimModel(
        "claude-haiku-4-5",
        "anthropic",
        "tekken-32k",
        200_000,
        0.93,
        parse_failure_rate=0.005,
        ttft_ms=300,
        token_ms=5,
    ),
    SimModel(
        "claude-haiku-5-5",
        "anthropic",
        "tekken-32k",
        200_000,
        0.94,
        parse_failure_rate=0.003,
        ttft_ms=250,
        token_ms=4,
    ),
    SimModel(
        "gpt-4.1-mini", "openai", "tekken", 128_000, 0.92, parse_failure_rate=0.005, ttft_ms=350, token_ms=6
    ),
    SimModel("my-model", "openai", "tekken", 32_768, 0.86, ttft_ms=80, token_ms=10, dialect="vllm"),
)

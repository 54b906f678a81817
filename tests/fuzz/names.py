"""The targets by name; `targets` makes them."""

from __future__ import annotations

NAMES = [
    *(f"{kind}/{provider}" for kind in ("reply", "stream") for provider in ("anthropic", "openai", "ollama")),
    "settings",
    *(f"import/{source}" for source in ("litellm", "otel", "jsonl")),
    "reconcile",
    *(f"ratings/{ending}" for ending in ("csv", "jsonl", "parquet")),
    *(f"rows/{ending}" for ending in ("csv", "jsonl", "parquet")),
    "sealed",
    "journal",
]

"""The shapes of recorded answers: which keys always stand, and which ever do, by host and place."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HOSTS = {
    "api.openai.com": "openai",
    "api.groq.com": "groq",
    "openrouter.ai": "openrouter",
    "api.mistral.ai": "mistral",
    "api.deepseek.com": "deepseek",
    "pydanticai7521574644.openai.azure.com": "azure",
    "generativelanguage.googleapis.com": "gemini",
    "router.huggingface.co": "huggingface",
    "api.inference.crusoecloud.com": "vllm",
}

Shapes = dict[str, dict[str, dict[str, list[str]]]]


def places(answer: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects of one whole answer or chunk whose keys are compared."""
    yield kind, answer
    choice = (answer.get("choices") or [None])[0]
    if choice:
        yield f"{kind}.choice", choice
    message = (choice or {}).get("message")
    if message:
        # A call's message has other keys than a text's.
        yield f"{kind}.{'call' if message.get('tool_calls') else 'message'}", message
    if answer.get("usage"):
        yield f"{kind}.usage", answer["usage"]


def chunks(text: str) -> list[dict[str, Any]]:
    """The events of a stream."""
    data = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
    return [json.loads(one) for one in data if one != "[DONE]" and one.startswith("{") and one.endswith("}")]


def shapes_of(path: Path) -> Shapes:
    """The shapes of every recorded answer of status 200, by persona."""
    found: dict[str, dict[str, list[set[str]]]] = {}
    with gzip.open(path, "rt") as lines:
        for row in map(json.loads, lines):
            persona = HOSTS.get(row["host"])
            if persona is None or row["status"] != 200 or row["dialect"] != "openai":
                continue
            here = found.setdefault(persona, {})
            if isinstance(row["response"], dict):
                for place, value in places(row["response"], "whole"):
                    here.setdefault(place, []).append(set(value))
            elif row["stream"]:
                for chunk in chunks(row["response"]):
                    for place, value in places(chunk, "chunk"):
                        here.setdefault(place, []).append(set(value))
    return {
        persona: {
            place: {"always": sorted(set.intersection(*keys)), "ever": sorted(set.union(*keys))}
            for place, keys in sorted(here.items())
        }
        for persona, here in sorted(found.items())
    }

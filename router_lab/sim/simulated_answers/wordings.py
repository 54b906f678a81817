"""How models say what they have to say: bare or fenced JSON, a polite opening, a sentence turned round."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from router_lab.sim.asked import Ask
from router_lab.sim.catalog import SimModel
from router_lab.sim.simulated_answers import wrong_answers

_OPENINGS = ("Sure! Here is the JSON you asked for:\n\n", "Here's the result:\n\n", "Of course.\n\n")
_SHORT = 40
_REWORDINGS = (
    ("because of", "due to"),
    ("affecting", "which affected"),
    ("resolved", "fixed"),
    ("decided to", "agreed to"),
    (" will ", " is going to "),
    ("; ", ". In the end, "),
    ("For ", "During "),
)


def of_json(value: Any, model: SimModel, ask: Ask, random: Random) -> str:
    """A value as a model writes it: strict when JSON was asked for on the wire, else as the mood takes it."""
    if ask.schema or ask.json:
        return json.dumps(value, ensure_ascii=False)
    text = json.dumps(value, ensure_ascii=False, indent=random.choice((None, 2)))
    chance = random.random()
    if chance < model.parse_failure_rate:
        return wrong_answers.unreadable(text)
    if chance < 0.70:
        return text
    fenced = f"```json\n{text}\n```"
    return fenced if chance < 0.93 else random.choice(_OPENINGS) + fenced


def of_text(text: str, ask: Ask, random: Random) -> str:
    """A text as a model writes it; what it says stays the same."""
    chance = random.random()
    if "####" in ask.system or "####" in ask.prompt:
        return f"Working through the steps one by one gives {text}.\n#### {text}"
    if text.startswith("def ") or "\n    return" in text:
        return text if chance < 0.2 else f"```python\n{text}\n```"
    if len(text) > _SHORT:
        return _reworded(text, random) if chance < 0.6 else text
    if chance < 0.92 or not text[-1:].isalpha():
        return text
    return f"{text}." if chance < 0.97 else text.capitalize()


def _reworded(text: str, random: Random) -> str:
    for old, new in _REWORDINGS:
        if random.random() < 0.5:
            text = text.replace(old, new, 1)
    return text

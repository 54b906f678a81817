"""How an answer looks in a notebook. Every text in it is a model's and shown letter by letter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from router_lab.shown.escape import show

_ENDINGS = {
    "token_limited": "was cut at the token limit",
    "empty": "is empty",
    "refused": "is a refusal",
    "content_filter": "was stopped by a content filter",
    "failed": "failed",
}


def ended(ending: str | None) -> str:
    """How an answer ended, such as `was cut at the token limit`; "" for a whole one, or if unknown."""
    return "" if ending in (None, "", "complete") else _ENDINGS.get(str(ending), str(ending))


def answer_html(text: str, calls: Sequence[tuple[str, Mapping[str, Any]]], facts: Sequence[str]) -> str:
    """The answer, the tools it asks for by name and arguments, and one line of facts, such as its cost."""
    parts = []
    if text or not calls:
        parts.append(f"<div style='white-space:pre-wrap'>{show(text)}</div>")
    parts += [_call(name, arguments) for name, arguments in calls]
    line = " · ".join(map(show, facts))
    parts.append(f"<div style='opacity:.75;font-size:90%'>{line}</div>")
    # The classes keep JupyterLab from reading dollar signs as formulas.
    return f"<div class='tex2jax_ignore mathjax_ignore'>{''.join(parts)}</div>"


def _call(name: str, arguments: Mapping[str, Any]) -> str:
    said = json.dumps(dict(arguments), ensure_ascii=False, default=str)
    return f"<div>calls <b>{show(name)}</b> <code>{show(said)}</code></div>"

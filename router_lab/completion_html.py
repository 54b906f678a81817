"""How an answer looks in a notebook. Every text in it is a model's and shown letter by letter."""

from __future__ import annotations

import json

from router_lab.escape import show
from router_lab.records import Completion, ToolCall


def completion_html(completion: Completion) -> str:
    """The answer, the tools it asks for, and one line on what it cost."""
    parts = []
    if completion.text or not completion.tool_calls:
        parts.append(f"<div style='white-space:pre-wrap'>{show(completion.text)}</div>")
    parts += [_tool_call(call) for call in completion.tool_calls]
    line = " · ".join(show(fact) for fact in _facts(completion))
    parts.append(f"<div style='opacity:.75;font-size:90%'>{line}</div>")
    # The classes keep JupyterLab from reading dollar signs as formulas.
    return f"<div class='tex2jax_ignore mathjax_ignore'>{''.join(parts)}</div>"


def _tool_call(call: ToolCall) -> str:
    arguments = json.dumps(dict(call.arguments), ensure_ascii=False, default=str)
    return f"<div>calls <b>{show(call.name)}</b> <code>{show(arguments)}</code></div>"


def _facts(completion: Completion) -> list[str]:
    said = completion.metadata
    facts = [said.task_type, f"{said.model_alias} ({said.model_actual or 'model unknown'})"]
    if said.tokens_in is not None and said.tokens_out is not None:
        facts.append(f"{said.tokens_in:,} tokens in, {said.tokens_out:,} out")
    facts.append(f"${said.cost_usd:.6f}")
    if said.attempts != 1:
        facts.append(f"{said.attempts} attempts")
    if said.token_limited:
        facts.append("cut at the token limit")
    return facts

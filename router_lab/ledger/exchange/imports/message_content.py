"""Inputs and answers as other tools keep them, in the form in which our own rows have them.

The same input has the same `prompt` and `input_hash` as through `complete()`, an answer the same text,
tool calls and thoughts, whether a log has them as messages of OpenAI, Anthropic, Gemini, LangChain,
OpenInference or the GenAI conventions, as whole requests and responses, or as plain text. What is none of
these stays as it is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from router_lab.errors import ResponseParseError, RouterLabError
from router_lab.ledger.exchange.imports.foreign_call import first, text
from router_lab.ledger.exchange.imports.messages import (
    ImportedTurn,
    answer_turn,
    as_json,
    input_parts,
)
from router_lab.parameters import Parameters
from router_lab.records import Reply, ToolCall
from router_lab.router.answers.thoughts import separated
from router_lab.router.answers.tool_calls import canonical_json
from router_lab.router.providers.anthropic import Anthropic
from router_lab.router.providers.ollama import Ollama
from router_lab.router.providers.openai import OpenAI
from router_lab.router.providers.wire import member, objects
from router_lab.router.request.request import Request, hash_with


def asked(
    given: Any, *, system: Any = None, tools: Any = None, schema: Any = None, parameters: Any = None
) -> dict[str, Any]:
    """The values `prompt`, `input_hash` and `parameters` of an input, as far as the log kept it.

    `parameters` has what was asked beside the input, by the names that servers know it by.
    """
    known = read_parameters(parameters)
    kept = {"parameters": known.row()}
    if given in (None, "", [], {}):
        return kept
    if _CUT.search(text(given)):
        return {"prompt": text(given)} | kept  # without a hash: many inputs begin alike
    try:
        parts = input_parts(given, system=system, tools=tools, schema=schema)
        request = Request.build(**parts, task_type="imported")
    except (RouterLabError, TypeError, ValueError, RecursionError):
        # Half of an input must not pass for the whole: an image by address, a tool without a name.
        return _verbatim(given) | kept
    return {"prompt": request.prompt_text, "input_hash": hash_with(request.input_hash, known.asked())} | kept


def read_parameters(given: Any) -> Parameters:
    """What of `given` is a parameter of ours; what is no proper value of one is left out."""
    given = as_json(given)
    known: dict[str, Any] = {}
    for name, theirs in _PARAMETERS.items():
        value = first(given, *theirs) if isinstance(given, Mapping) else None
        try:
            value = json.loads(value) if isinstance(value, str) and name in _NUMBERS else value
            value = int(value) if name == "seed" and isinstance(value, float) else value
            known[name] = None if value is None else getattr(Parameters.read(**{name: value}), name)
        except (ValueError, TypeError, OverflowError):
            continue
    return Parameters.read(**known)


_PARAMETERS = {
    "temperature": ("temperature",),
    "top_p": ("top_p", "topP"),
    "seed": ("seed",),
    "stop": ("stop", "stop_sequences", "stopSequences"),
    "reasoning_effort": ("reasoning_effort", "reasoningEffort"),
}
_NUMBERS = ("temperature", "top_p", "seed")


# LiteLLM's mark in the place of what it left out of a long text.
_CUT = re.compile(r"\blitellm_truncated\b")


def _verbatim(given: Any) -> dict[str, Any]:
    written = text(given)
    try:
        return {"prompt": written, "input_hash": Request.build(written, task_type="imported").input_hash}
    except RouterLabError:  # white space alone
        return {"prompt": written}


def said(given: Any) -> dict[str, Any]:
    """The values `output`, `tool_calls`, `thoughts` and `stop_reason` of an answer, as far as it has them."""
    if given in (None, "", [], {}):
        return {}
    reply = _reply(as_json(given))
    if reply is None:
        return {"output": text(given)}
    answer, thoughts = separated(reply.text)
    return {
        "output": answer,
        "tool_calls": _calls(reply.tool_calls),
        "thoughts": "\n".join(filter(None, (reply.thinking, thoughts))) or None,
        "stop_reason": reply.stop_reason,
    }


def _calls(calls: Sequence[ToolCall]) -> str | None:
    """Canonical JSON; calls that are none, as their model wrote them."""
    if all(call.name and isinstance(call.arguments, Mapping) for call in calls):
        return canonical_json(calls)
    return text([{"arguments": call.arguments, "name": call.name} for call in calls])


def _reply(given: Any) -> Reply | None:
    """The answer in a provider's response, a message, or a list of them; None where it is neither."""
    if isinstance(given, str):
        return Reply(text(given), None, None, None)
    try:
        if isinstance(given, Mapping) and (provider := _provider(given)):
            try:
                return provider.reply(json.dumps(_with_message(given), default=str).encode())
            except ResponseParseError:  # what a model wrote in place of a call's arguments
                given = _message(given)
        turn = answer_turn(given)
        return None if turn is None else _of_turn(turn)
    except (RouterLabError, TypeError, ValueError, LookupError, RecursionError):
        return None


def _provider(given: Mapping[str, Any]) -> Anthropic | Ollama | OpenAI | None:
    if isinstance(given.get("choices"), Sequence):
        return OpenAI()
    if given.get("type") == "message" and isinstance(given.get("content"), list) and "stop_reason" in given:
        return Anthropic()
    if isinstance(given.get("message"), Mapping) and "done" in given:
        return Ollama()
    return None


def _with_message(given: Mapping[str, Any]) -> dict[str, Any]:
    """A text completion as a chat completion."""
    choices = given.get("choices")
    if not isinstance(choices, list):
        return dict(given)
    return {**given, "choices": [_choice(choice) for choice in choices]}


def _message(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message in a response, with how it ended."""
    choice = next(iter(objects(given.get("choices"))), given)
    reason = first(choice, "finish_reason", "done_reason", "stop_reason")
    return {"role": "assistant", "finish_reason": reason, **(member(choice, "message") or given)}


def _choice(choice: Any) -> Any:
    if isinstance(choice, Mapping) and "message" not in choice and isinstance(choice.get("text"), str):
        return {**choice, "message": {"role": "assistant", "content": choice["text"]}}
    return choice


def _of_turn(turn: ImportedTurn) -> Reply:
    calls = tuple(
        ToolCall(str(call.get("id") or number), text(call["name"]), call["arguments"])
        for number, call in enumerate(turn.calls, 1)
    )
    return Reply(text("".join(turn.texts)), None, turn.stop_reason, None, calls, text("".join(turn.thoughts)))

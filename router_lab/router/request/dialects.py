"""What servers were found not to take: asked for once, learnt from the refusal, and said once.

A refusal that names a field (`ProviderError.refused`) leads to another attempt in another dialect, which
is an attempt like any other. Each way of saying something is tried once at each server and model, so
that no two refusals chase one another; where none is taken, the first is kept, and its refusals are the
caller's. What the YAML says of a dialect is never changed.

A server says it to the process, not to one router: what was learnt is kept by its address and model for
every router of the process, and a forked child begins with what its parent knew.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from router_lab.errors import ProviderError
from router_lab.forking import at_fork
from router_lab.parameters import NAMES
from router_lab.presets import Dialect, Wire
from router_lab.router.providers.wire import ModelCall
from router_lab.router.request.targets import Target

_log = logging.getLogger("router_lab.dialects")

# What may be said otherwise, by wire format; the ways are tried in this order.
_WAYS: Mapping[Wire, Mapping[str, tuple[Any, ...]]] = {
    "openai": {
        "max_tokens_field": ("max_tokens", "max_completion_tokens"),
        "stream_options": (True, False),
        "response_format": ("json_schema", "json_object", "none"),
        "system_role": ("system", "developer", "user"),
    },
    "anthropic": {"response_format": ("json_schema", "none"), "thinking": ("adaptive", "budget")},
    "ollama": {"response_format": ("json_schema", "json_object", "none")},
}

_Key = tuple[str, str]


class Memory:
    """What servers were found not to take, and what they get instead. Safe to share between threads."""

    def __init__(self) -> None:
        self.lock = Lock()
        # Whole mappings replace one another here, so that they can be read without the lock.
        self.learnt: dict[_Key, Mapping[str, Any]] = {}
        self.refused: dict[tuple[_Key, str], set[Any]] = {}

    def forget(self) -> None:
        """Forget what servers were found to take and to refuse, for tests that start anew."""
        with self.lock:
            self.learnt.clear()
            self.refused.clear()

    def renew_lock(self) -> None:
        """For a forked child: another thread of the parent may have held the lock."""
        self.lock = Lock()


PROCESS = Memory()
at_fork(after_in_child=PROCESS.renew_lock)


class Dialects:
    """The dialect of each server and model, as guessed and as learnt since, in `memory`."""

    def __init__(self, memory: Memory = PROCESS) -> None:
        self._memory = memory

    def of(self, target: Target) -> Dialect:
        """What to speak to a model now."""
        learnt = self._memory.learnt.get(_key(target))
        if not learnt:
            return target.dialect
        free = {name: value for name, value in learnt.items() if not _is_set(target, name)}
        return replace(target.dialect, **free) if free else target.dialect

    def learn(self, target: Target, call: ModelCall, error: ProviderError) -> bool:
        """Whether the refusal of `call` is of a field that can be said otherwise, from now on or already."""
        said = error.refused & _said_in(call)
        is_worth_it = False
        for name in sorted(said & _WAYS[target.settings.wire].keys()):
            if not _is_set(target, name):
                is_worth_it |= self._say_otherwise(target, name, getattr(call.dialect, name))
        return is_worth_it

    def _say_otherwise(self, target: Target, name: str, used: Any) -> bool:
        key, memory = _key(target), self._memory
        with memory.lock:
            refused = memory.refused.setdefault((key, name), set())
            refused.add(used)
            now = getattr(self.of(target), name)
            if now not in refused:
                return True  # another call has learnt it meanwhile
            left = [way for way in _WAYS[target.settings.wire][name] if way not in refused]
            way = left[0] if left else getattr(target.dialect, name)
            memory.learnt[key] = {**memory.learnt.get(key, {}), name: way}
        if left:
            _log.warning(
                "models.%s: %s takes no %s %s for %s and gets %s from now on; with dialect: {%s: %s} under "
                "models.%s it is not asked first",
                target.alias, urlsplit(target.settings.base_url).netloc, name, _yaml(used),
                target.settings.model, _yaml(left[0]), name, _yaml(left[0]), target.alias,
            )  # fmt: skip
        return bool(left)


def advise(target: Target, call: ModelCall, error: ProviderError) -> None:
    """Say which key to take out, where a server names one of what was asked beside the prompt."""
    asked = call.parameters.asked()
    for name in NAMES:
        named = "thinking" if name == "think" else name
        if name in asked and named in error.refused:
            error.add_note(
                f"{name} is not taken by models.{target.alias} ({target.settings.model}): leave it out "
                "of the call, the route and the model, or send such calls to another model"
            )


def _said_in(call: ModelCall) -> set[str]:
    """What of its dialect a call made use of."""
    said = {"max_tokens_field"}
    if call.stream and call.dialect.stream_options:
        said.add("stream_options")
    if call.schema is not None and call.dialect.response_format != "none":
        said.add("response_format")
    if call.system:
        said.add("system_role")
    if call.parameters.think is True:
        said.add("thinking")
    return said


def _is_set(target: Target, name: str) -> bool:
    """Whether the YAML says it."""
    return getattr(target.settings.dialect, name, None) is not None


def _key(target: Target) -> _Key:
    return target.settings.server, target.settings.model


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

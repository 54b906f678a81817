"""What a request asks for, after its wire format has been taken off; and what a model answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

Stop = Literal["end", "length", "tool", "sequence", "window", "refusal"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. `cache_ttl` marks an Anthropic cache breakpoint at its end."""

    role: str
    text: str
    images: int = 0
    cache_ttl: Literal["5m", "1h"] | None = None


@dataclass(frozen=True, slots=True)
class ToolOffer:
    """A tool the model may call."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request. `tool_choice` is `auto`, `any`, `none` or a tool's name; `json` asks for any JSON.

    `choices` is how many answers are wanted: they are alike, and all of them are billed.
    """

    model: str
    turns: tuple[Turn, ...]
    max_tokens: int | None = None
    stream: bool = False
    tools: tuple[ToolOffer, ...] = ()
    tool_choice: str = "auto"
    schema: Mapping[str, Any] | None = None
    json: bool = False
    stop: tuple[str, ...] = ()
    think: bool = False
    include_usage: bool = False
    choices: int = 1

    @property
    def system(self) -> str:
        """The text of all system messages."""
        return "\n".join(turn.text for turn in self.turns if turn.role == "system")

    @property
    def conversation(self) -> str:
        """The text of all messages."""
        return "\n".join(turn.text for turn in self.turns)

    @property
    def prompt(self) -> str:
        """The last user message: what a workload knows the request by."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), "")


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool call made by the model."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model wrote. `tokens` includes `reasoning_tokens`."""

    text: str
    tokens: int
    stop: Stop = "end"
    tools: tuple[ToolUse, ...] = ()
    thinking: str = field(default="", repr=False)
    reasoning_tokens: int = 0


def prompt_hash(prompt: str, *, system: str = "") -> str:
    """The 16 hex digits under which the log knows a single-turn request."""
    turns = (Turn("system", system),) if system else ()
    return hash_turns((*turns, Turn("user", prompt)))


def hash_turns(turns: tuple[Turn, ...]) -> str:
    """The same for any conversation: equal on every provider for equal roles and texts."""
    digest = sha256()
    for turn in turns:
        digest.update(f"{turn.role}\x00{turn.text}\x01".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]

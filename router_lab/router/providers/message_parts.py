"""What a message holds, in the words of many servers: text, thoughts, tool calls, and why it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, pairwise
from typing import Any

from router_lab.records import ToolCall
from router_lab.router.providers import wire

_FIELDS = (
    "reasoning_content", "reasoning", "thinking", "thinking_content", "reasoning_text", "thoughts", "thought",
    "analysis", "thought_content", "reasoning_output",
)  # fmt: skip
_LISTS = ("reasoning_details", "thinking_blocks", "reasoning_summary", "thinking_details")
_PARTS = (
    "thinking", "reasoning", "thought", "thoughts", "analysis", "reasoning_text", "redacted_thinking",
    "reasoning_content", "thinking_content", "thought_content", "reasoning_summary", "redacted_reasoning",
)  # fmt: skip
_TEXTS = ("text", "output_text")
_DEEPEST = 4


def thinking_of(message: Mapping[str, Any]) -> str:
    """A message's thoughts, in the field that its server keeps them in; several hold the same."""
    for name in (*_FIELDS, *_LISTS):
        if (value := message.get(name)) and (text := thought_of(value)):
            return text
    content = message.get("content")
    parts = [content] if isinstance(content, dict) else wire.objects(content)
    return "".join(thought_of(part) for part in parts if is_thought(part))


def is_thought(part: Mapping[str, Any]) -> bool:
    """Whether a part of a content is thoughts; Gemini says so beside the text."""
    return part.get("type") in _PARTS or part.get("thought") is True


def text_of_content(content: Any, depth: int = 0) -> str:
    """The text of a content: itself, a part, or a list of texts and parts; its thoughts are left out.

    Some servers decode the JSON that a model has written: what is no part is JSON again.
    """
    if isinstance(content, str):
        return content
    if content is None or depth > _DEEPEST:
        return ""
    if isinstance(content, list):
        return "".join(text_of_content(part, depth + 1) for part in content)
    if not isinstance(content, dict):
        return "" if isinstance(content, bool) or depth else json.dumps(content)
    if is_thought(content):
        return ""
    kind = content.get("type")
    if not isinstance(kind, str) and not any(name in content for name in ("text", "value", "content")):
        return json.dumps(wire.scrub_all(content), ensure_ascii=False) if content and not depth else ""
    names = ("text", "value", "content") if kind in _TEXTS or not isinstance(kind, str) else ("text",)
    found = next((content[name] for name in names if isinstance(content.get(name), str | dict | list)), None)
    return text_of_content(found, depth + 1) if found else ""


def thought_of(value: Any) -> str:
    """The text of a thought: itself, or under one of the names it has in an object or a list of them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(thought_of(item) for item in value if isinstance(item, str | dict))
    if not isinstance(value, dict):
        return ""
    for name in ("text", "thinking", "thought", "summary", "content", "reasoning", "analysis"):
        if isinstance(inner := value.get(name), str | list) and (text := thought_of(inner)):
            return text
    return ""


# Arguments that say nothing.
_EMPTY = ("{}", "null", "[]", '""')
_FEW = 4
# Calls among the parts of a content, as proxies of other formats leave them.
_CALL_PARTS = ("tool_use", "tool_call", "function_call", "toolUse")


def read_calls(
    calls: Iterable[Mapping[str, Any]], text: str, *, was_cut: bool = False
) -> tuple[ToolCall, ...]:
    """Calls with a `function` in them, or names and arguments of their own. Raises `ResponseParseError`.

    A tool's answer has to refer to its call, so a call without an id, or with another call's, gets one.
    """
    listed = list(calls)
    given = {wire.scrub(wire.text_of(call.get("id"))) for call in listed}
    free = (made for number in count(1) if (made := f"call_{number}") not in given)
    read: dict[str, ToolCall] = {}
    for call in listed:
        function = wire.member(call, "function") or call
        name = wire.scrub(wire.text_of(function.get("name")))
        call_id = wire.scrub(wire.text_of(call.get("id")))
        while not call_id or call_id in read:
            call_id = next(free)
        arguments = wire.arguments(_arguments(function), name, text, was_cut=was_cut)
        read[call_id] = ToolCall(call_id, name, arguments)
    return tuple(read.values())


def message_calls(message: Mapping[str, Any], *, in_pieces: bool = False) -> list[dict[str, Any]]:
    """The calls of a message of the chat completions format, the older single one included.

    `in_pieces`: the name of the older one came before, where only its arguments go on.
    """
    given = message.get("tool_calls")
    if isinstance(given, dict):  # the one call itself, or calls by their numbers
        is_call = bool(wire.member(given, "function") or wire.text_of(given.get("name")))
        given = [given] if is_call else list(given.values())
    calls = wire.objects(given) or [
        part for part in wire.objects(message.get("content")) if part.get("type") in _CALL_PARTS
    ]
    legacy = wire.member(message, "function_call")
    is_said = wire.text_of(legacy.get("name")) or (in_pieces and legacy.get("arguments"))
    return calls or ([{"function": legacy}] if is_said else [])


def _arguments(function: Mapping[str, Any]) -> Any:
    return function.get("arguments", function.get("input", function.get("parameters")))


class CallPieces:
    """Puts streamed tool calls together.

    Pieces belong to the call of their id, or else of their index, or else to the last one. A call of
    another id and a name of its own begins anew, even under an index that was used before; so does one
    with a name, without an id, where the arguments before it are complete. A whole call that an earlier
    chunk has sent already is that call again, unless its id or index says otherwise; two equal calls of one
    chunk are two. Several pieces of one chunk that say nothing of themselves continue the calls in their
    order.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._of_chunk: list[_Call] = []
        self._by_index: dict[int, _Call] = {}

    def add(self, pieces: Sequence[Mapping[str, Any]]) -> None:
        """Take the pieces of one chunk."""
        self._of_chunk = []
        read = [_CallFragment.of(piece) for piece in pieces]
        nameless = sum(piece.says_nothing for piece in read)
        continued = iter(self._continued(nameless) if nameless > 1 else ())
        for piece in read:
            known = next(continued, None) if piece.says_nothing else None
            self._take(piece, known)

    def calls(self) -> list[dict[str, Any]]:
        """The calls in the order in which they began."""
        return [
            {"id": call.id, "function": {"name": call.name, "arguments": call.arguments()}}
            for call in self._calls
        ]

    def _continued(self, pieces: int) -> list[_Call]:
        unfinished = [call for call in self._calls if not call.is_complete()]
        return unfinished[:pieces] if len(unfinished) >= pieces else self._calls[-pieces:]

    def _take(self, piece: _CallFragment, known: _Call | None) -> None:
        call = self._sent_before(piece)
        is_again = call is not None
        call = call or known or self._call(piece)
        self._of_chunk.append(call)
        call.id = call.id or piece.id
        call.name = call.named(piece)
        call.index = piece.index if call.index is None else call.index
        if not is_again:
            call.extend(piece.arguments)

    def _sent_before(self, piece: _CallFragment) -> _Call | None:
        for call in self._calls if piece.name else ():
            if (
                call.name == piece.name
                and (piece.index is None or call.index is None or call.index == piece.index)
                and not (piece.id and call.id and piece.id != call.id)
                and not any(call is one for one in self._of_chunk)
                and call.says(piece.arguments)
            ):
                return call
        return None

    def _call(self, piece: _CallFragment) -> _Call:
        named = [call for call in self._calls if piece.id and call.id == piece.id]
        known = next((call for call in named if call.index == piece.index), named[-1] if named else None)
        if known is None and piece.index is not None:
            known = self._by_index.get(piece.index)
        elif known is None and piece.says_nothing and self._calls:
            known = self._calls[-1]
        if known is None or known.is_other(piece):
            known = _Call()
            self._calls.append(known)
        if piece.index is not None:
            self._by_index[piece.index] = known
        return known


@dataclass(frozen=True, slots=True)
class _CallFragment:
    index: int | None
    id: str
    name: str
    arguments: Any

    @classmethod
    def of(cls, piece: Mapping[str, Any]) -> _CallFragment:
        function = wire.member(piece, "function") or piece
        return cls(
            wire.index_of(piece.get("index")),
            wire.text_of(piece.get("id")),
            wire.text_of(function.get("name")),
            _arguments(function),
        )

    @property
    def says_nothing(self) -> bool:
        """Whether it does not tell which call it belongs to."""
        return self.index is None and not self.id and not self.name


class _Call:
    __slots__ = ("id", "index", "name", "pieces", "whole")

    def __init__(self) -> None:
        self.id = ""
        self.index: int | None = None
        self.name = ""
        self.pieces: list[str] = []
        self.whole: Any = None

    def is_other(self, piece: _CallFragment) -> bool:
        """Whether a piece cannot belong here."""
        if piece.id and self.id and piece.id != self.id:
            return bool(piece.name)
        if self._goes_on_in(piece):
            return False
        if not piece.name or not self.name:
            return False
        if piece.id and piece.id == self.id:  # of one answer, told apart by the rest
            differs = piece.index is not None and self.index is not None and piece.index != self.index
            return (differs or piece.name != self.name) and self.is_complete()
        return piece.name != self.name or self.is_complete()

    def named(self, piece: _CallFragment) -> str:
        """The name, whose pieces may come one by one before any arguments, or all so far again."""
        if not self.name or not self._goes_on_in(piece):
            return self.name or piece.name
        return piece.name if piece.name.startswith(self.name) else self.name + piece.name

    def _goes_on_in(self, piece: _CallFragment) -> bool:
        """Whether a name goes on: a server that gives ids gives another call one of its own."""
        is_mine = piece.id == self.id if piece.id else piece.index is not None and piece.index == self.index
        return bool(self.id and piece.name) and is_mine and not self.pieces and self.whole is None

    def extend(self, arguments: Any) -> None:
        """Take more of the arguments: a piece of their text, or all of them."""
        if not isinstance(arguments, str):
            self.whole = self.whole if arguments is None else wire.scrub_all(arguments)
        elif self.repeats(arguments) or (arguments.strip() in _EMPTY and self.is_complete()):
            return  # some servers end with the whole call once more
        else:
            if len(self.pieces) <= _FEW and "".join(self.pieces).strip() in _EMPTY and arguments.strip():
                self.pieces.clear()  # some servers begin with an empty object
            self.pieces.append(arguments)

    def arguments(self) -> Any:
        text = "".join(self.pieces)
        if not text.strip() and self.whole is not None:
            return self.whole
        said = [piece for piece in self.pieces if piece.strip()]
        # Some servers send all arguments so far with every piece.
        grows = len(said) > 1 and said[0].lstrip().startswith("{") and not self.is_complete()
        return said[-1] if grows and all(b.startswith(a) for a, b in pairwise(said)) else text

    def says(self, arguments: Any) -> bool:
        """Whether `arguments` are whole, and those that came before."""
        if isinstance(arguments, str):
            return self.repeats(arguments)
        if not isinstance(arguments, dict) or self.pieces:
            return False
        return bool(self.whole == wire.scrub_all(arguments))

    def repeats(self, piece: str) -> bool:
        """Whether a piece is the whole arguments again, after which nothing could follow."""
        if not (piece.strip().startswith("{") and piece.strip().endswith("}") and self.is_complete()):
            return False
        try:
            said = wire.decode("".join(self.pieces).encode("utf-8", "replace"))
            return bool(said == wire.decode(piece.encode("utf-8", "replace")))
        except ValueError:
            return False

    def is_complete(self) -> bool:
        """Whether nothing of the arguments is missing."""
        text = "".join(self.pieces).strip()
        if not text:
            return self.whole is not None
        if not text.endswith("}"):
            return False
        try:
            wire.decode(text.encode("utf-8", "replace"))
        except ValueError:
            return False
        return True


# What servers write where there is no reason yet.
_NONE = frozenset({"", "null", "none", "nil", "undefined", "finish_reason_unspecified"})
# A limit on tokens: OpenAI and Ollama, Anthropic, Gemini, Mistral, Cohere, Bedrock.
_CUT = frozenset({"length", "max_tokens", "max_output_tokens", "max_length", "model_length", "token_limit"})
_REFUSED = frozenset({"refusal", "refused"})
_FILTERED = frozenset(
    {
        "content_filter",
        "content_filtered",
        "content-filter",
        "content_policy_violation",
        "responsibleaipolicyviolation",
        "safety",
        "image_safety",
        "recitation",
        "blocklist",
        "prohibited_content",
        "spii",
        "error_toxic",
        "guardrail_intervened",
        "sensitive",
        "model_armor",
    }
)
# Reasons that no model has, only a server that failed: DeepSeek, Zhipu, SGLang, Ollama, Gemini, Bedrock.
_FAILED = frozenset(
    {"error", "insufficient_system_resource", "network_error", "abort", "aborted", "failed", "server_error"}
    | {"internal_error", "internal_server_error", "timeout", "overloaded", "malformed_function_call"}
    | {"unexpected_tool_call", "too_many_tool_calls", "malformed_model_output", "malformed_tool_use"}
    | {"cancelled", "canceled"}
)

# A reason that is longer is a server's nonsense, and not kept.
_LONGEST_KEPT = 100


def reason_of(value: Any) -> str:
    """The reason that a server gives, or nothing."""
    return value if isinstance(value, str) and value.strip().lower() not in _NONE else ""


def was_cut(reason: str | None) -> bool:
    """Whether the answer was cut at a limit on tokens."""
    return not _CUT.isdisjoint(_words(reason))


def was_refused(reason: str | None) -> bool:
    """Whether the model declined to answer."""
    return not _REFUSED.isdisjoint(_words(reason))


def was_filtered(reason: str | None) -> bool:
    """Whether a filter took the answer, or refused the prompt; also as an error's kind."""
    return not _FILTERED.isdisjoint(_words(reason))


def has_failed(reason: str | None) -> bool:
    """Whether it was the server that failed."""
    return not _FAILED.isdisjoint(_words(reason))


def _words(reason: str | None) -> frozenset[str]:
    """Gemini writes two of them: `content_filter: RECITATION`."""
    said = reason or ""
    return _known_words(said) if len(said) <= _LONGEST_KEPT else _read_words(said)


def _read_words(reason: str) -> frozenset[str]:
    return frozenset(word.strip() for word in reason.lower().split(":"))


# Servers have few of them, and each is asked about several times an answer.
_known_words = lru_cache(maxsize=256)(_read_words)

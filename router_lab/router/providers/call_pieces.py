"""Tool calls out of answers and streams: told apart by what servers give, arguments in any form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any

from router_lab.records import ToolCall
from router_lab.router.providers import wire

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

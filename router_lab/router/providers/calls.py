"""Tool calls out of answers and streams: told apart by what servers give, arguments in any form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from router_lab.records import ToolCall
from router_lab.router.providers import wire


def read_calls(
    calls: Iterable[Mapping[str, Any]], text: str, seen: int = 0, *, was_cut: bool = False
) -> tuple[ToolCall, ...]:
    """Calls with a `function` in them, or names and arguments of their own. Raises `ResponseParseError`.

    A tool's answer has to refer to its call, so a call without an id gets one. `seen` calls came before.
    """
    read: list[ToolCall] = []
    for number, call in enumerate(calls, seen + 1):
        function = wire.member(call, "function") or call
        name = wire.scrub(wire.text_of(function.get("name")))
        arguments = function.get("arguments", function.get("input", function.get("parameters")))
        call_id = wire.scrub(wire.text_of(call.get("id"))) or f"call_{number}"
        read.append(ToolCall(call_id, name, wire.arguments(arguments, name, text, was_cut=was_cut)))
    return tuple(read)


def message_calls(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The calls of a message of the chat completions format, the older single one included."""
    given = message.get("tool_calls")
    if isinstance(given, dict):  # the one call itself, or calls by their numbers
        is_call = bool(wire.member(given, "function") or wire.text_of(given.get("name")))
        given = [given] if is_call else list(given.values())
    calls = wire.objects(given)
    legacy = wire.member(message, "function_call")
    return calls or ([{"function": legacy}] if wire.text_of(legacy.get("name")) else [])


class CallPieces:
    """Puts streamed tool calls together.

    Pieces belong to the call of their id, or else of their index, or else to the last one. A call of
    another id and a name of its own begins anew, even under an index that was used before; so does one
    with a name, without an id, where the arguments before it are complete. A whole call that an earlier
    chunk has sent already is that call again, unless its id or index says otherwise; two equal calls of one
    chunk are two.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._of_chunk: list[_Call] = []
        self._by_index: dict[int, _Call] = {}

    def add(self, position: int, piece: Mapping[str, Any]) -> None:
        """Take one piece; `position` is its place in its chunk, which stands in for a missing index."""
        function = wire.member(piece, "function") or piece
        call_id, name = wire.text_of(piece.get("id")), wire.text_of(function.get("name"))
        index = wire.count(piece.get("index"))
        arguments = function.get("arguments", function.get("input", function.get("parameters")))
        if not position:
            self._of_chunk = []
        call = self._sent_before(index, call_id, name, arguments)
        if call is not None:
            call.id = call.id or call_id
            self._of_chunk.append(call)
            return
        call = self._call(index, position, call_id, name)
        self._of_chunk.append(call)
        call.id = call.id or call_id
        call.name = call.name or name
        call.index = index if call.index is None else call.index
        if isinstance(arguments, str) and call.repeats(arguments):
            return  # some servers end with the whole call once more
        if isinstance(arguments, str):
            call.pieces.append(arguments)
        elif arguments is not None:
            call.whole = wire.scrub_all(arguments)

    def calls(self) -> list[dict[str, Any]]:
        """The calls in the order in which they began."""
        return [
            {"id": call.id, "function": {"name": call.name, "arguments": call.arguments()}}
            for call in self._calls
        ]

    def _sent_before(self, index: int | None, call_id: str, name: str, arguments: Any) -> _Call | None:
        for call in self._calls if name else ():
            if (
                call.name == name
                and (index is None or call.index is None or call.index == index)
                and not (call_id and call.id and call_id != call.id)
                and not any(call is one for one in self._of_chunk)
                and call.says(arguments)
            ):
                return call
        return None

    def _call(self, index: int | None, position: int, call_id: str, name: str) -> _Call:
        known = next((call for call in self._calls if call_id and call.id == call_id), None)
        if known is None and index is not None:
            known = self._by_index.get(index)
        elif known is None and not call_id and not name and self._calls:
            # The pieces of one chunk continue its calls in their order.
            known = self._calls[min(position, len(self._calls) - 1)] if position else self._calls[-1]
        if known is None or known.is_other(call_id, name):
            known = _Call()
            self._calls.append(known)
        if index is not None:
            self._by_index[index] = known
        return known


class _Call:
    __slots__ = ("id", "index", "name", "pieces", "whole")

    def __init__(self) -> None:
        self.id = ""
        self.index: int | None = None
        self.name = ""
        self.pieces: list[str] = []
        self.whole: Any = None

    def is_other(self, call_id: str, name: str) -> bool:
        """Whether a piece with this id and name cannot belong here."""
        if call_id and self.id and call_id != self.id:
            return bool(name)
        if not name or not self.name or (call_id and call_id == self.id):
            return False
        return name != self.name or self._is_complete()

    def arguments(self) -> Any:
        text = "".join(self.pieces)
        return text if text.strip() or self.whole is None else self.whole

    def says(self, arguments: Any) -> bool:
        """Whether `arguments` are whole, and those that came before."""
        if isinstance(arguments, str):
            return self.repeats(arguments)
        if not isinstance(arguments, dict) or self.pieces:
            return False
        return bool(self.whole == wire.scrub_all(arguments))

    def repeats(self, piece: str) -> bool:
        """Whether a piece is the whole arguments again, after which nothing could follow."""
        if not (piece.strip().startswith("{") and piece.strip().endswith("}") and self._is_complete()):
            return False
        try:
            said = wire.decode("".join(self.pieces).encode("utf-8", "replace"))
            return bool(said == wire.decode(piece.encode("utf-8", "replace")))
        except ValueError:
            return False

    def _is_complete(self) -> bool:
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

"""Sending a planned exchange, with or without a fault, over whatever carries it.

On a real port the server offers `reset` and `close` for the connection (`server.py`), so that faults are
what they are in life: a TCP reset, a connection closed early. In process there is no connection;
there the client gets the exception that httpx would have raised for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from typing import Any

from router_lab.sim.exchange import Exchange, Header
from router_lab.sim.faults import Fault

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

EXTENSION = "router_lab.sim"

_GARBAGE = b"<html><head><title>Web proxy</title></head><body>Welcome to the guest network.</body></html>"
_SHORTEST_WAIT_S = 0.005


def faulty(exchange: Exchange, fault: Fault) -> Exchange:
    """The exchange as it will be seen: body and usage changed by the fault, the connection's fate not yet."""
    if fault.kind == "garbage":
        return replace(exchange, pieces=(_GARBAGE,))
    if fault.kind == "empty":
        return replace(exchange, pieces=())
    if not exchange.streamed or fault.kind not in ("cut", "stream_error", "reset_after_headers"):
        return exchange
    sent = 0 if fault.kind == "reset_after_headers" else len(exchange.pieces) // 2
    tokens = exchange.usage.tokens_out * sent // max(1, len(exchange.pieces))
    return replace(exchange, usage=replace(exchange.usage, tokens_out=tokens))


async def play(exchange: Exchange, fault: Fault, scope: Scope, receive: Receive, send: Send) -> bool:
    """Send the exchange as the fault has it. True if the response went out whole."""
    await _pause(fault.delay_s + exchange.first_wait_s)
    if fault.kind == "hang":
        await _disconnected(receive)
        return False
    if fault.kind == "reset":
        return await _reset(scope, receive)
    await _send_head(exchange, send)
    if fault.kind == "reset_after_headers":
        return await _reset(scope, receive)
    if fault.kind == "cut" or (fault.kind == "stream_error" and not exchange.streamed):
        await _send_half(exchange, send)
        return await _close(scope, receive)
    if fault.kind == "stream_error":
        await _send_half(exchange, send)
        await send({"type": "http.response.body", "body": exchange.breaking})
        return False
    if exchange.streamed:
        await _send_pieces(exchange.pieces, exchange.piece_wait_s, send)
        await send({"type": "http.response.body", "body": b""})
    else:
        await send({"type": "http.response.body", "body": exchange.body})
    return True


async def _send_head(exchange: Exchange, send: Send) -> None:
    length: tuple[Header, ...] = (
        () if exchange.streamed else ((b"content-length", b"%d" % len(exchange.body)),)
    )
    await send(
        {"type": "http.response.start", "status": exchange.status, "headers": [*exchange.headers, *length]}
    )


async def _send_half(exchange: Exchange, send: Send) -> None:
    if exchange.streamed:
        await _send_pieces(exchange.pieces[: len(exchange.pieces) // 2], exchange.piece_wait_s, send)
    else:
        half = exchange.body[: len(exchange.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


async def _send_pieces(pieces: tuple[bytes, ...], wait_s: float, send: Send) -> None:
    owed = 0.0
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        owed += wait_s
        if owed >= _SHORTEST_WAIT_S:
            await _pause(owed)
            owed = 0.0


async def _pause(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _reset(scope: Scope, receive: Receive) -> bool:
    connection = scope.get("extensions", {}).get(EXTENSION)
    if connection is None:
        import httpx

        raise httpx.ReadError("connection reset by peer (simulated)")
    connection["reset"]()
    await _disconnected(receive)
    return False


async def _close(scope: Scope, receive: Receive) -> bool:
    connection = scope.get("extensions", {}).get(EXTENSION)
    if connection is None:
        import httpx

        raise httpx.RemoteProtocolError(
            "peer closed connection without sending complete message body (simulated)"
        )
    connection["close"]()
    await _disconnected(receive)
    return False

"""A server that reads whole requests and answers with given bytes."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from router_lab.router.providers.wire import WireRequest

KEY = "sk-very-secret-key"
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
LONG = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


class Server:
    """Reads whole requests and hands each to a script; counts what arrived."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.arrived = asyncio.Event()
        self.url = ""

    async def read(self, reader: Reader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            ),
            0,
        )
        self.bodies.append(await reader.readexactly(length))
        self.arrived.set()


Script = Callable[[Server, Reader, Writer], Awaitable[None]]


@asynccontextmanager
async def serving(script: Script, **options: object) -> AsyncIterator[Server]:
    server = Server()
    running: set[asyncio.Task[None]] = set()

    async def handle(reader: Reader, writer: Writer) -> None:
        server.connections += 1
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await script(server, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            running.discard(task)
            writer.close()

    listener = await asyncio.start_server(handle, "127.0.0.1", 0, **options)  # type: ignore[arg-type]
    port = listener.sockets[0].getsockname()[1]
    server.url = f"http://127.0.0.1:{port}/v1/messages"
    try:
        yield server
    finally:
        listener.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def answering(*pieces: bytes, stay: bool = False) -> Script:
    """Answer each request with `pieces`, then hang up or keep the connection."""

    async def script(server: Server, reader: Reader, writer: Writer) -> None:
        while True:
            await server.read(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if not stay:
                return

    return script


def reset(writer: Writer) -> None:
    """Close with RST instead of FIN."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def request(url: str, body: bytes = b'{"q":1}') -> WireRequest:
    return WireRequest(url, {"content-type": "application/json", "x-api-key": KEY}, body)

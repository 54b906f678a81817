"""Servers for benchmarks, in a process of their own: one answer in the Anthropic format to everything.

python tests/bench/instant_server.py DELAY_S...     prints a port for each delay
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

PROMPT = ("The quarterly report lists orders, returns and complaints by region. " * 16)[:1000]
ANSWER = json.dumps(
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "Orders rose in every region but the north."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 212, "output_tokens": 11},
    }
).encode()
RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
    len(ANSWER),
    ANSWER,
)


class Answering(asyncio.Protocol):
    """Answers each request `delay_s` seconds after its last byte is here."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.response = RESPONSE
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            if self.delay_s:
                asyncio.get_running_loop().call_later(self.delay_s, self.transport.write, self.response)
            else:
                self.transport.write(self.response)


async def serve(delays_s: list[float]) -> None:
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda delay_s=delay_s: Answering(delay_s), "127.0.0.1", 0)
        for delay_s in delays_s
    ]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


@contextmanager
def running(*delays_s: float) -> Iterator[list[str]]:
    """The URLs of servers with these delays, while the block runs."""
    command = [sys.executable, __file__, *map(str, delays_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield [f"http://127.0.0.1:{port}" for port in process.stdout.readline().split()]
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(serve([float(delay_s) for delay_s in sys.argv[1:]]))

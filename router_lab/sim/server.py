"""The application on a real port: in a background thread for tests, in the foreground for the CLI."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from types import FrameType
from typing import TYPE_CHECKING, Any

from router_lab.extras import imported
from router_lab.interrupts import run_until_done
from router_lab.sim.application import SimApp
from router_lab.sim.playing import EXTENSION

if TYPE_CHECKING:
    import uvicorn

_KEEP_ALIVE_S = 600
_BACKLOG = 2048
_START_S = 30.0
# How long answers that are being sent may take when the server stops.
_LAST_ANSWERS_S = 0.1


@dataclass(frozen=True, slots=True)
class SimServer:
    """A running server: `url` without a trailing slash, and the application behind it."""

    url: str
    app: SimApp


@contextmanager
def serve(app: SimApp, port: int = 0, *, host: str = "127.0.0.1") -> Iterator[SimServer]:
    """Serve `app` from a background thread until the block ends; port 0 takes a free one.

    Raises `OSError` when the port is taken. Requests still hanging when the block ends are dropped.
    """
    app.warm_up()
    with _listen(host, port) as listener:
        ready = Event()
        server = _server(app, ready.set)
        serving = server.serve(sockets=[listener])
        thread = Thread(target=run_until_done, args=(serving,), name="router-lab-sim")
        thread.start()
        try:
            if not ready.wait(_START_S):
                raise TimeoutError(f"the simulated server did not start within {_START_S:g} s")
            yield SimServer(_url(host, listener), app)
        finally:
            server.stop()
            thread.join()


def run(
    app: SimApp, port: int, *, host: str = "127.0.0.1", on_ready: Callable[[str], None] | None = None
) -> None:
    """Serve `app` until interrupted; `on_ready` is called with the URL once it accepts connections.

    Raises `OSError` when the port is taken.
    """
    app.warm_up()
    with _listen(host, port) as listener:
        url = _url(host, listener)
        server = _server(app, lambda: on_ready(url) if on_ready else None)
        run_until_done(server.serve(sockets=[listener]))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only of a socket that says TCP does asyncio turn Nagle's delay off: 40 ms for every answer in two parts.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError):  # a port beyond 65535 overflows
        listener.close()
        raise
    return listener


def _url(host: str, listener: socket.socket) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"


def _protocol() -> Any:
    with imported():
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class Protocol(HttpToolsProtocol):
        """HTTP whose application can reset or close its connection."""

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self.scope["extensions"] = {EXTENSION: {"reset": self._reset, "close": self.transport.close}}

        def _reset(self) -> None:
            connection = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()

    return Protocol


def _server(app: SimApp, on_ready: Callable[[], None]) -> Any:
    with imported():
        import uvicorn

    class Server(uvicorn.Server):
        """A server that says when it is ready and stops at once: uvicorn's own looks every tenth of a second
        whether it should, and then waits for another one.
        """

        def __init__(self, config: uvicorn.Config) -> None:
            super().__init__(config)
            self._stopping = asyncio.Event()

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            self._loop = asyncio.get_running_loop()
            await super().startup(sockets)
            on_ready()

        def stop(self) -> None:
            self.should_exit = True
            if self.started:
                self._loop.call_soon_threadsafe(self._stopping.set)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            super().handle_exit(sig, frame)
            self.stop()

        async def main_loop(self) -> None:
            await self._stopping.wait()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            for server in self.servers:
                server.close()
            for listener in sockets or []:
                listener.close()
            for connection in list(self.server_state.connections):
                connection.shutdown()
            if answering := set(self.server_state.tasks):
                await asyncio.wait(answering, timeout=_LAST_ANSWERS_S)
            for task in self.server_state.tasks:
                task.cancel()

    return Server(
        uvicorn.Config(
            app,
            http=_protocol(),
            loop="asyncio",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="critical",
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=0,
        )
    )

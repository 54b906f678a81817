"""What belongs to one event loop: sockets, shadows and open streams cannot move between loops."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

from router_lab.router.shadow import Shadows
from router_lab.router.transport import Transport


@dataclass(frozen=True, slots=True)
class Lane:
    """The parts of a router that live on one event loop."""

    transport: Transport
    shadows: Shadows
    streams: WeakSet[AsyncGenerator[Any, None]] = field(default_factory=WeakSet)

    async def finish(self, *, cancel: bool) -> None:
        """Settle abandoned streams and all shadows (waited for, or cancelled), then close the sockets."""
        try:
            for stream in list(self.streams):
                await stream.aclose()
            await (self.shadows.cancel() if cancel else self.shadows.drain())
        finally:
            await self.transport.close()

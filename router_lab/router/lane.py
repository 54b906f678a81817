"""What belongs to one event loop: sockets, shadows and open streams cannot move between loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

from router_lab.router.shadow import Shadows
from router_lab.router.transport import Transport

# How long a script that ends without `close_sync()` waits for its shadows.
EXIT_GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class Lane:
    """The parts of a router that live on one event loop."""

    transport: Transport
    shadows: Shadows
    streams: WeakSet[AsyncGenerator[Any, None]] = field(default_factory=WeakSet)

    async def finish(self, within_s: float | None) -> None:
        """Settle abandoned streams and all shadows, then close the sockets.

        Shadows that are not done `within_s` seconds are cancelled and recorded; None waits for all.
        """
        try:
            for stream in list(self.streams):
                await stream.aclose()
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self.shadows.drain()
            await self.shadows.cancel()
        finally:
            await self.transport.close()

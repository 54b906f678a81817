"""What of a replay is done by one of several at a time. A ledger that cannot tell is trusted."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any


def replaying(ledger: Any) -> AbstractContextManager[Any]:
    """What is begun within the block nobody else begins: its claims, None where the ledger keeps none."""
    begin = getattr(getattr(ledger, "accounts", None), "replaying", None)
    return nullcontext() if begin is None else begin()


def scoring(ledger: Any) -> AbstractContextManager[Any]:
    """Nobody else scores pairs within the block: both would score what neither has. Blocks; for a thread."""
    claimed = getattr(getattr(ledger, "accounts", None), "claimed", None)
    if claimed is None or not getattr(ledger, "writable", True):
        return nullcontext()
    turn: AbstractContextManager[Any] = claimed("scores", wait=True)
    return turn

"""The shadows of a replay that could not work, from the pairs it left: how many, and what to do."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from router_lab.errors import LedgerError
from router_lab.replay.result import MisconfiguredShadow

_COLUMNS = ["task_type", "shadow_alias", "status", "details"]

_log = logging.getLogger("router_lab.replay")


async def misconfigured_shadows(ledger: Any, since: datetime) -> tuple[MisconfiguredShadow, ...]:
    """One record per task type and shadow; none where the ledger has no pairs to read."""
    if not hasattr(ledger, "comparisons"):
        return ()
    try:
        return await asyncio.to_thread(_found, ledger, since)
    except LedgerError as error:
        _log.warning("whether shadows could work is not known: %s", error)
        return ()


def _found(ledger: Any, since: datetime) -> tuple[MisconfiguredShadow, ...]:
    frame = ledger.comparisons(since=since, columns=_COLUMNS)
    wrong = frame[frame["status"] == "shadow_misconfigured"]
    return tuple(
        MisconfiguredShadow(task_type, alias, len(rows), _message(rows["details"].iloc[-1]))
        for (task_type, alias), rows in wrong.groupby(["task_type", "shadow_alias"], sort=True)
    )


def _message(details: Any) -> str:
    """What its last failure said; a ledger without content keeps the status alone."""
    if isinstance(details, str):
        details = json.loads(details)
    if not isinstance(details, Mapping):
        return ""
    said = details.get("shadow_error")
    if isinstance(said, str) and not said.startswith("sha256:"):
        return said
    status = details.get("shadow_http_status")
    return "it cannot work as it is set up" if status is None else f"HTTP {status:.0f}"

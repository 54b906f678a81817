"""New rows of a table as they come, whichever process wrote them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from router_lab.arguments import amount, choice, number
from router_lab.ledger.schema import TABLES

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.ledger.core import Core

# A row appears when its call has ended, under the time when it began.
_LONGEST_CALL = timedelta(hours=1)
_LONGEST_POLL_S = 3600.0


def follow(core: Core, table: str, poll_s: float, timeout_s: float | None) -> Iterator[pd.DataFrame]:
    """See `Ledger.follow`. Raises `ConfigError`, `LedgerError`."""
    choice("table", table, TABLES)
    poll_s = min(amount("poll_s", poll_s), _LONGEST_POLL_S)
    if timeout_s is not None:
        timeout_s = number("timeout_s", timeout_s, "a number of seconds, or None for no end")
    return _follow(core, table, poll_s, timeout_s)


def _follow(core: Core, table: str, poll_s: float, timeout_s: float | None) -> Iterator[pd.DataFrame]:
    key = TABLES[table].names[0]
    seen = set(_recent(core, table)[key])
    quiet_since = time.monotonic()
    while timeout_s is None or time.monotonic() - quiet_since < timeout_s:
        rows = _recent(core, table)
        new = rows[~rows[key].isin(seen)]
        seen = set(rows[key])
        if len(new):
            yield new.reset_index(drop=True)
            quiet_since = time.monotonic()
        else:
            time.sleep(poll_s)


def _recent(core: Core, table: str) -> pd.DataFrame:
    since = core.now() - _LONGEST_CALL
    found: pd.DataFrame = core.reader.arrow(table, since=since).to_pandas()
    return found

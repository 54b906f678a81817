"""What shadows are doing right now: those waiting and running, today's spending, the breakers.

All of it is read from the ledger, so it is right for routers in other processes too; breakers are
exact for a router of this process, and as the ledger's alerts tell them otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import ibis

from router_lab.counted import counted
from router_lab.panels.plain_rows import plain_rows
from router_lab.shown.escape import Html, show, tag
from router_lab.shown.style import note, table, usd

if TYPE_CHECKING:
    from router_lab.ledger import Ledger
    from router_lab.router import Router

_TOLD_FOR = timedelta(days=1)
_MOST_ROWS = 12


@dataclass(frozen=True, slots=True)
class TaskSpending:
    """Shadows of one task type today, UTC, and their cost in USD: as is likely, and at most."""

    task_type: str
    shadows: int
    usd: float
    at_most_usd: float


@dataclass(frozen=True, slots=True)
class BreakerLine:
    """One provider's breaker, in words."""

    provider: str
    state: str
    since: str


@dataclass(frozen=True, slots=True)
class LiveShadows:
    """One moment. `open_pairs` wait for their shadow or run it; `on_the_wire` counts primaries too.

    `places` is how many shadows may run and wait at once, where the router is at hand.
    """

    open_pairs: int
    on_the_wire: int
    places: tuple[int, int] | None
    spending: tuple[TaskSpending, ...]
    breakers: tuple[BreakerLine, ...]


def read_live(ledger: Ledger, tables: Any, router: Router | None) -> LiveShadows:
    """The moment now. Raises `LedgerError`."""
    status = ledger.status()
    limits = None if router is None else router.settings.shadow
    return LiveShadows(
        open_pairs=status.open_pairs,
        on_the_wire=status.in_flight,
        places=None if limits is None else (limits.max_concurrent, limits.max_queued),
        spending=_spending(tables.attempts),
        breakers=_told_breakers(ledger) if router is None else _own_breakers(router),
    )


def live_html(live: LiveShadows) -> Html:
    """The moment as a line and two small tables."""
    said = (
        f"Now: {counted(live.open_pairs, 'pairs')} waiting for or running a shadow, "
        f"{counted(live.on_the_wire, 'calls')} on the wire"
    )
    if live.places is not None:
        said += (
            f"; this router runs {counted(live.places[0], 'shadows')} at once and lets "
            f"{live.places[1]:,} wait"
        )
    rows: list[list[object]] = [
        [one.task_type, f"{one.shadows:,}", usd(one.usd), usd(one.at_most_usd)] for one in live.spending
    ]
    headings = ["Task type", "Shadows today (UTC)", "Cost, likely", "At most"]
    spent = table(headings, rows[:_MOST_ROWS], numbers=frozenset({1, 2, 3}))
    parts = [note(said), _headed("Shadows today, dearest first", spent if rows else show("none yet"))]
    if len(rows) > _MOST_ROWS:
        parts.append(show(f"… {len(rows) - _MOST_ROWS:,} more task types"))
    breakers: list[list[object]] = [[one.provider, one.state, one.since] for one in live.breakers]
    made = table(["Provider", "Breaker", "Since"], breakers) if breakers else show("all closed")
    return tag("div", *parts, _headed("Breakers now", made))


def _spending(attempts: Any) -> tuple[TaskSpending, ...]:
    from router_lab.analysis.ledger_tables import worst_usd

    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    today = attempts.filter(attempts.started_at >= ibis.timestamp(midnight), attempts.is_shadow)
    sums = today.group_by("task_type").aggregate(
        shadows=today.count(),
        usd=today.cost_usd.sum(),
        at_most=worst_usd(today).sum(),
    )
    rows = plain_rows(sums.order_by(sums.usd.desc(), "task_type"))
    return tuple(TaskSpending(row["task_type"], row["shadows"], row["usd"], row["at_most"]) for row in rows)


def _own_breakers(router: Router) -> tuple[BreakerLine, ...]:
    return tuple(
        BreakerLine(
            provider,
            f"{breaker.state}, {breaker.failures:,} recent failures",
            "" if breaker.state == "closed" else f"next try {breaker.retry_at:%H:%M:%S} UTC",
        )
        for provider, breaker in router.breakers.items()
    )


def _told_breakers(ledger: Ledger) -> tuple[BreakerLine, ...]:
    alerts = ledger.alerts(since=datetime.now(UTC) - _TOLD_FOR)
    told = alerts[alerts["kind"].isin(("breaker_opened", "breaker_closed"))]
    return tuple(
        BreakerLine(
            alert["subject"], alert["kind"].removeprefix("breaker_"), f"{alert['at']:%Y-%m-%d %H:%M:%S} UTC"
        )
        for alert in told.drop_duplicates("subject", keep="last").to_dict("records")
    )


def _headed(heading: str, body: Html) -> Html:
    return tag("div", tag("div", show(heading), style="margin:8px 0 4px 0;font-weight:600"), body)

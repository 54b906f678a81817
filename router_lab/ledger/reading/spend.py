"""What was spent, by scope and period: the live counters, or added up anew for any timezone."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd

from router_lab.arguments import text, wrong
from router_lab.ledger.journal.budget_counters import line_totals
from router_lab.ledger.reading.reader import Reader
from router_lab.ledger.values import usd

_SOME_ZONE = "the IANA name of a timezone, such as 'Europe/Paris'"
_COLUMNS = ["scope", "period", "limit_usd", "spent_usd", "likely_usd", "held_usd", "left_usd"]


def spend(reader: Reader, timezone: str | None) -> pd.DataFrame:
    """See `Ledger.spend`. Raises `ConfigError` for an unknown timezone."""
    if timezone is None:
        return _counters(reader)
    try:
        zone = ZoneInfo(text("timezone", timezone, _SOME_ZONE))
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a part of a name, such as `Europe`, is a folder
        raise wrong("timezone", timezone, _SOME_ZONE) from None
    return _recounted(reader, zone)


def _counters(reader: Reader) -> pd.DataFrame:
    if not reader.has_journal:
        return pd.DataFrame(columns=_COLUMNS)
    excess = _excess(reader)  # read first: what is counted meanwhile counts in full in both columns
    with reader.snapshot() as journal:
        rows = journal.execute(
            "SELECT scope, period, limit_nano, spent, held FROM budgets ORDER BY period, scope"
        ).fetchall()
    return pd.DataFrame(
        [
            (
                scope,
                period,
                float("nan") if limit is None else usd(limit),
                usd(spent),
                usd(max(spent - excess.get((scope, period), 0), 0)),
                usd(held),
                float("nan") if limit is None else usd(limit - spent - held),
            )
            for scope, period, limit, spent, held in rows
        ],
        columns=_COLUMNS,
    )


def _excess(reader: Reader) -> dict[tuple[str, str], int]:
    """By how many nano-dollars each budget line counts more than is likely, for bills that are unknown."""
    unknown = reader.unknown_bills(["cost_usd", "worst_usd", "budget_lines"])
    place = unknown.column_names.index("worst_usd")
    likely = line_totals(unknown.set_column(place, "worst_usd", unknown["cost_usd"]))
    return {key: worst - likely.get(key, 0) for key, worst in line_totals(unknown).items()}


def _recounted(reader: Reader, zone: ZoneInfo) -> pd.DataFrame:
    """Every budget scope that ever counted something, with its rows' cost by the zone's own calendar."""
    attempts = reader.arrow(
        "attempts", columns=["started_at", "cost_usd", "worst_usd", "budget_lines"]
    ).to_pandas()
    attempts["worst_usd"] = attempts["worst_usd"].fillna(attempts["cost_usd"])  # as the counters count
    local = attempts["started_at"].dt.tz_convert(zone)
    attempts["day"] = local.dt.strftime("%Y-%m-%d")
    attempts["month"] = local.dt.strftime("%Y-%m")
    lines = attempts["budget_lines"].map(_scopes)
    each = attempts.assign(line=lines).explode("line").dropna(subset=["line"])
    each["scope"] = each["line"].str[0]
    each["period"] = each["day"].where(each["line"].str[1] == "day", each["month"])
    sums = each.groupby(["period", "scope"], as_index=False, sort=True)[["cost_usd", "worst_usd"]].sum()
    return pd.DataFrame(
        {
            "scope": sums["scope"],
            "period": sums["period"],
            "limit_usd": float("nan"),
            "spent_usd": sums["worst_usd"].astype(float),
            "likely_usd": sums["cost_usd"].astype(float),
            "held_usd": 0.0,
            "left_usd": float("nan"),
        }
    )


def _scopes(text: Any) -> list[tuple[str, str]]:
    import json

    if not isinstance(text, str):
        return []
    return [(scope, "day" if len(period) > len("2026-11") else "month") for scope, period in json.loads(text)]

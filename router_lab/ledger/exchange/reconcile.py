"""The ledger against the provider's own usage or cost export: by day and model, where they differ and why.

An attempt is open in what nobody has seen of it: its cost and tokens while its bill is unknown, its tokens
when only its cost was reconciled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from router_lab.errors import ConfigError
from router_lab.ledger.exchange.provider_export import ALL_MODELS, ProviderExport, model_name, read_export
from router_lab.ledger.exchange.settlements import RECONCILED, Bill, settle_bills
from router_lab.ledger.reading.reader import Reader
from router_lab.nearest import nearest_hint

if TYPE_CHECKING:
    from router_lab.ledger.core import Core

_KEY = ["date", "model"]
_AGREES, _EXPLAINED = "agrees", "unknown rows would explain it"
# A difference this small, relative, is rounding in somebody's export.
_TOLERANCE = 1e-6
# How much longer a prompt may be than it was estimated to be.
_ESTIMATE_SLACK = 2


def reconcile(
    core: Core, provider: str, path: Path, columns: Mapping[str, str] | None, *, settle: bool
) -> pd.DataFrame:
    """One row per UTC day and model; see `Ledger.reconcile`. Raises `ConfigError` for a bad export."""
    export = read_export(path, provider, columns)
    attempts = _from_ledger(core.reader, provider, export.first, export.last)
    if not export.is_grouped:
        attempts["model"] = ALL_MODELS
    found = _compared(attempts, export)
    found["settled_rows"] = 0
    if not settle or not core.writable or not export.has_amounts:
        return found
    today = core.now().date().isoformat()
    for place, row in found.iterrows():
        if row["date"] >= today:
            continue
        of_row = attempts[(attempts["date"] == row["date"]) & (attempts["model"] == row["model"])]
        bills = _bills(row, of_row[of_row["is_open"]], export.measures)
        if bills:
            dates = frozenset([str(row["date"])])
            found.loc[place, "settled_rows"] = core.rewrite(
                lambda store, bills=bills, dates=dates: settle_bills(store, bills, dates)  # type: ignore[misc]
            )
    return found


def _compared(attempts: pd.DataFrame, export: ProviderExport) -> pd.DataFrame:
    both = _billed(attempts, export.measures).merge(
        _theirs(export), on=_KEY, how="outer", suffixes=("_ledger", "_provider")
    )
    # One side alone has a day's model: the other counted nothing of it.
    both = both.fillna(0).merge(_unknown(attempts), on=_KEY, how="left")
    for name in export.measures:
        both[f"{name}_difference"] = both[f"{name}_provider"] - both[f"{name}_ledger"]
    ids = both.pop("unknown_attempt_ids")
    both = both.fillna(0).astype({"unknown_rows": int})
    both["finding"] = [_finding(row, export.measures) for _, row in both.iterrows()]
    both["unknown_attempt_ids"] = [found if isinstance(found, list) else [] for found in ids]
    return pd.DataFrame(both.sort_values(_KEY, ignore_index=True))


def _theirs(export: ProviderExport) -> pd.DataFrame:
    rows = [(day.isoformat(), model, *amounts) for (day, model), amounts in export.totals.items()]
    return pd.DataFrame(rows, columns=[*_KEY, *export.measures])


def _from_ledger(reader: Reader, provider: str, first: date, last: date) -> pd.DataFrame:
    """The attempts at `provider` on these days that it billed or may have billed."""
    names = ["attempt_id", "started_at", "provider", "model_actual", "model_requested", "billing"]
    names += [
        "tokens_in",
        "tokens_out",
        "cost_source",
        "cost_usd",
        "worst_usd",
        "estimated_tokens_in",
        "output_reserve",
    ]
    since = datetime.combine(first, time(), UTC)
    until = datetime.combine(last + timedelta(days=1), time(), UTC)
    attempts: pd.DataFrame = reader.arrow("attempts", columns=names, since=since, until=until).to_pandas()
    if provider not in set(attempts["provider"]):
        _check_provider(reader, provider)
    attempts = attempts[(attempts["provider"] == provider) & (attempts["billing"] != "unbilled")].copy()
    attempts["date"] = attempts["started_at"].dt.strftime("%Y-%m-%d")
    attempts["model"] = attempts["model_actual"].fillna(attempts["model_requested"]).map(model_name)
    attempts["requests"] = 1
    attempts["worst_usd"] = attempts["worst_usd"].fillna(attempts["cost_usd"])
    without_tokens = (attempts["cost_source"] == RECONCILED) & attempts["tokens_in"].isna()
    attempts["is_open"] = (attempts["billing"] == "unknown") | without_tokens
    return attempts


def _check_provider(reader: Reader, provider: str) -> None:
    """A misspelt name would read as a provider that was never called."""
    known = sorted(reader.arrow("attempts", columns=["provider"])["provider"].unique().to_pylist())
    if provider not in known:
        raise ConfigError(
            f"provider={provider!r}: the ledger has no attempts of it; it has {', '.join(known) or 'none'}"
            f"{nearest_hint(provider, known)}"
        )


def _billed(attempts: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    billed = attempts[attempts["billing"] == "billed"]
    return billed.groupby(_KEY, as_index=False)[list(measures)].sum()


def _unknown(attempts: pd.DataFrame) -> pd.DataFrame:
    """The rows that may have been billed, and the most they can have used."""
    unknown = attempts[attempts["is_open"]].copy()
    unknown["is_unknown"] = (unknown["billing"] == "unknown").astype(int)
    unknown["worst_usd"] *= unknown["is_unknown"]
    return unknown.groupby(_KEY, as_index=False).agg(
        unknown_rows=("is_unknown", "sum"),
        unknown_tokens_in=("estimated_tokens_in", "sum"),
        unknown_tokens_out=("output_reserve", "sum"),
        unknown_cost_usd=("worst_usd", "sum"),
        unknown_attempt_ids=("attempt_id", list),
    )


def _finding(row: pd.Series[Any], measures: Sequence[str]) -> str:
    differences = {name: row[f"{name}_difference"] for name in measures}
    sizes = {name: max(abs(row[f"{name}_provider"]), 1e-9) for name in measures}
    off = {name: value for name, value in differences.items() if abs(value) > _TOLERANCE * sizes[name]}
    if not off:
        return _AGREES
    if all(value < 0 for value in off.values()):
        return "the ledger counts more"
    if any(value < 0 for value in off.values()):
        return "they differ both ways"
    if not (row["unknown_rows"] or row["unknown_tokens_in"] or row["unknown_tokens_out"]):
        return "the provider counts more"
    explained = {
        "requests": row["unknown_rows"],
        "tokens_in": row["unknown_tokens_in"] * _ESTIMATE_SLACK,
        "tokens_out": row["unknown_tokens_out"],
        "cost_usd": row["unknown_cost_usd"],
    }
    within = all(value <= explained[name] * (1 + _TOLERANCE) for name, value in off.items())
    return _EXPLAINED if within else "unknown rows explain only part of it"


def _bills(row: pd.Series[Any], open_rows: pd.DataFrame, measures: Sequence[str]) -> dict[str, Bill]:
    """What the export settles of the attempts that are open, by their id; nothing where it leaves a doubt."""
    unknown = open_rows[open_rows["billing"] == "unknown"]
    if row["finding"] == _AGREES:
        return {attempt: Bill(0.0, is_billed=False) for attempt in unknown["attempt_id"]}
    if row["finding"] != _EXPLAINED:
        return {}
    if unknown.empty:  # their cost was settled before
        return _shared(row, open_rows, measures, cost_usd=None) if "tokens_in" in measures else {}
    if "cost_usd" not in measures:
        return {}
    # How many were billed may be known; the dearest are taken for these.
    billed = round(row["requests_difference"]) if "requests" in measures else len(unknown)
    if not billed:
        return {}
    dearest = unknown.sort_values(["worst_usd", "attempt_id"], ascending=[False, True])
    taken, others = dearest.head(billed), dearest.tail(len(dearest) - billed)
    cost = max(float(row["cost_usd_difference"]), 0.0)
    if cost > taken["worst_usd"].sum() * (1 + _TOLERANCE):
        return {}
    rest = {attempt: Bill(0.0, is_billed=False) for attempt in others["attempt_id"]}
    return rest | _shared(row, taken, measures, cost_usd=cost)


def _shared(
    row: pd.Series[Any], rows: pd.DataFrame, measures: Sequence[str], cost_usd: float | None
) -> dict[str, Bill]:
    """`rows` share what the provider counts more, in proportion to the most each can have used."""
    size = len(rows)
    costs = [None] * size if cost_usd is None else _parts(cost_usd, rows["worst_usd"])
    tokens: dict[str, list[int | None]] = {}
    for name, bound in (("tokens_in", "estimated_tokens_in"), ("tokens_out", "output_reserve")):
        known = name in measures
        tokens[name] = _whole_parts(row[f"{name}_difference"], rows[bound]) if known else [None] * size
    is_counted = cost_usd is None or "requests" in measures
    return {
        attempt: Bill(cost, is_counted or bool(cost), tokens_in, tokens_out)
        for attempt, cost, tokens_in, tokens_out in zip(
            rows["attempt_id"], costs, tokens["tokens_in"], tokens["tokens_out"], strict=True
        )
    }


def _parts(amount: float, bounds: pd.Series[Any]) -> list[float | None]:
    total = float(bounds.sum())
    return [amount * float(bound) / total if total else 0.0 for bound in bounds]


def _whole_parts(amount: float, bounds: pd.Series[Any]) -> list[int | None]:
    """As `_parts`, in whole numbers that add up."""
    shares = _parts(amount, bounds.fillna(0))
    ends = [round(end) for end in accumulate(cast("list[float]", shares))]
    return [end - before for before, end in zip([0, *ends], ends, strict=False)]

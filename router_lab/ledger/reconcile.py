"""The ledger against the provider's own usage or cost export: by day and model, where they differ and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router_lab.errors import ConfigError
from router_lab.ledger.provider_export import ProviderExport, read_export
from router_lab.ledger.provider_values import model_name
from router_lab.ledger.reader import Reader

if TYPE_CHECKING:
    import pandas as pd

_KEY = ["date", "model"]
# A difference this small, relative, is rounding in somebody's export.
_TOLERANCE = 1e-6
# How much longer a prompt may be than it was estimated to be.
_ESTIMATE_SLACK = 2


def reconcile(reader: Reader, provider: str, path: Path, columns: Mapping[str, str] | None) -> pd.DataFrame:
    """One row per UTC day and model; see `Ledger.reconcile`. Raises `ConfigError` for a bad export."""
    import pandas as pd

    export = read_export(path, provider, columns)
    attempts = _from_ledger(reader, provider, export.first, export.last)
    both = _billed(attempts, export.measures).merge(
        _theirs(export), on=_KEY, how="outer", suffixes=("_ledger", "_provider")
    )
    # One side alone has a day's model: the other counted nothing of it.
    both = both.fillna(0).merge(_unknown(attempts), on=_KEY, how="left")
    for name in export.measures:
        both[f"{name}_difference"] = both[f"{name}_provider"] - both[f"{name}_ledger"]
    ids = both.pop("unknown_attempt_ids")
    both = both.fillna(0).astype({"unknown_rows": int})
    both["verdict"] = [_verdict(row, export.measures) for _, row in both.iterrows()]
    both["unknown_attempt_ids"] = [found if isinstance(found, list) else [] for found in ids]
    return pd.DataFrame(both.sort_values(_KEY, ignore_index=True))


def _theirs(export: ProviderExport) -> pd.DataFrame:
    import pandas as pd

    rows = [(day.isoformat(), model, *amounts) for (day, model), amounts in export.totals.items()]
    return pd.DataFrame(rows, columns=[*_KEY, *export.measures])


def _from_ledger(reader: Reader, provider: str, first: date, last: date) -> pd.DataFrame:
    """The attempts at `provider` on these days that it billed or may have billed."""
    names = ["attempt_id", "started_at", "provider", "model_actual", "model_requested", "billing"]
    names += ["tokens_in", "tokens_out", "cost_usd", "worst_usd", "estimated_tokens_in", "output_reserve"]
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
    return attempts


def _check_provider(reader: Reader, provider: str) -> None:
    """A misspelt name would read as a provider that was never called."""
    known = sorted(reader.arrow("attempts", columns=["provider"])["provider"].unique().to_pylist())
    if provider not in known:
        raise ConfigError(
            f"provider={provider!r}: the ledger has no attempts of it; it has {', '.join(known) or 'none'}"
        )


def _billed(attempts: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    billed = attempts[attempts["billing"] == "billed"]
    return billed.groupby(_KEY, as_index=False)[list(measures)].sum()


def _unknown(attempts: pd.DataFrame) -> pd.DataFrame:
    """The rows that may have been billed, and the most they can have used."""
    unknown = attempts[attempts["billing"] == "unknown"]
    return unknown.groupby(_KEY, as_index=False).agg(
        unknown_rows=("attempt_id", "size"),
        unknown_tokens_in=("estimated_tokens_in", "sum"),
        unknown_tokens_out=("output_reserve", "sum"),
        unknown_cost_usd=("worst_usd", "sum"),
        unknown_attempt_ids=("attempt_id", list),
    )


def _verdict(row: pd.Series[Any], measures: Sequence[str]) -> str:
    differences = {name: row[f"{name}_difference"] for name in measures}
    sizes = {name: max(abs(row[f"{name}_provider"]), 1e-9) for name in measures}
    off = {name: value for name, value in differences.items() if abs(value) > _TOLERANCE * sizes[name]}
    if not off:
        return "agrees"
    if all(value < 0 for value in off.values()):
        return "the ledger counts more"
    if any(value < 0 for value in off.values()):
        return "they differ both ways"
    if not row["unknown_rows"]:
        return "the provider counts more"
    explained = {
        "requests": row["unknown_rows"],
        "tokens_in": row["unknown_tokens_in"] * _ESTIMATE_SLACK,
        "tokens_out": row["unknown_tokens_out"],
        "cost_usd": row["unknown_cost_usd"],
    }
    within = all(value <= explained[name] * (1 + _TOLERANCE) for name, value in off.items())
    return "unknown rows would explain it" if within else "unknown rows explain only part of it"

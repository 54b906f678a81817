"""The ledger against the provider's own usage or cost export: by day and model, where they differ and why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router_lab.errors import ConfigError
from router_lab.ledger.reader import Reader

if TYPE_CHECKING:
    import pandas as pd

_MEASURES = ("requests", "tokens_in", "tokens_out", "cost_usd")
# A difference this small, relative, is rounding in somebody's export.
_TOLERANCE = 1e-6
_DATED_MODEL = re.compile(r"[-@](\d{8}|\d{4}-\d{2}-\d{2})$")

# The columns of known exports; several columns for one of ours are added up.
_EXPORTS: Mapping[str, tuple[Mapping[str, tuple[str, ...]], ...]] = {
    "anthropic": (
        {
            "date": ("usage_date_utc",),
            "model": ("model_version",),
            "tokens_in": (
                "usage_input_tokens_no_cache",
                "usage_input_tokens_cache_write_5m",
                "usage_input_tokens_cache_write_1h",
                "usage_input_tokens_cache_read",
            ),
            "tokens_out": ("usage_output_tokens",),
        },
        {"date": ("usage_date_utc",), "model": ("model",), "cost_usd": ("cost_usd",)},
    ),
    "openai": (
        {
            "date": ("start_time_iso",),
            "model": ("model",),
            "requests": ("num_model_requests",),
            "tokens_in": ("input_tokens",),
            "tokens_out": ("output_tokens",),
        },
        {"date": ("start_time_iso",), "model": ("line_item",), "cost_usd": ("amount_value",)},
    ),
}


def reconcile(reader: Reader, provider: str, path: Path, columns: Mapping[str, str] | None) -> pd.DataFrame:
    """One row per UTC day and model; see `Ledger.reconcile`. Raises `ConfigError` for a bad export."""
    import pandas as pd

    theirs = _read_export(path, provider, columns)
    measures = [name for name in _MEASURES if name in theirs.columns]
    days = (theirs["date"].min(), theirs["date"].max())
    ours, unknown = _from_ledger(reader, provider, measures, days)
    both = ours.merge(theirs, on=["date", "model"], how="outer", suffixes=("_ledger", "_provider"))
    both = both.merge(unknown, on=["date", "model"], how="left")
    for name in measures:
        both[f"{name}_difference"] = both[f"{name}_provider"].fillna(0) - both[f"{name}_ledger"].fillna(0)
    both["unknown_rows"] = both["unknown_rows"].fillna(0).astype(int)
    both["verdict"] = [_verdict(row, measures) for _, row in both.iterrows()]
    ids = both.pop("unknown_attempt_ids")
    both["unknown_attempt_ids"] = [found if isinstance(found, list) else [] for found in ids]
    return pd.DataFrame(both.sort_values(["date", "model"], ignore_index=True))


def _read_export(path: Path, provider: str, columns: Mapping[str, str] | None) -> pd.DataFrame:
    import pandas as pd

    try:
        export = pd.read_csv(path, sep=None, engine="python")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as CSV ({error})") from error
    chosen = _columns_of(export, path, provider, columns)
    frame = pd.DataFrame(
        {
            "date": _dates(export, chosen["date"][0], path),
            "model": export[chosen["model"][0]].map(_model_name),
            **{
                name: export[list(chosen[name])].apply(pd.to_numeric, errors="coerce").sum(axis=1)
                for name in _MEASURES
                if name in chosen
            },
        }
    ).dropna(subset=["model"])
    return frame.groupby(["date", "model"], as_index=False).sum()


def _columns_of(
    export: pd.DataFrame, path: Path, provider: str, columns: Mapping[str, str] | None
) -> Mapping[str, tuple[str, ...]]:
    if columns is not None:
        chosen: Mapping[str, tuple[str, ...]] = {name: (theirs,) for name, theirs in columns.items()}
        unknown = sorted(set(chosen) - {"date", "model", *_MEASURES})
        absent = [theirs for (theirs,) in chosen.values() if theirs not in export.columns]
        if unknown or absent or not {"date", "model"} <= set(chosen):
            raise ConfigError(
                f"{path}: columns={dict(columns)} must map date, model and any of {', '.join(_MEASURES)} to "
                f"columns of the file, which are {', '.join(map(str, export.columns))}"
            )
        return chosen
    for known in _EXPORTS.get(provider, ()):
        if all(name in export.columns for names in known.values() for name in names):
            return known
    raise ConfigError(
        f"{path}: not an export of {provider!r} that we know; it has the columns "
        f"{', '.join(map(str, export.columns))}. "
        "Map them: columns={'date': ..., 'model': ..., 'tokens_in': ...}"
    )


def _dates(export: pd.DataFrame, column: str, path: Path) -> pd.Series[str]:
    import pandas as pd

    try:
        moments = pd.to_datetime(export[column], utc=True, format="mixed")
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: column {column!r} holds no dates ({error})") from error
    return moments.dt.strftime("%Y-%m-%d")


def _model_name(name: Any) -> str | None:
    """Without a date at its end, nor what a cost export adds after a comma (`gpt-5, input`)."""
    if not isinstance(name, str) or not name.strip():
        return None
    return _DATED_MODEL.sub("", name.split(",", 1)[0].strip())


def _from_ledger(
    reader: Reader, provider: str, measures: list[str], days: tuple[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    attempts = reader.arrow(
        "attempts",
        columns=[
            "attempt_id",
            "started_at",
            "provider",
            "model_actual",
            "model_requested",
            "tokens_in",
            "tokens_out",
            "cost_usd",
            "billing",
        ],
    ).to_pandas()
    attempts = attempts[(attempts["provider"] == provider) & (attempts["billing"] != "unbilled")].copy()
    attempts["date"] = attempts["started_at"].dt.strftime("%Y-%m-%d")
    attempts = attempts[attempts["date"].between(*days)]
    attempts["model"] = attempts["model_actual"].fillna(attempts["model_requested"]).map(_model_name)
    attempts["requests"] = 1
    by = ["date", "model"]
    billed = attempts[attempts["billing"] == "billed"].groupby(by, as_index=False)[measures].sum()
    unknown = (
        attempts[attempts["billing"] == "unknown"]
        .groupby(by, as_index=False)
        .agg(
            unknown_rows=("attempt_id", "size"),
            unknown_cost_usd=("cost_usd", "sum"),
            unknown_attempt_ids=("attempt_id", list),
        )
    )
    return billed, unknown


def _verdict(row: pd.Series[Any], measures: list[str]) -> str:
    differences = {name: row[f"{name}_difference"] for name in measures}
    sizes = {name: max(abs(row[f"{name}_provider"] or 0), 1e-9) for name in measures}
    off = [name for name, value in differences.items() if abs(value) > _TOLERANCE * sizes[name]]
    if not off:
        return "agrees"
    provider_has_more = all(differences[name] > 0 for name in off)
    if provider_has_more and row["unknown_rows"]:
        within = "cost_usd" not in off or differences["cost_usd"] <= row["unknown_cost_usd"]
        within = within and ("requests" not in off or differences["requests"] <= row["unknown_rows"])
        return "unknown rows would explain it" if within else "unknown rows explain only part of it"
    return "the provider counts more" if provider_has_more else "the ledger counts more"

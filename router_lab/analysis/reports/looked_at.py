"""What a report looked at: the ledger's name, the time its rows span, its models with what they were paid."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import PurePath
from typing import Any

import ibis
import pandas as pd

from router_lab.analysis.ledger_tables import frame_of
from router_lab.counted import counted
from router_lab.ledger.content import is_hash
from router_lab.ledger.reading.tables import Tables
from router_lab.shown.markup import details, paragraph, table
from router_lab.shown.wording import plain, usd

# Texts of examples are cut to this many characters.
_SHOWN = 600


def name_of(source: Any) -> str:
    """The folder of a ledger, "" of tables alone; not its path, which tells of a machine."""
    place = source if isinstance(source, str | PathLike) else getattr(source, "name", None)
    return "" if place is None else PurePath(str(place)).name or str(place)


def models_used(tables: Tables) -> pd.DataFrame:
    """A row per model that was called: `provider`, `model`, `model_alias`, `attempts`, `tokens_in`,
    `tokens_out`, `cost_usd`, `cost_source`, `first`, `last`, the dearest first.
    """
    attempts = tables.attempts
    named = attempts.mutate(model=ibis.coalesce(attempts.model_actual, attempts.model_requested))
    grouped = named.group_by(["provider", "model", "model_alias", "cost_source"]).aggregate(
        attempts=named.count(),
        tokens_in=named.tokens_in.sum().fill_null(0).cast("int64"),
        tokens_out=named.tokens_out.sum().fill_null(0).cast("int64"),
        cost_usd=named.cost_usd.sum(),
        first=named.started_at.min(),
        last=named.started_at.max(),
    )
    order = ["cost_usd", "provider", "model", "model_alias", "cost_source"]
    found = frame_of(grouped).sort_values(order, ascending=[False, True, True, True, True])
    return found.reset_index(drop=True)


def example_pairs(tables: Tables, count: int) -> pd.DataFrame:
    """Of each task type the `count` pairs whose answers are least alike: `task_type`, `comparison_id`,
    `agreement`, `primary_output`, `shadow_output`, `prompt`; texts are those that the ledger keeps.
    """
    pairs, attempts = tables.comparisons, tables.attempts
    told = pairs.filter((pairs.status == "complete") & ~pairs.is_noise & pairs.agreement.notnull())
    shown = ["task_type", "comparison_id", "agreement", "primary_output", "shadow_output"]
    place = ibis.row_number().over(group_by=told.task_type, order_by=[told.agreement, told.comparison_id])
    least = told.select(*shown, "primary_attempt_id", place=place).filter(lambda row: row.place < count)
    asked = attempts.select("attempt_id", "prompt")
    found = frame_of(least.left_join(asked, least.primary_attempt_id == asked.attempt_id))
    found = found.sort_values(["task_type", "agreement", "comparison_id"]).reset_index(drop=True)
    return found[[*shown, "prompt"]]


def looked_at_section(ledger: str, models: pd.DataFrame, pairs: int) -> list[str]:
    """The ledger, its period and its models in a sentence and a folded table."""
    name = f"Ledger {plain(ledger)}" if ledger else "The ledger"
    if models.empty:
        return [paragraph(f"{name}: no call yet, {counted(pairs, 'pairs')}.", "note")]
    begin, end = models["first"].min(), models["last"].max()
    calls = counted(int(models["attempts"].sum()), "attempts")
    sentence = (
        f"{name}: {calls} and {counted(pairs, 'pairs')}, "
        f"from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC."
    )
    rows = pd.DataFrame(
        {
            "Model": models["model"],
            "Provider": models["provider"],
            "Name": models["model_alias"],
            "Attempts": models["attempts"],
            "Cost, likely": models["cost_usd"].map(usd),
            "A million tokens, in and out": [_per_million(row) for row in models.to_dict("records")],
            "Price from": models["cost_source"],
        }
    )
    return [paragraph(sentence, "note"), details("Models and prices", [table(rows)])]


def _per_million(row: Mapping[str, Any]) -> str:
    tokens = row["tokens_in"] + row["tokens_out"]
    return usd(1e6 * row["cost_usd"] / tokens) if tokens else "–"


def examples_section(examples: pd.DataFrame) -> list[str]:
    """The examples of each task type, folded."""
    parts = []
    for name, rows in examples.groupby("task_type", sort=True):
        shown = pd.DataFrame(
            {
                "What": [_cut(text) for text in rows["prompt"]],
                "Primary": [_cut(text) for text in rows["primary_output"]],
                "Shadow": [_cut(text) for text in rows["shadow_output"]],
                "Agreement": [f"{value:.2f}" for value in rows["agreement"]],
            }
        )
        parts.append(details(plain(name), [table(shown.rename(columns={"What": "Prompt"}))]))
    return parts


def _cut(text: object) -> str:
    if not isinstance(text, str) or is_hash(text):
        return "not kept"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"

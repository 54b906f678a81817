"""What a report looked at: the ledger's name, the time its rows span, its models with what they were paid."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import PurePath
from typing import Any

import ibis
import pandas as pd

from router_lab.analysis.ledger_tables import frame_answered, frame_of
from router_lab.counted import counted
from router_lab.ledger.content import is_hash
from router_lab.ledger.reading.tables import Tables
from router_lab.shown.escape import Html, show, tag
from router_lab.shown.markup import details, paragraph, table
from router_lab.shown.style import CARD, HEAD, TEXT
from router_lab.shown.wording import plain, usd

_SIDES = ("primary", "shadow")
# Texts of examples are cut to this many characters.
_SHOWN = 600


def name_of(source: Any) -> str:
    """The folder of a ledger, "" of tables alone; not its path, which tells of a machine."""
    place = source if isinstance(source, str | PathLike) else getattr(source, "name", None)
    return "" if place is None else PurePath(str(place)).name or str(place)


def period_of(tables: Tables) -> pd.DataFrame:
    """One row: when the `first` and the `last` attempt began, UTC, null without any."""
    return frame_answered(tables, _period)


def _period(tables: Any) -> Any:
    started = tables.attempts.started_at
    return tables.attempts.aggregate(first=started.min(), last=started.max())


def example_pairs(tables: Tables, count: int) -> pd.DataFrame:
    """Of each task type the `count` pairs whose answers are least alike: `task_type`, `comparison_id`,
    `agreement`, `primary_output`, `shadow_output`, `prompt`; texts are those that the ledger keeps, of an
    answer without text the calls.
    """
    pairs, attempts = tables.comparisons, tables.attempts
    told = pairs.filter((pairs.status == "complete") & ~pairs.is_noise & pairs.agreement.notnull())
    shown = ["task_type", "comparison_id", "agreement"]
    said = {
        f"{side}_output": ibis.coalesce(told[f"{side}_output"], told[f"{side}_tool_calls"]) for side in _SIDES
    }
    place = ibis.row_number().over(group_by=told.task_type, order_by=[told.agreement, told.comparison_id])
    least = told.select(*shown, "primary_attempt_id", place=place, **said).filter(
        lambda row: row.place < count
    )
    asked = attempts.select("attempt_id", "prompt")
    found = frame_of(least.left_join(asked, least.primary_attempt_id == asked.attempt_id))
    found = found.sort_values(["task_type", "agreement", "comparison_id"]).reset_index(drop=True)
    return found[[*shown, *said, "prompt"]]


def looked_at_section(ledger: str, shown: Mapping[str, pd.DataFrame]) -> list[Html]:
    """The ledger, its period and its models in a sentence and a folded table."""
    name = f"Ledger {plain(ledger)}" if ledger else "The ledger"
    pairs = counted(int(shown["pair_status"]["pairs"].sum()), "pairs")
    models = shown["models"].sort_values("cost_usd", ascending=False, kind="stable")
    if models.empty:
        return [paragraph(f"{name}: no call yet, {pairs}.", "note")]
    (period,) = shown["period"].itertuples(index=False)
    is_known = period.first == period.first
    when = f", from {period.first:%Y-%m-%d %H:%M} to {period.last:%Y-%m-%d %H:%M} UTC" if is_known else ""
    sentence = f"{name}: {counted(int(models['attempts'].sum()), 'attempts')} and {pairs}{when}."
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


def examples_section(examples: pd.DataFrame) -> list[Html]:
    """The examples of each task type, folded."""
    return [
        details(plain(name), [_example(row) for row in rows.to_dict("records")])
        for name, rows in examples.groupby("task_type", sort=True)
    ]


def _example(row: Mapping[str, Any]) -> Html:
    said = [tag("div", show(f"Agreement {row['agreement']:.2f}"), style=HEAD)]
    for name in ("prompt", "primary_output", "shadow_output"):
        heading = show(name.removesuffix("_output").capitalize())
        said.append(
            tag("div", tag("b", heading), tag("pre", _text(row[name]), style=TEXT), style="padding:4px 10px")
        )
    return tag("section", *said, style=CARD)


def _text(text: object) -> Html:
    is_kept = isinstance(text, str) and not is_hash(text)
    return show(text, limit=_SHOWN) if is_kept else tag("em", show("not kept"))

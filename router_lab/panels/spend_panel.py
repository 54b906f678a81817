"""Where the money went: by cause and by any key, budgets, breakers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from router_lab.arrow import pa
from router_lab.counted import counted
from router_lab.ledger.reading.queries import kept
from router_lab.panels.panel import control
from router_lab.panels.panel_sources import tables_opener
from router_lab.panels.sheet import Sheet, SheetPanel, in_words
from router_lab.shown.style import usd

if TYPE_CHECKING:
    import pandas as pd

_KEYS = (
    "task_type",
    "model",
    "model_alias",
    "provider",
    "cause",
    "billing",
    "day",
    "user_id",
    "switch_epoch",
)

_CAUSES = {
    "answer": "answers people wanted",
    "answer_after_retry": "answers after a retry",
    "shadow": "shadows",
    "fallback": "fallbacks",
    "failure": "failed attempts",
    "parse_failure": "unusable answers",
    "truncation": "cut prompts",
}


class SpendPanel(SheetPanel):
    """Spending of a ledger (a `Ledger`, its tables, or a path).

    `.selection()` is the frame by the chosen key. Raises `ConfigError` for another source.
    """

    heading = "Where the money went"

    def __init__(self, source: object) -> None:
        self._open = tables_opener(source, type(self).__name__)
        self._budgets = getattr(source, "spend", None)
        self.by = control(widgets.Dropdown, "Spending by", options=in_words(_KEYS))
        super().__init__(self.by)

    def _read(self) -> Sheet:
        from router_lab import analysis
        from router_lab.analysis import plots

        tables, key = self._open(), str(self.by.value)
        plot = plots.spend_by_cause(tables, by="task_type" if key == "cause" else key)
        spent = _summed(plot.data, key)
        shown = [(f"By {key.replace('_', ' ')}", spent)]
        if self._budgets is not None:
            shown.append(("Budgets", self._budgets()))
        against = kept(tables, "shadow against primary", partial(_against, tables)).to_pandas()
        shown.append(("Shadow against primary", against))
        shown.append(("Circuit breakers", analysis.breaker_timeline(tables)))
        return Sheet(
            sentence=_sentence(_summed(plot.data, "cause")),
            selection=spent,
            tables=tuple(shown),
            plot=plot if len(plot.data) else None,
            plot_is_titled=False,
            timed=("since", "until", "period"),
        )


def _against(tables: Any) -> Any:
    """What the shadow costs and takes beside the primary, each with its interval, an Arrow table; geometric
    means by name.
    """
    from router_lab.analysis import ab
    from router_lab.analysis.cost_and_latency import measured, measured_ratio

    judged = ab(tables).frame
    rows = judged.to_dict("records")
    times = {
        "latency of a call, shadow less primary": "latency_difference_s",
        "19 in 20 calls of the primary within": "primary_p95_s",
        "19 in 20 calls of the shadow within": "shadow_p95_s",
    }
    ratios = {
        "cost, ratio of totals": "total_cost_ratio",
        "cost, geometric mean of ratios": "cost_ratio",
        "latency, geometric mean of ratios": "latency_ratio",
    }
    return pa.table(
        {
            "task_type": pa.array(judged["task_type"].tolist(), pa.string()),
            "pairs": pa.array(judged["pairs"].tolist(), pa.int64()),
            **{title: [measured(row, name) for row in rows] for title, name in times.items()},
            **{title: [measured_ratio(row, name) for row in rows] for title, name in ratios.items()},
        }
    )


def _summed(spent: pd.DataFrame, key: str) -> pd.DataFrame:
    """Spending by a key and cause, by one of them alone; dearest first."""
    sums = spent.groupby(key, dropna=False).sum(numeric_only=True).reset_index()
    return sums.sort_values("cost_usd", ascending=False, ignore_index=True)


def _sentence(causes: pd.DataFrame) -> str:
    if causes.empty:
        return "No attempts yet"
    from router_lab.shown.wording import with_unconfirmed

    unknown, at_most = float(causes["unknown_usd"].sum()), float(causes["at_most_usd"].sum())
    cost = float(causes["cost_usd"].sum())
    billed = cost - unknown
    said = f"{usd(billed)} billed over {counted(int(causes['attempts'].sum()), 'attempts')}"
    known = causes[causes["cause"] != "unknown"]
    if billed and not known.empty:
        dearest: Any = known.iloc[0]
        cause = _CAUSES.get(dearest["cause"], dearest["cause"])
        said += f", {dearest['cost_usd'] / billed:.0%} of it for {cause}"
    return said + with_unconfirmed(cost, unknown, at_most)

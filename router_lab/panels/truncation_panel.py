"""Answers that may rest on a cut prompt: how often, by which sign, and the calls themselves."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import ibis
import ipywidgets as widgets

from router_lab.analysis.ledger_tables import answer_of
from router_lab.counted import counted
from router_lab.panels.panel import control
from router_lab.panels.panel_sources import tables_opener
from router_lab.panels.sheet import Sheet, SheetPanel, in_words

if TYPE_CHECKING:
    import pandas as pd

_MOST = 5_000
_KEYS = ("task_type", "model_alias", "provider", "model", "switch_epoch")
_CALL = (
    "started_at",
    "task_type",
    "model_alias",
    "truncation_signal",
    "outcome",
    "tokens_in",
    "estimated_tokens_in",
    "num_ctx",
    "prompt_chars",
    "overflow_escalated",
)


class TruncationPanel(SheetPanel):
    """Truncation suspects of a ledger (a `Ledger`, its tables, or a path).

    `.selection()` is the suspect attempts, newest first. Raises `ConfigError` for another source.
    """

    heading = "Truncation suspects"

    def __init__(self, source: object) -> None:
        self._open = tables_opener(source, type(self).__name__)
        self.by = control(widgets.Dropdown, "Rates by", options=in_words(_KEYS))
        self.over = control(widgets.Dropdown, "Over time by", options=("day", "hour"))
        super().__init__(self.by, self.over)

    def _read(self) -> Sheet:
        from router_lab import analysis
        from router_lab.analysis import plots

        tables, key = self._open(), str(self.by.value)
        suspects = _suspects(tables)
        plot = plots.truncation_over_time(tables, by=str(self.over.value))
        return Sheet(
            sentence=_sentence(analysis.truncation(tables, by=())),
            selection=suspects,
            tables=(
                ("By signal", analysis.truncation_by_signal(tables)),
                (f"By {key.replace('_', ' ')}", analysis.truncation(tables, by=key)),
                ("The suspect calls, newest first", suspects[list(_CALL)]),
            ),
            plot=plot if len(plot.data) > 1 else None,  # of one day the sentence has said it
            plot_is_titled=False,
            timed=("started_at",),
        )


def _suspects(tables: Any) -> pd.DataFrame:
    # Where they begin is found first: the wide rows of older files are then never read.
    since = answer_of(tables, _beginning)["since"][0].as_py()
    frame: pd.DataFrame = answer_of(tables, _newest, since).to_pandas()
    return frame


def _beginning(tables: Any) -> Any:
    """When the oldest of the suspects that are shown began."""
    attempts = tables.attempts
    suspects = attempts.filter(attempts.truncation_signal.notnull())
    # A cap keeps the panel quick on a ledger where everything is suspect; the rates count them all.
    newest = suspects.select("started_at").order_by(ibis.desc("started_at")).limit(_MOST)
    return newest.aggregate(since=newest.started_at.min())


def _newest(tables: Any, since: datetime | None) -> Any:
    suspects = tables.attempts.filter(tables.attempts.truncation_signal.notnull())
    if since is not None:
        suspects = suspects.filter(suspects.started_at >= ibis.timestamp(since))
    return suspects.order_by(suspects.started_at.desc(), suspects.attempt_id).limit(_MOST)


def _sentence(total: pd.DataFrame) -> str:
    if total.empty or not total["attempts"].iloc[0]:
        return "No attempts yet"
    row = total.iloc[0]
    return (
        f"{int(row['suspects']):,} of {counted(int(row['attempts']), 'attempts', 'are')} "
        f"suspect: {row['rate']:.2%} "
        f"({row['low']:.2%} to {row['high']:.2%})"
    )

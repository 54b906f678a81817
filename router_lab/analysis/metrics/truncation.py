"""How often an answer is suspected to rest on a cut prompt."""

from __future__ import annotations

from typing import Any

import ibis
import pandas as pd

from router_lab.analysis.clustered import wilson
from router_lab.analysis.metrics.keys import ATTEMPT_KEYS, Keys, grouped, names_of, share, with_keys
from router_lab.analysis.tables import Tables, frame_of


def truncation(tables: Tables, by: Keys = "task_type", alpha: float = 0.05) -> pd.DataFrame:
    """The truncation-suspect rate per key.

    Columns: the keys, `attempts`, `suspects` (attempts with a signal), `escalated` (sent again
    elsewhere for it), `rate`, `low`, `high` (Wilson at 1 - alpha).
    """
    return _with_rate(frame_of(truncation_expression(tables, by)), alpha)


def truncation_expression(tables: Tables, by: Keys) -> Any:
    """The counts behind `truncation` as an Ibis table."""
    keyed = with_keys(tables.attempts, by, ATTEMPT_KEYS)
    return grouped(
        keyed,
        by,
        attempts=keyed.count(),
        suspects=keyed.truncation_signal.count(),
        escalated=share(keyed.overflow_escalated),
    )


def truncation_by_signal(tables: Tables, by: Keys = (), alpha: float = 0.05) -> pd.DataFrame:
    """The same per signal: one row for each key and each signal seen, out of all attempts of the key.

    Columns: the keys, `signal`, `attempts`, `suspects`, `rate`, `low`, `high`.
    """
    return _with_rate(frame_of(truncation_by_signal_expression(tables, by)), alpha)


def truncation_by_signal_expression(tables: Tables, by: Keys) -> Any:
    """The counts behind `truncation_by_signal` as an Ibis table."""
    names = names_of(by)
    keyed = with_keys(tables.attempts, by, ATTEMPT_KEYS)
    marked = keyed.mutate(signal=keyed.truncation_signal)
    found = marked.group_by([*names, "signal"]).aggregate(suspects=marked.count())
    # One pass over the attempts: those without a signal are a group too, and count towards the whole.
    whole = ibis.window(group_by=names) if names else ibis.window()
    with_totals = found.mutate(attempts=found.suspects.sum().over(whole))
    seen = with_totals.filter(with_totals.signal.notnull())
    return seen.select(*names, "signal", "attempts", "suspects").order_by([*names, "signal"])


def _with_rate(frame: pd.DataFrame, alpha: float) -> pd.DataFrame:
    frame["rate"] = frame["suspects"] / frame["attempts"].where(frame["attempts"] > 0)
    frame["low"], frame["high"] = wilson(frame["suspects"], frame["attempts"], alpha)
    return frame

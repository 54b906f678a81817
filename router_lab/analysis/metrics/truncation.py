"""How often an answer is suspected to rest on a cut prompt."""

from __future__ import annotations

from typing import Any

import ibis
import pandas as pd

from router_lab.analysis.clustered import wilson
from router_lab.analysis.metrics.keys import ATTEMPT_KEYS, Keys, grouped, keys_of, names_of, share
from router_lab.analysis.tables import Source, Tables, frame_of, tables_of


def truncation(source: Source, by: Keys = "task_type", alpha: float = 0.05) -> pd.DataFrame:
    """The truncation-suspect rate per key.

    Columns: the keys, `attempts`, `suspects` (attempts with a signal), `escalated` (sent again
    elsewhere for it), `rate`, `low`, `high` (Wilson at 1 - alpha).
    """
    return _with_rate(frame_of(truncation_expression(tables_of(source), by)), alpha)


def truncation_expression(tables: Tables, by: Keys) -> Any:
    """The counts behind `truncation` as an Ibis table."""
    attempts = tables.attempts
    return grouped(
        attempts,
        by,
        ATTEMPT_KEYS,
        attempts=attempts.count(),
        suspects=attempts.truncation_signal.count(),
        escalated=share(attempts.overflow_escalated),
    )


def truncation_by_signal(source: Source, by: Keys = (), alpha: float = 0.05) -> pd.DataFrame:
    """The same per signal: one row for each key and each signal seen, out of all attempts of the key.

    Columns: the keys, `signal`, `attempts`, `suspects`, `rate`, `low`, `high`.
    """
    return _with_rate(frame_of(truncation_by_signal_expression(tables_of(source), by)), alpha)


def truncation_by_signal_expression(tables: Tables, by: Keys) -> Any:
    """The counts behind `truncation_by_signal` as an Ibis table."""
    names, attempts = names_of(by), tables.attempts
    one_signal = {**keys_of(attempts, by, ATTEMPT_KEYS), "signal": attempts.truncation_signal}
    found = attempts.group_by(**one_signal).aggregate(suspects=attempts.count())
    # One pass over the attempts: those without a signal are a group too, and count towards the whole.
    whole = ibis.window(group_by=names) if names else ibis.window()
    with_totals = found.mutate(attempts=found.suspects.sum().over(whole))
    seen = with_totals.filter(with_totals.signal.notnull())
    return seen.select(*names, "signal", "attempts", "suspects").order_by([*names, "signal"])


def _with_rate(frame: pd.DataFrame, alpha: float) -> pd.DataFrame:
    frame["rate"] = frame["suspects"] / frame["attempts"].where(frame["attempts"] > 0)
    frame["low"], frame["high"] = wilson(frame["suspects"], frame["attempts"], alpha)
    return frame

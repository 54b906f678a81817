"""How often a judge changes its mind when the answers change places."""

from __future__ import annotations

from typing import Any

import pandas as pd

from router_lab import arguments
from router_lab.analysis.ledger_tables import Source
from router_lab.analysis.metrics.grouping import COMPARISON_KEYS, Keys, measured
from router_lab.analysis.metrics.repeats import add_interval, of_inputs, rates_of_inputs, without_sums
from router_lab.ledger.reading.tables import Tables

# As keys of the stored JSON. Text quoted inside it has its quotes escaped, so it cannot pass for one.
_ASKED = '"primary_first":'
_FLIPPED = r'"flipped": ?true'


def flip_rate(source: Source, by: Keys = ("task_type", "comparator"), alpha: float = 0.05) -> pd.DataFrame:
    """The share of judged pairs whose winner depended on the order the answers were shown in.

    Only pairs a judge was asked about, in both orders; identical answers are not asked about. Columns:
    the keys, `judged`, `inputs` (distinct), `flipped`, `flipped_input_rate`, `flipped_effective`, `rate`,
    and `low`, `high` at 1 - alpha, of inputs which repeat (see `repeats`). A rate near 50% means that the
    judge likes a place and not an answer.
    """
    arguments.share("alpha", alpha)
    frame = measured(source, flip_rate_expression, by)
    add_interval(frame, alpha, hits="flipped", size="judged")
    return without_sums(frame)


def flip_rate_expression(tables: Tables, by: Keys) -> Any:
    """The counts and spreads behind `flip_rate` as an Ibis table."""
    pairs = tables.comparisons
    asked = pairs.filter((pairs.status == "complete") & ~pairs.is_noise & pairs.details.contains(_ASKED))
    hits = {"flipped": asked.details.re_search(_FLIPPED)}
    inputs = of_inputs(asked, by, COMPARISON_KEYS, size="judged", hits=hits)
    return rates_of_inputs(inputs, by, "judged", hits)

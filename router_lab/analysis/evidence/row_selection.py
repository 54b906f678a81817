"""Rows of a frame of pairs, without copying millions of them where all are wanted."""

from __future__ import annotations

import pandas as pd


def rows_where(rows: pd.DataFrame, wanted: pd.Series) -> pd.DataFrame:
    """The rows that are `wanted`; the frame itself where all are, so its columns must not be assigned to."""
    return rows if bool(wanted.all()) else rows[wanted]


def first_rows(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """The first row of each value of `column`, likewise."""
    return rows_where(rows, ~rows[column].duplicated())

"""Which prompts pairs were made with, where that can be told: a change of it makes other answers.

A prompt that nobody named is known by a hash of its system text, tools and schema. Some applications write
something new into these at every call (a user's name, the tools of the moment): then the hash says nothing
of the template, and only a name does (`tags={"prompt_version": "v3"}`).
"""

from __future__ import annotations

from typing import Final

import pandas as pd

from router_lab.defaults import UNNAMED_PROMPT

COLUMN: Final = "prompt_version"

# Prompts that take turns are compared side by side; one that stays so long has replaced the others.
_SETTLED_PAIRS = 30

# Templates last: prompts that change more often than once in so many pairs are none.
_FEWEST_IN_A_ROW = 5


def varies(rows: pd.DataFrame) -> bool:
    """Whether prompts that nobody named change from call to call."""
    if "prompt_varies" in rows:
        return bool(rows["prompt_varies"].any())
    known = _known(rows)
    unnamed = known[known.str.startswith(UNNAMED_PROMPT)]
    return len(unnamed) < _FEWEST_IN_A_ROW * _stretches(unnamed) and unnamed.nunique() > 1


def settled(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows in which unnamed prompts that change from call to call are not known, and `prompt_varies`."""
    if COLUMN not in rows or not varies(rows):
        return rows
    named = rows[COLUMN].where(
        ~rows[COLUMN].fillna(UNNAMED_PROMPT).astype(str).str.startswith(UNNAMED_PROMPT)
    )
    return rows.assign(**{COLUMN: named, "prompt_varies": True})


def take_turns(prompts: pd.Series) -> bool:
    """Whether prompts, oldest pair first, come back again and again, and none has stayed since."""
    stretches = (prompts != prompts.shift()).cumsum()
    if not len(prompts) or stretches.iloc[-1] < prompts.nunique() + 2:
        return False
    *before, last = stretches.value_counts(sort=False)
    return bool(last < max(_SETTLED_PAIRS, 2 * sum(before) / len(before)))


def _known(rows: pd.DataFrame) -> pd.Series:
    if COLUMN not in rows:
        return pd.Series(dtype=str)
    return rows.loc[~rows["is_noise"], COLUMN].dropna().astype(str)


def _stretches(versions: pd.Series) -> int:
    return int((versions != versions.shift()).sum())

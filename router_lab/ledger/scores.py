"""Scores that people and judges give, checked before they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from router_lab.errors import ConfigError
from router_lab.ledger.operations import Append, Books
from router_lab.records import Score

if TYPE_CHECKING:
    from router_lab.ledger.core import Core


def store_scores(core: Core, scores: Sequence[Score]) -> None:
    """Write all of them in one transaction. Raises `ConfigError`, `LedgerError`."""
    for score in scores:
        _check(score)
    rows = [Append("scores", score) for score in scores]

    def write(books: Books) -> None:
        for row in rows:
            row.apply(books)

    core.transact(write)


def _check(score: Score) -> None:
    value = score.quality_score
    if not 0 <= value <= 1:
        raise ConfigError(f"quality_score={value!r}: a score is a number from 0 to 1")
    if not score.by.strip():
        raise ConfigError("by='': say who gave the score")
    if (score.comparison_id is None) == (score.attempt_id is None):
        raise ConfigError("a score is of one pair (`comparison_id` and `side`) or of one `attempt_id`")
    if score.comparison_id is not None and score.side not in ("primary", "shadow"):
        raise ConfigError(f"side={score.side!r}: say which answer of the pair, 'primary' or 'shadow'")

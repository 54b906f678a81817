"""The two answers of a stored pair, read back from its row; or why they cannot be compared again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from router_lab.arguments import shown, there_are
from router_lab.errors import ConfigError
from router_lab.ledger.content import is_hash
from router_lab.records import Ending
from router_lab.router.comparators.compare import Pair, stored_pair
from router_lab.task_types import within

if TYPE_CHECKING:
    import pandas as pd

# Pairs whose two answers were both usable, whatever else was wrong with them.
_BOTH_ANSWERED = frozenset(
    {"complete", "primary_fell_back", "primary_truncated", "unknown", "comparator_error", "cancelled"}
)
ANSWERS = (
    "primary_output",
    "shadow_output",
    "primary_tool_calls",
    "shadow_tool_calls",
    "primary_ending",
    "shadow_ending",
)


@dataclass(frozen=True, slots=True)
class _Answers:
    """What is stored of two answers, in the order of `ANSWERS`; rows of older versions lack the calls."""

    primary: str | None
    shadow: str | None
    primary_calls: str | None
    shadow_calls: str | None
    primary_ending: Ending | None
    shadow_ending: Ending | None

    @property
    def are_stored(self) -> bool:
        """Whether each side has a text or calls."""
        return not (
            (self.primary is None and self.primary_calls is None)
            or (self.shadow is None and self.shadow_calls is None)
        )

    def texts(self) -> tuple[str | None, ...]:
        """Everything that the content rules may have taken away."""
        return self.primary, self.shadow, self.primary_calls, self.shadow_calls

    def pair(self) -> Pair:
        """Both as a pair."""
        return stored_pair(
            self.primary,
            self.shadow,
            primary_tool_calls=self.primary_calls,
            shadow_tool_calls=self.shadow_calls,
            primary_ending=self.primary_ending,
            shadow_ending=self.shadow_ending,
        )


def read_pair(status: str, answers: Sequence[str | None]) -> Pair | str:
    """The two answers of a row, in the order of `ANSWERS`; or why there are none to compare."""
    stored = _Answers(*answers)  # type: ignore[arg-type]
    if status not in _BOTH_ANSWERED:
        return f"no two answers to compare: {status}"
    if not stored.are_stored:
        return "answers not stored" if status != "cancelled" else f"no two answers: {status}"
    if any(map(is_hash, stored.texts())):
        return "answers stored as hashes only"
    return stored.pair()


def rows_of(stored: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Status and answers of every row; what is missing, or no text, is None."""
    columns = stored[["status", *ANSWERS]].itertuples(index=False, name=None)
    return (tuple(value if isinstance(value, str) else None for value in row) for row in columns)


def below(frame: pd.DataFrame, task_type: str | None) -> pd.DataFrame:
    """The rows of a task type and of those below it. Raises `ConfigError` where there are others only."""
    if task_type is None or frame.empty:
        return frame
    found = frame[within(frame["task_type"], task_type)]
    if found.empty:
        known = there_are(task_type, sorted(set(frame["task_type"])))
        raise ConfigError(f"task_type={shown(task_type)}: no pair is of it or below it{known}")
    return found

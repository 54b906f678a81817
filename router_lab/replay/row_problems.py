"""What is wrong with rows, told by reason: nine hundred rows of one are one line, with the first of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from router_lab.counted import counted

# Reasons that are kept apart; a row of one more only counts.
_REASONS = 200
# What differs between rows that have the same reason: numbers, hashes, and what is quoted of the row.
_OWN = re.compile(r"\b[0-9a-f]{8,}\b|\d+|'[^']*'|\"[^\"]*\"")


@dataclass(frozen=True, slots=True)
class RowProblem:
    """What is wrong with so many `rows`; `row` is the first of them: its number from 1 on, or its name."""

    row: int | str
    message: str
    rows: int = 1

    def __str__(self) -> str:
        first = f"row {self.row}" if isinstance(self.row, int) else self.row
        if self.rows == 1:
            return f"{first}: {self.message}"
        return f"{counted(self.rows, 'rows')}, the first of them {first}: {self.message}"


class RowProblems:
    """Gathers problems by reason. `count` are the rows with any."""

    def __init__(self) -> None:
        self.count = 0
        self._found: dict[str, RowProblem] = {}

    def add(self, problem: RowProblem) -> None:
        """One more row, or as many as are told together."""
        self.count += problem.rows
        reason = _OWN.sub("", problem.message)
        if (known := self._found.get(reason)) is not None:
            self._found[reason] = replace(known, rows=known.rows + problem.rows)
        elif len(self._found) < _REASONS:
            self._found[reason] = problem

    def add_all(self, problems: Iterable[RowProblem]) -> None:
        """Those of another part of the rows."""
        for one in problems:
            self.add(one)

    def told(self, most: int) -> tuple[RowProblem, ...]:
        """The reasons that most rows have, of equally many the first met."""
        return tuple(sorted(self._found.values(), key=lambda one: -one.rows)[:most])

    def lines(self, most: int) -> tuple[str, ...]:
        """As `told`, in words, and how many rows have other reasons."""
        told = self.told(most)
        rest = self.count - sum(one.rows for one in told)
        return (*map(str, told), *([f"and {counted(rest, 'rows')} more, for other reasons"] if rest else []))

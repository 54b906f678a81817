"""A number agrees with its noun and its verb, in every sentence that counts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import router_lab
from router_lab.counted import counted

SOURCES = Path(router_lab.__file__).parent

# A number in a sentence, and a plural right after it; `counted` writes both.
LOOSE = re.compile(
    r"\{(?:len\([^{}]*\)|count\([^{}]*\)|[^{}]*:,(?:\.0f)?)\} "
    r"(?:distinct |more )?(?:pairs|inputs|attempts|rows|task types|shadows)\b"
)
# Ends of a phrase that tells another number first (`3 of 8 pairs`), bounds, and forecasts.
PARDONED = re.compile(r" of \{|[A-Z_]{4,}|MOST|limit|more_pairs|count\(more\)|count\(needed\)|mean")


@pytest.mark.parametrize(
    ("number", "nouns", "verb", "said"),
    [
        (1, "pairs", "", "1 pair"),
        (0, "pairs", "", "0 pairs"),
        (1319, "distinct inputs", "have", "1,319 distinct inputs have"),
        (1, "distinct inputs", "have", "1 distinct input has"),
        (1, "sealed files", "are", "1 sealed file is"),
        (1, "scored pairs", "were", "1 scored pair was"),
        (1, "rows", "wait", "1 row waits"),
        (1, "entries", "", "1 entry"),
        (1, "batches", "", "1 batch"),
        (1, "answers", "", "1 answer"),
        (2, "people", "", "2 people"),
        (1, "people", "", "1 person"),
        (0.6, "days", "", "1 day"),
        (3_000_000, "rows", "", "3,000,000 rows"),
    ],
)
def test_a_count_agrees_with_its_noun_and_verb(number: float, nouns: str, verb: str, said: str) -> None:
    assert counted(number, nouns, verb) == said


def test_no_sentence_counts_by_itself() -> None:
    loose = [
        f"{path.relative_to(SOURCES)}: {line.strip()}"
        for path in sorted(SOURCES.rglob("*.py"))
        for line in path.read_text("utf-8").splitlines()
        if LOOSE.search(line) and not PARDONED.search(line)
    ]
    assert not loose, "\n".join(loose)

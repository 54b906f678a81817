"""A column of one name means the same in every table and in every frame."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest
from column_words import KINDS, contradictions, known, notes

from router_lab.analysis.metrics.grouping import ATTEMPT_KEYS, COMPARISON_KEYS
from router_lab.glossary import column_meaning, column_meanings


def test_what_tables_say_of_a_column_begins_with_what_the_glossary_says():
    for note in notes():
        said = column_meaning(note.column)
        if said is not None:
            place = f"{note.table}.{note.column}"
            assert note.meaning.startswith(said.text.removesuffix(".").partition(";")[0]), place
            assert KINDS.get(note.type, note.type) == said.kind, place


def test_a_column_of_several_tables_is_in_the_glossary():
    tables = Counter(note.column for note in notes())
    assert [name for name, count in tables.items() if count > 1 and name not in column_meanings()] == []


@pytest.mark.parametrize("name", sorted({*ATTEMPT_KEYS, *COMPARISON_KEYS}))
def test_what_metrics_are_grouped_by_is_explained(name: str):
    assert known(name)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("unheard_of", 1, "nobody says what it is"),
        ("unheard_of_low", 0.5, "nobody says what it is"),
        ("saving", 0.5, "holds number, and is said to be text"),
        ("verdict", "agrees", "says ['agrees']"),
        ("state", "half_open", "says ['half_open']"),
    ],
)
def test_a_column_that_means_something_else_is_found(column: str, value: object, told: str):
    assert told in "".join(contradictions([("a frame", pd.DataFrame({column: [value]}))]))

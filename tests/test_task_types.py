"""Task types as names in a tree."""

from __future__ import annotations

import ibis
import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from router_lab.task_types import depth, family, is_complete, is_within, lineage, within

NAMES = st.lists(st.text("ab_%é :", max_size=3), min_size=1, max_size=4).map("::".join)


@given(NAMES)
def test_a_lineage_leads_from_the_name_to_its_family(name):
    above = lineage(name)
    assert above[0] == name
    assert above[-1] == family(name)
    assert len(above) == depth(name)
    assert all(is_within(name, one) for one in above)


@given(NAMES, st.integers(0, 5))
def test_a_bounded_lineage_is_the_end_of_the_whole_one(name, deepest):
    assert lineage(name, deepest) == lineage(name)[max(0, depth(name) - deepest) :]


@given(st.lists(NAMES, min_size=1, max_size=8), NAMES)
def test_a_column_is_asked_as_its_values_are(names, prefix):
    one_by_one = [not prefix or is_within(name, prefix) for name in names]
    if not prefix:
        return
    assert list(within(pd.Series(names), prefix)) == one_by_one


def test_a_database_is_asked_as_its_values_are():
    names = ["a", "a::b", "ab", "a:b", "b::a", "%", "%::x", "a::"]
    table = ibis.memtable(pa.table({"name": names}))
    for prefix in ("a", "%", "a::b"):
        found = table.mutate(found=within(table["name"], prefix)).to_pyarrow()
        said = dict(zip(found["name"].to_pylist(), found["found"].to_pylist(), strict=True))
        assert said == {name: is_within(name, prefix) for name in names}


def test_every_level_has_a_name():
    assert is_complete("a::b")
    assert not any(map(is_complete, ("", "a::", "::a", "a::::b")))

"""What a replay remembers of a million texts: 8 bytes each, and as a set of the texts would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router_lab.replay.paid_pairs import GrowingTextSet, TextSet

texts = st.lists(st.text(max_size=8), max_size=40)


@given(texts, texts)
def test_it_has_what_was_put_in(some: list[str], others: list[str]) -> None:
    known, growing = TextSet(some), GrowingTextSet()
    for text in some:
        growing.add(text)
    for text in [*some, *others, ""]:
        assert (text in known) == (text in growing) == (text in set(some))


def test_what_grows_keeps_what_was_there_before() -> None:
    growing = GrowingTextSet()
    for number in range(120_000):
        growing.add(f"answer-{number}")
    assert all(f"answer-{number}" in growing for number in range(0, 120_000, 997))
    assert not any(f"answer-{number}" in growing for number in range(120_000, 125_000))

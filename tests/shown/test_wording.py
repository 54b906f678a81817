"""Numbers in words: nothing is rounded into what it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.shown.wording import percent


@pytest.mark.parametrize(
    ("share", "told"),
    [
        (0.958, "95.8%"),
        (0.0, "0.0%"),
        (1.0, "100.0%"),
        (1 - 1e-16, "100.0%"),
        (0.9996, "99.96%"),
        (-0.9996, "-99.96%"),
        (0.0004, "0.04%"),
        (0.000004, "0.000%"),
        (12.5, "1,250.0%"),
        (float("nan"), "–"),
    ],
)
def test_nearly_all_is_not_all(share: float, told: str) -> None:
    assert percent(share) == told


@given(st.floats(0.0001, 0.9999))
def test_a_share_between_none_and_all_is_told_as_one(share: float) -> None:
    assert 0 < float(percent(share).removesuffix("%")) < 100

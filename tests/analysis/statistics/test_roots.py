"""The root finder beside SciPy's, which it repeats to the last bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from router_lab.analysis.statistics.roots import root_between

KINDS = (
    lambda a, b: lambda x: a * x**3 + x - b,
    lambda a, b: lambda x: math.tanh(a * x - b),
    lambda a, b: lambda x: math.copysign(abs(x - b) ** 0.2, x - b),  # no slope to follow
    lambda a, b: lambda x: -1.0 if x < b else 1e-300,  # a step
    lambda a, b: lambda x: math.expm1(min(abs(a) * (x - b), 300.0)),
    lambda a, b: lambda x: (x - b) ** 9,
)
NUMBERS = st.floats(-20, 20)


@given(st.sampled_from(KINDS), NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.sampled_from([2e-12, 1e-6, 0.02]))
def test_it_is_scipys_to_the_last_bit(kind, a, b, low, high, xtol):
    function = kind(a, b)
    if not low < high or (function(low) < 0) == (function(high) < 0):
        return
    assert root_between(function, low, high, xtol, 1_000) == brentq(
        function, low, high, xtol=xtol, maxiter=1_000
    )


def test_it_takes_numpys_numbers_and_gives_pythons():
    found = root_between(lambda x: np.float64(x - 0.25), np.float64(0.0), np.float64(1.0))
    assert type(found) is float and found == 0.25


def test_what_has_no_root_is_told():
    with pytest.raises(ValueError, match="one sign"):
        root_between(lambda x: 1.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="no number"):
        root_between(lambda x: math.nan, 0.0, 1.0)
    with pytest.raises(RuntimeError, match="after 3 steps"):
        root_between(lambda x: (x - 0.3) ** 9, 0.0, 1.0, most_steps=3)

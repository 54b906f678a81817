"""Chance without state: numbers that depend on nothing but a seed and what they are drawn for."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from random import Random
from statistics import NormalDist
from typing import TypeVar

T = TypeVar("T")

_NORMAL = NormalDist()
_HARDNESS_SHARED = 0.6


def generator(*parts: object) -> Random:
    """A generator seeded by `parts`, the same in every process and Python version."""
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return Random(blake2b(text, digest_size=8).digest())


def uniform(*parts: object) -> float:
    """One number in [0, 1) for `parts`."""
    return int.from_bytes(
        blake2b("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass"), digest_size=7).digest(), "big"
    ) / (1 << 56)


def pick(options: Sequence[T], *parts: object) -> T:
    """One of `options` for `parts`."""
    return options[int(uniform(*parts) * len(options))]


def correlated_uniform(shared: Sequence[object], own: Sequence[object]) -> float:
    """A uniform number of which a part is common to all who share `shared`.

    A hard prompt is hard for every model: a Gaussian copula with correlation 0.36 between models
    keeps each model's error rate exactly as configured.
    """
    common = _NORMAL.inv_cdf(_inside(uniform(*shared)))
    private = _NORMAL.inv_cdf(_inside(uniform(*own)))
    return _NORMAL.cdf(_HARDNESS_SHARED * common + (1 - _HARDNESS_SHARED**2) ** 0.5 * private)


def _inside(value: float) -> float:
    return min(max(value, 1e-12), 1 - 1e-12)

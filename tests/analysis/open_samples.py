"""Samples that an A/B leaves open, of streams whose loss is drawn: a forecast says what becomes of them.

A stream is asked for rows as often as one likes and goes on where it was: values of a loss, 0 to -1, and the
inputs that the rows are of. How much it loses on average is drawn before each stream, as somebody who knows
nothing of a shadow but that it may lose about as much as the margin would draw it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from router_lab.analysis.outlook import more_pairs, more_pairs_between
from router_lab.analysis.statistics.clustered import ClusteredMean, cluster_mean

LEVEL = 0.025

Rows = tuple[np.ndarray, np.ndarray]
Stream = Callable[[int], Rows]
Scenario = Callable[[np.random.Generator, float], Stream]
Truth = Callable[[int, float], float]


def even_to_thrice(number: int, margin: float) -> float:
    """Any loss from none to three times the margin alike: the `number`-th of a series spread evenly."""
    return 3 * margin * _even(number)


def mostly_small(number: int, margin: float) -> float:
    """The margin on average, small losses more often than large ones."""
    return min(-margin * float(np.log1p(-_even(number))), 0.5)


def _even(number: int) -> float:
    return (number + 0.5) * (np.sqrt(5) - 1) / 2 % 1


def frequent(share: float, number: int = 1) -> Scenario:
    """`number` inputs with this share of the rows each, which never fail; all others come once."""

    def scenario(rng: np.random.Generator, loss: float) -> Stream:
        seen = 0

        def stream(rows: int) -> Rows:
            nonlocal seen
            place = rng.random(rows)
            is_frequent = place < share * number
            inputs = number + seen + np.arange(rows)
            inputs[is_frequent] = (place[is_frequent] / share).astype(int)
            seen += rows
            fails = ~is_frequent & (rng.random(rows) < loss / (1 - share * number))
            return -fails.astype(float), inputs

        return stream

    return scenario


def popular(zipf: float, of: str = "prompts", prompts: int = 200_000) -> Scenario:
    """Rows of prompts of which the k-th is asked in proportion to k^-zipf. What fails is `of` prompts, each
    always or never, or of rows, or of prompts by grades."""
    shares = np.cumsum(np.arange(1, prompts + 1.0) ** -zipf)
    shares /= shares[-1]

    def scenario(rng: np.random.Generator, loss: float) -> Stream:
        each = -graded_losses(rng, loss, prompts) if of == "grades" else -1.0 * (rng.random(prompts) < loss)

        def stream(rows: int) -> Rows:
            asked = np.searchsorted(shares, rng.random(rows))
            values = -(rng.random(rows) < loss).astype(float) if of == "rows" else each[asked]
            return values, asked

        return stream

    return scenario


def graded_losses(rng: np.random.Generator, loss: float, rows: int) -> np.ndarray:
    """Failures that cost two thirds on average, and as much again as a tenth of them in small differences."""
    fails = rng.random(rows) < 0.9 * 1.5 * loss
    return np.where(fails, rng.beta(2, 1, rows), rng.uniform(0, min(0.2 * loss, 1), rows))


def graded(rng: np.random.Generator, loss: float) -> Stream:
    return lambda rows: (-graded_losses(rng, loss, rows), np.arange(rows))


SCENARIOS: dict[str, tuple[Scenario, int]] = {
    "distinct": (frequent(0.0), 300),
    "distinct, 60": (frequent(0.0), 60),
    "graded": (graded, 300),
    "one of .6%": (frequent(0.006), 300),
    "one of 1.3%": (frequent(0.013), 300),
    "one of 3%": (frequent(0.03), 300),
    "five of .8%": (frequent(0.008, 5), 300),
    "Zipf .8": (popular(0.8), 300),
    "Zipf 1.1": (popular(1.1), 300),
    "Zipf 1.3": (popular(1.3), 300),
    "Zipf 1.1, of 5,000": (popular(1.1, prompts=5_000), 300),
    "Zipf .8, rows": (popular(0.8, "rows"), 300),
    "Zipf 1.1, rows": (popular(1.1, "rows"), 300),
    "Zipf .8, grades": (popular(0.8, "grades"), 300),
}


def is_settled(found: ClusteredMean, margin: float) -> bool:
    return min(found.p_above(-margin), found.p_below(-margin)) < LEVEL


def loss_of(values: np.ndarray, inputs: np.ndarray) -> ClusteredMean:
    return cluster_mean(values, inputs, bounds=(-1.0, 0.0))


@dataclass(frozen=True)
class Share:
    """Of `cases` open samples, the shares settled: by the pairs asked for, before the range that is shown and
    by its end; `endless` those for which no number was told.
    """

    settled: float
    before: float
    by_end: float
    endless: float
    cases: int

    @property
    def error(self) -> float:
        return float(np.sqrt(max(self.settled * (1 - self.settled), 0.01) / self.cases))

    def __str__(self) -> str:
        return (
            f"{self.settled:.3f} +- {self.error:.3f} of {self.cases} settled; "
            f"before the range {self.before:.3f}, by its end {self.by_end:.3f}; no number {self.endless:.3f}"
        )


def settled_share(
    name: str, truth: Truth, samples: int, margin: float = 0.05, is_ranged: bool = True, seed: int = 1
) -> Share:
    """Draws truths and samples, asks of each that is open how many more rows settle it, and draws these."""
    scenario, pairs = SCENARIOS[name]
    known: dict[bytes, tuple[float, float, float]] = {}
    outcomes = []
    for sample in range(samples):
        rng = np.random.default_rng([seed, sample, *name.encode()])
        stream = scenario(rng, truth(sample, margin))
        values, inputs = stream(pairs)
        found = loss_of(values, inputs)
        if is_settled(found, margin):
            continue
        key = _as_any_order(values, inputs)
        if key not in known:
            low, high = more_pairs_between(found, -margin, LEVEL) if is_ranged else (np.inf, np.inf)
            known[key] = (more_pairs(found, -margin, LEVEL), low - 1, high)
        outcomes.append(_outcome(known[key], stream, values, inputs, margin))
    came = np.array(outcomes)
    told = ~np.isnan(came)
    settled, before, by_end = np.sum(came, axis=0, where=told) / np.maximum(told.sum(axis=0), 1)
    return Share(settled, before, by_end, 1 - float(told[:, 0].mean()), len(came))


def _as_any_order(values: np.ndarray, inputs: np.ndarray) -> bytes:
    _, number = np.unique(inputs, return_inverse=True)
    sizes, sums = np.bincount(number), np.bincount(number, values)
    return np.sort(sizes + 1j * sums).tobytes()


def _outcome(
    asked: tuple[float, float, float], stream: Stream, values: np.ndarray, inputs: np.ndarray, margin: float
) -> list[float]:
    """Whether so many more rows of each settle it; NaN of no number."""
    more = int(max(one for one in asked if np.isfinite(one))) if np.isfinite(asked).any() else 0
    further, others = stream(more)
    values, inputs = np.append(values, further), np.append(inputs, others)
    start = len(values) - more
    return [
        float(is_settled(loss_of(values[: start + int(one)], inputs[: start + int(one)]), margin))
        if np.isfinite(one)
        else np.nan
        for one in asked
    ]

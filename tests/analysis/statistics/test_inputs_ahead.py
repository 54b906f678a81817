"""The exit's forecast settles as many open samples as it says, over truths nobody knows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from router_lab.analysis.exit.decision import first_crossing
from router_lab.analysis.statistics.betting import Floats, Tally, forecast_inputs, tally
from router_lab.analysis.statistics.inputs_ahead import inputs_ahead

MARGIN, ALPHA, CHANCE = 0.05, 0.05, 0.8
Draw = Callable[[np.random.Generator, float, int], Floats]


def agreeing(rng: np.random.Generator, loss: float, inputs: int) -> Floats:
    return (rng.random(inputs) >= loss).astype(float)


def graded(rng: np.random.Generator, loss: float, inputs: int) -> Floats:
    return rng.beta(20 * (1 - loss), 20 * loss, inputs)


def scored(rng: np.random.Generator, loss: float, inputs: int) -> Floats:
    """Worse by the loss besides what is by chance better or worse, as values between 0 and 1."""
    return (1 + rng.choice([-1, 0, 1], inputs, p=[0.08 + loss, 0.84 - loss, 0.08])) / 2


def preferred(rng: np.random.Generator, loss: float, inputs: int) -> Floats:
    """A judge's preference, of answers that are seldom equal: 60 leave twice the margin open either way."""
    return (1 + rng.choice([-1, 0, 1], inputs, p=[0.35 + loss / 2, 0.3, 0.35 - loss / 2])) / 2


def finely_scored(rng: np.random.Generator, loss: float, inputs: int) -> Floats:
    return np.clip((1 + rng.normal(-loss, 0.3, inputs)) / 2, 0, 1)


KINDS: dict[str, tuple[Draw, float, float]] = {
    "agreeing": (agreeing, 1 - MARGIN, 1.0),
    "graded": (graded, 1 - MARGIN, 1.0),
    "scored": (scored, (1 - MARGIN) / 2, 0.5),
    "preferred": (preferred, (1 - MARGIN) / 2, 0.5),
    "finely scored": (finely_scored, (1 - MARGIN) / 2, 0.5),
}


def planned_by_the_mean(seen: Tally, bar: float) -> float:
    """What the forecast was before: as many as settle it if the truth is what was seen."""
    return min(forecast_inputs(seen, bar, ALPHA, "above"), forecast_inputs(seen, bar, ALPHA, "below"))


def shares_settled(kind: str, inputs: int, samples: int) -> tuple[float, float]:
    """Of samples that are open after so many inputs, with losses of up to three times the margin, how many
    the number told settles, and a plan for the mean seen.
    """
    draw, bar, no_difference = KINDS[kind]
    rng = np.random.default_rng(inputs)
    by_forecast, by_mean = [], []
    while len(by_forecast) < samples:
        loss = rng.uniform(0.001, 3 * MARGIN)
        first = draw(rng, loss, inputs)
        if first_crossing(first, bar, ALPHA) is not None:
            continue
        seen = tally(first)
        needed, planned = (
            inputs_ahead(seen, bar, ALPHA, CHANCE, no_difference),
            planned_by_the_mean(seen, bar),
        )
        if not np.isfinite(needed):
            continue
        more = int(min(max(needed, planned if np.isfinite(planned) else 0), 300_000)) - inputs
        crossing = first_crossing(np.concatenate([first, draw(rng, loss, max(more, 0))]), bar, ALPHA)
        at = np.inf if crossing is None else crossing[0]
        by_forecast.append(at <= needed)
        by_mean.append(at <= planned)
    return float(np.mean(by_forecast)), float(np.mean(by_mean))


@pytest.mark.parametrize(("kind", "inputs"), [("agreeing", 60), ("scored", 60), ("preferred", 60)])
def test_the_number_told_settles_as_many_open_samples_as_it_says(kind: str, inputs: int) -> None:
    """Regression: of preferences .56 were settled by the number that settles .8."""
    settled, by_mean = shares_settled(kind, inputs, 50)
    assert 0.68 <= settled <= 0.92
    assert by_mean < settled - 0.05, "a plan for the mean seen was enough"


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inputs", [40, 60, 300])
def test_the_number_told_settles_that_many_of_2000(kind: str, inputs: int) -> None:
    settled, by_mean = shares_settled(kind, inputs, 2_000)
    print(f"{kind}, {inputs} inputs: {settled:.3f} settled, {by_mean:.3f} by a plan for the mean seen")
    # Graded values are foreseen with care: an input worth nothing may come.
    assert 0.75 <= settled <= (0.98 if kind == "graded" else 0.91)
    assert by_mean < settled - 0.05


def test_a_larger_chance_needs_more_inputs_and_what_is_nearer_to_the_bar_too() -> None:
    seen = tally(agreeing(np.random.default_rng(1), 0.01, 100))
    by_chance = [inputs_ahead(seen, 0.95, ALPHA, chance, 1.0) for chance in (0.05, 0.5, 0.8, 0.95)]
    assert by_chance == sorted(by_chance) and 100 < by_chance[0] < by_chance[-1]
    by_bar = [inputs_ahead(seen, bar, ALPHA, CHANCE, 1.0) for bar in (0.80, 0.90, 0.95)]
    assert by_bar == sorted(by_bar)


def test_the_same_inputs_are_told_the_same() -> None:
    seen = tally(graded(np.random.default_rng(2), 0.04, 50))
    assert len({inputs_ahead(seen, 0.95, ALPHA, CHANCE, 1.0) for _ in range(3)}) == 1


def test_what_lies_on_the_bar_after_many_inputs_is_settled_by_no_number() -> None:
    values = np.repeat([1.0, 0.0], [95_000, 5_000])
    assert inputs_ahead(tally(values), 0.95, ALPHA, CHANCE, 1.0) == np.inf

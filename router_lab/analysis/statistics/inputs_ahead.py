"""How many inputs in all bring the exit to a verdict, by simulation of what the inputs will be.

As of the pairs of an A/B (see `pairs_ahead`), a number is asked for of all truths that the inputs so far
leave open, and is the first by which as many of these are settled as was asked for: one that plans for the
mean seen asks for too few. One input not seen yet has the least value possible; of scores it may be the
greatest as well. How much is lost is thought beforehand to be about the margin: of agreement, small losses
more often than large ones; of scores, which may be better too, as often more than the margin as less, and by
less than another margin in one of two cases. A few scores tell less than that: 60 preferences of a judge
leave losses open that differ by four margins. The bets go on from the wealth that they have.

Of open samples of 40, 60 and 300 inputs, with losses that may be anything up to three times the margin, the
number told settles .77 to .84 (+-.02, 300 each) where inputs agree or do not, .78 to .87 of scores and
preferences; one that plans for the mean seen .34 to .69. What varies finely without a failure, as one of
those may come, is settled in .89 to .92 of graded agreement and to .97 of scores that differ by little; and
so are more than four of five where a shadow is as likely to be better as worse.

Source: Rubin, "The Bayesian bootstrap" (1981), for the shares.
"""

from __future__ import annotations

import numpy as np

from router_lab.analysis.statistics.ab_power import MOST_PAIRS
from router_lab.analysis.statistics.betting import Floats, Side, Tally, log_factors, mix
from router_lab.analysis.statistics.truths_left_open import DRAWN, RUNS, about_the_margin, tried

_CELLS = 12
# Each look has so many times the inputs to come of the look before; between two the number is interpolated.
_GROWTH = 1.25


def inputs_ahead(seen: Tally, bar: float, alpha: float, chance: float, no_difference: float) -> float:
    """Inputs in all by which a side is decided at `alpha` with this `chance`; infinite beyond a million more.

    `seen` has inputs and is undecided, its values lie in [0, 1]; `no_difference` is the value of an input
    whose answers are as good (1 of agreement, else 1/2). Seeded; takes some hundredths of a second.
    """
    kinds = _with_unseen(seen, no_difference)
    shares = _shares_left_open(kinds, bar, no_difference, seen.inputs)
    sides: tuple[Side, Side] = ("above", "below")
    gains = [_gains(kinds, bar, side) for side in sides]
    wealth = [np.tile(seen.counts @ _gains(seen, bar, side), (RUNS, 1)) for side in sides]
    rng, line = np.random.default_rng(0), -np.log(alpha)
    higher = np.maximum(*map(mix, wealth))
    # What has its evidence, and waits for a longer time, has it by the next input too.
    settled_at = np.where(higher >= line, 1.0, np.inf)
    enough, before, more = int(np.ceil(chance * RUNS)), 0, 1
    while more <= MOST_PAIRS:
        drawn = rng.multinomial(more - before, shares)
        for own, gain in zip(wealth, gains, strict=True):
            own += drawn @ gain
        earlier, higher = higher, np.maximum(*map(mix, wealth))
        new = (higher >= line) & np.isinf(settled_at)
        part = (line - earlier[new]) / (higher[new] - earlier[new])
        settled_at[new] = before + part * (more - before)
        if np.count_nonzero(np.isfinite(settled_at)) >= enough:
            return float(np.ceil(seen.inputs + np.sort(settled_at)[enough - 1]))
        before, more = more, max(int(more * _GROWTH), more + 1)
    return float("inf")


def _with_unseen(seen: Tally, no_difference: float) -> Tally:
    """What was seen in few cells, and one more input: the worst possible, of scores half at either end."""
    few, usual = seen.in_cells(_CELLS), float(seen.weights.max())
    ends, counts = ([0.0], [1.0]) if no_difference == 1 else ([0.0, 1.0], [0.5, 0.5])
    return Tally(
        np.append(few.values, ends),
        np.append(few.weights, [usual] * len(ends)),
        np.append(few.counts, counts),
    )


def _shares_left_open(kinds: Tally, bar: float, no_difference: float, inputs: int) -> Floats:
    """The shares (n, k) that kinds of inputs may have: of many drawn, every so many by their mean and by how
    likely such a loss is beforehand.
    """
    drawn = np.random.default_rng(1).dirichlet(kinds.counts, size=RUNS * DRAWN)
    means = drawn @ kinds.values
    margin = max(abs(no_difference - bar), no_difference / inputs)
    if no_difference < 1:
        likely = about_the_margin(means, bar, margin)
    else:
        likely = np.exp((means - means.max()) / margin)
    return np.asarray(drawn[tried(means, likely)])


def _gains(kinds: Tally, bar: float, side: Side) -> Floats:
    """What each bet gains by an input of each kind (k, bets), in logs."""
    values, limit = (kinds.values, bar) if side == "above" else (1 - kinds.values, 1 - bar)
    return log_factors(values, limit, kinds.weights)

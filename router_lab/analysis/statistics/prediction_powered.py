"""Few marks by people correct many verdicts of a judge: a mean with the judge's help and without its bias.

A judge has said something of (nearly) every pair, people of a drawn part. With f a prediction of what
people would say, made from the judge's verdicts,

    mean = average of f over all pairs + average of (said by people - f) over the marked ones

estimates what people would say of all pairs, whatever the judge is worth: a bad judge only makes the
interval wider than it need be. f is the regression of the marks on the judge's verdicts, so that its
slope is the best trust in the judge (0 for one that knows nothing); each fold of inputs is predicted
from the others, so that the fit does not flatter itself. Marks weigh one over the chance with which
their pair was drawn, and every pair one over its sampling probability.

Sources: Angelopoulos, Bates, Fannjiang, Jordan and Zrnic, "Prediction-powered inference" (2023);
Angelopoulos, Duchi and Zrnic, "PPI++" (2023); Zrnic and Candes, "Cross-prediction-powered inference"
(2024); the limits of a sum from those of its parts: Zou and Donner (2008).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from router_lab.analysis.statistics.betting import Floats
from router_lab.analysis.statistics.bounded import p_above
from router_lab.analysis.statistics.clustered import ClusteredMean, cluster_mean, labels_of
from router_lab.counted import counted
from router_lab.errors import ConfigError

FEWEST_MARKED = 10

_FOLDS = 20
_LEAST_P = 1e-12
# A judge who was clearly off (by a quarter of a whole difference) on fewer inputs than this may be off
# on others by luck unseen: then a t interval flatters, as it does beyond this skewness of the mean
# (Edgeworth: 3.3% where it says 2.5%), and the exact bound of bounded values is used.
_CLEARLY_OFF = 0.25
_FEWEST_OFF = 10
_MOST_SKEWED = 0.1


@dataclass(frozen=True, slots=True)
class PredictionPoweredMean:
    """The mean difference people would give over all pairs, in [-1, 1].

    It is the sum of `predicted` (f over all pairs) and `rectifier` (people less f over the marked
    ones); `people` is the mean of the marks alone. `overlap` is the correlation of the two errors,
    which share the marked inputs. `slopes` are the trust in each judge. `limits` are what a correction
    can be, where mistakes of the judge are so rare that the unseen ones must be allowed for.
    """

    predicted: ClusteredMean = field(repr=False)
    rectifier: ClusteredMean = field(repr=False)
    people: ClusteredMean
    overlap: float = field(repr=False)
    limits: tuple[float, float] | None = field(repr=False)
    slopes: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The judge's mean plus what people correct of it, cut to [-1, 1]."""
        return min(max(self.predicted.mean + self.rectifier.mean, -1.0), 1.0)

    @property
    def marked(self) -> int:
        """How many pairs people have marked."""
        return self.people.rows

    @property
    def standard_error(self) -> float:
        """Cluster-robust, of both parts together."""
        a, b = self.predicted.standard_error, self.rectifier.standard_error
        return float(np.sqrt(max(a**2 + b**2 + 2 * self.overlap * a * b, 0.0)))

    @property
    def effective_pairs(self) -> float:
        """How many independent marks would say as much, alone."""
        error = self.standard_error
        return self.people.effective_pairs * (self.people.standard_error / error) ** 2 if error > 0 else 1.0

    @property
    def worth(self) -> float:
        """How many marks alone would say as much: more than `marked` by what the judge adds."""
        error = self.standard_error
        return self.marked * (self.people.standard_error / error) ** 2 if error > 0 else float(self.marked)

    def interval(self, alpha: float = 0.05) -> tuple[float, float]:
        """Two-sided 1 - alpha interval: t on the marked inputs less one, or further where `limits` are."""
        below, above = self._reach(alpha)
        total = self.predicted.mean + self.rectifier.mean
        return max(total - below, -1.0), min(total + above, 1.0)

    def p_above(self, bar: float) -> float:
        """One-sided p-value against `mean <= bar`."""
        return _level(lambda alpha: self.mean - self._reach(alpha)[0] - bar)

    def p_below(self, bar: float) -> float:
        """One-sided p-value against `mean >= bar`."""
        return _level(lambda alpha: bar - self.mean - self._reach(alpha)[1])

    def _reach(self, alpha: float) -> tuple[float, float]:
        """How far the interval reaches below the estimate, and above."""
        parts = (_reach(self.predicted, alpha, None), _reach(self.rectifier, alpha, self.limits))
        below, above = (
            float(np.sqrt(max(a**2 + b**2 + 2 * self.overlap * a * b, 0.0)))
            for a, b in zip(*parts, strict=True)
        )
        return below, above


def prediction_powered_mean(
    differences: ArrayLike,
    verdicts: ArrayLike,
    *,
    chances: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
) -> PredictionPoweredMean:
    """The mean of `differences` (n,) in [-1, 1], NaN where nobody has marked the pair.

    `verdicts` (n,) or (n, judges) are the differences by each judge, NaN where it gave none (read as
    a tie). `chances` (n,) in (0, 1] are those with which a pair was drawn to be marked (only the
    marked ones' are read; default: all alike), `weights` (n,) one over the sampling probability,
    `clusters` (n,) labels of repeated inputs. Raises `ConfigError` for fewer than ten marked inputs
    and for values out of range.
    """
    rows = _Rows.checked(differences, verdicts, chances, weights, clusters)
    folds = _folds(rows.labels)
    predicted, slopes = _cross_fitted(rows, folds)
    marked = rows.marked
    residuals = rows.differences[marked] - predicted[marked]
    everywhere = cluster_mean(predicted, rows.labels, rows.weights)
    rectifier = cluster_mean(residuals, rows.labels[marked], rows.mark_weights[marked])
    limits = (-1.0 - float(predicted.max()), 1.0 - float(predicted.min()))
    return PredictionPoweredMean(
        predicted=everywhere,
        rectifier=rectifier,
        people=cluster_mean(
            rows.differences[marked], rows.labels[marked], rows.mark_weights[marked], bounds=(-1.0, 1.0)
        ),
        overlap=_overlap(rows, predicted, everywhere.mean, rectifier.mean),
        limits=limits if _rests_on_few(rectifier) else None,
        slopes=tuple(float(one) for one in slopes),
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    differences: Floats
    verdicts: Floats
    weights: Floats
    mark_weights: Floats
    labels: NDArray[np.int64]

    @property
    def marked(self) -> NDArray[np.bool_]:
        return np.isfinite(self.differences)

    @classmethod
    def checked(
        cls,
        differences: ArrayLike,
        verdicts: ArrayLike,
        chances: ArrayLike | None,
        weights: ArrayLike | None,
        clusters: ArrayLike | None,
    ) -> _Rows:
        said = np.asarray(differences, dtype=np.float64)
        judged = np.nan_to_num(np.asarray(verdicts, dtype=np.float64).reshape(len(said), -1), nan=0.0)
        marked = np.isfinite(said)
        chance = np.ones(len(said)) if chances is None else np.asarray(chances, dtype=np.float64)
        mass = np.ones(len(said)) if weights is None else np.asarray(weights, dtype=np.float64)
        labels = np.arange(len(said)) if clusters is None else labels_of(clusters, is_sorted=True)
        if not bool((np.abs(said[marked]) <= 1).all()) or not bool((np.abs(judged) <= 1).all()):
            raise ConfigError("differences and verdicts must lie in [-1, 1]")
        if not bool(((chance[marked] > 0) & (chance[marked] <= 1)).all()):
            raise ConfigError("every marked pair needs the chance in (0, 1] with which it was drawn")
        if not bool((np.isfinite(mass) & (mass > 0)).all()):
            raise ConfigError("weights must be finite and above zero")
        if (inputs := len(np.unique(labels[marked]))) < FEWEST_MARKED:
            raise ConfigError(f"{counted(inputs, 'marked inputs')}, at least {FEWEST_MARKED} are needed")
        mark_weights = np.where(marked, mass / np.where(marked, chance, 1.0), 0.0)
        return cls(said, judged, mass, mark_weights, labels)


def _folds(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The fold of each row: whole inputs, dealt out by a fixed shuffle of their labels."""
    inputs = int(labels.max()) + 1
    dealt = np.empty(inputs, dtype=np.int64)
    dealt[np.random.default_rng(0).permutation(inputs)] = np.arange(inputs) % _FOLDS
    return np.asarray(dealt[labels])


def _cross_fitted(rows: _Rows, folds: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """What is predicted of every row from the marks of other folds, and the slopes fitted to all marks.

    Weighted least squares with an intercept; each slope gives way as to one mark more that shows
    nothing, so that few marks cannot make a wild fit.
    """
    marked = rows.marked
    centre = np.average(rows.verdicts[marked], axis=0, weights=rows.mark_weights[marked])
    design = np.column_stack([np.ones(len(folds)), rows.verdicts - centre])
    mass = rows.mark_weights * marked.sum() / rows.mark_weights.sum()
    said = np.where(marked, rows.differences, 0.0)
    grams = np.zeros((_FOLDS, design.shape[1], design.shape[1]))
    moments = np.zeros((_FOLDS, design.shape[1]))
    np.add.at(grams, folds[marked], (mass[:, None, None] * design[:, :, None] * design[:, None, :])[marked])
    np.add.at(moments, folds[marked], ((mass * said)[:, None] * design)[marked])
    gram, moment = grams.sum(axis=0), moments.sum(axis=0)
    penalty = np.diag(np.append(0.0, np.maximum(np.diag(gram)[1:] / marked.sum(), 1e-9)))
    fits = np.linalg.solve(gram - grams + penalty, (moment - moments)[:, :, None])[:, :, 0]
    predicted = np.clip(np.einsum("ij,ij->i", design, fits[folds]), -1.0, 1.0)
    return predicted, np.linalg.solve(gram + penalty, moment)[1:]


def _reach(part: ClusteredMean, alpha: float, limits: tuple[float, float] | None) -> tuple[float, float]:
    """How far the interval of one part reaches below its mean, and above."""
    low, high = part.interval(alpha)
    if limits is not None:
        least, most = (limit * part.largest_share * part.clusters for limit in limits)
        low = min(low, _exact_end(part.parts, part.counts, least, alpha / 2))
        high = max(high, -_exact_end(-part.parts, part.counts, -most, alpha / 2))
    return part.mean - low, high - part.mean


def _exact_end(parts: Floats, counts: Floats, least: float, level: float) -> float:
    """`bounded.lower_bound` to four digits, which is some times faster."""
    centre = float(counts @ parts / counts.sum())
    return float(
        scipy.optimize.brentq(
            lambda bar: p_above(parts, counts, least, bar) - level, least, centre, xtol=1e-4
        )
    )


def _rests_on_few(mean: ClusteredMean) -> bool:
    """Whether a few inputs make the mean of the corrections, or might have."""
    pulls = mean.parts - mean.mean
    spread = float(mean.counts @ pulls**2)
    off = float(mean.counts @ (np.abs(pulls) > _CLEARLY_OFF))
    return off < _FEWEST_OFF or abs(float(mean.counts @ pulls**3)) > _MOST_SKEWED * spread**1.5


def _overlap(rows: _Rows, predicted: Floats, mean: float, residual_mean: float) -> float:
    """The correlation, over inputs, of what they add to both parts."""
    groups = int(rows.labels.max()) + 1
    residuals = np.where(rows.marked, rows.differences - predicted - residual_mean, 0.0)
    of_all = np.bincount(rows.labels, rows.weights * (predicted - mean), groups)
    of_marked = np.bincount(rows.labels, rows.mark_weights * residuals, groups)
    scale = float(np.sqrt((of_all**2).sum() * (of_marked**2).sum()))
    return float(of_all @ of_marked) / scale if scale > 0 else 0.0


def _level(distance: Callable[[float], float]) -> float:
    """The one-sided level at which an end of the interval meets a bar; `distance(alpha)` grows with it."""

    def at(log_level: float) -> float:
        return distance(2 * float(np.exp(log_level)))

    low, high = float(np.log(_LEAST_P)), float(np.log(0.5))
    if at(low) > 0:
        return _LEAST_P
    if at(high) <= 0:
        return _beyond_half(distance)
    return float(np.exp(scipy.optimize.brentq(at, low, high, xtol=0.02)))


def _beyond_half(distance: Callable[[float], float]) -> float:
    """The estimate itself lies on the wrong side of the bar: half and more."""
    return 0.5 if distance(1.0) == 0 else 1.0

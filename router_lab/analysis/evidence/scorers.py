"""Do those who scored the same pairs agree? Krippendorff's alpha, beyond what chance would give.

Source: Krippendorff, Computing Krippendorff's Alpha-Reliability (2011); any number of scorers, with missing
values. 1 is perfect agreement, 0 what chance gives, below 0 worse than that; by his own rule .8 is
reliable and .667 the least for tentative conclusions.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import numpy as np
import pandas as pd

from router_lab import arguments
from router_lab.analysis.evidence.marks import marks
from router_lab.analysis.ledger_tables import Source
from router_lab.errors import ConfigError

_COLUMNS = (
    "task_type", "scorers", "pairs", "same", "alpha_verdict", "alpha_verdict_low", "alpha_verdict_high",
    "alpha_difference", "alpha_difference_low", "alpha_difference_high", "unsure",
)  # fmt: skip
_RESAMPLES = 1_000


def scorer_agreement(
    source: Source, by: Collection[str] | None = None, alpha: float = 0.05, seed: int = 0
) -> pd.DataFrame:
    """How far several scorers agree on the pairs they share: one row per task type, and `all` of them.

    `by` names the scorers, judges among them if you like; without it, all people. `pairs` were scored by
    two or more; `same` is the share of these where all said the same of which answer is better (primary,
    shadow, neither, or `unsure`, which counts as a word of its own). `alpha_verdict` is Krippendorff's
    nominal alpha of that, `alpha_difference` his interval alpha of shadow score less primary score, with
    1 - `alpha` intervals from resampled pairs; null where all values are one, for then nothing tells
    agreement from habit. `unsure` is the share of marks. Chosen pairs count: this is about scorers.
    Empty where no pair has two scorers. Raises `ConfigError` for something that is no ledger.
    """
    names = None if by is None else arguments.texts("by", by, "a list of scorers' names")
    arguments.share("alpha", alpha)
    arguments.whole("seed", seed, least=0)
    said = marks(source)
    wanted = said["by"].isin(names) if names is not None else said["kind"] == "person"
    said = said[wanted & ((said["verdict"] == "unsure") | _difference(said).notna())]
    shared = said[said.groupby("comparison_id")["by"].transform("nunique") >= 2]
    kinds = [(str(name), group) for name, group in shared.groupby("task_type", sort=True)]
    if len(kinds) > 1:
        kinds.append(("all", shared))
    rows = [{"task_type": name, **_agreement(group, alpha, seed)} for name, group in kinds]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def krippendorff_alpha(ratings: Any, level: Literal["nominal", "interval"] = "nominal") -> float:
    """Krippendorff's alpha of `ratings`, an array of units by scorers; None or NaN where one is missing.

    NaN where no unit has two ratings, or all ratings are one value. Raises `ConfigError` for another level,
    and for no ratings.
    """
    arguments.choice("level", level, ("nominal", "interval"))
    units, values = _long(_ratings(ratings, level))
    return float(_alphas(*_unit_sums(units, values, level))[0])


def _ratings(ratings: Any, level: str) -> pd.DataFrame:
    what = "an array of units by scorers, such as [[1, 1], [0, None]]"
    try:
        found = pd.DataFrame(ratings)
        if level == "interval":
            found = found.astype(np.float64)
        for column in found:
            pd.factorize(found[column])
    except (TypeError, ValueError):
        numbers = "; of the level 'interval' they are numbers" if level == "interval" else ""
        raise arguments.wrong("ratings", ratings, f"{what}{numbers}") from None
    if ratings is None or isinstance(ratings, str | bytes) or found.empty:
        raise arguments.wrong("ratings", ratings, what)
    return found


def _agreement(group: pd.DataFrame, alpha: float, seed: int) -> dict[str, Any]:
    units = pd.factorize(group["comparison_id"])[0]
    difference = _difference(group)
    verdict = np.sign(difference).fillna(2.0)  # unsure
    known = difference.notna().to_numpy()
    row: dict[str, Any] = {
        "scorers": group["by"].nunique(),
        "pairs": int(units.max()) + 1,
        "same": float((verdict.groupby(units).nunique() == 1).mean()),
        "unsure": float((~known).mean()),
    }
    for name, sums in (
        ("verdict", _unit_sums(units, verdict.to_numpy(), "nominal")),
        ("difference", _unit_sums(units[known], difference.to_numpy()[known], "interval")),
    ):
        low, high = _resampled(sums, alpha, seed)
        row |= {f"alpha_{name}": float(_alphas(*sums)[0])}
        row |= {f"alpha_{name}_low": low, f"alpha_{name}_high": high}
    return row


def _difference(said: pd.DataFrame) -> Any:
    return (said["shadow_score"] - said["primary_score"]).astype(np.float64)


def _long(ratings: pd.DataFrame) -> tuple[Any, Any]:
    missing = ratings.isna().to_numpy()
    units, places = np.nonzero(~missing)
    return units, ratings.to_numpy(dtype=object)[units, places]


# Of each unit with two ratings or more: how many there are, their sum and sum of squares in each dimension.
UnitSums = tuple[Any, Any, Any]


def _unit_sums(units: Any, values: Any, level: str) -> UnitSums:
    """Nominal values become unit vectors: two that differ are then half their squared distance apart."""
    if level == "nominal":
        columns = np.eye(len(set(values)))[pd.factorize(np.asarray(values))[0]] / np.sqrt(2)
    elif level == "interval":
        columns = np.asarray(values, dtype=np.float64)[:, None]
    else:
        raise ConfigError(f"level={level!r}: 'nominal' or 'interval'")
    frame = pd.DataFrame(columns).groupby(np.asarray(units))
    count = frame.size().to_numpy(dtype=np.float64)
    shared = count >= 2
    squares = pd.DataFrame(columns**2).groupby(np.asarray(units)).sum().to_numpy()
    return count[shared], frame.sum().to_numpy()[shared], squares[shared]


def _alphas(count: Any, sums: Any, squares: Any, weights: Any = None) -> Any:
    """Alpha, one for each row of `weights` (resamples by units; default one, of all units once)."""
    if weights is None:
        weights = np.ones((1, len(count)))
    within = 2 * (count * squares.sum(axis=1) - (sums**2).sum(axis=1)) / (count - 1)
    total = weights @ count
    observed = weights @ within
    apart = 2 * (total * (weights @ squares).sum(axis=1) - ((weights @ sums) ** 2).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        # Rounding must not pass for variety where all values are one.
        apart = np.where(apart > 1e-9 * np.maximum(total, 1), apart, np.nan)
        return 1 - observed * (total - 1) / apart


def _resampled(sums: UnitSums, alpha: float, seed: int) -> tuple[float, float]:
    units = len(sums[0])
    if units < 2:
        return float("nan"), float("nan")
    random = np.random.default_rng(seed)
    found = _alphas(*sums, random.multinomial(units, np.full(units, 1 / units), size=_RESAMPLES))
    found = found[np.isfinite(found)]
    if not len(found):
        return float("nan"), float("nan")
    low, high = np.quantile(found, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)

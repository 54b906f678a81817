"""Of which inputs an exit speaks: distinct ones, as they were in a time; and where that misleads.

The monitor's mean is of distinct inputs, of calls at one time. What the calls would say besides is told: the
mean over calls where a few inputs that repeat part it from the mean over inputs, inputs that are asked for
often and were never compared, values that go with the hour or the weekday, and neighbours in time that are
alike, as near duplicates in bursts are: each of them counts as if it were news. Seeing that they are alike
stops a part of the false exits of such bursts (3,000 pairs over nine days, in bursts of 10: .37 to .12, of
50: .83 to .57; all in an hour: .35 to .27, .65 to .40; 60 runs each, +-.06, looked at every 100 pairs), for
none is seen while all agree. Naming the cluster leaves under .01.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from router_lab.analysis.evidence.row_selection import first_rows, rows_where
from router_lab.analysis.statistics.betting import Floats
from router_lab.counted import counted
from router_lab.shown.wording import percent, plain

# A tag of the calls, as a cluster: `tag:session`.
TAG: Final = "tag:"

# How far the calls' mean may part from the inputs', on the scale from 0 to 1 that is bet on.
_PARTED = 0.01
_HEAVY = 0.01
_CHANCE = 0.001
_CYCLE_LEVEL = 0.001
_FEWEST_IN_PART = 10
_WEEK_DAYS = 7.0

# Of neighbours up to so many places apart, and beyond so many standard errors, likeness is no chance: of
# independent 0/1 values at .95 to .99 one look in 400 to 2,000 is.
_NEIGHBOURS = 10
_FEWEST_IN_TIME = 50
_ALIKE = 4.0
_ROUNDING = 1e-9


def first_of_each(rows: pd.DataFrame, cluster: str | None) -> pd.DataFrame:
    """The first pair of each input, and of these the first of each value of `cluster` (None: all).

    A pair whose cluster is not known is one of its own.
    """
    first = first_rows(rows, "input_hash")
    if cluster is None or cluster == "input_hash":
        return first
    return first[first[cluster].isna() | ~first[cluster].duplicated()]


def span_days(rows: pd.DataFrame) -> float:
    """Days from the first of `rows` to the last; 0 without times."""
    times = rows["created_at"].dropna()
    return float((times.max() - times.min()).total_seconds() / 86_400) if len(times) else 0.0


def inputs_until(rows: pd.DataFrame, at_least_days: float, cycle: str) -> int:
    """How many of `rows`, in their order, it takes until no exit waits for time: see `why_waiting`."""
    days = max(at_least_days, _WEEK_DAYS if cycle else 0.0)
    times = rows["created_at"]
    spans = (times.cummax() - times.cummin()).dt.total_seconds().to_numpy() / 86_400
    reached = np.flatnonzero(spans >= days) if days else np.zeros(1, dtype=int)
    return int(reached[0]) + 1 if len(reached) else len(rows) + 1


def replayed(rows: pd.DataFrame) -> str:
    """That the times of `rows` are those of a replay and not of the inputs, in words; "" for live calls."""
    is_replayed = rows["origin"] == "replay"
    if not is_replayed.any():
        return ""
    return f" ({'' if is_replayed.all() else 'partly '}asked in a replay: the inputs may be older)"


def as_they_were(rows: pd.DataFrame, cluster: str | None) -> str:
    """The inputs that a mean is about, in words."""
    times = rows["created_at"].dropna()
    each = f", the first of each {plain(cluster)}" if cluster not in (None, "input_hash") else ""
    if times.empty:
        return f"of distinct inputs{each}"
    when = f"as they were from {times.min():%Y-%m-%d} to {times.max():%Y-%m-%d}{replayed(rows)}"
    return f"of distinct inputs{each}, {when}"


def parted(evidence: pd.DataFrame, first: pd.DataFrame, weights: Floats) -> str:
    """That the mean of the calls is another than that of the inputs, in words; "" where it is not."""
    if not len(first) or len(evidence) == len(first):
        return ""
    inputs = float(np.average(first["scaled"], weights=weights))
    calls = float(np.average(evidence["scaled"], weights=1 / evidence["probability"]))
    if abs(calls - inputs) <= _PARTED:
        return ""
    return (
        f"the calls' mean is {calls:.3f}, the distinct inputs' {inputs:.3f}: inputs that repeat do otherwise "
        "than the rest, and the verdict is not about calls"
    )


def never_compared(latest: pd.DataFrame, evidence: pd.DataFrame) -> str:
    """That inputs with a part of the calls each were never compared, or more of those that repeat than by
    chance left out, in words; "" where there are none.
    """
    is_known = ~latest["is_noise"] & latest["input_hash"].notna()
    rows = latest.loc[is_known, ["input_hash", "sample_probability", "status", "use"]]
    number, inputs = pd.factorize(rows["input_hash"])
    calls = np.bincount(number).astype(np.float64)
    told = (
        _heavy_inputs(pd.Series(calls, index=pd.Index(inputs)), evidence),
        _beyond_chance(rows, number, calls),
    )
    return "; ".join(filter(None, told))


def _heavy_inputs(calls: pd.Series, evidence: pd.DataFrame) -> str:
    """Of inputs with a part of the `calls` each, those without evidence, in words."""
    heavy = calls[(calls >= _HEAVY * calls.sum()) & (calls > 1)]
    # Of the heavy ones, which are few, those that were compared: not the other way round.
    compared = evidence.loc[evidence["input_hash"].isin(heavy.index), "input_hash"]
    heavy = heavy.drop(compared.unique())
    if heavy.empty:
        return ""
    share = percent(float(heavy.sum() / calls.sum()))
    inputs, verb, them = (
        counted(len(heavy), "inputs"),
        *(("was", "it") if len(heavy) == 1 else ("were", "them")),
    )
    return f"{inputs} with {share} of the calls {verb} never compared: nothing is known of {them}"


def _beyond_chance(rows: pd.DataFrame, number: NDArray[np.intp], calls: Floats) -> str:
    """That inputs that repeat were compared less than the rates let expect, in words; "" where they were not.

    `number` is of which input each of `rows` is, `calls` how many each input has. An input is sampled with
    all its calls or with none, at its highest rate r. So the n calls of one are not compared with a chance
    of 1 - r, and the sum over inputs has a variance of n^2 r (1 - r) each. Beyond its mean by Bernstein's
    bound it comes in at most `_CHANCE` of the cases.
    """
    is_missed = calls > 1
    is_missed[number[(rows["use"] != "not_run").to_numpy()]] = False
    missed, odds = float(calls[is_missed].sum()), -np.log(_CHANCE)
    if missed <= _HEAVY * calls.sum():
        return ""
    rates = rows["sample_probability"].where(rows["status"] != "off", 0.0).fillna(0.0).clip(0.0, 1.0)
    rate = rates.groupby(number).max().to_numpy()[calls > 1]
    repeated = calls[calls > 1]
    expected = float(repeated @ (1 - rate))
    bound = np.sqrt(2 * odds * float(repeated**2 @ (rate * (1 - rate)))) + repeated.max() * odds / 3
    if missed - expected <= max(float(bound), _HEAVY * calls.sum()):
        return ""
    seen, planned = (percent(share / float(calls.sum())) for share in (missed, expected))
    return (
        f"inputs that repeat, with {seen} of the calls, were never compared, where the sampling rate lets "
        f"expect {planned}: what is compared is not a sample of the calls"
    )


def cycles(first: pd.DataFrame) -> str:
    """That values go with the hour or the weekday, in words; "" where that is not seen.

    Kruskal and Wallis's test over parts of the day (six hours, UTC) and over weekdays, each at .001.
    """
    known = rows_where(first[["created_at", "scaled"]], first["created_at"].notna())
    parts = _parts(known["created_at"].dt)
    found = [_of_cycle(name, known["scaled"], part) for name, part in parts.items()]
    return "; ".join(one for one in found if one)


def _parts(times: Any) -> dict[str, pd.Series]:
    return {"hour of the day (UTC)": times.hour // 6 * 6, "weekday": times.day_of_week}


def neighbours_alike(first: pd.DataFrame) -> str:
    """That values of neighbours in time go together, in words; "" where that is not seen.

    The sum of the autocorrelations up to ten places, which of independent values has a variance of 10 / n;
    of what is left of the values when the means of the parts of the day, and of the weekdays, are taken off.
    """
    in_time = first[["created_at", "scaled"]].sort_values("created_at", kind="stable")
    values = in_time["scaled"].to_numpy(dtype=float)
    if len(values) < _FEWEST_IN_TIME or np.ptp(values) < _ROUNDING:
        return ""
    apart = _without_cycles(in_time["scaled"], in_time["created_at"].dt)
    if apart @ apart < _ROUNDING:
        return ""
    together = sum(float(apart[by:] @ apart[:-by]) for by in range(1, _NEIGHBOURS + 1)) / (apart @ apart)
    if together * np.sqrt(len(values) / _NEIGHBOURS) <= _ALIKE:
        return ""
    return "neighbours in time are alike, as near duplicates and inputs that change are"


def _without_cycles(values: pd.Series, times: Any) -> Floats:
    """Values less the means of their part of the day and of their weekday; less their mean without times."""
    apart = values - values.mean()
    for part in _parts(times).values():
        apart = apart - apart.groupby(part).transform("mean").fillna(0.0)
    return np.asarray(apart, dtype=np.float64)


def _of_cycle(name: str, values: pd.Series, part: pd.Series) -> str:
    groups = {key: own.to_numpy() for key, own in values.groupby(part) if len(own) >= _FEWEST_IN_PART}
    if len(groups) < 2 or np.ptp(np.concatenate(list(groups.values()))) == 0:
        return ""
    if float(scipy.stats.kruskal(*groups.values()).pvalue) >= _CYCLE_LEVEL:
        return ""
    means = {key: float(own.mean()) for key, own in groups.items()}
    low, high = min(means, key=lambda key: means[key]), max(means, key=lambda key: means[key])
    label = _hours if name.startswith("hour") else _weekday
    return f"values go with the {name}: {means[low]:.3f} {label(low)}, {means[high]:.3f} {label(high)}"


def _hours(start: Any) -> str:
    return f"from {int(start):02d} to {int(start) + 6:02d}"


def _weekday(day: Any) -> str:
    return (
        "on "
        + ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")[int(day)]
    )


def why_waiting(days: float, at_least_days: float, cycle: str, alike: str, cluster: str | None) -> str:
    """Why an exit waits, in words; "" where it need not.

    Values of neighbours that are `alike` beyond any cycle wait until somebody says what counts once.
    """
    if days < at_least_days:
        return f"the pairs span {days:.2g} days of the {at_least_days:g} that the plan asks for"
    if cycle and days < _WEEK_DAYS:
        return f"{cycle}, and the pairs span {days:.2g} days: a week shows all of a cycle"
    if alike and cluster is None:
        return (
            f"{alike}: name what makes them so (cluster=, a column or {TAG}NAME), of which the first counts, "
            "or cluster='input_hash' to let each count"
        )
    return ""

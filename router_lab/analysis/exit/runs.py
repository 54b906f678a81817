"""The evidence of one task type since what is compared last changed, as values that can be bet on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final

import numpy as np
import pandas as pd

from router_lab.analysis.evidence.ladder import (
    HELPED_ON_THE_REST,
    PREFIX,
    QUALITY,
    Evidence,
)
from router_lab.analysis.evidence.ladder import evidence as evidence_of
from router_lab.analysis.evidence.pairs import equal_and_badly_off
from router_lab.analysis.evidence.people_and_judge import shared_pairs
from router_lab.analysis.evidence.population import (
    as_they_were,
    cycles,
    first_of_each,
    inputs_until,
    neighbours_alike,
    never_compared,
    parted,
    span_days,
    why_waiting,
)
from router_lab.analysis.evidence.prompts import settled, take_turns
from router_lab.analysis.evidence.quality import (
    ROWS_OWN,
    SEVERAL,
    allows_more_failures,
    inspect,
    led_by_failures,
    markable_pairs,
    nothing_said,
    prompt_name,
)
from router_lab.analysis.evidence.row_selection import (
    first_rows,
    last_known,
    last_other,
    rows_where,
    used_as,
)
from router_lab.analysis.exit.decision import Decision
from router_lab.analysis.exit.history import Standing
from router_lab.analysis.exit.watches import COMPARED, changed, changes
from router_lab.analysis.outlook import scores_to_settle
from router_lab.analysis.statistics.betting import Floats, Tally, tally
from router_lab.analysis.statistics.prediction_powered_betting import helped
from router_lab.analysis.statistics.rates import (
    chances,
    common_rates,
    count_alike,
    of_calls,
    of_which_mean,
    weights_of,
)
from router_lab.records import Watch
from router_lab.shown.wording import basis_of, points, shares

# Findings of the A/B that do not concern distinct inputs that are weighted and looked at at any time.
_NO_MATTER = ("too_few_clusters", "few_clusters", "large_cluster", "sampling_changed")

# The share of pairs that a judge was asked about below which it helps a watch no more: newer ones may wait.
LEAST_JUDGED: Final = 0.5

# What the evidence of likeness needs.
_OF_LIKENESS = (
    "input_hash", "created_at", "is_noise", "use", "comparator", "agreement", "sample_probability",
)  # fmt: skip

_COMPARED_USES = ("scored", "shadow_failed", "shadow_unusable")


@dataclass(frozen=True, slots=True)
class Run:
    """The evidence of one task type: values in [0, 1] in time order, and where they came from.

    `basis` is what it is judged by, on `pairs` of the `of_pairs` that might have spoken, by `whose` scores or
    preference ("" for likeness); `estimand` what the mean is about. `bar` is what it is held against.
    `reach` is how far beyond [0, 1] a value may lie (see `betting`; None: none does); `alone` is what people
    and a judge say each alone, where the judge helps people's marks. `waits` is why an exit waits ("": not),
    `waited_for` the inputs from which on one is seen that had to wait for time;
    `only_likeness` that the mean is of a likeness, which may be high where answers are wrong ("": it is not).
    `equal_share` of the inputs agree exactly, `badly_off_share` by less than .5 (NaN without likeness).
    `nothing` says what is missing where no pair speaks. `markable` values are of pairs with two answers;
    `is_led_by_failures`: those that fall short do so mostly by shadows that gave nothing.
    `newest` and `started` are None when nothing ran. `refusal` says why no verdict may rest on these pairs
    ("" for none), `sampled` how many there were to be. `audits` are the values seen since an exit, which
    the verdict does not use, `audit_likeness` their agreement, `likeness` that before. `usd_per_pair` is
    the mean known cost of a shadow answer (of a ledger: what was billed), NaN when none is known.
    """

    task_type: str
    basis: str
    whose: str
    estimand: str
    of_pairs: int
    bar: float
    values: Floats = field(repr=False)
    weights: Floats = field(repr=False)
    audits: Floats = field(repr=False)
    likeness: Floats = field(repr=False)
    audit_likeness: Floats = field(repr=False)
    pairs: int
    sampled: int
    refusal: str
    warnings: str
    started: datetime | None
    newest: datetime | None
    usd_per_pair: float
    reach: Floats | None = field(default=None, repr=False)
    alone: PeopleAndJudge | None = None
    waits: str = ""
    waited_for: int = 1
    equal_share: float = float("nan")
    badly_off_share: float = float("nan")
    only_likeness: str = ""
    markable: int = 0
    is_led_by_failures: bool = False
    nothing: str = ""


@dataclass(frozen=True, slots=True)
class PeopleAndJudge:
    """What people's marks and a judge's verdicts say, each without the other, as tallies to bet on."""

    people: Tally
    judge: Tally


def run_of(name: str, latest: pd.DataFrame, found: Evidence, watch: Watch, standing: Standing) -> Run:
    """The run of `latest`, rows of `pairs.judged_pairs`, of which `found` speak, by the plan of `watch`."""
    evidence = rows_where(found.rows, found.rows["probability"].between(0, 1, inclusive="right"))
    scaled, bar = betting_scale(evidence["value"].to_numpy(), found.basis, watch.margin)
    evidence = evidence.assign(scaled=scaled, marked=_marked_at(evidence))
    audit = _audits(evidence, standing)
    judged = rows_where(evidence, ~audit)
    first = first_of_each(judged, watch.cluster)
    if found.is_helped:
        first = first.sort_values("marked", kind="stable")
    values, reach, alone = first["scaled"].to_numpy(), None, None
    is_common = common_rates(latest)
    alike = count_alike(first, values, bar, is_common=is_common)
    weigh = partial(weights_of, least_probability=watch.least_probability, alike=alike)
    weights = weigh(first)
    if found.is_helped:
        values, reach, alone = _helped(latest, found, first, weights, weigh, watch.margin, standing)
    cycle, near = cycles(first), neighbours_alike(first)
    times = evidence["created_at"].dropna()
    likeness, audit_likeness = _likeness(latest, standing)
    before = rows_where(latest, ~_audits(latest, standing))
    findings = [one for one in inspect(before, found, None) if one.code not in _NO_MATTER]
    told = (
        of_calls(first, first["scaled"].to_numpy()) if is_common and not alike else "",
        parted(judged, first, weights),
        never_compared(before, judged),
        cycle,
        near,
        _of_margin(found, watch.margin, first, weights),
    )
    return Run(
        task_type=name,
        basis=found.basis,
        whose=found.whose,
        estimand=_estimand(found, first, watch.cluster) + of_which_mean(first, alike=alike),
        of_pairs=found.of,
        bar=bar,
        values=values,
        weights=weights,
        audits=first_of_each(evidence[audit], watch.cluster)["scaled"].to_numpy(),
        likeness=likeness,
        audit_likeness=audit_likeness,
        pairs=len(evidence),
        sampled=int((~before["is_noise"] & (before["use"] != "not_run")).sum()),
        refusal="; ".join(one.message for one in findings if one.refuses),
        only_likeness="; ".join(one.message for one in findings if one.code == "similarity"),
        warnings="; ".join(filter(None, [*(one.message for one in findings if not one.refuses), *told])),
        started=times.iloc[0].to_pydatetime() if len(times) else None,
        newest=times.iloc[-1].to_pydatetime() if len(times) else None,
        usd_per_pair=float(evidence["shadow_cost_usd"].mean()),
        reach=reach,
        alone=alone,
        markable=markable_pairs(first),
        is_led_by_failures=led_by_failures(first),
        nothing=nothing_said(latest, found.basis) if evidence.empty else "",
        **equal_and_badly_off(first, pd.Series(weights, first.index)),
        waits=why_waiting(span_days(first), watch.at_least_days or 0.0, cycle, near, watch.cluster),
        waited_for=inputs_until(first, watch.at_least_days or 0.0, cycle),
    )


def _of_margin(found: Evidence, margin: float, first: pd.DataFrame, weights: Floats) -> str:
    """That the margin is larger than what the primary fails at on these distinct inputs."""
    if "reference_score" not in first or not weights.sum() > 0:
        return ""
    return allows_more_failures(found, margin, float(np.average(first["reference_score"], weights=weights)))


def _helped(
    latest: pd.DataFrame,
    found: Evidence,
    first: pd.DataFrame,
    weights: Floats,
    weigh: Callable[[pd.DataFrame], Floats],
    margin: float,
    standing: Standing,
) -> tuple[Floats, Floats, PeopleAndJudge]:
    """Marks with a judge's help, in the order of marking; and what either says alone."""
    pairs = shared_pairs(latest, found, LEAST_JUDGED)
    assert pairs is not None  # noqa: S101 - that is what `is_helped` says
    judged, _ = betting_scale(pairs.said.to_numpy(), found.basis, margin)
    everywhere = pairs.rows.assign(judged=judged)
    everywhere = everywhere[pairs.is_known & ~_audits(everywhere, standing)].drop_duplicates("input_hash")
    order = pd.util.hash_array(
        (everywhere["comparison_id"] + everywhere["request_id"]).to_numpy(dtype=object)
    )
    everywhere = everywhere.iloc[np.argsort(order, kind="stable")]
    values = helped(
        first["scaled"],
        pd.Series(judged, pairs.rows.index).reindex(first.index),
        everywhere["judged"],
        masses=1 / chances(first),
        weights=1 / everywhere["sample_probability"],
    )
    said = everywhere.assign(probability=everywhere["sample_probability"])
    alone = PeopleAndJudge(tally(first["scaled"], weights), tally(everywhere["judged"], weigh(said)))
    return values.values, values.reach, alone


def _marked_at(rows: pd.DataFrame) -> pd.Series:
    """When people marked a pair; when it was made, where that is not known."""
    name = f"{PREFIX['people']}marked_at"
    return rows[name].fillna(rows["created_at"]) if name in rows else rows["created_at"]


def _audits(rows: pd.DataFrame, standing: Standing) -> pd.Series:
    """Which rows are of after an exit."""
    if standing.state != "exited":
        return pd.Series(False, index=rows.index)
    return rows["created_at"] > pd.Timestamp(standing.since)


def _likeness(latest: pd.DataFrame, standing: Standing) -> tuple[Floats, Floats]:
    """The agreement of distinct inputs, before an exit and since."""
    alike = evidence_of(latest[list(_OF_LIKENESS)], "agreement").rows
    audit = _audits(alike, standing)
    before, since = (first_rows(alike[one], "input_hash")["agreement"] for one in (~audit, audit))
    return before.to_numpy(dtype=float), since.to_numpy(dtype=float)


def latest_run(rows: pd.DataFrame, since: datetime | None) -> pd.DataFrame:
    """Rows after the last change of what is compared; nulls (a side that failed) change nothing."""
    if since is not None:
        rows = rows_where(rows, rows["created_at"] > pd.Timestamp(since))
    rows = settled(rows)
    main = _compared(rows)
    if main.empty:
        return rows
    last = max(last_other(main[column]) for column in COMPARED)
    return rows if last < 0 else rows.loc[main.index[last] + 1 :]


def began_because(rows: pd.DataFrame, latest: pd.DataFrame, now: Mapping[str, str | None]) -> str:
    """What of the pairs changed last before the `latest` run began, which compares what `now` says, in
    words; "" where nothing did.
    """
    if latest.empty or latest.index[0] == rows.index[0]:
        return ""
    before = compared_by(settled(rows).loc[: latest.index[0] - 1])
    return ", ".join(changed(*one) for one in changes(before, now))


def compared_by(latest: pd.DataFrame) -> dict[str, str | None]:
    """What the pairs of a run compare; None where it is not known."""
    main = _compared(latest)
    newest = {column: last_known(main[column]) for column in COMPARED}
    return {column: None if last is None else str(last) or None for column, last in newest.items()}


def _compared(rows: pd.DataFrame) -> pd.DataFrame:
    """What was compared in each pair that ran, `shadow_prompt` in words: known of all that answered."""
    is_run = ~rows["is_noise"] & used_as(rows, _COMPARED_USES)
    main = rows_where(rows[[*COMPARED, "use"]], is_run)
    is_scored, known = main["use"] == "scored", main["shadow_prompt"].dropna()
    if known.empty:
        of_rows = pd.Categorical.from_codes(is_scored.to_numpy().astype(np.int8) - 1, [ROWS_OWN])
        return main.assign(shadow_prompt=of_rows)
    own = pd.Series(None, main.index, dtype=object).mask(is_scored, ROWS_OWN)
    own[known.index] = [prompt_name(number) for number in known]
    if take_turns(own.dropna()):
        own = own.mask(own.notna(), SEVERAL)
    return main.assign(shadow_prompt=own)


def betting_scale(differences: Floats, basis: str, margin: float) -> tuple[Floats, float]:
    """Differences in [-1, 1] as values in [0, 1], and the bar their mean must beat."""
    if basis == "agreement":
        return np.clip(1 + differences, 0, 1), round(1 - margin, 12)
    return np.clip((1 + differences) / 2, 0, 1), (1 - margin) / 2


def on_scale(value: float, basis: str) -> str:
    """A value that was bet on, in words: agreement as it is, a difference in points."""
    if basis == "agreement" or value != value:
        return f"{value:.4f}"
    return f"{points(2 * value - 1)} points"


def scores_needed(run: Run, decision: Decision) -> float:
    """How many pairs to score, of those there are, to tell better from worse; NaN where it is told, 0 where
    most that differ have no answer of the shadow's, infinite where no two answers are stored to be read.
    """
    if run.basis in QUALITY or not decision.inputs:
        return float("nan")
    if run.is_led_by_failures:
        return 0.0
    same = decision.mean if run.basis == "agreement" else 1 + min(2 * decision.mean - 1, 0.0)
    margin = 1 - run.bar if run.basis == "agreement" else 1 - 2 * run.bar
    return scores_to_settle(same, margin, decision.alpha, run.markable)


def _estimand(found: Evidence, first: pd.DataFrame, cluster: str | None) -> str:
    """What the mean is about: of which inputs, by what, when."""
    helped_by = HELPED_ON_THE_REST if found.is_helped else ""
    of = {
        "scores": f"score of the shadow less score of the primary, by {found.whose}{helped_by}",
        "judge": f"pairs won less pairs lost, by {found.whose}",
        "floor": "agreement less the primary's with itself",
        "agreement": "agreement",
    }
    return f"{of[found.basis]}; mean {as_they_were(first, cluster)}"


def judged_by(run: Run) -> str:
    """What a run is judged by and whose that is, such as `scores (people)`."""
    return basis_of(run.basis, run.whose)


def likeness_words(run: Run) -> str:
    """What a mean of likeness hides: how many are equal, and how many badly off; "" where it is not known."""
    return shares(run.equal_share, run.badly_off_share, is_quality=run.basis in QUALITY)

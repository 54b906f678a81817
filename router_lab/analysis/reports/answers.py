"""May we replace it? The answer per task type, in words for who pays.

No judgement of its own: it reads what `ab` (one look) and `monitor` (every look) find of the same pairs,
and what `savings` says of the money; the report, the dashboard and `rl.verdict` show these words.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, Literal

import pandas as pd

from router_lab.analysis.ab_verdict import AbResult
from router_lab.analysis.evidence.ladder import QUALITY
from router_lab.analysis.exit.decision import Outcome
from router_lab.analysis.exit.monitor import MonitorResult
from router_lab.analysis.exit.overview import MAY_STOP, on_page
from router_lab.analysis.statistics.ab_power import POWER
from router_lab.counted import counted
from router_lab.errors import ConfigError
from router_lab.shown.escape import Html, show, tag
from router_lab.shown.markup import Card, verdict_list
from router_lab.shown.style import page
from router_lab.shown.wording import (
    count,
    estimands,
    interval_kind,
    pairs_of,
    percent,
    plain,
    plain_text,
    points,
    scoring,
    seconds,
    shares,
    unconfirmed,
    usd,
)

QUESTION = "May we replace it?"

NO_PAIRS = (
    "There are no pairs yet, so there is no verdict. A pair is a call answered by both models: turn the "
    'shadow on (ledger.switch.on(reason="...")) and make calls, or ask another model what was answered '
    "already, which pays that one only (router-lab replay LEDGER --candidate ALIAS)."
)

_KINDS = ("yes", "no", "differs", "later")
_KIND_OF = {"superior": "yes", "non-inferior": "yes", "not non-inferior": "no", "differs": "differs"}
_LEADS = {"yes": "You may", "no": "No", "differs": "The answers differ", "later": "You may not yet"}
_SUMMARY = {"yes": "yes", "no": "no", "differs": "to be scored", "later": "open"}
_MOST_NAMES = 5
_SAME = 1e-9

# Where the exit has come to nothing yet that holds.
_OPEN = (Outcome.CONTINUE, Outcome.STALE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskVerdict:
    """The answer for one task type. Amounts are US dollars; shares are of 1 (0.02 is two points).

    `answer` is `yes`, `no`, `differs` (alike is not known; people must score) or `later`; `verdict` and
    `outcome` are the words of `ab` and of `monitor` behind it. `primary` and `shadow` are aliases.
    `pairs` of `of_pairs` spoke, judged by `basis` of `whose`. `saved_share` (with `saved_low`, `saved_high`)
    is of the primary's cost; `primary_per_1000_usd` and `shadow_per_1000_usd` are of 1,000 calls. Where the
    verdict is refused they are of the pairs that were compared, and no forecast.
    `more_pairs` would settle it in one look (0: it is settled; infinite: no number does), or, where no number
    does, `more_inputs` by the exit; either costs about `more_usd`. Or `scores_needed` pairs are to be scored
    by people. NaN where that is not known or not needed.
    `headline`, `quality`, `saving`, `time`, `missing`, `comparing` and `cautions` say it in words.
    """

    task_type: str
    answer: str
    primary: str
    shadow: str
    verdict: str
    outcome: str
    basis: str
    whose: str
    pairs: int
    of_pairs: int
    difference: float
    low: float
    high: float
    saved_share: float
    saved_low: float
    saved_high: float
    primary_per_1000_usd: float
    shadow_per_1000_usd: float
    more_pairs: float
    more_inputs: float
    more_usd: float
    scores_needed: float
    headline: str
    quality: str
    saving: str
    time: str
    missing: str
    comparing: str
    cautions: str

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What is said under the headline, as pairs of a label and a sentence."""
        said = (
            ("Quality", self.quality),
            ("Saving", self.saving),
            ("Time", self.time),
            ("Missing", self.missing),
            ("May we stop comparing?", self.comparing),
            ("Note", self.cautions),
        )
        return tuple((label, text) for label, text in said if text)

    def __str__(self) -> str:
        lines = [
            f"{plain(self.task_type)}: {self.headline}",
            *(f"    {a}{'' if a.endswith('?') else ':'} {b}" for a, b in self.facts),
        ]
        return "\n".join(lines)

    __repr__ = __str__


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answers, those that settle something first. Print it; `.frame()` has a row per task type.

    `margin` is the accepted loss as a share; `never_compared` are task types with calls and without a pair.
    """

    task_types: tuple[TaskVerdict, ...] = field(repr=False)
    margin: float
    alpha: float
    note: str = field(repr=False)
    never_compared: tuple[str, ...] = ()

    def frame(self) -> pd.DataFrame:
        """One row per task type, with the columns of `TaskVerdict`."""
        names = [one.name for one in fields(TaskVerdict)]
        return pd.DataFrame(
            [[getattr(one, name) for name in names] for one in self.task_types], columns=names
        )

    def of(self, task_type: str) -> TaskVerdict:
        """The answer for one task type. Raises `ConfigError` with the nearest names where it has no pairs."""
        for one in self.task_types:
            if one.task_type == task_type:
                return one
        names = sorted(one.task_type for one in self.task_types)
        near = get_close_matches(str(task_type), names, n=3) or names[:20]
        raise ConfigError(f"no pairs of {task_type!r}; there are {', '.join(map(repr, near)) or 'none yet'}")

    @property
    def summary(self) -> str:
        """How many task types have which answer, in one line."""
        answers = [one.answer for one in self.task_types]
        told = [f"{answers.count(kind):,} {_SUMMARY[kind]}" for kind in _KINDS if kind in answers]
        counted = f"Of {len(answers):,} task type{'' if len(answers) == 1 else 's'}: {', '.join(told)}."
        return " ".join(filter(None, [counted if answers else NO_PAIRS, self._untold()]))

    def _untold(self) -> str:
        """Which task types have no answer because nothing was compared."""
        if not self.never_compared:
            return ""
        more = len(self.never_compared) - _MOST_NAMES
        names = ", ".join(map(plain, self.never_compared[:_MOST_NAMES]))
        return f"Never compared: {names}{f' and {more:,} more' if more > 0 else ''}."

    def html(self, task_type: str | None = None) -> Html:
        """The answers, or the one for `task_type`, and how to read them, escaped."""
        if not self.task_types:
            return tag("p", show(self.summary))
        cards = [
            Card(one.answer, plain(one.task_type), *_parts(one.headline, one.answer), one.facts)
            for one in (self.task_types if task_type is None else [self.of(task_type)])
        ]
        note = tag("p", show(self.note), class_="note", style="opacity:.85")
        return tag("div", tag("p", show(self.summary)), verdict_list(cards), note)

    def __repr__(self) -> str:
        if not self.task_types:
            return f"{QUESTION} {self.summary}"
        answers = [f"  {line}" for one in self.task_types for line in str(one).split("\n")]
        return "\n".join([f"{QUESTION} {self.summary}", *answers, f"  {self.note}"])

    def _repr_html_(self) -> str:
        return page(tag("div", show(QUESTION), style="font-weight:600;font-size:14px"), self.html())


def verdict_of(
    judged: AbResult,
    standing: MonitorResult,
    savings: pd.DataFrame,
    sides: pd.DataFrame,
    called: Collection[str] = (),
) -> Verdict:
    """Put what `ab`, `monitor` and `savings` found of the same ledger into words.

    `sides` says who was compared last: task_type, primary, shadow (aliases); `called` are all task types with
    calls.
    """
    stops = {row["task_type"]: row for row in standing.frame.to_dict("records")}
    money = {row["task_type"]: row for row in savings.to_dict("records")}
    names = {row["task_type"]: (row["primary"], row["shadow"]) for row in sides.to_dict("records")}
    found = []
    for row in judged.frame.to_dict("records"):
        name = row["task_type"]
        primary, shadow = map(plain, names.get(name, ("the primary", "the shadow")))
        stop = stops.get(name)
        if stop is not None:
            stop = {**stop, "margin": standing.watches[name].margin}
        found.append(_task_verdict(row, primary, shadow, money.get(name), stop, judged.margin))
    found.sort(key=lambda one: _KINDS.index(one.answer))
    untold = tuple(sorted({*called} - {one.task_type for one in found}))
    return Verdict(tuple(found), judged.margin, judged.alpha, _how_to_read(judged), untold)


def _task_verdict(
    row: Mapping[str, Any],
    primary: str,
    shadow: str,
    saved: Mapping[str, Any] | None,
    stop: Mapping[str, Any] | None,
    margin: float,
) -> TaskVerdict:
    answer = _KIND_OF.get(row["verdict"], "later")
    is_open = row["verdict"] == "inconclusive"
    nan = float("nan")
    shares_saved = ("saved_share", "low", "high")
    share, low, high = (nan, nan, nan) if saved is None else (saved[name] for name in shares_saved)
    before, after = (nan, nan) if saved is None else _per_1000(saved)
    forecast = _forecast(row, saved, stop, margin) if is_open else None
    return TaskVerdict(
        task_type=row["task_type"],
        answer=answer,
        primary=primary,
        shadow=shadow,
        verdict=row["verdict"] or "refused",
        outcome=str(stop["outcome"]) if stop else "",
        basis=row["basis"],
        whose=row["whose"],
        pairs=int(row["pairs"]),
        of_pairs=int(row["of_pairs"]),
        difference=row["difference"],
        low=row["low"],
        high=row["high"],
        saved_share=share,
        saved_low=low,
        saved_high=high,
        primary_per_1000_usd=before,
        shadow_per_1000_usd=after,
        more_pairs=row["more_pairs"],
        more_inputs=forecast.more if forecast and forecast.of == "inputs" else nan,
        more_usd=forecast.usd if forecast else nan,
        scores_needed=row["scores_needed"],
        headline=_headline(answer, primary, shadow, costs_more=high <= 0),
        quality=_quality(row, margin),
        saving=_saving(saved, is_refused=row["verdict"] == "refused"),
        time=_time(row),
        missing=_missing(row, forecast, stop, margin),
        comparing=_comparing(row, stop, forecast, margin),
        cautions=f"{plain_text(row['warnings'])}." if row["warnings"] else "",
    )


def _headline(answer: str, primary: str, shadow: str, *, costs_more: bool) -> str:
    swap = f"replace {primary} by {shadow}"
    rest = {
        "yes": f"{swap}, but it saves nothing" if costs_more else swap,
        "no": f"keep {primary} rather than {shadow}",
        "differs": f"and likeness cannot say whether to {swap}",
        "later": swap,
    }
    between = " " if answer in ("yes", "later") else ", "
    return f"{_LEADS[answer]}{between}{rest[answer]}"


def _parts(headline: str, answer: str) -> tuple[str, str]:
    lead = _LEADS[answer]
    return lead, headline.removeprefix(lead).removeprefix(",").strip()


def _quality(row: Mapping[str, Any], margin: float) -> str:
    """What was found, by whom, on how many of how many pairs."""
    limit, verdict = points(margin, signed=False), row["verdict"]
    held = f"{pairs_of(row['pairs'], row['of_pairs'])}, {_judged_by(row)}"
    if row["difference"] != row["difference"]:
        return f"nothing is known yet, over {held}"
    more = f"{'worse' if row['basis'] in QUALITY else 'different'} by more than {limit} points"
    found = {
        "superior": "better" if row["basis"] == "scores" else "preferred",
        "non-inferior": "as good" if row["basis"] in QUALITY else "alike",
        "not non-inferior": more,
        "differs": more,
        "refused": "seen, without a verdict",
        "inconclusive": "open",
    }[verdict or "refused"]
    measured = f"{points(row['difference'])} points ({points(row['low'])} to {points(row['high'])})"
    return f"{found}, {measured} over {held}"


def _judged_by(row: Mapping[str, Any]) -> str:
    """By what, with the shares that a mean of likeness hides."""
    by = {
        "scores": f"by {row['whose']}",
        "judge": f"by the preference of {row['whose']}",
        "floor": "by agreement above the primary's own noise",
        "agreement": "by agreement",
    }[row["basis"]]
    if row["marks_worth"] == row["marks_worth"]:
        by += " with a judge's help"
    alike = shares(row["equal_share"], row["badly_off_share"], is_quality=row["basis"] in QUALITY)
    return f"{by} ({alike})" if alike else by


def _per_1000(saved: Mapping[str, Any]) -> tuple[float, float]:
    """What 1,000 calls cost by the primary and by the shadow, its failures and their fallback included."""
    before, after = saved["calls_primary_usd"], saved["calls_shadow_usd"]
    return before / saved["calls"] * 1_000, after / saved["calls"] * 1_000


def _saving(saved: Mapping[str, Any] | None, *, is_refused: bool) -> str:
    """What replacing would change of the cost, as billed, failures and their fallback included; what it did
    of the pairs that were compared, where no verdict may rest on them.
    """
    if saved is None:
        return "unknown, for there is no pair with both costs known"
    before, after = _per_1000(saved)
    prices = f"{usd(after)} instead of {usd(before)} per 1,000 calls"
    share, low, high = saved["saved_share"], saved["low"], saved["high"]
    aside = unconfirmed(saved["calls_unknown_more_usd"], saved["calls_unknown_less_usd"])
    if is_refused:
        did = "" if share != share else f", {percent(abs(share))} {'less' if share >= 0 else 'more'}"
        compared = counted(saved["pairs"], "pairs")
        return f"no forecast: the {compared} that were compared cost {prices}{did}{aside}"
    if share != share:
        return f"{prices}{aside}"
    ends = (low, high) if share >= 0 else (-high, -low)
    told = "" if low != low else f" ({percent(ends[0])} to {percent(ends[1])})"
    if low < 0 < high:
        told = ", which may be chance"
    by = f"{percent(abs(share))}{' of the cost' if share >= 0 else ' more'}"
    return f"{'it would save' if share >= 0 else 'none: it would cost'} {by}{told}, {prices}{aside}"


def _time(row: Mapping[str, Any]) -> str:
    """What replacing would change of the time a call takes, on average."""
    if row["latency_difference_s"] != row["latency_difference_s"]:
        return ""
    ends = (row["latency_difference_s_low"], row["latency_difference_s_high"])
    low, high = (seconds(abs(end)) for end in sorted(ends, key=abs))
    less = "less" if row["latency_difference_s"] < 0 else "more"
    if row["verdict"] == "refused":
        took = f"took {seconds(abs(row['latency_difference_s']))} {less} on average"
        return f"no forecast: in the {counted(row['pairs'], 'pairs')} that were judged a call {took}"
    told = ", which may be chance" if ends[0] < 0 < ends[1] else f" ({low} to {high})"
    return f"a call would take {seconds(abs(row['latency_difference_s']))} {less} on average{told}"


@dataclass(frozen=True, slots=True)
class _Forecast:
    """What would settle an open answer: `more` pairs for `usd`, which may both be unknown.

    Of `calls` in one look, `low` to `high` of them; else of distinct `inputs`, by the exit, which may be
    nearer to an answer where inputs repeat.
    """

    of: Literal["calls", "inputs"]
    more: float
    usd: float
    low: float = float("nan")
    high: float = float("nan")


def _forecast(
    row: Mapping[str, Any], saved: Mapping[str, Any] | None, stop: Mapping[str, Any] | None, margin: float
) -> _Forecast:
    """The one forecast of a card: a look at all calls, or the exit where no number of calls settles it."""
    nan, more = float("nan"), row["more_pairs"]
    needed = _more_inputs(stop)
    if stop is not None and more == float("inf") and needed < more and abs(stop["margin"] - margin) < _SAME:
        return _Forecast("inputs", needed, stop["usd_needed"])
    price = nan if saved is None else more * saved["shadow_usd"] / saved["pairs"]
    return _Forecast("calls", more, price, row["more_pairs_low"], row["more_pairs_high"])


def _more_inputs(stop: Mapping[str, Any] | None) -> float:
    """How many more distinct inputs the exit asks for; infinite where it foresees no end, or is at one."""
    if stop is None or stop["outcome"] != Outcome.CONTINUE or not 0 < stop["inputs_needed"] < float("inf"):
        return float("inf")
    return float(max(stop["inputs_needed"] - stop["inputs"], 1))


def _missing(
    row: Mapping[str, Any], forecast: _Forecast | None, stop: Mapping[str, Any] | None, margin: float
) -> str:
    """What would settle it, and what that costs; empty where it is settled."""
    verdict = row["verdict"]
    if verdict == "differs":
        is_markable = 0 < row["scores_needed"] < float("inf")
        costs = "; that costs people's time, no calls" if is_markable else ""
        return f"{scoring(row['scores_needed'], plain(row['task_type']))}{costs}"
    if verdict in ("refused", ""):
        return f"{plain_text(row['reason'] or 'at least two usable pairs')}"
    is_futile = stop is not None and stop["outcome"] == Outcome.FUTILE
    return "" if forecast is None else _outlook(row, forecast, margin, is_futile=is_futile)


def _outlook(row: Mapping[str, Any], forecast: _Forecast, margin: float, *, is_futile: bool) -> str:
    """Which way it leans, at which limit, and what would settle it at what price."""
    limit = f"the accepted {points(margin, signed=False)} points"
    below = "no" if row["basis"] in QUALITY else "differing"
    leans = f"it leans to {'yes' if row['difference'] > -margin else below}"
    if row["low"] > -margin or row["high"] < -margin:
        leans = f"clear alone, but open among so many task types; {leans}"
    if forecast.more == float("inf"):
        return f"{leans}, but is too close to {limit} for any affordable number of pairs"
    waiting = _unscored(row)
    cost = forecast.usd * max(1 - waiting / forecast.more, 0.0)
    price = f", for about {usd(cost)}," if cost == cost and (cost or not waiting) else ""
    if forecast.of == "inputs":
        return (
            f"{leans} by all calls, which one look will not settle at {limit}; of distinct inputs, each "
            f"counted once, about {count(forecast.more)} more{price} would"
        )
    spread = "" if forecast.low == forecast.high else f" ({count(forecast.low)} to {count(forecast.high)})"
    once = " in one look, though not for the exit" if is_futile else ""
    if waiting:
        return (
            f"{leans}: about {count(forecast.more)} more scored pairs{price} would settle it at {limit}{once}"
            f"{spread}; {counted(waiting, 'pairs', 'wait')} to be scored (rl.spot_checks), which costs "
            "people's time and no calls"
        )
    return f"{leans}: about {count(forecast.more)} more pairs{price} would settle it at {limit}{once}{spread}"


def _unscored(row: Mapping[str, Any]) -> int:
    """How many pairs wait to be scored by whoever scored the others; 0 where that is no person's doing."""
    is_marked = row["basis"] == "scores" and not row["whose"].startswith(("ground truth", "likeness"))
    return max(int(row["of_pairs"] - row["pairs"]), 0) if is_marked else 0


def _comparing(
    row: Mapping[str, Any], stop: Mapping[str, Any] | None, forecast: _Forecast | None, margin: float
) -> str:
    """Where the exit stands: the answer that holds however often one looks.

    Its own forecast stands beside a finite one of a single look, never beside "no number is enough".
    """
    if stop is None:
        return ""
    needed, told = _more_inputs(stop), ""
    is_own = abs(stop["margin"] - margin) >= _SAME
    at = f" at its own {points(stop['margin'], signed=False)} points" if is_own else ""
    is_told = forecast is None or (forecast.of == "calls" and forecast.more < float("inf"))
    if needed < float("inf") and is_told:
        is_priced = stop["usd_needed"] == stop["usd_needed"] and not _unscored(row)
        price = f", about {usd(stop['usd_needed'])}" if is_priced else ""
        scored = ", if they are scored," if _unscored(row) else ""
        told = f"; about {count(needed)} more distinct inputs{scored} would settle it{at}{price}"
    outcome = Outcome(stop["outcome"])
    if outcome is Outcome.REFUSED:
        is_said = plain_text(stop["reason"]) == plain_text(row["reason"])
        return (
            "no verdict, for what is missing above"
            if is_said
            else f"no verdict: {plain_text(stop['reason'])}"
        )
    own = ""
    if outcome not in _OPEN:
        own, told = at, f"; {_of_exit(stop)}"
    return f"{MAY_STOP[outcome]}{own}, however often one looks: {plain_text(stop['reason'])}{told}"


def _of_exit(stop: Mapping[str, Any]) -> str:
    """What an exit's verdict rests on, and what it is about."""
    mean, low, high = (on_page(stop, column) for column in ("mean", "low", "high"))
    return f"mean {mean} ({low} to {high}, {stop['interval']}); {plain_text(stop['estimand'])}"


def _how_to_read(judged: AbResult) -> str:
    frame = judged.frame
    loss, kinds = points(judged.margin, signed=False), len(frame)
    note = (
        f"A loss of up to {loss} percentage points on average is accepted. "
        f"Ranges: {interval_kind(judged.alpha)}, that is for one look at these pairs"
    )
    note += f"; the answers are corrected for asking about {kinds} task types." if kinds > 1 else "."
    if (frame["verdict"] == "inconclusive").any():
        chance = percent(POWER, 0)
        note += f" What would settle it does so with a chance of {chance}, over all that the truth may be."
    if not frame["basis"].isin(QUALITY).all():
        note += (
            " Agreement says that answers are alike, not that they are right: any answer unlike the "
            "primary's counts against the shadow, even where it is the better one."
        )
    return note if frame.empty else f"{note} {estimands(frame)}"

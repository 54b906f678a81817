"""The first thing a manager reads: one sentence per task type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from router_lab.analysis.evidence.ladder import QUALITY
from router_lab.shown.escape import text_html
from router_lab.shown.markup import paragraph
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

if TYPE_CHECKING:
    from router_lab.analysis.reports.findings import Findings

_ORDER = ("yes", "no", "differs", "later")


def answers(report: Findings) -> list[str]:
    """The answers, those that settle something first, and how to read them."""
    frame = report.verdicts.frame
    if frame.empty:
        return [paragraph("There are no pairs yet, so there is no verdict.")]
    sides = report.frames["sides"].set_index("task_type")
    savings = report.frames["savings"].set_index("task_type")
    items = []
    for row in frame.to_dict("records"):
        name = row["task_type"]
        primary, shadow = sides.loc[name] if name in sides.index else ("the primary", "the shadow")
        saved = savings.loc[name] if name in savings.index else None
        kind, text = _answer(row, plain(primary), plain(shadow), saved, report.verdicts.margin)
        items.append((kind, text))
    items.sort(key=lambda item: _ORDER.index(item[0]))
    loss, kinds = points(report.verdicts.margin, signed=False), len(frame)
    note = (
        f"A loss of up to {loss} percentage points is accepted. "
        f"Ranges: {interval_kind(report.verdicts.alpha)}, that is for one look at these pairs"
    )
    note += f"; the answers are corrected for asking about {kinds} task types." if kinds > 1 else "."
    if not frame["basis"].isin(QUALITY).all():
        note += (
            " Agreement says that answers are alike, not that they are right: any answer unlike the "
            "primary's counts against the shadow, even where it is the better one."
        )
    note += f" {estimands(report.verdicts.frame)}"
    listed = "".join(f'<li class="{kind}">{text}</li>' for kind, text in items)
    return [f'<ul class="verdicts">{listed}</ul>', paragraph(note, "note")]


def _answer(
    row: Mapping[str, Any], primary: str, shadow: str, saved: pd.Series | None, margin: float
) -> tuple[str, str]:
    """The colour and the sentence of one task type."""
    name, verdict = text_html(plain(row["task_type"])), row["verdict"]
    swap = f"replace {text_html(primary)} by {text_html(shadow)} for <b>{name}</b>"
    facts = (
        f"{points(row['difference'])} points ({points(row['low'])} to {points(row['high'])}) "
        f"over {pairs_of(row['pairs'], row['of_pairs'])}, {_judged_by(row)}"
    )
    cautions = f" {_cautions(row)}" if row["warnings"] else ""
    if verdict in ("superior", "non-inferior"):
        gain = "" if saved is None else f" It would {_gain(saved)}."
        return "yes", f"<b>You may</b> {swap}: {_found(row)}, {facts}.{gain}{_faster(row)}{cautions}"
    if verdict == "not non-inferior":
        return "no", (
            f"<b>No</b>, do not {swap}: worse by more than {points(margin, signed=False)} points, {facts}."
            f"{cautions}"
        )
    if verdict == "differs":
        more = text_html(scoring(row["scores_needed"], plain(row["task_type"])))
        return "differs", (
            f"<b>The answers differ</b>, so likeness cannot say whether to {swap}: by more than "
            f"{points(margin, signed=False)} points, {facts}; {more}.{cautions}"
        )
    if verdict == "refused":
        return "later", f"<b>You may not yet</b> {swap}: {text_html(plain_text(row['reason']))}.{cautions}"
    clear_alone = row["low"] > -margin or row["high"] < -margin
    so_far = "is clear alone, but not among so many task types" if clear_alone else "settles nothing"
    return (
        "later",
        f"<b>You may not yet</b> {swap}: {facts} {so_far}. {_outlook(row, saved, margin)}{cautions}",
    )


def _found(row: Mapping[str, Any]) -> str:
    """What a yes rests on: better, no worse, or the same."""
    if row["verdict"] == "superior":
        return "better" if row["basis"] == "scores" else "preferred"
    return "no worse" if row["basis"] in QUALITY else "alike"


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
    return text_html(f"{by} ({alike})" if alike else by)


def _cautions(row: Mapping[str, Any]) -> str:
    return f'<span class="note">Note: {text_html(plain_text(row["warnings"]))}.</span>'


def _gain(saved: pd.Series) -> str:
    """What replacing would change of the cost, as billed, failures and their fallback included."""
    verb = "save" if saved["calls_saved_usd"] >= 0 else "cost"
    more = "" if saved["calls_saved_usd"] >= 0 else " more"
    aside = unconfirmed(saved["calls_unknown_more_usd"], saved["calls_unknown_less_usd"])
    return f"{verb} {percent(abs(saved['saved_share']))}{more} of the cost{aside}{_range(saved, verb)}"


def _faster(row: Mapping[str, Any]) -> str:
    """What replacing would change of the time a call takes, on average."""
    if row["latency_difference_s"] != row["latency_difference_s"]:
        return ""
    ends = (row["latency_difference_s_low"], row["latency_difference_s_high"])
    low, high = (seconds(abs(end)) for end in sorted(ends, key=abs))
    less = "less" if row["latency_difference_s"] < 0 else "more"
    told = ", which may be chance" if ends[0] < 0 < ends[1] else f" ({low} to {high})"
    return f" A call would take {seconds(abs(row['latency_difference_s']))} {less} on average{told}."


def _range(saved: pd.Series, verb: str) -> str:
    ends = sorted([saved["low"], saved["high"]], key=abs) if verb == "cost" else [saved["low"], saved["high"]]
    if saved["low"] != saved["low"] or (saved["low"] < 0 < saved["high"]):
        return "" if saved["low"] != saved["low"] else ", which may be chance"
    return f" ({percent(abs(ends[0]))} to {percent(abs(ends[1]))})"


def _outlook(row: Mapping[str, Any], saved: pd.Series | None, margin: float) -> str:
    """Which way it leans, at which limit, and what would settle it at what price."""
    more, limit = row["more_pairs"], f"the accepted {points(margin, signed=False)} points"
    below = "no" if row["basis"] in QUALITY else "differing"
    leans = f"It leans to <b>{'yes' if row['difference'] > -margin else below}</b>"
    if more == float("inf"):
        return f"{leans}, but is too close to {limit} for any affordable number of pairs."
    price = "" if saved is None else f", for about {usd(more * saved['shadow_usd'] / saved['pairs'])},"
    spread = f"{count(row['more_pairs_low'])} to {count(row['more_pairs_high'])}"
    return f"{leans}: about {count(more)} more pairs{price} would settle it at {limit} ({spread})."

"""What the answers rest on: saving, the exit, spending, truncation, change, data quality."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from router_lab.analysis.cost_and_latency import measured, measured_ratio
from router_lab.analysis.exit.overview import on_page, overview
from router_lab.analysis.ledger_drift import since_about, watched
from router_lab.counted import counted
from router_lab.shown.escape import Html
from router_lab.shown.markup import details, paragraph, table
from router_lab.shown.wording import (
    interval_kind,
    percent,
    plain,
    plain_text,
    unconfirmed,
    usd,
    with_unconfirmed,
)

if TYPE_CHECKING:
    from router_lab.analysis.ab_verdict import AbResult
    from router_lab.analysis.reports.findings import Findings

_CAUSES = {
    "answer": "Good answers, at the first try",
    "answer_after_retry": "Good answers, after a failed attempt",
    "fallback": "Good answers, by another model than the one asked first",
    "failure": "Wasted: failed attempts",
    "parse_failure": "Wasted: answers that could not be used",
    "truncation": "Wasted: cut prompts",
    "shadow": "Comparing: shadows and their judges",
    "unknown": "Unconfirmed: the bill is unknown",
}


def savings_section(savings: pd.DataFrame, refused: Collection[str]) -> list[Html]:
    """What the shadow costs beside the primary; pairs of `refused` task types stand for no other calls."""
    if savings.empty:
        return [paragraph("No complete pair with both costs known yet.", "note")]
    is_refused = savings["task_type"].isin(list(refused))
    sentence = _saved_in_all(savings[~is_refused])
    names = {"calls_primary_usd": "primary", "calls_shadow_usd": "shadow"}
    per_call = savings[list(names)].div(savings["calls"], axis=0).rename(columns=names) * 1_000
    ranges = pd.Series(_ranges(savings["low"], savings["high"]), savings.index)
    rows = pd.DataFrame(
        {
            "Task type": savings["task_type"],
            "Pairs": savings["pairs"],
            "Shadow failed": savings["failed"],
            "Primary, 1,000 calls": per_call["primary"].map(usd),
            "Shadow, 1,000 calls": per_call["shadow"].map(usd),
            "Saved": savings["saved_share"].map(percent),
            "Range": ranges.mask(is_refused, "these pairs alone"),
        }
    )
    note = (
        "Of the calls the pairs stand for, each pair weighted by one over its sampling probability; a shadow "
        "that failed costs what it took and the primary's price besides. Saved is a ratio of totals. "
        f"Ranges: {savings['interval'].iloc[0]}."
    )
    if is_refused.any():
        note += " Where no verdict may rest on the pairs, they stand for no others, and are in no total."
    return [paragraph(sentence), table(rows), paragraph(note, "note")]


def _saved_in_all(savings: pd.DataFrame) -> str:
    if savings.empty:
        return "No verdict may rest on these pairs, so what they saved is no forecast."
    total, primary = float(savings["calls_saved_usd"].sum()), float(savings["calls_primary_usd"].sum())
    share = abs(total) / primary if primary > 0 else float("nan")
    verb = "saved" if total >= 0 else "cost more by"
    told = f", {percent(share)} of the primary's cost" if share == share else ""
    aside = unconfirmed(
        float(savings["calls_unknown_more_usd"].sum()), float(savings["calls_unknown_less_usd"].sum())
    )
    return f"On the calls these pairs stand for, the shadow would have {verb} {usd(abs(total))}{told}{aside}."


def latency_section(verdicts: AbResult) -> list[Html]:
    """How long calls take with the shadow, and how sure that is."""
    known = verdicts.frame[verdicts.frame["latency_difference_s"].notna()]
    if known.empty:
        return [paragraph("Too few pairs with both latencies known yet.", "note")]
    records = known.to_dict("records")
    figures = {
        "Mean difference": "latency_difference_s",
        "Primary, 95% within": "primary_p95_s",
        "Shadow, 95% within": "shadow_p95_s",
    }
    rows = pd.DataFrame(
        {
            "Task type": known["task_type"],
            **{title: [measured(row, name) for row in records] for title, name in figures.items()},
            "Geometric mean of shadow / primary": [measured_ratio(row, "latency_ratio") for row in records],
        }
    )
    note = (
        "Mean difference: shadow less primary, per call, of the calls that the verdicts rest on, weighted as "
        "they are; a call whose shadow gave nothing takes the primary's time besides. The geometric mean "
        "says what is typical of one call that both answered, and adds up to nothing. Ranges: "
        f"{interval_kind(verdicts.alpha)}, ∞ where there are too few pairs to say."
    )
    return [table(rows), paragraph(note, "note")]


def _ranges(low: pd.Series, high: pd.Series) -> list[str]:
    ends = zip(low, high, strict=True)
    return ["–" if a != a else f"{percent(a)} to {percent(b)}" for a, b in ends]


def monitor_section(report: Findings) -> list[Html]:
    """Where the exit monitor stands."""
    frame = report.standing.frame
    if frame.empty:
        return [paragraph("There are no pairs yet.", "note")]
    records = frame.to_dict("records")
    kind = " or ".join(sorted(frame["interval"].unique()))
    note = f"Ranges: {kind}: look as often as you like. Those above are of one look."
    if (frame["basis"] != "agreement").any():
        note += (
            " Points: shadow less primary, where scores, preferences or the primary's own noise are known."
        )
    note += " Means over distinct inputs, each counted once; those above are over calls."
    opened = frame[frame["opened_because"] != ""]
    begun = [
        paragraph(f"{plain(name)} is watched anew: {plain_text(reason)}.", "note")
        for name, reason in zip(opened["task_type"], opened["opened_because"], strict=True)
    ]
    return [table(overview(frame)), *begun, *_said_alone(records), paragraph(note, "note")]


def _said_alone(records: Sequence[Mapping[str, Any]]) -> list[Html]:
    """What people and a judge say each alone, where the judge helps people's marks."""
    told = []
    for row in records:
        if row["people_mean"] == row["people_mean"] and row["people_mean"] is not None:
            people, judge = (
                f"{on_page(row, f'{who}_mean')} ({on_page(row, f'{who}_lower')} to "
                f"{on_page(row, f'{who}_upper')})"
                for who in ("people", "judge")
            )
            sentence = f"{plain(row['task_type'])}: people alone {people}, the judge alone {judge}."
            told.append(paragraph(sentence, "note"))
    return told


def spend_section(by_cause: pd.DataFrame, by_type: pd.DataFrame) -> list[Html]:
    """Spending by cause, and by task type and model."""
    if by_cause.empty:
        return [paragraph("Nothing was spent yet.", "note")]
    total, unknown = float(by_cause["cost_usd"].sum()), float(by_cause["unknown_usd"].sum())
    doubt = with_unconfirmed(total, unknown, float(by_cause["at_most_usd"].sum()))
    unpriced = int(by_cause["unpriced"].sum())
    aside = (
        f" {counted(unpriced, 'attempts', 'have')} no recorded cost and are not in it." if unpriced else ""
    )
    by_cause = by_cause.sort_values("cost_usd", ascending=False)
    causes = pd.DataFrame(
        {
            "What for": [_CAUSES.get(cause, cause) for cause in by_cause["cause"]],
            "Attempts": by_cause["attempts"],
            "Cost, likely": by_cause["cost_usd"].map(usd),
            "At most": by_cause["at_most_usd"].map(usd),
            "Share": (by_cause["cost_usd"] / total if total else by_cause["cost_usd"]).map(percent),
        }
    )
    types = pd.DataFrame(
        {
            "Task type": by_type["task_type"],
            "Model": by_type["model"],
            "Attempts": by_type["attempts"],
            "Tokens in": by_type["tokens_in"].astype("int64"),
            "Tokens out": by_type["tokens_out"].astype("int64"),
            "Billed": (by_type["cost_usd"] - by_type["unknown_usd"]).map(usd),
            "Likely": by_type["cost_usd"].map(usd),
            "At most": by_type["at_most_usd"].map(usd),
        }
    )
    return [
        paragraph(f"Billed: {usd(total - unknown)}{doubt}.{aside}"),
        table(causes),
        details("By task type and model", [table(types)]),
    ]


def repriced_section(repriced: pd.DataFrame) -> list[Html]:
    """What the billed calls would have cost at other models' prices, the cheapest first."""
    counted_rows = repriced[repriced["attempts"] > repriced["uncounted"]]
    if counted_rows.empty:
        return [paragraph("No billed call has its tokens counted yet.", "note")]
    cheapest = counted_rows.iloc[0]
    recorded, alias = float(cheapest["recorded_usd"]), plain(cheapest["at_prices_of"])
    costed = int(cheapest["recorded"])
    nameless = int(cheapest["attempts"] - cheapest["uncounted"] - costed)
    would_be = counted_rows["repriced_usd"] if costed else counted_rows["unrecorded_usd"]
    first, more = usd(float(would_be.iloc[0])), usd(float(cheapest["unrecorded_usd"]))
    if costed:
        sentence = f"{usd(recorded)} of {counted(costed, 'billed attempts')} would be {first} on {alias}."
    else:
        sentence = (
            f"{counted(nameless, 'billed attempts')} without a recorded cost would be {first} on {alias}."
        )
    if costed and nameless:
        sentence += f" {counted(nameless, 'attempts')} without a recorded cost would be {more} there."
    rows = pd.DataFrame({"At the prices of": counted_rows["at_prices_of"], "Would cost": would_be.map(usd)})
    if recorded > 0:
        rows["Beside what was paid"] = [_than(cost, recorded) for cost in would_be]
    left_out = int(cheapest["uncounted"])
    aside = f" {counted(left_out, 'attempts')} without token counts are left out." if left_out else ""
    note = (
        "At today's prices and the same tokens, though another model counts them by its own tokenizer and "
        f"answers at another length.{aside} Whether its answers are as good only pairs can say."
    )
    return [
        paragraph(sentence),
        table(rows),
        paragraph(note, "note"),
    ]


def _than(cost: float, recorded: float) -> str:
    change = cost / recorded - 1
    return "the same" if abs(change) < 5e-4 else f"{percent(abs(change))} {'less' if change < 0 else 'more'}"


def truncation_section(truncation: pd.DataFrame, signals: pd.DataFrame) -> list[Html]:
    """Suspected truncation: in all, then where and by which signal."""
    attempts, suspects = int(truncation["attempts"].sum()), int(truncation["suspects"].sum())
    sent_on = int(truncation["escalated"].sum())
    sentence = (
        f"{suspects:,} of {counted(attempts, 'attempts')} show signs of a cut prompt; "
        f"{counted(sent_on, 'prompts')} too long for their model went to another."
    )
    seen = truncation[truncation["suspects"] > 0]
    if seen.empty:
        return [paragraph(sentence)]
    by_type = seen.rename(columns={"task_type": "where"}).assign(kind="task type")
    by_signal = signals.rename(columns={"signal": "where"}).assign(kind="signal")
    found = pd.concat([by_type, by_signal])
    rows = pd.DataFrame(
        {
            "By": found["kind"],
            "Name": found["where"],
            "Suspects": found["suspects"],
            "Rate": found["rate"].map(lambda rate: percent(rate, 2)),
            "Range": [
                f"{percent(a, 2)} to {percent(b, 2)}"
                for a, b in zip(found["low"], found["high"], strict=True)
            ],
        }
    )
    return [paragraph(sentence), table(rows)]


def quality_section(shown: Mapping[str, pd.DataFrame]) -> list[Html]:
    """What became of the pairs, how steady the judge is, how often calls work."""
    parts = []
    statuses = shown["pair_status"]
    if len(statuses):
        rows = statuses.pivot_table(index="task_type", columns="status", values="pairs", fill_value=0)
        rows = rows.astype("int64").rename(columns=lambda name: str(name).replace("_", " ")).reset_index()
        parts += [
            paragraph("Pairs by what became of them:"),
            table(rows.rename(columns={"task_type": "Task type"})),
        ]
    flips = shown["flip_rate"]
    if len(flips):
        rows = pd.DataFrame(
            {
                "Task type": flips["task_type"],
                "Judged": flips["judged"],
                "Changed its mind": flips["rate"].map(percent),
                "Range": [
                    f"{percent(a)} to {percent(b)}" for a, b in zip(flips["low"], flips["high"], strict=True)
                ],
            }
        )
        parts += [
            paragraph("How often the judge's winner depended on the order of the answers:"),
            table(rows),
        ]
    rates = shown["rates"]
    if len(rates):
        rows = pd.DataFrame(
            {
                "Provider": rates["provider"],
                "Attempts": rates["attempts"],
                "Worked": rates["ok_rate"].map(percent),
                "Failed": rates["error_rate"].map(percent),
                "Were retries": rates["retry_rate"].map(percent),
                "Bill unknown": rates["unknown"],
            }
        )
        parts += [paragraph("How often calls work:"), table(rows)]
    return parts


def _nothing_changed(frame: pd.DataFrame) -> str:
    if frame.empty:
        return "Nothing is watched yet"
    seen, kinds = int((frame["observations"] > 0).sum()), "series of pairs, cost, latency and tokens"
    unseen = f"{len(frame) - seen:,} {kinds} with too little to say"
    if not seen:
        return f"Whether anything changed is unknown: {unseen}"
    return f"Nothing changed, in {seen:,} {kinds}" + (f", and {unseen}" if seen < len(frame) else "")


def drift_section(report: Findings) -> list[Html]:
    """What has changed, and since when."""
    frame = report.drift.frame
    alarms, low = report.drift.changed, report.drift.below_from_start
    parts = []
    if len(low):
        names = ", ".join(f"{plain(row.task_type)} by {plain(watched(row))}" for row in low.itertuples())
        parts = [paragraph(f"No change, but below the bar from the start: {names}.")]
    if len(untold := report.drift.untold):
        names = "; ".join(
            f"{plain(row.task_type)} on {plain(row.model)}, {since_about(row)} ({plain_text(row.warnings)})"
            for row in untold.itertuples()
        )
        parts.append(paragraph(f"Whether these changed cannot be told yet: {names}."))
    parts.append(paragraph(f"Pairs are watched by {report.drift.bases}.", "note"))
    if alarms.empty:
        return [paragraph(f"{_nothing_changed(frame)}."), *parts]
    rows = pd.DataFrame(
        {
            "Task type": alarms["task_type"],
            "Model": alarms["model"],
            "What": [f"{watched(row)} {row.direction}" for row in alarms.itertuples()],
            "Since about": [f"{at:%Y-%m-%d %H:%M} UTC" for at in alarms["changed_at"]],
        }
    )
    return [paragraph(f"{len(alarms):,} of {len(frame):,} series:"), table(rows), *parts]

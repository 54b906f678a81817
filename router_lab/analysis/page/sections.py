"""What the answers rest on: saving, the exit, spending, truncation, change, data quality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from router_lab.analysis.decision import Outcome
from router_lab.analysis.page.markup import details, paragraph, table
from router_lab.analysis.wording import count, percent, usd

if TYPE_CHECKING:
    from router_lab.analysis.report import Report

_MEANING = {
    Outcome.NON_INFERIOR: "Yes: stable",
    Outcome.WORSE: "Yes: it is worse",
    Outcome.FUTILE: "Yes: no verdict is in reach",
    Outcome.CONTINUE: "Not yet",
    Outcome.STALE: "Not yet: the evidence is old",
}


def savings_section(savings: pd.DataFrame) -> list[str]:
    """What the shadow costs beside the primary."""
    if savings.empty:
        return [paragraph("No complete pair with both costs known yet.", "note")]
    total, primary = float(savings["calls_saved_usd"].sum()), float(savings["primary_usd"].sum())
    share = abs(float(savings["saved_usd"].sum())) / primary if primary > 0 else float("nan")
    verb = "saved" if total >= 0 else "cost more by"
    told = f" ({percent(share)} of the primary's cost)" if share == share else ""
    sentence = f"On the calls these pairs stand for, the shadow would have {verb} {usd(abs(total))}{told}."
    per_call = savings[["primary_usd", "shadow_usd"]].div(savings["pairs"], axis=0) * 1_000
    rows = pd.DataFrame(
        {
            "Task type": savings["task_type"],
            "Pairs": savings["pairs"],
            "Primary, 1,000 calls": per_call["primary_usd"].map(usd),
            "Shadow, 1,000 calls": per_call["shadow_usd"].map(usd),
            "Saved": savings["saved_share"].map(percent),
            "Primary, typical": savings["primary_ms"].map(_milliseconds),
            "Shadow, typical": savings["shadow_ms"].map(_milliseconds),
        }
    )
    return [paragraph(sentence), table(rows)]


def monitor_section(report: Report) -> list[str]:
    """Where the exit monitor stands."""
    frame = report.standing.frame
    if frame.empty:
        return [paragraph("There are no pairs yet.", "note")]
    rows = pd.DataFrame(
        {
            "Task type": frame["task_type"],
            "May we stop?": [_MEANING[Outcome(one)] for one in frame["outcome"]],
            "Distinct inputs": frame["pairs"],
            "Agreement": frame["mean"].map(percent),
            "Range": [
                f"{percent(a)} to {percent(b)}" for a, b in zip(frame["lower"], frame["upper"], strict=True)
            ],
            "Bar": frame["threshold"].map(percent),
            "Inputs needed": [_needed(row) for row in frame.to_dict("records")],
        }
    )
    note = (
        "Valid however often one looks. Under a verdict of full or floor-adjusted scores, agreement is on a "
        "scale where the bar is just under 50%."
        if (frame["basis"] != "agreement").any()
        else "Valid however often one looks."
    )
    return [table(rows), paragraph(note, "note")]


def _needed(row: Mapping[str, Any]) -> str:
    if row["decided_after"] == row["decided_after"] and row["decided_after"] is not None:
        return f"settled after {count(row['decided_after'])}"
    return "–" if row["outcome"] == Outcome.FUTILE or not row["pairs"] else count(row["pairs_needed"])


def spend_section(by_cause: pd.DataFrame, by_type: pd.DataFrame) -> list[str]:
    """Spending by cause, and by task type and model."""
    if by_cause.empty:
        return [paragraph("Nothing was spent yet.", "note")]
    total, unknown = float(by_cause["cost_usd"].sum()), float(by_cause["unknown_usd"].sum())
    doubt = f", {usd(unknown)} of it reserved for calls whose bill is unknown" if unknown else ""
    causes = pd.DataFrame(
        {
            "Cause": by_cause["cause"].str.replace("_", " "),
            "Attempts": by_cause["attempts"],
            "Cost": by_cause["cost_usd"].map(usd),
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
            "Cost": by_type["cost_usd"].map(usd),
        }
    )
    return [
        paragraph(f"{usd(total)} were spent{doubt}."),
        table(causes),
        details("By task type and model", [table(types)]),
    ]


def truncation_section(truncation: pd.DataFrame, signals: pd.DataFrame) -> list[str]:
    """Suspected truncation: in all, then where and by which signal."""
    attempts, suspects = int(truncation["attempts"].sum()), int(truncation["suspects"].sum())
    sent_on = int(truncation["escalated"].sum())
    sentence = (
        f"{suspects:,} of {attempts:,} attempts show signs of a cut prompt; "
        f"{sent_on:,} prompts too long for their model went to another."
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


def quality_section(shown: Mapping[str, pd.DataFrame]) -> list[str]:
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


def _milliseconds(value: float) -> str:
    return f"{value:,.0f} ms" if value < 1_000 else f"{value / 1_000:,.1f} s"


def drift_section(report: Report) -> list[str]:
    """What has changed, and since when."""
    frame = report.drift.frame
    alarms = frame[frame["alarmed"]]
    if alarms.empty:
        return [paragraph(f"Nothing, in {len(frame):,} series of agreement, cost, latency and tokens.")]
    rows = pd.DataFrame(
        {
            "Task type": alarms["task_type"],
            "Model": alarms["model"],
            "What": alarms["metric"].str.replace("_", " ") + " " + alarms["direction"],
            "Since about": [f"{at:%Y-%m-%d %H:%M} UTC" for at in alarms["changed_at"]],
        }
    )
    return [paragraph(f"{len(alarms):,} of {len(frame):,} series:"), table(rows)]

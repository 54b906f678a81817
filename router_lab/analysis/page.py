"""The report as one HTML page: what to do first, then why, then what it rests on.

Everything that came from a ledger is escaped. No scripts; pictures are inline; aggregates only.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from router_lab.analysis.decision import Outcome
from router_lab.analysis.wording import count, html_table, number, percent, plain, points, usd

if TYPE_CHECKING:
    from router_lab.analysis.report import Report

_CSS = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "h1{font-size:1.6rem;margin-bottom:0}h2{font-size:1.2rem;margin:2rem 0 .4rem}"
    "img{max-width:100%;height:auto}table{margin:.5rem 0}th{border-bottom:1px solid #999}"
    ".note{color:#555;margin:.2rem 0}div.wide{overflow-x:auto}summary{cursor:pointer}"
    "ul.verdicts{list-style:none;padding:0}ul.verdicts li{margin:.5rem 0;padding:.3rem .8rem;border-left:5px solid}"
    "li.yes{border-color:#009e73}li.later{border-color:#e69f00}li.no{border-color:#d55e00}"
)

_MEANING = {
    Outcome.NON_INFERIOR: "Yes: stable",
    Outcome.WORSE: "Yes: it is worse",
    Outcome.FUTILE: "Yes: no verdict is in reach",
    Outcome.CONTINUE: "Not yet",
    Outcome.STALE: "Not yet: the evidence is old",
}


def page(report: Report) -> str:
    """The whole page."""
    shown = report.frames
    sections = [
        _section("May the shadow replace the primary?", _answers(report)),
        _section("What would be saved", _savings(shown["savings"])),
        _section("May we stop paying for the comparison?", _monitor(report)),
        _section("Where the money went", _spend(shown["spend_by_cause"], shown["spend_by_task_type"])),
        _section(
            "Answers that may rest on a cut prompt",
            _truncation(shown["truncation"], shown["truncation_by_signal"]),
        ),
        _section("Has anything changed?", [_paragraph(line) for line in repr(report.drift).splitlines()]),
        _section("What this rests on", _quality(shown)),
        _section("Pictures", [_pictures(report.pictures)]),
    ]
    heading = escape(plain(report.title))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{heading}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_CSS}</style></head><body>'
        f"<h1>{heading}</h1>"
        f'<p class="note">Made {report.made_at:%Y-%m-%d %H:%M} UTC from aggregates of the ledger.</p>'
        f"{''.join(sections)}</body></html>\n"
    )


def _answers(report: Report) -> list[str]:
    frame = report.verdicts.frame
    if frame.empty:
        return [_paragraph("There are no pairs yet, so there is no verdict.")]
    sides = report.frames["sides"].set_index("task_type")
    savings = report.frames["savings"].set_index("task_type")
    items = []
    for row in frame.to_dict("records"):
        name = row["task_type"]
        primary, shadow = sides.loc[name] if name in sides.index else ("the primary", "the shadow")
        saved = savings.loc[name] if name in savings.index else None
        kind, text = _answer(row, plain(primary), plain(shadow), saved, report.verdicts.margin)
        items.append(f'<li class="{kind}">{text}</li>')
    note = (
        f"A loss of up to {points(report.verdicts.margin, signed=False)} points is accepted. Ranges hold with "
        f"{100 * (1 - report.verdicts.alpha):g}% confidence for each task type; the answers are corrected for "
        f"asking about {len(frame)} of them."
    )
    if (frame["basis"] == "agreement").any():
        note += " Any answer unlike the primary's counts as a loss, even where it is the better one."
    return [f'<ul class="verdicts">{"".join(items)}</ul>', _paragraph(note, "note")]


def _answer(
    row: Mapping[str, Any], primary: str, shadow: str, saved: pd.Series | None, margin: float
) -> tuple[str, str]:
    """The colour and the sentence of one task type."""
    name, verdict = escape(plain(row["task_type"])), row["verdict"]
    swap = f"replace {escape(primary)} by {escape(shadow)} for <b>{name}</b>"
    facts = (
        f"{points(row['difference'])} points ({points(row['low'])} to {points(row['high'])}) "
        f"over {count(row['pairs'])} pair{'' if row['pairs'] == 1 else 's'}"
    )
    if verdict in ("superior", "non-inferior"):
        gain = "" if saved is None else f" It would save {percent(saved['saved_share'])} of the cost."
        better = "better, " if verdict == "superior" else ""
        return "yes", f"<b>You may</b> {swap}: {better}{facts}.{gain}"
    if verdict == "not non-inferior":
        return "no", (
            f"<b>No</b>, do not {swap}: worse by more than {points(margin, signed=False)} points, {facts}."
        )
    if verdict == "refused":
        return "later", f"<b>You may not yet</b> {swap}: {escape(plain(row['reason']))}."
    return "later", f"<b>You may not yet</b> {swap}: {facts} settles nothing. {_outlook(row, saved)}"


def _outlook(row: Mapping[str, Any], saved: pd.Series | None) -> str:
    more = row["more_pairs"]
    if more == float("inf"):
        return "The difference is too close to the limit for any affordable number of pairs."
    price = "" if saved is None else f", for about {usd(more * saved['shadow_usd'] / saved['pairs'])},"
    return f"About {count(more)} more pairs{price} would settle it."


def _savings(savings: pd.DataFrame) -> list[str]:
    if savings.empty:
        return [_paragraph("No complete pair with both costs known yet.", "note")]
    total, primary = float(savings["calls_saved_usd"].sum()), float(savings["primary_usd"].sum())
    share = abs(float(savings["saved_usd"].sum())) / primary if primary > 0 else float("nan")
    verb = "saved" if total >= 0 else "cost more by"
    told = f" ({percent(share)} of the primary's cost)" if share == share else ""
    sentence = f"On the calls these pairs stand for, the shadow would have {verb} {usd(abs(total))}{told}."
    per_call = savings[["primary_usd", "shadow_usd"]].div(savings["pairs"], axis=0) * 1_000
    table = pd.DataFrame(
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
    return [_paragraph(sentence), _table(table)]


def _monitor(report: Report) -> list[str]:
    frame = report.standing.frame
    if frame.empty:
        return [_paragraph("There are no pairs yet.", "note")]
    table = pd.DataFrame(
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
    return [_table(table), _paragraph(note, "note")]


def _needed(row: Mapping[str, Any]) -> str:
    if row["decided_after"] == row["decided_after"] and row["decided_after"] is not None:
        return f"settled after {count(row['decided_after'])}"
    return "–" if row["outcome"] == Outcome.FUTILE or not row["pairs"] else count(row["pairs_needed"])


def _spend(by_cause: pd.DataFrame, by_type: pd.DataFrame) -> list[str]:
    if by_cause.empty:
        return [_paragraph("Nothing was spent yet.", "note")]
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
        _paragraph(f"{usd(total)} were spent{doubt}."),
        _table(causes),
        _details("By task type and model", [_table(types)]),
    ]


def _truncation(truncation: pd.DataFrame, signals: pd.DataFrame) -> list[str]:
    attempts, suspects = int(truncation["attempts"].sum()), int(truncation["suspects"].sum())
    sent_on = int(truncation["escalated"].sum())
    sentence = (
        f"{suspects:,} of {attempts:,} attempts show signs of a cut prompt; "
        f"{sent_on:,} prompts too long for their model went to another."
    )
    seen = truncation[truncation["suspects"] > 0]
    if seen.empty:
        return [_paragraph(sentence)]
    by_type = seen.rename(columns={"task_type": "where"}).assign(kind="task type")
    by_signal = signals.rename(columns={"signal": "where"}).assign(kind="signal")
    rows = pd.concat([by_type, by_signal])
    table = pd.DataFrame(
        {
            "By": rows["kind"],
            "Name": rows["where"],
            "Suspects": rows["suspects"],
            "Rate": rows["rate"].map(lambda rate: percent(rate, 2)),
            "Range": [
                f"{percent(a, 2)} to {percent(b, 2)}" for a, b in zip(rows["low"], rows["high"], strict=True)
            ],
        }
    )
    return [_paragraph(sentence), _table(table)]


def _quality(shown: Mapping[str, pd.DataFrame]) -> list[str]:
    parts = []
    statuses = shown["pair_status"]
    if len(statuses):
        table = statuses.pivot_table(index="task_type", columns="status", values="pairs", fill_value=0)
        table = table.astype("int64").rename(columns=lambda name: str(name).replace("_", " ")).reset_index()
        parts += [
            _paragraph("Pairs by what became of them:"),
            _table(table.rename(columns={"task_type": "Task type"})),
        ]
    flips = shown["flip_rate"]
    if len(flips):
        table = pd.DataFrame(
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
            _paragraph("How often the judge's winner depended on the order of the answers:"),
            _table(table),
        ]
    rates = shown["rates"]
    if len(rates):
        table = pd.DataFrame(
            {
                "Provider": rates["provider"],
                "Attempts": rates["attempts"],
                "Worked": rates["ok_rate"].map(percent),
                "Failed": rates["error_rate"].map(percent),
                "Were retries": rates["retry_rate"].map(percent),
                "Bill unknown": rates["unknown"],
            }
        )
        parts += [_paragraph("How often calls work:"), _table(table)]
    return parts


def _pictures(pictures: Sequence[tuple[str, bytes]]) -> str:
    images = [
        f'<img alt="{escape(name)}" src="data:image/png;base64,{b64encode(png).decode("ascii")}">'
        for name, png in pictures
    ]
    return images[0] + _details(f"{len(images) - 1} more", images[1:]) if images else ""


def _milliseconds(value: float) -> str:
    return f"{number(value)} ms" if value < 1_000 else f"{value / 1_000:,.1f} s"


def _table(frame: pd.DataFrame) -> str:
    """A table whose columns stand right, but for names: the first, and others that hold words."""
    words = {"Task type", "Cause", "Model", "By", "Name", "Provider", "May we stop?"}
    return f'<div class="wide">{html_table(frame, right=[name for name in frame if name not in words])}</div>'


def _section(title: str, parts: Sequence[str]) -> str:
    body = "".join(parts)
    return f"<h2>{escape(title)}</h2>{body}" if body else ""


def _paragraph(text: str, style: str = "") -> str:
    marked = f' class="{style}"' if style else ""
    return f"<p{marked}>{escape(text)}</p>"


def _details(title: str, parts: Sequence[str]) -> str:
    return f"<details><summary>{escape(title)}</summary>{''.join(parts)}</details>" if parts else ""

"""One file a manager can read: verdicts, saving, risk, spend, truncation and data quality.

Self-contained HTML with inline pictures and no scripts, or JSON for machines. Aggregates only: no
prompt and no output is ever in it.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from router_lab.analysis import metrics
from router_lab.analysis.ab import AbResult, ab
from router_lab.analysis.decision import ExitPlan
from router_lab.analysis.ledger_drift import DriftReport, drift
from router_lab.analysis.monitor import MonitorResult, monitor
from router_lab.analysis.tables import Tables, frame_of
from router_lab.analysis.wording import html_table, plain, points, usd
from router_lab.errors import ConfigError

_PAIR_COLUMNS = (
    "comparison_id", "request_id", "task_type", "created_at",
    "primary_alias", "shadow_alias", "primary_model", "shadow_model",
    "input_hash", "sample_probability", "switch_epoch", "status", "comparator", "agreement", "is_noise",
    "primary_cost_usd", "shadow_cost_usd", "primary_latency_ms", "shadow_latency_ms",
)  # fmt: skip

_CSS = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.2rem}img{max-width:100%;height:auto}"
    "table{margin:.5rem 0}th{border-bottom:1px solid #999}.note{color:#555}li{margin:.3rem 0}"
    "div.wide{overflow-x:auto}"
)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything the report says, as data. `write` puts it into a file."""

    title: str
    made_at: datetime
    verdicts: AbResult
    standing: MonitorResult
    frames: dict[str, pd.DataFrame] = field(repr=False)
    drift: DriftReport
    pictures: tuple[tuple[str, bytes], ...] = field(repr=False)

    def html(self) -> str:
        """The page. Everything that came from a ledger is escaped."""
        return _page(self)

    def as_json(self) -> str:
        """The same figures for machines; NaN and infinity are null."""
        tables = {name: _records(frame) for name, frame in self.frames.items()}
        return json.dumps(
            {
                "title": self.title,
                "made_at": self.made_at.isoformat(),
                "verdicts": _records(self.verdicts.frame),
                "monitor": _records(self.standing.frame),
                "drift": _records(self.drift.frame),
                **tables,
            },
            indent=2,
            allow_nan=False,
        )

    def write(self, path: str | Path, format: Literal["html", "json"] | None = None) -> Path:  # noqa: A002 - the CLI's word
        """Write it; the format follows the suffix unless given. Raises `ConfigError` for another one."""
        target = Path(path)
        chosen = format or target.suffix.removeprefix(".")
        if chosen not in ("html", "json"):
            raise ConfigError(f"{target}: a report is .html or .json; pass format= for another suffix")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(self.html() if chosen == "html" else self.as_json(), encoding="utf-8")
        return target

    def __repr__(self) -> str:
        return f"Report {self.title!r}\n{self.verdicts!r}\n{self.standing!r}"

    def _repr_html_(self) -> str:
        return self.verdicts._repr_html_() + self.standing._repr_html_()


def report(
    tables: Tables,
    *,
    plan: ExitPlan | None = None,
    margin: float = 0.02,
    alpha: float = 0.05,
    title: str = "router_lab report",
    pictures: bool = True,
    switch_events: pd.DataFrame | None = None,
    now: datetime | None = None,
) -> Report:
    """Gather a report from a ledger's tables; see `ab` for `margin`, `alpha`, `monitor` for `plan`."""
    plan = plan or ExitPlan()
    moment = now or datetime.now(UTC)
    pairs = frame_of(tables.comparisons.select(*_PAIR_COLUMNS))
    judged = ab(pairs, margin=margin, alpha=alpha)
    standing = monitor(pairs, plan, switch_events=switch_events, now=moment)
    frames = {
        "spend_by_cause": metrics.spend(tables, by="cause"),
        "spend_by_task_type": metrics.spend(tables, by=("task_type", "model")),
        "savings": metrics.savings(tables),
        "truncation": metrics.truncation(tables),
        "rates": metrics.rates(tables),
        "pair_status": _statuses(pairs),
    }
    drawn = tuple(_pictures(tables, judged, standing)) if pictures else ()
    watched = drift(tables, threshold=plan.threshold)
    return Report(title, moment, judged, standing, frames, watched, drawn)


def _statuses(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs.groupby(["task_type", "status"]).size().rename("pairs").reset_index()


def _pictures(tables: Tables, judged: AbResult, standing: MonitorResult) -> Iterable[tuple[str, bytes]]:
    from router_lab.analysis import plots

    yield "verdicts", plots.verdicts(judged)._repr_png_()
    for name in list(standing.decisions)[:6]:
        yield f"confidence band of {plain(name)}", plots.confidence_band(standing, name)._repr_png_()
    yield "spend by cause", plots.spend_by_cause(tables)._repr_png_()
    yield "truncation over time", plots.truncation_over_time(tables)._repr_png_()
    yield "latency", plots.latency_quantiles(tables)._repr_png_()


def _page(report: Report) -> str:
    shown = report.frames
    verdicts, standing = report.verdicts, report.standing
    money = (shown["spend_by_cause"], shown["spend_by_task_type"])
    sections = [
        _section("May the shadow replace the primary?", [_sentences(verdicts), verdicts._repr_html_()]),
        _section("May we stop paying for the comparison?", [_sentences(standing), standing._repr_html_()]),
        _section("What would be saved", [_saving(shown["savings"]), html_table(shown["savings"])]),
        _section("Where the money went", [html_table(frame) for frame in money]),
        _section("Answers that may rest on a cut prompt", [html_table(shown["truncation"])]),
        _section("Reliability", [html_table(shown["rates"])]),
        _section("Drift", [_sentences(report.drift)]),
        _section("What the pairs rest on", [html_table(shown["pair_status"])]),
        _section("Pictures", [_image(name, png) for name, png in report.pictures]),
    ]
    heading = escape(plain(report.title))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{heading}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_CSS}</style></head><body>'
        f"<h1>{heading}</h1>"
        f'<p class="note">Made {report.made_at:%Y-%m-%d %H:%M} UTC from aggregates of the ledger.</p>'
        f"{''.join(sections)}</body></html>\n"
    )


def _section(title: str, parts: Sequence[str]) -> str:
    body = "".join(f'<div class="wide">{part}</div>' for part in parts if part)
    return f"<h2>{escape(title)}</h2>{body}" if body else ""


def _sentences(result: object) -> str:
    return f"<ul>{''.join(f'<li>{escape(line.strip())}</li>' for line in repr(result).splitlines())}</ul>"


def _saving(savings: pd.DataFrame) -> str:
    if savings.empty:
        return '<p class="note">No complete pair with both costs known yet.</p>'
    total, primary = float(savings["calls_saved_usd"].sum()), float(savings["primary_usd"].sum())
    share = savings["saved_usd"].sum() / primary if primary > 0 else float("nan")
    verb = "saved" if total >= 0 else "cost more by"
    percent = f" ({points(abs(share), signed=False)}% of the primary's cost)" if share == share else ""
    return (
        f"<p>On the calls these pairs stand for, the shadow would have {verb} {usd(abs(total))}{percent}.</p>"
    )


def _image(name: str, png: bytes) -> str:
    return f'<img alt="{escape(name)}" src="data:image/png;base64,{b64encode(png).decode("ascii")}">'


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    text = frame.to_json(orient="records", date_format="iso", double_precision=15)
    records: list[dict[str, Any]] = json.loads(text or "[]")
    return records

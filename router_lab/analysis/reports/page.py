"""The report as one HTML page: what to do first, then why, then what it rests on.

Everything that came from a ledger is escaped. No scripts; pictures are inline; aggregates only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from router_lab.analysis.reports.answers import QUESTION
from router_lab.analysis.reports.report_scope import examples_section, looked_at_section
from router_lab.analysis.reports.sections import (
    drift_section,
    latency_section,
    monitor_section,
    quality_section,
    repriced_section,
    savings_section,
    spend_section,
    truncation_section,
)
from router_lab.shown.elements import document
from router_lab.shown.escape import Html, join, tag, text_html
from router_lab.shown.markup import details, paragraph, section
from router_lab.shown.wording import plain

if TYPE_CHECKING:
    from router_lab.analysis.reports.findings import Findings

_CSS = (
    ":root{color-scheme:light dark;--faint:#555;--line:#999}"
    "@media (prefers-color-scheme:dark){:root{--faint:#aaa;--line:#666}}"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.6rem;margin-bottom:0}h2{font-size:1.2rem;margin:2rem 0 .4rem}"
    "table{margin:.5rem 0}th{border-bottom:1px solid var(--line)}"
    "body{background:Canvas;color:CanvasText}"
    ".note{color:var(--faint);margin:.2rem 0}summary{cursor:pointer}"
    # A shadow at the edge behind which a wide table goes on; what scrolls with the table hides it at the end.
    "div.wide{overflow-x:auto;background:linear-gradient(to right,Canvas 30%,transparent) 0 0/2rem 100%,"
    "linear-gradient(to left,Canvas 30%,transparent) 100% 0/2rem 100%,"
    "linear-gradient(to right,#8886,transparent) 0 0/.8rem 100%,"
    "linear-gradient(to left,#8886,transparent) 100% 0/.8rem 100%;background-repeat:no-repeat;"
    "background-attachment:local,local,scroll,scroll}"
)


def page(report: Findings) -> str:
    """The report as one self-contained HTML page."""
    shown = report.frames
    examples = examples_section(shown["examples"]) if "examples" in shown else []
    repriced = repriced_section(shown["repriced"]) if "repriced" in shown else []
    sections = [
        section(QUESTION, [report.answers.html()]),
        section("What would be saved", savings_section(shown["savings"], _refused(report))),
        section("How long a call takes", latency_section(report.verdicts)),
        section("May we stop paying for the comparison?", monitor_section(report)),
        section("Where the money went", spend_section(shown["spend_by_cause"], shown["spend_by_task_type"])),
        section("What these calls would cost on other models", repriced),
        section(
            "Answers that may rest on a cut prompt",
            truncation_section(shown["truncation"], shown["truncation_by_signal"]),
        ),
        section("Has anything changed?", drift_section(report)),
        section("What this rests on", quality_section(shown)),
        section("Pairs whose answers are least alike", examples),
        section("Pictures", [_pictures(report.pictures)]),
    ]
    heading = text_html(plain(report.title))
    return document(
        heading,
        _CSS,
        tag("h1", heading),
        paragraph(f"Made {report.made_at:%Y-%m-%d %H:%M} UTC.", "note"),
        *looked_at_section(report.ledger, shown),
        *sections,
    )


def _refused(report: Findings) -> list[str]:
    """The task types on whose pairs no verdict may rest."""
    frame = report.verdicts.frame
    return list(frame.loc[frame["verdict"] == "refused", "task_type"])


def _pictures(pictures: Sequence[tuple[str, Html]]) -> Html:
    images = [drawn for _, drawn in pictures]
    return join([*images[:1], details(f"{len(images) - 1} more", images[1:])])

"""The few pieces of HTML the report is made of. Text is escaped here; `parts` are HTML already."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from router_lab.shown.escape import text_html
from router_lab.shown.wording import html_table, plain_text

_WORDS = {
    "Task type",
    "What for",
    "Model",
    "By",
    "Name",
    "Provider",
    "May we stop?",
    "What",
    "Alike",
    "Price from",
    "At the prices of",
}


def table(frame: pd.DataFrame) -> str:
    """A table that scrolls when it is wide; columns stand right, but for those that hold words."""
    made = html_table(frame, right=[name for name in frame if name not in _WORDS])
    return f'<div class="wide" tabindex="0">{made}</div>'


def section(title: str, parts: Sequence[str]) -> str:
    """A heading and what is under it; nothing when there is nothing."""
    body = "".join(parts)
    return f"<h2>{text_html(title)}</h2>{body}" if body else ""


def paragraph(text: str, style: str = "") -> str:
    """A paragraph of plain text, escaped."""
    marked = f' class="{style}"' if style else ""
    return f"<p{marked}>{text_html(text)}</p>"


def bullets(texts: Sequence[str]) -> str:
    """Texts of ours that may hold names, each a line of a list, escaped."""
    listed = "".join(f"<li>{text_html(plain_text(text))}</li>" for text in texts)
    return f'<ul style="margin:4px 0 0 0;padding-left:18px">{listed}</ul>' if texts else ""


def details(title: str, parts: Sequence[str]) -> str:
    """Parts folded away under a title; nothing when there are none."""
    return f"<details><summary>{text_html(title)}</summary>{''.join(parts)}</details>" if parts else ""

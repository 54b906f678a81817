"""The look of every panel: inline styles that read well on a light and on a dark page.

Inline, because notebook viewers drop style sheets from saved outputs. Colours are transparent
tints over whatever the page has, from a colour-blind safe pair, and never the only sign.
"""

from __future__ import annotations

from router_lab.shown import elements
from router_lab.shown.escape import Html, join, show, tag

LINE = "1px solid rgba(128,128,128,.4)"
FAINT = "opacity:.75"
FONT = "font-family:system-ui,sans-serif;font-size:13px;line-height:1.45;color:inherit"
# What is too wide scrolls, and does not widen what it stands in.
SCROLLED = "overflow-x:auto;contain:inline-size"
CARD = f"border:{LINE};border-radius:6px;margin:0 0 10px 0;overflow:hidden"
CURRENT = "outline:2px solid #0072b2;outline-offset:-1px"
HEAD = (
    "display:flex;flex-wrap:wrap;gap:4px 16px;align-items:baseline;padding:6px 10px;"
    "background:rgba(128,128,128,.12)"
)
COLUMNS = "display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr)"
TEXT = (
    "white-space:pre-wrap;overflow-wrap:anywhere;word-break:normal;"
    "overflow-x:hidden;overflow-y:auto;max-height:28em;"
    "font-family:ui-monospace,monospace;font-size:12px;line-height:1.5;margin:0"
)
# What only one side says: neither is struck out, for it may well be right.
PRIMARY_ONLY = "background:rgba(213,94,0,.25);color:inherit;text-decoration:underline dashed"
SHADOW_ONLY = "background:rgba(0,114,178,.28);color:inherit;text-decoration:underline"
CELL = (
    f"border-bottom:{LINE};padding:3px 12px 3px 0;text-align:left;vertical-align:top;overflow-wrap:anywhere"
)
# In a table of figures words stay whole, and one that is too wide scrolls; only what has no end is broken.
_WHOLE = f"{CELL};overflow-wrap:break-word;max-width:28em"
_NUMBER = f"{_WHOLE};text-align:right;font-variant-numeric:tabular-nums"
WARNING = "border-left:4px solid #d55e00;padding:4px 8px;background:rgba(213,94,0,.12)"
NOTICE = "border-left:4px solid #0072b2;padding:4px 8px;background:rgba(0,114,178,.10)"
# Tabs as wide as their names, on as many lines as it takes: a phone would cut them all off.
TABS_CLASS = "router-lab-tabs"
TABS_STYLE = Html(
    "<style>"
    f".{TABS_CLASS} > .lm-TabBar {{height:auto}}"
    f".{TABS_CLASS} > .lm-TabBar > .lm-TabBar-content {{flex-wrap:wrap;align-items:stretch}}"
    f".{TABS_CLASS} > .lm-TabBar .lm-TabBar-tab {{flex:0 0 auto;min-width:0;max-width:none;width:auto}}"
    f".{TABS_CLASS} > .lm-TabBar .lm-TabBar-tabLabel {{color:var(--jp-ui-font-color0, currentColor)}}"
    "</style>"
)
# Classes that keep JupyterLab from reading dollar signs in answers as formulas.
NO_FORMULAS = "tex2jax_ignore mathjax_ignore"


def page(*children: Html) -> Html:
    """The outermost element of anything shown."""
    return tag("div", *children, class_=NO_FORMULAS, style=FONT)


def title(text: str) -> Html:
    """The heading of a panel, escaped."""
    return tag("div", show(text), style="font-weight:600;font-size:14px;margin:2px 0 6px 0")


def note(text: str, *, warning: bool = False) -> Html:
    """One line a reader should see; a warning says so in words too."""
    words = f"Problem: {text}" if warning else text
    return tag(
        "div", show(words), role="alert" if warning else "status", style=WARNING if warning else NOTICE
    )


def table(headings: list[str], rows: list[list[object]], *, numbers: frozenset[int] = frozenset()) -> Html:
    """A plain table; `numbers` are the columns aligned right."""
    looks = [_NUMBER if place in numbers else _WHOLE for place in range(len(headings))]
    made = elements.table(
        [show(heading) for heading in headings],
        [[show("–" if value is None else value, limit=300) for value in row] for row in rows],
        style="border-collapse:collapse",
        head_styles=looks,
        cell_styles=[f"{look};white-space:nowrap" if look == _NUMBER else look for look in looks],
        scope="col",
    )
    return tag("div", made, style=SCROLLED, tabindex="0")


def facts(parts: list[str]) -> Html:
    """Short facts on one line, separated by dots."""
    return tag("span", join([show(part) for part in parts], " · "))


def usd(amount: float | None) -> str:
    """An amount in US dollars with as many digits as it takes to tell it from zero."""
    if amount is None:
        return "–"
    if amount == 0:
        return "$0"
    digits = 2 if abs(amount) >= 1 else 4 if abs(amount) >= 0.001 else 6
    return f"${amount:,.{digits}f}"

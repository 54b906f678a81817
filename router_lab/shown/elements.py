"""What pages, panels and notebooks are put together from: a table, lines, a whole page.

Pieces of HTML come in, escaped already; their look is the caller's. Free of pandas: a router shows its
routes without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from router_lab.shown.escape import Html, opening, tag, text_html

LEFT, RIGHT = "text-align:left", "text-align:right"


def table(
    head: Iterable[Html],
    rows: Iterable[Iterable[Html]],
    caption: Html | None = None,
    *,
    style: str | None = None,
    caption_style: str | None = None,
    head_styles: Sequence[str | None] = (),
    cell_styles: Sequence[str | None] = (),
    scope: str | None = None,
) -> Html:
    """A table of `rows` under the headings `head`, each row as wide; styles go by column, from the left.

    Example: `table([text_html("Model")], [[show(name)] for name in names], text_html("Models"))`.
    """
    titles = list(head)
    title = [] if caption is None else [tag("caption", caption, style=caption_style)]
    # Once a column: tables may have thousands of rows.
    heads = _openings("th", len(titles), head_styles, scope)
    cells = _openings("td", len(titles), cell_styles)
    return tag(
        "table",
        *title,
        tag("thead", _row("th", heads, titles)),
        tag("tbody", *[_row("td", cells, row) for row in rows]),
        style=style,
    )


def _openings(name: str, columns: int, styles: Sequence[str | None], scope: str | None = None) -> list[Html]:
    """The tag that begins a cell, by column; columns beyond the last style have none."""
    filled = [*styles, *[None] * columns][:columns]
    return [opening(name, scope=scope, style=style) for style in filled]


def _row(name: str, openings: Sequence[Html], cells: Iterable[Html]) -> Html:
    made = [f"{begun}{cell}</{name}>" for begun, cell in zip(openings, cells, strict=True)]
    return Html(f"<tr>{''.join(made)}</tr>")


def headings(*texts: str) -> list[Html]:
    """Texts of ours as the headings of a table."""
    return [text_html(text) for text in texts]


def lines(parts: Iterable[Html]) -> Html:
    """Each part on a line of its own."""
    return Html("<br>".join(parts))


def document(title: Html, css: str, *children: Html) -> Html:
    """A whole page, to be written to a file. `css` is ours: it is not escaped."""
    return Html(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{css}</style></head><body>'
        f"{tag('main', *children)}</body></html>\n"
    )

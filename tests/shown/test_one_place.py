"""HTML is made in `shown`: elsewhere no text holds a tag, whole or as a part of an f-string.

The import of `html` is forbidden by a contract; a tag needs none to be written by hand.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import router_lab
from router_lab.shown.elements import document, headings, lines, table
from router_lab.shown.escape import show

ROOT = Path(router_lab.__file__).parent
# What makes HTML, and what writes the reference's pages.
MAY = {"shown", "docs"}
TAG = re.compile(
    r"<!doctype|</?(a|b|body|br|caption|code|details|div|em|h[1-6]|head|html|i|img|li|main|meta|ol|p|pre|script|"
    r"section|span|strong|style|summary|svg|table|tbody|td|th|thead|tr|ul)\b",
    re.IGNORECASE,
)
MODULES = [path for path in sorted(ROOT.rglob("*.py")) if path.relative_to(ROOT).parts[0] not in MAY]


def written(text: str) -> Iterator[str]:
    """The tags that stand in a module's texts, with their lines."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (f"line {node.lineno}: {found[0]}" for found in TAG.finditer(node.value))


def test_no_other_module_writes_a_tag() -> None:
    found = {str(path.relative_to(ROOT)): [*written(path.read_text("utf-8"))] for path in MODULES}
    assert len(MODULES) > 200
    assert {name: tags for name, tags in found.items() if tags} == {}, "use `shown.elements`, or `tag`"


@pytest.mark.parametrize(
    "text",
    ['"<table>"', 'f"<td style={x}>{y}</td>"', '"".join(f"{x}</TR>" for x in y)', '"<br>"', '"<h1>"'],
)
def test_a_tag_written_by_hand_is_seen(text: str) -> None:
    assert [*written(text)]


@pytest.mark.parametrize("text", ['"a < b"', '"<alias>"', '"x <params>"', "tag('p', show(x))"])
def test_what_is_no_tag_is_let_be(text: str) -> None:
    assert not [*written(text)]


def test_a_table_has_its_columns_looks_and_no_row_is_cut() -> None:
    made = table(headings("a & b", "n"), [[show("<b>"), show(1)]], show("x"), cell_styles=[None, "color:red"])
    assert made == (
        "<table><caption>x</caption><thead><tr><th>a &amp; b</th><th>n</th></tr></thead>"
        '<tbody><tr><td>&lt;b&gt;</td><td style="color:red">1</td></tr></tbody></table>'
    )
    with pytest.raises(ValueError, match="zip"):
        table(headings("a"), [[show(1), show(2)]])


def test_a_page_and_lines_hold_what_they_are_given() -> None:
    page = document(show("<x>"), "p{margin:0}", lines([show("<1>"), show("2")]))
    assert page.startswith("<!doctype html>") and "<title>&lt;x&gt;</title>" in page
    assert "<style>p{margin:0}</style>" in page and "<main>&lt;1&gt;<br>2</main>" in page

"""A pair's card shows the tools both sides call, and a side that gave no answer one can judge."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pandas as pd
from pair_rows import HOSTILE, frame, row

from router_lab.panels.compare.compare_panel import ComparePanel
from router_lab.panels.compare.pair_filter import PairFilter
from router_lab.panels.compare.pair_sources import pair_source

ORDER = '[{"arguments":{"id":7},"name":"get_order"}]'
REFUND = '[{"arguments":{"amount":99},"name":"refund"}]'


def shown(**changes: Any) -> str:
    panel = ComparePanel(pd.DataFrame([row(**changes)]))
    html = panel._repr_mimebundle_()["text/html"]
    return unescape(re.sub(r"<[^>]*>", " ", html))


def test_calls_of_both_sides_are_shown_argument_by_argument() -> None:
    text = shown(primary_output="", shadow_output="", primary_tool_calls=ORDER, shadow_tool_calls=REFUND)
    assert "get_order" in text and "refund" in text
    assert "[0].arguments.id" in text and "99" in text and "≠" in text


def test_a_call_stands_beside_a_text() -> None:
    text = shown(primary_output="Let me see.", primary_tool_calls=ORDER, shadow_output="It is on its way.")
    assert re.search(r"calls\s+get_order", text) and '"id"' in text and "on its way" in text


def test_a_side_without_an_answer_is_named() -> None:
    text = shown(shadow_output="half a sen", shadow_ending="token_limited", primary_ending="complete")
    assert "the shadow answer was cut at the token limit" in text and "the primary answer" not in text


def test_calls_are_searched_like_texts() -> None:
    source = pair_source(frame(row(1, primary_tool_calls=ORDER), row(2, shadow_tool_calls=REFUND), row(3)))
    assert [pair.comparison_id for pair in source.page(PairFilter(search="REFUND"), 1, 5)] == ["c000002"]


def test_hostile_calls_do_not_become_markup() -> None:
    texts = [text for text in HOSTILE.values() if "\ud83d" not in text]
    rows = [row(at, primary_tool_calls=text, shadow_tool_calls=text) for at, text in enumerate(texts)]
    html = ComparePanel(pd.DataFrame(rows), page_size=20)._repr_mimebundle_()["text/html"]
    assert "<script>alert" not in html and "<img src=x" not in html

"""Figures on a page: the page's own colours, values under the pointer, nothing that speaks for the page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import style
from matplotlib.figure import Figure

from router_lab.analysis.plots import Plot
from router_lab.analysis.plots.plot import MOST_HINTS, canvas, finish, label

# Matplotlib's own font lacks most scripts; what it lacks it draws as a box.
pytestmark = pytest.mark.filterwarnings("ignore:Glyph .* missing from font:UserWarning")
HOSTILE = '</title><script>alert(1)</script> <b> & " \x00 \ud800 \ufffe $x^2$'


def drawn(name="task", hints=(), title="A finding"):
    axes = canvas(None)
    axes.plot([0, 1, 2], [0.1, 0.5, 0.3], label=label(name))
    axes.barh([0.2], [1.5], height=0.1, hatch="//", edgecolor="white")
    finish(axes, title, x="calls", y="share, %", legend=True)
    return Plot(name, "its numbers", pd.DataFrame({"x": [1]}), axes, tuple(hints))


def titles(html):
    return [one.text for one in ElementTree.fromstring(html).iter("title")]


def test_it_takes_the_colours_of_its_page():
    html = drawn().html()
    assert "currentColor" in html and "var(--jp-layout-color1, Canvas)" in html
    assert "#000000" not in html and "#ffffff" not in html
    with style.context("dark_background"):
        dark = drawn().html()
    assert "#000000" not in dark and "#ffffff" not in dark


def test_it_is_as_wide_as_there_is_room_and_says_what_it_is():
    root = ElementTree.fromstring(drawn().html())
    svg = root.find("svg")
    assert svg is not None and svg.get("role") == "img" and svg.get("aria-label") == "task: its numbers"
    assert "width" not in svg.attrib and "viewBox" in svg.attrib and "width:100%" in svg.get("style", "")


def test_its_values_stand_under_the_pointer():
    html = drawn(hints=[(0, 0.1, "after 1: 10%"), (1, 0.5, "after 2: 50%")]).html()
    assert titles(html) == ["after 1: 10%", "after 2: 50%"]


@pytest.mark.parametrize("hints", [[(float("nan"), 0.1, "no place")], [(0, float("inf"), "no place")], []])
def test_a_value_without_a_place_is_left_out(hints):
    assert titles(drawn(hints=hints).html()) == []


def test_of_very_many_values_some_are_told():
    many = [(place / 1_000, 0.2, f"value {place}") for place in range(1_000)]
    assert len(titles(drawn(hints=many).html())) == MOST_HINTS


def test_a_page_may_leave_out_the_title_it_has_said():
    plot = drawn(title="A finding")
    titled, bare = plot.html(), plot.html(titled=False)
    assert titled.count("<path") > bare.count("<path") or len(titled) > len(bare)
    assert plot.axes.get_title(loc="left") == "A finding"
    assert plot.html() == titled, "drawing changes nothing"


def test_two_on_a_page_do_not_share_names_and_equal_runs_are_equal():
    first, second = drawn("one").html(), drawn("two").html()
    ids = [set(re.findall(r' id="([^"]+)"', html)) for html in (first, second)]
    assert ids[0] and ids[1] and not ids[0] & ids[1]
    for html, own in zip((first, second), ids, strict=True):
        assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', html)) and own
        assert {a or b for a, b in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', html)} == own
    assert drawn("one").html() == first


def test_it_says_nothing_for_the_whole_page():
    html = drawn().html()
    assert "<style" not in html and "<metadata" not in html and "xmlns" not in html and "http" not in html


def test_hostile_words_stay_words():
    html = drawn(HOSTILE, hints=[(0, 0.1, HOSTILE)], title=HOSTILE).html()
    assert "<script" not in html and "</title><b>" not in html
    assert titles(html) and "alert(1)" in (titles(html)[0] or "")


@settings(max_examples=6, deadline=None)
@given(words=st.text(max_size=40))
def test_any_words_make_a_figure_that_parses(words):
    assert len(titles(drawn(words, hints=[(1, 0.5, words)]).html())) == 1


def test_a_figure_into_given_axes_has_a_page_form_too():
    axes = Figure().add_subplot()
    axes.plot(np.arange(3))
    assert "<svg" in Plot("mine", "3 values", pd.DataFrame(), axes).html()

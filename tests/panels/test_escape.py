"""Nothing a model wrote may act in the browser, and nothing in it may stay unseen."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair_rows import HOSTILE

from router_lab.shown.escape import plain, show, tag

ANYTHING = st.text(st.characters(codec=None, exclude_categories=()), max_size=300)


class Reader(HTMLParser):
    """What a browser makes of HTML: its elements and its text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment came through: {data!r}")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_becomes_text_only(name: str) -> None:
    html = show(HOSTILE[name])
    assert set(Reader(html).elements) <= {"span", "em"}
    assert "<script" not in html
    assert "</script" not in html
    html.encode("utf-8")


@given(ANYTHING)
def test_any_text_makes_only_our_own_elements(text: str) -> None:
    read = Reader(show(text))
    assert set(read.elements) <= {"span", "em"}
    show(text).encode("utf-8")
    assert not set(read.text) & set("\x00\x1b\u202a\u202e\u2066\u2069\u200b\ufeff\U000e0041")


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=200))
def test_visible_text_is_shown_letter_by_letter(text: str) -> None:
    visible = "".join(letter for letter in text if letter not in "\u115f\u1160\u3164\uffa0")
    assert Reader(show(visible)).text == visible


def test_the_invisible_has_a_name() -> None:
    assert "U+202E" in show(HOSTILE["bidi"])
    assert "ESC" in show(HOSTILE["ansi"])
    assert "U+200B" in show(HOSTILE["zero width"])
    assert "U+E0069" in show(HOSTILE["hidden tags"])
    assert "\ufffd" in show(HOSTILE["surrogate"])


def test_scripts_and_emoji_that_need_joiners_stay_whole() -> None:
    text = "नमस्ते می‌خواهم 👩‍🔬 ❤️"
    assert Reader(show(text)).text == text


def test_a_long_text_says_how_much_is_left() -> None:
    html = show("x" * 1_000_000, limit=4_000)
    assert "… 996,000 more characters" in html
    assert len(html) < 5_000
    assert "more character<" in show("ab", limit=1)
    assert "more" not in show("x" * 4_000, limit=4_000)


def test_the_cut_never_splits_an_entity() -> None:
    assert Reader(show("<" * 10, limit=5)).text.startswith("<<<<< …")


def test_attributes_are_escaped_too() -> None:
    html = tag("b", show("x"), title='" onmouseover="alert(1)', aria_label="l")
    read = Reader(html)
    assert read.elements == ["b"]
    assert 'aria-label="l"' in html


def test_labels_are_one_visible_line() -> None:
    label = plain("a\nb\u202ec\x1b[0m")
    assert label == "a⏎b⟦U+202E⟧c⟦ESC⟧[0m"
    assert plain("y" * 300) == "y" * 200 + "… 100 more characters"

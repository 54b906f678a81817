"""The one place where text that a model or a user wrote becomes HTML.

`Html` marks what is safe to send to a browser. Only the functions here make it from strings,
so the type checker finds any text on its way around them. What a reader could not see is made
visible: control characters, terminal colours, direction overrides, invisible tags and fillers.
"""

from __future__ import annotations

import html
import re
from typing import NewType

Html = NewType("Html", str)

# Long enough for an ordinary answer; a longer one says how much is left.
SHOWN_CHARACTERS = 4_000

# Joiners (U+200C, U+200D) and variation selectors stay: scripts and emoji need them.
_INVISIBLE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, ANSI's escape among them; not tab, not newline
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e"
    "\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\U000e0000-\U000e0fff"  # tags and selectors that hide whole sentences
    "]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_MARK_STYLE = (
    "font-family:monospace;font-size:85%;border:1px solid currentColor;border-radius:3px;padding:0 2px"
)


def plain(text: object, limit: int = 200) -> str:
    """`text` on one line with the invisible made visible, cut at `limit` characters: for widget labels.

    Not HTML: pass it where the browser is told that it is text (options, text inputs).
    """
    value = str(text)
    cut = value[:limit]
    cut = _SURROGATE.sub("\ufffd", cut).replace("\n", "⏎").replace("\t", " ")
    cut = _INVISIBLE.sub(lambda found: f"⟦{_name(found[0])}⟧", cut)
    return cut if len(value) <= limit else f"{cut}… {len(value) - limit:,} more characters"


def show(text: object, limit: int = SHOWN_CHARACTERS) -> Html:
    """`text` as HTML that shows it letter by letter, cut at `limit` characters with a visible note."""
    value = str(text)
    marked = Html(_escaped(value[:limit]))
    rest = len(value) - limit
    return marked if rest <= 0 else Html(f"{marked}{more(rest)}")


def more(characters: int) -> Html:
    """The visible note that `characters` were left out."""
    noun = "character" if characters == 1 else "characters"
    return Html(f'<em style="opacity:.75"> … {characters:,} more {noun}</em>')


def tag(name: str, *children: Html, **attributes: object) -> Html:
    """An element with escaped attributes; `class_` and the like lose their trailing underscore."""
    return Html(f"{opening(name, **attributes)}{''.join(children)}</{name}>")


def opening(name: str, **attributes: object) -> Html:
    """The beginning of an element, with attributes as `tag` takes them, where many alike are made."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{written}>")


def join(parts: list[Html], between: str = "") -> Html:
    """Safe parts, one after the other, with `between` escaped."""
    return Html(html.escape(between).join(parts))


def text_html(text: str) -> Html:
    """Our own words as HTML, whole and as they are; for a model's or a user's, `show`."""
    return Html(html.escape(text))


def _escaped(text: str) -> str:
    text = html.escape(_SURROGATE.sub("\ufffd", text), quote=True)
    return _INVISIBLE.sub(_marked, text)


def _marked(found: re.Match[str]) -> str:
    return f'<span style="{_MARK_STYLE}" title="invisible character">{_name(found[0])}</span>'


def _attribute(value: object) -> str:
    return html.escape(plain(value, limit=2_000), quote=True)


def _name(character: str) -> str:
    code = ord(character)
    if code == 0x1B:
        return "ESC"
    return f"U+{code:04X}"

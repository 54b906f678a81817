"""A drawn figure as a part of a page: its text in the page's own colour, as wide as there is room, and
the values it was drawn from under the pointer.

Plain SVG in the page, without a script, so that it looks the same in JupyterLab, Voilà, VS Code, the
report and an exported notebook. No network, no library in the browser.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from hashlib import sha256
from xml.etree import ElementTree

from router_lab.shown.escape import Html, plain, tag, text_html
from router_lab.shown.style import SCROLLED

HINTS = "router-lab-hints"
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
# What XML cannot hold, lone surrogates among them.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REFERENCE = re.compile(r"#([\w.-]+)")
# The page where a front-end says so, else what the browser takes for one.
_PAPER = "var(--jp-layout-color1, Canvas)"
# Below the least width the letters could not be read: a narrow page scrolls the figure instead.
_LEAST, _MOST = 460, 900


def figure(svg: str, words: str, *, ink: str, paper: str, hints: Sequence[str] = ()) -> Html:
    """The figure that Matplotlib wrote as `svg`, for a page; `words` say what it shows.

    `ink` and `paper` are the colours (`#rrggbb`) it was drawn with, which become the page's own. `hints` are
    what the pointer reads off the marks of the group named `HINTS`, in their order.
    """
    root = ElementTree.fromstring(_NOT_XML.sub("\ufffd", svg))  # noqa: S314 - Matplotlib's, not a reader's
    _take_out(root, "metadata", "style")
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        link = element.attrib.pop(_HREF, None)
        if link is not None:
            element.set("href", link)
        if "style" in element.attrib:
            element.set("style", element.attrib["style"].replace(ink, "currentColor").replace(paper, _PAPER))
    _hint(root, hints)
    _rename(root)
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.attrib |= {
        "role": "img",
        "aria-label": _written(words, 500),
        "fill": "currentColor",
        "style": f"display:block;width:100%;min-width:{_LEAST}px;max-width:{_MOST}px;height:auto;"
        "stroke-linejoin:round;stroke-linecap:butt",
    }
    drawn = Html(ElementTree.tostring(root, encoding="unicode"))
    return tag(
        "div", drawn, style=f"{SCROLLED};margin:8px 0", tabindex="0", role="group", aria_label="Figure"
    )


def picture_html(png: bytes, words: str) -> Html:
    """A picture inside the page, on white; `words` say what it shows."""
    data = b64encode(png).decode("ascii")
    style = "max-width:100%;background:white;border-radius:6px;margin:8px 0"
    # Not by `tag`, which would cut the picture as if it were text.
    return Html(
        f'<img alt="{text_html(plain(words, 500))}" style="{style}" src="data:image/png;base64,{data}">'
    )


def _written(words: str, limit: int) -> str:
    return _NOT_XML.sub("\ufffd", plain(words, limit))


def _take_out(root: ElementTree.Element, *names: str) -> None:
    """Drop elements that would speak for the whole page, or for nobody."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.removeprefix(_SVG) in names:
                parent.remove(child)


def _hint(root: ElementTree.Element, hints: Sequence[str]) -> None:
    group = next((one for one in root.iter("g") if one.get("id") == HINTS), None)
    if group is None:
        return
    marks = [(parent, use) for parent in group.iter() for use in parent if use.tag == "use"]
    if len(marks) != len(hints):  # some lie outside the picture
        return
    for (parent, use), words in zip(marks, hints, strict=True):
        place = list(parent).index(use)
        wrapped = ElementTree.Element("g")
        ElementTree.SubElement(wrapped, "title").text = _written(words, 200)
        parent.remove(use)
        wrapped.append(use)
        parent.insert(place, wrapped)


def _rename(root: ElementTree.Element) -> None:
    """Names by the content, so that two figures on a page do not share them and equal runs are equal."""
    wanted = list(dict.fromkeys(_references(root)))
    for element in root.iter():
        if element.get("id") not in wanted:
            element.attrib.pop("id", None)
    numbered = {name: f"{place}" for place, name in enumerate(wanted)}
    _put(root, numbered)
    digest = sha256(ElementTree.tostring(root)).hexdigest()[:8]
    _put(root, {number: f"f{digest}-{number}" for number in numbered.values()})


def _references(root: ElementTree.Element) -> Iterator[str]:
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "href" or value.startswith("url(#") or "url(#" in value:
                yield from _REFERENCE.findall(value)


def _put(root: ElementTree.Element, names: dict[str, str]) -> None:
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, names.get(value, value))
            elif key == "href" or "url(#" in value:
                element.set(key, _REFERENCE.sub(lambda found: f"#{names.get(found[1], found[1])}", value))

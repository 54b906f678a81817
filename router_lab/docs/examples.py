"""The examples of public names: the blocks of `examples.md`, by the names in their headings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

_SECTION = re.compile(r"^## ([^\n]+)\n+```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@cache
def examples() -> Mapping[str, str]:
    """Each example, in order, by its heading: the names it shows, parted by commas."""
    written = (files("router_lab.docs") / "examples.md").read_text("utf-8")
    return dict(_SECTION.findall(written))


def example_of(place: str) -> str:
    """The example that shows a public name; empty where none does."""
    return next((text for heading, text in examples().items() if place in heading.split(", ")), "")

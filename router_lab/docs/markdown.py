"""Pieces of Markdown from texts that were not written as such."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_CODE = re.compile(r"(`[^`]*`)")


def prose(text: str) -> str:
    """A docstring as Markdown: code in backticks is kept, nothing else is markup."""
    return "".join(
        part if part.startswith("`") else part.replace("<", r"\<").replace("*", r"\*").replace("_", r"\_")
        for part in _CODE.split(text)
    )


def code(text: str) -> str:
    """Text in backticks, in a cell of a table too."""
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}".replace("|", r"\|").replace("\n", " ")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; texts in it are Markdown already, less their line ends and bars."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines) + "\n"


def block(language: str, text: str) -> str:
    """A fenced block, with a fence longer than any in the text."""
    longest = max(map(len, re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", text).replace("\n", " ")

"""Text with the differences taken off that no reader would call a difference."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Normalising a run of n combining marks takes n * n steps (they are sorted by insertion), so that a
# megabyte of them would take hours. Nothing anyone reads has a word this long without a break.
_CHUNK = 256

# Punctuation goes, except where it is part of a number: 3.5, -2, 1,000, 12:30, 2026-11-22.
_LOOSE = re.compile(r"\.(?!\d)|(?<!\d)[,:/]|[,:/](?!\d)|-(?!\d)|(?<=[^\W\d_])-")
_NUMBER_MARKS = frozenset(".,:/-%")

# Scripts written without spaces: each character is a word of its own.
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_CJK}]|[^\s{_CJK}]+")


def normalise(text: str) -> str:
    """Unicode-compatible (NFKC), case-folded text without punctuation, with single spaces.

    Signs, decimal points and separators inside numbers stay: `-3.5` and `3.5` are different answers. A
    code fence around the whole text is taken off with its language.
    """
    folded = " ".join(_fold(_unfenced(text)))
    loose = _LOOSE.sub(" ", folded)
    table = {ord(char): " " for char in set(loose) if _is_punctuation(char)}
    return " ".join(loose.translate(table).split())


def words(text: str) -> list[str]:
    """The words of normalised text; in Chinese and Japanese, the characters."""
    return _WORD.findall(text)


def shorten(text: str, limit: int = 60) -> str:
    """The beginning of a text on one line, for reasons that people read."""
    line = " ".join(text[: 4 * limit].split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def _unfenced(text: str) -> str:
    bare = text.strip()
    if len(bare) < 6 or not (bare.startswith("```") and bare.endswith("```")):
        return text
    _, _, inside = bare[:-3].partition("\n")
    return inside or text


def _fold(text: str) -> Iterator[str]:
    if text.isascii():
        yield text.lower()
        return
    for word in text.split():
        yield "".join(_fold_chunk(word[at : at + _CHUNK]) for at in range(0, len(word), _CHUNK))


def _fold_chunk(chunk: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", chunk).casefold())


def _is_punctuation(char: str) -> bool:
    # Unicode calls the backtick, Markdown's quotation mark for code, a symbol.
    return char == "`" or (char not in _NUMBER_MARKS and unicodedata.category(char).startswith("P"))

"""Texts in which nothing can be seen."""

from __future__ import annotations

import re

# A character that a reader sees, and what stands between words besides: joiners, marks, fillers.
VISIBLE = re.compile(
    "[^\\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)


def is_blank(text: str | None) -> bool:
    """Whether nothing of a text can be seen: such an answer is none."""
    return not text or VISIBLE.search(text) is None

"""Comparing answers that are one label out of a few."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from router_lab.router.comparators.normalise import normalise, shorten
from router_lab.router.comparators.pair import Options, Pair, PairVerdict

# "Label: billing", "The category is billing", "Sentiment = negative".
_LEAD = re.compile(
    r"^(?:the |its )?(?:label|category|class|classification|sentiment|answer|intent|topic)(?: is| =)? "
)


class Label(Options):
    """1 when both answers give the same label, 0 when not or when only one gives any.

    With `labels` the label may stand anywhere in the answer; an answer naming several is taken to
    mean the one after the last word such as `label` or `answer`, else it has none. Without `labels`
    the whole answer is the label, less a lead such as `Label:`. From a JSON answer the value of
    `field` is read, by default `label`, or the only text value.
    """

    name: ClassVar[str] = "label"
    labels: list[str] | None = None
    field: str = "label"

    @override
    def __call__(self, pair: Pair) -> PairVerdict:
        primary = self.read(pair.primary_text, pair.primary_data)
        shadow = self.read(pair.shadow_text, pair.shadow_data)
        details = {"primary": shorten(primary or "") or None, "shadow": shorten(shadow or "") or None}
        if primary is None and shadow is None:
            same = normalise(pair.primary_text) == normalise(pair.shadow_text)
            return PairVerdict(float(same), "no label in either answer", details)
        if primary is None or shadow is None:
            return PairVerdict(
                0.0, f"no label in the {'primary' if primary is None else 'shadow'} answer", details
            )
        if primary == shadow:
            return PairVerdict(1.0, f"both {details['primary']}", details)
        return PairVerdict(0.0, f"{details['primary']} against {details['shadow']}", details)

    def read(self, text: str, data: Any = None) -> str | None:
        """The normalised label in an answer, None when there is none or it is not clear which."""
        said = normalise(self._said(text, data))
        if self.labels is None:
            return _LEAD.sub("", said) or None
        known = {normalise(label) for label in self.labels} - {""}
        if said in known:
            return said
        found = _found(said, known)
        if len(found) > 1:
            found = _found(_after_last_lead(said), known) or found
        return found.pop() if len(found) == 1 else None

    def _said(self, text: str, data: Any) -> str:
        if not isinstance(data, Mapping):
            return data if isinstance(data, str) else text
        if isinstance(data.get(self.field), str):
            return str(data[self.field])
        texts = [value for value in data.values() if isinstance(value, str)]
        return texts[0] if len(texts) == 1 else text


def _found(said: str, known: set[str]) -> set[str]:
    """The labels in a text; of two that overlap, such as `urgent` and `not urgent`, the longer one."""
    found = set()
    for label in sorted(known, key=lambda label: (-len(label), label)):
        said, count = _whole(label).subn(" \0 ", said)
        if count:
            found.add(label)
    return found


def _whole(label: str) -> re.Pattern[str]:
    """The label as a whole word; Chinese and Japanese have no word ends to look at."""
    before = r"(?<![^\W_])" if label[0].isascii() else ""
    after = r"(?![^\W_])" if label[-1].isascii() else ""
    return re.compile(before + re.escape(label) + after)


def _after_last_lead(said: str) -> str:
    at = max(said.rfind(word) for word in ("label", "answer", "category", "classification", "sentiment"))
    return said[at:] if at >= 0 else said

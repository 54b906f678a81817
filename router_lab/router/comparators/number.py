"""Comparing answers whose point is one number."""

from __future__ import annotations

import math
import re
from collections import deque
from typing import Any, ClassVar

from typing_extensions import override

from router_lab.router.comparators.normalise import normalise
from router_lab.router.comparators.pair import Options, Pair, PairVerdict, Tolerance

_DIGITS = r"(?:\d{1,3}(?:,\d{3}){1,30}(?!\d)|\d{1,300})(?:\.\d{1,300})?|\.\d{1,300}"
_NUMBER = re.compile(rf"(?<![\w.])-?[$€£¥]?(?:{_DIGITS})(?:e[+-]?\d{{1,3}})?", re.ASCII | re.IGNORECASE)
# GSM8K ends on "#### 42"; models also write \boxed{42} or "the answer is 42". What follows decides.
_MARKS = re.compile(r"####|\\boxed\s?\{|\banswer\b|答案|答え", re.IGNORECASE)


class Number(Options):
    r"""1 when the final numbers are equal within a tolerance, as in GSM8K.

    The final number is the first after the last `####`, `\boxed{` or `answer`, else the last one in
    the answer. `tolerance` is absolute, `relative` a share of the larger number; either
    is enough. Thousands commas, currency signs and full-width digits are understood.
    """

    name: ClassVar[str] = "number"
    tolerance: Tolerance = 1e-9
    relative: Tolerance = 1e-9

    @override
    def __call__(self, pair: Pair) -> PairVerdict:
        primary = final_number(pair.primary_text, pair.primary_data)
        shadow = final_number(pair.shadow_text, pair.shadow_data)
        details = {"primary": primary, "shadow": shadow}
        if primary is None and shadow is None:
            same = normalise(pair.primary_text) == normalise(pair.shadow_text)
            return PairVerdict(float(same), "no number in either answer", details)
        if primary is None or shadow is None:
            return PairVerdict(
                0.0, f"no number in the {'primary' if primary is None else 'shadow'} answer", details
            )
        if math.isclose(primary, shadow, abs_tol=self.tolerance, rel_tol=self.relative):
            return PairVerdict(1.0, f"both {primary:g}", details)
        return PairVerdict(0.0, f"{primary:g} against {shadow:g}", details)


def final_number(text: str, data: Any = None) -> float | None:
    """The number an answer ends on; None when there is none (or it is beyond a float)."""
    if isinstance(data, (int, float)) and not isinstance(data, bool):
        return _finite(str(data) if isinstance(data, float) or abs(data) < 10**300 else "inf")
    plain = text if text.isascii() else _plain_digits(text)
    marks = list(_MARKS.finditer(plain))
    if marks and (after := _NUMBER.search(plain, marks[-1].end())):
        return _read(after.group())
    found = deque(_NUMBER.finditer(plain), maxlen=1)
    return _read(found[0].group()) if found else None


def _plain_digits(text: str) -> str:
    """Full-width digits and signs, and the typographic minus, as ASCII."""
    wide = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
    return text.translate({**wide, 0x2212: "-"})


def _read(number: str) -> float | None:
    return _finite(re.sub(r"[,$€£¥]", "", number))


def _finite(number: str) -> float | None:
    value = float(number)
    return value if math.isfinite(value) else None

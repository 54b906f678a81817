"""Comparing answers as text: identical, identical to a reader, or how similar."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar, Literal

from rapidfuzz import fuzz
from rapidfuzz.distance import Indel
from typing_extensions import override

from router_lab.router.comparators.normalise import normalise, words
from router_lab.router.comparators.pair import Options, Pair, PairVerdict, Threshold, graded

# Sequence comparison takes time in the product of the lengths. Beyond these bounds the words are
# counted instead, which is linear and, on texts this long, says nearly the same.
MAX_WORDS = 20_000
MAX_CHARS = 50_000


class Exact(Options):
    """1 when both answers are the same, character by character."""

    name: ClassVar[str] = "exact"

    @override
    def __call__(self, pair: Pair) -> PairVerdict:
        same = pair.primary_text == pair.shadow_text
        return PairVerdict(float(same), "identical" if same else "not identical")


class NormalisedText(Options):
    """1 when both answers are the same but for case, spacing, punctuation and Unicode form."""

    name: ClassVar[str] = "normalized"

    @override
    def __call__(self, pair: Pair) -> PairVerdict:
        same = normalise(pair.primary_text) == normalise(pair.shadow_text)
        return PairVerdict(float(same), "same text" if same else "different text")


class Text(Options):
    """How much of the wording is shared in the same order: 1 when equal after normalisation.

    The similarity is `2 * matches / (words in both)`, matches being the longest common subsequence of
    words (of characters in Chinese and Japanese). With `threshold` the agreement is 0 or 1.
    """

    name: ClassVar[str] = "text"
    is_likeness: ClassVar[bool] = True
    threshold: Threshold | None = None

    @override
    def __call__(self, pair: Pair) -> PairVerdict:
        primary, shadow = normalise(pair.primary_text), normalise(pair.shadow_text)
        if primary == shadow:
            return graded(1.0, self.threshold, "same text")
        left, right = words(primary), words(shadow)
        if max(len(left), len(right)) > MAX_WORDS:
            return graded(_shared_words(left, right), self.threshold, "shared words, long text", counted=True)
        score = Indel.normalized_similarity(left, right)
        return graded(score, self.threshold, f"{score:.0%} of the words shared in order")


class Similarity(Options):
    """Similarity of spelling with the words in any order (rapidfuzz), for reworded or misspelt answers.

    `scorer` is `token_sort_ratio` (words sorted), `token_set_ratio` (repetitions and additions are
    forgiven: a part of the other answer scores 1) or `ratio` (order counts).
    """

    name: ClassVar[str] = "similarity"
    is_likeness: ClassVar[bool] = True
    scorer: Literal["token_sort_ratio", "token_set_ratio", "ratio"] = "token_sort_ratio"
    threshold: Threshold | None = None

    @override
    def __call__(self, pair: Pair) -> PairVerdict:
        primary, shadow = normalise(pair.primary_text), normalise(pair.shadow_text)
        if primary == shadow:
            return graded(1.0, self.threshold, "same text")
        if max(len(primary), len(shadow)) > MAX_CHARS:
            score = _shared_words(words(primary), words(shadow))
            return graded(score, self.threshold, "shared words, long text", counted=True)
        left, right = " ".join(words(primary)), " ".join(words(shadow))
        score = getattr(fuzz, self.scorer)(left, right) / 100
        return graded(score, self.threshold, f"{self.scorer} {score:.2f}")


def _shared_words(left: list[str], right: list[str]) -> float:
    """Dice's coefficient of two bags of words; order is ignored."""
    shared = (Counter(left) & Counter(right)).total()
    return 2 * shared / max(1, len(left) + len(right))

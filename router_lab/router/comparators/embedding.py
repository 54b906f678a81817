"""Comparing the meaning of two answers by the angle between their embeddings."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from pydantic import model_validator
from typing_extensions import override

from router_lab.errors import ConfigError
from router_lab.router.comparators.normalise import normalise
from router_lab.router.comparators.pair import Options, Pair, PairVerdict, Threshold, graded, load_object

Encoder = Callable[[list[str]], Sequence[Sequence[float]]]

# Both ends of a longer text are encoded: encoders take time in proportion, and average it all anyway.
MAX_CHARS = 20_000


class Embedding(Options):
    """Cosine of the two embeddings, negative ones as 0; 1 when the normalised texts are equal.

    `encoder` is `module:function`, taking a list of texts and giving one vector for each. By default
    it is WordLlama's 256-dimensional model, which comes inside its wheel and runs offline without
    PyTorch: `pip install 'router-lab[embedding]'`.
    """

    name: ClassVar[str] = "embedding"
    is_likeness: ClassVar[bool] = True
    names_code: ClassVar[frozenset[str]] = frozenset({"encoder"})
    encoder: str | None = None
    threshold: Threshold | None = None

    @model_validator(mode="after")
    def _encoder_is_there(self) -> Embedding:
        self._encode()
        return self

    @override
    def __call__(self, pair: Pair) -> PairVerdict:
        primary, shadow = pair.primary_text, pair.shadow_text
        if normalise(primary) == normalise(shadow):
            return graded(1.0, self.threshold, "same text")
        if not primary.strip() or not shadow.strip():
            return graded(0.0, self.threshold, "one answer is empty")
        left, right = self._encode()([_ends(primary), _ends(shadow)])
        score = _cosine([float(value) for value in left], [float(value) for value in right])
        return graded(score, self.threshold, f"cosine {score:.2f}")

    def _encode(self) -> Encoder:
        if self.encoder is not None:
            encoder: Encoder = load_object(self.encoder, "encoder")
            return encoder
        if find_spec("wordllama") is None:
            raise ConfigError(
                "comparator `embedding` needs the `embedding` extra (pip install 'router-lab[embedding]') "
                "or an option `encoder: module:function`"
            )
        return _wordllama


def _wordllama(texts: list[str]) -> Sequence[Sequence[float]]:
    vectors: Sequence[Sequence[float]] = _wordllama_model().embed(texts)  # type: ignore[attr-defined]
    return vectors


@lru_cache(maxsize=1)
def _wordllama_model() -> object:
    import wordllama

    # Its loader looks for the tokenizer where the wheel does not put it, except below a "cache".
    here = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(cache_dir=here, disable_download=True)


def _ends(text: str) -> str:
    clean = text.encode("utf-8", "replace").decode()  # lone surrogates end in a tokenizer's panic
    if len(clean) <= MAX_CHARS:
        return clean
    return clean[: MAX_CHARS // 2] + "\n" + clean[-MAX_CHARS // 2 :]


def _cosine(left: Sequence[float], right: Sequence[float]) -> float:
    norm = math.hypot(*left) * math.hypot(*right)
    return sum(map(operator.mul, left, right)) / norm if norm else 0.0

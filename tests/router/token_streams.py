"""Streams of real token counts, and running an estimator over one as the router and ledger would."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from truncation_oracle import Piece, pieces

from router_lab.router.attempts.tokens import Calibrator, Sample
from router_lab.settings.models import TokenEstimation

TEMPLATE = 8  # tokens of a chat template around one message
SOURCES = ("english", "python", "json", "cjk")


class MemoryStore(dict[str, bytes]):
    """Calibration states by key, as a ledger would hold them."""

    def calibration(self, key: str) -> bytes | None:
        return self.get(key)

    def apply(self, folds: object) -> None:
        for key, fold in folds:  # type: ignore[attr-defined]
            self[key] = fold(self.get(key))


@dataclass(frozen=True)
class Run:
    """What was estimated and what was true, call by call."""

    estimated: NDArray[np.int64]
    actual: NDArray[np.int64]

    @property
    def missed(self) -> float:
        return float((self.actual > self.estimated).mean())

    @property
    def worst_500(self) -> float:
        return float(np.convolve(self.actual > self.estimated, np.ones(500) / 500, "valid").max())

    @property
    def over(self) -> float:
        return float((self.estimated / self.actual - 1).mean())

    def __str__(self) -> str:
        return f"{self.missed:7.2%} {self.worst_500:7.1%} {self.over:7.1%}"


def chunks(tokenizer: str) -> tuple[tuple[Piece, ...], ...]:
    """The fixture's texts of 200 to 20,000 characters, by source."""
    return tuple(tuple(piece for piece in of if piece.features.chars >= 200) for of in pieces(tokenizer))


def stream(tokenizer: str, kind: str, calls: int, seed: int) -> list[Piece]:
    """`mixed` draws from all sources, `drifting` from one after another, else from the one named."""
    rng = np.random.default_rng(seed)
    by_source = chunks(tokenizer)
    if kind == "drifting":
        blocks = [by_source[source] for source in (0, 3, 1, 2, 3, 0, 2, 1, 0, 2, 3, 1)]
        texts = [
            block[int(rng.integers(len(block)))] for block in blocks for _ in range(calls // len(blocks))
        ]
    else:
        pool = sum(by_source, ()) if kind == "mixed" else by_source[SOURCES.index(kind)]
        texts = [pool[int(index)] for index in rng.integers(len(pool), size=calls)]
    return [replace(text, tokens=text.tokens + TEMPLATE) for text in texts]


def calibrated(texts: list[Piece], settings: TokenEstimation) -> Run:
    """Estimate each text, then learn its count, through serialised state only."""
    store = MemoryStore()
    calibrator = Calibrator(settings, store.calibration)
    estimated = []
    for text in texts:
        estimated.append(calibrator.estimate("model", "task", text.features).tokens)
        store.apply(calibrator.folds("model", "task", text.features, Sample(text.tokens)))
    return Run(np.array(estimated), np.array([text.tokens for text in texts]))


def constant(texts: list[Piece]) -> Run:
    """The rule of thumb: four characters per token."""
    chars = np.array([text.features.chars for text in texts])
    return Run(-(-chars // 4), np.array([text.tokens for text in texts]))

"""A small model of what Ollama does with prompts around its window: arithmetic only, no wire.

Written from the published behaviour, not from the tripwire, so that the two can disagree. Prompts
are made of real text's features and real token counts (`fixtures/token_counts.npz`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from router_lab.router.estimators.features import Features

# What the model's chat template adds: per message, and once per call.
TEMPLATE_MESSAGE = 4
TEMPLATE_CALL = 4
NUM_KEEP = 5  # 4, and the start token


@dataclass(frozen=True)
class Piece:
    """One text: what can be seen of it before sending, and its true tokens."""

    features: Features
    tokens: int


@dataclass(frozen=True)
class Prompt:
    """Messages oldest first. `system` is the first one, if any."""

    pieces: tuple[Piece, ...]
    has_system: bool

    @property
    def features(self) -> Features:
        return total(piece.features for piece in self.pieces)

    @property
    def droppable(self) -> tuple[Features, ...]:
        return tuple(piece.features for piece in self.pieces[1 if self.has_system else 0 : -1])

    @property
    def tokens(self) -> int:
        return rendered(self.pieces)


def total(parts: Any) -> Features:
    parts = list(parts)
    names = Features.__dataclass_fields__.keys() - {"image_tokens"}  # there are no images here
    return Features(**{name: sum(getattr(part, name) for part in parts) for name in names})


def rendered(pieces: Sequence[Piece]) -> int:
    return TEMPLATE_CALL + sum(TEMPLATE_MESSAGE + piece.tokens for piece in pieces)


@dataclass(frozen=True)
class ServedRequest:
    """What the server did. `counted` is None when it refused with a 400; then `exact` may be said."""

    counted: int | None
    cut: bool
    exact: int | None = None


@dataclass(frozen=True)
class Server:
    """One Ollama. `native`: the GGUF's own template, which refuses instead of cutting."""

    version: tuple[int, int, int]
    num_ctx: int
    native: bool = False

    def serve(self, prompt: Prompt, *, truncate: bool) -> ServedRequest:
        if not truncate and self.version >= (0, 12, 6):
            # Refused when it does not fit; the count is in the 400 since the llama-server backend.
            if prompt.tokens > self.num_ctx - 1:
                return ServedRequest(None, False, prompt.tokens if self.version >= (0, 30, 0) else None)
            return ServedRequest(prompt.tokens, False)
        kept = self._drop_messages(prompt)
        tokens = rendered(kept)
        dropped = len(kept) < len(prompt.pieces)
        if tokens <= self.num_ctx - 1:
            return ServedRequest(tokens, dropped)
        if self.native:
            return ServedRequest(None, dropped, tokens)
        return ServedRequest(self._cut_count(), True)

    def _drop_messages(self, prompt: Prompt) -> tuple[Piece, ...]:
        system = prompt.pieces[:1] if prompt.has_system else ()
        rest = prompt.pieces[len(system) :]
        while len(rest) > 1 and rendered(system + rest) > self.num_ctx:
            rest = rest[1:]
        return system + rest

    def _cut_count(self) -> int:
        n, k = self.num_ctx, NUM_KEEP
        if self.version < (0, 4, 0):
            return k + (n - k) // 2
        if self.version < (0, 30, 0):
            return n
        if self.version < (0, 30, 11):
            return n - 1
        return n - (n - k) // 2


@cache
def corpus() -> dict[str, Any]:
    with np.load(Path(__file__).parent / "fixtures" / "token_counts.npz") as stored:
        return {name: stored[name] for name in stored.files}


@cache
def pieces(tokenizer: str) -> tuple[tuple[Piece, ...], ...]:
    """Every text of the fixture under one tokenizer, by source."""
    stored = corpus()
    columns = [str(column) for column in stored["columns"]]
    tokens = stored["tokens"][:, list(stored["tokenizers"]).index(tokenizer)]
    made: list[list[Piece]] = [[] for _ in stored["sources"]]
    for row, count, source in zip(
        stored["features"].tolist(), tokens.tolist(), stored["source"], strict=True
    ):
        made[source].append(Piece(Features(**dict(zip(columns, row, strict=True))), count))
    return tuple(tuple(of_source) for of_source in made)


def random_prompt(rng: np.random.Generator, tokenizer: str, window: int) -> Prompt:
    """A prompt of 0.2 to 2 windows: one message or a conversation, of one kind of text or several."""
    by_source = pieces(tokenizer)
    target = window * 0.2 * 10 ** rng.random()
    several = rng.random() < 0.3
    source = int(rng.integers(len(by_source)))
    parts: list[Piece] = []
    while not parts or rendered(parts) < target:
        if several:
            source = int(rng.integers(len(by_source)))
        parts.append(by_source[source][int(rng.integers(len(by_source[source])))])
    if rng.random() < 0.4:
        return Prompt((_joined(parts),), False)
    return Prompt(tuple(parts), bool(len(parts) > 2 and rng.random() < 0.5))


def _joined(parts: Sequence[Piece]) -> Piece:
    one = replace(total(part.features for part in parts), messages=1)
    return Piece(one, sum(part.tokens for part in parts))

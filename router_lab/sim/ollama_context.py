"""What each Ollama version does to a prompt that does not fit: the arithmetic, and nothing else.

Two steps. First whole messages are dropped (`drop_messages`), which every version does. Then, on the
routes that still do it silently, tokens are cut (`cut_tokens`): the first `num_keep` stay, and a tail.
With n = num_ctx and k = num_keep (default 4, one more if the model adds a BOS token), a cut prompt has

    up to 0.3.14        k + floor((n - k) / 2)      triggered from n tokens on
    0.4.0 to 0.24       n                           triggered from n + 1
    0.30.0 to 0.30.10   n - 1                       triggered from n
    0.30.11 and later   n - floor((n - k) / 2)      triggered from n

tokens, and `prompt_eval_count` says so. Sources: Ollama's code and its history up to 0.33.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from router_lab.sim.model_request import Turn

Version = tuple[int, int, int]

IMAGE_TOKENS = 768


def parse_version(text: str) -> Version:
    """`0.30.11` as numbers. Raises `ValueError` naming the text when it is no version."""
    try:
        numbers = [int(part) for part in text.split(".")]
    except ValueError:
        raise ValueError(f"ollama_version: {text!r} is not a version such as '0.30.11'") from None
    if not 2 <= len(numbers) <= 3:
        raise ValueError(f"ollama_version: {text!r} is not a version such as '0.30.11'")
    return numbers[0], numbers[1], numbers[2] if len(numbers) == 3 else 0


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What one version does. Fields are named for what changed between versions."""

    version: Version

    @property
    def default_num_ctx(self) -> int:
        """The context when neither request nor server says: 2048, 4096 from 0.6.7 (small GPU)."""
        return 4096 if self.version >= (0, 6, 7) else 2048

    @property
    def clamps_num_ctx(self) -> bool:
        """Whether a `num_ctx` over the training context is silently lowered to it."""
        return self.version >= (0, 9, 3)

    @property
    def shows_context_length(self) -> bool:
        """Whether `/api/ps` has `context_length`."""
        return self.version >= (0, 10, 0)

    @property
    def knows_truncate(self) -> bool:
        """Whether the `truncate` and `shift` fields of a request are read."""
        return self.version >= (0, 12, 6)

    @property
    def has_native_route(self) -> bool:
        """Whether prompts may be rendered by llama-server, which refuses what does not fit."""
        return self.version >= (0, 30, 0)

    @property
    def refuses_without_shift(self) -> bool:
        """Whether `shift: false` refuses long prompts on the rendered route."""
        return self.version >= (0, 30, 9)

    @property
    def counts_uncached_only(self) -> bool:
        """Whether `prompt_eval_count` leaves cached tokens out: before 0.2.0, and in 0.30.0."""
        return self.version < (0, 2, 0) or self.version == (0, 30, 0)

    @property
    def shows_cached_count(self) -> bool:
        """Whether there is a `prompt_eval_cached_count`; the exact release is an assumption."""
        return self.version >= (0, 33, 0)

    @property
    def thinks_twice(self) -> bool:
        """Whether `format` with thinking runs two generations and counts the second only."""
        return self.version >= (0, 12, 4)

    def cut_from(self, num_ctx: int) -> int:
        """The length in tokens from which on a prompt is cut."""
        return num_ctx + 1 if (0, 4, 0) <= self.version < (0, 30, 0) else num_ctx

    def cut_length(self, num_ctx: int, num_keep: int) -> int:
        """How many tokens a cut prompt has. `num_keep` -1 keeps all it can."""
        if (0, 4, 0) <= self.version < (0, 30, 0):
            return num_ctx
        if self.version >= (0, 30, 0) and num_keep < 0:
            return num_ctx - 1
        keep = _clamped_keep(num_ctx, num_keep)
        half = (num_ctx - keep) // 2
        if self.version < (0, 4, 0):
            return keep + half
        return num_ctx - 1 if self.version < (0, 30, 11) else num_ctx - half

    def cut_tokens(self, tokens: Sequence[int], num_ctx: int, num_keep: int) -> list[int]:
        """The tokens that are left: the first `num_keep` and the tail. Whole if they fit."""
        if len(tokens) < self.cut_from(num_ctx):
            return list(tokens)
        length = self.cut_length(num_ctx, num_keep)
        keep = min(_clamped_keep(num_ctx, num_keep), length)
        tail = length - keep
        return [*tokens[:keep], *(tokens[-tail:] if tail else ())]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a prompt was not taken: `length` tokens of a `num_ctx` window, said in `style`."""

    style: Literal["truncate", "shift", "llama-server", "mlx"]
    length: int
    num_ctx: int


def refusal(
    behaviour: Behaviour, route: str, *, truncate: bool, shift: bool, length: int, num_ctx: int
) -> Refusal | None:
    """Whether a prompt of `length` tokens, messages already dropped, is refused instead of cut."""
    if route == "mlx":
        return Refusal("mlx", length, num_ctx) if length > num_ctx else None
    if behaviour.has_native_route and (route == "native" or not truncate):
        return Refusal("llama-server", length, num_ctx) if length >= num_ctx else None
    if not truncate and behaviour.knows_truncate:
        return Refusal("truncate", length, num_ctx) if length > num_ctx else None
    if not shift and behaviour.refuses_without_shift:
        return Refusal("shift", length, num_ctx) if length >= num_ctx else None
    return None


def drop_messages(
    turns: Sequence[Turn], num_ctx: int, count: Callable[[Sequence[Turn]], int]
) -> tuple[Turn, ...]:
    """Step 1: without the oldest messages that keep the prompt from fitting.

    `count` gives the rendered length of some messages in tokens. System messages and the last message
    always stay, so the result may still be too long.
    """
    for start in range(len(turns)):
        kept = (*(turn for turn in turns[:start] if turn.role == "system"), *turns[start:])
        if start == len(turns) - 1 or count(kept) <= num_ctx:
            return kept
    return tuple(turns)


def _clamped_keep(num_ctx: int, num_keep: int) -> int:
    if num_keep < 0:
        return max(0, num_ctx - 4)
    return min(num_keep, num_ctx - 1)

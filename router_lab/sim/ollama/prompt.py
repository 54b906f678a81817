"""An Ollama prompt on its way into the context window: rendered, shortened or refused, counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile

from router_lab.sim import tokenizer
from router_lab.sim.catalog import SimModel
from router_lab.sim.exchange import ErrorAnswer, dump
from router_lab.sim.model_request import ModelRequest, Turn
from router_lab.sim.ollama_context import (
    IMAGE_TOKENS,
    Refusal,
    drop_messages,
    refusal,
)
from router_lab.sim.server_state import ServerState
from router_lab.sim.tokenizer import Tokenizer

_SPECIAL = -1
_SMALLEST = 4


@dataclass(frozen=True, slots=True)
class OllamaOptions:
    """What a request says about its context; None is the server's default.

    `templated` is false for raw, suffix and custom-template requests, which never drop messages.
    """

    num_ctx: int | None = None
    num_keep: int | None = None
    truncate: bool = True
    shift: bool = True
    templated: bool = True


DEFAULT_OPTIONS = OllamaOptions()


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as it was evaluated: `sent` tokens came, `length` were left, `cached` of them known.

    `seen` is what the model read if something was cut away, else None. `room` is how many tokens may
    be generated, None when the context shifts.
    """

    sent: int
    length: int
    cached: int
    seen: str | None
    room: int | None


def fit(
    ask: ModelRequest, options: OllamaOptions, model: SimModel, state: ServerState, *, halve: bool
) -> Prompt:
    """Fit a request into its context as the server's Ollama version does, and note the loaded context.

    `halve` is the fault of a window half as long as the prompt. Raises `ErrorAnswer` with the version's
    words where it refuses.
    """
    behaviour, rendering = state.behaviour, _Rendering(tokenizer.get(model.tokenizer), ask, model)
    sent = rendering.count(ask.turns)
    num_ctx = max(_SMALLEST * 4, sent // 2) if halve else _num_ctx(options, model, state)
    state.loaded[model.name] = num_ctx
    truncate = options.truncate or not behaviour.knows_truncate
    shift = options.shift or not behaviour.knows_truncate
    drops = truncate and options.templated and model.route != "mlx"
    turns = drop_messages(ask.turns, num_ctx, rendering.count) if drops else ask.turns
    length = rendering.count(turns)
    refused = refusal(behaviour, model.route, truncate=truncate, shift=shift, length=length, num_ctx=num_ctx)
    if refused is not None:
        raise _said(refused)
    counts_cache = behaviour.counts_uncached_only or behaviour.shows_cached_count
    seen = "\n".join(turn.text for turn in turns) if len(turns) < len(ask.turns) else None
    tokens = rendering.tokens(turns) if counts_cache or length >= behaviour.cut_from(num_ctx) else None
    if tokens is not None and length >= behaviour.cut_from(num_ctx):
        tokens = behaviour.cut_tokens(tokens, num_ctx, _num_keep(options, model))
        length, seen = len(tokens), rendering.text(tokens)
    cached = _cached(tokens, model, state) if counts_cache and tokens is not None else 0
    return Prompt(sent, length, cached, seen, None if shift else num_ctx - length)


class _Rendering:
    """A chat template: tools, then turns between special tokens, which are counted and cannot be read."""

    def __init__(self, tokens: Tokenizer, ask: ModelRequest, model: SimModel) -> None:
        self._tokens = tokens
        offers = [(tool.name, tool.description, tool.parameters) for tool in ask.tools]
        self._head = f"# Tools\n{json.dumps(offers)}\n" if offers else ""
        self._bos = int(model.adds_bos)

    def count(self, turns: Sequence[Turn]) -> int:
        """The length of the rendered turns, the same as `len(self.tokens(turns))`."""
        count = self._tokens.count
        between = count("\n")
        tail = self._bos + count(self._head) + 1 + count("assistant\n")
        return tail + sum(
            2 + count(f"{turn.role}\n") + count(turn.text) + between + turn.images * IMAGE_TOKENS
            for turn in turns
        )

    def tokens(self, turns: Sequence[Turn]) -> list[int]:
        """The turns as the model's template renders them, up to where its answer begins."""
        encode = self._tokens.encode
        rendered = [_SPECIAL] * self._bos + encode(self._head)
        for turn in turns:
            rendered += [_SPECIAL, *encode(f"{turn.role}\n"), *([_SPECIAL] * (turn.images * IMAGE_TOKENS))]
            rendered += [*encode(turn.text), _SPECIAL, *encode("\n")]
        return [*rendered, _SPECIAL, *encode("assistant\n")]

    def text(self, tokens: Sequence[int]) -> str:
        """What a model can read of these tokens."""
        runs = groupby(tokens, key=lambda token: token == _SPECIAL)
        return "\n".join(self._tokens.decode(list(run)) for special, run in runs if not special)


def _num_ctx(options: OllamaOptions, model: SimModel, state: ServerState) -> int:
    asked = options.num_ctx or state.ollama_context_length or state.behaviour.default_num_ctx
    num_ctx = max(_SMALLEST, asked)
    return min(num_ctx, model.context_window) if state.behaviour.clamps_num_ctx else num_ctx


def _num_keep(options: OllamaOptions, model: SimModel) -> int:
    keep = 4 if options.num_keep is None else options.num_keep
    return keep if keep < 0 else keep + int(model.adds_bos)


def _cached(tokens: list[int], model: SimModel, state: ServerState) -> int:
    """The prefix shared with the model's last prompt; since 0.2.0 one token is always evaluated anew."""
    last = state.last_prompts.get(model.name, [])
    state.last_prompts[model.name] = tokens
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(last, tokens, strict=False)))
    return shared if state.behaviour.version < (0, 2, 0) else min(shared, len(tokens) - 1)


def _said(refused: Refusal) -> ErrorAnswer:
    if refused.style == "truncate":
        return ErrorAnswer(400, "the input length exceeds the context length")
    if refused.style == "shift":
        return ErrorAnswer(
            400,
            "the prompt is longer than the context length currently available to the model; "
            "shorten the prompt, adjust the context length in settings, "
            "or use a model with a longer context length",
        )
    if refused.style == "mlx":
        return ErrorAnswer(
            400,
            f"input length ({refused.length} tokens) exceeds the model's maximum context length "
            f"({refused.num_ctx} tokens)",
        )
    error = {
        "code": 400,
        "message": f"request ({refused.length} tokens) exceeds the available context size "
        f"({refused.num_ctx} tokens), try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": refused.length,
        "n_ctx": refused.num_ctx,
    }
    return ErrorAnswer(400, dump({"error": error}).decode())

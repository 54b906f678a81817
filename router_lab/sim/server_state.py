"""Everything the three wire formats share: the models, how they answer, and what the server remembers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from cachetools import LRUCache

from router_lab.sim import tokenizer
from router_lab.sim.catalog import Provider, SimModel
from router_lab.sim.exchange import seen_half
from router_lab.sim.faults import Fault
from router_lab.sim.model_request import Answer, ModelRequest, Turn, hash_turns
from router_lab.sim.ollama_context import Behaviour
from router_lab.sim.simulated_answers.known_answers import AnswerModel
from router_lab.sim.tokenizer import Tokenizer

_REMEMBERED = 4096


class PrefixCache:
    """Prompt prefixes a provider has cached, by model; those not written for longest are forgotten."""

    def __init__(self) -> None:
        self._known: LRUCache[tuple[str, str], bool] = LRUCache(_REMEMBERED)

    def longest(self, model: str, turns: Sequence[Turn]) -> int:
        """How many leading turns are cached."""
        for length in range(len(turns), 0, -1):
            if (model, hash_turns(tuple(turns[:length]))) in self._known:
                return length
        return 0

    def remember(self, model: str, turns: Sequence[Turn]) -> None:
        """Cache these turns as a prefix."""
        self._known[(model, hash_turns(tuple(turns)))] = True


@dataclass(slots=True)
class ServerState:
    """What the server has and remembers. Serving requests changes it, in the event loop's thread only."""

    models: Mapping[tuple[Provider, str], SimModel]
    mind: AnswerModel
    latency: float
    behaviour: Behaviour
    ollama_context_length: int | None
    prefixes: PrefixCache = field(default_factory=PrefixCache)
    loaded: dict[str, int] = field(default_factory=dict)
    last_prompts: dict[str, list[int]] = field(default_factory=dict)

    def of(self, provider: Provider) -> list[SimModel]:
        """The models of one provider."""
        return [model for (owner, _), model in self.models.items() if owner == provider]

    def forget(self) -> None:
        """Empty every cache and unload every model."""
        self.prefixes = PrefixCache()
        self.loaded.clear()
        self.last_prompts.clear()

    def answer(
        self,
        model: SimModel,
        ask: ModelRequest,
        fault: Fault,
        *,
        seen: str | None = None,
        room: int | None = None,
    ) -> Answer:
        """What `model` answers, given the fault. `seen` and `room` are as for `AnswerModel.answer`."""
        tokens = tokenizer.get(model.tokenizer)
        if fault.kind == "truncated" and seen is None:
            seen = seen_half(ask)
        answer = self.mind.answer(model, tokens, ask, seen=seen, room=room, spoil=fault.kind == "malformed")
        if fault.kind == "repeat":
            text = "the " * min(64, ask.max_tokens or 64)
            return Answer(text, tokens.count(text), "length")
        if fault.kind == "refusal":
            text = "I'm sorry, but I can't help with that."
            return replace(answer, text=text, tokens=tokens.count(text), stop="refusal", tools=())
        return answer


def turn_tokens(tokens: Tokenizer, turns: Sequence[Turn], *, overhead: int, image_tokens: int) -> list[int]:
    """The length of each turn: its text, `overhead` for the chat template, its images."""
    return [tokens.count(turn.text) + overhead + turn.images * image_tokens for turn in turns]

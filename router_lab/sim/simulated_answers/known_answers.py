"""What simulated models answer: a pure function from model and request to an answer.

A model answers a known prompt (one of the workload) rightly with the probability of its skill, and
otherwise makes a believable mistake; an unknown prompt gets an answer read out of it. Which of both,
which mistake and which manner depends only on the seed, the model and the prompt, so neither order
nor concurrency changes an answer. A model that saw only part of its prompt answers from that part.

How it says it is a model's too: bare or fenced JSON, a polite opening, a sentence turned round.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from router_lab.sim.catalog import SimModel
from router_lab.sim.chance import correlated_uniform, generator, uniform
from router_lab.sim.model_request import Answer, ModelRequest, Stop, ToolOffer, ToolUse, hash_turns
from router_lab.sim.simulated_answers import extract, wrong_answers
from router_lab.sim.tokenizer import Tokenizer

_MOST_LABELS = 12


@dataclass(frozen=True, slots=True)
class KnownPrompt:
    """A prompt whose right answer the server knows."""

    task_type: str
    expected: Any


class Workload:
    """Right answers by prompt. `rows` have `prompt`, and `system`, `task_type`, `expected` if they like."""

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self._known: dict[tuple[str, str], KnownPrompt] = {}
        self._by_prompt: dict[str, KnownPrompt] = {}
        labels: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for row in rows:
            known = KnownPrompt(str(row.get("task_type") or ""), row.get("expected"))
            prompt = str(row["prompt"])
            self._known[(str(row.get("system") or ""), prompt)] = known
            self._by_prompt.setdefault(prompt, known)
            if isinstance(known.expected, str):
                labels[known.task_type][known.expected] = None
        self._labels = {task: tuple(found) for task, found in labels.items() if len(found) <= _MOST_LABELS}

    def find(self, ask: ModelRequest) -> KnownPrompt | None:
        """What is known of a request, by its system prompt and last user message, or by the latter alone."""
        return self._known.get((ask.system, ask.prompt)) or self._by_prompt.get(ask.prompt)

    def labels(self, task_type: str) -> tuple[str, ...]:
        """All right answers of a task type if they are few: the labels of a classification."""
        return self._labels.get(task_type, ())


@dataclass(frozen=True, slots=True)
class AnswerModel:
    """Everything an answer depends on besides the request."""

    seed: int
    workload: Workload

    def answer(
        self,
        model: SimModel,
        tokenizer: Tokenizer,
        ask: ModelRequest,
        *,
        seen: str | None,
        room: int | None,
        spoil: bool,
    ) -> Answer:
        """Answer `ask`.

        `seen` is the conversation as the model saw it when part was cut away, else None. `room` is how many
        tokens the context window leaves, None for no limit. `spoil` makes the text unusable as JSON.
        """
        key = hash_turns(ask.turns)
        random = generator(self.seed, model.name, key, "manner")
        tools = self._tool_calls(ask, key, random)
        if tools:
            tokens = tokenizer.count(json.dumps([call.arguments for call in tools], ensure_ascii=False)) + 12
            return Answer("", tokens, "tool", tools)
        text = self._text(model, ask, key, seen, random)
        if spoil:
            text = (
                wrong_answers.unreadable(text) if text.lstrip()[:1] in "{[`" else f'{{"answer": "{text[:60]}'
            )
        thinking = f"Let me read this again. {extract.summary(ask.prompt, sentences=2)}" if ask.think else ""
        reasoning = int(model.reasoning_tokens * (0.5 + random.random()))
        reasoning = max(reasoning, tokenizer.count(thinking)) if thinking else reasoning
        return _limited(text, thinking, reasoning, tokenizer, ask, model, room)

    def _text(self, model: SimModel, ask: ModelRequest, key: str, seen: str | None, random: Random) -> str:
        known = self.workload.find(ask)
        task = known.task_type if known else ""
        luck = correlated_uniform((self.seed, key, "hardness"), (self.seed, model.name, key, "luck"))
        right = luck < model.skill_for(task)
        if known is None or known.expected is None:
            return self._extracted(model, ask, seen, right, random)
        expected = known.expected
        if not right:
            expected = wrong_answers.wrong(
                expected, others=self.workload.labels(task), random=random, source=ask.prompt
            )
        if seen is not None:
            expected = self._from_what_was_seen(expected, ask.conversation, seen, task, random)
        if isinstance(expected, str) and not (ask.schema or ask.json):
            return of_text(expected, ask, random)
        value = _shaped(expected, ask)
        if ask.schema and not _satisfies(value, ask.schema):
            value = extract.fill(ask.schema, ask.prompt if seen is None else seen, random)
        return of_json(value, model, ask, random)

    def _from_what_was_seen(self, expected: Any, sent: str, seen: str, task: str, random: Random) -> Any:
        if isinstance(expected, dict | list):
            return wrong_answers.without(expected, lost=sent, kept=seen)
        share_seen = min(1.0, len(seen) / max(1, len(sent)))
        lost = wrong_answers.without(expected, lost=sent, kept=seen) is None
        if not lost and random.random() < share_seen:
            return expected
        if self.workload.labels(task):
            return wrong_answers.wrong(expected, others=self.workload.labels(task), random=random)
        return extract.summary(seen, sentences=2)

    def _extracted(
        self, model: SimModel, ask: ModelRequest, seen: str | None, right: bool, random: Random
    ) -> str:
        text = ask.prompt if seen is None else seen
        if ask.schema:
            return json.dumps(extract.fill(ask.schema, text, random), ensure_ascii=False)
        wants_json = ask.json or extract.asks_for_json(ask.prompt) or extract.asks_for_json(ask.system)
        if wants_json:
            found: Any = extract.pairs(text) or {"answer": extract.summary(text, sentences=1)}
            return of_json(
                found if right else wrong_answers.wrong(found, others=(), random=random), model, ask, random
            )
        labels = extract.options(f"{ask.system}\n{text}")
        if labels:
            best = max(labels, key=lambda label: (text.count(label), uniform(self.seed, label, text[:2000])))
            chosen = best if right else wrong_answers.wrong(best, others=labels, random=random)
            return of_text(chosen, ask, random)
        if extract.asks_for_code(text):
            return f"```python\n{extract.code(text)}```"
        return extract.summary(text, sentences=2 + random.randrange(2), skip=0 if right else 2)

    def _tool_calls(self, ask: ModelRequest, key: str, random: Random) -> tuple[ToolUse, ...]:
        offer = _chosen_tool(ask)
        if offer is None:
            return ()
        arguments = extract.fill({"type": "object", **offer.parameters}, ask.prompt, random)
        return (
            ToolUse(
                f"{random.getrandbits(48):012x}", offer.name, arguments if isinstance(arguments, dict) else {}
            ),
        )


def _chosen_tool(ask: ModelRequest) -> ToolOffer | None:
    if not ask.tools or ask.tool_choice == "none" or (ask.turns and ask.turns[-1].role == "tool"):
        return None
    named = next((tool for tool in ask.tools if tool.name == ask.tool_choice), None)
    if named is not None:
        return named
    words = set(ask.prompt.lower().replace("?", " ").replace(".", " ").split())

    def overlap(tool: ToolOffer) -> int:
        return len(
            words
            & {
                word
                for word in f"{tool.name} {tool.description}".lower().replace("_", " ").split()
                if len(word) > 3
            }
        )

    best = max(ask.tools, key=overlap)
    return best if ask.tool_choice == "any" or overlap(best) else None


def _shaped(expected: Any, ask: ModelRequest) -> Any:
    """A right answer that is no object still has to be one when the request gives a schema for it."""
    properties = (ask.schema or {}).get("properties")
    if isinstance(expected, dict) or not isinstance(properties, Mapping) or len(properties) != 1:
        return expected
    return {str(next(iter(properties))): expected}


def _satisfies(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether constrained decoding could have written this; a schema that is none allows nothing."""
    from jsonschema import Draft202012Validator

    try:
        return Draft202012Validator(dict(schema)).is_valid(value)
    except Exception:  # a stranger's schema may break the validator in any way
        return False


def _limited(
    text: str,
    thinking: str,
    reasoning: int,
    tokenizer: Tokenizer,
    ask: ModelRequest,
    model: SimModel,
    room: int | None,
) -> Answer:
    stop: Stop = "end"
    for sequence in ask.stop:
        head, found, _ = text.partition(sequence)
        if found and sequence:
            text, stop = head, "sequence"
    tokens = max(1, tokenizer.count(text)) + reasoning
    limit = min(ask.max_tokens or model.max_output_tokens, model.max_output_tokens)
    if room is not None and room < limit and tokens > room:
        limit, stop = max(1, room), "window"
    elif tokens > limit:
        stop = "length"
    if tokens <= limit:
        return Answer(text, tokens, stop, (), thinking, reasoning)
    reasoning = min(reasoning, limit)
    text = tokenizer.decode(tokenizer.encode(text)[: limit - reasoning])
    return Answer(text.rstrip("\ufffd"), limit, stop, (), thinking, reasoning)


_OPENINGS = ("Sure! Here is the JSON you asked for:\n\n", "Here's the result:\n\n", "Of course.\n\n")
_SHORT = 40
_REWORDINGS = (
    ("because of", "due to"),
    ("affecting", "which affected"),
    ("resolved", "fixed"),
    ("decided to", "agreed to"),
    (" will ", " is going to "),
    ("; ", ". In the end, "),
    ("For ", "During "),
)


def of_json(value: Any, model: SimModel, ask: ModelRequest, random: Random) -> str:
    """A value as a model writes it: strict when JSON was asked for on the wire, else as the mood takes it."""
    if ask.schema or ask.json:
        return json.dumps(value, ensure_ascii=False)
    text = json.dumps(value, ensure_ascii=False, indent=random.choice((None, 2)))
    chance = random.random()
    if chance < model.parse_failure_rate:
        return wrong_answers.unreadable(text)
    if chance < 0.70:
        return text
    fenced = f"```json\n{text}\n```"
    return fenced if chance < 0.93 else random.choice(_OPENINGS) + fenced


def of_text(text: str, ask: ModelRequest, random: Random) -> str:
    """A text as a model writes it; what it says stays the same."""
    chance = random.random()
    if "####" in ask.system or "####" in ask.prompt:
        return f"Working through the steps one by one gives {text}.\n#### {text}"
    if text.startswith("def ") or "\n    return" in text:
        return text if chance < 0.2 else f"```python\n{text}\n```"
    if len(text) > _SHORT:
        return _reworded(text, random) if chance < 0.6 else text
    if chance < 0.92 or not text[-1:].isalpha():
        return text
    return f"{text}." if chance < 0.97 else text.capitalize()


def _reworded(text: str, random: Random) -> str:
    for old, new in _REWORDINGS:
        if random.random() < 0.5:
            text = text.replace(old, new, 1)
    return text

"""One pair as HTML: a line of facts, the prompt, and both answers with what differs marked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

from router_lab.counted import counted
from router_lab.ledger.content import is_hash
from router_lab.panels.compare.diff import (
    Field,
    Side,
    fields,
    fields_html,
    pieces,
    text_html,
)
from router_lab.panels.compare.pair_query import Repeats
from router_lab.records import Comparison, ToolCall
from router_lab.router.answers.tool_calls import read_calls
from router_lab.shown.answer import ended
from router_lab.shown.escape import Html, show, tag
from router_lab.shown.style import (
    CARD,
    COLUMNS,
    CURRENT,
    FAINT,
    HEAD,
    LINE,
    TEXT,
    facts,
    usd,
)

# What each status says to someone who has never seen the code.
STATUS_WORDS = {
    "complete": "both answered",
    "primary_failed": "the primary gave no usable answer",
    "primary_fell_back": "the primary's fallback answered",
    "primary_truncated": "the primary's prompt was cut or sent elsewhere",
    "shadow_failed": "the shadow gave no usable answer",
    "shadow_misconfigured": "the shadow could not work: no such model, no key, or a refused request",
    "both_failed": "neither gave a usable answer",
    "comparator_error": "the comparator failed",
    "unknown": "agreement unknown",
    "off": "the switch was off",
    "not_sampled": "not in the sample",
    "budget": "no budget left for the shadow",
    "queue_full": "too many shadows were waiting",
    "breaker_open": "the shadow's provider was down",
    "cancelled": "cancelled",
}
# What is said of a side whose answer is none that one can judge.
_PREVIEW = 120
_PAD = "padding:8px 10px;min-width:0"


def card(
    number: int,
    pairs: Repeats,
    *,
    limit: int,
    prompt: str | None = None,
    verdict: str = "",
    current: bool = False,
    live: bool = True,
    unseen: tuple[float, float] = (0.0, 0.0),
    thoughts: Mapping[Side, str] = MappingProxyType({}),
    expected: str | None = None,
) -> Html:
    """The first of `pairs` under its `number` on the page, and the others folded under it.

    `current` marks the pair that keys act on. Without `live`, nothing that differs between equal runs.
    `unseen` is what the primary and the shadow may have cost more than is likely, USD; `thoughts` is what
    either thought before it answered, which is no part of what is compared; `expected` is what the data set
    says the answer is.
    """
    pair = pairs.first
    return tag(
        "section",
        _head(number, pairs, verdict),
        _prompt(prompt, limit),
        _answers(pair, limit),
        _expected(expected, limit),
        _thoughts(thoughts, limit),
        _why(pair, live, unseen),
        _others(pairs, limit),
        style=f"{CARD};{CURRENT}" if current else CARD,
        aria_label=f"Pair {number}",
        aria_current="true" if current else None,
    )


def _head(number: int, pairs: Repeats, verdict: str) -> Html:
    pair = pairs.first
    parts = [
        tag("b", show(f"{number}.")),
        tag("b", show(pair.task_type, limit=120)),
        show(f"{pair.primary_alias or '?'} → {pair.shadow_alias or '?'}", limit=120),
        _agreement(pair),
    ]
    if pair.status != "complete":
        parts.append(show(STATUS_WORDS.get(pair.status, pair.status), limit=120))
    parts += [
        tag("b", show(f"the {side} answer {words}", limit=120))
        for side, ending in (("primary", pair.primary_ending), ("shadow", pair.shadow_ending))
        if (words := ended(ending))
    ]
    if pair.is_noise:
        parts.append(show("primary against itself (noise floor)"))
    if pairs.pairs > 1:
        parts.append(
            tag("b", show(f"{counted(pairs.pairs, 'pairs')} with this prompt, {pairs.differing:,} differ"))
        )
    if verdict:
        parts.append(tag("span", show(verdict, limit=200), style="font-weight:600"))
    return tag("div", *parts, style=HEAD)


def _agreement(pair: Comparison) -> Html:
    if pair.agreement is None:
        return tag("span", show("no agreement"), style=FAINT)
    share = min(1.0, max(0.0, pair.agreement))
    word = "agree" if share == 1 else "differ" if share == 0 else "partly agree"
    inner = tag("span", style=f"display:block;height:100%;width:{share * 100:.0f}%;background:currentColor")
    bar = tag(
        "span",
        inner,
        style="display:inline-block;width:48px;height:8px;border:1px solid currentColor;margin-right:6px",
        aria_hidden="true",
    )
    return tag("span", bar, tag("b", show(f"{word} {pair.agreement:.2f}")))


def _prompt(prompt: str | None, limit: int) -> Html:
    if not prompt:
        return Html("")
    # Stored prompts name their roles; what the user asked says more than the instructions before it.
    asked = prompt.rpartition("\nuser: ")[2]
    start = " ".join(asked[:1_000].split())[:_PREVIEW]
    summary = tag("summary", show(f"Prompt: {start} …"), style=f"cursor:pointer;{FAINT}")
    return tag(
        "details",
        summary,
        tag("pre", show(prompt, limit), style=TEXT),
        style=f"padding:4px 10px;border-bottom:{LINE}",
    )


def _answers(pair: Comparison, limit: int) -> Html:
    primary = _whole(pair.primary_output, pair.primary_tool_calls)
    shadow = _whole(pair.shadow_output, pair.shadow_tool_calls)
    if primary is not None and shadow is not None:
        table = _calls_table(pair) or fields(primary, shadow)
        if table is not None:
            return tag("div", fields_html(table, limit), style=f"{_PAD};{TEXT}")
        left, right = pieces(primary, shadow)
        bodies = text_html(left, "primary", limit), text_html(right, "shadow", limit)
    else:
        bodies = _alone(primary, limit), _alone(shadow, limit)
    sides: tuple[Side, Side] = ("primary", "shadow")
    models = pair.primary_model, pair.shadow_model
    columns = [_column(*each) for each in zip(sides, models, bodies, strict=True)]
    return tag("div", *columns, style=COLUMNS)


def _expected(expected: str | None, limit: int) -> Html:
    """What the data set says is right, below both answers."""
    if expected is None:
        return Html("")
    heading = tag("div", show("Expected"), style=f"{FAINT};font-size:12px;margin-bottom:3px")
    said = tag("em", show("only a hash of it was kept"), style=FAINT) if is_hash(expected) else None
    body = said or tag("pre", show(expected, limit), style=TEXT)
    return tag("div", heading, body, style=f"{_PAD};border-top:{LINE}")


def _thoughts(thoughts: Mapping[Side, str], limit: int) -> Html:
    """What both sides thought, folded: it says why an answer is as it is."""
    if not thoughts:
        return Html("")
    sides: tuple[Side, Side] = ("primary", "shadow")
    nothing = tag("em", show("no thoughts stored"), style=FAINT)
    bodies = [show(thoughts[side], limit) if side in thoughts else nothing for side in sides]
    columns = [_column(side, None, body) for side, body in zip(sides, bodies, strict=True)]
    summary = tag("summary", show("Thoughts, which are not compared"), style=f"cursor:pointer;{FAINT}")
    return tag(
        "details",
        summary,
        tag("div", *columns, style=COLUMNS),
        style=f"padding:4px 10px;border-top:{LINE}",
    )


def _whole(output: str | None, calls: str | None) -> str | None:
    """All of an answer as text: what is said, then the tools that are called."""
    if not calls:
        return output
    try:
        called = [f"calls {call.name} {_arguments(call)}" for call in read_calls(calls)]
    except RecursionError:
        called = []
    return "\n".join(part for part in (output, *(called or [f"calls {calls}"])) if part)


def _arguments(call: ToolCall) -> str:
    return json.dumps(dict(call.arguments), sort_keys=True, ensure_ascii=False)


def _calls_table(pair: Comparison) -> list[Field] | None:
    """The calls argument by argument, where both sides call tools and say nothing beside."""
    if pair.primary_output or pair.shadow_output or not (pair.primary_tool_calls and pair.shadow_tool_calls):
        return None
    return fields(pair.primary_tool_calls, pair.shadow_tool_calls)


def _alone(output: str | None, limit: int) -> Html:
    return tag("em", show("no answer stored"), style=FAINT) if output is None else show(output, limit)


def _column(side: Side, model: str | None, body: Html) -> Html:
    name = side.capitalize() if model is None else f"{side.capitalize()}: {model}"
    heading = tag("div", show(name, limit=120), style=f"{FAINT};font-size:12px;margin-bottom:3px")
    border = f";border-left:{LINE}" if side == "shadow" else ""
    return tag("div", heading, tag("pre", body, style=TEXT), style=_PAD + border)


def _why(pair: Comparison, live: bool, unseen: tuple[float, float]) -> Html:
    costs = pair.primary_cost_usd, pair.shadow_cost_usd
    parts = [f"cost {' → '.join(map(_cost, costs, unseen))}"]
    if live and pair.primary_latency_ms is not None and pair.shadow_latency_ms is not None:
        parts.append(f"latency {pair.primary_latency_ms:,.0f} → {pair.shadow_latency_ms:,.0f} ms")
    if pair.comparator:
        parts.append(f"comparator {pair.comparator}")
    if pair.switch_epoch is not None:
        parts.append(f"epoch {pair.switch_epoch}")
    said = {name: pair.details.get(name) for name in ("reason", "primary_error", "shadow_error")}
    parts += [f"{name.replace('_', ' ')}: {words}" for name, words in said.items() if words]
    if live:
        parts.append(f"pair {pair.comparison_id}")
    return tag("div", facts(parts), style=f"{FAINT};padding:4px 10px;border-top:{LINE};font-size:12px")


def _cost(likely: float | None, unseen: float) -> str:
    return f"likely {usd(likely)}, at most {usd((likely or 0.0) + unseen)}" if unseen > 0 else usd(likely)


def _others(pairs: Repeats, limit: int) -> Html:
    """The other pairs with the same prompt, equal answers counted, not repeated."""
    if not pairs.others:
        return Html("")
    counted = Counter(map(_said, pairs.others))
    firsts = {_said(each): each for each in pairs.others}
    same = counted.pop(_said(pairs.first), 0)
    parts = [_said_once(f"{same} more with the same two answers")] if same else []
    for answers, count in counted.items():
        head = tag("div", show(f"{count} × "), _agreement(firsts[answers]), style="padding:4px 10px")
        parts += [head, _answers(firsts[answers], limit)]
    unread = pairs.pairs - 1 - len(pairs.others)
    if unread:
        parts.append(_said_once(f"{unread:,} more: all of them are in .selection()"))
    summary = tag(
        "summary",
        show(f"The other {pairs.pairs - 1:,} with this prompt"),
        style=f"cursor:pointer;{FAINT}",
    )
    return tag("details", summary, *parts, style=f"padding:4px 10px;border-top:{LINE}")


def _said(pair: Comparison) -> tuple[object, ...]:
    """What two pairs have in common whose answers need not be shown twice."""
    primary = pair.primary_output, pair.primary_tool_calls
    return *primary, pair.shadow_output, pair.shadow_tool_calls, pair.agreement


def _said_once(text: str) -> Html:
    return tag("div", show(text), style="padding:4px 10px")

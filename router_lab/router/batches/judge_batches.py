"""From an item's result to its row: an answer, an error, or nothing because its time was over."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from router_lab.errors import ContextOverflowError, ProviderError, ResponseParseError
from router_lab.records import Attempt, Batch, BatchItem, CostSource, Usage
from router_lab.router.answers.data import AnswerLimits, read_answer
from router_lab.router.answers.thoughts import without_thoughts
from router_lab.router.attempts import settlement
from router_lab.router.attempts.attempts import settled_row
from router_lab.router.attempts.settlement import Settlement
from router_lab.router.pricing import PriceBook
from router_lab.router.providers import Provider
from router_lab.router.providers.batch_api import ItemResult
from router_lab.router.providers.message_parts import was_filtered
from router_lab.router.secrets import Mask

# Why an item without an answer has none, in its row's `stop_reason`: its server does not take a field, and
# may take another for it; somebody cancelled the batch at its provider.
FIELD_REFUSED = "field_refused"
CANCELLED_THERE = "batch_cancelled"


def settled(
    item: BatchItem, result: ItemResult, batch: Batch, provider: Provider, mask: Mask, book: PriceBook
) -> tuple[Attempt, Settlement]:
    """The row of an item, and what it came to. Its latency is nobody's: a batch answers when it likes."""
    found = _settlement(item, result, provider, mask)
    lost = item.lost
    cost_usd, source = lost.cost_usd, lost.cost_source
    if found.billing == "unbilled":
        cost_usd, source = 0.0, "none"
    elif found.billing == "billed" and found.usage is not None:
        cost_usd, source = _cost(book, batch, found.usage, lost.started_at)
    row = settled_row(lost, found, None, cost_usd, source)
    if isinstance(found.error, ProviderError):
        row = replace(row, stop_reason=_reason(found.error))  # a later process has the row alone
    return mask.value(row), found


def _reason(error: ProviderError) -> str | None:
    if error.refused:
        return FIELD_REFUSED
    return error.kind if was_filtered(error.kind) or error.kind == CANCELLED_THERE else None


def withdrawn(lost: Attempt, error: BaseException) -> Attempt:
    """The row of an item that was never handed in."""
    return settled_row(lost, settlement.never_sent(error, "cancelled"), None, 0.0, "none")


def _cost(book: PriceBook, batch: Batch, usage: Usage, at: datetime) -> tuple[float, CostSource]:
    cost = book.cost(batch.alias, usage, at, in_batch=True)
    return cost.usd, cost.source


def _settlement(item: BatchItem, result: ItemResult, provider: Provider, mask: Mask) -> Settlement:
    if result.ending == "expired":
        error = ProviderError("the batch's time was over before this item's turn", retryable=True)
        return settlement.never_sent(error, "expired")
    if result.ending == "cancelled":
        error = ProviderError("the batch was cancelled before this item's turn", kind=CANCELLED_THERE)
        return settlement.never_sent(error, "cancelled")
    if result.ending == "error":
        status = result.status or 500
        refused = settlement.from_refusal(provider.error(status, {}, result.body), status)
        if result.is_free and refused.billing != "unbilled":
            return Settlement(
                refused.outcome, "unbilled", refused.provider_failed, refused.error, http_status=status
            )
        return refused
    return _answer(item, result, provider, mask)


def _answer(item: BatchItem, result: ItemResult, provider: Provider, mask: Mask) -> Settlement:
    status = result.status or 200
    usage = _usage(provider, result.body)
    try:
        reply = mask.value(without_thoughts(provider.reply(result.body, status=status)))
    except ResponseParseError as error:
        return settlement.from_unreadable(error, usage, status)
    except (ProviderError, ContextOverflowError) as error:
        return settlement.from_broken_answer(error, usage, None, ended=True, status=status)
    problem: Exception | None = None
    data = None
    if reply.window_exceeded:
        problem = ContextOverflowError("the answer reached the end of the context window", signal="window")
    else:
        try:
            limits = AnswerLimits.of(item.max_tokens)
            data = read_answer(reply, item.schema, item.output, limits.text_chars)
        except ResponseParseError as error:
            cut = reply.token_limited
            problem = ResponseParseError(str(error), text=error.text, token_limited=cut) if cut else error
    return settlement.from_reply(reply, usage, status, data=data, error=problem)


def _usage(provider: Provider, body: bytes) -> Usage | None:
    try:
        return provider.usage(body)
    except ResponseParseError:
        return None

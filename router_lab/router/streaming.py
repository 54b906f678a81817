"""Streamed answers, inside the same boundary as whole ones."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from weakref import WeakSet

from router_lab.errors import ContextOverflowError, ProviderError, ResponseParseError
from router_lab.records import StreamChunk
from router_lab.router import settlement
from router_lab.router.attempts import Attempts, OpenAttempt, Plan
from router_lab.router.breaker import Admission
from router_lab.router.dispatch import Dispatch
from router_lab.router.job import Job
from router_lab.router.providers.base import StreamDecoder
from router_lab.router.settlement import Settlement
from router_lab.router.transport import StreamResponse, Transport

# Pieces of text, then exactly one settlement, unless an error ends the stream.
Pieces = AsyncGenerator[str | Settlement, None]


async def stream_answer(
    dispatch: Dispatch,
    attempts: Attempts,
    job: Job,
    aliases: Sequence[str],
    transport: Transport,
    open_streams: WeakSet[Pieces],
) -> AsyncGenerator[StreamChunk, None]:
    """The pieces of the first model that gives one, then a chunk with the completion."""

    async def first_piece(job: Job, plan: Plan, admission: Admission) -> tuple[str | Settlement, Pieces]:
        pieces = stream_attempt(attempts, job, plan, admission, transport)
        return await anext(pieces), pieces

    piece, rest = await dispatch.run(job, aliases, first_piece, stream=True)
    open_streams.add(rest)
    async with aclosing(rest):
        while isinstance(piece, str):
            yield StreamChunk(piece)
            piece = await anext(rest)
    yield StreamChunk("", attempts.completion(job, piece))


async def stream_attempt(
    attempts: Attempts, job: Job, plan: Plan, admission: Admission, transport: Transport
) -> Pieces:
    """Send and yield. Cut, cancelled or abandoned, it leaves one row with the usage seen so far."""
    attempt = await attempts.open(job, plan, admission)
    decoder = plan.target.provider.decoder()
    text: list[str] = []
    decoding = False
    try:
        async with transport.stream(
            plan.wire, attempt_id=attempt.lost.attempt_id, timeout_s=attempts.timeout_s(job, plan)
        ) as response:
            if not 200 <= response.status < 300:
                settled = await _refused(plan, response, attempts.now())
            else:
                async for data in response.chunks():
                    decoding = True
                    for chunk in decoder.feed(data):
                        if chunk.text:
                            text.append(chunk.text)
                            yield chunk.text
                    decoding = False
                settled = await _ended(attempts, attempt, decoder, response.status)
    except (ProviderError, ContextOverflowError, ResponseParseError) as error:
        if isinstance(error, ProviderError) and not decoding:  # the wire's fault, not an error event
            settled = settlement.from_transport_error(error, usage=decoder.usage, text="".join(text))
        else:
            settled = settlement.from_stream_error(error, decoder.usage, "".join(text))
    except BaseException as error:
        abandoned = isinstance(error, GeneratorExit)
        await attempts.settle(
            attempt,
            settlement.from_cancellation(error, usage=decoder.usage, text="".join(text), abandoned=abandoned),
        )
        raise
    await attempts.settle(attempt, settled)
    if settled.error is not None:
        raise settled.error
    yield settled


async def _refused(plan: Plan, response: StreamResponse, now: datetime) -> Settlement:
    body = await response.read()
    return settlement.from_refusal(
        plan.target.provider.error(response.status, response.headers, body, now=now), response.status
    )


async def _ended(attempts: Attempts, attempt: OpenAttempt, decoder: StreamDecoder, status: int) -> Settlement:
    reply = decoder.close()
    return await attempts.judge_reply(attempt, reply, decoder.usage or reply.usage, status)

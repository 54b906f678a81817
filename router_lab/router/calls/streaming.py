"""Streamed answers, inside the same boundary as whole ones."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from router_lab.errors import ContextOverflowError, ProviderError, ResponseParseError, RouterLabError
from router_lab.records import Completion
from router_lab.router.attempts import settlement
from router_lab.router.attempts.attempts import Attempts
from router_lab.router.attempts.job import AttemptPlan, FinishedJob, Job
from router_lab.router.attempts.settlement import Settlement
from router_lab.router.breaker import Admission
from router_lab.router.calls.dispatch import Dispatch
from router_lab.router.providers.failures import heed_headers
from router_lab.router.providers.streams import Decoder
from router_lab.router.providers.usage import with_header_cost
from router_lab.router.transport.transport import StreamResponse, Transport

# Pieces of text, then exactly one settlement, unless an error ends the stream.
Piece = str | Settlement
Pieces = AsyncGenerator[Piece, None]


class StreamClosedError(RouterLabError):
    """The router was closed while this stream was under way (its row says `abandoned`), or a parent's is."""

    def __init__(self, why: str = "the router was closed while this stream was under way") -> None:
        super().__init__(why)


class OpenStream:
    """One stream, which its consumer advances piece by piece, and which a closing router ends.

    `start` gives the first piece and sets `pieces`. `offer` is called once, whoever ends the stream,
    with what came of the call.
    """

    def __init__(
        self,
        job: Job,
        start: Callable[[OpenStream], Awaitable[Piece]],
        offer: Callable[[FinishedJob], None],
    ) -> None:
        self.job = job
        self.primary = FinishedJob(job, None, asyncio.CancelledError("the stream was abandoned"))
        self.pieces: Pieces | None = None
        self._start = start
        self._offer: Callable[[FinishedJob], None] | None = offer
        self._closing = asyncio.Event()
        self._consumer: asyncio.Task[Any] | None = None
        self._turn = asyncio.Lock()
        self._process = os.getpid()

    def is_closing(self) -> bool:
        """Whether the router is ending it."""
        return self._closing.is_set()

    async def next(self) -> Piece:
        """The next piece, for the consumer. Raises `StreamClosedError` once the router closes."""
        if self._is_inherited:
            raise StreamClosedError("this stream is the parent process's: begin another one here")
        async with self._turn:
            if self.is_closing():
                raise StreamClosedError
            self._consumer = task = asyncio.current_task()
            try:
                return await (anext(self.pieces) if self.pieces is not None else self._start(self))
            except asyncio.CancelledError:
                if task is None or not self.is_closing() or task.uncancel() > 0:
                    raise
                raise StreamClosedError from None
            except Exception as error:
                self.primary = FinishedJob(self.job, None, error)
                raise
            finally:
                self._consumer = None

    @property
    def _is_inherited(self) -> bool:
        return self._process != os.getpid()

    def completed(self, completion: Completion) -> Completion:
        """Its last piece was a settlement, which came to this."""
        self.primary = FinishedJob(self.job, completion)
        return completion

    async def close(self) -> None:
        """End it for a router that closes, in whatever state it is; its row is durable afterwards."""
        self._closing.set()
        if self._consumer is not None:
            self._consumer.cancel()
        await self.end()

    async def end(self) -> None:
        """Settle what is left of it, and offer what came of it. Ending twice does no harm, nor in a child."""
        if self._is_inherited:
            return
        async with self._turn:
            if self.pieces is not None:
                await self.pieces.aclose()
        if self._offer is not None:
            offer, self._offer = self._offer, None
            offer(self.primary)


def first_piece(
    dispatch: Dispatch, attempts: Attempts, aliases: Sequence[str], transport: Transport
) -> Callable[[OpenStream], Awaitable[Piece]]:
    """How a stream starts: at the first of the models that gives a piece."""

    async def start(opened: OpenStream) -> Piece:
        async def send(job: Job, plan: AttemptPlan, admission: Admission) -> Piece:
            pieces = stream_attempt(opened, job, attempts, plan, admission, transport)
            first = _begun(pieces)
            opened.pieces = pieces
            return await first

        return await dispatch.run(opened.job, aliases, send, stream=True)

    return start


def _begun(pieces: Pieces) -> Awaitable[Piece]:
    """The first step of pieces that `OpenStream` closes: an event loop that ends would do it meanwhile."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return anext(pieces)
    finally:
        sys.set_asyncgen_hooks(*hooks)


async def stream_attempt(
    opened: OpenStream,
    job: Job,
    attempts: Attempts,
    plan: AttemptPlan,
    admission: Admission,
    transport: Transport,
) -> Pieces:
    """Send and yield. Cut, cancelled or abandoned, it leaves one row with the usage seen so far."""
    attempt = await attempts.open(job, plan, admission)
    decoder = plan.target.provider.decoder()
    text: list[str] = []
    arriving = plan.mask.arriving()
    on_the_wire = True
    headers: Mapping[str, str] = {}
    try:
        async with transport.stream(
            plan.wire,
            attempt_id=attempt.lost.attempt_id,
            timeout_s=attempts.timeout_s(job, plan),
            max_body_bytes=plan.limits.stream_bytes,
        ) as response:
            headers, decoder.status = response.headers, response.status
            if not 200 <= response.status < 300:
                settled = await _refused(plan, response, attempts.now())
            else:
                async for data in _until_its_end(response, decoder):
                    on_the_wire = False
                    for chunk in decoder.feed(data) if data is not None else decoder.flush():
                        if shown := arriving.next(chunk.text):
                            text.append(shown)
                            yield shown
                    on_the_wire = True
                on_the_wire = False
                if rest := arriving.rest():
                    text.append(rest)
                    yield rest
                reply = decoder.close()
                usage = with_header_cost(decoder.usage or reply.usage, headers)
                settled = await attempts.judge_reply(attempt, reply, usage, response.status, begun=bool(text))
                if (
                    settled.text and not text and settled.error is None
                ):  # whole, though a stream was asked for
                    text.append(settled.text)
                    yield settled.text
    except (ProviderError, ContextOverflowError, ResponseParseError) as error:
        heed_headers(error, headers, attempts.now())
        settled = _broken(error, decoder, "".join(text), on_the_wire=on_the_wire)
    except BaseException as error:
        abandoned = isinstance(error, GeneratorExit) or opened.is_closing()
        await attempts.settle(
            attempt,
            settlement.from_cancellation(error, usage=decoder.usage, text="".join(text), abandoned=abandoned),
        )
        raise
    await attempts.settle(attempt, settled)
    if settled.error is not None:
        raise settled.error
    yield settled


def _broken(
    error: ProviderError | ContextOverflowError | ResponseParseError,
    decoder: Decoder,
    text: str,
    *,
    on_the_wire: bool,
) -> Settlement:
    """What an answer that broke off, or was none, came to."""
    if isinstance(error, ProviderError) and (on_the_wire or error.kind == "cut_stream"):
        return settlement.from_transport_error(error, usage=decoder.usage, text=text)
    return settlement.from_broken_answer(
        error, decoder.usage, text, ended=decoder.is_final or decoder.is_whole, status=decoder.status
    )


async def _until_its_end(response: StreamResponse, decoder: Decoder) -> AsyncGenerator[bytes | None, None]:
    """The body up to the answer's own end mark: what the socket does afterwards means nothing.

    None says that a body has ended, or was cut, without one.
    """
    cut: ProviderError | None = None
    try:
        async for data in response.chunks():
            yield data
            if decoder.ended:
                await response.finish()
                return
    except ProviderError as error:
        cut = error
    yield None
    if cut is not None and not decoder.is_final:
        raise cut


async def _refused(plan: AttemptPlan, response: StreamResponse, now: datetime) -> Settlement:
    body = await response.read()
    return settlement.from_refusal(
        plan.target.provider.error(response.status, response.headers, body, now=now, url=plan.wire.url),
        response.status,
    )

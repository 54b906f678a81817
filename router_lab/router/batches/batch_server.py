"""One provider's batches over the transport: made, found again, looked at, read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from router_lab.errors import ContextOverflowError, ProviderError
from router_lab.records import Batch
from router_lab.router.ports import Clock
from router_lab.router.providers import wire
from router_lab.router.providers.batch_api import BATCHES, BatchApi, BatchAsk, BatchState, ItemResult
from router_lab.router.providers.wire import WireRequest
from router_lab.router.request.targets import Target
from router_lab.router.secrets import Secrets
from router_lab.router.transport.transport import Transport

# What handing in a large batch, and reading its results, may take.
_TIMEOUT_S = 600.0
_MOST_RESULTS = 4 << 30
# Their clock may be so much behind ours.
_SKEW = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class FoundBatch:
    """The batch that was looked for, None where it is not there; undecided while others might be it."""

    remote_id: str | None
    is_decided: bool = True


@dataclass(frozen=True, slots=True)
class BatchServer:
    """The server of a target, as far as batches go."""

    target: Target
    transport: Transport
    clock: Clock
    secrets: Secrets

    @property
    def api(self) -> BatchApi:
        """The batch API of the target's wire format."""
        return BATCHES[self.target.settings.wire]

    async def upload(self, mark: str, lines: Sequence[bytes]) -> bytes:
        """Hand in what a batch needs beforehand, which costs nothing. Raises `ProviderError`."""
        asked = self.api.upload(mark, lines)
        return b"" if asked is None else await self._asked(asked, mark)

    async def create(self, mark: str, lines: Sequence[bytes], uploaded: bytes) -> str:
        """Hand the batch in; its id there. Raises `ProviderError`, `ResponseParseError`."""
        body = await self._asked(self.api.create(mark, lines, uploaded), mark)
        return self.api.state(body).id

    async def look(self, batch: Batch) -> BatchState:
        """How the batch is. Raises `ProviderError`, `ResponseParseError`."""
        return self.api.state(await self._asked(self.api.look(batch.remote_id or ""), batch.batch_id))

    async def find(self, batch: Batch, ids: Collection[str], others: Collection[str]) -> FoundBatch:
        """Look for a batch that may have been handed in: by its mark, else by its size and its items' ids.

        `others` are ids there of other batches of ours. Raises `ProviderError`, `ResponseParseError`.
        """
        begun = (batch.submitted_at or batch.opened_at) - _SKEW
        is_decided, after = True, None
        while True:
            page, after = self.api.listed(await self._asked(self.api.listing(after), batch.batch_id))
            for one in page:
                if self.api.bears_mark:
                    if one.mark == batch.batch_id:
                        return FoundBatch(one.id)
                elif one.items == batch.items and one.id not in others and _is_since(one, begun):
                    if not one.has_ended:
                        is_decided = False
                    elif await self._is_ours(one, ids):
                        return FoundBatch(one.id)
            if after is None or (page and not _is_since(page[-1], begun)):
                return FoundBatch(None, is_decided)

    async def results(self, state: BatchState) -> AsyncIterator[ItemResult]:
        """The results, line by line. Raises `ProviderError`, `ResponseParseError`."""
        for asked in state.results:
            async for line in self._lines(asked):
                if line.strip():
                    yield self.api.result(line)

    async def _is_ours(self, state: BatchState, ids: Collection[str]) -> bool:
        async for result in self.results(state):
            return result.custom_id in ids
        return False

    async def _lines(self, asked: BatchAsk) -> AsyncIterator[bytes]:
        rest = b""
        async with self.transport.stream(
            self._request(asked),
            attempt_id="batch-results",
            timeout_s=_TIMEOUT_S,
            max_body_bytes=_MOST_RESULTS,
            method=asked.method,
        ) as answer:
            if not 200 <= answer.status < 300:
                raise self._error(answer.status, answer.headers, await answer.read(), asked)
            async for chunk in answer.chunks():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line
        yield rest

    async def _asked(self, asked: BatchAsk, mark: str) -> bytes:
        answer = await self.transport.send(
            self._request(asked), attempt_id=mark, timeout_s=_TIMEOUT_S, method=asked.method
        )
        if answer.cut is not None:
            raise answer.cut
        if not 200 <= answer.status < 300:
            raise self._error(answer.status, answer.headers, answer.body, asked)
        return answer.body

    def _error(self, status: int, headers: object, body: bytes, asked: BatchAsk) -> ProviderError:
        read: Callable[..., ProviderError | ContextOverflowError] = self.target.provider.error
        error = read(status, headers, body, now=self.clock.now(), url=asked.path)
        found = error if isinstance(error, ProviderError) else ProviderError(str(error), status=status)
        self.secrets.mask().error(found)
        return found

    def _request(self, asked: BatchAsk) -> WireRequest:
        headers = dict(self.target.credentials())
        if asked.method == "POST":
            headers["content-type"] = asked.content_type
        url = wire.address(self.target.settings.base_url, asked.path)
        return WireRequest(url, headers, asked.body, self.secrets.known())


def _is_since(state: BatchState, begun: datetime) -> bool:
    return state.created_at is None or state.created_at >= begun

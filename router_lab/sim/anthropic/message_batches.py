"""Anthropic's Message Batches on the wire: `/v1/messages/batches` and what is below it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from router_lab.sim import reading
from router_lab.sim.anthropic.messages_api import AnthropicWire, invalid
from router_lab.sim.exchange import JSON, ErrorAnswer, Exchange, Header, HttpRequest, dump
from router_lab.sim.served_batches import (
    WINDOW_S,
    ItemOutcome,
    ServedBatches,
    ServedItem,
    SimBatch,
    in_own_order,
)

_PATH = "/v1/messages/batches"
_MOST_ITEMS, _MOST_BYTES = 100_000, 256 * 1024 * 1024
_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_JSONL: tuple[Header, ...] = ((b"content-type", b"application/x-jsonl"),)


class AnthropicBatchApi:
    """The API over a server's batches."""

    provider: Literal["anthropic"] = "anthropic"
    item_path = "/v1/messages"

    def __init__(self, batches: ServedBatches) -> None:
        self._batches = batches
        self.wire = AnthropicWire()

    def is_at(self, path: str) -> bool:
        """Whether the path is one of its own."""
        return path == _PATH or path.startswith(f"{_PATH}/")

    def handle(self, request: HttpRequest) -> Exchange:
        """The response. Raises `ErrorAnswer`."""
        if "anthropic-version" not in request.headers:
            raise invalid("anthropic-version: header is required")
        identity, _, action = request.path.removeprefix(_PATH).strip("/").partition("/")
        if not identity:
            return self._created(request) if request.method == "POST" else self._listed(request)
        batch = self._batches.get(self.provider, identity)
        if batch is None:
            raise ErrorAnswer(404, f"Message Batch {identity!r} not found.", kind="not_found_error")
        match request.method, action:
            case "GET", "":
                return _json(_shown(batch, request))
            case "GET", "results":
                return self._results(batch)
            case "POST", "cancel":
                self._batches.cancel(batch)
                return _json(_shown(batch, request))
            case "DELETE", "":
                if batch.ended is None:
                    raise invalid("Message Batch cannot be deleted before it has ended; cancel it first")
                self._batches.remove(batch)
                return _json({"id": batch.id, "type": "message_batch_deleted"})
        raise ErrorAnswer(404, "Not Found", kind="not_found_error")

    def _created(self, request: HttpRequest) -> Exchange:
        if len(request.body) > _MOST_BYTES:
            raise ErrorAnswer(413, "Request exceeds the maximum size", kind="request_too_large")
        data = reading.json_object(request.body, invalid)
        asked = reading.objects(data.get("requests"), "requests", invalid)
        if not 0 < len(asked) <= _MOST_ITEMS:
            raise invalid(f"requests: List should have 1 to {_MOST_ITEMS} items")
        items, known = [], set()
        for place, one in enumerate(asked):
            name, body = one.get("custom_id"), one.get("params")
            if not isinstance(name, str) or not _CUSTOM_ID.fullmatch(name):
                raise invalid(
                    f"requests.{place}.custom_id: String should match pattern '{_CUSTOM_ID.pattern}'"
                )
            if name in known:
                raise invalid(f"requests.{place}.custom_id: duplicate custom_id {name!r}")
            if not isinstance(body, Mapping):
                raise invalid(f"requests.{place}.params: Field required")
            known.add(name)
            items.append(ServedItem(name, body))
        batch = self._batches.make(f"msgbatch_sim{self._batches.number():08d}", self.provider, items)
        return _json(_shown(batch, request))

    def _listed(self, request: HttpRequest) -> Exchange:
        """A page of batches, the newest first."""
        found = self._batches.of(self.provider)
        ids = [batch.id for batch in found]
        after, before = request.query.get("after_id"), request.query.get("before_id")
        for cursor in (after, before):
            if cursor is not None and cursor not in ids:
                raise invalid(f"{cursor!r} is not a Message Batch of this workspace")
        limit = _limit(request, 1000)
        if before is not None:
            place = ids.index(before)
            page, more = found[max(0, place - limit) : place], place > limit
        else:
            rest = found[ids.index(after) + 1 :] if after is not None else found
            page, more = rest[:limit], len(rest) > limit
        return _json(
            {
                "data": [_shown(batch, request) for batch in page],
                "has_more": more,
                "first_id": page[0].id if page else None,
                "last_id": page[-1].id if page else None,
            }
        )

    def _results(self, batch: SimBatch) -> Exchange:
        if batch.ended is None:
            raise ErrorAnswer(404, f"Batch {batch.id} has no results yet.", kind="not_found_error")
        return Exchange(200, _JSONL, (b"".join(_lines(batch)),))


def _limit(request: HttpRequest, most: int) -> int:
    given = request.query.get("limit", "20")
    if not given.isdigit() or not 1 <= int(given) <= most:
        raise invalid(f"limit: Input should be between 1 and {most}")
    return int(given)


def _lines(batch: SimBatch) -> Iterator[bytes]:
    """The results in an order of the server's own."""
    for item in in_own_order(batch):
        yield dump({"custom_id": item.custom_id, "result": _result(item)}) + b"\n"


def _result(item: ServedItem) -> dict[str, Any]:
    if item.outcome == "succeeded":
        message = json.loads(item.answer)
        message["usage"]["service_tier"] = "batch"
        return {"type": "succeeded", "message": message}
    if item.outcome == "errored":
        return {"type": "errored", "error": {**json.loads(item.answer), "request_id": None}}
    return {"type": item.outcome}


def _shown(batch: SimBatch, request: HttpRequest) -> dict[str, Any]:
    is_done = batch.ended is not None
    counts = batch.counts if is_done else {"waiting": len(batch.items)}
    names: tuple[tuple[str, ItemOutcome], ...] = (
        ("processing", "waiting"),
        ("succeeded", "succeeded"),
        ("errored", "errored"),
        ("canceled", "canceled"),
        ("expired", "expired"),
    )
    host = request.headers.get("host", "localhost")
    status = "ended" if is_done else "canceling" if batch.cancelled is not None else "in_progress"
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": status,
        "request_counts": {shown: counts.get(own, 0) for shown, own in names},
        "ended_at": _moment(batch.ended),
        "created_at": _moment(batch.created),
        "expires_at": _moment(batch.created + WINDOW_S),
        "archived_at": None,
        "cancel_initiated_at": _moment(batch.cancelled),
        "results_url": f"http://{host}{_PATH}/{batch.id}/results" if is_done else None,
    }


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _json(value: Mapping[str, Any]) -> Exchange:
    return Exchange(200, JSON, (dump(value),))

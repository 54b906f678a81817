"""Batches on the wire: Anthropic's Message Batches, OpenAI's files and batches. Pure translations.

An item is the body that a call of its own would have, under a `custom_id` of ours. A batch of OpenAI's bears
our mark in its metadata; Anthropic's takes no mark, and is known by the ids in its results once it has ended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

from router_lab.errors import ResponseParseError
from router_lab.router.providers import wire

ItemEnding = Literal["answer", "error", "expired", "cancelled"]

_MARK = "router_lab_batch"
_BOUNDARY = "router-lab-7f1d0c2b9a4e4f0f"
_ID = re.compile(r"[A-Za-z0-9._-]{1,200}")
# Anthropic's errors in results bear no status; these are the ones its API gives them elsewhere.
_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


@dataclass(frozen=True, slots=True)
class BatchAsk:
    """A request about batches; `path` is below the server's address."""

    method: Literal["GET", "POST"]
    path: str
    body: bytes = field(default=b"", repr=False)
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class BatchState:
    """What a server says of a batch. `mark` is ours; `results` are to be read when it has ended.

    `failed` says why none of its items was run.
    """

    id: str
    has_ended: bool
    items: int | None
    created_at: datetime | None
    mark: str | None = None
    failed: str | None = None
    results: tuple[BatchAsk, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemResult:
    """How one item ended. `body` is the response's, of an answer or an error of `status`."""

    custom_id: str
    ending: ItemEnding
    status: int | None = None
    body: bytes = field(default=b"", repr=False)
    # Whether the provider says that nothing of it is billed.
    is_free: bool = False


class AnthropicBatches:
    """Batches of `/v1/messages/batches`: items go with the batch, which bears no mark of ours."""

    most_items = 100_000
    bears_mark = False
    _path = "/v1/messages/batches"

    def line(self, custom_id: str, body: bytes) -> bytes:
        """An item, as it goes into a batch: an element of `requests`. `body` is that of a call."""
        return b'{"custom_id":' + json.dumps(custom_id).encode() + b',"params":' + body + b"}"

    def upload(self, mark: str, lines: Sequence[bytes]) -> BatchAsk | None:
        """What has to be handed in first: nothing, the items go with the batch."""
        return None

    def create(self, mark: str, lines: Sequence[bytes], uploaded: bytes) -> BatchAsk:
        """What makes the batch: the POST with all items."""
        return BatchAsk("POST", self._path, b'{"requests":[' + b",".join(lines) + b"]}")

    def look(self, identity: str) -> BatchAsk:
        """What asks for the state of a message batch."""
        return BatchAsk("GET", f"{self._path}/{identity}")

    def state(self, body: bytes) -> BatchState:
        """The state in an answer to `create` or `look`, a `message_batch`. Raises `ResponseParseError`."""
        return self._state(_object(body))

    def listing(self, after: str | None) -> BatchAsk:
        """What asks for up to 100 message batches, the newest first, from behind the id `after` on."""
        return BatchAsk("GET", f"{self._path}?limit=100" + (f"&after_id={after}" if after else ""))

    def listed(self, body: bytes) -> tuple[list[BatchState], str | None]:
        """Message batches in an answer to `listing`, and the next `after`; None after the last."""
        return _page(body, self._state)

    def result(self, line: bytes) -> ItemResult:
        """`succeeded`, `errored`, `canceled` or `expired`; only the first is billed."""
        data = _object(line)
        name, result = wire.text_of(data.get("custom_id")), wire.member(data, "result")
        match result.get("type"):
            case "succeeded":
                return ItemResult(name, "answer", 200, wire.encode(wire.member(result, "message")))
            case "errored":
                told = wire.member(result, "error")
                kind = wire.text_of(wire.member(told, "error").get("type") or told.get("type"))
                return ItemResult(name, "error", _STATUS.get(kind, 500), wire.encode(told), is_free=True)
            case "canceled":
                return ItemResult(name, "cancelled", is_free=True)
            case "expired":
                return ItemResult(name, "expired", is_free=True)
        raise ResponseParseError(f"anthropic: a result of type {str(result.get('type'))[:40]!r}")

    def _state(self, data: Mapping[str, Any]) -> BatchState:
        identity = _identity(data)
        has_ended = data.get("processing_status") == "ended"
        counts = [wire.count(each) for each in wire.member(data, "request_counts").values()]
        return BatchState(
            id=identity,
            has_ended=has_ended,
            items=sum(each for each in counts if each is not None) if counts else None,
            created_at=_moment(data.get("created_at")),
            results=(BatchAsk("GET", f"{self._path}/{identity}/results"),) if has_ended else (),
        )


class OpenAIBatches:
    """Batches of `/v1/batches`: items go in a file of `/v1/files`; `metadata` bears our mark."""

    most_items = 50_000
    bears_mark = True

    def line(self, custom_id: str, body: bytes) -> bytes:
        """An item, as a line of the input file. `body` is that of a call."""
        head = json.dumps({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions"})
        return head[:-1].encode() + b', "body": ' + body + b"}"

    def upload(self, mark: str, lines: Sequence[bytes]) -> BatchAsk:
        """What has to be handed in first: the input file, named by `mark`."""
        edge = f"--{_BOUNDARY}\r\nContent-Disposition: form-data; name="
        head = f'{edge}"purpose"\r\n\r\nbatch\r\n{edge}"file"; filename="{mark}.jsonl"\r\n'
        head += "Content-Type: application/jsonl\r\n\r\n"
        body = head.encode() + b"\n".join(lines) + f"\r\n--{_BOUNDARY}--\r\n".encode()
        return BatchAsk("POST", "/files", body, f"multipart/form-data; boundary={_BOUNDARY}")

    def create(self, mark: str, lines: Sequence[bytes], uploaded: bytes) -> BatchAsk:
        """The POST that names the file in `uploaded`, and is marked as ours. Raises `ResponseParseError`."""
        asked = {
            "input_file_id": _identity(_object(uploaded)),
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {_MARK: mark},
        }
        return BatchAsk("POST", "/batches", wire.encode(asked))

    def look(self, identity: str) -> BatchAsk:
        """What asks for the state of the batch `identity`."""
        return BatchAsk("GET", f"/batches/{identity}")

    def state(self, body: bytes) -> BatchState:
        """The state in an answer to `create` or `look`, a `batch`. Raises `ResponseParseError`."""
        return self._state(_object(body))

    def listing(self, after: str | None) -> BatchAsk:
        """What asks for up to 100 batches, the newest first, from behind the id `after` on."""
        return BatchAsk("GET", "/batches?limit=100" + (f"&after={after}" if after else ""))

    def listed(self, body: bytes) -> tuple[list[BatchState], str | None]:
        """Batches in an answer to `listing`, and the next `after`; None after the last."""
        return _page(body, self._state)

    def result(self, line: bytes) -> ItemResult:
        """A response of any status, or an error where the item was not run."""
        data = _object(line)
        name, response = wire.text_of(data.get("custom_id")), wire.member(data, "response")
        status = wire.count(response.get("status_code"))
        if status is not None:
            body = wire.encode(wire.member(response, "body"))
            return ItemResult(name, "answer" if 200 <= status < 300 else "error", status, body)
        error = wire.member(data, "error")
        match error.get("code"):
            case "batch_expired":
                return ItemResult(name, "expired", is_free=True)
            case "batch_cancelled":
                return ItemResult(name, "cancelled", is_free=True)
        return ItemResult(name, "error", 500, wire.encode({"error": error}))

    def _state(self, data: Mapping[str, Any]) -> BatchState:
        status = data.get("status")
        told = [
            wire.text_of(one.get("message")) for one in wire.objects(wire.member(data, "errors").get("data"))
        ]
        files = [data.get(name) for name in ("output_file_id", "error_file_id")]
        return BatchState(
            id=_identity(data),
            has_ended=status in ("completed", "expired", "cancelled", "failed"),
            items=wire.count(wire.member(data, "request_counts").get("total")),
            created_at=_of_seconds(data.get("created_at")),
            mark=wire.text_of(wire.member(data, "metadata").get(_MARK)) or None,
            failed=("; ".join(told) or "no reason was given") if status == "failed" else None,
            results=tuple(BatchAsk("GET", f"/files/{_checked(one)}/content") for one in files if one),
        )


def _page(
    body: bytes, state: Callable[[Mapping[str, Any]], BatchState]
) -> tuple[list[BatchState], str | None]:
    """The batches of a page, and the id of the last where more follow it."""
    data = _object(body)
    found = [state(one) for one in wire.objects(data.get("data"))]
    return found, found[-1].id if found and data.get("has_more") is True else None


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = wire.decode(body)
    except ValueError as error:
        raise ResponseParseError(f"what a server says of a batch is no JSON: {error}") from None
    if not isinstance(data, dict):
        raise ResponseParseError("what a server says of a batch is no JSON object")
    return data


def _identity(data: Mapping[str, Any]) -> str:
    return _checked(data.get("id"))


def _checked(identity: Any) -> str:
    """An id that may stand in a path. Raises `ResponseParseError`."""
    if not isinstance(identity, str) or not _ID.fullmatch(identity):
        raise ResponseParseError(f"what a server calls a batch or a file is no id: {str(identity)[:60]!r}")
    return identity


def _of_seconds(seconds: Any) -> datetime | None:
    if type(seconds) in (int, float) and 0 <= seconds < 1 << 36:
        return datetime.fromtimestamp(seconds, UTC)
    return None


def _moment(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


# One provider's API. What reads raises `ResponseParseError`.
BatchApi = AnthropicBatches | OpenAIBatches
BATCHES: Mapping[str, BatchApi] = MappingProxyType(
    {"anthropic": AnthropicBatches(), "openai": OpenAIBatches()}
)

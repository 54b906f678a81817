"""OpenAI's Batch API on the wire: `/v1/files` for what goes in and comes out, `/v1/batches` for the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from router_lab.sim import reading
from router_lab.sim.exchange import JSON, ErrorAnswer, Exchange, Header, HttpRequest, dump
from router_lab.sim.openai.completions_api import OpenAIWire, invalid
from router_lab.sim.served_batches import WINDOW_S, ServedBatches, ServedItem, SimBatch, in_own_order

_FILES, _BATCHES = "/v1/files", "/v1/batches"
_ENDPOINT = "/v1/chat/completions"
_MOST_ITEMS, _MOST_BYTES = 50_000, 200 * 1024 * 1024
_ENDS = ("completed", "failed", "expired", "cancelled")
_BINARY: tuple[Header, ...] = ((b"content-type", b"application/octet-stream"),)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the server's. `created` is in seconds since the epoch."""

    id: str
    name: str
    purpose: str
    created: int
    content: bytes = field(repr=False)

    def shown(self) -> dict[str, Any]:
        """Its object on the wire."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created,
            "expires_at": None,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


class OpenAIBatchApi:
    """The API over a server's batches, and its files."""

    provider: Literal["openai"] = "openai"
    item_path = _ENDPOINT

    def __init__(self, batches: ServedBatches, wire: OpenAIWire) -> None:
        self._batches = batches
        self._files: dict[str, StoredFile] = {}
        self.wire = wire

    def is_at(self, path: str) -> bool:
        """Whether the path is one of its own."""
        return any(path == root or path.startswith(f"{root}/") for root in (_FILES, _BATCHES))

    def reset(self) -> None:
        """Forget every file that was uploaded or written; `ServedBatches` forgets the batches."""
        self._files.clear()

    def handle(self, request: HttpRequest) -> Exchange:
        """The response. Raises `ErrorAnswer`."""
        root = _FILES if request.path.startswith(_FILES) else _BATCHES
        identity, _, action = request.path.removeprefix(root).strip("/").partition("/")
        if root == _FILES:
            return self._file(request, identity, action)
        if not identity:
            return self._created(request) if request.method == "POST" else self._listed(request)
        batch = self._batches.get(self.provider, identity)
        if batch is None:
            raise ErrorAnswer(404, f"No batch found with id '{identity}'.")
        if (request.method, action) == ("POST", "cancel"):
            self._batches.cancel(batch)
        elif (request.method, action) != ("GET", ""):
            raise ErrorAnswer(404, "Invalid URL")
        return _json(self._shown(batch))

    def _file(self, request: HttpRequest, identity: str, action: str) -> Exchange:
        if not identity:
            if request.method == "POST":
                return self._uploaded(request)
            purpose = request.query.get("purpose")
            kept = [one for one in reversed(self._files.values()) if purpose in (None, one.purpose)]
            return _page([one.shown() for one in kept], request, 10_000)
        kept_file = self._files.get(identity)
        if kept_file is None:
            raise ErrorAnswer(404, f"No such File object: {identity}")
        match request.method, action:
            case "GET", "":
                return _json(kept_file.shown())
            case "GET", "content":
                return Exchange(200, _BINARY, (kept_file.content,))
            case "DELETE", "":
                del self._files[identity]
                return _json({"id": identity, "object": "file", "deleted": True})
        raise ErrorAnswer(404, "Invalid URL")

    def _uploaded(self, request: HttpRequest) -> Exchange:
        parts = _form(request)
        name, content = parts.get("file", ("", b""))
        purpose = parts.get("purpose", ("", b""))[1].decode("utf-8", "replace")
        if "file" not in parts:
            raise invalid("Missing required parameter: 'file'.")
        if purpose not in ("batch", "assistants", "fine-tune", "user_data", "vision", "evals"):
            raise invalid(f"Invalid value: '{purpose}'. Supported values are: 'batch', 'assistants', ...")
        if purpose == "batch" and len(content) > _MOST_BYTES:
            raise ErrorAnswer(413, "The file is larger than 200 MB.")
        return _json(self._keep(name, purpose, content).shown())

    def _keep(self, name: str, purpose: str, content: bytes) -> StoredFile:
        number = self._batches.number()
        made = StoredFile(f"file-sim{number:08d}", name, purpose, int(self._batches.now()), content)
        self._files[made.id] = made
        return made

    def _created(self, request: HttpRequest) -> Exchange:
        data = reading.json_object(request.body, invalid)
        kept = self._files.get(str(data.get("input_file_id")))
        if kept is None or kept.purpose != "batch":
            raise invalid(
                f"Invalid 'input_file_id': no such file of purpose 'batch': {data.get('input_file_id')}"
            )
        if data.get("endpoint") != _ENDPOINT:
            raise invalid(f"Invalid value: '{data.get('endpoint')}'. Supported values are: '{_ENDPOINT}'.")
        if data.get("completion_window") != "24h":
            raise invalid("Invalid value for 'completion_window'. Supported values are: '24h'.")
        facts = {"input_file_id": kept.id, "metadata": _metadata(data.get("metadata"))}
        items, errors = _items(kept.content)
        identity = f"batch_sim{self._batches.number():08d}"
        batch = self._batches.make(identity, self.provider, items, facts | {"errors": errors})
        if errors:
            batch.is_invalid, batch.ended = True, batch.created
        return _json(self._shown(batch))

    def _listed(self, request: HttpRequest) -> Exchange:
        return _page([self._shown(batch) for batch in self._batches.of(self.provider)], request, 100)

    def _shown(self, batch: SimBatch) -> dict[str, Any]:
        """Its object; once it is done, with the files of its results."""
        ended = None if batch.ended is None else int(batch.ended)
        status, counts = _status(batch), batch.counts
        is_done = ended is not None and status != "failed"
        at = {
            name: ended if status == name else None
            for name in ("completed", "failed", "expired", "cancelled")
        }
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": _ENDPOINT,
            "model": batch.items[0].body.get("model") if batch.items else None,
            "errors": {"object": "list", "data": _errors(batch)} if status == "failed" else None,
            "input_file_id": batch.facts["input_file_id"],
            "completion_window": "24h",
            "status": status,
            "output_file_id": self._result_file(batch, "output", _has_answer) if is_done else None,
            "error_file_id": self._result_file(batch, "error", lambda item: not _has_answer(item))
            if is_done
            else None,
            "created_at": int(batch.created),
            "in_progress_at": int(batch.created),
            "expires_at": int(batch.created + WINDOW_S),
            "finalizing_at": ended if is_done else None,
            "cancelling_at": None if batch.cancelled is None else int(batch.cancelled),
            **{f"{name}_at": moment for name, moment in at.items()},
            "request_counts": {
                "total": len(batch.items) if status != "failed" else 0,
                "completed": counts["succeeded"],
                "failed": counts["errored"] + counts["expired"] if is_done else counts["errored"],
            },
            "metadata": batch.facts["metadata"],
        }

    def _result_file(self, batch: SimBatch, kind: str, wanted: Callable[[ServedItem], bool]) -> str | None:
        """The id of a file with the results wanted; made once, None without any."""
        name = f"{batch.id}_{kind}.jsonl"
        found = next((one.id for one in self._files.values() if one.name == name), None)
        if found is not None:
            return found
        lines = [_line(batch, item) for item in in_own_order(batch) if wanted(item)]
        return self._keep(name, "batch_output", b"".join(lines)).id if lines else None


def _form(request: HttpRequest) -> dict[str, tuple[str, bytes]]:
    """A `multipart/form-data` body: file name and content by field name. Raises `ErrorAnswer`."""
    found = re.search(r'boundary="?([^";]+)"?', request.headers.get("content-type", ""))
    if found is None:
        raise invalid("Could not parse multipart form")
    parts = {}
    for part in (b"\r\n" + request.body).split(b"\r\n--" + found[1].encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        words = dict(re.findall(r'(\w+)="([^"]*)"', head.decode("utf-8", "replace")))
        parts[words.get("name", "")] = (words.get("filename", ""), content)
    return parts


def _metadata(given: Any) -> Mapping[str, str] | None:
    """Up to 16 texts by name. Raises `ErrorAnswer`."""
    if given is None:
        return None
    if not isinstance(given, Mapping) or len(given) > 16:
        raise invalid("Invalid 'metadata': expected an object with at most 16 properties.")
    for name, value in given.items():
        if not isinstance(value, str) or len(value) > 512 or len(name) > 64:
            raise invalid(f"Invalid 'metadata.{name}': expected a string of at most 512 characters.")
    return given


def _items(content: bytes) -> tuple[list[ServedItem], list[dict[str, Any]]]:
    """The items of an input file, and what is wrong with its lines."""
    items: list[ServedItem] = []
    errors: list[dict[str, Any]] = []
    known: set[str] = set()
    models: set[Any] = set()

    def wrong(number: int, code: str, message: str) -> None:
        errors.append({"code": code, "line": number, "message": message, "param": None})

    for number, line in enumerate(content.splitlines(), 1):
        try:
            data = json.loads(line)
            name, body = data["custom_id"], data["body"]
            is_ours = data["url"] == _ENDPOINT and data["method"] == "POST"
        except (ValueError, KeyError, TypeError):
            wrong(number, "invalid_json_line", "This line is not parseable as valid JSON.")
            continue
        if not isinstance(name, str) or not isinstance(body, Mapping):
            wrong(number, "invalid_request", "The line needs a text as custom_id and an object as body.")
        elif not is_ours:
            wrong(number, "invalid_url", f"The URL provided for this request does not match {_ENDPOINT!r}.")
        elif name in known:
            wrong(number, "duplicate_custom_id", "The custom_id for this request is a duplicate.")
        else:
            known.add(name)
            models.add(str(body.get("model")))
            items.append(ServedItem(name, body))
    if len(models) > 1:
        wrong(1, "mismatched_model", "All requests of a batch must be for the same model.")
    if not items and not errors:
        wrong(1, "empty_file", "The input file must not be empty.")
    if len(items) > _MOST_ITEMS:
        wrong(1, "too_many_tasks", f"A batch has at most {_MOST_ITEMS} requests.")
    return items, errors


def _status(batch: SimBatch) -> str:
    if batch.is_invalid:
        return "failed"
    if batch.ended is None:
        return "cancelling" if batch.cancelled is not None else "in_progress"
    counts = batch.counts
    return "expired" if counts["expired"] else "cancelled" if batch.cancelled is not None else "completed"


def _errors(batch: SimBatch) -> Sequence[Mapping[str, Any]]:
    planned = {
        "code": "invalid_request",
        "line": 1,
        "message": "The batch failed (simulated).",
        "param": None,
    }
    return batch.facts["errors"] or [planned]


def _has_answer(item: ServedItem) -> bool:
    return item.outcome == "succeeded"


def _line(batch: SimBatch, item: ServedItem) -> bytes:
    response, error = None, None
    if item.status:
        identity = f"req_{batch.id}_{item.custom_id}"
        response = {"status_code": item.status, "request_id": identity, "body": json.loads(item.answer)}
    elif item.outcome == "expired":
        message = "This request could not be executed before the completion window expired."
        error = {"code": "batch_expired", "message": message}
    else:
        error = {
            "code": "batch_cancelled",
            "message": "This request was not executed before the batch was cancelled.",
        }
    name = f"batch_req_{item.custom_id}"
    return dump({"id": name, "custom_id": item.custom_id, "response": response, "error": error}) + b"\n"


def _page(found: Sequence[Mapping[str, Any]], request: HttpRequest, most: int) -> Exchange:
    """A page of a list, from behind `after` on. Raises `ErrorAnswer`."""
    after, given = request.query.get("after"), request.query.get("limit", str(min(20, most)))
    if not given.isdigit() or not 1 <= int(given) <= most:
        raise invalid(f"Invalid 'limit': expected an integer from 1 to {most}.")
    ids = [one["id"] for one in found]
    if after is not None and after not in ids:
        raise invalid(f"Invalid 'after': {after!r} is not there.")
    rest = found[ids.index(after) + 1 :] if after is not None else found
    page = rest[: int(given)]
    return _json(
        {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": len(rest) > len(page),
        }
    )


def _json(value: Mapping[str, Any]) -> Exchange:
    return Exchange(200, JSON, (dump(value),))

"""Traces and logs in OTLP's binary form, as the objects that its JSON form has: one request, or many.

The collector's file exporter writes `format: proto` with the length of each message before it, big-endian in
four bytes; other writers put it as a varint. With `compression: zstd` each message is compressed by itself.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from router_lab.ledger.exchange.imports.compression import DecompressionLimit, decompressed

_TRACE_ID_BYTES = 16


def binary_exports(data: bytes, limit: DecompressionLimit) -> Iterator[Any] | None:
    """The exports in `data`, then a `ValueError` for a damaged rest; None where there are none.

    Raises `ModuleNotFoundError` where `opentelemetry-proto` is not installed.
    """
    for frames in (_whole, _after_four_bytes, _after_varints):
        first = next(frames(data), None)
        if first is not None and _export(first, limit) is not None:
            return _exports(frames, data, limit)
    return None


def _exports(
    frames: Callable[[bytes], Iterator[bytes | None]], data: bytes, limit: DecompressionLimit
) -> Iterator[Any]:
    for frame in frames(data):
        export = None if frame is None else _export(frame, limit)
        yield ValueError("a message that is cut, or no export of traces") if export is None else export


def _export(frame: bytes, limit: DecompressionLimit) -> Any:
    """One message as JSON has it; None where it is neither of traces nor of logs."""
    try:
        plain = decompressed(frame, limit)
        return json.loads(plain) if plain[:1] == b"{" else _traces(plain) or _logs(plain)
    except (OSError, EOFError, ValueError, RecursionError, zlib.error):
        return None


def _traces(message: bytes) -> Any:
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    return _message(
        message,
        TracesData,
        lambda data: (
            one for each in data.resource_spans for scope in each.scope_spans for one in scope.spans
        ),
    )


def _logs(message: bytes) -> Any:
    """Only those that belong to a span say whose call they tell of."""
    from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

    return _message(
        message,
        LogsData,
        lambda data: (
            one for each in data.resource_logs for scope in each.scope_logs for one in scope.log_records
        ),
    )


def _message(message: bytes, kind: Any, traced: Callable[[Any], Iterator[Any]]) -> Any:
    """A message of one kind as JSON data; None for bytes that are no such export."""
    from google.protobuf.json_format import MessageToDict
    from google.protobuf.message import DecodeError

    try:
        data = kind.FromString(message)
    except DecodeError:
        return None
    # Almost any bytes are a message of some kind.
    is_export = any(len(one.trace_id) == _TRACE_ID_BYTES for one in traced(data))
    return MessageToDict(data) if is_export else None


def _whole(data: bytes) -> Iterator[bytes | None]:
    yield data


def _after_four_bytes(data: bytes) -> Iterator[bytes | None]:
    at = 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4])
        yield data[at + 4 : end] if end <= len(data) else None
        at = end


def _after_varints(data: bytes) -> Iterator[bytes | None]:
    at = 0
    while at < len(data):
        size, shift = 0, 0
        while at < len(data) and shift < 35:
            byte = data[at]
            size, shift, at = size | (byte & 0x7F) << shift, shift + 7, at + 1
            if byte < 0x80:
                break
        yield data[at : at + size] if at + size <= len(data) else None
        at += max(size, 1)

"""Whole answers of a 2xx status: JSON, or the events of a stream that nobody asked for, or no answer."""

from __future__ import annotations

from typing import Any

from router_lab.errors import ContextOverflowError, ProviderError, ResponseParseError
from router_lab.records import Reply, Usage
from router_lab.router.providers import wire
from router_lab.router.providers.events import as_events, decode_body
from router_lab.router.providers.failures import is_page, no_answer, not_json
from router_lab.router.providers.streams import Decoder


def decode_answer(name: str, decoder: Decoder, body: bytes, status: int) -> dict[str, Any] | Reply:
    """The object of a 2xx body, or the reply where the body is a stream.

    Raises `ProviderError` where the body is no answer of any kind, `ResponseParseError` where it is a
    damaged one.
    """
    try:
        data = decode_body(body)
    except ValueError as error:
        decoder.status = status
        if (events := as_events(body)) is not None and (reply := reply_of_events(decoder, events)):
            return reply
        text = body[:2000].decode("utf-8", "replace")
        if is_page(text) or not wire.salvage(body):  # a page has objects in its scripts
            raise not_json(name, body, status) from error
        raise ResponseParseError(f"{name}: the answer's body is not JSON: {error}", text=text) from error
    if isinstance(data, list) and len(data) == 1 and isinstance(data[0], dict):
        data = data[0]
    if isinstance(data, list) and (events := as_events(body)) is not None:
        decoder.status = status
        if reply := reply_of_events(decoder, events):
            return reply
    if not isinstance(data, dict):
        raise no_answer(name, data, "an object", status)
    return data


def usage_of_events(decoder: Decoder, body: bytes) -> Usage | None:
    """The usage in a whole body of events or lines; None where it is one whole answer, or none."""
    try:
        for _ in decoder.feed(body):
            pass
        if decoder.is_whole:
            return None
        decoder.close()
    except (ProviderError, ContextOverflowError, ResponseParseError):
        pass
    return decoder.usage


def reply_of_events(decoder: Decoder, body: bytes) -> Reply | None:
    """The reply where a whole body is a stream that nobody asked for. Raises what the decoder does."""
    for _ in decoder.feed(body):
        pass
    return None if decoder.is_whole else decoder.close()

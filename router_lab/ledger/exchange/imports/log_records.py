"""Log records of OTLP that hold what a model was asked and said: the GenAI conventions write it as events.

They name the span that they belong to and are read as events of that span. Other log records are none of a
model's and pass without a word; one of a model's whose span the file has not is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from router_lab.ledger.exchange.imports.foreign_call import first
from router_lab.ledger.exchange.imports.messages import as_json

# Under this key a span has them; no exporter writes it.
EVENTS = "router_lab.log_records"

_PREFIX = "gen_ai."
_NAMES = ("eventName", "event_name")
_TIMES = ("timeUnixNano", "time_unix_nano", "observedTimeUnixNano", "observed_time_unix_nano", "timestamp")

# A row of a file with its place; a `ValueError` stands for what cannot be read there.
Row = tuple[str, Any]


def is_log_record(document: Mapping[str, Any]) -> bool:
    """Whether an object is a log record and no span, which has a beginning."""
    has_start = any(name in document for name in ("startTimeUnixNano", "start_time_unix_nano", "start_time"))
    marks = (*_NAMES, "severityNumber", "severity_number", "severityText", "observedTimeUnixNano", "body")
    return not has_start and any(name in document for name in marks)


def with_log_records(
    rows: Sequence[Row],
    *,
    key: Callable[[Mapping[str, Any]], str],
    pairs: Callable[[Any], dict[str, Any]],
    plain: Callable[[Any], Any],
) -> Iterator[Row]:
    """The rows without the log records among them, which their spans have as `EVENTS`, by their times.

    `key` names the span that a row is of, if any; `pairs` and `plain` decode attributes and a value.
    """
    records = [(place, row) for place, row in rows if isinstance(row, dict) and is_log_record(row)]
    if not records:
        yield from rows
        return
    spans = {key(row) for _, row in rows if isinstance(row, dict) and not is_log_record(row)}
    events: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for place, record in sorted(records, key=lambda each: _time(each[1])):
        try:
            event = _event(record, pairs, plain)
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            yield place, ValueError(f"a log record that cannot be read ({error!r})")
            continue
        if event is None:
            continue
        if key(record) and key(record) in spans:
            events.setdefault(key(record), []).append(event)
        else:
            yield (
                place,
                ValueError(
                    f"{event[0]}: what a model was asked or said, of a span that this file has not; put the "
                    "traces and the logs of one exporter into one file"
                ),
            )
    for place, row in rows:
        if isinstance(row, dict) and is_log_record(row):
            continue
        known = events.get(key(row)) if isinstance(row, dict) else None
        yield place, {**row, EVENTS: known} if known else row


def _event(
    record: Mapping[str, Any], pairs: Callable[[Any], dict[str, Any]], plain: Callable[[Any], Any]
) -> tuple[str, dict[str, Any]] | None:
    """Its name, and its attributes with its body among them; None where it is none of a model's."""
    attributes = pairs(record.get("attributes") or {})
    name = str(first(record, *_NAMES) or attributes.get("event.name") or "")
    if not name.startswith(_PREFIX):
        return None
    body = as_json(plain(record.get("body")))
    said = body if isinstance(body, Mapping) else {} if body is None else {"content": body}
    return name, {**{key: as_json(value) for key, value in attributes.items()}, **said}


def _time(record: Mapping[str, Any]) -> float:
    try:
        return float(first(record, *_TIMES) or 0)
    except (TypeError, ValueError):
        return 0.0

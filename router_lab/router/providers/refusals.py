"""Which field of a request a server says that it does not take, in any server's words.

A refusal counts only where it names the field and says that the field, or what stands in it, is not
known here. That a number is too large, a schema is not valid or an answer was no JSON says nothing of
what the server takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_STATUSES = frozenset({400, 422})
_MAX_CHARS = 2000
_MAX_COMPLAINTS = 50

_NOT_TAKEN = re.compile(
    r"unsupported|\b(?:not|n't|no longer|never)(?: currently| yet| be| been| directly)? "
    r"(?:supported|support|permitted|allowed|enabled|available|implemented|accepted|recogni[sz]ed|expected)"
    r"|\bdoes(?: not|n't) (?:currently |yet )?(?:support|accept|allow|take|recogni[sz]e|have)"
    r"|\bdo(?: not|n't) (?:currently )?(?:support|accept|allow)"
    r"|\bun(?:recogni[sz]ed|known|expected|available)\b|extra[ _](?:inputs?|fields?|keys?|forbidden)"
    r"|additional propert|deprecated|no such (?:field|parameter|argument)"
    r"|\binvalid (?:parameter|argument|field|property|role|type)\b|(?:is|are) invalid\b|has invalid value"
    r"|(?:not|n't) (?:an? )?(?:valid|known|legal) (?:parameter|field|argument|property|role|value|key|type)"
    r"|must be (?:one of|either|[\"'`])|expected (?:one of|[\"'`])|is not one of|not in \[|cannot unmarshal"
    r"|can(?:not|'t) be used with this model|\bonly\b[^.]{0,80}\b(?:supported|allowed|accepted)\b"
    r"|(?:are|is) not valid\b|invalid (?:enum )?value|input should be ['\"`]|roles must alternate"
    r"|invalid ['\"`]json_schema['\"`]|不支持|不可用",
    re.IGNORECASE,
)
# What follows advises what to write instead, and names fields that were not sent.
_ADVICE = re.compile(
    r"[.;,!]?\s+(?:(?:please|you (?:can|should|must)|consider|try)\s+)?(?:use|using|switch to|replace|see)\b"
    r"|did you mean",
    re.I,
)
_A_MATTER_OF_SIZE = re.compile(
    r"too (?:large|big|high|small|low|long|many)|at (?:most|least)\b|exceed|maximum|minimum|out of range"
    r"|\b(?:larger|greater|less|more|fewer|smaller|higher|lower) than|between \d|positive integer"
    r"|[<>]=?\s*\d|\blimit\b"
    r"|must be (?:a |an )?(?:positive|integer|number|less|greater|between)|valid integer|should be a valid",
    re.IGNORECASE,
)
_A_MATTER_OF_CONTENT = re.compile(
    r"invalid[ _](?:json[ _])?schema|in context=|word ['\"`]?json|json_validate_failed"
    r"|failed to (?:generate|parse|compile|convert)|cannot be combined|incompatible with"
    r"|did(?: not|n't) match|is required to be|recursive|too complex|\$ref"
    r"|additionalProperties|schema (?:is|was) (?:not valid|invalid)|keyword",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Complaint:
    """What one part of an error names, and what it says of it."""

    named: str
    text: str


_LIMIT = re.compile(r"(?<![\w])max_(?:completion_)?tokens(?!\w)|\bmax tokens\b|num_predict", re.I)
_STREAM_OPTIONS = re.compile(r"stream[ _]options|include_usage", re.I)
_SCHEMA = re.compile(
    r"response[ _]?format|json[ _]?schema|json[ _]object|json[ _]mode|structured[ _]outputs?"
    r"|output_config(?!\.effort)|output_format|chatrequest\.format|guided_json",
    re.I,
)
_ROLE = re.compile(
    r"(?=.*\brole)(?=.*(?:\b(?:system|developer)\b|discriminator))(?!.*(?:messages?\W{0,3}[1-9]))"
    r"|\b(?:system|developer)[ _](?:role|instructions?|messages?|prompts?)\b"
    r"|\b(?:system|developer)['\"`]? is not one of|\bonly\b.{0,60}\broles? (?:are|is) (?:supported|allowed)"
    r"|roles must alternate|^messages?\W{0,3}0\W{0,3}role",
    re.I | re.S,
)
_PARAMETERS = {
    "thinking": re.compile(r"(?<![\w])thinking(?!_)|adaptive", re.I),
    "temperature": re.compile(r"(?<!\w)temperature(?!\w)", re.I),
    "top_p": re.compile(r"(?<!\w)top_p(?!\w)", re.I),
    "seed": re.compile(r"(?<!\w)(?:random_)?seed(?!\w)", re.I),
    "stop": re.compile(r"(?<!\w)['\"`]?stop(?:_sequences)?['\"`]?(?= (?:is|are|param)|['\"`]|$)", re.I),
    "reasoning_effort": re.compile(r"reasoning[_.]effort|(?<!\w)effort(?!\w)", re.I),
}


def refused_fields(status: int, payload: Any, message: str, param: str | None) -> frozenset[str]:
    """What a refusal of this status names as not taken: fields of `presets.Dialect`, and parameters.

    `status` is the answer's, or the one that an error inside of it names.
    """
    if status not in (*_STATUSES, 500):
        return frozenset()
    found: set[str] = set()
    for complaint in _complaints(payload, message, param):
        found |= _named_in(complaint)
    # Some servers fall over their template instead of refusing what it has no place for.
    return frozenset(found & {"system_role"} if status == 500 else found)


def _named_in(complaint: Complaint) -> set[str]:
    text = complaint.text[:_MAX_CHARS]
    if not _NOT_TAKEN.search(text):
        return set()
    advice = _ADVICE.search(text)
    said = text[: advice.start()] if advice and advice.start() else text
    about = complaint.named or said
    found: set[str] = set()
    if _LIMIT.search(about) and not _A_MATTER_OF_SIZE.search(said):
        found.add("max_tokens_field")
    if _STREAM_OPTIONS.search(about):
        found.add("stream_options")
    if _SCHEMA.search(about) and not _A_MATTER_OF_CONTENT.search(text):
        found.add("response_format")
    if _ROLE.search(f"{complaint.named} {said}"):
        found.add("system_role")
    found.update(name for name, pattern in _PARAMETERS.items() if pattern.search(about))
    return found


def _complaints(payload: Any, message: str, param: str | None) -> Iterator[Complaint]:
    """Validators list what is wrong place by place; others say one thing, with or without its place."""
    listed = list(_listed(payload, 0))
    yield from listed[:_MAX_COMPLAINTS]
    if not listed:
        yield Complaint(param or "", message)


def _listed(value: Any, depth: int) -> Iterator[Complaint]:
    if depth > 6:
        return
    if isinstance(value, list):
        for item in value[:_MAX_COMPLAINTS]:
            yield from _listed(item, depth + 1)
    elif isinstance(value, Mapping):
        place, text = value.get("loc"), value.get("msg")
        if isinstance(place, list) and isinstance(text, str):
            named = ".".join(str(part) for part in place if part != "body")
            yield Complaint(named, f"{value.get('type')}: {text}")
            return
        for name, item in value.items():
            if name != "input":
                yield from _listed(item, depth + 1)

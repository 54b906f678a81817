"""What the three wire formats share: JSON in and out, token counts, keys and addresses, requests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json, to_json

from router_lab.errors import (
    ConfigError,
    ResponseParseError,
    UnsupportedError,
)
from router_lab.parameters import NOTHING_ASKED, Parameters
from router_lab.presets import Dialect
from router_lab.records import Message, Reply, Tool, Usage


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call, provider-neutral. `api_key` is kept out of every repr.

    `query` follows the address after a `?`. `parameters.extra_headers` have their variables filled in.
    `dialect` is the server's. `num_ctx`, `keep_alive` and `refuse_truncation` are Ollama's; the other
    providers ignore them.
    """

    base_url: str
    model: str
    messages: tuple[Message, ...]
    max_tokens: int
    system: str | None = None
    tools: tuple[Tool, ...] = ()
    schema: Mapping[str, Any] | None = None
    parameters: Parameters = NOTHING_ASKED
    dialect: Dialect = field(default_factory=Dialect)
    query: str = ""
    stream: bool = False
    api_key: str | None = field(default=None, repr=False)
    num_ctx: int | None = None
    keep_alive: str | None = None
    refuse_truncation: bool = True


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A POST ready to be sent."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    # What else the answer must not quote: the keys of other servers.
    secrets: tuple[str, ...] = field(repr=False, default=())


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a streamed answer: new `text`, or the newest `usage`, or the `reply` that ends it."""

    text: str = ""
    usage: Usage | None = None
    reply: Reply | None = None


# More tokens than any model reads; a larger count is a server's nonsense, not a bill.
MAX_TOKENS = 10**10

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def encode(body: Mapping[str, Any]) -> bytes:
    """JSON as UTF-8. Raises `ConfigError` for what JSON or UTF-8 cannot say."""
    try:
        return to_json(body)
    except ValueError as error:
        raise ConfigError(f"the request cannot be written as UTF-8 JSON: {str(error)[:200]}") from error


def decode(body: bytes, *, keep_halves: bool = False) -> Any:
    """Any JSON, with lone surrogates replaced by U+FFFD unless `keep_halves`. Raises ValueError.

    Streams keep the halves of surrogate pairs until the next piece of text brings the other half.
    """
    body = body.removeprefix(BYTE_ORDER_MARK)
    try:
        return from_json(body, allow_inf_nan=True)
    except ValueError:
        if (text := _as_utf8(body)) != body:
            return decode(text, keep_halves=keep_halves)
        # The strict reader refuses escapes of half a surrogate pair, which servers do send when a
        # model's token ends inside a character.
        if b"\\u" not in body:
            raise
    try:
        decoded = json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return decoded if keep_halves else scrub_all(decoded)


def _as_utf8(body: bytes) -> bytes:
    """From UTF-16, where a byte-order mark says so; what is no UTF-8 becomes U+FFFD."""
    coding = "utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    return body.decode(coding, "replace").encode()


def scrub(text: str) -> str:
    """`text` with surrogate pairs joined and lone surrogates, which UTF-8 cannot carry, as U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def excerpt(text: str, limit: int = 300) -> str:
    """One printable line of at most `limit` characters, with anything that looks like a key taken out."""
    line = "".join(character if character.isprintable() else " " for character in text[: 4 * limit])
    line = _KEYS.sub("[redacted]", " ".join(line.split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def count(value: Any) -> int | None:
    """A token count, or None for anything that cannot be one."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else None


def index_of(value: Any) -> int | None:
    """A place in a list, also one that is written as a text; None where there is none."""
    return count(int(value)) if isinstance(value, str) and _INDEX.fullmatch(value) else count(value)


def text_of(value: Any) -> str:
    """`value` if it is text, else nothing."""
    return value if isinstance(value, str) else ""


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects in what should be a list of objects."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def member(value: Any, key: str) -> dict[str, Any]:
    """The object under `key`, or an empty one."""
    inner = value.get(key) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


def arguments(raw: Any, tool: str, text: str, *, was_cut: bool = False) -> dict[str, Any]:
    """A tool call's arguments, sent as an object or as JSON text. Raises `ResponseParseError`.

    `was_cut` says that the answer ended at a limit on tokens, as the error then does.
    """
    if isinstance(raw, dict):
        return raw
    decoded = raw
    # Some servers encode twice; a tool without parameters may be called with nothing or `null`.
    for _ in range(2):
        if decoded is None or (isinstance(decoded, str) and not decoded.strip()):
            return {}
        try:
            decoded = decode(scrub(decoded).encode()) if isinstance(decoded, str) else decoded
        except ValueError:
            break
    if decoded is None or decoded == []:
        return {}
    if not isinstance(decoded, dict):
        raise ResponseParseError(
            f"the arguments of tool {excerpt(tool, 80)!r} are not a JSON object: {excerpt(str(raw))}"
            + ("; the answer was cut at max_tokens: raise it in the call or its route" if was_cut else ""),
            text=text,
            token_limited=was_cut,
        )
    return decoded


def salvage(body: bytes) -> dict[str, Any]:
    """The members of the object in a body that is cut, garbled or surrounded by garbage.

    A model can write a bill of its own into a tool's arguments, so a cut body gives only what is
    surely the object's own. A garbled one gives the members before the fault, and those at its end.
    """
    text = body.decode("utf-8", "replace")
    if text.startswith("\ufeff"):
        text = text[1:]
    # A number at the very end may be the beginning of a longer one.
    beginning = text[max(text.find("{"), 0) :].rstrip("0123456789+-.eE")
    found: Any = None
    try:
        found = from_json(beginning, allow_partial=True)
        from_json(beginning)
    except ValueError as error:
        if not str(error).startswith("EOF"):
            return _ending(text) | (found if isinstance(found, dict) else {})
    return found if isinstance(found, dict) else {}


def _ending(text: str) -> dict[str, Any]:
    found = _LAST_MEMBERS.search(text[-_ENDING_CHARS:])
    try:
        return dict(json.loads("{" + found[1] + "}")) if found else {}
    except ValueError:
        return {}


def address(base_url: str, path: str) -> str:
    """`base_url` joined with `path`; a version that both name is written once."""
    base = base_url.rstrip("/")
    if path.startswith("/v1/") and base.endswith("/v1"):
        return base + path.removeprefix("/v1")
    return base + path


def checked_key(api_key: str, variable: str | None = None) -> str:
    """The key, if a header can carry it. Raises `ConfigError` that names its variable and not the key."""
    if not api_key.isascii() or not api_key.isprintable() or " " in api_key or not api_key:
        raise ConfigError(
            f"the API key{f' in {variable}' if variable else ''} is empty or holds a space, a line break or "
            f"a non-ASCII character; set {variable or 'its environment variable'} to the key alone"
        )
    return api_key


def checked_header(name: str, value: str) -> str:
    """A header's value, if HTTP can carry it. Raises `ConfigError` naming the header, not the value."""
    if not value.isascii() or not value.isprintable() or not value.strip():
        raise ConfigError(f"extra_headers.{name}: is empty or holds a line break or a non-ASCII character")
    return value


def scrub_all(value: Any) -> Any:
    """`scrub` of every text in decoded JSON."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, list):
        return [scrub_all(item) for item in value]
    if isinstance(value, dict):
        return {scrub(key): scrub_all(item) for key, item in value.items()}
    return value


_INDEX = re.compile(r"\s*[0-9]{1,6}\s*")
_ENDING_CHARS = 2000

# Members whose values are numbers, plain texts or objects of numbers two deep, then the end.
_FLAT = r'\{[^{}"]*+(?:"[\w.]*+"[^{}"]*+|\{[^{}]*+\}[^{}"]*+)*+\}'
_LAST_MEMBERS = re.compile(
    r'((?:"[\w.]++"\s*+:\s*+(?:' + _FLAT + r'|"[^"\\]*+"|[\w.+-]++)\s*+,?\s*+)++)\}\s*+$'
)

_KEYS = re.compile(r"\b(?:sk|rk|pk|gsk|xai|hf|AIza)[-_][\w-]{8,}|(?i:bearer)\s+[\w.~+/=-]{8,}|AIza[\w-]{16,}")


def posted(call: ModelCall, path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> WireRequest:
    """The request, with the key and what the call wants beside. Raises `UnsupportedError`, `ConfigError`."""
    sent = {"content-type": "application/json", **headers}
    if call.api_key is not None:
        key, name = checked_key(call.api_key), call.dialect.key_header
        sent[name] = f"Bearer {key}" if name == "authorization" else key
    sent.update(call.parameters.extra_headers)
    url = address(call.base_url, path) + (f"?{call.query}" if call.query else "")
    return WireRequest(url, sent, encode(extended(body, call.parameters.extra_body)))


def extended(
    body: Mapping[str, Any], extra: Mapping[str, Any], where: str = "extra_body"
) -> Mapping[str, Any]:
    """`body` with `extra` in it; objects are merged. Raises `UnsupportedError` for what is there already."""
    if not extra:
        return body
    merged = dict(body)
    for name, value in extra.items():
        known = merged.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            merged[name] = extended(known, value, f"{where}.{name}")
        elif name in merged:
            raise UnsupportedError(f"{where}.{name}: the request says that already; take it out")
        else:
            merged[name] = value
    return merged


def schema_in_words(schema: Mapping[str, Any]) -> str:
    """A schema as a system prompt says it, for servers that take none, or take any JSON for one."""
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    return f"Answer with one JSON value that satisfies this JSON schema, and with nothing else:\n{text}"


def sampling(asked: Parameters, *, stop: str = "stop") -> dict[str, Any]:
    """What is asked of how to draw the answer, but for the seed; `stop` is what the server calls that."""
    given = {"temperature": asked.temperature, "top_p": asked.top_p, stop: list(asked.stop) or None}
    return {name: value for name, value in given.items() if value is not None}


def not_taken(key: str, who: str, remedy: str) -> UnsupportedError:
    """The refusal to send what the server could not take."""
    return UnsupportedError(f"{key}: {who} takes none; {remedy}")

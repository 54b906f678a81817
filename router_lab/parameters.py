"""What may be asked of a model beside the prompt: sampling, thinking, and what only one server knows.

The same keys stand under a model, under a route and in a call; the most specific wins, key by key, and
within `extra_body` and `extra_headers` name by name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from router_lab.arguments import is_finite, shown

# What the ledger rests on, or what has a key of its own: an `extra_body` may not say it past either.
PROTECTED: Mapping[str, str] = {
    **dict.fromkeys(("model", "models", "route", "fallbacks"), "the ledger prices the model of the YAML"),
    **dict.fromkeys(("messages", "prompt", "input", "system", "tools", "functions"), "the call says it"),
    **dict.fromkeys(("stream", "stream_options"), "the answer is read as the call asks for it"),
    **dict.fromkeys(
        ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens"),
        "budgets hold the cost of max_tokens; write that in the call or its route",
    ),
    **dict.fromkeys(("n", "best_of", "candidate_count"), "several answers cost several times what is held"),
    **dict.fromkeys(("n_predict", "num_predict"), "budgets hold the cost of max_tokens; write that instead"),
    **dict.fromkeys(
        ("num_ctx", "truncate", "truncate_prompt_tokens", "shift", "transforms", "context_management"),
        "a prompt that is cut must be noticed; write num_ctx under an Ollama model",
    ),
    **dict.fromkeys(("keep_alive",), "write ollama.keep_alive"),
    **dict.fromkeys(("response_format", "format", "output_format"), "give the call a schema"),
    **dict.fromkeys(
        ("web_search_options", "search_parameters", "plugins", "mcp_servers", "modalities", "audio"),
        "what it costs beside tokens is not in the ledger",
    ),
    "temperature": "write temperature itself",
    "top_p": "write top_p itself",
    **dict.fromkeys(("seed", "random_seed"), "write seed itself"),
    **dict.fromkeys(("stop", "stop_sequences"), "write stop itself"),
    **dict.fromkeys(("reasoning_effort", "effort"), "write reasoning_effort itself"),
    "think": "write think itself",
}  # fmt: skip

# Objects in which the protected names mean the same as at the top.
_NESTED = ("options", "generation_config", "generationConfig", "parameters", "extra_body", "google")

# What an `extra_body` says of whose call it is and how it is kept: the answer is the same.
_BOOKKEEPING = frozenset(
    {"cache_control", "metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"}
    | {"service_tier", "session_id", "store", "trace", "user"}
)

# Headers that belong to the connection, not to the request.
_RESERVED_HEADERS = frozenset(
    {"accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host"}
    | {
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
    | {"x-client-request-id"}
)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_SECRET_HEADER = re.compile(r"auth|key|token|secret|passw|credential|cookie|signature|session", re.IGNORECASE)
_SECRET_NAME = re.compile(
    r"api[-_]?key|secret|passw|credential|authorization|bearer|(?:access|auth|id|refresh)[-_]?token",
    re.IGNORECASE,
)
_EFFORT = re.compile(r"[a-z][a-z_-]{0,19}")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]{0,127})\}")

_LONGEST_STOP, _MOST_STOPS = 1_000, 64
_MOST_EXTRA_BYTES = 100_000
_DEEPEST_EXTRA = 64


class HiddenHeaders:
    """The headers that a call was given, out of sight of whoever shows the variables of a frame.

    An error's frames outlive the call: crash reporters send them, notebooks print them.
    """

    __slots__ = ("headers",)

    def __init__(self, headers: Any) -> None:
        self.headers: Any = headers.headers if isinstance(headers, HiddenHeaders) else headers

    def __repr__(self) -> str:
        return "<headers, withheld>"


def withhold(arguments: dict[str, Any]) -> None:
    """Put the headers among a call's `arguments` out of sight."""
    if arguments.get("extra_headers") is not None:
        arguments["extra_headers"] = HiddenHeaders(arguments["extra_headers"])


@dataclass(frozen=True, slots=True)
class Parameters:
    """What is asked beside the prompt; None, or nothing in it, where nothing is.

    `think` is whether to think, or a budget of tokens for it. `extra_body` is JSON put into the request
    as it is. `extra_headers` go by lower-case names; no value is ever shown or stored.
    """

    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    reasoning_effort: str | None = None
    think: bool | int | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    extra_headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, **given: Any) -> Parameters:
        """Check what somebody gave; None is nothing. Raises `ValueError` that begins with the key's name."""
        checked: dict[str, Any] = {}
        for name in sorted(given, key=_PLACES.__getitem__):  # headers last: no later check's frame has them
            if given[name] is not None:
                checked[name] = CHECKS[name](given[name])
        return cls(**checked)

    def over(self, general: Parameters) -> Parameters:
        """These, and where they say nothing, those of `general`."""
        if self == NOTHING_ASKED:
            return general
        if general == NOTHING_ASKED:
            return self
        said: dict[str, Any] = {
            name: getattr(self, name) for name in _PLAIN if getattr(self, name) not in (None, ())
        }
        return replace(
            general,
            **said,
            extra_body={**general.extra_body, **self.extra_body},
            extra_headers={**general.extra_headers, **self.extra_headers},
        )

    def without_extras(self) -> Parameters:
        """These without what is meant for one server alone."""
        return (
            replace(self, extra_body={}, extra_headers={}) if self.extra_body or self.extra_headers else self
        )

    def asked(self) -> dict[str, Any]:
        """What may change the answer, as plain JSON in a fixed order."""
        return _without_bookkeeping(self._given())

    def _given(self) -> dict[str, Any]:
        if self == NOTHING_ASKED:
            return {}
        known = {name: value for name, value in self._plain().items() if value not in (None, ())}
        if self.stop:
            known["stop"] = list(self.stop)
        if self.extra_body:
            known["extra_body"] = dict(sorted(self.extra_body.items()))
        return dict(sorted(known.items()))

    def row(self) -> dict[str, Any]:
        """What a row keeps: all that was asked, and of headers the names alone."""
        headers = {"extra_headers": sorted(self.extra_headers)} if self.extra_headers else {}
        return dict(sorted({**self._given(), **headers}.items()))

    def _plain(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _PLAIN}


def _without_bookkeeping(given: Mapping[str, Any]) -> dict[str, Any]:
    extra = given.get("extra_body")
    if not isinstance(extra, Mapping):
        return dict(given)
    kept = {name: value for name, value in extra.items() if name not in _BOOKKEEPING}
    rest = {name: value for name, value in given.items() if name != "extra_body"}
    return dict(sorted({**rest, **({"extra_body": kept} if kept else {})}.items()))


def setting(row: Mapping[str, Any]) -> str:
    """What the answers of one setting share, of a row's `parameters`, as canonical JSON.

    A seed only draws one of these answers, and headers do not change them.
    """
    kept = {name: value for name, value in row.items() if name not in ("seed", "extra_headers")}
    kept = _without_bookkeeping(kept)
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def asked_of(row: Mapping[str, Any]) -> str:
    """What may change an answer, of a row's `parameters`, as canonical JSON; the seed is a part of it."""
    kept = _without_bookkeeping({name: value for name, value in row.items() if name != "extra_headers"})
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def is_secret_header(name: str) -> bool:
    """Whether what a header of this name holds may be a secret; in doubt it is."""
    return bool(_SECRET_HEADER.search(name))


def bare_secret(value: str) -> str:
    """What of a header's value is secret: all of it but the word before it, such as `Bearer`."""
    scheme, _, rest = value.partition(" ")
    return rest.strip() if rest.strip() and scheme.isalpha() else value


def expanded(value: str, environment: Mapping[str, str]) -> str:
    """A header's value with each `${NAME}` taken from the environment. Raises `KeyError` for one not set."""
    return _VARIABLE.sub(lambda found: environment[found[1]].strip(), value)


def _temperature(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not is_finite(value) or value < 0:
        raise ValueError(f"temperature: must be a number from 0 on, not {_shown(value)}")
    return float(value)


def _top_p(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"top_p: must be a number from 0 to 1, not {_shown(value)}")
    return float(value)


def _seed(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError(f"seed: must be a whole number of 64 bits, not {_shown(value)}")
    return value


def _stop(value: Any) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"stop: must be a text or a list of texts, not {_shown(value)}")
    if len(texts) > _MOST_STOPS or not all(0 < len(text) <= _LONGEST_STOP for text in texts):
        raise ValueError(f"stop: at most {_MOST_STOPS} texts of 1 to {_LONGEST_STOP} characters")
    return tuple(_utf8("stop", text) for text in texts)


def _reasoning_effort(value: Any) -> str:
    if not isinstance(value, str) or not _EFFORT.fullmatch(value):
        raise ValueError(
            f"reasoning_effort: must be a level such as low, medium or high, not {_shown(value)}"
        )
    return value


def _think(value: Any) -> bool | int:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        raise ValueError(
            f"think: must be true, false or a budget in tokens, not {_shown(value)}; "
            "levels go in reasoning_effort"
        )
    if not isinstance(value, int) or not 1 <= value <= 2**53:
        raise ValueError(f"think: must be true, false or a budget in tokens, not {_shown(value)}")
    return value


def _extra_body(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"extra_body: must be a mapping, not {_shown(value)}")
    _refuse_what_is_no_json(value, "extra_body")
    try:
        text = _utf8("extra_body", json.dumps(value, allow_nan=False, ensure_ascii=False, sort_keys=True))
    except (TypeError, RecursionError) as error:
        raise ValueError(f"extra_body: cannot be written as JSON: {str(error)[:200]}") from None
    if len(text) > _MOST_EXTRA_BYTES:
        raise ValueError(f"extra_body: is longer than {_MOST_EXTRA_BYTES:,} characters")
    copy: dict[str, Any] = json.loads(text)
    _refuse_protected(copy, "extra_body")
    _refuse_secrets(copy, "extra_body")
    return copy


def _refuse_what_is_no_json(value: Any, where: str, depth: int = 0) -> None:
    if depth > _DEEPEST_EXTRA:
        raise ValueError(f"{where[:200]}: is nested too deeply, or holds itself")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where[:200]}: must be a number that JSON has, not {_shown(value)}")
    if isinstance(value, Mapping):
        for name, item in value.items():
            if isinstance(name, bool) or not isinstance(name, str | int):
                raise ValueError(f"{where[:200]}: its names must be texts, not {_shown(name)}")
            _refuse_what_is_no_json(item, f"{where}.{str(name)[:60]}", depth + 1)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _refuse_what_is_no_json(item, f"{where}[{number}]", depth + 1)
    elif not isinstance(value, str | int | float | bool | None):
        raise ValueError(f"{where[:200]}: must be JSON, not {_shown(value)}")


def _refuse_protected(body: Mapping[str, Any], where: str) -> None:
    for name in body:
        if reason := PROTECTED.get(name):
            raise ValueError(f"{where}.{name}: may not be said in extra_body: {reason}")
    for name in _NESTED:
        if isinstance(body.get(name), dict):
            _refuse_protected(body[name], f"{where}.{name}")


def _refuse_secrets(value: Any, where: str) -> None:
    if isinstance(value, list):
        for item in value:
            _refuse_secrets(item, where)
    elif isinstance(value, dict):
        for name, item in value.items():
            if _SECRET_NAME.search(name) and isinstance(item, str):
                raise ValueError(
                    f"{where}.{name[:60]}: a secret would stand in every row; send it in extra_headers"
                )
            _refuse_secrets(item, f"{where}.{name[:60]}")


def _extra_headers(value: Any) -> dict[str, str]:
    headers: dict[str, str] = {}
    if fault := _read_headers(HiddenHeaders(value), headers):
        headers.clear()
        raise ValueError(fault)
    return headers


def _read_headers(value: HiddenHeaders, headers: dict[str, str]) -> str:
    """Put them into `headers`, or say what is wrong; returned, since a frame of the error would hold them."""
    given = value.headers
    if given is None:
        return ""
    if not isinstance(given, Mapping):
        return f"extra_headers: must be a mapping of names to texts, not {type(given).__name__}"
    for name, text in given.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            return f"extra_headers: {_shown(name)} is no name of a header"
        if name.lower() in _RESERVED_HEADERS:
            return f"extra_headers.{name}: belongs to the connection and cannot be set"
        text = text.get_secret_value() if hasattr(text, "get_secret_value") else text
        # The value may be a secret, so that no message repeats it.
        if not isinstance(text, str) or not text.isascii() or not text.isprintable() or not text.strip():
            return f"extra_headers.{name}: must be a text of printable ASCII characters on one line"
        headers[name.lower()] = text.strip()
    return ""


def _utf8(name: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name}: holds half a surrogate pair, which UTF-8 cannot carry") from None
    return text


def _shown(value: Any) -> str:
    return shown(value) if isinstance(value, str | int | float | bool) else type(value).__name__


# Checks that give the value in its one form, by key.
CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "temperature": _temperature,
    "top_p": _top_p,
    "seed": _seed,
    "stop": _stop,
    "reasoning_effort": _reasoning_effort,
    "think": _think,
    "extra_body": _extra_body,
    "extra_headers": _extra_headers,
}
NAMES: tuple[str, ...] = tuple(one.name for one in fields(Parameters))
_PLAIN = NAMES[:6]
_PLACES = {name: place for place, name in enumerate(NAMES)}

NOTHING_ASKED = Parameters()

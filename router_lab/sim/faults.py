"""What can go wrong with a request, on purpose: scripts of faults, and chaos by rate.

A fault is a name or a `Fault`. Names, and whether a real provider would bill the request:

    ok                          billed     nothing goes wrong
    400 401 403 404 408 429 500 502 503 504 529   unbilled   the provider's own error body
    insufficient_quota          unbilled   a 429 that no retry will mend
    garbage                     billed     200 with a body that is no JSON
    empty                       billed     200 with no body
    malformed                   billed     a valid envelope around an answer that does not parse
    refusal                     billed     200 with the provider's way of refusing
    truncated                   billed     the prompt is silently cut in half before the model sees it
    repeat                      billed     the model repeats itself; Ollama aborts without counts
    slow                        billed     the answer comes `delay_s` late
    hang                        unbilled   nothing is sent until the client goes away
    reset                       unbilled   the connection is reset before the headers
    reset_after_headers         billed     the connection is reset after the headers
    cut                         billed     the connection closes in the middle of the body
    stream_error                billed     half the stream, then the provider's error event

`truncated` on Ollama is a window half as long as the prompt: versions that heed `truncate: false`
then refuse such a request instead. `cut` and `stream_error` bill the output sent so far. A request
that is not streamed cannot have an error event: `stream_error` then plays as `cut`. Status faults
carry `retry_after_s` in the form of `retry_after_form`: `retry-after` seconds, `retry-after` as an
HTTP date, or `retry-after-ms`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from email.utils import formatdate
from threading import Lock
from time import time
from typing import Any, Literal, get_args

from router_lab.nearest import nearest_hint
from router_lab.sim.chance import uniform
from router_lab.sim.exchange import Header

Kind = Literal[
    "ok",
    "status",
    "insufficient_quota",
    "garbage",
    "empty",
    "malformed",
    "refusal",
    "truncated",
    "repeat",
    "slow",
    "hang",
    "reset",
    "reset_after_headers",
    "cut",
    "stream_error",
]

STATUSES = (400, 401, 403, 404, 408, 429, 500, 502, 503, 504, 529)
FAULT_NAMES: tuple[str, ...] = tuple(kind for kind in get_args(Kind) if kind != "status") + tuple(
    map(str, STATUSES)
)
_UNBILLED: tuple[Kind, ...] = ("status", "insufficient_quota", "hang", "reset")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault and the requests it is for.

    `provider`, `model` and `contains` (a part of the prompt) limit it; None matches all. It plays for
    `times` requests, None for ever. `delay_s` (seconds) passes before anything else happens, 1 s if
    left out of `slow`. `billed` overrides the table above.
    """

    kind: Kind = "ok"
    status: int | None = None
    provider: str | None = None
    model: str | None = None
    contains: str | None = None
    times: int | None = 1
    delay_s: float = 0.0
    retry_after_s: float | None = None
    retry_after_form: Literal["seconds", "date", "ms"] = "seconds"
    billed: bool | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise _unknown(self.kind)
        if (self.kind == "status") != (self.status is not None):
            raise ValueError(
                f"fault: kind {self.kind!r} with status {self.status!r}; write '429' or kind='status'"
            )

    @property
    def name(self) -> str:
        """The name in the table above."""
        return str(self.status) if self.status is not None else self.kind

    @property
    def is_billed(self) -> bool:
        """Whether a real provider would bill the request."""
        return self.kind not in _UNBILLED if self.billed is None else self.billed

    def matches(self, provider: str, model: str, prompt: str) -> bool:
        """Whether the fault is for such a request."""
        return (
            self.provider in (None, provider)
            and self.model in (None, model)
            and (self.contains is None or self.contains in prompt)
        )

    def retry_headers(self) -> tuple[Header, ...]:
        """The header that says when to come back, if any."""
        if self.retry_after_s is None:
            return ()
        if self.retry_after_form == "ms":
            return ((b"retry-after-ms", b"%d" % round(self.retry_after_s * 1000)),)
        if self.retry_after_form == "date":
            return ((b"retry-after", formatdate(time() + self.retry_after_s, usegmt=True).encode()),)
        return ((b"retry-after", f"{self.retry_after_s:g}".encode()),)


OK = Fault()
FaultLike = Fault | str | int | Mapping[str, Any]


def parse(fault: FaultLike) -> Fault:
    """A `Fault` from a name, a status, or a mapping of its fields where `kind` may be any name.

    Raises `ValueError` naming what is wrong.
    """
    if isinstance(fault, Fault):
        return fault
    if isinstance(fault, str | int):
        return _named(str(fault))
    unknown = set(fault) - {field.name for field in fields(Fault)}
    if unknown:
        known = [field.name for field in fields(Fault)]
        wrong = min(unknown)
        raise ValueError(f"fault: unknown key {wrong!r}; there are {known}{nearest_hint(wrong, known)}")
    rest = {key: value for key, value in fault.items() if key not in ("kind", "status")}
    return replace(_named(str(fault.get("status") or fault.get("kind") or "ok")), **rest)


def _unknown(name: str) -> ValueError:
    hint = nearest_hint(name, FAULT_NAMES)
    return ValueError(f"fault: {name!r} is none of {', '.join(FAULT_NAMES)}{hint}")


def _named(name: str) -> Fault:
    if name.isdigit() and int(name) in STATUSES:
        return Fault("status", status=int(name))
    if name == "status" or name not in get_args(Kind):
        raise _unknown(name)
    return Fault(name, delay_s=1.0 if name == "slow" else 0.0)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class RandomFaults:
    """Random faults by rate, for ever: the n-th arrival of a prompt fares the same for the same seed.

    `rates` maps fault names to shares of all requests, together at most 1. `delay_s` is the delay of
    `slow`, `retry_after_s` goes with every 429 and 529.
    """

    rates: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    delay_s: float = 0.05
    retry_after_s: float | None = None

    def __post_init__(self) -> None:
        for name in self.rates:
            _named(name)
        if not 0 <= sum(self.rates.values()) <= 1:
            raise ValueError(f"faults: the rates add up to {sum(self.rates.values()):g}, more than 1")

    def draw(self, prompt_hash: str, model: str, arrival: int) -> Fault:
        """The fault of the `arrival`-th request with this prompt."""
        place = uniform(self.seed, prompt_hash, model, arrival, "chaos")
        for name, rate in self.rates.items():
            if place < rate:
                fault = _named(name)
                wait = self.retry_after_s if fault.status in (429, 529) else None
                return replace(fault, delay_s=self.delay_s if name == "slow" else 0.0, retry_after_s=wait)
            place -= rate
        return OK


class Script:
    """The faults still to play. Each request takes the first that matches; then comes chaos, then `ok`."""

    def __init__(self, faults: Iterable[FaultLike] | RandomFaults = ()) -> None:
        self._lock = Lock()
        self._faults: list[Fault] = []
        self._chaos = RandomFaults()
        self._arrivals: Counter[tuple[str, str]] = Counter()
        self.replace(faults)

    def replace(self, faults: Iterable[FaultLike] | RandomFaults) -> None:
        """Forget what was left and play these. Raises `ValueError` for a fault that does not exist."""
        if isinstance(faults, str | Mapping):
            raise ValueError(f"faults: expected a list of faults, got {faults!r}; write [{faults!r}]")
        chaos = faults if isinstance(faults, RandomFaults) else RandomFaults()
        listed = [] if isinstance(faults, RandomFaults) else [parse(fault) for fault in faults]
        with self._lock:
            self._faults, self._chaos = listed, chaos
            self._arrivals.clear()

    def take(
        self, provider: str, model: str, prompt: str, prompt_hash: str, *, named_only: bool = False
    ) -> Fault:
        """The fault for a request that has just arrived; `named_only` of those that name its model."""
        with self._lock:
            self._arrivals[(model, prompt_hash)] += 1
            for index, fault in enumerate(self._faults):
                if fault.matches(provider, model, prompt) and (fault.model == model or not named_only):
                    self._use(index, fault)
                    return fault
            return self._chaos.draw(prompt_hash, model, self._arrivals[(model, prompt_hash)])

    def _use(self, index: int, fault: Fault) -> None:
        if fault.times is None:
            return
        if fault.times > 1:
            self._faults[index] = replace(fault, times=fault.times - 1)
        else:
            del self._faults[index]

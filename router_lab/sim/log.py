"""The server's own log: every request that reached it, and what a real provider would bill."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from threading import Lock
from typing import Any

from router_lab.settings.models import Price
from router_lab.sim.exchange import TokenTally


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedRequest:
    """One request that reached the server, written down before its fault played.

    `tokens_in` is the whole prompt as counted by the server (cached parts included), `tokens_out` what
    was generated, as far as it was sent. `billed` is what a real provider would do. `tokens_sent` is
    the prompt's length before any cut, and `truncated` says that a cut was silent. `prompt_hash` is
    `sim.prompt_hash` of the conversation. `fault` is the fault's name, `ok` for none. `completed`
    becomes true when the whole response has been handed to the network. An item of a batch has its
    `batch_id`, and costs half.
    """

    seq: int
    path: str
    provider: str
    model: str
    status: int
    tokens_in: int
    tokens_out: int
    cache_read_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    reasoning_tokens: int
    tokens_sent: int
    billed: bool
    client_request_id: str | None
    truncated: bool
    prompt_hash: str
    fault: str
    streamed: bool
    completed: bool = False
    batch_id: str | None = None


class Log:
    """Requests in the order of their arrival. Safe to read while the server runs in another thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._served: dict[int, ServedRequest] = {}

    def add(self, served: ServedRequest) -> None:
        """Write a request down."""
        with self._lock:
            self._served[served.seq] = served

    def complete(self, seq: int) -> None:
        """Note that a response went out whole; a request forgotten by `clear` stays forgotten."""
        with self._lock:
            if seq in self._served:
                self._served[seq] = replace(self._served[seq], completed=True)

    def clear(self) -> None:
        """Forget every request, those still being answered too."""
        with self._lock:
            self._served.clear()

    def all(self) -> list[ServedRequest]:
        """A copy of the log."""
        with self._lock:
            return list(self._served.values())


def as_json(served: Iterable[ServedRequest]) -> list[dict[str, Any]]:
    """The log as JSON objects."""
    return [asdict(one) for one in served]


def bill(served: Iterable[ServedRequest], prices: Mapping[str, Any]) -> dict[str, Any]:
    """What the billed requests cost, by `provider/model` and in all.

    `prices` maps a model's name, or `provider/model`, to a price as in the settings (USD per million
    tokens). A model without one has `usd` None, and then the total is None too. Raises `ValueError`
    for a price that is none.
    """
    listed = {name: Price.model_validate(price) for name, price in prices.items()}
    lines: dict[str, dict[str, Any]] = {}
    for one in served:
        if not one.billed:
            continue
        key = f"{one.provider}/{one.model}"
        line = lines.setdefault(key, {"requests": 0, "tokens_in": 0, "tokens_out": 0, "amounts": []})
        line["requests"] += 1
        line["tokens_in"] += one.tokens_in
        line["tokens_out"] += one.tokens_out
        price = listed.get(key) or listed.get(one.model)
        line["amounts"].append(None if price is None else cost(one, price))
    for line in lines.values():
        line["usd"] = _total(line.pop("amounts"))
    return {
        "lines": lines,
        "requests": sum(line["requests"] for line in lines.values()),
        "usd": _total([line["usd"] for line in lines.values()]),
    }


def cost(used: ServedRequest | TokenTally, price: Price) -> float:
    """USD for one request: cached tokens at their own price where there is one, bands by prompt length."""
    bands = [band for band in price.bands if used.tokens_in > band.above_tokens]
    rates: dict[str, float | None] = {name: getattr(price, name) for name in _RATES}
    for band in sorted(bands, key=lambda band: band.above_tokens):
        rates |= {name: getattr(band, name) for name in _RATES if getattr(band, name) is not None}
    entry = rates["input"] or 0.0
    cached = used.cache_read_tokens + used.cache_write_tokens + used.cache_write_1h_tokens
    write = entry if rates["cache_write"] is None else rates["cache_write"]
    amounts = (
        (used.tokens_in - cached) * entry,
        used.cache_read_tokens * (entry if rates["cache_read"] is None else rates["cache_read"]),
        used.cache_write_tokens * write,
        used.cache_write_1h_tokens * (write if rates["cache_write_1h"] is None else rates["cache_write_1h"]),
        used.tokens_out * (rates["output"] or 0.0),
    )
    discount = 0.5 if isinstance(used, ServedRequest) and used.batch_id is not None else 1.0
    return discount * math.fsum(amounts) / 1_000_000


_RATES = ("input", "output", "cache_read", "cache_write", "cache_write_1h")


def _total(amounts: list[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return math.fsum(known) if len(known) == len(amounts) else None

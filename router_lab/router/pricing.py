"""Usage -> USD. The configuration's own price first, else the public list's for the model and date.

In a batch, the list's price for batches where it has one, else half of the usual price.

Every amount is a sum of whole numbers (tokens times attodollars per token) divided once, so that it
is the float nearest to the exact amount.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Literal

from router_lab.errors import UnpricedModelError
from router_lab.records import Usage
from router_lab.settings.checks import unpriced
from router_lab.settings.models import ModelSettings, Price, PriceBand, Settings
from router_lab.settings.price_list import DatedPrice, listed_batch_prices, listed_prices

ATTO = 10**18
PriceSource = Literal["config", "genai-prices", "genai-prices batch", "config half", "genai-prices half"]
# USD per million tokens -> attodollars per token.
_ATTO_PER_TOKEN = Decimal(10**12)


@dataclass(frozen=True, slots=True)
class Cost:
    """An amount in USD and where its prices come from."""

    usd: float
    source: PriceSource


@dataclass(frozen=True, slots=True)
class Rates:
    """Attodollars per token for prompts longer than `above_tokens`; `worst_in` bounds a prompt token."""

    above_tokens: int
    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    worst_in: int


# The rates of one price, the longest prompts first; the last entry fits every prompt.
Tariff = tuple[Rates, ...]


@dataclass(frozen=True, slots=True)
class _AliasPrices:
    """What one alias costs: tariffs with the condition of each (None: always), first match wins."""

    source: PriceSource
    tariffs: tuple[tuple[Callable[[datetime], bool] | None, Tariff | None], ...]


class PriceBook:
    """The price of every configured model, computed once.

    Raises `UnpricedModelError` when a model has no price on `on_date` (default: now).
    """

    def __init__(self, settings: Settings, on_date: datetime | None = None) -> None:
        self._models = settings.models
        self._entries = {alias: _entry(model) for alias, model in settings.models.items()}
        self._batched: dict[str, tuple[_AliasPrices, ...]] = {}
        for alias in self._entries:
            self._tariff(alias, on_date or datetime.now(UTC))

    def cost(self, alias: str, usage: Usage, at: datetime, *, in_batch: bool = False) -> Cost:
        """What `usage` costs under the prices of `at`, the moment the attempt started.

        A count the provider did not give adds nothing. Reasoning is part of `tokens_out` and not
        added again; cached tokens are part of `tokens_in` and taken out of it. Negative counts are
        read as zero, so that no answer can earn money. Raises `UnpricedModelError`.
        """
        source, tariff = self._tariff(alias, at, in_batch=in_batch)
        return Cost(_amount(usage, tariff), source)

    def tariff(self, alias: str, at: datetime) -> Tariff:
        """What tokens cost at that moment, the longest prompts first. Raises `UnpricedModelError`."""
        return self._tariff(alias, at)[1]

    def costs_by_band(self, alias: str, usage: Usage, at: datetime) -> list[tuple[int, float]]:
        """What `usage` would cost in each band, by the band's `above_tokens` (-1: the base price)."""
        return [(rates.above_tokens, _amount(usage, (rates,))) for rates in self.tariff(alias, at)]

    def bound(
        self, alias: str, tokens_in: int, tokens_out: int, at: datetime, *, in_batch: bool = False
    ) -> Cost:
        """The most a call of up to `tokens_in` and `tokens_out` can cost, whatever its cache does.

        Every prompt token is taken at the dearest price it can meet, in the dearest band the prompt
        can reach. Anthropic writes to its cache only when a request marks `cache_control`, which
        ours never do, so there a write's surcharge is left out; an OpenAI-style server may write of
        its own accord. Raises `UnpricedModelError`.
        """
        source, tariff = self._tariff(alias, at, in_batch=in_batch)
        reachable = [rates for rates in tariff if rates.above_tokens < tokens_in] or [tariff[-1]]
        worst_in = max(rates.worst_in for rates in reachable)
        worst_out = max(rates.output for rates in reachable)
        return Cost((max(tokens_in, 0) * worst_in + max(tokens_out, 0) * worst_out) / ATTO, source)

    def _tariff(self, alias: str, at: datetime, *, in_batch: bool = False) -> tuple[PriceSource, Tariff]:
        entry = self._entries.get(alias)
        if entry is None:
            raise UnpricedModelError(f"models.{alias}: there is no such model, so it has no price")
        if in_batch and alias not in self._batched:
            self._batched[alias] = _batch_entries(self._models[alias])
        for tried in self._batched[alias] if in_batch else (entry,):
            for applies, tariff in tried.tariffs:
                if applies is not None and not applies(at):
                    continue
                if tariff is None:
                    break
                return tried.source, tariff
        raise UnpricedModelError(f"models.{alias}.price: {unpriced(self._models[alias])}")


def _amount(usage: Usage, tariff: Tariff) -> float:
    read = max(usage.cache_read_tokens, 0)
    write = max(usage.cache_write_tokens, 0)
    write_1h = max(usage.cache_write_1h_tokens, 0)
    cached = read + write + write_1h
    reported = max(usage.tokens_in or 0, 0)
    uncached = reported if usage.cached_only else max(reported - cached, 0)
    rates = _rates_for(tariff, uncached + cached)
    atto = (
        uncached * rates.input
        + read * rates.cache_read
        + write * rates.cache_write
        + write_1h * rates.cache_write_1h
        + max(usage.tokens_out or 0, 0) * rates.output
    )
    return atto / ATTO


def _entry(model: ModelSettings) -> _AliasPrices:
    writes_unasked = model.wire != "anthropic"
    if model.price is not None:
        return _AliasPrices("config", ((None, _tariff_of(model.price, writes_unasked)),))
    dated = tuple(
        (each.applies, _tariff_of(each.price, writes_unasked) if each.price else None)
        for each in listed_prices(model)
    )
    return _AliasPrices("genai-prices", dated)


def _batch_entries(model: ModelSettings) -> tuple[_AliasPrices, ...]:
    """The prices of a batch, the one to try first at the front."""
    writes_unasked = model.wire != "anthropic"
    if model.price is not None:
        return (_AliasPrices("config half", ((None, _tariff_of(_halved(model.price), writes_unasked)),)),)

    def dated(prices: tuple[DatedPrice, ...], share: Callable[[Price], Price]) -> Any:
        return tuple(
            (each.applies, _tariff_of(share(each.price), writes_unasked) if each.price else None)
            for each in prices
        )

    own = _AliasPrices("genai-prices batch", dated(listed_batch_prices(model), lambda price: price))
    return own, _AliasPrices("genai-prices half", dated(listed_prices(model), _halved))


def _halved(price: Price) -> Price:
    def half(part: Price | PriceBand) -> dict[str, float]:
        return {name: value / 2 for name in _RATES if (value := getattr(part, name)) is not None}

    bands = tuple(band.model_copy(update=half(band)) for band in price.bands)
    return price.model_copy(update={**half(price), "bands": bands})


_RATES = ("input", "output", "cache_read", "cache_write", "cache_write_1h")


def _tariff_of(price: Price, writes_unasked: bool) -> Tariff:
    bands = sorted(price.bands, key=lambda band: band.above_tokens, reverse=True)
    return tuple(_rates(price, band, writes_unasked) for band in (*bands, None))


def _rates(price: Price, band: PriceBand | None, writes_unasked: bool) -> Rates:
    def stated(name: str) -> float | None:
        in_band: float | None = getattr(band, name, None)
        base: float | None = getattr(price, name)
        return base if in_band is None else in_band

    rate_in = _atto(stated("input") or 0.0)
    read = _atto(stated("cache_read"), rate_in)
    write = _atto(stated("cache_write"), rate_in)
    write_1h = _atto(stated("cache_write_1h"), write)
    return Rates(
        above_tokens=band.above_tokens if band else -1,
        input=rate_in,
        output=_atto(stated("output") or 0.0),
        cache_read=read,
        cache_write=write,
        cache_write_1h=write_1h,
        worst_in=max(rate_in, read, write, write_1h) if writes_unasked else max(rate_in, read),
    )


def _rates_for(tariff: Tariff, prompt_tokens: int) -> Rates:
    for rates in tariff:
        if prompt_tokens > rates.above_tokens:
            return rates
    return tariff[-1]


def _atto(usd_per_million: float | None, otherwise: int = 0) -> int:
    """Attodollars per token. The float's shortest decimal is what the user wrote, so 0.1 is exact."""
    if usd_per_million is None:
        return otherwise
    exact = Decimal(repr(usd_per_million)) * _ATTO_PER_TOKEN
    return int(exact.to_integral_value(ROUND_HALF_EVEN))

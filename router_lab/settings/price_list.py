"""The public price list, `genai-prices`, in this package's own terms.

genai-prices is imported on first use: it costs a quarter of a second, and a file that states every
price never pays it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from router_lab.presets import PRESETS
from router_lab.settings.models import ModelSettings, Price, PriceBand

_KEYS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
}
# Charges on a plain text call that a price per token cannot say. Charges for sound, pictures and
# search tools are left aside: nothing here ever asks for those.
_INEXPRESSIBLE = ("requests_kcount", "input_mchars", "output_reasoning_mtok", "output_citation_mtok")


@dataclass(frozen=True, slots=True)
class DatedPrice:
    """A price and when it holds; `price` None means listed, but not as a price per token."""

    applies: Callable[[datetime], bool]
    price: Price | None


def listed_prices(model: ModelSettings) -> tuple[DatedPrice, ...]:
    """The listed prices of a model, the one to try first at the front; empty when it is not listed.

    The vendor is told by `base_url` where the list knows the address (api.groq.com speaks OpenAI's
    wire format at its own prices), else by the provider. A server of Ollama, vLLM, LM Studio or
    llama.cpp is the user's own machine, whatever the model's name, so it is never listed.
    """
    found = _listed(model)
    return _dated(found.prices) if found else ()


def listed_batch_prices(model: ModelSettings) -> tuple[DatedPrice, ...]:
    """The listed prices of a model in a batch; empty where the list has none."""
    found = _listed(model)
    variants = (getattr(found, "price_variants", None) or ()) if found else ()
    return tuple(
        DatedPrice(each.constraint.active if each.constraint else _always, _price(each.prices))
        for each in reversed(variants)
        if dict(each.when) == {"processing": "batch"}
    )


def _listed(model: ModelSettings) -> Any:
    """The list's entry of a model, None where it has none."""
    if model.is_own_machine:
        return None
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    try:
        vendor = snapshot.find_provider(None, None, model.base_url)
    except LookupError:
        name = PRESETS[model.provider].price_list or model.provider
        named = next((one for one in snapshot.providers if one.id == name), None)
        if named is None:
            return None
        vendor = named
    return vendor.find_model(model.model, all_providers=snapshot.providers)


def listed_price(model: ModelSettings, at: datetime) -> Price | None:
    """The listed price at a moment, None when there is none."""
    return next((dated.price for dated in listed_prices(model) if dated.applies(at)), None)


def _dated(prices: Any) -> tuple[DatedPrice, ...]:
    if not isinstance(prices, list):
        return (DatedPrice(_always, _price(prices)),)
    # The list's own rule: the last entry whose condition holds, else the first entry.
    dated = [
        DatedPrice(each.constraint.active if each.constraint else _always, _price(each.prices))
        for each in reversed(prices)
    ]
    return (*dated, DatedPrice(_always, _price(prices[0].prices)))


def _price(listed: Any) -> Price | None:
    if any(getattr(listed, key, None) for key in _INEXPRESSIBLE):
        return None
    if listed.input_mtok is None or listed.output_mtok is None:
        return None
    tiered = {name: getattr(listed, key) for name, key in _KEYS.items()}
    starts = sorted({tier.start for price in tiered.values() for tier in getattr(price, "tiers", ())})
    return Price(
        **{name: _at_length(price, 0) for name, price in tiered.items()},
        bands=tuple(
            PriceBand(
                above_tokens=start,
                **{name: _at_length(price, start + 1) for name, price in tiered.items()},
            )
            for start in starts
        ),
    )


def _at_length(price: Any, prompt_tokens: int) -> Any:
    """USD per million tokens for a prompt of this length; None when not listed."""
    if price is None:
        return None
    for tier in reversed(getattr(price, "tiers", ())):
        if prompt_tokens > tier.start:
            return float(tier.price)
    return float(getattr(price, "base", price))


def _always(_: datetime) -> bool:
    return True

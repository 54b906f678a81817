"""What a call costs, checked by published prices, exact arithmetic and the price list itself."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import genai_prices
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.errors import UnpricedModelError
from router_lab.records import Usage
from router_lab.router.pricing import PriceBook
from router_lab.settings import ModelSettings, Price, PriceBand, RouteSettings, Settings

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MILLION = 1_000_000


def book(provider: Any = "anthropic", model: str = "m", price: Price | None = None, **rest: Any) -> PriceBook:
    one = ModelSettings(provider=provider, model=model, price=price, **rest)
    return PriceBook(Settings(models={"a": one}, routing={"r": RouteSettings(model="a")}), on_date=NOW)


def usd(prices: PriceBook, usage: Usage, at: datetime = NOW) -> float:
    return prices.cost("a", usage, at).usd


# The published table of November 2026: input, output, write for 5 minutes, write for an hour, read.
PUBLISHED = {
    "claude-fable-5-2": (8, 40, 10, 16, 0.20),
    "claude-opus-5-5": (4, 20, 5, 8, 0.20),
    "claude-opus-5": (5, 25, 6.25, 10, 0.50),
    "claude-sonnet-5-5": (2, 10, 2.50, 4, 0.10),
    "claude-haiku-5-5": (0.10, 0.50, 0.125, 0.20, 0.01),
    "claude-sonnet-4-6": (3, 15, 3.75, 6, 0.30),
    "claude-sonnet-4-5": (3, 15, 3.75, 6, 0.30),
    "claude-haiku-4-5": (1, 5, 1.25, 2, 0.10),
}
# A tenth of a million: as long as the shortest band that ends, so that all prices are base prices.
TENTH = MILLION // 10


@pytest.mark.parametrize("model", PUBLISHED)
def test_listed_prices_are_the_published_ones(model: str) -> None:
    prices = book(model=model)
    of_each = (
        Usage(tokens_in=TENTH),
        Usage(tokens_out=TENTH),
        Usage(tokens_in=TENTH, cache_write_tokens=TENTH),
        Usage(tokens_in=TENTH, cache_write_1h_tokens=TENTH),
        Usage(tokens_in=TENTH, cache_read_tokens=TENTH),
    )
    assert tuple(usd(prices, usage) * 10 for usage in of_each) == pytest.approx(PUBLISHED[model], abs=1e-12)
    assert prices.cost("a", Usage(tokens_in=1), NOW).source == "genai-prices"


def test_a_long_prompt_pays_the_band_it_is_in_for_every_token() -> None:
    prices = book(model="claude-haiku-5-5")
    assert usd(prices, Usage(tokens_in=100_000, tokens_out=1000)) == pytest.approx(0.01 + 0.0005, abs=1e-12)
    assert usd(prices, Usage(tokens_in=100_001, tokens_out=1000)) == pytest.approx(
        0.0500005 + 0.0025, abs=1e-12
    )
    cached = Usage(tokens_in=100_001, cache_read_tokens=100_000)
    assert usd(prices, cached) == pytest.approx(100_000 * 0.05e-6 + 0.5e-6, abs=1e-12)


def test_the_date_chooses_the_price() -> None:
    """Until 12 March 2026 claude-sonnet-4-6 cost twice as much above 200k tokens."""
    prices = book(model="claude-sonnet-4-6")
    long = Usage(tokens_in=300_000)
    assert usd(prices, long, datetime(2026, 3, 12, 23, 59, tzinfo=UTC)) == pytest.approx(1.8, abs=1e-12)
    assert usd(prices, long, datetime(2026, 3, 13, tzinfo=UTC)) == pytest.approx(0.9, abs=1e-12)


def test_one_convention_for_both_vendors() -> None:
    """Anthropic's input leaves the cache out, OpenAI's includes it; records hold the whole prompt."""
    anthropic = {"input_tokens": 12, "cache_creation_input_tokens": 2_000, "cache_read_input_tokens": 18_000}
    in_all = sum(anthropic.values())
    usage = Usage(tokens_in=in_all, tokens_out=300, cache_read_tokens=18_000, cache_write_tokens=2_000)
    expected = (12 * 3 + 2_000 * 3.75 + 18_000 * 0.3 + 300 * 15) / MILLION
    assert usd(book(model="claude-sonnet-4-5"), usage) == pytest.approx(expected, abs=1e-12)

    openai = Usage(tokens_in=2_006, tokens_out=300, cache_read_tokens=1_920)  # prompt_tokens, cached_tokens
    expected = (86 * 2.5 + 1_920 * 1.25 + 300 * 10) / MILLION
    assert usd(book("openai", "gpt-4o"), openai) == pytest.approx(expected, abs=1e-12)


def test_reasoning_is_paid_once() -> None:
    prices = book(price=Price(input=1, output=10))
    thinking = Usage(tokens_in=100, tokens_out=500, reasoning_tokens=450)
    assert usd(prices, thinking) == usd(prices, Usage(tokens_in=100, tokens_out=500)) == 0.0051


def test_what_the_provider_did_not_say_adds_nothing() -> None:
    prices = book(price=Price(input=1, output=10))
    assert usd(prices, Usage()) == 0
    assert usd(prices, Usage(tokens_in=100)) == 0.0001
    assert usd(prices, Usage(tokens_out=100)) == 0.001


def test_a_prompt_count_without_the_cached_part_is_not_cut_again() -> None:
    prices = book(price=Price(input=1, output=10, cache_read=0.5))
    usage = Usage(tokens_in=100, cache_read_tokens=900, cached_only=True)
    assert usd(prices, usage) == pytest.approx(100e-6 + 450e-6, abs=1e-12)


def test_prices_left_out() -> None:
    """No cache price: the input price. No price for an hour: what other writes cost."""
    bare = book(price=Price(input=3, output=1))
    assert usd(bare, Usage(tokens_in=100, cache_read_tokens=50, cache_write_tokens=50)) == 0.0003
    writes = book(price=Price(input=3, output=1, cache_write=5))
    assert usd(writes, Usage(tokens_in=100, cache_write_1h_tokens=100)) == 0.0005
    band = PriceBand(above_tokens=10, input=6)
    banded = book(price=Price(input=3, output=1, cache_write=5, bands=(band,)))
    assert usd(banded, Usage(tokens_in=11)) == pytest.approx(66e-6, abs=1e-12)
    assert usd(banded, Usage(tokens_in=11, cache_read_tokens=11)) == pytest.approx(66e-6, abs=1e-12)
    assert usd(banded, Usage(tokens_in=11, cache_write_tokens=11)) == pytest.approx(55e-6, abs=1e-12)


def test_bands_may_stand_in_any_order() -> None:
    bands = tuple(PriceBand(above_tokens=tokens, input=tokens) for tokens in (30, 10, 20))
    prices = book(price=Price(input=1, output=0, bands=bands))
    paid = [usd(prices, Usage(tokens_in=n)) * MILLION / n for n in (10, 11, 20, 21, 30, 31)]
    assert paid == pytest.approx([1, 10, 10, 20, 20, 30], abs=1e-9)


@given(counts=st.tuples(*[st.integers(-(10**9), 10**9)] * 5))
def test_no_answer_can_earn_money(counts: tuple[int, int, int, int, int]) -> None:
    prices = book(price=Price(input=3, output=15, cache_read=0.3, cache_write=3.75))
    tokens_in, tokens_out, read, write, write_1h = counts
    usage = Usage(tokens_in, tokens_out, read, write, write_1h, reasoning_tokens=tokens_out)
    assert usd(prices, usage) >= 0


def test_the_configured_price_comes_first() -> None:
    own = book(model="claude-haiku-4-5", price=Price(input=0, output=7))
    assert own.cost("a", Usage(tokens_in=10, tokens_out=MILLION), NOW) == own.bound("a", 10, MILLION, NOW)
    assert own.cost("a", Usage(tokens_out=MILLION), NOW).usd == 7
    assert own.cost("a", Usage(), NOW).source == "config"


@pytest.mark.parametrize(
    ("provider", "model", "address"),
    [
        ("ollama", "gpt-5", ""),
        ("anthropic", "gpt-5", ""),
        ("openai", "my-model", "http://127.0.0.1:8000/v1"),
        ("openai", "whisper-1", ""),
        ("openai", "sonar", "https://api.perplexity.ai"),
    ],
)
def test_nothing_is_sent_at_an_unknown_price(provider: str, model: str, address: str) -> None:
    with pytest.raises(UnpricedModelError, match=r"models\.a\.price: no price is known.*price: \{input"):
        book(provider, model, base_url=address)


def test_an_unknown_alias_has_no_price() -> None:
    prices = book(price=Price(input=1, output=1))
    with pytest.raises(UnpricedModelError, match=r"models\.b"):
        prices.cost("b", Usage(), NOW)
    with pytest.raises(UnpricedModelError, match=r"models\.b"):
        prices.bound("b", 1, 1, NOW)


def test_the_address_tells_the_vendor() -> None:
    """One wire format, several vendors, each with prices of its own."""
    vendor = book("openai", "openai/gpt-oss-120b", base_url="https://api.groq.com/openai/v1")
    listed = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=1000, output_tokens=1000),
        "openai/gpt-oss-120b",
        provider_id="groq",
        genai_request_timestamp=NOW,
    )
    assert usd(vendor, Usage(tokens_in=1000, tokens_out=1000)) == float(listed.total_price) > 0


RATE = st.floats(0, 500).map(lambda rate: round(rate, 6))
CACHE_RATE = st.none() | RATE
BANDS = st.dictionaries(st.integers(1, 10**6), st.tuples(CACHE_RATE, CACHE_RATE, CACHE_RATE), max_size=3).map(
    lambda bands: tuple(
        PriceBand(above_tokens=above, input=rates[0], output=rates[1], cache_read=rates[2])
        for above, rates in bands.items()
    )
)
PRICE = st.builds(
    Price,
    input=RATE,
    output=RATE,
    cache_read=CACHE_RATE,
    cache_write=CACHE_RATE,
    cache_write_1h=CACHE_RATE,
    bands=BANDS,
)
TOKENS = st.integers(0, 2 * 10**6)


@st.composite
def usages(draw: st.DrawFn, *, writes: bool = True) -> Usage:
    fresh, read, write, write_1h = (draw(TOKENS) for _ in range(4))
    if not writes:
        write = write_1h = 0
    return Usage(fresh + read + write + write_1h, draw(TOKENS), read, write, write_1h)


@given(price=PRICE, usage=usages())
def test_amounts_are_exact(price: Price, usage: Usage) -> None:
    """The float nearest to the amount computed with fractions from the decimals the user wrote."""

    def rate(name: str, otherwise: Fraction | None = None) -> Fraction:
        below = [each for each in price.bands if (usage.tokens_in or 0) > each.above_tokens]
        band = max(below, key=lambda each: each.above_tokens, default=None)
        stated = getattr(band, name, None)
        stated = getattr(price, name) if stated is None else stated
        if stated is None:
            assert otherwise is not None
            return otherwise
        return Fraction(repr(stated))

    fresh = (
        (usage.tokens_in or 0)
        - usage.cache_read_tokens
        - usage.cache_write_tokens
        - usage.cache_write_1h_tokens
    )
    rate_in = rate("input")
    rate_write = rate("cache_write", rate_in)
    exact = (
        fresh * rate_in
        + usage.cache_read_tokens * rate("cache_read", rate_in)
        + usage.cache_write_tokens * rate_write
        + usage.cache_write_1h_tokens * rate("cache_write_1h", rate_write)
        + (usage.tokens_out or 0) * rate("output")
    ) / MILLION
    assert usd(book(price=price), usage) == float(exact)


@given(price=PRICE, usage=usages(), room=st.integers(0, 10**6))
def test_no_openai_call_costs_more_than_its_bound(price: Price, usage: Usage, room: int) -> None:
    prices = book("openai", price=price)
    bound = prices.bound("a", (usage.tokens_in or 0) + room, (usage.tokens_out or 0) + room, NOW).usd
    assert usd(prices, usage) <= bound


@given(price=PRICE, usage=usages(writes=False), room=st.integers(0, 10**6))
def test_no_anthropic_call_costs_more_than_its_bound(price: Price, usage: Usage, room: int) -> None:
    """We never ask Anthropic to write to its cache, so no call of ours pays for a write."""
    prices = book("anthropic", price=price)
    bound = prices.bound("a", (usage.tokens_in or 0) + room, (usage.tokens_out or 0) + room, NOW).usd
    assert usd(prices, usage) <= bound


def test_the_bound_is_no_larger_than_it_must_be() -> None:
    price = Price(
        input=3, output=15, cache_read=0.3, cache_write=3.75, bands=(PriceBand(above_tokens=100, input=6),)
    )
    assert book("anthropic", price=price).bound("a", 100, 10, NOW).usd == pytest.approx(450e-6, abs=1e-12)
    assert book("anthropic", price=price).bound("a", 101, 10, NOW).usd == pytest.approx(756e-6, abs=1e-12)
    assert book("openai", price=price).bound("a", 100, 10, NOW).usd == pytest.approx(525e-6, abs=1e-12)
    assert book("openai", price=price).bound("a", 0, 0, NOW).usd == 0


def _listed(vendor: str) -> list[str]:
    from genai_prices.data import providers

    return [model.id for each in providers if each.id == vendor for model in each.models]


@pytest.mark.parametrize("vendor", ["anthropic", "openai"])
def test_the_price_list_agrees_on_every_model_it_has(vendor: str) -> None:
    """Whatever genai-prices itself computes for a text call, we compute too, on old dates and new."""
    prompts = (1, 99_999, 150_000, 250_000, 600_000)
    dates = (datetime(2024, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC), NOW)
    compared = 0
    for name in _listed(vendor):
        try:
            prices = book(vendor, name)
        except UnpricedModelError:
            continue
        for prompt, at in itertools.product(prompts, dates):
            read, write, write_1h = prompt // 2, prompt // 5, prompt // 7
            theirs = genai_prices.calc_price(
                genai_prices.Usage(
                    input_tokens=prompt,
                    cache_read_tokens=read,
                    cache_write_tokens=write + write_1h,
                    cache_write_1h_tokens=write_1h,
                    output_tokens=777,
                ),
                name,
                provider_id=vendor,
                genai_request_timestamp=at,
            )
            ours = usd(prices, Usage(prompt, 777, read, write, write_1h), at)
            assert ours == pytest.approx(float(theirs.total_price), abs=1e-12), (name, prompt, at)
            compared += 1
    assert compared > 15 * 20


def in_batch(prices: PriceBook, at: datetime = NOW) -> tuple[float, str]:
    cost = prices.cost("a", Usage(tokens_in=MILLION, tokens_out=MILLION), at, in_batch=True)
    return cost.usd, cost.source


def test_a_batch_costs_what_the_list_says_of_batches_else_half_and_says_which() -> None:
    listed = book(model="claude-haiku-4-5")
    assert in_batch(listed) == (0.5 + 2.5, "genai-prices batch")
    # The list has no price for batches of that time.
    assert in_batch(listed, datetime(2026, 10, 1, tzinfo=UTC)) == (0.5 + 2.5, "genai-prices half")
    assert in_batch(book(price=Price(input=3, output=15))) == (1.5 + 7.5, "config half")


@given(
    st.builds(Price, input=st.floats(0, 100), output=st.floats(0, 100)),
    st.builds(Usage, tokens_in=st.integers(0, MILLION), tokens_out=st.integers(0, MILLION)),
)
def test_half_a_price_is_half_the_cost(price: Price, usage: Usage) -> None:
    made = book(price=price)
    half, whole = (made.cost("a", usage, NOW, in_batch=batched).usd for batched in (True, False))
    assert half == pytest.approx(whole / 2, rel=1e-9, abs=1e-9)

"""A provider's own statement of what a call cost, held against the prices here.

A price list grows stale without a word; a bill that differs is said while it is small. Of each model and
cause once: the next call would say the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from router_lab.records import Attempt, Usage
from router_lab.router.alerts import Alerts
from router_lab.router.pricing import PriceBook

Cause = Literal["cache", "band", "tier", "free", "unknown"]

# Relative to what the provider states, which may be rounded.
TOLERANCE = 0.01
_ROUNDING_USD = 5e-7

_USUAL_TIERS = frozenset({"", "default", "standard", "auto", "on_demand"})
# What batch, flex and priority tiers cost, relative to the usual one.
_TIER_RATIOS = (0.5, 2.0)
# The dearest cache writes anywhere cost twice the input.
_DEAREST_CACHED = 2.0


@dataclass(frozen=True, slots=True)
class Difference:
    """Why a stated cost differs, in a word and in words."""

    cause: Cause
    said: str


class StatedCosts:
    """Compares what providers state with what the book says, and alerts."""

    def __init__(self, book: PriceBook, alerts: Alerts) -> None:
        self._book = book
        self._alerts = alerts
        self._told: set[tuple[str, Cause]] = set()

    def compare(self, row: Attempt, usage: Usage | None) -> None:
        """Alert where a billed attempt cost another amount than its tokens do here."""
        if usage is None or usage.provider_cost_usd is None or row.billing != "billed":
            return
        stated, ours = usage.provider_cost_usd, row.cost_usd
        if _agree(stated, ours):
            return
        found = self._why(row, usage, stated)
        if (row.model_alias, found.cause) in self._told:
            return
        self._told.add((row.model_alias, found.cause))
        apart = f" ({stated / ours - 1:+.1%})" if ours else ""
        self._alerts.send(
            "provider_cost_differs",
            row.model_alias,
            f"{row.model_alias}: {row.provider} states {stated:.6g} USD for a call that costs {ours:.6g} at "
            f"the prices here{apart}: {found.said}; both are in the row, budgets count ours",
            cause=found.cause,
            attempt_id=row.attempt_id,
            provider_cost_usd=stated,
            cost_usd=ours,
        )

    def _why(self, row: Attempt, usage: Usage, stated: float) -> Difference:
        alias, at, price = row.model_alias, row.started_at, f"models.{row.model_alias}.price"
        if stated == 0:
            return Difference("free", "it charges nothing, as for a free model or a key of one's own")
        for above, usd in self._book.costs_by_band(alias, usage, at):
            if _agree(stated, usd):
                band = f"those of prompts over {above:,} tokens" if above >= 0 else "those of short prompts"
                return Difference("band", f"its prices are {band}; correct above_tokens in {price}.bands")
        cached = usage.cache_read_tokens + usage.cache_write_tokens + usage.cache_write_1h_tokens
        if cached and _agree(stated, self._book.cost(alias, _uncached(usage, 0), at).usd):
            return Difference("cache", f"it charges cached tokens like any other; correct {price}.cache_read")
        tier = (usage.service_tier or "").lower()
        if tier not in _USUAL_TIERS:
            return Difference("tier", f"it was served at tier {tier!r}; {price} has other prices")
        if any(_agree(stated, row.cost_usd * ratio) for ratio in _TIER_RATIOS):
            return Difference("tier", f"that is the ratio of a batch, flex or priority tier; see {price}")
        if cached:
            rest = self._book.cost(alias, _uncached(usage, cached), at).usd
            per_token = (stated - rest) / cached
            full = self._book.cost(alias, Usage(tokens_in=10**6, tokens_out=0), at).usd / 10**6
            if 0 <= per_token <= _DEAREST_CACHED * full:
                return Difference(
                    "cache",
                    f"it would agree if a million cached tokens cost {per_token * 1e6:.4g} USD; correct "
                    f"cache_read or cache_write in {price}",
                )
        return Difference("unknown", f"compare {price} with the provider's price list")


def _agree(stated: float, ours: float) -> bool:
    """Whether two amounts differ by no more than the tolerance, or than rounding."""
    return abs(stated - ours) <= max(TOLERANCE * stated, _ROUNDING_USD)


def _uncached(usage: Usage, left_out: int) -> Usage:
    """The usage as if nothing had been cached, without `left_out` of the prompt's tokens."""
    return replace(
        usage,
        tokens_in=max((usage.tokens_in or 0) - left_out, 0),
        cache_read_tokens=0,
        cache_write_tokens=0,
        cache_write_1h_tokens=0,
    )

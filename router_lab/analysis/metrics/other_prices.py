"""What a ledger's own calls would have cost at the prices of other models."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from os import PathLike
from typing import Any

import ibis
import pandas as pd

from router_lab import arguments
from router_lab.analysis.ledger_tables import Source, frame_of, tables_of
from router_lab.analysis.metrics.grouping import ATTEMPT_KEYS, Keys, grouped, names_of
from router_lab.errors import ConfigError
from router_lab.ledger.reading.tables import Tables
from router_lab.nearest import nearest_hint
from router_lab.router.pricing import ATTO, PriceBook, Tariff
from router_lab.settings import Settings, load


def reprice(
    source: Source,
    config: Settings | str | PathLike[str],
    models: Sequence[str] | None = None,
    by: Keys = "task_type",
    now: datetime | None = None,
) -> pd.DataFrame:
    """What the primaries' billed attempts would have cost at today's prices of the configuration's models.

    The tokens stay as they were counted: another model counts the same text by its own tokenizer and answers
    at another length, so this says which model is worth comparing; what it saves says `savings`, of pairs.

    `models` are aliases (default: all). Columns: the keys (see `spend`), `at_prices_of` (an alias),
    `attempts`, `uncounted` of them without token counts, which are in no sum, `recorded` of them with a cost,
    `tokens_in`, `tokens_out`; in US dollars `recorded_usd` and `repriced_usd`, both of the `recorded`, and
    `unrecorded_usd`, what the others with token counts would have cost. Prices are those of `now`, the
    present by default. Raises `ConfigError` for an alias that is not configured, `UnpricedModelError` for one
    without a price.

    Example: `rl.analysis.reprice(ledger, "config/router.yaml", ["local"], by=())`.
    """
    settings = settings_of(config)
    moment = datetime.now(UTC) if now is None else arguments.moment("now", now)
    aliases = _aliases(settings, models)
    book, tables = PriceBook(settings, moment), tables_of(source)
    frames = [
        frame_of(reprice_expression(tables, by, book.tariff(alias, moment))).assign(at_prices_of=alias)
        for alias in aliases
    ]
    keys = names_of(by)
    found = pd.concat(frames, ignore_index=True).sort_values(
        [*keys, "repriced_usd", "unrecorded_usd"], kind="stable"
    )
    first = [*keys, "at_prices_of"]
    return found[[*first, *(name for name in found if name not in first)]].reset_index(drop=True)


def settings_of(config: Settings | str | PathLike[str]) -> Settings:
    """The settings that an argument `config` is, or that are in the file it names. Raises `ConfigError`."""
    return config if isinstance(config, Settings) else load(arguments.path("config", config))


def _aliases(settings: Settings, models: Sequence[str] | None) -> list[str]:
    if models is None:
        return list(settings.models)
    asked = arguments.texts("models", models, "a list of aliases")
    for alias in asked:
        if alias not in settings.models:
            hint = nearest_hint(alias, settings.models) or f"; there are {', '.join(settings.models)}"
            raise ConfigError(f"models: {alias!r} is not configured{hint}")
    if not asked:
        raise ConfigError("models: name an alias, or leave it out for all that are configured")
    return list(dict.fromkeys(asked))


def reprice_expression(tables: Tables, by: Keys, tariff: Tariff) -> Any:
    """The sums behind `reprice` for one model as an Ibis table."""
    attempts = tables.attempts
    billed = attempts.filter(~attempts.is_shadow & (attempts.billing == "billed"))
    is_counted = billed.tokens_in.notnull() & billed.tokens_out.notnull()
    is_recorded = is_counted & billed.cost_usd.notnull()
    repriced = _usd(billed, tariff)
    return grouped(
        billed,
        by,
        ATTEMPT_KEYS,
        attempts=billed.count(),
        uncounted=(~is_counted).sum().fill_null(0),
        recorded=is_recorded.sum().fill_null(0),
        tokens_in=billed.tokens_in.sum(where=is_counted).fill_null(0),
        tokens_out=billed.tokens_out.sum(where=is_counted).fill_null(0),
        recorded_usd=billed.cost_usd.sum(where=is_recorded).fill_null(0.0),
        repriced_usd=repriced.sum(where=is_recorded).fill_null(0.0),
        unrecorded_usd=repriced.sum(where=is_counted & billed.cost_usd.isnull()).fill_null(0.0),
    )


def _usd(attempts: Any, tariff: Tariff) -> Any:
    """US dollars per attempt, as `PriceBook.cost` has them, cached tokens at the cache's price."""
    read, written = attempts.cache_read_tokens.fill_null(0), attempts.cache_write_tokens.fill_null(0)
    uncached = ibis.greatest(attempts.tokens_in - read - written, 0)
    prompt = uncached + read + written

    def usd(rates: Any) -> Any:
        return (
            uncached * (rates.input / ATTO)
            + read * (rates.cache_read / ATTO)
            + written * (rates.cache_write / ATTO)
            + attempts.tokens_out * (rates.output / ATTO)
        )

    *bands, base = tariff
    if not bands:
        return usd(base)
    return ibis.cases(*((prompt > rates.above_tokens, usd(rates)) for rates in bands), else_=usd(base))

"""Rules that span sections: aliases that exist, fallbacks without a cycle, a price for every model.

Each check takes the models and routes that are sound in themselves, and the names of all, so that
one broken model does not hide what else is wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime

from router_lab.settings.models import ModelSettings, RouteSettings
from router_lab.settings.price_list import listed_price
from router_lab.settings.problems import Path, Problem, did_you_mean, quoted
from router_lab.task_types import SEPARATOR, is_complete, is_within


def check_task_types(section: Path, names: Collection[str]) -> Iterator[Problem]:
    """Names under `section` are task types: segments between `::`, none of them empty, and no patterns."""
    for name in names:
        if not is_complete(name):
            message = "a task type needs text before, between and after each `::`; remove the empty part"
            yield Problem((*section, name), message)
        elif name.endswith("*"):
            above = name.rstrip("*").removesuffix(SEPARATOR)
            told = f"write {quoted(above)}" if above else "name each kind of work"
            message = f"`*` matches nothing here; a name takes in all that is below it, so {told}"
            yield Problem((*section, name), message)


def check_scopes(scopes: Collection[str], routes: Collection[str]) -> Iterator[Problem]:
    """A budget of a task type that no call can have holds nothing back: its name is mistyped."""
    for name in scopes:
        if is_complete(name) and not any(is_within(name, one) or is_within(one, name) for one in routes):
            hint = did_you_mean(name, routes, what="routes")
            yield Problem(("cost", "scopes", name), f"no route is called {quoted(name)}; {hint}")


def check_aliases(routes: Mapping[str, RouteSettings], aliases: Collection[str]) -> Iterator[Problem]:
    """Every alias a route names must exist."""
    for name, route in routes.items():
        here: Path = ("routing", name)
        named: list[tuple[Path, str]] = [((*here, "model"), route.model)]
        named += [((*here, "fallback", i), alias) for i, alias in enumerate(route.fallback)]
        if route.shadow is not None:
            named.append(((*here, "shadow", "model"), route.shadow.model))
        for path, alias in named:
            if alias not in aliases:
                hint = did_you_mean(alias, aliases, what="models")
                yield Problem(path, f"no model is called {quoted(alias)}; {hint}")


def check_fallbacks(routes: Mapping[str, RouteSettings]) -> Iterator[Problem]:
    """A chain of fallbacks must not come back to an alias it has tried."""
    for name, route in routes.items():
        chain = (route.model, *route.fallback)
        repeated = next((i for i, alias in enumerate(chain) if alias in chain[:i]), None)
        if repeated is not None:
            cycle = " -> ".join(quoted(alias)[1:-1] for alias in chain[: repeated + 1])
            message = f"cycle of fallbacks: {cycle}; name each model once"
            yield Problem(("routing", name, "fallback"), message)


def check_models(models: Mapping[str, ModelSettings]) -> Iterator[Problem]:
    """Every model must have a price, and only Ollama takes `num_ctx`."""
    for alias, model in models.items():
        if model.num_ctx is not None and model.wire != "ollama":
            message = f"is asked of Ollama only; for provider {model.provider} write context_window"
            yield Problem(("models", alias, "num_ctx"), message)
        if not model.base_url:
            message = f"provider {model.provider} has no address of its own; write your resource's"
            yield Problem(("models", alias, "base_url"), message)
        for name in ("api_version", "deployment"):
            if getattr(model, name) is not None and model.provider != "azure":
                yield Problem(("models", alias, name), "is a key of provider azure alone; take it out")
        if model.price is None and listed_price(model, datetime.now(UTC)) is None:
            yield Problem(("models", alias, "price"), unpriced(model))


def unpriced(model: ModelSettings) -> str:
    """What to do about a model whose price nobody knows."""
    if model.is_own_machine:
        why = "a model on your own machine needs the price it costs you, card and electricity"
    else:
        why = f"genai-prices lists no price per token of {quoted(model.model)} for provider {model.provider}"
    return f"no price is known: {why}; write price: {{input: ..., output: ...}} in USD per million tokens"

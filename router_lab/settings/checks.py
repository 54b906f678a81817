"""Rules that span sections (aliases that exist, fallbacks without a cycle, a price for every model), and
those within one: pydantic's errors in the words of the file's author.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from router_lab.nearest import nearest_hint
from router_lab.settings.models import ModelSettings, RouteSettings, Settings
from router_lab.settings.price_list import listed_price
from router_lab.settings.problems import Path, Problem, describe, did_you_mean, quoted
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


_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
}


def explain(error: ErrorDetails) -> Problem:
    """Say one pydantic error of `Settings` as a problem."""
    path: Path = tuple(error["loc"])
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        return Problem(path, _unknown_key(path))
    if kind == "missing":
        return Problem(path, "this key is required and missing")
    if kind == "value_error":
        return Problem(path, error["msg"].removeprefix("Value error, "))
    if kind in _EXPECTED:
        return Problem(path, f"expected {_EXPECTED[kind]}, got {describe(value, path)}{_hint(kind, value)}")
    if kind == "too_short":
        return Problem(path, "at least one is needed")
    wanted = error["msg"].replace("Input should", "must", 1)
    if kind == "literal_error" and isinstance(value, str):
        choices = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        return Problem(path, f"{wanted}, got {describe(value, path)}{nearest_hint(value, choices)}")
    return Problem(path, f"{wanted}, got {describe(value, path)}")


def _hint(kind: str, value: Any) -> str:
    """What to do about a value of the wrong type, when it can be told."""
    if value is None:
        return "; give it a value or leave the key out"
    if kind == "string_type" and not isinstance(value, dict | list):
        return "; put it in quotes if it is text"
    if kind in ("int_type", "float_type") and isinstance(value, str) and (number := _number(value)):
        return f"; write {number} without quotes"
    if kind == "bool_type" and isinstance(value, str) and value.lower() in ("true", "false"):
        return f"; write {value.lower()} without quotes"
    return ""


def _number(text: str) -> str | None:
    try:
        number = float(text)
    except ValueError:
        return None
    if not math.isfinite(number) or abs(number) >= 1e15:
        return None
    return str(int(number)) if number.is_integer() else repr(number)


def _unknown_key(path: Path) -> str:
    *parents, key = path
    fields = _fields_at(tuple(parents))
    return f"there is no such key; {did_you_mean(str(key), fields, what='keys here')}"


def _fields_at(path: Path) -> list[str]:
    """The keys allowed at `path`, found by walking the annotations of the models."""
    kind: Any = Settings
    for part in path:
        section = _section(kind)
        if section is not None:
            kind = section.model_fields[str(part)].annotation
            continue
        # A dict's values or a tuple's items: the last argument that is not the ellipsis.
        kind = next(each for each in reversed(get_args(kind)) if each is not Ellipsis)
    section = _section(kind)
    return list(section.model_fields) if section else []


def _section(kind: Any) -> type[BaseModel] | None:
    """The section class in `X` or `X | None`; None for anything else."""
    if get_origin(kind) in (dict, tuple):
        return None
    for each in (kind, *get_args(kind)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None

"""Comparators and encoders that users bring: by entry point or as `module:function`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

from router_lab.errors import ConfigError
from router_lab.router.comparators.pair import Pair, PairVerdict

# The attribute of a function, and the key of its verdicts' details.
LIKENESS = "is_likeness"


@dataclass(frozen=True, slots=True)
class UserComparator:
    """A function `f(pair, **options)` that returns a `PairVerdict`, or just the agreement, or None.

    One that measures how alike two answers are, not whether they say the same, says so by an attribute,
    `f.is_likeness = True`: its verdicts are marked, and whatever rests on them says what they are.
    """

    name: str
    function: Callable[..., PairVerdict | float | None]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            inspect.signature(self.function).bind(None, **self.options)
        except TypeError as error:
            raise ConfigError(f"comparator `{self.name}`: options do not fit the function: {error}") from None

    @property
    def is_likeness(self) -> bool:
        """What the function says of itself."""
        return getattr(self.function, LIKENESS, False) is True

    def __call__(self, pair: Pair) -> PairVerdict:
        """Compare. Raises what the function raises, and `ValueError` for an agreement outside [0, 1]."""
        result = self.function(pair, **self.options)
        if not isinstance(result, PairVerdict):
            result = PairVerdict(None if result is None else float(result), f"by {self.name}")
        return replace(result, details={**result.details, LIKENESS: True}) if self.is_likeness else result


def load_object(path: str, key: str) -> Any:
    """The callable at `module:name`. Raises `ConfigError` naming `key` and what is missing."""
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise ConfigError(f"{key}: {path!r} must be written `module:function`")
    try:
        value = getattr(import_module(module_name), attribute)
    except ImportError as error:
        raise ConfigError(f"{key}: cannot import {module_name!r}: {error}") from error
    except AttributeError:
        raise ConfigError(f"{key}: module {module_name!r} has no {attribute!r}") from None
    if not callable(value):
        raise ConfigError(f"{key}: {path!r} is not callable")
    return value

"""What a comparator takes and gives, how its options are read, and those that users bring."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from router_lab.errors import ConfigError
from router_lab.records import Ending, ToolCall

Threshold = Annotated[float, Field(ge=0, le=1)]
Tolerance = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one input: text without thoughts, tool calls, and how each ended.

    `_data` is the answer decoded from JSON, None when it is not JSON.
    """

    primary_text: str = field(repr=False)
    shadow_text: str = field(repr=False)
    primary_data: Any = field(default=None, repr=False)
    shadow_data: Any = field(default=None, repr=False)
    schema: Mapping[str, Any] | None = field(default=None, repr=False)
    primary_tool_calls: tuple[ToolCall, ...] = field(default=(), repr=False)
    shadow_tool_calls: tuple[ToolCall, ...] = field(default=(), repr=False)
    primary_ending: Ending = "complete"
    shadow_ending: Ending = "complete"


@dataclass(frozen=True, slots=True)
class PairVerdict:
    """How far two answers agree, in [0, 1], and why; None when that cannot be known.

    `failed` means that the comparator itself broke: the pair is marked, the run goes on. `reason` and
    `details` may quote the answers: use `without_content()` where answers must not be stored.
    """

    agreement: float | None
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)
    failed: bool = False

    def __post_init__(self) -> None:
        value = self.agreement
        if value is not None and not (math.isfinite(value) and 0 <= value <= 1):
            raise ValueError(f"agreement must be in [0, 1] or None, not {value!r}")
        if value is not None and type(value) is not float:  # a test's True is an agreement of 1
            object.__setattr__(self, "agreement", float(value))
        details: Any = self.details
        if not isinstance(details, Mapping):
            object.__setattr__(self, "details", {"details": details})

    def without_content(self) -> PairVerdict:
        """The same verdict with nothing that came from the answers: figures and flags only."""
        details = {
            key: value
            for key, value in self.details.items()
            if value is None or isinstance(value, (bool, int, float))
        }
        return PairVerdict(self.agreement, "", details, self.failed)


class Options(BaseModel):
    """Base of the comparators: the fields are the options of the YAML; an unknown one is an error.

    `name` is what the YAML and the ledger call it; `is_likeness`: it measures how alike two answers are,
    rather than whether they say the same.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    name: ClassVar[str]
    is_likeness: ClassVar[bool] = False
    # Options that say what to import. Data, such as the row of a dataset, may not give them.
    names_code: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, pair: Pair) -> PairVerdict:
        """Compare. Pure, symmetric in its agreement, and 1 when both answers are the same.

        Time grows at most linearly beyond a few thousand words.
        """
        raise NotImplementedError


def graded(score: float, threshold: float | None, reason: str, **details: Any) -> PairVerdict:
    """A verdict from a similarity: as it is, or 0 or 1 when a threshold was asked for."""
    score = min(1.0, max(0.0, score))
    details["similarity"] = round(score, 6)
    if threshold is None:
        return PairVerdict(score, reason, details)
    return PairVerdict(float(score >= threshold), f"{reason}, threshold {threshold:g}", details)


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

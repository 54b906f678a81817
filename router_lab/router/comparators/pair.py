"""What a comparator takes and gives, and how its options are read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

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

"""What a person says about a pair: the record, and where it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

VerdictWord = Literal["primary better", "shadow better", "equally good", "both wrong"]
VERDICTS: tuple[VerdictWord, ...] = get_args(VerdictWord)


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanVerdict:
    """A person's judgement of one pair."""

    comparison_id: str
    task_type: str
    verdict: VerdictWord
    note: str = ""


# Stores a verdict durably or raises; a panel calls it before it shows the verdict as saved.
StoreVerdict = Callable[[HumanVerdict], None]

"""What earlier monitor runs did to each task type, read back from the switch events.

The author of an event says what it was: `router-lab monitor: exit`, `... : audit`, `... : rearm`.
So the state lives in the ledger and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import pandas as pd

AUTHOR = "router-lab monitor"

Step = Literal["exit", "stop", "audit", "rearm"]
State = Literal["measuring", "exited", "stopped"]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one task type stands: measuring, exited (light audits go on) or stopped, and since when.

    `evidence_since` is the re-arm that began the present run, None for the beginning.
    """

    state: State = "measuring"
    since: datetime | None = None
    audited_at: datetime | None = None
    evidence_since: datetime | None = None


def author_of(step: Step) -> str:
    """The author written into a switch event for this step."""
    return f"{AUTHOR}: {step}"


def standings(switch_events: pd.DataFrame | None, task_types: Sequence[str]) -> dict[str, Standing]:
    """The standing of each task type. `switch_events` is the ledger's table (None: no event)."""
    found = {name: Standing() for name in task_types}
    if switch_events is None or switch_events.empty:
        return found
    for event in switch_events.sort_values("epoch").itertuples():
        if event.prefix in found:
            at = pd.Timestamp(event.at)
            moment = (at.tz_localize("UTC") if at.tzinfo is None else at).to_pydatetime()
            found[event.prefix] = _after(found[event.prefix], str(event.author), bool(event.on), moment)
    return found


def _after(before: Standing, author: str, on: bool, at: datetime) -> Standing:
    if author == author_of("exit"):
        return Standing("exited", at, evidence_since=before.evidence_since)
    if author == author_of("stop"):
        return Standing("stopped", at, evidence_since=before.evidence_since)
    if author == author_of("audit"):
        return replace(before, audited_at=at)
    # A re-arm, or a person turning it on again after an exit: measuring begins afresh.
    if on and before.state != "measuring":
        return Standing("measuring", at, evidence_since=at)
    return before

"""Plans, verdicts and flips that somebody passes as frames: read as the ledger's own, or refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from watched_pairs import LATER, NAME, apply, pairs, write

from router_lab import analysis
from router_lab.errors import ConfigError, RouterLabError
from router_lab.ledger import Ledger
from router_lab.records import SwitchEvent, Watch

RECORDS = {"watches": Watch, "switch_events": SwitchEvent}
ODD = (
    5,
    2.5,
    -1,
    10**400,
    np.inf,
    "many",
    "",
    None,
    True,
    [1],
    {},
    b"x",
    object(),
    pd.Timedelta("1s"),
    LATER,
)

Frames = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    """Pairs that were exited, and the two histories of it."""
    with Ledger(tmp_path_factory.mktemp("given") / "ledger") as ledger:
        ledger.switch.on(reason="a person")
        write(ledger, pairs([1.0] * 150))
        apply(ledger)
        assert len(ledger.switch.history()) == 2 and len(ledger.watches()) == 2
        return {
            "pairs": ledger.comparisons(),
            "watches": ledger.watches(),
            "switch_events": ledger.switch.history(),
        }


def looked_at(frames: Frames, name: str, frame: Any) -> list[str]:
    """What is said with one of the histories given so."""
    given = {one: frames[one] for one in RECORDS} | {name: frame}
    told = [repr(analysis.monitor(frames["pairs"], **given, now=LATER))]
    if name == "watches":
        told.append(repr(analysis.ab(frames["pairs"], watches=frame)))
    return told


def needed(name: str) -> list[str]:
    filled = [one.name for one in fields(RECORDS[name]) if one.default is one.default_factory is MISSING]
    # The oldest watches have the first under another name, and nobody reads the other of a flip.
    return [one for one in filled if one not in ("max_inputs", "reason")]


AS_THE_SAME: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "objects": lambda frame: frame.astype(object),
    "another index": lambda frame: frame.set_axis(range(7, 7 + len(frame)), axis=0),
    "a column as index": lambda frame: frame.set_index("at"),
    "times as texts": lambda frame: frame.assign(at=frame["at"].map(lambda one: one.isoformat())),
    "times without a zone": lambda frame: frame.assign(at=frame["at"].dt.tz_localize(None)),
    "more columns": lambda frame: frame.assign(mine="word"),
    "shuffled": lambda frame: frame.sample(frac=1.0, random_state=1),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_frame_is_read_as_the_ledgers_own(frames: Frames, name: str):
    expected = looked_at(frames, name, frames[name])
    for how, changed in AS_THE_SAME.items():
        assert looked_at(frames, name, changed(frames[name])) == expected, how
    assert looked_at(frames, name, frames[name][needed(name)])


@pytest.mark.parametrize("name", RECORDS)
def test_a_column_that_is_missing_is_named(frames: Frames, name: str):
    """Regression: some were a KeyError or a TypeError of a record of ours."""
    for column in needed(name):
        with pytest.raises(
            ConfigError, match=f"{name} has no column '{column}'; pass a frame such as ledger"
        ):
            looked_at(frames, name, frames[name].drop(columns=column))


@pytest.mark.parametrize("step", [6, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize("name", RECORDS)
def test_an_odd_value_is_answered_or_refused(frames: Frames, name: str, step: int):
    """Regression: an infinite number of pairs was an OverflowError, a missing time an error of pandas."""
    for place, column in enumerate(frames[name].columns):
        for odd in ODD[place % step :: step]:
            values = frames[name][column].astype(object).tolist()
            changed = frames[name].assign(**{column: pd.Series([odd, *values[1:]], dtype=object)})
            with suppress(RouterLabError):
                looked_at(frames, name, changed)


def test_a_number_that_is_no_time_is_named(frames: Frames):
    for name in RECORDS:
        with pytest.raises(ConfigError, match=f"column 'at' of {name} has 5; it must hold times"):
            looked_at(frames, name, frames[name].assign(at=5))
    assert NAME in looked_at(frames, "watches", frames["watches"])[0]


def test_a_report_is_of_a_history_that_can_be_read(frames: Frames, tmp_path: Path):
    with Ledger(tmp_path / "ledger") as ledger:
        write(ledger, pairs([1.0] * 50))
        with pytest.raises(ConfigError, match="switch_events has no column 'author'"):
            analysis.verdict(ledger, switch_events=frames["switch_events"].drop(columns="author"))

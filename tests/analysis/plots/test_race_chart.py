"""The frontier's figure: what is drawn is what the race says; right for none, one, and many."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import router_lab as rl
from kinds import kept
from router_lab.analysis import RacePlan, plots


def pairs(names: list[str], rows: int = 150) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "primary_alias": "big",
                    "shadow_alias": name,
                    "input_hash": np.arange(rows).astype(str),
                    "primary_score": (rng.random(rows) < 0.8).astype(float),
                    "shadow_score": (rng.random(rows) < 0.8 - 0.6 * place / len(names)).astype(float),
                    "primary_cost_usd": 0.01,
                    "shadow_cost_usd": 0.01 * 10.0 ** (-2 * (place + 1) / len(names)),
                }
            )
            for place, name in enumerate(names)
        ]
        or [pd.DataFrame({"shadow_alias": [], "input_hash": [], "primary_score": [], "shadow_score": []})]
    )


@pytest.mark.parametrize("number", kept([0, 1, 5, 15, 40], 0, 15))
def test_any_number_of_candidates_is_drawn_where_they_stand(number):
    found = rl.race(pairs([f"model $_{place}" for place in range(number)]), RacePlan(margin=0.2))
    plot = plots.frontier(found)
    assert plot._repr_png_().startswith(b"\x89PNG")
    assert len(plot.data) == number + 1
    if not number:
        assert "no candidate has pairs" in repr(plot)
        return
    containers = [bars[0].get_xydata() for bars in plot.axes.containers]
    drawn = np.concatenate(containers)
    told = 100 * plot.data[["total_cost_ratio", "difference"]].to_numpy(dtype=float)
    assert np.allclose(drawn[np.lexsort(drawn.T)], told[np.lexsort(told.T)])
    assert "%" in plot.axes.get_xlabel() and "points" in plot.axes.get_ylabel()
    assert plot.axes.get_title(loc="left")


def test_candidates_without_costs_are_told_and_not_drawn():
    rows = pairs(["one", "other"])
    rows.loc[rows["shadow_alias"] == "one", "shadow_cost_usd"] = np.nan
    plot = plots.frontier(rl.race(rows))
    assert "1 without a known cost" in repr(plot)
    assert "no candidate has pairs and a known cost yet" in repr(
        plots.frontier(rl.race(rows.assign(primary_cost_usd=np.nan)))
    )


def test_free_candidates_and_dearer_ones_are_drawn():
    rows = pairs(["one", "other"]).assign(
        shadow_cost_usd=lambda frame: np.where(frame["shadow_alias"] == "one", 0.0, 0.05)
    )
    plot = plots.frontier(rl.race(rows))
    assert plot.axes.get_xscale() == "linear"
    assert plot._repr_png_().startswith(b"\x89PNG")

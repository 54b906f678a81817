"""Plots: what is drawn is what is in the data; right for nothing, one row, and much."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from pair_frames import NOW, agreeing, pairs_frame
from synthetic_ledger import write_ledger

import router_lab.analysis as analysis
from kinds import kept
from router_lab.analysis import plots
from router_lab.analysis.plots.plot import error_bars

LATER = (NOW + pd.Timedelta(hours=1)).to_pydatetime()
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return analysis.open(write_ledger(tmp_path_factory.mktemp("plots"), 3_000, seed=3))


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return analysis.open(tmp_path_factory.mktemp("empty"))


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return analysis.open(write_ledger(tmp_path_factory.mktemp("single"), 1, days=1))


OF_TABLES = [
    plots.agreement_by_task_type,
    plots.spend_by_cause,
    plots.latency_quantiles,
    plots.truncation_over_time,
    lambda tables: plots.divisor_convergence(analysis.replay_estimators(tables, last=300)),
]


@pytest.mark.few(3)
@pytest.mark.parametrize("draw", OF_TABLES)
@pytest.mark.parametrize("size", ["tables", "single", "empty"])
def test_every_plot_of_tables_draws_whatever_there_is(draw, size, request):
    plot = draw(request.getfixturevalue(size))
    assert plot._repr_png_().startswith(PNG)
    assert repr(plot) and "\n" not in repr(plot)
    assert (len(plot.data) > 0) or size != "tables"


@pytest.mark.few(1)
@pytest.mark.parametrize("rows", [[], [1.0], agreeing(0.97, 3_000)])
def test_monitor_and_ab_plots_draw_whatever_there_is(rows):
    frame = pairs_frame(rows)
    assert plots.verdicts(analysis.ab(frame))._repr_png_().startswith(PNG)
    result = analysis.monitor(frame, now=LATER)
    for name in result.decisions:
        assert plots.confidence_band(result, name)._repr_png_().startswith(PNG)
        assert plots.evidence(result, name)._repr_png_().startswith(PNG)


def test_the_forest_draws_each_mean_where_it_is(tables):
    plot = plots.agreement_by_task_type(tables)
    drawn = [
        line.get_xdata()[0]
        for line in plot.axes.lines
        if line.get_marker() in "oDs" and len(line.get_xdata()) == 1
    ]
    assert drawn == pytest.approx(list(plot.data["mean"]))
    assert all(f"{name} " in repr(plot) for name in plot.data["task_type"])


@pytest.mark.parametrize("pairs", kept(range(30, 60), 40, 45, 57))  # three of the five that had
def test_a_mean_at_its_end_is_drawn_whatever_rounding_does(pairs):
    """Regression: 40 pairs with nothing in common had a mean below -1 by a last digit, and no report."""
    rng = np.random.default_rng(pairs)
    frame = pairs_frame(np.zeros(pairs), sample_probability=rng.uniform(0.05, 1, pairs))
    result = analysis.ab(frame)
    (row,) = result.frame.to_dict("records")
    assert -1 <= row["low"] <= row["difference"] <= row["high"]
    assert plots.verdicts(result).data is not None


@pytest.mark.parametrize("off", [0.0, 1e-15, 0.5])
def test_error_bars_never_reach_backwards(off):
    bars = error_bars([0.0, 1.0], [off, 0.5], [off, 1.0 - off])
    assert bars.shape == (2, 2) and (bars >= 0).all()


def test_the_latch_is_drawn_where_the_verdict_fell():
    result = analysis.monitor(pairs_frame(np.ones(400)), now=LATER)
    plot = plots.confidence_band(result, "classify::ticket")
    after = result.decisions["classify::ticket"].decided_after
    (star,) = [line for line in plot.axes.lines if line.get_marker() == "*"]
    assert star.get_xdata()[0] == after
    assert f"reached after {after}" in repr(plot)


def test_bars_add_up_to_the_spend(tables):
    plot = plots.spend_by_cause(tables)
    widths = sum(patch.get_width() for patch in plot.axes.patches)
    assert widths == pytest.approx(plot.data["cost_usd"].sum())


def test_what_was_spent_is_told_by_cause_and_the_unconfirmed_apart(tables):
    plot = plots.spend_by_cause(tables)
    assert "unconfirmed" in plot.axes.get_title(loc="left")
    words = [text.get_text() for text in plot.axes.get_legend().get_texts()]
    assert "answer after retry" in words and "unknown" in words
    assert all(bar.get_hatch_linewidth() < 0.5 for bar in plot.axes.patches)


@pytest.mark.parametrize("days", [1, 2, 30])
def test_truncation_over_time_shows_the_days_there_are(days, tmp_path):
    """Regression: one day was drawn on an axis of several years."""
    plot = plots.truncation_over_time(analysis.open(write_ledger(tmp_path, 400, days=days)))
    left, right = plot.axes.get_xlim()  # in days
    assert days == len(plot.data)
    assert right - left == pytest.approx(days + 1)
    if days < 8:
        plot.figure.canvas.draw()
        shown = [tick.get_text() for tick in plot.axes.get_xticklabels()]
        assert shown == [f"{day:%Y-%m-%d}" for day in pd.to_datetime(plot.data["day"])]


def test_a_plot_can_be_drawn_into_given_axes(tables):
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    assert plots.latency_quantiles(tables, ax=axes).axes is axes


def test_nothing_is_left_open_in_pyplot(tables):
    plots.spend_by_cause(tables)
    import sys

    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []
    assert mpl.__version__


def test_hostile_names_are_drawn_as_text():
    frame = pairs_frame(np.ones(200), task_type="$\\frac{evil$ <b>\x1b[0m\n‮x")
    result = analysis.monitor(frame, now=LATER)
    (name,) = result.decisions
    for plot in (plots.confidence_band(result, name), plots.verdicts(analysis.ab(frame))):
        assert plot._repr_png_().startswith(PNG)
        assert "\x1b" not in repr(plot) and "‮" not in repr(plot)


def test_saving_follows_the_suffix(tables, tmp_path):
    plots.latency_quantiles(tables).save(tmp_path / "latency.svg")
    assert (tmp_path / "latency.svg").read_text().lstrip().startswith("<?xml")

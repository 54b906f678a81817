"""How token estimators converge, and what other settings would have said, replayed over the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ipywidgets as widgets
import pandas as pd

from router_lab.counted import counted
from router_lab.panels.panel import control
from router_lab.panels.panel_sources import tables_opener
from router_lab.panels.sheet import Sheet, SheetPanel, chooser, chosen
from router_lab.panels.slider_names import SliderNames

if TYPE_CHECKING:
    from router_lab.settings.models import TokenEstimation


class DivisorPanel(SheetPanel):
    """Estimators replayed over a ledger (a `Ledger`, its tables, or a path).

    `recorded` is what the router decided with; `yours` is the moving average under the sliders. Each
    call is estimated before it is learnt from. `.selection()` has a row per call and estimator.
    Raises `ConfigError` for another source.
    """

    heading = "Characters per token, as estimated and as counted"

    def __init__(self, source: object, *, last: int = 1_000) -> None:
        from router_lab.settings.models import TokenEstimation

        self._open = tables_opener(source, type(self).__name__)
        default = TokenEstimation()
        self.task_type = chooser("Task type", "the commonest")
        self.model = chooser("Model", "the commonest")
        self.alpha = _slider("Alpha (weight of the newest call)", 0.01, 1.0, default.ema_alpha)
        self.safety = _slider("Safety factor", 0.5, 1.0, default.safety_factor)
        self.bounds = control(
            widgets.FloatRangeSlider,
            "Bounds (characters per token)",
            width="420px",
            min=0.5,
            max=8.0,
            step=0.1,
            value=default.divisor_bounds,
            continuous_update=False,
        )
        self.last = control(
            widgets.BoundedIntText, "Newest calls", width="190px", min=1, max=50_000, value=last
        )
        controls = (self.task_type, self.model, self.last, self.alpha, self.safety, self.bounds)
        super().__init__(*controls, opened=[SliderNames()])

    def _read(self) -> Sheet:
        from router_lab import analysis
        from router_lab.analysis import plots
        from router_lab.analysis.plots.plot import named

        tables, last = self._open(), int(self.last.value)
        recorded = analysis.replay_estimators(tables, last=last)
        yours = analysis.replay_estimators(
            tables, {"yours": analysis.CalibratedEstimator(self._settings())}, last=last
        )
        replay = analysis.EstimatorReplay(_together(recorded.calls, yours.calls))
        calls = named(replay.calls, "task_type", "model")
        task_type, model = _commonest(calls, chosen(self.task_type), chosen(self.model))
        picked = replay.calls[(calls["task_type"] == task_type) & (calls["model"] == model)]
        return Sheet(
            sentence=_sentence(picked),
            selection=picked,
            tables=(("Each estimator", _in_words(analysis.EstimatorReplay(picked).frame)),),
            plot=plots.divisor_convergence(replay, task_type, model),
            choices={
                "task_type": tuple(sorted(calls["task_type"].unique())),
                "model": tuple(sorted(calls["model"].unique())),
            },
        )

    def _settings(self) -> TokenEstimation:
        from router_lab.settings.models import TokenEstimation

        low, high = self.bounds.value
        return TokenEstimation(
            estimator="ema",
            ema_alpha=self.alpha.value,
            safety_factor=self.safety.value,
            divisor_bounds=(low, high),
        )


def _slider(description: str, low: float, high: float, value: float) -> widgets.FloatSlider:
    return control(
        widgets.FloatSlider,
        description,
        width="420px",
        min=low,
        max=high,
        step=0.01,
        value=value,
        continuous_update=False,
    )


def _together(*frames: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame for frame in frames if len(frame)] or list(frames[:1]), ignore_index=True)


def _in_words(estimators: pd.DataFrame) -> pd.DataFrame:
    from router_lab.analysis.plots.token_charts import ESTIMATORS

    return estimators.assign(estimator=estimators["estimator"].replace(ESTIMATORS))


def _commonest(
    calls: pd.DataFrame, task_type: str | None, model: str | None
) -> tuple[str | None, str | None]:
    """The pair chosen, completed by the commonest that goes with it."""
    for column, wanted in (("task_type", task_type), ("model", model)):
        if wanted is not None:
            calls = calls[calls[column] == wanted]
    if calls.empty:
        return task_type, model
    counted = calls.groupby(["task_type", "model"]).size().sort_values(ascending=False, kind="stable")
    found: tuple[str, str] = counted.index[0]
    return found


def _sentence(picked: pd.DataFrame) -> str:
    if picked.empty:
        return "No call with a token count for this choice"
    missed = picked.groupby("estimator")["missed"].mean()
    count = int((picked["estimator"] == "yours").sum())
    return (
        f"{counted(count, 'calls')}: recorded estimates were too low in {missed.get('recorded', 0.0):.1%}, "
        f"yours would be in {missed['yours']:.1%}"
    )

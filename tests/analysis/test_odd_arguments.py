"""Arguments that mean nothing are refused by name, before anything is read or counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import router_lab as rl
from router_lab.analysis import ExitPlan
from router_lab.analysis.evidence.marks import stratified_mean
from router_lab.errors import ConfigError
from router_lab.ledger import Ledger
from router_lab.steering import SteeringPolicy, plan_actions

NO_NUMBERS: tuple[Any, ...] = ("x", None, True, float("nan"), -1)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "ledger")
    with made.switch.on(reason="test"):
        return made


@pytest.mark.parametrize("value", NO_NUMBERS)
@pytest.mark.parametrize(
    "name", ["threshold", "alpha", "max_inputs", "futility_after", "stale_days", "at_least_days"]
)
def test_a_plan_is_of_numbers(name: str, value: Any):
    with pytest.raises(ConfigError, match=f"^{name} is "):
        ExitPlan(**{name: value})


@pytest.mark.parametrize("value", NO_NUMBERS)
@pytest.mark.parametrize(
    "name", ["exit_after_days", "audit_every_days", "audit_share", "audit_pairs", "audit_usd", "rearm_usd"]
)
def test_a_policy_is_of_numbers(name: str, value: Any):
    with pytest.raises(ConfigError, match=f"^{name} is "):
        SteeringPolicy(**{name: value})


async def test_what_is_no_policy_and_no_result_is_named(ledger: Ledger):
    with pytest.raises(ConfigError, match=r"^policy is 5"):
        await rl.steer(ledger, None, 5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^result is None"):
        plan_actions(None)  # type: ignore[arg-type]


METRICS: list[Callable[..., Any]] = [
    getattr(rl.analysis, name)
    for name in (
        "agreement", "beyond_noise", "estimates", "flip_rate", "latency", "rates", "savings", "spend",
        "truncation", "truncation_by_signal", "attempts_per_request",
    )
]  # fmt: skip


@pytest.mark.few(3)
@pytest.mark.parametrize("metric", METRICS)
def test_metrics_are_grouped_by_names_at_a_level(ledger: Ledger, metric: Callable[..., Any]):
    for by in (5, None, [5]):
        with pytest.raises(ConfigError, match=r"^by is "):
            metric(ledger, by)
    if "alpha" in metric.__annotations__:
        for alpha in (*NO_NUMBERS, 0, 2):
            with pytest.raises(ConfigError, match=r"^alpha is "):
                metric(ledger, alpha=alpha)


def test_scorers_are_named(ledger: Ledger):
    for by in (5, ""):
        with pytest.raises(ConfigError, match=r"^by is "):
            rl.analysis.marks(ledger, by)  # type: ignore[arg-type]
    for arguments in ({"by": "ana"}, {"by": 5}, {"alpha": 2}, {"seed": "x"}):
        with pytest.raises(ConfigError, match=f"^{min(arguments)} is "):
            rl.analysis.scorer_agreement(ledger, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((["x"], ["a"], [0.5]), "values"),
        (([5.0], ["a"], [0.5]), "values"),
        (([1.0, 0.0], ["a"], [0.5, 0.5]), "strata"),
        (([1.0, 0.0], ["a", "b"], [0.5]), "chances"),
        (([1.0], ["a"], ["x"]), "chances"),
        (([1.0], ["a"], [0.5], [-1.0]), "weights"),
        (([1.0], ["a"], [0.5], [np.nan]), "weights"),
        ((None, None, None), "values"),
    ],
)
def test_a_stratified_mean_needs_values_that_fit(arguments: Any, named: str):
    with pytest.raises(ConfigError, match=f"^{named} "):
        stratified_mean(*arguments)


@pytest.mark.parametrize(
    "odd", [{"seed": "x"}, {"seed": None}, {"task_type": 5}, {"task_type": ""}, {"design": 5}]
)
def test_pairs_are_drawn_by_arguments_that_mean_something(ledger: Ledger, odd: dict[str, Any]):
    with pytest.raises(ConfigError, match=f"^{min(odd)} is "):
        rl.spot_checks(ledger, 5, by="ana", **odd)


@pytest.mark.parametrize("odd", [0, 1, -1, 2, "x", float("nan")])
def test_a_design_leaves_nothing_out(ledger: Ledger, odd: Any):
    for made in (lambda: rl.scores.differing_more(share=odd), lambda: rl.scores.uncertain_more(ledger, odd)):
        with pytest.raises(ConfigError, match=r"^share is "):
            made()


def test_a_reserved_name_is_refused_without_naming_what_is_no_argument(ledger: Ledger):
    with pytest.raises(ConfigError, match=r"give a name, such as 'ana'$"):
        rl.spot_checks(ledger, 5, by="judge")

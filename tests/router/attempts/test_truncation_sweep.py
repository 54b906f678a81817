"""The tripwire against a model of every Ollama version family, on real text around the window's edge.

Three ways to be wrong about it are kept apart: what the product does (a prompt that may not fit is
not sent), the tripwire all alone on single messages, and all alone on conversations. The last cannot
have both no miss and few false alarms: a conversation that lost a small message counts as much as an
intact one that is near the edge. There the tripwire prefers to be loud.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
from token_streams import MemoryStore
from truncation_oracle import Prompt, Server, random_prompt

from router_lab.records import Usage
from router_lab.router.attempts.tokens import (
    Calibrator,
    Sample,
    fits,
    sample,
)
from router_lab.router.attempts.truncation import TruncationEvidence, inspect, may_drop_silently
from router_lab.router.attempts.windows import Window
from router_lab.settings.models import TokenEstimation

FAMILIES = {
    "0.3": ((0, 3, 14), False),
    "0.4-0.24": ((0, 5, 7), False),
    "0.12.6-0.24": ((0, 20, 0), False),
    "0.30.0-10": ((0, 30, 5), False),
    "0.30.0-10 native": ((0, 30, 5), True),
    "0.30.11+": ((0, 33, 0), False),
    "0.30.11+ native": ((0, 33, 0), True),
}
Estimation = Literal["coverage", "ema"]


@dataclass(frozen=True)
class Sweep:
    """How a stream of prompts is sent. `checks`: a prompt that may not fit is not sent."""

    family: str
    window: int = 4096
    tokenizer: str = "o200k"
    estimator: Estimation = "coverage"
    checks: bool = True
    truncate: bool = True
    calls: int = 300
    seed: int = 1

    def run(self) -> Counter[str]:
        version, native = FAMILIES[self.family]
        server = Server(version, self.window, native)
        known = Window(self.window if version >= (0, 10, 0) else None, version)
        store = MemoryStore()
        calibrator = Calibrator(TokenEstimation(estimator=self.estimator), store.calibration)
        rng = np.random.default_rng(self.seed)
        counted: Counter[str] = Counter()
        for _ in range(self.calls):
            prompt = random_prompt(rng, self.tokenizer, self.window)
            outcome, learnt = self._call(prompt, server, known, calibrator, rng)
            counted[outcome] += 1
            if learnt is not None:
                store.apply(calibrator.folds("model", "task", prompt.features, learnt))
        return counted

    def _call(
        self, prompt: Prompt, server: Server, known: Window, calibrator: Calibrator, rng: np.random.Generator
    ) -> tuple[str, Sample | None]:
        shape = "conversation" if len(prompt.pieces) > 1 else "single"
        reserve = self.window // 8
        estimate = calibrator.estimate("model", "task", prompt.features)
        may_drop = may_drop_silently(len(prompt.pieces), known, refused_truncation=not self.truncate)
        if self.checks and not fits(estimate, self.window, reserve, may_drop=may_drop):
            return "held", None
        served = server.serve(prompt, truncate=self.truncate)
        if served.counted is None:
            exact = served.exact if not served.cut else None
            return "refused", None if exact is None else Sample(exact)
        written = int(rng.integers(0, max(1, self.window - served.counted + 1)))
        usage = Usage(tokens_in=served.counted, tokens_out=written)
        signal = inspect(
            TruncationEvidence(
                num_ctx=self.window,
                usage=usage,
                estimate=estimate,
                features=prompt.features,
                output_reserve=reserve,
                window=known,
                droppable=lambda: prompt.droppable,
                refused_truncation=not self.truncate,
            )
        )
        flagged = signal is not None and signal.suspicious
        verdict = {(True, True): "detected", (True, False): "missed", (False, True): "false alarm"}
        outcome = verdict.get((served.cut, flagged), "intact")
        return f"{outcome} {shape}", sample(usage, signal, prompt.features, version=known.version)


def both(counted: Counter[str], outcome: str) -> int:
    return counted[f"{outcome} single"] + counted[f"{outcome} conversation"]


@pytest.mark.parametrize("family", FAMILIES)
def test_no_cut_prompt_passes_the_tripwire_all_alone(family: str) -> None:
    counted = Sweep(family, checks=False, calls=500).run()
    assert both(counted, "missed") == 0
    assert both(counted, "detected") >= 50
    assert counted["detected conversation"] >= 50
    intact = counted["intact single"] + counted["false alarm single"]
    assert counted["false alarm single"] <= max(1, 0.005 * intact)
    intact = counted["intact conversation"] + counted["false alarm conversation"]
    assert counted["false alarm conversation"] <= 0.3 * intact


@pytest.mark.parametrize("truncate", [True, False])
@pytest.mark.parametrize("estimator", ["coverage", "ema"])
@pytest.mark.parametrize("family", ["0.3", "0.4-0.24", "0.30.0-10", "0.30.11+"])
def test_as_the_product_sends_prompts_none_is_cut_unseen_and_alarms_are_rare(
    family: str, estimator: Estimation, truncate: bool
) -> None:
    counted = Sweep(family, estimator=estimator, truncate=truncate, calls=400).run()
    assert both(counted, "missed") == 0
    assert both(counted, "false alarm") <= 1
    assert both(counted, "intact") >= 40


def test_the_moving_average_lets_prompts_through_that_only_the_tripwire_finds() -> None:
    counted = Sweep("0.30.11+", estimator="ema", calls=600).run()
    assert counted["detected single"] >= 5


def test_the_plain_saturation_rule_would_miss_what_current_servers_do() -> None:
    rng = np.random.default_rng(3)
    server = Server((0, 33, 0), 4096)
    served = [server.serve(random_prompt(rng, "o200k", 4096), truncate=True) for _ in range(300)]
    cut = [one for one in served if one.cut and one.counted is not None]
    seen = [one for one in cut if one.counted is not None and one.counted >= 4096 - 512]
    assert len(cut) > 50
    assert len(seen) < len(cut) / 2


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["family             mode               sent  held  400   detected/cut   false alarms/intact"]
    totals: dict[str, Counter[str]] = {}
    for family in FAMILIES:
        modes = {
            "product": {},
            "product, 400": {"truncate": False},
            "product, ema": {"estimator": "ema"},
            "tripwire alone": {"checks": False},
        }
        for mode, options in modes.items():
            counted: Counter[str] = Counter()
            for number, tokenizer in enumerate(("o200k", "qwen3", "tekken", "cl100k")):
                window = (2048, 8192, 4096, 8192)[number]
                sweep = Sweep(family, window, tokenizer, calls=1000, seed=10 + number, **options)  # type: ignore[arg-type]
                counted += sweep.run()
            totals[f"{family} {mode}"] = counted
            lines += _rows(family, mode, counted)
    with capsys.disabled():
        print("", *lines, sep="\n")
    for name, counted in totals.items():
        if "alone" not in name:
            assert both(counted, "missed") == 0, name
            assert both(counted, "false alarm") < 0.005 * both(counted, "intact"), name
        assert both(counted, "missed") <= 0.001 * both(counted, "detected"), name


def _rows(family: str, mode: str, counted: Counter[str]) -> list[str]:
    rows = []
    for shape in ("single", "conversation"):
        detected, missed = counted[f"detected {shape}"], counted[f"missed {shape}"]
        alarms, intact = counted[f"false alarm {shape}"], counted[f"intact {shape}"]
        share = alarms / max(1, alarms + intact)
        rows.append(
            f"{family:18} {mode + ' ' + shape[:6]:22} {detected + missed + alarms + intact:5} "
            f"{counted['held']:5} {counted['refused']:5} {detected:6}/{detected + missed:<6} "
            f"{alarms:5}/{alarms + intact:<6} {share:.2%}"
        )
    return rows

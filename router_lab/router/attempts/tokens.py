"""Input tokens before sending: estimates, what may teach them, and whether a prompt fits.

Two estimators (`estimators/`), chosen by `ollama.token_estimation.estimator`: `ema`, a moving
average of characters per token, and `coverage`, character classes with a guaranteed miss rate. The
second is always learnt, since the truncation tripwire compares counts with its expectation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from router_lab.records import Usage
from router_lab.router.estimators.estimator import (
    OWN_SAMPLES,
    CoverageEstimator,
    EmaEstimator,
    Estimate,
    hard_bound,
)
from router_lab.router.estimators.features import (
    Features,
    droppable_features,
    features,
    prompt_features,
)
from router_lab.router.ports import Fold
from router_lab.settings.models import TokenEstimation

__all__ = [
    "Calibrator",
    "Estimate",
    "Features",
    "Sample",
    "droppable_features",
    "features",
    "fits",
    "hard_bound",
    "prompt_features",
    "sample",
]

# They are stateless: what they learn is bytes that the ledger keeps. A state that is missing, corrupt or of
# another version decodes to a fresh one.
Estimator = CoverageEstimator | EmaEstimator

# Task types may be made up by the caller, one per call: what is kept of their keys is bounded.
_MOST_KEYS = 4096

# Ollama versions that report only the tokens not found in the prompt cache (before 0.2.0, and a
# regression in 0.30.0): such a count says nothing about the prompt.
UNCACHED_ONLY_BEFORE = (0, 2, 0)
UNCACHED_ONLY = (0, 30, 0)


@dataclass(frozen=True, slots=True)
class Sample:
    """A prompt's token count as the server gave it. `at_least`: flagged, the truth may be higher."""

    tokens_in: int
    at_least: bool = False


def sample(
    usage: Usage | None,
    signal: object | None,
    prompt: Features,
    *,
    schema_and_thinking: bool = False,
    version: tuple[int, int, int] | None = None,
) -> Sample | None:
    """What a reply's usage teaches; None when its count is missing, partial, or not of text alone.

    `signal` is the tripwire's, if any: a flagged count never feeds a divisor; it is a lower bound
    that can only reveal an estimate too low. `schema_and_thinking`: Ollama runs two generations then
    and counts the second only. `version` is the Ollama server's.
    """
    if usage is None or usage.tokens_in is None or usage.tokens_in <= 0 or usage.cached_only:
        return None
    if prompt.images or schema_and_thinking or not counts_whole_prompt(version):
        return None
    return Sample(usage.tokens_in, at_least=signal is not None)


def counts_whole_prompt(version: tuple[int, int, int] | None) -> bool:
    """Whether an Ollama of this version counts cached prompt tokens too; unknown versions do."""
    return version is None or (version >= UNCACHED_ONLY_BEFORE and version != UNCACHED_ONLY)


def fits(estimate: Estimate, window: int | None, output_reserve: int, *, may_drop: bool = False) -> bool:
    """Whether the prompt and `output_reserve` tokens of answer fit a window of `window` tokens.

    An unknown window fits everything. `may_drop`: the server drops whole messages silently (an
    Ollama that ignores or was not sent `truncate: false`, and more than one message; see
    `truncation.may_drop_silently`). A count afterwards can hardly show that, so then the coverage
    estimate has to fit too, whichever estimator is chosen.
    """
    if window is None:
        return True
    needed = max(estimate.tokens, estimate.upper) if may_drop else estimate.tokens
    return needed + output_reserve <= window


class Calibrator:
    """Estimates from, and updates of, the calibration states that the ledger keeps.

    `stored(key)` is the newest durable state under a key, None where there is none.
    """

    def __init__(self, settings: TokenEstimation, stored: Callable[[str], bytes | None]) -> None:
        self._stored = stored
        self._coverage = CoverageEstimator(settings)
        self._ema = EmaEstimator(settings) if settings.estimator == "ema" else None

    def estimate(self, model_key: str, task_type: str, prompt: Features) -> Estimate:
        """Estimate the input tokens of `prompt`, never above `hard_bound(prompt)`.

        `model_key` names what has one tokenizer and template: the model, not its alias.
        """
        own = self._state(self._coverage, model_key, task_type)
        enough = own.samples >= OWN_SAMPLES
        pooled = own if enough else self._state(self._coverage, model_key)
        estimate = self._coverage.estimate(prompt, own, pooled)
        if self._ema is not None:
            average = self._state(self._ema, model_key, task_type)
            chosen = self._ema.estimate(prompt, average, average)
            estimate = replace(estimate, tokens=chosen.tokens, divisor=chosen.divisor)
        bound = hard_bound(prompt)
        if estimate.tokens <= bound and estimate.upper <= bound:
            return estimate
        return replace(estimate, tokens=min(estimate.tokens, bound), upper=min(estimate.upper, bound))

    def folds(
        self, model_key: str, task_type: str, prompt: Features, observed: Sample
    ) -> tuple[tuple[str, Fold], ...]:
        """The updates one observation asks for, to run in the ledger's transaction: (key, fold) each."""
        coverage = _fold(self._coverage, prompt, observed)
        folds = [
            (_key(self._coverage.name, model_key), coverage),
            (_key(self._coverage.name, model_key, task_type), coverage),
        ]
        if self._ema is not None:
            folds.append((_key(self._ema.name, model_key, task_type), _fold(self._ema, prompt, observed)))
        return tuple(folds)

    def _state(self, estimator: Estimator, *names: str) -> Any:
        """The decoded state. Estimators remember what they decoded last."""
        return estimator.decode(self._stored(_key(estimator.name, *names)))


def _fold(estimator: Estimator, prompt: Features, observed: Sample) -> Callable[[bytes | None], bytes]:
    def fold(state: bytes | None) -> bytes:
        return estimator.update(state, prompt, observed.tokens_in, at_least=observed.at_least)

    return fold


@lru_cache(maxsize=_MOST_KEYS)
def _key(*names: str) -> str:
    """A key no two lists of names share, of fixed length whatever a task type holds."""
    digest = hashlib.blake2b(json.dumps(names).encode("ascii"), digest_size=16).hexdigest()
    return f"tokens/{names[0]}/{digest}"

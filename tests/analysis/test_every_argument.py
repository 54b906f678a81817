"""Every public function of analysis, scores, steering, replays and the ledger, given what means nothing.

Only the project's own errors come out, whatever the argument. A function that is not listed here fails the
test, so that a new one is swept too.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pair_frames import pairs_frame
from watched_pairs import LATER, NAME, pairs, write

import router_lab as rl
from kinds import kept
from lab import laboratory
from router_lab.analysis.evidence.marks import stratified_mean
from router_lab.analysis.evidence.scorers import krippendorff_alpha
from router_lab.analysis.exit.decision import decide
from router_lab.analysis.statistics.shift import detect, detect_shift
from router_lab.analysis.statistics.stopping import stopping_law
from router_lab.errors import RouterLabError
from router_lab.ledger import Ledger

FRAME = pairs_frame(np.ones(12))
PAIR = f"{NAME}-0-False"
TABLES: dict[Ledger, Any] = {}
GIVEN = {"comparison_id": [PAIR], "primary_score": [1.0], "shadow_score": [0.0]}
ODD: tuple[Any, ...] = (
    "5%", None, 0, -1, 1.5, float("nan"), float("inf"), [], ["x", 5], {"x": "y"}, object(),
    datetime(2026, 1, 1),
)  # fmt: skip

# What each function needs besides its defaults; one argument at a time is then odd.
Given = Callable[[Ledger, Path], dict[str, Any]]
PRICED = rl.settings.parse(
    "models: {local: {provider: ollama, model: m, num_ctx: 8192, price: {input: 0.1, output: 0.1}}}\n"
    "routing: {ask: {model: local}}\n"
)
METRICS = (
    "agreement", "attempts_per_request", "beyond_noise", "breaker_timeline", "drift", "estimates",
    "flip_rate", "judge_checks", "latency", "marks", "rates", "replay_estimators", "savings",
    "scorer_agreement",
    "spend", "truncation", "truncation_by_signal",
)  # fmt: skip
ANALYSIS: Mapping[str, Given] = {
    **dict.fromkeys(METRICS, lambda ledger, _: {"source": TABLES[ledger]}),
    **dict.fromkeys(("ab", "monitor", "race", "plan_experiment"), lambda *_: {"pairs": FRAME}),
    **dict.fromkeys(("RacePlan", "ExitPlan", "CalibratedEstimator"), lambda *_: {}),
    "report": lambda ledger, _: {"source": TABLES[ledger], "pictures": False, "now": LATER},
    "verdict": lambda ledger, _: {"source": TABLES[ledger], "now": LATER},
    "reprice": lambda ledger, _: {"source": TABLES[ledger], "config": PRICED},
    "ab_pairs": lambda *_: {"deviation": 0.3, "margin": 0.05},
    "open": lambda _, folder: {"path": folder / "ledger"},
}
OF_ARRAYS = SimpleNamespace(
    decide=decide,
    detect=detect,
    detect_shift=detect_shift,
    krippendorff_alpha=krippendorff_alpha,
    stopping_law=stopping_law,
    stratified_mean=stratified_mean,
)
METHODS: Mapping[str, Given] = {
    "decide": lambda *_: {"values": [0.5], "plan": rl.analysis.ExitPlan()},
    "detect": lambda *_: {"excess": [0.1], "allowed": 0.05},
    "detect_shift": lambda *_: {"values": [1.0] * 40, "metric": "cost"},
    "krippendorff_alpha": lambda *_: {"ratings": [[1, 1], [0, 0]]},
    "stopping_law": lambda *_: {"mean": 0.9, "threshold": 0.95, "max_inputs": 50},
    "stratified_mean": lambda *_: {"values": [1.0], "strata": ["a"], "chances": [0.5]},
}
SCORES: Mapping[str, Given] = {
    "differing_more": lambda *_: {},
    "uncertain_more": lambda ledger, _: {"ledger": ledger},
    "recompare": lambda *_: {"source": FRAME, "comparator": "exact"},
    "scored_pairs": lambda ledger, _: {"ledger": ledger},
    "spot_checks": lambda ledger, _: {"ledger": ledger, "count": 1, "by": "ana"},
    "summary": lambda ledger, _: {"again": rl.recompare(ledger, "exact")},
}
STEERING: Mapping[str, Given] = {
    "SteeringPolicy": lambda *_: {},
    "act": lambda ledger, _: {"actions": [], "switch": ledger.switch},
    "plan_actions": lambda *_: {"result": rl.analysis.monitor(FRAME, now=LATER)},
    "steer": lambda ledger, _: {"ledger": ledger},
}
READ = ("attempts", "comparisons", "alerts", "scores", "switch_events", "watches")
LEDGER: Mapping[str, Given] = {
    **dict.fromkeys((*READ, "tables", "columns", "spend"), lambda *_: {}),
    "score": lambda *_: {"comparison_id": PAIR, "side": "shadow", "value": 1, "by": "ana"},
    "import_scores": lambda *_: {"source": GIVEN, "by": "ana", "on": "comparison_id"},
    "prune": lambda *_: {"before": "2000-01-01"},
    "redact": lambda *_: {"before": "2000-01-01"},
    "export": lambda _, folder: {"path": folder / "out.csv"},
    "import_file": lambda _, folder: {"path": folder / "in.jsonl", "source": "jsonl"},
    "follow": lambda *_: {"timeout_s": 0.0},
    "reconcile": lambda _, folder: {"provider": "openai", "path": folder / "in.csv"},
}
REPLAY: Mapping[str, Given] = {
    "Candidate": lambda *_: {"alias": "cheap"},
    "grid": lambda *_: {"aliases": ["cheap"]},
    **dict.fromkeys(("replay", "batch_status"), lambda *_: {}),
    "replay_candidates": lambda *_: {"candidates": ["cheap"]},
    "freeze": lambda _, folder: {"out": folder / "bundle.parquet", "task_type": "ask"},
}
SWITCH: Mapping[str, Given] = {
    "on": lambda *_: {"reason": "test"}, "off": lambda *_: {"reason": "test"},
    "read": lambda *_: {"task_type": "a"},
}  # fmt: skip

# What takes no argument of a user's, or is called with a record by the package itself.
NO_ARGUMENTS = {
    "status", "seal", "compact", "verify", "recover", "close",
    "state", "states", "glance", "history", "start", "restore", "end_expired",
}  # fmt: skip
# Passed on as they are to what is swept too, at the price of reading a ledger each time.
PASSED_ON = {"steer": set(inspect.signature(rl.analysis.monitor).parameters) - {"pairs"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("odd")


@pytest.fixture(scope="module")
def ledger(folder: Path) -> Iterator[Ledger]:
    (folder / "in.jsonl").write_text("", "utf-8")
    (folder / "in.csv").write_text("date\n", "utf-8")
    with Ledger(folder / "ledger") as made:
        write(made, pairs(np.ones(12)))
        TABLES[made] = made.tables()
        yield made
        del TABLES[made]


OWNERS: Mapping[str, tuple[Callable[[Ledger], object], Mapping[str, Given]]] = {
    "analysis": (lambda _: rl.analysis, ANALYSIS),
    "methods": (lambda _: OF_ARRAYS, METHODS),
    "scores": (lambda _: rl.scores, SCORES),
    "steering": (lambda _: rl.steering, STEERING),
    "ledger": (lambda ledger: ledger, LEDGER),
    "switch": (lambda ledger: ledger.switch, SWITCH),
}


def public(owner: object) -> set[str]:
    """The functions of a module, or the methods of an object, that users call; and what checks itself."""
    names = getattr(owner, "__all__", None) or [one for one in dir(owner) if not one.startswith("_")]
    found = {
        name: getattr(owner, name)
        for name in names
        if not isinstance(getattr(type(owner), name, 0), property)
    }
    return {name for name, one in found.items() if inspect.isroutine(one) or hasattr(one, "__post_init__")}


def odd_of(arguments: Iterable[str], step: int, first: int) -> Iterator[tuple[str, Any]]:
    """Each argument with every `step`th odd value, the next one with others."""
    for place, argument in enumerate(arguments, first):
        yield from ((argument, odd) for odd in ODD[place % step :: step])


# Many take the same kind of argument, and all of a kind refuse by the same words of ours.
STEPS = pytest.mark.parametrize("step", kept([3, 1], 3))


@STEPS
async def test_a_replay_refuses_what_means_nothing_and_sends_nothing(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    raw = []
    with laboratory(tmp_path / "ledger") as lab:
        async with lab.router("routing:\n  ask: {model: cloud, max_tokens: 64}\n") as router:
            for number, (name, given) in enumerate(REPLAY.items()):
                function = getattr(rl.replay, name)
                needed = {"router": router, "rows": []}
                taken = inspect.signature(function).parameters
                good = {one: value for one, value in needed.items() if one in taken}
                good |= given(lab.ledger, tmp_path)
                for argument, odd in odd_of(taken, step, number):
                    if odd is taken[argument].default:
                        continue
                    try:
                        found = function(**{**good, argument: odd})
                        await found if inspect.isawaitable(found) else found
                    except RouterLabError as error:
                        assert str(error)
                    except Exception as error:
                        raw.append(f"{name}({argument}={odd!r}): {type(error).__name__}: {error}")
        assert not lab.served
    assert not raw, "\n".join(raw)


@STEPS
@pytest.mark.parametrize("where", kept(OWNERS, "analysis", "switch"))
def test_what_means_nothing_is_the_projects_own_error(
    where: str, step: int, ledger: Ledger, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(folder)
    of, table = OWNERS[where]
    owner = of(ledger)
    assert public(owner) - NO_ARGUMENTS <= {*table}, "sweep these too"
    raw = []
    for number, (name, given) in enumerate(table.items()):
        function, good = getattr(owner, name), given(ledger, folder)
        taken = inspect.signature(function).parameters
        for argument, odd in odd_of(taken, step, number):
            is_passed_on = argument in PASSED_ON.get(name, ())
            is_one_of_many = taken[argument].kind is inspect.Parameter.VAR_POSITIONAL
            if is_one_of_many or is_passed_on or odd is taken[argument].default:
                continue
            try:
                found = function(**{**good, argument: odd})
                if inspect.isawaitable(found):
                    asyncio.run(found)
            except RouterLabError as error:
                assert str(error)
            except Exception as error:
                raw.append(f"{where}.{name}({argument}={odd!r}): {type(error).__name__}: {error}")
    assert not raw, "\n".join(raw)

"""One ledger, every place that gives a verdict: they say the same, in the words the evidence allows."""

from __future__ import annotations

import asyncio
import html
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gsm8k_expected import EXPECTED
from pair_frames import NOW, pairs_frame

import router_lab as rl
from lab import laboratory
from router_lab.analysis import (
    ab,
    monitor,
    plan_experiment,
    report,
)
from router_lab.cli.command import main
from router_lab.defaults import BASES
from router_lab.ledger import Ledger
from router_lab.records import Score
from router_lab.replay import replay
from router_lab.router.comparators.compare import comparator, compare, stored_pair
from router_lab.settings import parse
from router_lab.steering import SteeringPolicy, steer
from scripted_server import openai, scripted

DATA = Path(__file__).parents[3] / "shared" / "data" / "gsm8k_responses.csv"
AT = datetime(2026, 11, 22, tzinfo=UTC)
NAME = "math::word"

ONE_AND_TWO = """
models:
  one: {{provider: openai, model: m-one, base_url: "{url}/v1", price: {{input: 1, output: 2}}}}
  two: {{provider: openai, model: m-two, base_url: "{url}/v1", price: {{input: 9, output: 18}}}}
routing: {{"math::word": {{model: one, shadow: {{model: two, comparator: number}}}}}}
ledger: {{durability: os}}
"""

# Nobody says so of answers that only differ.
CONDEMNED = re.compile(
    r"(?<!for better or )(?<!no )\b[Ww]orse|WORSE|\bNo\b, do not|[Dd]o not replace|not_non"
)


AT_ONCE = SteeringPolicy(exit_after_days=0)


def ledger_of(
    folder: Path, agreement: Any, scores: Any = None, by: str = "replay: number", **columns: Any
) -> Ledger:
    """A ledger on disk with a pair for each agreement; `scores` are (primary, shadow) of each pair."""
    kind = columns.pop("kind", "truth")
    texts = {"primary_output": "one", "shadow_output": "two"}
    frame = pairs_frame(agreement, NAME, **{"comparator": "number", "details": "{}", **texts, **columns})
    day = folder / "ledger" / "comparisons" / "date=2026-11-21"
    day.mkdir(parents=True)
    frame.to_parquet(day / "pairs.parquet")
    ledger = Ledger(folder / "ledger")
    if scores is not None:
        ledger.score(*marks(scores, by, kind))
    return ledger


def marks(scores: Any, by: str, kind: str = "truth") -> list[Score]:
    return [
        Score(
            score_id=f"{by}-{place}-{side}", at=AT, quality_score=float(worth), by=by, side=side, kind=kind,
            comparison_id=f"{NAME}-{place:07d}", chance=1.0,
        )
        for place, both in enumerate(scores)
        for side, worth in zip(("primary", "shadow"), both, strict=True)
    ]  # fmt: skip


def text_of(page: str) -> str:
    page = re.sub(r"<style.*?</style>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def surfaces(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, str]:
    """What each place says of the ledger under `folder`, by its name."""
    place, out, basis = folder / "ledger", folder / "report.html", options[1] if options else None
    moment = NOW.to_pydatetime()
    capsys.readouterr()
    assert main(["report", "--ledger", str(place), "--out", str(out), *options]) == 0
    assert main(["shadow", "monitor", "--ledger", str(place), *options]) == 0
    told = capsys.readouterr().out
    with Ledger(place) as ledger:
        # With a basis of its own the panel; else the one of the dashboard.
        panel = rl.panels.dashboard(ledger).show("May we stop?") if basis is None else None
        if panel is None:
            panel = rl.panels.MonitorPanel(ledger)
            panel.basis.value = basis
        said = {
            "ab": repr(ab(ledger, basis=basis)),
            "monitor": repr(monitor(ledger, basis=basis, now=moment)),
            "steer": repr(asyncio.run(steer(ledger, policy=AT_ONCE, basis=basis, now=moment))),
            "verdict": repr(rl.verdict(ledger, basis=basis, now=moment)),
            "panel": repr(panel) + text_of(panel._repr_mimebundle_()["text/html"]),
        }
    return {**said, "report": text_of(out.read_text()), "CLI monitor": told}


def better_shadow(seed: int = 0) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Of 300: 20 in 100 where only the shadow is right, 3 only the primary, 10 neither, 67 both."""
    rng = np.random.default_rng(seed)
    kinds = rng.permutation(np.repeat([0, 1, 2, 3], [60, 9, 30, 201]))
    worth = np.array([(0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (1.0, 1.0)])[kinds]
    return (kinds == 3).astype(float), [tuple(one) for one in worth]


def test_a_better_shadow_is_superior_everywhere_and_only_differs_without_its_scores(tmp_path, capsys):
    agreement, worth = better_shadow()
    ledger_of(tmp_path / "scored", agreement, worth).close()
    for place, said in surfaces(tmp_path / "scored", capsys).items():
        assert re.search("superior|You may replace", said, re.IGNORECASE), place
        assert "ground truth" in said, place
        assert not CONDEMNED.search(said), (place, CONDEMNED.search(said))
        assert "badly off" not in said and "differs" not in said.lower(), place
    ledger_of(tmp_path / "bare", agreement).close()
    for place, said in surfaces(tmp_path / "bare", capsys).items():
        assert re.search("differs|The answers differ", said, re.IGNORECASE), place
        assert "score some pairs" in said, place
        assert not CONDEMNED.search(said), (place, CONDEMNED.search(said))


@pytest.mark.soak  # the places are those of made answers above, the figures those of `test_real_answers.py`
@pytest.mark.timeout(600)
def test_the_real_answers_through_a_replay_with_what_is_expected(tmp_path, capsys):
    """By agreement the first 300 differ by 40.7 points, which was told as worse; GPT-4 is 22.3 better."""
    asyncio.run(replayed_gsm8k(tmp_path / "ledger"))
    with Ledger(tmp_path / "ledger") as ledger:
        row = ab(ledger).frame.iloc[0]
        told = (row["verdict"], row["basis"], row["whose"], row["pairs"], row["of_pairs"])
        assert told == ("superior", "scores", "ground truth", 300, 300)
        measured = [round(100 * row[name], 1) for name in ("difference", "low", "high")]
        # Student's t alone says 16.1 to 28.6; failures that are too rare to be seen are allowed for.
        assert measured == [22.3, 15.7, 28.8]
        alike = ab(ledger, basis="agreement").frame.iloc[0]
        assert (alike["verdict"], round(100 * alike["difference"], 1)) == ("differs", -40.7)
        (decision,) = monitor(ledger).decisions.values()
        assert (decision.outcome, 2 * decision.mean - 1) == ("superior", pytest.approx(row["difference"]))
    for place, said in surfaces(tmp_path, capsys).items():
        assert re.search("superior|You may replace", said, re.IGNORECASE), (place, said)
        assert "ground truth" in said and "22.3" in said, (place, said)
        assert not CONDEMNED.search(said) and "differs" not in said.lower(), place


async def replayed_gsm8k(folder: Path) -> None:
    """A ledger of the first 300 questions asked of a server that says what both models said."""
    if not DATA.exists():
        pytest.skip("the real GSM8K answers are not on this machine; the made data say the same")
    answers = pd.read_csv(DATA).head(300).set_index("prompt", drop=False)
    names = {"m-one": "mistralai/Mixtral-8x7B-Instruct-v0.1", "m-two": "gpt-4-1106-preview"}

    def answer_of(model: str) -> Any:
        said = answers[f"{names[model]}_response"]
        return lambda request: openai(said[request["messages"][-1]["content"]])

    rows = [
        {"id": str(place), "task_type": NAME, "prompt": prompt, "expected": expected}
        for place, (prompt, expected) in enumerate(zip(answers["prompt"], EXPECTED, strict=True))
    ]
    async with scripted({model: answer_of(model) for model in names}) as server:
        with Ledger(folder) as ledger, ledger.switch.on(reason="a replay"):
            async with rl.Router(parse(ONE_AND_TWO.format(url=server.url)), ledger=ledger, seed=0) as router:
                result = await replay(router, rows, comparator="number")
                await router.drain()
    assert result.counts["ok"] == 300


def said_by_functions(ledger: Ledger, **options: Any) -> dict[str, str]:
    """What the functions say, without pictures, panels and commands."""
    moment = NOW.to_pydatetime()
    return {
        "ab": repr(ab(ledger, **options)),
        "monitor": repr(monitor(ledger, now=moment, **options)),
        "steer": repr(asyncio.run(steer(ledger, policy=AT_ONCE, now=moment, **options))).split("Actions")[1],
        "report": text_of(report(ledger, pictures=False, now=moment, **options).html()),
    }


def test_a_wrong_tool_every_time_never_passes(tmp_path):
    right = '[{"arguments":{"id":7},"name":"get_order"}]'
    wrong = '[{"arguments":{"id":99},"name":"refund"}]'
    for name in ("text", "json", "number", "label", "tools"):
        for texts in (("", ""), ("One moment.", "One moment.")):
            pair = stored_pair(*texts, primary_tool_calls=right, shadow_tool_calls=wrong)
            same = stored_pair(*texts, primary_tool_calls=right, shadow_tool_calls=right)
            told = compare(comparator(name), pair).agreement
            assert told is not None and told <= 0.5, (name, texts, told)
            assert compare(comparator(name), same).agreement in (1.0, None), (name, texts)
        empty = compare(comparator(name), stored_pair("", "")).agreement
        assert empty in (0.0, None), name
    verdict = compare(comparator("tools"), pair)
    with ledger_of(tmp_path, [verdict.agreement] * 150, comparator="tools") as ledger:
        for place, said in said_by_functions(ledger).items():
            assert re.search("differs|answers differ", said, re.IGNORECASE), place
            assert not re.search("NON-INFERIOR|STABLE|stable:|You may replace", said), place


def test_a_shadow_that_could_never_work_is_refused_with_the_remedy_everywhere(tmp_path, capsys):
    error = "ProviderError: 404: model 'qwen' not found; run `ollama pull qwen`."
    details = json.dumps({"shadow_error": error})
    ledger_of(
        tmp_path, np.full(40, np.nan), details=details, status="shadow_misconfigured", comparator="label"
    ).close()
    for place, said in surfaces(tmp_path, capsys).items():
        assert "ollama pull qwen" in said, (place, said)
        assert not CONDEMNED.search(said) and "differs" not in said.lower(), (place, said)


def test_a_judge_that_finds_them_equally_good_reads_no_loss(tmp_path):
    """30 won by the primary, 40 ties, 30 won by the shadow."""
    preference = np.random.default_rng(1).permutation(np.repeat([0.0, 0.5, 1.0], [300, 400, 300]))
    details = [json.dumps({"preference": one}) for one in preference]
    with ledger_of(tmp_path, (preference > 0) * 1.0, details=details, comparator="judge") as ledger:
        row = ab(ledger).frame.iloc[0]
        (decision,) = monitor(ledger, now=NOW.to_pydatetime()).decisions.values()
        assert (row["basis"], row["difference"]) == ("judge", pytest.approx(0.0, abs=1e-9))
        assert 2 * decision.mean - 1 == pytest.approx(0.0, abs=1e-9)
        for place, said in said_by_functions(ledger).items():
            assert "judge" in said or place == "steer", place
            assert not CONDEMNED.search(said), place


@pytest.mark.soak
def test_a_judge_that_knows_nothing_is_refused_everywhere(tmp_path):
    rng = np.random.default_rng(3)
    judged, people = rng.choice([0.0, 1.0], 200), rng.choice([0.0, 1.0], 25)
    with ledger_of(
        tmp_path, np.zeros(200), list(zip(1 - judged, judged, strict=True)), "gpt", kind="judge"
    ) as one:
        assert "REFUSED" not in repr(plan_experiment(one, basis="judge"))
        one.score(*marks(list(zip(1 - people, people, strict=True)), "ana", "person"))
        said = {**said_by_functions(one, basis="judge"), "plan": repr(plan_experiment(one, basis="judge"))}
        for place, words in said.items():
            assert "no better than chance" in words, (place, words)
            assert not re.search("You may replace|STABLE|SUPERIOR|WORSE|worse \\d", words), place


@pytest.mark.soak
def test_marks_of_every_pair_change_every_verdict_that_rested_on_agreement(tmp_path):
    with ledger_of(tmp_path, np.zeros(307)) as ledger:
        for place, said in said_by_functions(ledger).items():
            assert "differ" in said.lower(), place
        ledger.score(*marks([(1.0, 1.0)] * 307, "ana", "person"))
        for place, said in said_by_functions(ledger).items():
            assert re.search("NON-INFERIOR|STABLE|stable:|You may replace", said), (place, said)
            assert "one person" in said and "DIFFERS" not in said and "answers differ" not in said, place


def test_several_people_are_told_to_agree_or_not(tmp_path):
    rng = np.random.default_rng(0)
    ana = rng.choice([0.0, 1.0], 200)
    for whose, alike in ((ana, "said the same of 100.0%"), (rng.permutation(ana), "too little to rely on")):
        folder = tmp_path / alike[:4]
        with ledger_of(
            folder, np.zeros(200), [(1 - one, one) for one in ana], "ana", kind="person"
        ) as ledger:
            assert "several people" not in repr(ab(ledger))
            ledger.score(*marks([(1 - one, one) for one in whose], "bo", "person"))
            made = report(ledger, pictures=False, now=NOW.to_pydatetime())
            for words in (repr(made.verdicts), repr(made.standing), text_of(made.html())):
                assert alike in words and "Krippendorff's alpha" in words, words
            assert "several people" not in repr(ab(ledger, scored_by="bo"))


@pytest.mark.soak
def test_likeness_to_an_expected_answer_is_not_called_ground_truth(tmp_path):
    with ledger_of(tmp_path, np.zeros(100), [(0.6, 0.8)] * 100, "replay: text", comparator="text") as ledger:
        said = {**said_by_functions(ledger), "plan": repr(plan_experiment(ledger))}
        panel = rl.panels.MonitorPanel(ledger)
        said["panel"] = text_of(panel._repr_mimebundle_()["text/html"])
        for place, words in said.items():
            assert "likeness to the expected answer" in words and "ground truth" not in words, (place, words)
            assert place in ("steer", "plan") or "not whether it is right" in words, place
        ledger.score(*marks([(1.0, 1.0)] * 40, "replay: number"))
        assert "and, on 40, ground truth" in repr(ab(ledger))


@pytest.mark.parametrize("basis", ["typo", "", "Scores"])
def test_an_unknown_basis_is_an_error_that_lists_those_there_are(basis, tmp_path, capsys):
    with ledger_of(tmp_path, np.ones(20)) as ledger:
        for function in (
            ab,
            monitor,
            plan_experiment,
            report,
            lambda one, basis: asyncio.run(steer(one, basis=basis)),
        ):
            with pytest.raises(rl.ConfigError) as caught:
                function(ledger, basis=basis)
            assert all(repr(known) in str(caught.value) for known in BASES)
    for command in (["report"], ["shadow", "monitor"]):
        with pytest.raises(SystemExit) as left:
            main([*command, "--ledger", str(tmp_path / "ledger"), "--basis", basis])
        told = capsys.readouterr().err
        assert left.value.code == 2 and all(known in told for known in BASES)


def alike(pair: Any) -> float:
    """A comparator of likeness of one's own."""
    return 0.9


alike.is_likeness = True  # type: ignore[attr-defined]

ROUTING = f"""
routing:
  answer: {{model: local, shadow: {{model: small, comparator: "{__name__}:alike"}}}}
shadow: {{enabled: true}}
"""


async def test_a_likeness_of_ones_own_is_named_so_wherever_a_verdict_rests_on_it(tmp_path):
    with laboratory(tmp_path / "lab") as lab:
        async with lab.router(ROUTING) as router:
            for number in range(12):
                await router.complete(f"Question {number}?", task_type="answer")
            await router.drain()
        frame = lab.comparisons
        for place in (ab(lab.ledger), ab(frame), monitor(lab.ledger), report(lab.ledger, pictures=False)):
            assert f"{__name__}:alike` measures how alike two answers are" in repr(place)
        rows = [
            {"task_type": "answer", "prompt": f"Question {number}?", "expected": "Yes."}
            for number in range(12)
        ]
        async with lab.router(ROUTING) as router:
            await rl.replay.replay(router, rows, comparator=f"{__name__}:alike")
        said = repr(ab(lab.ledger, basis="scores"))
        assert "likeness to the expected answer" in said and "ground truth" not in said
        assert f"`{__name__}:alike` measures how alike an answer and the expected one are" in said


def latched(folder: Path) -> Ledger:
    """A ledger in which the likeness of 110 pairs has been found to pass, and that is kept."""
    ledger = ledger_of(folder, np.ones(110), comparator="number")
    asyncio.run(steer(ledger, policy=AT_ONCE, apply=True, now=NOW.to_pydatetime()))
    return ledger


def later(agreement: Any, **columns: Any) -> pd.DataFrame:
    """Pairs of the next day."""
    name = columns.pop("task_type", NAME)
    frame = pairs_frame(agreement, name, **{"comparator": "number", "details": "{}", **columns})
    ids = frame["comparison_id"] + "-later"
    own = {"comparison_id": ids, "request_id": ids} if not columns.get("is_noise") else {"comparison_id": ids}
    return frame.assign(created_at=frame["created_at"] + pd.Timedelta(days=1), input_hash=ids, **own)


@pytest.mark.soak  # that it stays is in `exit/test_watches.py`, of a report in `exit/test_kept_plans.py`
@pytest.mark.parametrize(
    "frames",
    [
        [later(np.zeros(30), task_type=f"other::{kind}") for kind in range(2)],
        [later(np.zeros(40), sample_probability=0.01)],
        [later([0.0], is_noise=True)],
        [later(np.zeros(100))],
    ],
    ids=["other task types", "another rate", "one noise pair", "worse pairs"],
)
def test_a_latched_verdict_stays_at_every_place(frames, tmp_path, capsys):
    latched(tmp_path).close()
    day = tmp_path / "ledger" / "comparisons" / "date=2026-11-22"
    day.mkdir(parents=True)
    pd.concat(frames).to_parquet(day / "later.parquet")
    for place, said in watched_by(tmp_path, capsys).items():
        assert re.search(f"{NAME}(: STABLE| Yes: stable)", said), (place, said)


def watched_by(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What every place that watches says, but for pictures."""
    moment = NOW.to_pydatetime()
    capsys.readouterr()
    assert main(["shadow", "monitor", "--ledger", str(folder / "ledger")]) == 0
    told = capsys.readouterr().out
    with Ledger(folder / "ledger") as ledger:
        panel = rl.panels.MonitorPanel(ledger)
        panel.task_type.value = NAME if NAME in dict(panel.task_type.options).values() else ""
        return {
            "monitor": repr(monitor(ledger, now=moment)),
            "steer": repr(asyncio.run(steer(ledger, policy=AT_ONCE, now=moment))),
            "report": text_of(report(ledger, pictures=False, now=moment).html()),
            "panel": text_of(panel._repr_mimebundle_()["text/html"]),
            "CLI": told,
        }


def test_equally_good_marks_change_the_verdict_at_every_place(tmp_path, capsys):
    ledger_of(tmp_path, np.zeros(150)).close()
    with Ledger(tmp_path / "ledger") as ledger:
        steered = asyncio.run(steer(ledger, policy=AT_ONCE, apply=True, now=NOW.to_pydatetime()))
        assert "differ" in repr(steered).lower()
        ledger.score(*marks([(1.0, 1.0)] * 150, "ana", "person"))
        assert "NON-INFERIOR" in repr(ab(ledger))
    for place, said in watched_by(tmp_path, capsys).items():
        assert re.search("STABLE|Yes: stable", said), (place, said)
        assert "one person on 150 of 150 pairs took the place of agreement" in said, (place, said)


@pytest.mark.soak
def test_another_judge_opens_a_new_watch_and_says_so(tmp_path):
    details = [json.dumps({"preference": 1.0, "judge": "judge: one"})] * 110
    with ledger_of(tmp_path, np.ones(110), details=details, comparator="judge") as ledger:
        asyncio.run(steer(ledger, policy=AT_ONCE, apply=True, now=NOW.to_pydatetime()))
        assert list(ledger.watches()["scorer"]) == ["judge: one"] * 2
        ledger.score(*marks([(1.0, 0.0)] * 110, "judge: two", "judge"))
        said = repr(monitor(ledger, now=NOW.to_pydatetime()))
        assert "the scorer changed from judge: one to judge: two" in said and "WORSE" in said
    with ledger_of(tmp_path / "half", np.ones(110), details=details, comparator="judge") as ledger:
        ledger.score(*marks([(1.0, 0.0)] * 55, "judge: two", "judge"))
        assert "several judges (judge: one on 55, judge: two on 55 pairs)" in repr(ab(ledger))


def test_what_is_missing_after_some_marks_is_marks_and_no_calls(tmp_path: Path) -> None:
    """Regression: a verdict by people's marks asked for more pairs and dollars, while pairs waited."""
    with ledger_of(tmp_path, np.full(120, 0.5)) as ledger:
        for number, check in enumerate(checks := rl.spot_checks(ledger, 40, by="ana")):
            checks.say(check, check.primary_is if number % 13 == 0 else "equal")
        one = rl.verdict(ledger, now=NOW.to_pydatetime()).of(NAME)
    assert (one.basis, one.verdict, one.pairs, one.of_pairs) == ("scores", "inconclusive", 40, 120)
    assert "more scored pairs" in one.missing and "80 pairs wait to be scored" in one.missing
    assert "time and no calls" in one.missing
    assert "if they are scored" in one.comparing and "$" not in one.comparing

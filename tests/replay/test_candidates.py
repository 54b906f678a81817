"""Replays with candidates through a real router: against a log, against a called primary, resumed, drawn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import router_lab as rl
from lab import Lab, laboratory
from manual_clock import OneDay
from router_lab import sim
from router_lab.errors import ConfigError
from router_lab.replay import Candidate

ROUTING = """
routing:
  ask: {model: cloud, max_tokens: 64}
  classify: {model: cloud, max_tokens: 16, shadow: {model: cheap, comparator: label}}
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with laboratory(tmp_path / "ledger") as made:
        yield made


def log(count: int = 6, **more: Any) -> list[dict[str, Any]]:
    """Rows of a log: what was asked, and what was answered there."""
    return [
        {
            "id": f"row-{number}",
            "task_type": "ask",
            "prompt": f"Item {number} weighs {number} kilograms. How heavy is item {number}?",
            "output": f"{number} kilograms",
            "model": "claude-sonnet-4-5",
            "cost_usd": 0.01 * (number + 1),
            "latency_ms": 100.0 + number,
            "tokens_in": 20,
            "tokens_out": 4,
            **more,
        }
        for number in range(count)
    ]


async def test_candidates_are_asked_and_the_logged_primary_is_not(lab: Lab) -> None:
    async with lab.router(ROUTING) as router:
        run = await rl.replay(router, log(), candidates=["cheap", "other"])
    assert {one.name: one.answered for one in run.candidates} == {"cheap": 6, "other": 6}
    assert sorted(each.model for each in lab.served) == ["claude-haiku-4-5"] * 6 + ["my-model"] * 6
    pairs = lab.comparisons
    assert set(pairs["origin"]) == {"replay"} and set(pairs["run_id"]) == {"rows"}
    assert set(pairs["status"]) == {"complete"} and set(pairs["primary_alias"]) == {"cloud"}
    one = pairs[(pairs["task_id"] == "row-3") & (pairs["shadow_alias"] == "other")].iloc[0]
    assert (one["primary_output"], one["primary_cost_usd"], one["primary_latency_ms"]) == (
        "3 kilograms",
        pytest.approx(0.04),
        103.0,
    )


async def test_the_money_of_a_log_is_not_money_of_this_ledger(lab: Lab) -> None:
    async with lab.router(ROUTING, clock=OneDay()) as router:
        run = await rl.replay(router, log(), candidates=["cheap", "other"])
    attempts = lab.attempts
    asked = attempts[attempts["is_shadow"]]
    assert run.cost_usd == pytest.approx(asked["cost_usd"].sum()) == pytest.approx(attempts["cost_usd"].sum())
    daily = lab.ledger.spend().set_index("scope").loc["daily"]
    assert daily["spent_usd"] == pytest.approx(asked["cost_usd"].sum())
    logged = attempts[~attempts["is_shadow"]]
    assert len(logged) == 6 and set(logged["billing"]) == {"unbilled"}
    assert set(logged["tokens_in"]) == {20} and set(logged["cost_source"]) == {"imported"}
    savings = rl.analysis.savings(lab.ledger, by="shadow_alias").set_index("shadow_alias")
    assert savings.loc["cheap", "primary_usd"] == pytest.approx(0.21)
    assert lab.ledger.verify().ok, lab.ledger.verify()


async def test_verdicts_work_by_candidate(lab: Lab) -> None:
    async with lab.router(ROUTING) as router:
        run = await rl.replay(router, log(30), candidates=["cheap", "other"])
    verdicts = rl.analysis.ab(lab.ledger, by="shadow_alias")
    assert set(verdicts.frame["task_type"]) == {"cheap", "other"}  # the column of whatever it is by
    assert len(run.frame) == 60
    assert rl.analysis.monitor(run.frame, by="shadow_alias") is not None


@pytest.mark.few(1)
@pytest.mark.parametrize("content", ["full", "none"])
async def test_candidates_of_several_prompts_are_not_averaged(tmp_path: Path, content: str) -> None:
    brief, polite = ({"prompt": f"{word}: {{prompt}}"} for word in ("Briefly", "Please"))
    routing = f"{ROUTING}\nledger: {{content: {content}}}"
    with laboratory(tmp_path / "ledger") as lab:
        async with lab.router(routing) as router:
            for texts in (brief, polite):
                await rl.replay(router, log(30), candidates=[Candidate("other", "one name", **texts)])
            told = repr(rl.analysis.ab(lab.ledger))
            assert "REFUSED" in told and "the shadow was asked with several prompts" in told
            again = rl.analysis.ab(lab.ledger, allow={"mixed_prompts", "too_few_clusters"})
            assert again.verdict("ask") != "refused"


async def test_candidates_of_one_model_are_not_averaged(lab: Lab) -> None:
    own = [Candidate("other"), Candidate("other", prompt="Briefly: {prompt}")]
    async with lab.router(ROUTING) as router:
        await rl.replay(router, log(30), candidates=own)
    told = repr(rl.analysis.ab(lab.ledger))
    assert "REFUSED" in told and "several shadows of one model (other, other own prompt)" in told
    apart = rl.analysis.ab(lab.ledger, by="shadow_alias")
    assert "several" not in repr(apart)


async def test_a_second_run_asks_nothing_and_a_new_candidate_alone_is_asked(lab: Lab) -> None:
    async with lab.router(ROUTING) as router:
        await rl.replay(router, log(), candidates=["cheap"])
        again = await rl.replay(router, log(), candidates=["cheap", "other"])
    assert (again["cheap"].skipped, again["cheap"].answered, again["other"].answered) == (6, 0, 6)
    assert len(lab.served) == 12 and len(lab.comparisons) == 12
    assert len(lab.attempts) == 18


async def test_a_primary_is_called_once_for_all_candidates(lab: Lab) -> None:
    rows = [{key: row[key] for key in ("id", "task_type", "prompt")} for row in log()]
    async with lab.router(ROUTING) as router:
        run = await rl.replay(router, rows, candidates=["cheap", "other"], primary="call")
        again = await rl.replay(router, rows, candidates=["cheap", "other", "small"], primary="call")
    assert sorted(each.model for each in lab.served).count("claude-sonnet-4-5") == 6
    assert run.is_complete and again["small"].answered == 6
    assert run.cost_usd == pytest.approx(lab.attempts["cost_usd"].iloc[:18].sum())


@pytest.mark.few(2)
@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "frame", "generator"])
async def test_a_log_in_any_form(lab: Lab, tmp_path: Path, form: str) -> None:
    frame = pd.DataFrame(log())
    source: Any = tmp_path / f"log.{form}"
    if form == "jsonl":
        source.write_text("\n".join(map(json.dumps, log())), encoding="utf-8")
    elif form == "csv":
        frame.to_csv(source, index=False)
    elif form == "parquet":
        frame.to_parquet(source)
    else:
        source = frame if form == "frame" else (row for row in log())
    async with lab.router(ROUTING) as router:
        run = await rl.replay(router, source, candidates=["cheap"])
    assert run["cheap"].answered == 6
    assert run.frame["primary_cost_usd"].sum() == pytest.approx(0.21)


@pytest.mark.few(3)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"output": None}, "row 3: `output`"),
        ({"cost_usd": "much"}, "row 3: `cost_usd`"),
        ({"cost_usd": -1}, "row 3: `cost_usd`"),
        ({"tokens_in": 1.5}, "row 3: `tokens_in`"),
        ({"tool_calls": "{"}, "row 3: `tool_calls`"),
        ({"task_type": "unknown"}, "row 3: no route"),
        ({"prompt": " "}, "row 3: prompt"),
        ({"id": "row-0"}, "row 3: `id` 'row-0' is also that of row 1"),
    ],
)
async def test_what_is_wrong_with_a_row_is_said_before_anything_is_sent(
    lab: Lab, change: dict[str, Any], said: str
) -> None:
    rows = log()
    rows[2] |= change
    async with lab.router(ROUTING) as router:
        with pytest.raises(ConfigError, match=said):
            await rl.replay(router, rows, candidates=["cheap"])
        assert not lab.served and not len(lab.attempts)
        run = await rl.replay(router, rows, candidates=["cheap"], strict=False)
        assert run["cheap"].answered == 5 and run.plan.problem_count == 1
        assert said.removeprefix("row 3: ") in str(run.plan.problems[0])
        again = await rl.replay(router, rows, candidates=["cheap"], strict=False)
        assert again["cheap"].skipped == 5 and len(lab.served) == 5


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "arrow"])
async def test_bytes_that_are_no_utf8_spoil_their_own_row_only(lab: Lab, tmp_path: Path, form: str) -> None:
    source, rows = tmp_path / f"log.{form}", pd.DataFrame(log())
    rows.loc[2, "prompt"] = "Wie schwer ist die T\u00fcr?"
    given: Any = source
    if form in ("parquet", "arrow"):
        texts = pa.array([one.encode().replace(b"\xc3\xbc", b"\xfc") for one in rows["prompt"]], pa.binary())
        given = pa.table(pa.RecordBatch.from_pandas(rows).to_pydict())
        given = given.set_column(given.column_names.index("prompt"), "prompt", texts.view(pa.string()))
    if form == "parquet":
        pq.write_table(given, source)
        given = source
    elif form == "jsonl":
        rows.to_json(source, orient="records", lines=True, force_ascii=False)
    elif form == "csv":
        rows.to_csv(source, index=False)
    if form in ("jsonl", "csv"):
        source.write_bytes(source.read_bytes().replace("T\u00fcr".encode(), b"T\xfcr"))
    async with lab.router(ROUTING) as router:
        with pytest.raises(ConfigError, match=r"row 3: .*not UTF-8 \(byte 0xfc") as refused:
            await rl.replay(router, given, candidates=["cheap"])
        assert "--skip-bad-rows" in str(refused.value) and not lab.served
        run = await rl.replay(router, given, candidates=["cheap"], strict=False)
    assert run["cheap"].answered == 5 and run.plan.problem_count == 1


async def test_what_is_not_there_and_what_is_a_folder_are_said_so(lab: Lab, tmp_path: Path) -> None:
    async with lab.router(ROUTING) as router:
        for missing in ("nowhere", "nowhere.jsonl", "no/such/ledger"):
            for candidates in ({}, {"candidates": ["cheap"]}):
                with pytest.raises(ConfigError, match="does not exist"):
                    await rl.replay(router, tmp_path / missing, **candidates)
        with pytest.raises(ConfigError, match=r"is a folder.*with candidates"):
            await rl.replay(router, tmp_path)


async def test_rows_that_are_wrong_in_the_same_way_are_one_line(lab: Lab) -> None:
    rows = log(40)
    for number in range(5, 38):
        rows[number]["cost_usd"] = f"{number} dollars"
    rows[39]["output"] = None
    async with lab.router(ROUTING) as router:
        with pytest.raises(ConfigError) as refused:
            await rl.replay(router, rows, candidates=["cheap"])
    lines = str(refused.value).splitlines()
    assert lines[1].startswith("  33 rows, the first of them row 6: `cost_usd`")
    assert lines[2].startswith("  row 40: `output`") and len(lines) == 4


async def test_answers_that_fail_of_the_same_are_one_line(lab: Lab) -> None:
    lab.server.app.script([{"kind": "status", "status": 400, "model": "claude-haiku-4-5", "times": None}])
    async with lab.router(ROUTING) as router:
        run = await rl.replay(router, log(30), candidates=["cheap", "other"], concurrency=1)
    assert (run["cheap"].failed, run["other"].answered) == (30, 30)
    (line,) = run.problems
    assert line.startswith("30 rows, the first of them row-0: cheap gave no answer: ProviderError: ")
    assert line in repr(run)


async def test_candidates_with_parameters_and_prompts_are_told_apart(lab: Lab) -> None:
    candidates = rl.replay.grid(
        ["cheap"],
        [{"temperature": 0}, {"temperature": 1, "max_tokens": 8}],
        {"": {}, "brief": {"system": "Be brief.", "prompt": "Answer: {prompt}"}},
    )
    async with lab.router(ROUTING) as router:
        run = await rl.replay(router, log(2), candidates=candidates)
    assert len(candidates) == 4 and run.is_complete
    assert set(run.frame["shadow_alias"]) == {one.name for one in candidates}
    asked = lab.attempts[lab.attempts["model_alias"] == "cheap temperature=1.0 max_tokens=8 prompt=brief"]
    asked = lab.attempts[lab.attempts["prompt"].str.contains("Answer: Item 0", regex=False)]
    assert len(asked) == 2 and asked["prompt"].str.startswith("system: Be brief.").all()


async def test_repeats_are_asked_each(lab: Lab) -> None:
    async with lab.router(ROUTING) as router:
        run = await rl.replay(router, log(2), candidates=["cheap"], repeats=3)
        again = await rl.replay(router, log(2), candidates=["cheap"], repeats=3)
    assert run["cheap"].answered == 6 and again["cheap"].skipped == 6
    assert len(lab.served) == 6 and lab.comparisons["comparison_id"].nunique() == 6


async def test_answers_are_used_again_and_marked(lab: Lab) -> None:
    async with lab.router(ROUTING) as router:
        await rl.replay(router, log(3), candidates=["cheap"], repeats=2)
        again = await rl.replay(router, log(3), candidates=["cheap"], repeats=2, run_id="again", reuse=True)
    assert (again["cheap"].reused, again.cost_usd) == (6, 0.0)
    assert len(lab.served) == 6
    pairs = lab.comparisons
    first, second = (pairs[pairs["run_id"] == name] for name in ("rows", "again"))
    assert sorted(first["shadow_attempt_id"]) == sorted(second["shadow_attempt_id"])
    assert (
        second["details"]
        .map(lambda said: (json.loads(said) if isinstance(said, str) else said)["reused"])
        .all()
    )


async def test_a_sample_is_drawn_by_task_type_with_known_chances(lab: Lab) -> None:
    rows = log(30) + [row | {"id": f"c-{row['id']}", "task_type": "classify"} for row in log(10)]
    async with lab.router(ROUTING) as router:
        run = await rl.replay(router, rows, candidates=["cheap"], sample=8, seed=1)
        again = await rl.replay(router, rows[::-1], candidates=["cheap"], sample=8, seed=1)
    assert run.plan.drawn == {"ask": 6, "classify": 2} and again["cheap"].skipped == 8
    chances = lab.comparisons.groupby("task_type")["sample_probability"].unique().map(list).to_dict()
    assert chances == {"ask": [0.2], "classify": [0.2]}


async def test_a_sample_of_several_task_types_is_judged_as_a_whole_by_its_chances(lab: Lab) -> None:
    rows = log(40) + [row | {"id": f"c-{row['id']}", "task_type": "classify"} for row in log(3)]
    async with lab.router(ROUTING) as router:
        run = await rl.replay(router, rows, candidates=["cheap"], sample=20, seed=1, comparator="label")
    pairs = run.frame
    chances = pairs.groupby("task_type")["sample_probability"].first()
    assert chances["ask"] != chances["classify"]
    expected = (
        pd.Series(pairs["agreement"] / pairs["sample_probability"]).sum()
        / (1 / pairs["sample_probability"]).sum()
    )
    for judged in (pairs, lab.ledger):
        for by in ("shadow_alias", "run_id"):
            one = rl.analysis.ab(judged, by=by).frame.iloc[0]
            assert one["verdict"] != "refused" and one["difference"] == pytest.approx(expected - 1)
            assert "drawn by task type" in one["warnings"]
    mixed = pairs.assign(sample_probability=[0.1, *pairs["sample_probability"][1:]])
    assert rl.analysis.ab(mixed, by="shadow_alias").frame.iloc[0]["verdict"] == "refused"


async def test_a_ledger_is_replayed_without_paying_its_primaries_again(lab: Lab) -> None:
    async with lab.router(ROUTING) as router:
        for number in range(3):
            await router.complete(
                f"How heavy is item {number}?", task_type="ask", system="Be brief.", temperature=0.5
            )
        await router.complete("Good or bad?", task_type="classify")
        paid = lab.attempts["cost_usd"].sum()
        run = await rl.replay(router, lab.ledger, candidates=["other"], within="ask")
        again = await rl.replay(router, lab.ledger, candidates=["other"])
    assert run["other"].answered == 3 and (again["other"].answered, again["other"].skipped) == (1, 3)
    attempts = lab.attempts
    primaries = attempts[~attempts["is_shadow"]]
    assert len(primaries) == 4 and primaries["cost_usd"].sum() == pytest.approx(paid)
    pairs = lab.comparisons[lab.comparisons["origin"] == "replay"]
    assert set(pairs["primary_attempt_id"]) == set(primaries["attempt_id"])
    asked = attempts[attempts["is_shadow"]].iloc[0]
    assert asked["prompt"].startswith("system: Be brief.\n\nuser: How heavy")
    assert (
        json.loads(asked["parameters"])["temperature"] == 0.5
        if isinstance(asked["parameters"], str)
        else True
    )


async def test_nothing_is_sent_unless_it_is_confirmed(lab: Lab) -> None:
    seen = []

    def no(plan: Any) -> bool:
        seen.append(plan)
        return False

    async with lab.router(ROUTING) as router:
        run = await rl.replay(router, log(), candidates=["cheap", "other"], confirm=no)
    assert not lab.served and run.counts["unanswered"] == 0 and run.stopped
    (plan,) = seen
    assert plan.drawn == {"ask": 6}
    for cost in plan.costs:
        assert 0 < cost.low_usd < cost.high_usd
    assert plan.seconds == pytest.approx(0.615)
    # As long as the log's answers took, one after another; or all at a time, and no sooner than one is there.
    assert [cost.high_s for cost in plan.costs] == [pytest.approx(0.615)] * 2
    assert [cost.low_s for cost in plan.costs] == [pytest.approx(0.1025)] * 2
    assert plan.left_usd == 5.0 and "budgets" not in str(plan)


async def test_estimates_know_repeats_called_primaries_and_how_long_a_model_took_here(lab: Lab) -> None:
    plans: list[Any] = []

    def no(plan: Any) -> bool:
        plans.append(plan)
        return False

    rows = [{key: row[key] for key in ("id", "task_type", "prompt")} for row in log()]
    async with lab.router(ROUTING) as router:
        await rl.replay(router, rows, candidates=["cheap"], primary="call", confirm=no)
        await rl.replay(router, rows, candidates=["cheap"], primary="call")
        await rl.replay(router, rows, candidates=["cheap", "other"], repeats=3, primary="call", confirm=no)
    first, second = plans
    assert "time not known" in str(first) and {cost.low_s for cost in first.costs} == {None}
    assert [cost.name for cost in second.costs] == ["cheap", "other", "the primary"]
    assert [cost.answers for cost in second.costs] == [18, 18, 6]
    assert second.costs[0].high_usd == pytest.approx(3 * first.costs[0].high_usd, rel=0.1)
    answers = lab.attempts[lab.attempts["outcome"] == "ok"].groupby("model_alias")["latency_ms"].mean() / 1e3
    assert second.costs[0].high_s == pytest.approx(18 * answers["cheap"])
    assert second.costs[2].high_s == pytest.approx(6 * answers["cloud"])
    assert second.costs[1].high_s is None
    spent = lab.attempts.groupby("model_alias")["cost_usd"].sum()
    assert first.costs[0].low_usd <= spent["cheap"] <= first.costs[0].high_usd
    assert first.costs[1].low_usd <= spent["cloud"] <= first.costs[1].high_usd


async def test_what_the_budgets_leave_is_said_beforehand(lab: Lab) -> None:
    plans = []
    async with lab.router(ROUTING, "cost: {shadow_daily_usd: 0.001}", clock=OneDay()) as router:
        await rl.replay(router, log(1), candidates=["cheap"])
        await rl.replay(router, log(60), candidates=["cheap"], confirm=lambda plan: plans.append(plan))
    spent = lab.attempts["cost_usd"].sum()
    assert plans[0].left_usd == pytest.approx(0.001 - spent, abs=1e-8)
    assert "the budgets leave" in str(plans[0])


@pytest.mark.parametrize("wrong", [None, 3, [], ["nobody"], ["cheap", "cheap"], [None]])
async def test_candidates_that_are_none_are_refused(lab: Lab, wrong: Any) -> None:
    async with lab.router(ROUTING) as router:
        with pytest.raises(ConfigError, match="candidate"):
            await rl.replay(router, log(1), candidates=wrong)


async def test_a_budget_that_is_used_up_ends_the_run_and_the_next_goes_on(lab: Lab) -> None:
    async with lab.router(ROUTING, "cost: {shadow_daily_usd: 0.001}", clock=OneDay()) as router:
        run = await rl.replay(router, log(), candidates=["cheap"])
    assert run.stopped and run.counts["unanswered"] > 0
    async with lab.router(ROUTING) as router:
        again = await rl.replay(router, log(), candidates=["cheap"])
    assert again.is_complete
    assert len(lab.comparisons) == 6 and len(lab.served) == 6


async def test_a_candidate_that_cannot_work_is_left_and_the_others_go_on(lab: Lab) -> None:
    lab.server.app.script([{"kind": "status", "status": 404, "model": "my-model", "times": None}])
    async with lab.router(ROUTING) as router:
        run = await rl.replay(router, log(), candidates=["cheap", "other"])
    assert run["cheap"].answered == 6
    assert run["other"].stopped and run["other"].unanswered == 6


async def test_a_server_without_room_is_waited_for_and_every_row_is_answered(lab: Lab) -> None:
    full = {"kind": "status", "status": 429, "retry_after_s": 0.05, "times": 12}
    lab.server.app.script([full | {"model": "claude-haiku-4-5"}])
    async with lab.router(ROUTING) as router:
        run = await rl.replay(router, log(20), candidates=["cheap"], concurrency=16)
    assert run["cheap"].answered == 20 and run.is_complete
    refused = lab.attempts[lab.attempts["http_status"] == 429]
    assert len(refused) == 12 and set(refused["billing"]) == {"unbilled"}
    answered = lab.attempts[lab.attempts["is_shadow"] & (lab.attempts["outcome"] == "ok")]
    # Nobody is asked while the server is left alone: the last refusal came well before the first answer.
    assert len(answered) == 20 and not answered["comparison_id"].duplicated().any()


@pytest.mark.few(2)
@pytest.mark.parametrize("retry_after_s", [None, 0.0, 0.01])
async def test_no_row_is_lost_or_doubled_in_a_storm_of_refusals(
    lab: Lab, retry_after_s: float | None
) -> None:
    lab.server.app.script(sim.RandomFaults({"429": 0.4, "529": 0.1}, 3, retry_after_s=retry_after_s))
    async with lab.router(ROUTING, clock=OneDay()) as router:
        run = await rl.replay(router, log(60), candidates=["cheap"], concurrency=16)
    assert run["cheap"].answered == 60 and run.is_complete, run
    asked = lab.attempts[lab.attempts["is_shadow"]]
    answered = asked[asked["outcome"] == "ok"]
    assert len(answered) == 60 and not answered["comparison_id"].duplicated().any()
    assert len(asked) == len(lab.served) > 90
    spend = lab.ledger.spend().set_index("scope").loc["daily"]
    assert spend["held_usd"] == 0
    assert spend["spent_usd"] == pytest.approx(asked["worst_usd"].fillna(asked["cost_usd"]).sum())


async def test_a_server_that_says_when_to_come_back_is_waited_for_longer_than_one_that_does_not(
    lab: Lab,
) -> None:
    full = {"kind": "status", "status": 429, "times": 40}
    lab.server.app.script([full | {"retry_after_s": 0.002}])
    async with lab.router(ROUTING) as router:
        patient = await rl.replay(router, log(20), candidates=["cheap"], concurrency=4)
        assert patient.is_complete and len(lab.served) == 60
        lab.server.app.script([full | {"times": None}])
        more = {"candidates": ["cheap"], "concurrency": 4, "run_id": "again"}
        given_up = await rl.replay(router, log(20), **more)
        assert "nothing but failures" in (given_up["cheap"].stopped or "")
        lab.server.app.script([])
        assert (await rl.replay(router, log(20), **more)).is_complete


async def test_a_server_that_is_out_ends_its_candidate_alone(lab: Lab) -> None:
    lab.server.app.script([{"kind": "status", "status": 500, "model": "my-model", "times": None}])
    async with lab.router(ROUTING) as router:
        run = await rl.replay(router, log(40), candidates=["cheap", "other"], concurrency=4)
    assert run["cheap"].answered == 40
    assert run["other"].stopped and "nothing but failures" in run["other"].stopped
    lab.server.app.script([])
    async with lab.router(ROUTING) as router:
        again = await rl.replay(router, log(40), candidates=["cheap", "other"])
    assert again["cheap"].skipped == 40
    assert again["other"].answered + run["other"].failed == 40


async def test_a_logs_own_attempt_id_names_no_attempt_of_ours(lab: Lab) -> None:
    async with lab.router(ROUTING) as router:
        run = await rl.replay(router, log(3, attempt_id="the same"), candidates=["cheap"])
    assert run["cheap"].answered == 3 and lab.attempts["attempt_id"].is_unique


async def test_logged_tool_calls_are_compared_and_no_tool_is_run(lab: Lab) -> None:
    call = {"type": "function", "function": {"name": "weigh", "arguments": '{"item": 1}'}}
    talk = [
        {"role": "user", "content": "Weigh item 1."},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", **call}]},
        {"role": "tool", "tool_call_id": "c1", "content": "3 kilograms"},
    ]
    weigh = {"name": "weigh", "description": "Weighs.", "parameters": {"type": "object", "properties": {}}}
    tool = {"type": "function", "function": weigh}
    steps = [
        {"messages": talk[:1], "tools": [tool], "output": None, "tool_calls": [call]},
        {"messages": talk, "tools": [tool], "output": "It weighs 3 kilograms."},
    ]
    async with lab.router(ROUTING) as router:
        run = await rl.replay(router, steps, candidates=["cheap"], task_type="ask")
    pairs = run.frame.sort_values("primary_output").reset_index(drop=True)
    assert len(pairs) == 2 and len(lab.served) == 2
    assert '"weigh"' in pairs["primary_tool_calls"][0]
    assert set(pairs["primary_ending"]) == {"complete"}


async def test_an_agents_calls_are_replayed_step_by_step_out_of_the_ledger(lab: Lab) -> None:
    item = {"type": "object", "properties": {"item": {"type": "integer"}}}
    weigh = {"type": "function", "function": {"name": "weigh", "description": "Weighs.", "parameters": item}}
    talk: list[Any] = [{"role": "user", "content": "Weigh item 1 please."}]
    async with lab.router(ROUTING) as router:
        for _ in range(3):  # two of them ask the same call, under other ids
            done = await router.complete(messages=talk, tools=[weigh], task_type="ask", task_id="agent")
            talk.append({"role": "assistant", "content": done.text, "tool_calls": []})
            for call in done.tool_calls:
                function = {"name": call.name, "arguments": json.dumps(call.arguments)}
                talk[-1]["tool_calls"].append({"id": call.id, "type": "function", "function": function})
                talk.append({"role": "tool", "tool_call_id": call.id, "content": "3 kilograms"})
            talk.append({"role": "user", "content": "Weigh item 1 please."})
        ids = {call["id"] for turn in talk for call in turn.get("tool_calls", ())}
        before = len(lab.served)
        run = await rl.replay(router, lab.ledger, candidates=["cheap"])
        again = await rl.replay(router, lab.ledger.tables(), candidates=["other"], run_id="tables")
    assert run["cheap"].answered == again["other"].answered == 3 and len(lab.served) == before + 6
    attempts, pairs = lab.attempts, lab.comparisons
    primaries = attempts[~attempts["is_shadow"]].set_index("attempt_id")
    assert len(primaries) == 3 and len(ids) >= 1 and primaries["prompt"].str.contains("tool: 3 kilo").any()
    # What was asked is what had been asked, to the ids of the calls.
    assert (pairs["input_hash"] == primaries.loc[pairs["primary_attempt_id"], "input_hash"].array).all()
    assert pairs["input_hash"].nunique() == 3


async def test_answers_that_were_kept_as_hashes_are_asked_again_and_no_text_is_stored(lab: Lab) -> None:
    async with lab.router(ROUTING, "ledger: {content: hash}") as router:
        await rl.replay(router, log(2), candidates=["cheap"])
        again = await rl.replay(router, log(2), candidates=["cheap"], run_id="again", reuse=True)
    assert (again["cheap"].answered, again["cheap"].reused, len(lab.served)) == (2, 0, 4)
    assert "kilograms" not in lab.attempts.to_csv() + lab.comparisons.to_csv()

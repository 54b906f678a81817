"""A judge asked of stored pairs, later: what it costs, what it writes, and how it is taken up again."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import router_lab as rl
from lab import FAST, MODELS, Lab, laboratory
from router_lab import Router, settings, sim
from router_lab.cli.command import main
from router_lab.errors import ConfigError, RoutingError
from router_lab.records import Score
from router_lab.router.comparators.compare import Judge, Pair
from router_lab.router.comparators.judge import SCHEMA
from router_lab.scores.spot_checking import uncertain_more
from router_lab.sim import Fault
from scripted_server import anthropic, ollama, openai, scripted
from waiting import until

ROUTING = """
routing:
  ask: {model: cloud, max_tokens: 64, shadow: {model: local, comparator: text}}
  judge: {model: other, fallback: cheap, max_tokens: 64}
"""
# The judge's server takes no schema, and its model writes sentences: a verdict that cannot be read.
UNBOUND = MODELS.replace("model: my-model,", "model: my-model, dialect: {response_format: none},")
STORY = "The harvest of year {} was late. Barley failed in the north. Wheat prices rose by 12 percent."


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with laboratory(tmp_path / "ledger") as made:
        yield made


async def fill(lab: Lab, pairs: int = 4, more: str = FAST) -> None:
    with lab.ledger.switch.on(reason="test"):
        async with lab.router(ROUTING, more) as router:
            for number in range(pairs):
                await router.complete(
                    f"Summarize in one sentence: {STORY.format(number)}", task_type="ask::deep"
                )
            await router.drain()


def judge(lab: Lab, more: str = FAST, routing: str = ROUTING, **options: object) -> pd.DataFrame:
    router = lab.router(routing, more)
    try:
        return rl.recompare(lab.ledger, "judge", router=router, **options)  # type: ignore[arg-type]
    finally:
        router.close_sync()


@contextmanager
def deciding(lab: Lab) -> Iterator[sim.SimServer]:
    """A server whose model knows which answer is the shadow's, and prefers it wherever it stands."""
    pairs = lab.comparisons
    prompts = lab.attempts.set_index("attempt_id")["prompt"]
    rows = []
    for pair in pairs.to_dict("records"):
        task = prompts[pair["primary_attempt_id"]]
        for question in Judge().questions(task, Pair(pair["primary_output"], pair["shadow_output"])):
            verdict = "A" if question.a == "shadow" else "B"
            rows.append(
                {"system": question.system, "prompt": question.prompt, "expected": {"verdict": verdict}}
            )
    model = sim.SimModel("my-model", "openai", "cl100k", 32_768, skill=1.0, parse_failure_rate=0.0)
    with sim.serve(sim.app(workload=rows, models=[model])) as server:
        yield server


def at(lab: Lab, server: sim.SimServer, more: str = FAST, models: str = MODELS) -> Router:
    parsed = settings.parse(f"{models}\n{ROUTING}\n{more}")
    return Router(sim.pointed_at(parsed, server.url), ledger=lab.ledger, seed=0)


async def test_only_the_judge_is_called_in_both_orders_with_the_switch_off(lab: Lab):
    await fill(lab)
    stored, differing = lab.comparisons, (lab.comparisons["agreement"] < 1).sum()
    before = len(lab.served)
    router = at(lab, lab.server, models=UNBOUND)
    again = rl.recompare(lab.ledger, "judge", router=router)
    asked = lab.served[before:]
    assert {one.provider for one in asked} == {"openai"}
    assert len(asked) == 2 * differing > 0
    rows = lab.attempts[lab.attempts["task_type"] == "judge"]
    assert len(rows) == len(asked) and rows["is_shadow"].all()
    assert set(rows["comparison_id"]) <= set(stored["comparison_id"])
    assert set(rows["model_alias"]) == {"other"}
    assert again["skipped"].isna().all()
    assert again["old_agreement"].tolist() == stored["agreement"].tolist()
    pd.testing.assert_frame_equal(lab.comparisons, stored)
    # This model says no verdict: kept as unsure, and not asked again.
    assert set(lab.ledger.scores()["verdict"].dropna()) == {"unsure"}
    rl.recompare(lab.ledger, "judge", router=router)
    await router.close()
    assert len(lab.served) == before + len(asked)


async def test_a_verdict_is_two_scores_whose_difference_is_the_preference(lab: Lab):
    await fill(lab)
    with deciding(lab) as server:
        router = at(lab, server)
        again = rl.recompare(lab.ledger, "judge", router=router)
        repeated = rl.recompare(lab.ledger, "judge", router=router)
        other_words = rl.recompare(lab.ledger, "judge", {"criteria": "Be kind."}, router=router)
        router.close_sync()
        asked = len(server.app.log)
    differing = int((lab.comparisons["agreement"] < 1).sum())
    assert asked == 4 * differing  # both orders, and once more in other words
    scores = lab.ledger.scores()
    first = scores.drop_duplicates(["comparison_id", "side"])
    assert set(first["by"]) == {"judge: my-model"} and set(first["kind"]) == {"judge"}
    wide = first.pivot(index="comparison_id", columns="side", values="quality_score")
    said = again.set_index("comparison_id")["preference"].reindex(wide.index)
    assert set(said) == {0.5, 1.0}
    assert (wide["shadow"] - wide["primary"]).tolist() == (2 * said - 1).tolist()
    assert repeated["preference"].tolist() == again["preference"].tolist()
    assert repeated["agreement"].tolist() == again["agreement"].tolist()
    assert len(other_words) == len(again)


async def test_a_spent_budget_ends_the_asking_and_says_so(lab: Lab):
    await fill(lab)
    before = len(lab.served)
    again = judge(lab, f"{FAST}\ncost: {{shadow_daily_usd: 0.000001}}")
    left = again[again["old_agreement"] < 1]
    assert len(lab.served) == before
    assert left["skipped"].str.contains("a budget is spent").all() and left["preference"].isna().all()


async def test_a_judge_that_fails_is_not_asked_for_ever(lab: Lab):
    await fill(lab, pairs=14)
    lab.server.app.script([Fault("status", status=401, provider="openai", times=None)])
    before = len(lab.served)
    again = judge(lab, f"{FAST}\nshadow: {{max_concurrent: 1}}")
    assert len(lab.served) - before == 5
    reasons = again["skipped"].dropna()
    assert reasons.str.startswith("the judge failed").sum() == 5
    assert reasons.str.contains("5 times in a row").any()
    assert not (lab.ledger.scores()["verdict"] == "unsure").any()


SCRIPT = """
import sys
import router_lab as rl
from router_lab import Router, settings, sim
parsed = sim.pointed_at(settings.parse(open(sys.argv[2]).read()), sys.argv[3])
with rl.Ledger(sys.argv[1]) as ledger:
    rl.recompare(ledger, "judge", router=rl.Router(parsed, ledger=ledger))
"""


async def test_a_run_that_was_killed_is_taken_up_where_it_stopped(lab: Lab, tmp_path: Path):
    await fill(lab, pairs=8)
    differing = int((lab.comparisons["agreement"] < 1).sum())
    config = tmp_path / "judge.yaml"
    config.write_text(f"{UNBOUND}\n{ROUTING}\n{FAST}\nshadow: {{max_concurrent: 1}}")
    lab.server.app.script(
        [Fault("ok", provider="openai", times=6), Fault("hang", provider="openai", times=None)]
    )
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(lab.folder), str(config), lab.server.url])
    await until(lambda: len(lab.served_by("openai")) >= 7)  # the last of them hangs
    process.kill()
    process.wait()
    kept = lab.ledger.scores()
    done = set(kept.loc[kept["verdict"] == "unsure", "comparison_id"])
    assert 2 <= len(done) <= 3
    lab.server.app.script([])
    before = len(lab.served_by("openai"))
    again = judge(lab)
    assert len(lab.served_by("openai")) - before == 2 * (differing - len(done))
    assert again["skipped"].isna().all()


async def test_the_command_says_the_price_before_it_asks(lab: Lab, tmp_path: Path, capsys):
    await fill(lab)
    config = tmp_path / "router.yaml"
    written = f"{MODELS}\n{ROUTING}\n{FAST}".replace(
        "model: my-model,", f'model: my-model, base_url: "{lab.server.url}/v1",'
    )
    config.write_text(written)
    arguments = ["compare", "--again", "--comparator", "judge", "--ledger", str(lab.folder)]
    arguments += ["--config", str(config)]
    before = len(lab.served)
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "4 pairs to judge, 0 judged before; at most 8 calls, about $" in printed
    assert "nothing was sent; add --yes" in printed
    assert len(lab.served) == before
    assert main([*arguments, "--yes"]) == 0
    assert "ask::deep" in capsys.readouterr().out
    assert len(lab.served) > before
    assert main(arguments) == 0
    assert "0 pairs to judge, 4 judged before" in capsys.readouterr().out


async def test_what_cannot_be_asked_is_said(lab: Lab, tmp_path: Path):
    await fill(lab, pairs=1)
    with pytest.raises(ConfigError, match="pass `router=`"):
        rl.recompare(lab.ledger, "judge")
    with pytest.raises(RoutingError, match="judge"):
        judge(lab, routing="routing: {ask: {model: cloud}}")
    with rl.Ledger(tmp_path / "another") as other, pytest.raises(ConfigError, match="one ledger"):
        rl.recompare(other, "judge", router=lab.router(ROUTING))


async def test_prompts_that_were_not_stored_cannot_be_judged(lab: Lab):
    await fill(lab, more=f"{FAST}\nledger: {{content: none}}")
    again = judge(lab)
    assert again["skipped"].notna().all()
    assert lab.served_by("openai") == []


async def test_a_judge_is_checked_for_what_it_likes(lab: Lab):
    await fill(lab, pairs=8)
    assert "no judge" in repr(rl.analysis.judge_checks(lab.ledger))
    differing = lab.comparisons[lab.comparisons["agreement"] < 1]
    with deciding(lab) as server:
        router = at(lab, server)
        rl.recompare(lab.ledger, "judge", router=router)
        router.close_sync()
    checks = rl.analysis.judge_checks(lab.ledger)
    [row] = checks.frame.to_dict("records")
    longer = differing["shadow_output"].str.len() > differing["primary_output"].str.len()
    uneven = differing["shadow_output"].str.len() != differing["primary_output"].str.len()
    assert (row["judge"], row["task_type"]) == ("judge: my-model", "ask::deep")
    assert (row["flipped_share"], row["unreadable"], row["own_side"]) == (0.0, 0, "")
    assert row["longer_wins_share"] == pytest.approx(longer[uneven].mean(), nan_ok=True)
    assert not row["refused"] and row["people_pairs"] == 0
    assert "not held against people yet" in repr(checks) and "judge: my-model" in checks._repr_html_()


def scored(by: str, kind: str, preference: float, of: str, **details: object) -> list[Score]:
    note = json.dumps(details)
    worth = (("primary", 1 - preference), ("shadow", preference))
    return [
        Score(
            score_id=f"{by}-{of}-{side}",
            at=datetime.now(UTC),
            quality_score=value,
            by=by,
            comparison_id=of,
            side=side,  # type: ignore[arg-type]
            kind=kind,  # type: ignore[arg-type]
            note=note,
        )
        for side, value in worth
    ]


async def test_a_judge_that_likes_the_first_place_and_its_own_kind_is_warned_of_and_refused(lab: Lab):
    await fill(lab, pairs=24)
    scores = []
    for number, pair in enumerate(lab.comparisons["comparison_id"]):
        scores += scored("ana", "person", float(number % 2), pair)
        scores += scored(
            "judge: claude-x",
            "judge",
            0.5,
            pair,
            primary_first="primary",
            shadow_first="shadow",
            flipped=True,
        )
    lab.ledger.score(*scores)
    [row] = rl.analysis.judge_checks(lab.ledger).frame.to_dict("records")
    assert (row["flipped_share"], row["first_place_share"], row["own_side"]) == (1.0, 1.0, "primary")
    assert row["refused"] and row["people_pairs"] == 24
    for said in ("change with the order", "stands first", "own kind", "no better than chance"):
        assert said in row["warnings"]
    assert "REFUSED" in repr(rl.analysis.judge_checks(lab.folder))


async def test_pairs_the_judge_is_unsure_of_are_marked_first_with_known_chances(lab: Lab):
    await fill(lab, pairs=20)
    ids = list(lab.comparisons["comparison_id"])
    sure, unsure = ids[:12], ids[12:]
    for pair in sure:
        lab.ledger.score(*scored("judge: m", "judge", 1.0, pair))
    for pair in unsure:
        lab.ledger.score(*scored("judge: m", "judge", 0.5, pair))
    design = uncertain_more(lab.ledger)
    checks = rl.spot_checks(lab.ledger, 8, by="ana", design=design)
    drawn = [check.comparison_id for check in checks]
    assert sum(one in unsure for one in drawn) == 6
    for check in list(checks.left):
        checks.say(check, "equal")
    said = rl.analysis.marks(lab.ledger, by="ana").set_index("comparison_id")["chance"].astype(float)
    assert said[said.index.isin(unsure)].tolist() == [6 / 8] * 6
    assert said[said.index.isin(sure)].tolist() == pytest.approx([2 / 12] * 2)
    with pytest.raises(ConfigError, match=r"share is 1.0; it is a share in \(0, 1\)"):
        uncertain_more(lab.ledger, share=1.0)


@pytest.mark.few(2)
@pytest.mark.parametrize("provider", ["openai", "anthropic", "ollama"])
@pytest.mark.parametrize("takes_schemas", [True, False])
async def test_a_server_that_takes_schemas_is_sent_the_verdicts(
    lab: Lab, provider: str, takes_schemas: bool
) -> None:
    """What a judge writes in other words is read all the same, and no schema is put into its prompt."""
    await fill(lab, pairs=2)
    bodies: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        bodies.append(request)
        said = {"openai": openai, "ollama": ollama}.get(provider)
        return said("SAME") if said else anthropic({"type": "text", "text": "SAME"})

    form = "json_schema" if takes_schemas else "none"
    async with scripted({"judging": answer}) as server:
        configured = settings.parse(
            f"""
models:
  asked: {{provider: {provider}, model: judging, base_url: "{server.url}", price: {{input: 1, output: 1}},
           dialect: {{response_format: {form}}}}}
routing: {{judge: {{model: asked, max_tokens: 64}}}}
{FAST}
"""
        )
        async with Router(configured, ledger=lab.ledger, seed=0) as router:
            again = await asyncio.to_thread(rl.recompare, lab.ledger, "judge", router=router)
    assert again["skipped"].isna().all() and (again["agreement"] == 1).all()
    assert bodies
    for body in bodies:
        sent = {
            "openai": lambda body: body.get("response_format", {}).get("json_schema", {}).get("schema"),
            "anthropic": lambda body: body.get("output_config", {}).get("format", {}).get("schema"),
            "ollama": lambda body: body.get("format"),
        }[provider](body)
        assert sent == (SCHEMA if takes_schemas else None)
        assert "JSON schema" not in json.dumps(body)

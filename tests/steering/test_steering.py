"""Steering: a real ledger's switch is flipped once, for the reason found; audits and re-arms follow."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from pair_frames import NOW, agreeing, pairs_frame

from router_lab.analysis import monitor
from router_lab.errors import ConfigError
from router_lab.ledger import Ledger
from router_lab.records import Comparison
from router_lab.steering import SteeringPolicy, act, plan_actions, steer

LATER = (NOW + pd.Timedelta(hours=1)).to_pydatetime()
DAY = timedelta(days=1)


def events(*rows) -> pd.DataFrame:
    """Switch events as (prefix, on, author, time)."""
    return pd.DataFrame(
        [
            (epoch, pd.Timestamp(at), prefix, on, author)
            for epoch, (prefix, on, author, at) in enumerate(rows, 1)
        ],
        columns=["epoch", "at", "prefix", "on", "author"],
    )


AT_ONCE = SteeringPolicy(exit_after_days=0)


def kinds(frame, now=LATER, policy=AT_ONCE, switch_events=None) -> list[str]:
    result = monitor(frame, now=now, switch_events=switch_events)
    return [action.kind for action in plan_actions(result, policy, now=now)]


def test_a_stable_type_exits_and_an_undecided_one_does_not():
    assert kinds(pairs_frame(np.ones(300))) == ["exit"]
    assert kinds(pairs_frame(agreeing(0.95, 50))) == []


def test_an_exit_says_how_soon_its_audits_would_find_a_fall():
    """Of 300 pairs in 5 hours a hundredth a day are 15; a fall to .90 is found after about 200 of them."""
    (action,) = plan_actions(monitor(pairs_frame(np.ones(300)), now=LATER), AT_ONCE, now=LATER)
    days = float(
        re.search(r"at audits of (\d+) pairs a day .* found after about (\d+) days", action.reason)[2]
    )
    assert "a mean of 0.9000, twice the loss accepted" in action.reason
    assert 10 <= days <= 18
    rare = SteeringPolicy(audit_every_days=7, exit_after_days=0)
    (action,) = plan_actions(monitor(pairs_frame(np.ones(300)), now=LATER), rare, now=LATER)
    assert "pairs every 7 days" in action.reason


@pytest.mark.parametrize(
    ("policy", "kind"), [(SteeringPolicy(), "alert"), (SteeringPolicy(on_worse="off"), "stop")]
)
def test_worse_does_what_was_configured(policy, kind):
    worse = pairs_frame(np.ones(300), primary_score=1.0, shadow_score=agreeing(0.7, 300))
    assert kinds(worse, policy=policy) == [kind]


def test_answers_that_differ_are_told_and_stop_nothing_unless_asked():
    unlike = pairs_frame(agreeing(0.7, 300))
    (action,) = plan_actions(monitor(unlike, now=LATER), SteeringPolicy(on_worse="off"), now=LATER)
    assert action.kind == "alert" and action.reason.startswith("differs: ")
    assert (
        "for better or worse is unknown: score some pairs" in action.reason
        and "rl.spot_checks(" in action.reason
    )
    assert kinds(unlike, policy=SteeringPolicy(on_differs="off")) == ["stop"]


def test_likeness_before_the_exit_watches_over_an_exit_by_scores_that_nobody_scores_any_more():
    agreement = np.concatenate([agreeing(0.6, 600), agreeing(0.2, 600)])
    scored = np.repeat([1.0, np.nan], 600)
    frame = pairs_frame(agreement, primary_score=scored, shadow_score=scored)
    result = monitor(frame, basis="scores", now=LATER, switch_events=events(EXITED))
    (action,) = plan_actions(result, now=LATER)
    assert action.kind == "rearm" and "by agreement" in action.reason


def test_a_real_ledger_is_steered_once(tmp_path):
    """Exit, then nothing more the same day, then an audit the next, all read back from the ledger."""
    frame = pairs_frame(np.ones(400))
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.switch.on(reason="experiment")
        first = plan_actions(
            monitor(frame, now=LATER, switch_events=ledger.switch_events()), AT_ONCE, now=LATER
        )
        act(first, ledger.switch, now=LATER)
        assert not ledger.switch.read("classify::ticket").on
        assert ledger.switch.read("another::type").on
        history = ledger.switch.history()
        assert history["author"].iloc[-1] == "router-lab monitor: exit"
        assert "stable" in history["reason"].iloc[-1]

        now = pd.Timestamp(history["at"].iloc[-1]).to_pydatetime()
        again = monitor(frame, now=now + timedelta(hours=1), switch_events=ledger.switch_events())
        assert plan_actions(again, now=now + timedelta(hours=1)) == []
        (audit,) = plan_actions(again, now=now + 2 * DAY)
        assert audit.kind == "audit" and audit.pairs >= 10 and audit.usd == 1.0
        act([audit], ledger.switch)
        assert ledger.switch.read("classify::ticket").on


def comparison(number: int, agreement: float) -> Comparison:
    return Comparison(
        comparison_id=f"c{number}", request_id=f"r{number}", task_type="math::word",
        created_at=LATER - timedelta(minutes=500 - number), primary_attempt_id=None, shadow_attempt_id=None,
        primary_alias="cloud", shadow_alias="local", primary_model="big", shadow_model="small",
        input_hash=f"h{number}", sample_probability=1.0, switch_epoch=1, status="complete",
        comparator="number", agreement=agreement, primary_output="1", shadow_output="1",
        primary_cost_usd=0.01, shadow_cost_usd=0.001,
        primary_latency_ms=900.0, shadow_latency_ms=300.0, details={},
    )  # fmt: skip


async def test_the_switch_and_the_pairs_are_read_at_one_instant(tmp_path):
    """What another process flips between two readings would be known of the one and not of the other."""

    class ExitedMeanwhile(Ledger):
        def tables(self, *arguments, **options):
            self.switch.off(
                reason="another one steers", prefix="math::word", author="router-lab monitor: exit"
            )
            return super().tables(*arguments, **options)

    with ExitedMeanwhile(tmp_path / "ledger") as ledger:
        await asyncio.gather(*(ledger.accounts.record_comparison(comparison(i, 1.0)) for i in range(30)))
        looked = await steer(ledger, policy=AT_ONCE, now=LATER)
        assert looked.result.standings["math::word"].state == "exited"


@pytest.mark.few(1)
@pytest.mark.parametrize(("agreement", "kind"), [(1.0, "exit"), (0.0, "alert")])
async def test_steer_from_pairs_in_the_ledger_to_its_switch(tmp_path, agreement, kind):
    """End to end, twice, as a cron job would: the second run finds nothing left to do."""
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.switch.on(reason="experiment")
        await asyncio.gather(
            *(ledger.accounts.record_comparison(comparison(i, agreement)) for i in range(300))
        )
        looked = await steer(ledger, policy=AT_ONCE, now=LATER)
        assert [one.kind for one in looked.actions] == [kind] and looked.done == ()
        assert ledger.switch.read("math::word").on

        first = await steer(ledger, policy=AT_ONCE, apply=True, now=LATER)
        assert [one.kind for one in first.done] == [kind]
        assert ledger.switch.read("math::word").on is (kind == "alert")
        assert list(ledger.alerts()["kind"]) == [f"monitor_{kind}"]
        assert f"{kind} math::word" in repr(first)

        second = await steer(ledger, policy=AT_ONCE, apply=True, now=LATER)
        assert second.done == ()
        assert len(ledger.alerts()) == 1


async def measured(ledger: Ledger) -> None:
    await asyncio.gather(*(ledger.accounts.record_comparison(comparison(i, 1.0)) for i in range(300)))


async def exited(folder) -> None:
    """A ledger whose shadow exited long before an audit is due."""
    with Ledger(folder) as ledger:
        ledger.switch.on(reason="experiment")
        await measured(ledger)
        assert [one.kind for one in (await steer(ledger, policy=AT_ONCE, apply=True, now=LATER)).done] == [
            "exit"
        ]


async def test_an_audit_does_not_overrule_who_turned_all_off_after_the_exit(tmp_path):
    await exited(tmp_path / "ledger")
    with Ledger(tmp_path / "ledger") as ledger:
        due = pd.Timestamp.now("UTC").to_pydatetime() + 2 * DAY
        stop = ledger.switch.off(reason="an incident", author="alice")
        steered = await steer(ledger, policy=AT_ONCE, apply=True, now=due)
        assert [one.kind for one in steered.actions] == ["audit"] and steered.done == ()
        assert not ledger.switch.read("math::word").on
        stop.restore()
        steered = await steer(ledger, policy=AT_ONCE, apply=True, now=due)
        assert [one.kind for one in steered.done] == ["audit"] and ledger.switch.read("math::word").on


@pytest.mark.parametrize("prefix", ["", "math::word"])
async def test_what_somebody_flips_while_the_monitor_decides_stands(tmp_path, prefix):
    class TurnedOffMeanwhile(Ledger):
        def tables(self, *arguments, **options):
            found = super().tables(*arguments, **options)
            self.switch.off(reason="an incident", prefix=prefix, author="alice")
            return found

    await exited(tmp_path / "ledger")
    with TurnedOffMeanwhile(tmp_path / "ledger") as ledger:
        due = pd.Timestamp.now("UTC").to_pydatetime() + 2 * DAY
        steered = await steer(ledger, policy=AT_ONCE, apply=True, now=due)
        assert [one.kind for one in steered.actions] == ["audit"] and steered.done == ()
        assert not ledger.switch.read("math::word").on


async def test_an_exit_leaves_on_what_somebody_turned_on_while_it_was_decided(tmp_path):
    class TurnedOnMeanwhile(Ledger):
        def tables(self, *arguments, **options):
            found = super().tables(*arguments, **options)
            self.switch.on(reason="a new prompt", prefix="math::word", author="alice")
            return found

    with TurnedOnMeanwhile(tmp_path / "ledger") as ledger:
        ledger.switch.on(reason="experiment")
        await measured(ledger)
        steered = await steer(ledger, policy=AT_ONCE, apply=True, now=LATER)
        assert [one.kind for one in steered.actions] == ["exit"] and steered.done == ()
        assert ledger.switch.read("math::word").on and ledger.alerts().empty


async def test_of_two_that_steer_at_once_one_acts(tmp_path):
    with Ledger(tmp_path / "ledger") as one, Ledger(tmp_path / "ledger") as two:
        one.switch.on(reason="experiment")
        await measured(one)
        both = await asyncio.gather(
            *(
                asyncio.to_thread(asyncio.run, steer(each, policy=AT_ONCE, apply=True, now=LATER))
                for each in (one, two)
            )
        )
        assert sorted(len(steered.done) for steered in both) == [0, 1]
        assert list(one.switch_events()["author"]).count("router-lab monitor: exit") == 1
        assert len(one.alerts()) == 1 and len(one.watches()) == 2  # the plan and the verdict


KILLED_ONCE_IT_IS_OFF = """
import asyncio, os, signal, sys, threading
from datetime import datetime
from router_lab.ledger import Ledger
from router_lab.steering import SteeringPolicy, steer
ledger = Ledger(sys.argv[1])
def kill():
    while ledger.switch.read("math::word").on:
        pass
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=kill, daemon=True).start()
policy, now = SteeringPolicy(exit_after_days=0), datetime.fromisoformat(sys.argv[2])
asyncio.run(steer(ledger, policy=policy, apply=True, now=now))
threading.Event().wait()
"""


async def test_a_flip_is_told_of_whenever_its_process_is_killed(tmp_path):
    """Regression: killed after the flip and before its alert, the exit was told of nowhere, then or later."""
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.switch.on(reason="experiment")
        await measured(ledger)
    command = [sys.executable, "-c", KILLED_ONCE_IT_IS_OFF, tmp_path / "ledger", LATER.isoformat()]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    with Ledger(tmp_path / "ledger") as ledger:
        (exited,) = ledger.switch_events()[lambda rows: rows["author"] == "router-lab monitor: exit"][
            "reason"
        ]
        assert list(ledger.alerts()["message"]) == [exited]


def test_alerts_are_said_once(tmp_path):
    frame = pairs_frame(agreeing(0.7, 300))

    async def run() -> list[int]:
        with Ledger(tmp_path / "ledger") as ledger:
            ledger.switch.on(reason="experiment")
            told = []
            for _ in range(2):
                waiting: list[asyncio.Future[None]] = []
                act(
                    plan_actions(monitor(frame, now=LATER), AT_ONCE, now=LATER),
                    ledger.switch,
                    lambda alert, waiting=waiting: waiting.append(ledger.accounts.record_alert(alert)),
                    known_alerts=set(ledger.alerts()["alert_id"]),
                )
                await asyncio.gather(*waiting)
                told.append(len(ledger.alerts()))
            return told

    assert asyncio.run(run()) == [1, 1]


EXITED = ("classify::ticket", False, "router-lab monitor: exit", NOW - pd.Timedelta(minutes=600))


def test_drift_after_an_exit_turns_it_on_again_within_a_budget():
    good, bad = np.ones(600), agreeing(0.7, 600)
    frame = pairs_frame(np.concatenate([good, bad]))
    result = monitor(frame, now=LATER, switch_events=events(EXITED))
    (action,) = plan_actions(result, SteeringPolicy(rearm_usd=3.0), now=LATER)
    assert action.kind == "rearm" and action.usd == 3.0
    assert "drift" in action.reason


def test_after_a_rearm_the_evidence_begins_afresh():
    frame = pairs_frame(np.concatenate([np.ones(600), agreeing(0.7, 600)]))
    rearmed = ("classify::ticket", True, "router-lab monitor: rearm", NOW - pd.Timedelta(minutes=300))
    result = monitor(frame, now=LATER, switch_events=events(EXITED, rearmed))
    (decision,) = result.decisions.values()
    assert decision.inputs == 299
    assert kinds(frame, switch_events=events(EXITED, rearmed)) == ["alert"]


def test_a_person_turning_it_on_again_begins_afresh_too():
    by_hand = ("classify::ticket", True, "alice", NOW - pd.Timedelta(minutes=300))
    result = monitor(pairs_frame(np.ones(1_200)), now=LATER, switch_events=events(EXITED, by_hand))
    assert next(iter(result.decisions.values())).inputs == 299
    assert next(iter(result.standings.values())).state == "measuring"


def test_a_new_model_after_an_exit_is_measured_again():
    frame = pairs_frame(np.ones(1_200))
    frame.loc[700:, "shadow_model"] = "qwen3:8b"
    result = monitor(frame, now=LATER, switch_events=events(EXITED))
    (action,) = plan_actions(result, now=LATER)
    assert action.kind == "rearm" and "changed" in action.reason


def test_audits_do_not_undo_the_verdict_they_watch():
    frame = pairs_frame(np.concatenate([np.ones(600), agreeing(0.96, 600)]))
    result = monitor(frame, now=LATER, switch_events=events(EXITED))
    (decision,) = result.decisions.values()
    assert decision.inputs == 600 or decision.inputs == 601
    assert decision.outcome.value == "non_inferior"


def test_an_unknown_reaction_is_refused():
    with pytest.raises(ConfigError, match="on_worse"):
        SteeringPolicy(on_worse="panic")  # type: ignore[arg-type]

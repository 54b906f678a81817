"""The switch panel on a real ledger: it asks, flips, shows what another process did, and stops at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pair_rows import HOSTILE, START, row

import router_lab as rl
from router_lab.panels import SwitchPanel
from router_lab.panels.shadow_cost import DailyCost, daily_cost, shadow_rates
from router_lab.records import Comparison


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[rl.Ledger]:
    with rl.Ledger(tmp_path / "ledger") as made:
        made.switch.off(reason="start")
        yield made


def add(ledger: rl.Ledger, *rows: dict[str, Any]) -> None:
    async def write() -> None:
        for one in rows:
            await ledger.record_comparison(Comparison(**{**one, "details": {}}))

    asyncio.run(write())


def week(task_type: str, count: int, **changes: Any) -> list[dict[str, Any]]:
    """`count` pairs spread evenly over exactly seven days."""
    step = timedelta(days=7) / (count - 1)
    return [row(n, task_type=task_type, created_at=START + n * step, **changes) for n in range(count)]


def test_it_shows_where_the_switch_stands(ledger: rl.Ledger) -> None:
    panel = SwitchPanel(ledger)
    assert repr(panel) == "SwitchPanel(off; epoch 1, 1 flips)"
    ledger.switch.on(reason="try <b>", prefix="code")
    panel.again.click()
    assert repr(panel) == "SwitchPanel(off, on for 1 prefixes; epoch 2, 2 flips)"
    assert "try &lt;b&gt;" in panel._state.value
    assert list(panel.selection()["epoch"]) == [1, 2]


def test_turning_on_asks_first_and_tells_the_cost(ledger: rl.Ledger) -> None:
    add(ledger, *week("extract", 71, shadow_cost_usd=0.01))
    panel = SwitchPanel(ledger)
    panel.reason.value = "experiment"
    panel.turn_on.click()
    assert not ledger.switch.state.on
    assert panel._question.layout.display == "flex"
    assert "About $0.1014 a day for 10 eligible calls a day" in panel._asked.value
    panel.yes.click()
    assert ledger.switch.state.on
    assert ledger.switch.state.reason == "experiment"
    assert "Shadows are on everywhere, epoch 2" in panel.status
    assert panel._question.layout.display == "none"


def test_no_reason_no_question(ledger: rl.Ledger) -> None:
    panel = SwitchPanel(ledger)
    panel.turn_on.click()
    assert "Write a reason first" in panel.status
    assert panel._question.layout.display == "none"
    with pytest.raises(rl.ConfigError, match="reason"):
        panel.ask()


def test_cancel_changes_nothing(ledger: rl.Ledger) -> None:
    panel = SwitchPanel(ledger)
    panel.reason.value = "experiment"
    panel.turn_on.click()
    panel.no.click()
    assert not ledger.switch.state.on
    assert len(panel.selection()) == 1


def test_another_scope_withdraws_the_question(ledger: rl.Ledger) -> None:
    add(ledger, row(1, task_type="code::python"))
    panel = SwitchPanel(ledger)
    panel.reason.value = "experiment"
    panel.turn_on.click()
    panel.scope.set_state({"index": 1})
    assert panel._question.layout.display == "none"
    panel.turn_on.click()
    panel.yes.click()
    assert ledger.switch.read("code::python").on
    assert not ledger.switch.read("extract").on


def test_limits_go_with_the_flip(ledger: rl.Ledger) -> None:
    panel = SwitchPanel(ledger)
    panel.reason.value = "an hour"
    panel.minutes.value, panel.pairs.value, panel.dollars.value = 60, 500, 0.5
    panel.confirm()
    newest = panel.selection().iloc[-1]
    assert newest["expires_at"] - newest["at"] == timedelta(minutes=60)
    assert (newest["expires_pairs"], newest["expires_usd"]) == (500, 0.5)
    assert "500 pairs or $0.5000" in panel._past.value


def test_turning_off_is_immediate_and_needs_no_reason(ledger: rl.Ledger) -> None:
    ledger.switch.on(reason="experiment")
    panel = SwitchPanel(ledger)
    panel.turn_off.click()
    assert not ledger.switch.state.on
    assert "turned off in the panel" in panel._past.value


def test_a_flip_by_another_process_is_followed(ledger: rl.Ledger, tmp_path: Path) -> None:
    panel = SwitchPanel(ledger)
    code = "import router_lab as rl, sys; rl.Ledger(sys.argv[1]).switch.on(reason='from afar')"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "ledger")], check=True)

    async def until_seen() -> None:
        seen = asyncio.Event()
        panel._state.observe(lambda change: seen.set(), names="value")
        panel.follow(every_s=0.01)
        await asyncio.wait_for(seen.wait(), timeout=30)
        panel.stop()

    asyncio.run(until_seen())
    assert "from afar" in panel._state.value


def test_an_error_is_shown_not_swallowed(ledger: rl.Ledger) -> None:
    panel = SwitchPanel(ledger)
    panel.reason.value = "experiment"
    ledger.close()
    panel.yes.click()
    assert "Problem:" in panel.status
    assert "closed" in panel.status


def test_reasons_and_task_types_are_escaped_everywhere(ledger: rl.Ledger) -> None:
    add(ledger, row(1, task_type=HOSTILE["closing script"]))
    panel = SwitchPanel(ledger)
    panel.reason.value = HOSTILE["script"] + HOSTILE["bidi"]
    panel.scope.set_state({"index": 1})
    panel.turn_on.click()
    panel.yes.click()
    for html in (panel._asked.value, panel._state.value, panel._past.value, panel.status):
        assert "<script" not in html
        assert "<img" not in html
        assert "\u202e" not in html


def test_the_static_form_has_no_times(ledger: rl.Ledger) -> None:
    bundle = SwitchPanel(ledger)._repr_mimebundle_()
    assert "When" not in bundle["text/html"]
    assert "start" in bundle["text/html"]


def test_what_is_no_ledger_says_so() -> None:
    with pytest.raises(rl.ConfigError, match="give a Ledger"):
        SwitchPanel("ledger")  # type: ignore[arg-type]


def test_rates_count_every_eligible_call_and_price_only_shadows_that_ran(ledger: rl.Ledger) -> None:
    off = {"status": "off", "shadow_attempt_id": None, "shadow_cost_usd": None, "sample_probability": 0.5}
    add(
        ledger, *week("extract", 8, **off), *week("extract", 8, shadow_cost_usd=0.02), *week("code", 8, **off)
    )
    code, extract = shadow_rates(ledger.tables().comparisons)
    assert extract.calls_per_day == pytest.approx(16 / 7)
    assert extract.shadows_per_day == pytest.approx(12 / 7)
    assert extract.usd_per_shadow == pytest.approx(0.02)
    assert code.usd_per_shadow is None
    both = daily_cost([code, extract], "")
    assert both.usd == pytest.approx(12 / 7 * 0.02)
    assert both.unknown == ("code",)
    assert daily_cost([code, extract], "extract").unknown == ()
    assert daily_cost([code, extract], "ext").task_types == 0


def test_the_sentence_says_what_is_not_known() -> None:
    unknown = DailyCost(usd=0, calls_per_day=0, task_types=0, unknown=()).sentence(None)
    assert "unknown" in unknown
    assert "nothing stops it" in unknown
    partly = DailyCost(usd=1.5, calls_per_day=2_000, task_types=2, unknown=("code",)).sentence(5.0)
    assert partly == (
        "About $1.50 a day for 2,000 eligible calls a day, of 1 of 2 task types. "
        "Not counted, because no shadow of theirs has run: code. The daily shadow budget stops it at $5.00."
    )

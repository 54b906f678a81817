"""The switch panel on a real ledger: it asks, flips, shows what another process did, and stops at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pair_rows import HOSTILE, START, row
from written_ledger import SETTINGS

import router_lab as rl
from router_lab.panels import SwitchPanel
from router_lab.panels.shadow_cost import DailyCost, daily_cost, shadow_rates
from router_lab.records import Comparison
from router_lab.settings import parse
from waiting import until


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[rl.Ledger]:
    with rl.Ledger(tmp_path / "ledger") as made:
        made.switch.off(reason="start")
        yield made


def add(ledger: rl.Ledger, *rows: dict[str, Any]) -> None:
    async def write() -> None:
        for one in rows:
            await ledger.accounts.record_comparison(Comparison(**{**one, "details": {}}))

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


_WAITING = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
import router_lab as rl
from pair_rows import row
from router_lab.records import Comparison
async def open_one_and_record_another(ledger):
    ledger.accounts.open_comparison(Comparison(**{**row(1), "details": {}}))
    await ledger.accounts.record_comparison(Comparison(**{**row(2), "details": {}}))
with rl.Ledger(sys.argv[1]) as ledger:
    asyncio.run(open_one_and_record_another(ledger))
    print("waiting", flush=True)
    sys.stdin.read()
"""


def test_pairs_waiting_in_another_process_are_counted_while_it_lives(
    ledger: rl.Ledger, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", _WAITING, str(tmp_path / "ledger"), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "waiting\n"
        panel = SwitchPanel(ledger)
        assert "Now: 1 pair waiting for or running a shadow" in panel._live.value
        other.kill()
        other.wait(timeout=30)
        panel.again.click()
    assert panel.status == ""
    assert "Now: 0 pairs wait" in panel._live.value


def test_todays_shadows_are_counted_by_task_type(written: rl.Ledger) -> None:
    began = datetime.now(UTC)
    panel = SwitchPanel(written)
    attempts = written.attempts()
    if datetime.now(UTC).day != began.day:
        panel.refresh()
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    today = attempts[attempts["is_shadow"] & (attempts["started_at"] >= midnight)]
    found = {one.task_type: (one.shadows, one.usd) for one in panel._now.live.spending}
    for task_type, group in today.groupby("task_type"):
        assert found.pop(task_type) == (len(group), pytest.approx(group["cost_usd"].sum()))
    assert not found


async def test_a_running_router_shows_its_breakers(ledger: rl.Ledger) -> None:
    with rl.sim.serve(rl.sim.app(seed=1)) as server:
        server.app.script(["503"] * 3)
        text = SETTINGS + "\nbreaker: {failure_threshold: 2}"
        async with rl.Router(rl.sim.pointed_at(parse(text), server.url), ledger=ledger) as router:
            with pytest.raises(rl.RouterLabError):
                await router.complete("Order 1", task_type="extract", max_tokens=8)
            panel = SwitchPanel(router)
            assert "this router runs 8 shadows at once" in panel._live.value
            assert "open, 2 recent failures" in panel._live.value
            assert "next try" in panel._live.value
            panel.off()
            assert not ledger.switch.state.on
        from_the_ledger = SwitchPanel(ledger)
    (line,) = from_the_ledger._now.live.breakers
    assert line.state == "opened"
    assert "anthropic" in line.provider


async def test_it_reads_on_another_thread_while_it_follows(ledger: rl.Ledger) -> None:
    """The event loop goes on while the panel reads: the reading waits for the loop here."""
    loop, follows = asyncio.get_running_loop(), threading.Event()

    class Slow(rl.Ledger):
        def tables(self, backend: str = "duckdb", connection: Any = None) -> Any:
            if follows.is_set():
                asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(timeout=30)
            return super().tables(backend, connection)

    panel = SwitchPanel(Slow(ledger.name))
    follows.set()
    drawn = asyncio.Event()
    panel._state.observe(lambda _: drawn.set(), names="value")
    ledger.switch.on(reason="seen meanwhile")
    panel.follow(every_s=0.01)
    await asyncio.wait_for(drawn.wait(), timeout=60)
    panel.stop()
    assert "seen meanwhile" in panel._state.value


_SHADOWING = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
sys.path.insert(0, sys.argv[2])
from ledger_rows import lost
from router_lab import Ledger
async def main():
    with Ledger(sys.argv[1]) as ledger:
        today = datetime.now(UTC) + timedelta(hours=1)  # and so for an hour, even if it is midnight
        row = lost(is_shadow=True, cost_usd=0.25, worst_usd=0.75, started_at=today)
        await ledger.accounts.open_attempt(row, 0.75, [])
        await ledger.accounts.settle(row)
        print("written", flush=True)
        sys.stdin.read()
asyncio.run(main())
"""


async def test_what_another_process_spends_shows_by_itself_likely_and_at_most(
    ledger: rl.Ledger, tmp_path: Path
) -> None:
    panel = SwitchPanel(ledger)
    panel.follow()
    rows = str(Path(__file__).parents[1] / "ledger")
    command = [sys.executable, "-c", _SHADOWING, str(tmp_path / "ledger"), rows]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        await until(lambda: panel._now.live.spending)
        other.communicate("")
    panel.stop()
    (spent,) = panel._now.live.spending
    assert (spent.shadows, spent.usd, spent.at_most_usd) == (1, 0.25, 0.75)
    assert "At most" in panel._live.value

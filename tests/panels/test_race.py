"""The panel of a race: the numbers of `rl.race`, live while a replay goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from browsing import CHROMIUM, browser_page, notebook, voila

import router_lab as rl
from lab import laboratory
from race_log import CANDIDATES, HOSTILE, MODELS, ROUTING, log, replayed
from router_lab.analysis import RacePlan
from router_lab.errors import ConfigError
from router_lab.panels import RacePanel

PLAN = RacePlan(margin=0.2)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return replayed(tmp_path_factory.mktemp("race") / "ledger")


def test_the_panel_shows_what_the_race_says(ledger: Path) -> None:
    panel = RacePanel(ledger, PLAN, run_id="first")
    found = rl.race(ledger, PLAN, run_id="first")
    assert panel.selection().equals(found.frame)
    assert found.choice in panel._body.value.replace("&#x27;", "'")
    assert "draws of 10" in panel._body.value
    assert repr(panel).startswith("RacePanel(first: 1 within, 2 worse.")
    assert "cheap within" in repr(panel.plot)


@pytest.mark.soak
def test_another_replay_is_chosen_and_its_names_are_escaped(ledger: Path) -> None:
    panel = RacePanel(str(ledger), PLAN)
    assert list(panel.selection()["candidate"]) == [HOSTILE]  # the newest
    assert "<script>" not in panel._body.value
    panel.replay.value = "first"
    assert panel.status == ""
    assert sorted(panel.selection()["candidate"]) == CANDIDATES
    panel.task_type.value = "classify"
    assert panel.status == ""


async def test_the_panel_follows_a_race(tmp_path: Path) -> None:
    with laboratory(tmp_path / "ledger", workload=log(), models=MODELS) as lab:
        lab.ledger.switch.off(reason="start")
        panel = RacePanel(lab.ledger, PLAN, inputs=40)
        assert repr(panel) == "RacePanel(No pairs yet)"
        async with lab.router(ROUTING) as router:
            run = await rl.replay(router, log(40), candidates=CANDIDATES, race=PLAN)
        panel.refresh()
        assert panel.selection().equals(run.race.frame)


def test_an_empty_ledger_and_what_is_none(empty: rl.Ledger) -> None:
    panel = RacePanel(empty)
    assert (len(panel.selection()), panel.plot) == (0, None)
    assert "No pairs yet" in panel._repr_mimebundle_()["text/html"]
    with pytest.raises(ConfigError, match="RacePlan"):
        RacePanel(empty, 0.05)
    with pytest.raises(ConfigError, match="Accepted"):
        RacePanel(3)


@pytest.mark.soak
@pytest.mark.browser
@pytest.mark.timeout(300)
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt-get install chromium)")
def test_a_reader_chooses_a_replay_in_the_browser(ledger: Path, tmp_path: Path) -> None:
    cell = f"import router_lab as rl\nrl.panels.RacePanel({str(ledger)!r}, rl.analysis.RacePlan(margin=0.2))"
    path = notebook(tmp_path / "race.ipynb", cell)
    with voila(path) as url, browser_page(url, tmp_path) as page:
        page.get_by_text(HOSTILE).first.wait_for()
        page.get_by_label("Replay").select_option("first")
        page.get_by_text("first: 1 within, 2 worse.").wait_for()
        page.get_by_role("img", name="Cost-quality frontier").wait_for()

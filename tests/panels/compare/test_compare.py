"""The panel as a reader uses it: controls set as a front-end sets them, handlers called directly."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pytest
from pair_rows import HOSTILE, START, frame, mixed, row

import router_lab as rl
from router_lab.panels import ComparePanel
from router_lab.panels.compare.compare_panel import KEYS
from router_lab.records import Comparison, Score
from router_lab.scores.spot_checking import scored_pairs
from router_lab.scores.verdict_store import HumanVerdict


@pytest.fixture
def panel() -> ComparePanel:
    return ComparePanel(mixed(), page_size=5)


def comparison(number: int) -> Comparison:
    return Comparison(**{**row(number), "details": {}})


def body(panel: ComparePanel) -> str:
    return str(panel._body.value)


def inside(widget: Any) -> Iterator[Any]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from inside(child)


def test_the_repr_is_short_stable_and_tells_what_is_shown(panel: ComparePanel) -> None:
    assert repr(panel) == "ComparePanel(12 pairs, 9 complete, 3 differ; page 1 of 3)"
    assert panel._repr_mimebundle_()["text/plain"] == repr(panel)


def test_a_front_end_filters_and_the_selection_follows(panel: ComparePanel) -> None:
    place = [label for label, _ in panel.filters.task_type.options].index("code")
    panel.filters.task_type.set_state({"index": place})
    assert list(panel.selection()["comparison_id"]) == ["c000008", "c000007", "c000009"]
    panel.filters.agreement.set_state({"value": [0.5, 1.0]})
    assert list(panel.selection()["comparison_id"]) == ["c000009"]
    panel.filters.search.set_state({"value": "nothing like this"})
    assert panel.selection().empty
    assert "No pair passes" in panel.status
    panel.filter(search="", task_type=None, agreement=(0.0, 1.0))
    assert len(panel.selection()) == 12
    assert panel.filters.search.value == ""
    assert panel.status == ""


def test_paging_by_buttons_and_by_number(panel: ComparePanel) -> None:
    assert panel.previous.disabled
    panel.next.click()
    assert panel.page_number.value == 2
    panel.page_number.set_state({"value": 3})
    assert repr(panel).endswith("page 3 of 3)")
    assert panel.next.disabled
    panel.go_to(99)
    assert repr(panel).endswith("page 3 of 3)")
    panel.filters.epoch.set_state({"index": 1})
    assert repr(panel).endswith("page 1 of 1)")


def test_differences_are_marked_and_equal_answers_are_not() -> None:
    differing = body(ComparePanel(frame(row(shadow_output="same thing"))))
    assert differing.count("<mark") == 2
    assert "<mark" not in body(ComparePanel(frame(row())))


@pytest.mark.parametrize("answers", [("yes", "no"), ('{"a": 1, "b": 2}', '{"a": 3}')], ids=["text", "fields"])
def test_no_answer_is_struck_out_for_either_may_be_right(answers: tuple[str, str]) -> None:
    shown = body(ComparePanel(frame(row(primary_output=answers[0], shadow_output=answers[1]))))
    assert "<mark" in shown
    assert not [word for word in ("line-through", "<del", "<s>", "<strike") if word in shown]


def test_json_answers_are_compared_by_field() -> None:
    pair = row(primary_output='{"city": "Turin", "n": 1}', shadow_output='{"city": "Leeds", "n": 1}')
    html = body(ComparePanel(frame(pair)))
    assert html.index("city") < html.index("n</td>")
    assert "&quot;Leeds&quot;" in html


def test_whole_texts_on_demand() -> None:
    panel = ComparePanel(frame(row(primary_output="é" * 9_000, shadow_output="z" * 9_000)))
    assert "5,000 more characters" in body(panel)
    panel.whole.set_state({"value": True})
    assert "more characters" not in body(panel)


@pytest.mark.few(4)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_in_every_column_stays_text(name: str) -> None:
    text = HOSTILE[name].encode("utf-8", "replace").decode()
    columns = ("task_type", "primary_alias", "shadow_alias", "primary_model", "comparator", "status")
    pair = row(
        primary_output=text,
        shadow_output=f"other {text}",
        details=json.dumps({"reason": text}),
        **dict.fromkeys(columns, text[:5_000]),
    )
    panel = ComparePanel(frame(pair, row(2)))
    panel.mark(1, "both wrong", note=text)
    static = panel._repr_mimebundle_()["text/html"]
    for html in (body(panel), static, panel.status):
        assert "<script" not in html
        assert "<img" not in html
        assert "<b>bold" not in html
        assert "\x1b" not in html
        assert "\u202e" not in html
        assert len(html) < 60_000
    state = json.dumps(panel.get_state(), default=str) + json.dumps(panel.status)
    assert "</script" not in state


def test_hostile_labels_cannot_break_the_dropdown() -> None:
    panel = ComparePanel(frame(row(task_type=HOSTILE["bidi"]), row(2, task_type="any"), row(3, task_type="")))
    labels = [label for label, _ in panel.filters.task_type.options]
    assert "user ⟦U+202E⟧txt.exe" in labels
    panel.filters.task_type.set_state({"index": labels.index("user ⟦U+202E⟧txt.exe")})
    assert len(panel.selection()) == 1


def test_a_verdict_is_stored_before_it_is_shown() -> None:
    stored: list[HumanVerdict] = []
    panel = ComparePanel(mixed(), page_size=5, on_verdict=stored.append)
    panel.pair_number.value = 2
    panel.verdict.value = "shadow better"
    panel.remark.value = " shorter "
    panel.save.click()
    (said,) = stored
    assert (said.comparison_id, said.verdict, said.note) == ("c000007", "shadow better", "shorter")
    assert "✔ shadow better (shorter)" in body(panel)
    assert "saved" in panel.status
    assert panel.remark.value == ""
    assert list(panel.verdicts["task_type"]) == ["code::python"]


def test_a_verdict_that_cannot_be_stored_is_not_shown_as_saved() -> None:
    def broken(said: HumanVerdict) -> None:
        raise OSError("no space left")

    panel = ComparePanel(mixed(), on_verdict=broken)
    panel.save.click()
    assert "Problem: OSError: no space left" in panel.status
    assert "✔" not in body(panel)
    assert panel.verdicts.empty
    with pytest.raises(OSError, match="no space"):
        panel.mark(1, "both wrong")


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A ledger of three pairs."""
    with rl.Ledger(tmp_path / "ledger") as ledger:
        for number in range(1, 4):
            await ledger.accounts.record_comparison(comparison(number))
    return tmp_path / "ledger"


def test_marks_become_scores_of_the_ledger_by_themselves(folder: Path) -> None:
    with rl.Ledger(folder) as ledger:
        panel = ComparePanel(ledger)
        panel.mark(2, "shadow better", note="shorter")
        panel.mark(3, "unsure")
        user = getpass.getuser()
        scored = scored_pairs(ledger, by=user)
        assert list(scored["comparison_id"]) == ["c000002"]
        assert scored.loc[0, ["primary_score", "shadow_score"]].tolist() == [0.0, 1.0]
        assert set(ledger.scores()["chosen"]) == {True}
        assert f"unsure, saved in the ledger as {user}&#x27;s score of a chosen pair" in panel.status
        assert list(panel.verdicts["verdict"]) == ["shadow better", "unsure"]
    again = ComparePanel(folder)
    assert f"shadow better, says “{user}” (chosen)" in body(again)
    assert f"unsure, says “{user}” (chosen)" in body(again)
    again.mark(2, "both wrong")
    assert f"saved in the ledger as {user}&#x27;s score" in again.status
    assert "shadow better" not in body(again)
    with rl.Ledger(folder) as ledger:
        assert scored_pairs(ledger).loc[0, ["primary_score", "shadow_score"]].tolist() == [0.0, 0.0]


def test_what_others_scored_is_shown_with_their_names_escaped(folder: Path) -> None:
    worth = {"comparison_id": "c000001", "at": START, "by": HOSTILE["script"] + HOSTILE["bidi"]}
    with rl.Ledger(folder) as ledger:
        ledger.score(
            Score(score_id="1", side="primary", quality_score=0.25, **worth),
            Score(score_id="2", side="shadow", quality_score=0.5, **worth),
        )
        panel = ComparePanel(ledger)
        panel.mark(1, "equally good")
    assert "✔ equally good; primary 0.25, shadow 0.5, says" in body(panel)
    assert "<script" not in body(panel)
    assert "\u202e" not in body(panel)


def test_pairs_are_found_by_what_was_said_of_them(folder: Path) -> None:
    """The last word of each scorer counts, the lowest of several; a withdrawn one is none."""
    early, late = START, START + timedelta(minutes=5)

    def worth(number: int, pair: str, value: float | None, at: datetime = early, **more: Any) -> Score:
        given: dict[str, Any] = {"by": "gold", "side": "shadow", "kind": "truth", **more}
        return Score(score_id=str(number), comparison_id=pair, quality_score=value, at=at, **given)

    with rl.Ledger(folder) as ledger:
        ledger.score(
            worth(1, "c000001", 0.0),
            worth(2, "c000001", 1.0, late),
            worth(3, "c000002", 1.0),
            worth(4, "c000002", 0.25, by="judge: j", kind="judge"),
            worth(5, "c000003", 0.0, by="ana", kind="person"),
            worth(6, "c000003", None, late, by="ana", kind="person", verdict="withdrawn"),
            worth(7, "c000003", 0.0, by="bo", kind="person", side="primary"),
        )
        panel = ComparePanel(ledger)

        def found(**wanted: Any) -> list[str]:
            panel.filter(**wanted)
            shown = [one.first.comparison_id for one in panel._now.pairs]
            assert shown == list(panel.selection()["comparison_id"])
            return shown

        assert found(scored="shadow scored wrong") == ["c000002"]
        assert found(scored="primary scored wrong") == ["c000003"]
        assert found(scored="marked") == ["c000003"]
        assert sorted(found(scored="not marked")) == ["c000001", "c000002"]
        assert found(scored=None, order="lowest shadow score first") == ["c000002", "c000001", "c000003"]
        places = [label for label, _ in panel.filters.scored.options]
        panel.filters.scored.set_state({"index": places.index("marked")})
        assert list(panel.selection()["comparison_id"]) == ["c000003"]
        with pytest.raises(rl.ConfigError, match="scored='wrong': choose one of not marked, marked"):
            panel.filter(scored="wrong")
        with pytest.raises(rl.ConfigError, match="order='worst'"):
            panel.filter(order="worst")


def test_the_last_verdict_can_be_taken_back(folder: Path) -> None:
    with rl.Ledger(folder) as ledger:
        panel = ComparePanel(ledger)
        panel.press("2")
        panel.press("1")
        panel.press("z")
        assert list(panel.verdicts["verdict"]) == ["shadow better"]
        assert body(panel).count("✔") == 1
        panel.take_back.click()
        assert panel.verdicts.empty
        assert "better" not in body(panel)
        assert rl.analysis.marks(ledger).empty
        assert panel.undo() is None
        assert "no mark to take back" in panel.status
    stored: list[HumanVerdict] = []
    panel = ComparePanel(folder, on_verdict=stored.append)
    panel.press("1")
    with pytest.raises(rl.ConfigError, match="cannot be taken back"):
        panel.undo()


def test_drawn_pairs_are_one_click_away_and_need_a_ledger(folder: Path) -> None:
    panel = ComparePanel(folder)
    panel.mode.set_state({"index": 1})
    assert panel._place.children == (panel.marking,)
    assert len(panel.marking._checks) == 3
    panel.mode.set_state({"index": 0})
    assert panel.filters in panel._place.children
    assert ComparePanel(folder, mode="marking")._place.children[0].current is not None
    plain = ComparePanel(mixed())
    plain.mode.set_state({"index": 1})
    assert "need a ledger that can be written" in plain.status
    assert plain.mode.value == "browse"
    with pytest.raises(rl.ConfigError, match="mode='blind'"):
        ComparePanel(folder, mode="blind")  # type: ignore[arg-type]


def test_a_ledger_that_cannot_be_written_keeps_no_marks_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    with rl.Ledger(folder) as ledger:
        panel = ComparePanel(ledger)
        assert "Marks are not kept" in panel.status
        panel.mark(1, "both wrong")
        assert "kept in this panel&#x27;s .verdicts" in panel.status
        assert list(panel.verdicts["comparison_id"]) == ["c000001"]
        assert ledger.scores().empty


def test_keys_move_and_mark_over_the_edges_of_pages(panel: ComparePanel) -> None:
    panel.press("b")
    assert (panel.page_number.value, panel.pair_number.value) == (1, 1)
    panel.press("1")
    assert panel.pair_number.value == 2
    assert "Pair 1: primary better" in panel.status
    for _ in range(3):
        panel.press("n")
    panel.press("a")
    assert (panel.page_number.value, panel.pair_number.value) == (2, 1)
    assert "Pair 5: equally good" in panel.status
    panel.press("b")
    assert (panel.page_number.value, panel.pair_number.value) == (1, 5)
    assert list(panel.verdicts["comparison_id"]) == ["c000008", "c000002"]
    for _ in range(20):
        panel.press("u")
    assert (panel.page_number.value, panel.pair_number.value) == (3, 2)
    assert len(panel.verdicts) == 9
    assert 'aria-label="Pair 2" aria-current="true"' in body(panel)


def test_the_current_pair_stays_current_when_others_come_before_it(tmp_path: Path) -> None:
    frame(row(1), row(2), row(3)).to_parquet(tmp_path / "1.parquet")
    panel = ComparePanel(tmp_path)
    panel.press("n")
    frame(row(4, agreement=0.0), row(5, agreement=0.5)).to_parquet(tmp_path / "2.parquet")
    panel.refresh()
    assert panel.pair_number.value == 4
    panel.press("a")
    assert list(panel.verdicts["comparison_id"]) == ["c000002"]


def test_the_front_end_hears_only_the_keys_that_are_shown(panel: ComparePanel) -> None:
    assert [key for key, _ in panel.shortcuts.meanings] == list(KEYS)
    for content in ({"key": "x"}, {"key": ["n"]}, {}, "n", None):
        panel.shortcuts._handle_custom_msg(content, [])
    assert panel.pair_number.value == 1
    panel.shortcuts._handle_custom_msg({"key": "n"}, [])
    assert panel.pair_number.value == 2
    assert panel.shortcuts.current == 2


def test_pairs_with_the_same_prompt_are_one_and_unfold() -> None:
    same = {"input_hash": "again", "agreement": 0.0, "shadow_output": "other"}
    other = {**same, "agreement": 1.0, "shadow_output": "same answer"}
    rows = [row(1), *(row(n, **same) for n in (2, 3)), *(row(n, **other) for n in (4, 5, 6))]
    panel = ComparePanel(frame(*rows), page_size=1)
    assert repr(panel).endswith("page 1 of 2)")
    assert "5 pairs with this prompt, 2 differ" in body(panel)
    assert "1 more with the same two answers" in body(panel)
    assert "3 × " in body(panel)
    assert body(panel).count("<section") == 1
    panel.together.set_state({"value": False})
    assert repr(panel).endswith("page 1 of 6)")
    assert "with this prompt" not in body(panel)


def test_wrong_marks_and_filters_say_what_is_right(panel: ComparePanel) -> None:
    with pytest.raises(rl.ConfigError, match="pairs 1 to 5"):
        panel.mark(6, "both wrong")
    with pytest.raises(rl.ConfigError, match="primary better"):
        panel.mark(1, "superb")  # type: ignore[arg-type]
    with pytest.raises(rl.ConfigError, match="task_type"):
        panel.filter(tasktype="code")
    with pytest.raises(rl.ConfigError, match="did you mean"):
        panel.filter(task_type=f"{panel.selection().task_type.iloc[0]}x")
    for wrong in ({"epoch": 10**6}, {"models": ("no", "such")}, {"status": "compleet"}):
        with pytest.raises(rl.ConfigError, match="there are"):
            panel.filter(**wrong)


def test_every_control_has_a_visible_label(panel: ComparePanel) -> None:
    controls = [
        one for one in inside(panel) if hasattr(one, "description") and not isinstance(one, widgets.HTML)
    ]
    assert len(controls) > 15
    assert all(one.description for one in controls)


def test_the_static_form_leaves_out_what_changes_between_runs() -> None:
    pair = row(primary_latency_ms=123.0, comparison_id="run-specific-id")
    static = ComparePanel(frame(pair))._repr_mimebundle_()["text/html"]
    assert "same answer" in static
    assert "123" not in static
    assert "run-specific-id" not in static
    assert "1 pair · 1 complete" in static


def test_an_empty_source_is_shown_as_such() -> None:
    panel = ComparePanel(mixed().head(0))
    assert repr(panel) == "ComparePanel(0 pairs, 0 complete, 0 differ; page 1 of 1)"
    assert panel.selection().empty
    assert panel.save.disabled


def test_refresh_shows_files_written_since(tmp_path: Path) -> None:
    frame(row(1)).to_parquet(tmp_path / "1.parquet")
    panel = ComparePanel(tmp_path)
    frame(row(2), row(3)).to_parquet(tmp_path / "2.parquet")
    assert repr(panel).startswith("ComparePanel(1 pair")
    panel.again.click()
    assert repr(panel).startswith("ComparePanel(3 pairs")


def test_a_source_that_breaks_shows_its_error(tmp_path: Path) -> None:
    file = tmp_path / "pairs.parquet"
    frame(row(1)).to_parquet(file)
    panel = ComparePanel(file)
    file.write_bytes(b"not parquet")
    panel.again.click()
    assert "Problem:" in panel.status
    assert repr(panel).startswith("ComparePanel(1 pair")


async def test_following_a_ledger_shows_pairs_written_by_another_ledger_object(tmp_path: Path) -> None:
    with rl.Ledger(tmp_path) as writer:
        await writer.accounts.record_comparison(comparison(1))
        with rl.Ledger(tmp_path) as reader:
            panel = ComparePanel(reader)
            changed = asyncio.Event()
            panel._body.observe(lambda _: changed.set(), names="value")
            panel.follow(every_s=0.01)
            await writer.accounts.record_comparison(comparison(2))
            await asyncio.wait_for(changed.wait(), timeout=30)
            panel.stop()
    assert repr(panel).startswith("ComparePanel(2 pairs")


async def test_following_shows_new_pairs_and_stops(tmp_path: Path) -> None:
    frame(row(1)).to_parquet(tmp_path / "1.parquet")
    panel = ComparePanel(tmp_path)
    changed = asyncio.Event()
    panel._body.observe(lambda _: changed.set(), names="value")
    panel.follow(every_s=0.01)
    frame(row(2)).to_parquet(tmp_path / ".2.tmp")
    (tmp_path / ".2.tmp").rename(tmp_path / "2.parquet")
    await asyncio.wait_for(changed.wait(), timeout=30)
    assert repr(panel).startswith("ComparePanel(2 pairs")
    panel.close()
    assert panel._following is None

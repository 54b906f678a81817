"""A replay with expected answers scores both sides of its pairs, so that the A/B can use them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import FAST, Lab, laboratory
from router_lab.analysis import ab
from router_lab.errors import ConfigError
from router_lab.ledger import Ledger
from router_lab.replay import replay

ROUTING = "routing: {classify: {model: cloud, max_tokens: 16, shadow: {model: small, comparator: label}}}"
LABELS = ["billing", "delivery", "technical"]
ROWS: list[dict[str, Any]] = [
    {
        "id": f"t{n}",
        "task_type": "classify",
        "prompt": f"Ticket {n} about {LABELS[n % 3]}",
        "expected": LABELS[n % 3],
        "comparator": "label",
        "options": {"labels": LABELS},
    }
    for n in range(30)
]


async def test_both_sides_are_scored_once_and_the_ab_uses_it(tmp_path: Path) -> None:
    with laboratory(tmp_path / "ledger", workload=ROWS) as lab:
        async with lab.router(ROUTING) as router:
            with lab.ledger.switch.on(reason="test"):
                first = await replay(router, ROWS)
            again = await replay(router, ROWS)
        scores, pairs = lab.ledger.scores(), lab.comparisons
        result = ab(lab.ledger, basis="scores")
    assert (first.scored_pairs, again.scored_pairs) == (30, 0)
    assert "30 pairs scored" in repr(first)
    assert sorted(scores["side"].unique()) == ["primary", "shadow"]
    assert not scores.duplicated(["comparison_id", "side"]).any()
    assert set(scores["by"]) == {"replay: label"}
    row = result.frame.iloc[0]
    assert (row["basis"], row["pairs"]) == ("scores", 30)
    means = scores.groupby("side")["quality_score"].mean()
    assert row["primary_mean"] == pytest.approx(means["primary"])
    assert row["difference"] == pytest.approx(means["shadow"] - means["primary"])
    right = scores[scores["side"] == "primary"].set_index("comparison_id")["quality_score"]
    by_request = pairs.set_index("request_id")["comparison_id"]
    assert all(right[by_request[one.request_id]] == one.correct for one in first.rows)


async def test_a_ledger_recorded_before_is_scored_when_answers_become_known(tmp_path: Path) -> None:
    bare = [{name: row[name] for name in ("id", "task_type", "prompt")} for row in ROWS[:12]]
    with laboratory(tmp_path / "ledger", workload=ROWS) as lab:
        async with lab.router(ROUTING) as router:
            with lab.ledger.switch.on(reason="test"):
                assert (await replay(router, bare)).scored_pairs == 0
            sent = len(lab.served)
            later = await replay(router, ROWS[:12])
            assert (later.counts["skipped"], later.scored_pairs) == (12, 12)
            assert len(lab.served) == sent
            changed = [{**row, "expected": "billing"} for row in ROWS[:12]]
            # The four that expected this before are known already.
            assert (await replay(router, changed)).scored_pairs == 8
        assert ab(str(tmp_path / "ledger"), basis="scores").frame["pairs"].iloc[0] == 12


async def test_answers_kept_as_hashes_are_not_scored(tmp_path: Path) -> None:
    with laboratory(tmp_path / "ledger", workload=ROWS) as lab:
        async with lab.router(ROUTING, FAST + "ledger: {content: hash}") as router:
            with lab.ledger.switch.on(reason="test"):
                result = await replay(router, ROWS[:5])
        assert (result.counts["ok"], result.scored_pairs) == (5, 0)
        assert lab.ledger.scores().empty


class CompactedLedger(Ledger):
    """Its files are replaced once, between the opening of its tables and their reading."""

    is_compacted = False

    def tables(self, *given: Any, **options: Any) -> Any:
        opened = super().tables(*given, **options)
        if not self.is_compacted:
            self.is_compacted = True
            self.compact()
        return opened


async def test_pairs_are_scored_when_their_files_are_replaced_meanwhile(tmp_path: Path) -> None:
    bare = [{name: row[name] for name in ("id", "task_type", "prompt")} for row in ROWS[:6]]
    with laboratory(tmp_path / "ledger", workload=ROWS) as lab:
        async with lab.router(ROUTING) as router:
            with lab.ledger.switch.on(reason="test"):
                for start in (0, 3):
                    await replay(router, bare[start : start + 3])
                    lab.ledger.seal()
        with CompactedLedger(lab.folder) as ledger:
            async with Lab(lab.server, ledger, lab.folder).router(ROUTING) as router:
                again = await replay(router, ROWS[:6], ledger=ledger)
            assert ledger.is_compacted
    assert again.scored_pairs == 6


async def test_tables_without_scores_say_so(tmp_path: Path) -> None:
    with laboratory(tmp_path / "ledger", workload=ROWS) as lab:
        async with lab.router(ROUTING) as router:
            await replay(router, ROWS[:1])
        tables = lab.ledger.tables()
        with pytest.raises(ConfigError, match="those of a ledger"):
            ab(SimpleNamespace(attempts=tables.attempts, comparisons=tables.comparisons), basis="scores")


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("comparator", "expected", "signed"),
    [
        ("number", "4", "replay: number"),
        ("label, options: {labels: [billing, delivery]}", "billing", "replay: label"),
        ("number", {"n": 4}, "replay: number"),
        ("text", "4", "replay: text"),
        ("text", {"n": 4}, "replay: json"),
        ("judge", "4", "replay: text"),
    ],
)
async def test_what_is_expected_is_compared_as_the_routes_shadow_is(tmp_path, comparator, expected, signed):
    routing = (
        f"routing: {{judge: {{model: cloud}}, classify: {{model: cloud, max_tokens: 16, "
        f"shadow: {{model: small, comparator: {comparator}}}}}}}"
    )
    rows = [{"id": "a", "task_type": "classify::two", "prompt": "Two and two?", "expected": expected}]
    with laboratory(tmp_path / "ledger") as lab:
        async with lab.router(routing) as router:
            with lab.ledger.switch.on(reason="test"):
                await replay(router, rows)
            assert set(lab.ledger.scores()["by"]) == {signed}
            await replay(router, [{**rows[0], "comparator": "exact"}])
        assert set(lab.ledger.scores()["by"]) == {signed, "replay: exact"}

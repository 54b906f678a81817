"""What a data set expects stands beside the pair it was scored with, escaped, and goes where texts go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from written_ledger import TWO_MODELS

import router_lab as rl
from router_lab import Ledger, Router, Score, settings
from router_lab.replay import replay
from scripted_server import openai, scripted

HOSTILE = "<img src=x onerror=alert(1)>"


async def replayed(ledger: Ledger, expected: Any, content: str = "full") -> None:
    async with scripted({"m-one": openai("yes"), "m-two": openai("no")}) as server:
        parsed = settings.parse(TWO_MODELS.format(url=server.url, content=content))
        async with Router(parsed, ledger=ledger, seed=0) as router:
            ledger.switch.on(reason="test")
            row = {"id": "q1", "task_type": "t", "prompt": "Is it?", "comparator": "exact"}
            await replay(router, [{**row, "expected": expected}])


def page(ledger: Ledger) -> str:
    return str(rl.panels.ComparePanel(ledger)._repr_mimebundle_()["text/html"])


@pytest.mark.parametrize(
    ("expected", "shown"),
    [
        (f"yes {HOSTILE}", "yes &lt;img src=x"),
        ({"city": "Zürich", "n": 2}, "{&quot;city&quot;: &quot;Zürich&quot;, &quot;n&quot;: 2}"),
    ],
    ids=["text", "object"],
)
async def test_it_is_below_both_answers_with_who_scored_them(
    tmp_path: Path, expected: Any, shown: str
) -> None:
    with Ledger(tmp_path) as ledger:
        await replayed(ledger, expected)
        seen = page(ledger)
    assert ">Expected<" in seen and "says “replay: exact”" in seen and HOSTILE not in seen
    assert shown in seen.split(">Expected<")[1]


async def test_a_pair_of_which_nothing_is_expected_shows_none(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        await replayed(ledger, None)
        pair = ledger.comparisons().iloc[0].comparison_id
        ledger.score(comparison_id=pair, side="shadow", value=0.5, by="ana")
        assert ">Expected<" not in page(ledger)


async def test_it_is_redacted_and_sealed_with_the_texts_of_its_pair(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        await replayed(ledger, "yes, my secret")
        ledger.seal()
        assert set(ledger.scores().expected) == {"yes, my secret"}
        ledger.redact(before=datetime.now(UTC) + timedelta(days=1))
        assert all(text.startswith("sha256:") for text in ledger.scores().expected)
        assert "only a hash of it was kept" in page(ledger)


@pytest.mark.parametrize(("content", "kept"), [("hash", "sha256:"), ("none", None)])
async def test_a_ledger_that_keeps_no_texts_keeps_none_of_it(
    tmp_path: Path, content: str, kept: str | None
) -> None:
    with Ledger(tmp_path) as ledger:
        await replayed(ledger, None, content)
        pair = ledger.comparisons().iloc[0].comparison_id
        said = {"by": "gold", "comparison_id": pair, "side": "shadow", "expected": "my secret"}
        ledger.score(Score(score_id="s1", at=datetime.now(UTC), quality_score=1.0, **said))
        (stored,) = ledger.scores().expected.dropna().tolist() or [None]
    assert stored == kept or (kept is not None and stored.startswith(kept))

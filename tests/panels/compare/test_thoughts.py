"""The compare panel shows what either side thought, folded and escaped, and compares none of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from written_ledger import TWO_MODELS

import router_lab as rl
from router_lab import Ledger, Router, settings
from scripted_server import openai, scripted

HOSTILE = "<img src=x onerror=alert(1)>"


async def shown(folder: Path, primary: Any, shadow: Any, content: str = "full") -> str:
    """The page of one pair of these two answers."""
    async with scripted({"m-one": primary, "m-two": shadow}) as server:
        with Ledger(folder) as ledger:
            parsed = settings.parse(TWO_MODELS.format(url=server.url, content=content))
            async with Router(parsed, ledger=ledger, seed=0) as router:
                ledger.switch.on(reason="test")
                await router.complete("Is it?", task_type="t")
                await router.drain()
            return str(rl.panels.ComparePanel(ledger)._repr_mimebundle_()["text/html"])


async def test_the_thoughts_of_both_sides_are_folded_below_the_answers(tmp_path: Path) -> None:
    page = await shown(
        tmp_path, openai("yes", reasoning_content="mine"), openai(f"<think>hm {HOSTILE}</think>yes")
    )
    assert "agree 1.00" in page
    fold = page.split("Thoughts, which are not compared")[1].split("</details>")[0]
    assert "mine" in fold and "hm &lt;img" in fold and "<img" not in page


async def test_one_side_alone_may_have_thought(tmp_path: Path) -> None:
    page = await shown(tmp_path, openai("yes"), openai("<think>hm</think>yes"))
    fold = page.split("Thoughts, which are not compared")[1].split("</details>")[0]
    assert "no thoughts stored" in fold and "hm" in fold


@pytest.mark.parametrize("content", ["full", "hash", "none"])
async def test_where_none_are_kept_there_is_no_fold(tmp_path: Path, content: str) -> None:
    thought = openai("yes") if content == "full" else openai("<think>hm</think>yes")
    assert "Thoughts, which" not in await shown(tmp_path, thought, thought, content)

"""Several look after the same batches, or turn the switch while one is handed in: every item has its bill."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

import router_lab as rl
from batch_clock import Days
from lab import FAST, Lab, laboratory

ROUTING = "routing: {ask: {model: cloud, max_tokens: 64}}\n"
ON = FAST + "\nshadow: {enabled: true}\n"
PRICES = {"claude-haiku-4-5": {"input": 1, "output": 5}, "my-model": {"input": 0.2, "output": 0.6}}
BATCHES = "/v1/messages/batches"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with laboratory(tmp_path / "ledger") as made:
        yield made


def log(count: int = 6) -> list[dict[str, Any]]:
    return [
        {"id": f"row-{n}", "task_type": "ask", "prompt": f"How heavy is item {n}?", "output": f"{n} kg"}
        for n in range(count)
    ]


def through(gate: Callable[[httpx.Request], Awaitable[None]]) -> Callable[[], httpx.AsyncClient]:
    """An HTTP client whose requests pass a gate first."""

    class Gated(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await gate(request)
            return await super().handle_async_request(request)

    return lambda: httpx.AsyncClient(transport=Gated())


def balanced(lab: Lab) -> None:
    attempts = lab.attempts
    billed = attempts[attempts["is_shadow"] & (attempts["billing"] == "billed")]
    assert billed["cost_usd"].sum() == pytest.approx(lab.server.app.bill(PRICES)["usd"], rel=1e-12)
    assert lab.ledger.spend()["held_usd"].abs().max() == 0
    assert lab.ledger.verify().ok, lab.ledger.verify()


class Later(Days):
    def now(self) -> datetime:
        return super().now() + timedelta(seconds=700)


async def handed_in_unheard(lab: Lab, candidates: Sequence[Any], *, is_made: bool = True) -> None:
    """A run that is over before anybody knows whether the server has made its batches."""

    class Leaving(Days):
        async def sleep(self, seconds: float) -> None:
            raise asyncio.CancelledError

    class Unheard(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if is_made:
                await (await super().handle_async_request(request)).aread()
            raise httpx.ReadError("the connection broke")

    def client() -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=Unheard())

    async with lab.router(ROUTING, ON, clock=Leaving(lab), client=client) as leaving:
        with pytest.raises(asyncio.CancelledError):
            await rl.replay(leaving, log(), candidates=candidates, batch=True)


async def test_a_batch_that_another_process_has_found_is_not_taken_for_never_made(lab: Lab) -> None:
    """The other's look was from before: it took the batch for missing, and withdrew what was paid."""
    candidates = [rl.replay.Candidate("cheap", parameters={"temperature": t}) for t in (0, 0.5)]
    lab.server.app.batches.steer(default={"delay_s": 600})
    await handed_in_unheard(lab, candidates)
    assert [one.stage for one in await lab.ledger.batches.all()] == ["submitting"] * 2
    lab.server.app.batches.steer(pass_s=700)
    clock = Later(lab)
    second = lab.server.app.batches.shown()[1]["id"]
    has_found, may_read = asyncio.Event(), asyncio.Event()
    is_behind, may_look = asyncio.Event(), asyncio.Event()

    async def before_it_settles(request: httpx.Request) -> None:
        if request.url.path == f"{BATCHES}/{second}":
            has_found.set()
            await may_read.wait()

    async def before_it_looks(request: httpx.Request) -> None:
        is_behind.set()
        await may_look.wait()

    with rl.Ledger(lab.folder) as another:
        async with (
            lab.router(ROUTING, ON, clock=clock, client=through(before_it_settles)) as ahead,
            lab.router(ROUTING, ON, clock=clock, client=through(before_it_looks), ledger=another) as behind,
        ):
            late = asyncio.create_task(rl.replay.batch_status(behind))
            await is_behind.wait()
            early = asyncio.create_task(rl.replay.batch_status(ahead))
            await has_found.wait()
            may_look.set()
            await late
            may_read.set()
            assert {one.stage for one in await early} == {"done"}
    assert set(lab.attempts[lab.attempts["is_shadow"]]["outcome"]) == {"ok"}
    balanced(lab)


async def test_a_switch_turned_off_during_the_upload_hands_nothing_in(lab: Lab) -> None:
    async def off_during_the_upload(request: httpx.Request) -> None:
        if request.url.path == "/v1/files":
            with rl.Ledger(lab.folder) as elsewhere:
                await asyncio.to_thread(elsewhere.switch.off, reason="enough")

    lab.server.app.batches.steer(default={"delay_s": 600})
    gate = through(off_during_the_upload)
    async with lab.router(ROUTING, ON, clock=Days(lab), client=gate) as asking:
        run = await rl.replay(asking, log(), candidates=["other"], batch=True)
    assert run.stopped is not None and "switch" in run.stopped
    assert not lab.server.app.batches.shown()
    assert set(lab.attempts[lab.attempts["is_shadow"]]["outcome"]) == {"cancelled"}
    balanced(lab)


async def test_a_batch_whose_withdrawal_was_killed_holds_no_money(lab: Lab) -> None:
    await handed_in_unheard(lab, ["cheap"], is_made=False)
    (batch,) = await lab.ledger.batches.all()
    await lab.ledger.batches.move(batch.batch_id, "withdrawn", note="killed after this")
    async with lab.router(ROUTING, ON, clock=Days(lab)) as asking:
        (left,) = await rl.replay.batch_status(asking)
    assert (left.stage, left.open_items, left.note) == ("withdrawn", 0, "killed after this")
    balanced(lab)

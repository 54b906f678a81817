"""However routes are written, a shadow is asked of one model, once, and never has a shadow itself.

Random routings over a real server: prefixes, fallbacks and shadows that name each other, a shadow on
the primary's own model, judges that are routed with shadows of their own. What must come of each
call is worked out here, from the routing alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinds import examples
from lab import FAST, Lab
from router_lab import Ledger, RouterLabError, sim
from router_lab.sim import Fault

PROVIDER = {
    "local": "ollama",
    "small": "ollama",
    "cloud": "anthropic",
    "cheap": "anthropic",
    "other": "openai",
}
NAMES = ("a", "a::b", "a::b::c", "b", "b::a", "judge", "judge::a")
MORE = f"{FAST}\nledger: {{durability: os}}\nbreaker: {{failure_threshold: 1000}}"
# Two models tell it differently, so that a judge is asked.
STORY = (
    "Summarize in one sentence: The harvest was late. Barley failed in the north, and wheat prices rose "
    "by 12 percent. The mill closed on Friday."
)

aliases = st.sampled_from(sorted(PROVIDER))
shadows = st.builds(
    lambda model, comparator, rate, noise: {
        "model": model,
        "comparator": comparator,
        "sample_rate": rate,
        "noise_rate": noise,
    },
    aliases,
    st.sampled_from(["judge", "text"]),
    st.sampled_from([1.0, 1.0, 0.5, 0.0]),
    st.sampled_from([0.0, 1.0]),
)
routes = st.builds(
    lambda chain, shadow: {
        "model": chain[0],
        "fallback": chain[1:],
        "max_tokens": 48,
        "policy": "agent",
        **({"shadow": shadow} if shadow else {}),
    },
    st.lists(aliases, min_size=1, max_size=4, unique=True),
    st.none() | shadows,
)
routings = st.dictionaries(st.sampled_from(NAMES), routes, min_size=1).flatmap(
    lambda found: routes.map(lambda judge: {"a": judge, "judge": judge, **found})
)
task_types = st.sampled_from([*NAMES, "a::x", "a::b::c::d", "b::b", "judge::x::y"])


@pytest.fixture(scope="module")
def server() -> Iterator[sim.SimServer]:
    with sim.serve(sim.app()) as running:
        yield running


@settings(
    max_examples=examples(40),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    routing=routings,
    asked=st.lists(task_types, min_size=1, max_size=5),
    down=st.sets(st.sampled_from(["anthropic", "ollama", "openai"]), max_size=1),
)
def test_no_shadow_of_a_shadow_and_no_fallback(
    server: sim.SimServer, routing: dict[str, Any], asked: list[str], down: set[str]
):
    with TemporaryDirectory() as folder, Ledger(folder) as ledger, ledger.switch.on(reason="test"):
        lab = Lab(server, ledger, folder)
        server.app.reset()
        server.app.script([Fault("status", status=500, provider=name, times=None) for name in sorted(down)])
        called = [name for name in asked if route_of(routing, name) is not None]
        asyncio.run(call(lab, routing, called))
        check(lab, routing, called)


async def call(lab: Lab, routing: dict[str, Any], asked: list[str]) -> None:
    async with lab.router(yaml.safe_dump({"routing": routing}), MORE) as router:
        calls = [router.complete(f"{STORY} ({number})", task_type=name) for number, name in enumerate(asked)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(hasattr(one, "text") or isinstance(one, RouterLabError) for one in results), results
        await router.drain()


def route_of(routing: dict[str, Any], task_type: str) -> str | None:
    """The longest name that is the task type or a `::` prefix of it."""
    fitting = [name for name in routing if f"{task_type}::".startswith(f"{name}::")]
    return max(fitting, key=len, default=None)


def check(lab: Lab, routing: dict[str, Any], called: list[str]) -> None:
    rows, pairs = lab.attempts.to_dict("records"), lab.comparisons.to_dict("records")
    assert Counter(row["attempt_id"] for row in rows) == Counter(
        each.client_request_id for each in lab.served
    )
    primaries = {row["request_id"] for row in rows if not row["is_shadow"]}
    assert len(primaries) == len(called)

    expected = Counter(name for name in called if "shadow" in routing[route_of(routing, name) or ""])
    assert Counter(pair["task_type"] for pair in pairs if not pair["is_noise"]) == expected
    assert {pair["request_id"] for pair in pairs} <= primaries

    by_id = {pair["comparison_id"]: pair for pair in pairs}
    for pair in pairs:
        route = routing[route_of(routing, pair["task_type"]) or ""]
        wanted = route["model"] if pair["is_noise"] else route["shadow"]["model"]
        assert (pair["primary_alias"], pair["shadow_alias"]) == (route["model"], wanted)
        assert pair["status"] not in {"cancelled", "budget", "off", "queue_full"}
    for row in rows:
        if row["is_shadow"]:
            pair = by_id[row["comparison_id"]]
            assert row["request_id"] == pair["request_id"]
            assert row["model_alias"] in shadow_aliases(routing, pair, row)


def shadow_aliases(routing: dict[str, Any], pair: dict[str, Any], row: dict[str, Any]) -> set[str]:
    """The only model a shadow's request may go to: the one named, or the judge's own for a verdict."""
    own = {pair["shadow_alias"]} if row["task_type"] == pair["task_type"] else set()
    judges = pair["comparator"] == "judge" and row["task_type"] == "judge"
    return own | {routing["judge"]["model"]} if judges else own

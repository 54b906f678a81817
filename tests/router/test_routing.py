"""Which route a task type takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab import settings
from router_lab.errors import RoutingError
from router_lab.router.routing import RouteTable
from router_lab.task_types import lineage

MODELS = """\
models:
  local: {provider: ollama, model: m, price: {input: 1, output: 1}}
  cloud: {provider: openai, model: n, price: {input: 1, output: 1}}
"""


def table(*names: str) -> RouteTable:
    routes = "".join(f"  {name!r}: {{model: local}}\n" for name in names)
    return RouteTable(settings.parse(f"{MODELS}routing:\n{routes}"))


def test_the_route_holds_what_the_yaml_says() -> None:
    yaml = (
        MODELS + "routing: {a: {model: local, fallback: cloud, shadow: cloud, policy: agent,"
        " max_tokens: 5, output: json, temperature: 0}}"
    )
    route = RouteTable(settings.parse(yaml)).resolve("a")
    assert (route.name, route.model, route.fallback) == ("a", "local", ("cloud",))
    assert (route.policy, route.max_tokens, route.output, route.parameters.temperature) == (
        "agent",
        5,
        "json",
        0.0,
    )
    assert route.shadow is not None
    assert route.shadow.model == "cloud"


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("extract", "extract"),
        ("extract::order", "extract::order"),
        ("extract::order::eu", "extract::order"),
        ("extract::order::eu::de::2026", "extract::order"),
        ("extract::invoice", "extract"),
        ("extract::orders", "extract"),
        ("extract::", "extract"),
        ("deep::a::b::c", "deep::a::b::c"),
        ("deep::a::b::c::d", "deep::a::b::c"),
    ],
)
def test_exact_then_longest_prefix(asked: str, found: str) -> None:
    assert table("extract", "extract::order", "deep::a::b::c").resolve(asked).name == found


@pytest.mark.parametrize(
    "asked", ["", "::", "extrac", "extracts", "Extract", "x::extract", "deep::a::b", "::extract"]
)
def test_no_route_is_guessed(asked: str) -> None:
    with pytest.raises(RoutingError):
        table("extract", "extract::order", "deep::a::b::c").resolve(asked)


def test_the_error_names_near_and_known_routes() -> None:
    with pytest.raises(RoutingError) as caught:
        table("summarize", "extract::order", "chat").resolve("sumarize")
    assert str(caught.value) == (
        "no route matches task type 'sumarize'; did you mean 'summarize'? "
        "Known routes: 'chat', 'extract::order', 'summarize'. Add it, or a prefix of it, under `routing`."
    )
    with pytest.raises(RoutingError, match="did you mean 'extract::order'"):
        table("summarize", "extract::order").resolve("extract")
    with pytest.raises(RoutingError, match=r"and 90 more\."):
        table(*(f"task{index}" for index in range(100))).resolve("zzz")


@pytest.mark.parametrize("asked", [None, 5, b"a", ["a"], ("a",)])
def test_a_task_type_must_be_text(asked: object) -> None:
    with pytest.raises(RoutingError, match="must be text"):
        table("a").resolve(asked)  # type: ignore[arg-type]


def test_a_hostile_task_type_costs_little_and_is_shown_short() -> None:
    """A million segments: joining each of its prefixes would take hours."""
    routes = table("extract", "extract::order")
    assert routes.resolve("extract::order" + "::x" * 1_000_000).name == "extract::order"
    with pytest.raises(RoutingError) as caught:
        routes.resolve("a\n::\x1b[31m" * 300_000)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


SEGMENT = st.text(alphabet="ab:/.é ", min_size=1, max_size=3).filter(lambda text: "::" not in text)
NAME = st.lists(SEGMENT, min_size=1, max_size=4).map("::".join).filter(lambda name: all(name.split("::")))


@given(names=st.lists(NAME, min_size=1, max_size=8, unique=True), asked=NAME)
def test_resolving_agrees_with_the_definition(names: list[str], asked: str) -> None:
    def is_prefix(name: str) -> bool:
        segments = name.split("::")
        return asked.split("::")[: len(segments)] == segments

    expected = max(
        (name for name in names if is_prefix(name)), key=lambda name: name.count("::"), default=None
    )
    routes = table(*names)
    if expected is None:
        with pytest.raises(RoutingError):
            routes.resolve(asked)
    else:
        assert routes.resolve(asked).name == expected


def test_prefixes_stop_at_the_depth_that_can_match() -> None:
    assert lineage("a::b::c", 2) == ["a::b", "a"]
    assert lineage("a", 5) == ["a"]
    assert lineage("a::b", 0) == []

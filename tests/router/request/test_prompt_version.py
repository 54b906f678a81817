"""The version of a prompt: what stays the same from call to call, by name or by hash."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import router_lab as rl
from lab import Lab
from router_lab.router.request.request import Request

TOOL = rl.Tool("get_order", "An order by its number.", {"type": "object"})


def version(prompt: str = "Hello", **options: object) -> str | None:
    return Request.build(prompt, task_type="a", **options).prompt_version


@given(st.text(min_size=1).filter(str.strip), st.text(min_size=1).filter(str.strip))
def test_what_is_asked_is_no_part_of_it(one: str, other: str) -> None:
    assert version(one, system="Be brief.") == version(other, system="Be brief.")


@pytest.mark.parametrize(
    "options",
    [{"system": "Be brief."}, {"system": "Be  brief."}, {"tools": [TOOL]}, {"schema": {"type": "object"}},
     {"tags": {"prompt_version": "v2"}}, {"system": "At most 50 words."}, {"system": "At most 100 words."}],
)  # fmt: skip
def test_every_part_that_lasts_is(options: dict[str, object]) -> None:
    others = [{}, {"system": "Be kind."}, {"tools": [rl.Tool("refund", "", {"type": "object"})]}]
    assert version(**options) not in {version(**other) for other in others}


def test_numbers_that_are_no_times_are_a_part_of_it() -> None:
    assert version(system="At most 50 words.") != version(system="At most 100 words.")


@pytest.mark.parametrize(
    ("today", "tomorrow"),
    [("2026-11-28", "2026-11-29"), ("2026-11-28T10:00:00Z", "2026-11-29 23:59:59.5"), ("09:15", "10:20:30"),
     ("November 28, 2026", "Nov 29, 2026"), ("Saturday, 28 November 2026", "Sunday, 1st December 2026"),
     ("28.11.2026", "29.11.2026"),
     ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", "7c9e6679-7425-40de-944b-e07fc1f90ae7")],
)  # fmt: skip
def test_days_times_and_ids_in_the_system_text_are_not(today: str, tomorrow: str) -> None:
    assert version(system=f"Today is {today}. Be brief.") == version(system=f"Today is {tomorrow}. Be brief.")


def test_a_name_says_it_whatever_the_system_text_is() -> None:
    named = {"prompt_version": "v2"}
    assert version(system="Be brief.", tags=named) == version(system="Be kind.", tags=named) == "v2"
    assert str(version(tags={"prompt_version": " "})).startswith("auto:")


ROUTING = """
routing:
  answer: {model: local, shadow: {model: small, sample_rate: 1.0, comparator: exact}}
shadow: {enabled: true}
"""


async def test_attempts_and_pairs_know_it(lab: Lab) -> None:
    async with lab.router(ROUTING) as router:
        await router.complete("Hello", task_type="answer", system="Be brief.")
        await router.complete("Hello", task_type="answer", tags={"prompt_version": "v2"})
        await router.drain()
    expected = {version(system="Be brief."), "v2"}
    for _ in ("in the journal", "sealed"):
        assert set(lab.attempts["prompt_version"]) == expected
        assert set(lab.comparisons["prompt_version"]) == expected
        lab.ledger.seal()

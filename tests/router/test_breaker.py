"""The circuit breaker: its three states, its one probe, and what it tells people."""

from __future__ import annotations

import contextlib
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manual_clock import ManualClock
from router_lab.errors import CircuitOpenError
from router_lab.router.breaker import Admission, BreakerChange, Breakers, CircuitBreaker
from router_lab.settings.models import BreakerSettings


@pytest.fixture
def told():
    return []


@pytest.fixture
def breaker(clock, told):
    return CircuitBreaker("ollama http://127.0.0.1:11434", BreakerSettings(), clock, told.append)


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        breaker.admit().fail()


def kinds(told: list[BreakerChange]) -> list[str]:
    return [change.kind for change in told]


def test_opens_at_the_threshold_and_not_before(breaker, told):
    fail(breaker, 4)
    assert breaker.state == "closed"
    fail(breaker, 1)
    assert breaker.state == "open"
    assert kinds(told) == ["breaker_opened"]


def test_failures_older_than_the_window_are_forgotten(breaker, clock):
    fail(breaker, 4)
    clock.advance(600)
    fail(breaker, 4)
    assert breaker.state == "closed"
    assert breaker.failures == 4


def test_open_refuses_and_says_when_to_try_again(breaker, clock):
    fail(breaker, 5)
    opened = clock.now()
    clock.advance(100)
    with pytest.raises(CircuitOpenError, match="try again at 2026-11-22 12:05:00 UTC") as caught:
        breaker.admit()
    assert (caught.value.retry_at - opened).total_seconds() == 300


def test_short_circuits_are_told_once_per_opening(breaker, clock, told):
    fail(breaker, 5)
    for _ in range(20):
        with pytest.raises(CircuitOpenError):
            breaker.admit()
    assert kinds(told) == ["breaker_opened", "breaker_short_circuit"]
    clock.advance(300)
    breaker.admit().fail()
    with pytest.raises(CircuitOpenError):
        breaker.admit()
    assert kinds(told)[2:] == ["breaker_opened", "breaker_short_circuit"]


def test_half_open_lets_one_of_a_hundred_threads_through(breaker, clock):
    fail(breaker, 5)
    clock.advance(300)
    assert breaker.state == "half-open"
    admitted: list[Admission] = []
    start = threading.Barrier(100)

    def knock() -> None:
        start.wait()
        with contextlib.suppress(CircuitOpenError):
            admitted.append(breaker.admit())

    threads = [threading.Thread(target=knock) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 1
    assert admitted[0].state == "half-open"


def test_a_probe_that_succeeds_closes(breaker, clock, told):
    fail(breaker, 5)
    clock.advance(300)
    breaker.admit().succeed()
    assert breaker.state == "closed"
    assert breaker.failures == 0
    assert kinds(told) == ["breaker_opened", "breaker_closed"]


def test_a_cancelled_probe_frees_its_place(breaker, clock):
    fail(breaker, 5)
    clock.advance(300)
    breaker.admit().release()
    assert breaker.admit().probe


def test_the_probe_is_never_spent_on_a_shadow(breaker, clock):
    fail(breaker, 5)
    clock.advance(300)
    with pytest.raises(CircuitOpenError):
        breaker.admit(is_shadow=True)
    assert breaker.admit().probe


def test_late_results_of_attempts_sent_before_opening_change_nothing(breaker, told):
    late = [breaker.admit() for _ in range(10)]
    for admission in late[:7]:
        admission.fail()
    late[7].succeed()
    assert breaker.state == "open"
    assert kinds(told) == ["breaker_opened"]


def test_an_admission_counts_once(breaker):
    admission = breaker.admit()
    for _ in range(5):
        admission.fail()
    assert breaker.failures == 1


def test_servers_of_one_kind_have_breakers_of_their_own(clock, told):
    breakers = Breakers(BreakerSettings(), clock, told.append)
    fail(breakers.of("openai http://a/v1"), 5)
    assert breakers["openai http://a/v1"].state == "open"
    assert breakers.of("openai http://b/v1").state == "closed"


def test_html_escapes_and_shows_the_next_try(clock, told):
    breakers = Breakers(BreakerSettings(), clock, told.append)
    fail(breakers.of("openai http://<b>/v1"), 5)
    page = breakers._repr_html_()
    assert "<b>" not in page
    assert "2026-11-22 12:05:00 UTC" in page


@given(
    st.lists(
        st.one_of(
            st.sampled_from(["fail", "succeed", "release", "shadow"]),
            st.floats(min_value=0, max_value=700),
        ),
        max_size=60,
    )
)
def test_whatever_happens_an_open_breaker_had_its_failures(events):
    """Opened at most once per threshold of failures, and never more than one probe at a time."""
    clock, told = ManualClock(), []
    breaker = CircuitBreaker("x", BreakerSettings(failure_threshold=3), clock, told.append)
    failures = 0
    for event in events:
        if isinstance(event, float):
            clock.advance(event)
            continue
        try:
            admission = breaker.admit(is_shadow=event == "shadow")
        except CircuitOpenError:
            continue
        assert not (admission.probe and event == "shadow")
        if event == "fail":
            failures += 1
            admission.fail()
        elif event == "succeed":
            admission.succeed()
        else:
            if admission.probe:
                with pytest.raises(CircuitOpenError):
                    breaker.admit()
            admission.release()
    opened = kinds(told).count("breaker_opened")
    assert opened <= failures
    assert (opened == 0) or failures >= 3

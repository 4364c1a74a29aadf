"""The circuit breaker as a table of transitions."""

import pytest

from gateway.limits.breaker import Breaker, BreakerRules, BreakerState

RULES = BreakerRules()


def breaker_in(state: BreakerState) -> Breaker:
    """At time 0; an open one was opened just now, so its probe is due at 5."""
    breaker = Breaker(RULES)
    if state is not BreakerState.CLOSED:
        for _ in range(RULES.connects):
            breaker.fail(0.0, connect=True)
    if state is BreakerState.HALF_OPEN:
        breaker.start(RULES.first_probe)
    return breaker


@pytest.mark.parametrize(
    ("before", "what", "after"),
    [
        ("closed", "start", "closed"),
        ("closed", "succeed", "closed"),
        ("closed", "fail", "closed"),
        ("closed", "abandon", "closed"),
        ("open", "start", "half_open"),
        ("open", "succeed", "open"),  # what was on its way when it opened
        ("open", "fail", "open"),
        ("open", "abandon", "open"),
        ("half_open", "start", "half_open"),
        ("half_open", "succeed", "closed"),
        ("half_open", "fail", "open"),
        ("half_open", "abandon", "open"),
    ],
)
def test_transition(before: str, what: str, after: str) -> None:
    breaker = breaker_in(BreakerState(before))

    getattr(breaker, what)(RULES.first_probe)

    assert breaker.state == after


def test_connect_failures_in_a_row_open_it() -> None:
    breaker = Breaker(RULES)

    for _ in range(RULES.connects - 1):
        breaker.fail(0.0, connect=True)
    breaker.succeed(0.0)
    for _ in range(RULES.connects - 1):
        breaker.fail(0.0, connect=True)

    assert breaker.wait(0.0) == 0.0
    breaker.fail(0.0, connect=True)
    assert breaker.state is BreakerState.OPEN


def test_half_failing_opens_it_once_there_are_enough() -> None:
    breaker = Breaker(RULES)

    for number in range(RULES.least - 1):
        (breaker.fail if number % 2 else breaker.succeed)(0.0)

    assert breaker.wait(0.0) == 0.0
    breaker.fail(0.0)
    assert breaker.state is BreakerState.OPEN


def test_fewer_failures_than_half_do_not() -> None:
    breaker = Breaker(RULES)

    for number in range(600):
        now = number * 0.01
        breaker.fail(now) if number % 5 < 2 else breaker.succeed(now)

    assert breaker.state is BreakerState.CLOSED


def test_failures_are_forgotten_after_the_window() -> None:
    breaker = Breaker(RULES)

    for _ in range(RULES.least - 1):
        breaker.fail(0.0)
    breaker.fail(RULES.window + 0.1)

    assert breaker.state is BreakerState.CLOSED


def test_success_of_what_was_under_way_does_not_close_it() -> None:
    breaker = Breaker(RULES)
    for _ in range(RULES.least):
        breaker.fail(0.0)

    for _ in range(10):
        breaker.succeed(1.0)

    assert breaker.state is BreakerState.OPEN
    assert breaker.wait(1.0) == pytest.approx(4.0)


def test_probes_come_after_ever_longer_waits() -> None:
    breaker, now, waits = breaker_in(BreakerState.OPEN), 0.0, []

    for _ in range(6):
        waits.append(breaker.wait(now))
        now += waits[-1]
        breaker.start(now)
        assert breaker.wait(now) == float("inf")
        breaker.fail(now)

    assert waits == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_waits_start_small_again_after_a_good_probe() -> None:
    breaker = breaker_in(BreakerState.HALF_OPEN)
    breaker.fail(5.0)
    breaker.start(15.0)
    breaker.succeed(15.0)

    for _ in range(RULES.connects):
        breaker.fail(20.0, connect=True)

    assert breaker.wait(20.0) == RULES.first_probe


def test_probe_that_tells_nothing_is_repeated_after_the_same_wait() -> None:
    breaker = breaker_in(BreakerState.HALF_OPEN)

    breaker.abandon(5.0)

    assert breaker.wait(5.0) == RULES.first_probe


def test_nothing_is_a_probe_before_its_time() -> None:
    breaker = breaker_in(BreakerState.OPEN)

    breaker.start(4.9)

    assert breaker.state is BreakerState.OPEN
    assert breaker.wait(4.9) == pytest.approx(0.1)


def test_closed_breaker_has_forgotten_its_past() -> None:
    breaker = breaker_in(BreakerState.HALF_OPEN)
    breaker.succeed(5.0)

    breaker.fail(5.0)

    assert breaker.state is BreakerState.CLOSED
    assert breaker.wait(5.0) == 0.0

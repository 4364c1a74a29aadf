"""Whose webhooks come next: those that do not answer leave room for those that do."""

from typing import Any

import pytest

from gateway.dispatch.rounds import Round


def serve(one: Round, now: float) -> list[str]:
    """Claim and begin all that is wanted, as if everybody had endless work."""
    wanted = one.wanted(now)
    begun = [endpoint for endpoint, count in wanted.items() for _ in range(count)]
    for endpoint in begun:
        one.begin(endpoint, now)
    return begun


def fill(one: Round, now: float) -> list[str]:
    begun: list[str] = []
    while more := serve(one, now):
        begun += more
    return begun


def answered(one: Round, endpoint: str, now: float) -> None:
    """It takes one webhook."""
    one.begin(endpoint, now).succeed(now)
    one.end(endpoint, now)


def test_endpoint_gets_its_slots_and_more_once_it_answers() -> None:
    one = Round(slots=2)
    one.add(["a"])

    first = one.wanted(0.0)
    answered(one, "a", 0.0)
    later = one.wanted(0.1)

    assert first == {"a": 2}
    assert later["a"] > 2


def test_silent_endpoints_leave_room_for_the_others() -> None:
    one = Round(slots=2)
    good = [f"good{number}" for number in range(8)]
    for endpoint in good:
        answered(one, endpoint, 0.0)
    one.add(f"bad{number}" for number in range(2_000))

    held = len(fill(one, 0.0))
    held += len(fill(one, 5.0))
    one.add(good)
    served = [endpoint for _ in range(20) for endpoint in serve(one, 5.0)]

    assert held < 512
    assert {endpoint for endpoint in served if endpoint.startswith("good")} == set(good)
    assert not any(endpoint.startswith("bad") for endpoint in served)


def test_new_endpoints_find_room_beside_those_that_failed() -> None:
    one = Round(slots=2)
    bad = [f"bad{number}" for number in range(300)]
    for endpoint in bad:
        one.begin(endpoint, 0.0).fail(0.0)
        one.end(endpoint, 0.0)
    one.add(bad)
    fill(one, 0.0)
    one.add(["new"])

    assert "new" in [endpoint for _ in range(20) for endpoint in serve(one, 0.0)]


def test_endpoint_that_rests_is_not_looked_at_until_its_time() -> None:
    one = Round(slots=2)
    one.stop("a", 0.0).paused_until = 30.0
    one.add(["a", "b"])

    now = one.wanted(0.0)
    one.add(["a"])  # a bell does not wake it

    assert set(now) == {"b"}
    assert one.next_wake(10.0) == pytest.approx(20.0)
    assert set(one.wanted(29.0)) == {"b"}
    assert set(one.wanted(30.0)) == {"a", "b"}
    assert one.next_wake(30.0) == float("inf")


def test_broken_endpoint_is_probed_once_and_comes_back() -> None:
    one = Round(slots=2)
    one.add(["a"])
    for _ in range(3):
        one.begin("a", 0.0).fail(0.0)
        one.end("a", 0.0)

    assert one.wanted(1.0) == {}
    assert serve(one, 5.0) == ["a"]
    assert one.wanted(6.0) == {}
    one.stop("a", 6.0).succeed(6.0)
    assert one.end("a", 6.0)
    assert set(one.wanted(6.0)) == {"a"}


def test_who_had_less_than_wanted_leaves_the_round() -> None:
    one = Round(slots=2)
    one.add(["a", "b"])

    one.settle(one.wanted(0.0), [_Row("b"), _Row("b")])  # type: ignore[list-item]

    assert set(one.wanted(0.0)) == {"b"}


class _Row:
    def __init__(self, pin: str) -> None:
        self.pin: Any = pin


def taking(one: Round, endpoint: str, times: int, now: float) -> None:
    """It takes so many webhooks in the second until now."""
    for number in range(times):
        answered(one, endpoint, now - 1.0 + number / times)
    one.add([endpoint])


@pytest.mark.parametrize(("a_second", "given"), [(2, 10), (80, 10), (400, 42), (5_000, 66)])
def test_endpoint_is_given_ahead_what_it_takes_in_a_tenth_of_a_second(
    a_second: int, given: int
) -> None:
    one = Round(slots=2)
    taking(one, "a", a_second, 100.0)

    assert one.wanted(100.0) == {"a": given}


def test_endpoint_is_given_more_when_half_of_what_was_claimed_ahead_is_gone() -> None:
    one = Round(slots=2)
    taking(one, "a", 5_000, 100.0)
    serve(one, 100.0)
    wanted = []
    for _ in range(32):
        wanted.append(one.wanted(100.0))
        one.end("a", 100.0)

    assert wanted == [{}] * 32
    assert one.wanted(100.0) == {"a": 32}

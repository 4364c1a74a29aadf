"""Who is preferred in a lane, and why."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dispatch.lane_order import Candidate, Place, rank
from gateway.model import wire
from gateway.model.values import replace

A = Candidate(name="a", reach=0.96, seconds=0.2, cost=1.0, weight=1.0)
B = replace(A, name="b")


def order(*candidates: Candidate) -> Sequence[tuple[str, str]]:
    return [(one.name, one.reason) for one in rank(candidates)]


@pytest.mark.parametrize(
    ("b", "reason"),
    [
        (replace(B, cost=0.5), "costs 0.5, a 1"),
        (replace(B, weight=2.0), "weighs 2, a 1"),
    ],
)
def test_between_equals_price_and_weight_decide(b: Candidate, reason: str) -> None:
    assert order(A, b) == [("b", reason), ("a", "")]


def test_who_reaches_clearly_more_comes_first_at_any_price() -> None:
    dear = replace(B, reach=0.99, cost=9.0, seconds=3.0)

    assert order(replace(A, reach=0.8), dear) == [("b", "reaches 99%, a 80%"), ("a", "")]


def test_small_differences_are_chance() -> None:
    assert order(A, replace(B, reach=0.99, seconds=0.15)) == [("a", ""), ("b", "")]


def test_who_is_clearly_faster_comes_before_who_is_cheaper() -> None:
    slow = replace(A, seconds=2.0, cost=0.1)

    assert order(slow, B) == [("b", "answers in 0.2 s, a in 2 s"), ("a", "")]


def test_nothing_known_of_the_time_is_no_fault() -> None:
    assert order(A, replace(B, seconds=None, cost=0.5)) == [("b", "costs 0.5, a 1"), ("a", "")]


CANDIDATES = st.builds(
    Candidate,
    name=st.just("a"),
    reach=st.floats(0.0, 1.0),
    seconds=st.none() | st.floats(0.0, 60.0),
    cost=st.floats(0.0, 10.0),
    weight=st.floats(0.01, 1000.0),
)


@given(st.lists(CANDIDATES, min_size=1, max_size=6))
def test_everybody_has_one_place_and_a_reason_where_it_moved_up(found: list[Candidate]) -> None:
    named = [replace(one, name=str(place)) for place, one in enumerate(found)]

    places = rank(named)

    assert sorted(one.name for one in places) == [one.name for one in named]
    for at, one in enumerate(places):
        overtook = any(int(other.name) < int(one.name) for other in places[at + 1 :])
        assert bool(one.reason) == overtook


async def compared(make_world: Any, **tables: Any) -> Any:
    return await make_world(lanes={"sms": {"order": "best"}}, **tables)


async def test_account_whose_messages_do_not_arrive_is_no_longer_preferred(make_world: Any) -> None:
    world = await compared(make_world)
    world.start()
    for _ in range(40):
        world.accounts["a"].note_receipt(arrived=False, now=world.clock.monotonic())
    await world.sleep(11.0)

    id_ = await world.post()
    await world.settle()

    assert world.attempts() == {id_: ["b"]}
    assert await world.timeline(id_) == ["preferred", "attempt.accepted"]


async def test_account_in_trouble_is_no_longer_preferred(make_world: Any) -> None:
    world = await compared(make_world, breaker={"minimum": 1000})
    world.start()
    world.senders["a"].script(*[wire.Unknown(code="lost")] * 10)
    await world.post_all([{"on_unknown": "fallback"}] * 10)
    await world.sleep(11.0)

    id_ = await world.post()
    await world.settle()

    assert world.attempts()[id_] == ["b"]


async def test_as_configured_nothing_changes_the_order(make_world: Any) -> None:
    world = await make_world()
    world.start()
    for _ in range(40):
        world.accounts["a"].note_receipt(arrived=False, now=world.clock.monotonic())
    await world.sleep(11.0)

    id_ = await world.post()
    await world.settle()

    assert world.attempts() == {id_: ["a"]}
    assert await world.timeline(id_) == ["attempt.accepted"]


def test_places_say_nothing_of_those_who_stay() -> None:
    assert rank([A]) == [Place(name="a")]

"""How people were reached, by month."""

import asyncio

from gateway.store.base import Store
from gateway.store.habits import Habit, month_of


async def test_counts_add_up_within_a_month(store: Store) -> None:
    await store.add_habits(
        [Habit("li", "sms", 24321, 1.0, 0.0), Habit("li", "sms", 24321, 1.0, 0.5)]
    )
    await store.add_habits(
        [Habit("li", "sms", 24321, 1.0, 1.0), Habit("li", "sms", 24322, 1.0, 0.0)]
    )

    found = await store.habits(["li", "nobody"])

    assert sorted(found, key=lambda one: one.month) == [
        Habit("li", "sms", 24321, 3.0, 1.5),
        Habit("li", "sms", 24322, 1.0, 0.0),
    ]


async def test_people_and_channels_are_apart(store: Store) -> None:
    await store.add_habits(
        [Habit(who, how, 1, 1.0, 1.0) for who in "ab" for how in ("sms", "push")]
    )

    found = await store.habits(["a"])

    assert sorted((one.subject, one.channel) for one in found) == [("a", "push"), ("a", "sms")]


async def test_old_months_go_with_the_messages_of_their_time(store: Store) -> None:
    before_ms = 1_774_000_000_000
    month = month_of(before_ms)
    await store.add_habits([Habit("li", "sms", month + more, 1.0, 1.0) for more in (-2, -1, 0, 1)])

    await store.purge(before_ms=before_ms, parked_before_ms=0, now_ms=before_ms, limit=10)

    assert sorted(one.month for one in await store.habits(["li"])) == [month, month + 1]


async def test_somebody_can_be_forgotten(store: Store) -> None:
    await store.add_habits([Habit(who, "sms", 1, 1.0, 1.0) for who in "ab"])

    await store.forget_habits("a", until_ms=10)

    assert [one.subject for one in await store.habits(["a", "b"])] == ["b"]


async def test_what_others_had_counted_of_the_forgotten_does_not_come_back(store: Store) -> None:
    late = [Habit(who, "sms", 24321, 1.0, 1.0) for who in "ab"]

    await store.forget_habits("a", until_ms=10)
    await store.add_habits(late)
    await store.purge(before_ms=0, parked_before_ms=0, now_ms=9, limit=9)
    await store.add_habits(late)
    then = await store.habits(["a", "b"])
    await store.purge(before_ms=0, parked_before_ms=0, now_ms=10, limit=9)
    await store.add_habits(late)

    assert [(one.subject, one.tries) for one in then] == [("b", 2.0)]
    counts = {one.subject: one.tries for one in await store.habits(["a", "b"])}
    assert counts == {"a": 1.0, "b": 3.0}


async def test_nothing_is_lost_when_many_count_at_once(store: Store) -> None:
    mine = [Habit(who, "sms", 1, 1.0, 0.0) for who in "abc"]

    await asyncio.gather(*[store.add_habits(mine[:: 1 if turn % 2 else -1]) for turn in range(20)])

    assert {one.subject: one.tries for one in await store.habits(list("abc"))} == {
        "a": 20.0,
        "b": 20.0,
        "c": 20.0,
    }


async def test_nothing_to_count_is_fine(store: Store) -> None:
    await store.add_habits([])

    assert await store.habits([]) == []

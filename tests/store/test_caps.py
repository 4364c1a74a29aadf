"""Uses of caps: exact, taken once, kept for those that wait, given back, and forgotten in time."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.caps import Calendar, Cap, CapDemand, CapUse, Full, Mates, Place, Sliding, Unit
from gateway.model.message import MessageId
from gateway.model.state import State
from gateway.model.values import replace
from gateway.store.base import Store
from gateway.store.caps import Register

HOUR_MS = 3_600_000
FOREVER_MS = 10**15
LI, WANG = "ab" * 16, "cd" * 16


def cap(most: int = 2, name: str = "offers", *, waits: bool = True, length: int = HOUR_MS) -> Cap:
    return Cap(name=name, most=most, window=Sliding(length), waits=waits)


def demand(
    message: str,
    *caps: Cap,
    subject: str = LI,
    channel: str = "",
    latest_ms: int = FOREVER_MS,
) -> CapDemand:
    places = [Place(cap=one, subject=subject, channel=channel) for one in caps or (cap(),)]
    return CapDemand(message=MessageId(message), places=places, latest_ms=latest_ms)


async def take(store: Store, make: Any, *demands: CapDemand) -> Sequence[Full | None]:
    return only_full(await store.take_caps(demands, now_ms=make.now_ms))


def only_full(found: Sequence[Full | Mates | None]) -> list[Full | None]:
    """Nobody has mates here."""
    assert not any(isinstance(one, Mates) for one in found)
    return [one for one in found if not isinstance(one, Mates)]


async def used(store: Store, make: Any, one: Cap | None = None, subject: str = LI) -> int:
    (found,) = await store.read_caps([Place(cap=one or cap(), subject=subject)], now_ms=make.now_ms)
    return found.used


async def test_each_recipient_has_so_many_places(store: Store, make: Any) -> None:
    first, second, third, other = (make.id() for _ in range(4))

    found = await take(
        store, make, *map(demand, (first, second, third)), demand(other, subject=WANG)
    )

    assert found == [None, None, Full("offers", make.now_ms + HOUR_MS), None]
    assert await used(store, make) == 2


async def test_place_is_free_when_its_use_is_out_of_the_window(store: Store, make: Any) -> None:
    await take(store, make, demand(make.id(), cap(1)))
    later = make.id()

    make.now_ms += HOUR_MS - 1
    early = await take(store, make, demand(later, cap(1)))
    make.now_ms += 1
    in_time = await take(store, make, demand(later, cap(1)))

    assert (early, in_time) == ([Full("offers", make.now_ms)], [None])


async def test_message_has_its_place_however_often_it_asks(store: Store, make: Any) -> None:
    id_ = make.id()

    found = await take(store, make, *[demand(id_, cap(1))] * 3)
    found = [*found, *await take(store, make, demand(id_, cap(1)))]

    assert found == [None] * 4
    assert await used(store, make, cap(1)) == 1


async def test_use_counts_from_the_last_try_on(store: Store, make: Any) -> None:
    id_ = make.id()
    await take(store, make, demand(id_, cap(1)))
    make.now_ms += HOUR_MS // 2
    await take(store, make, demand(id_, cap(1)))

    make.now_ms += HOUR_MS // 2
    found = await take(store, make, demand(make.id(), cap(1)))

    assert found == [Full("offers", make.now_ms + HOUR_MS // 2)]


async def test_cap_of_channels_counts_a_message_once_on_each(store: Store, make: Any) -> None:
    id_, two = make.id(), cap(2)

    found = await take(
        store,
        make,
        demand(id_, two, channel="sms"),
        demand(id_, two, channel="sms"),
        demand(id_, two, channel="push"),
        demand(make.id(), two, channel="sms"),
    )

    assert found == [None, None, None, Full("offers", make.now_ms + HOUR_MS)]


async def test_what_one_cap_refuses_uses_no_other(store: Store, make: Any) -> None:
    tight, wide = cap(1, "tight", waits=False), cap(9, "wide")
    await take(store, make, demand(make.id(), tight))

    found = await take(store, make, demand(make.id(), wide, tight))

    assert found == [Full("tight", None)]
    assert await used(store, make, wide) == 0


async def test_who_waits_for_two_caps_waits_for_the_later(store: Store, make: Any) -> None:
    short, long = cap(1, "short"), cap(1, "long", length=5 * HOUR_MS)
    await take(store, make, demand(make.id(), short, long))

    found = await take(store, make, demand(make.id(), short, long))

    assert found == [Full("long", make.now_ms + 5 * HOUR_MS)]


async def test_those_that_wait_come_back_each_for_its_own_place(store: Store, make: Any) -> None:
    found = await take(store, make, *(demand(make.id()) for _ in range(7)))

    assert [None if one is None else one.until_ms for one in found] == [
        None,
        None,
        *[make.now_ms + HOUR_MS] * 2,
        *[make.now_ms + 2 * HOUR_MS] * 2,
        make.now_ms + 3 * HOUR_MS,
    ]


async def test_no_place_is_kept_for_those_that_cannot_wait_so_long(store: Store, make: Any) -> None:
    first, hopeless, patient = (make.id() for _ in range(3))
    await take(store, make, demand(first, cap(1)))

    found = await take(
        store,
        make,
        demand(hopeless, cap(1), latest_ms=make.now_ms + HOUR_MS),
        demand(patient, cap(1)),
    )

    assert found == [Full("offers", make.now_ms + HOUR_MS)] * 2


async def test_newcomer_does_not_take_a_place_that_is_kept(store: Store, make: Any) -> None:
    waiting = make.id()
    await take(store, make, demand(make.id(), cap(1)), demand(waiting, cap(1)))
    make.now_ms += HOUR_MS

    found = await take(store, make, demand(make.id(), cap(1)), demand(waiting, cap(1)))

    assert found == [Full("offers", make.now_ms + HOUR_MS), None]


async def test_who_comes_late_makes_the_next_wait_not_join_the_end(store: Store, make: Any) -> None:
    second, third, fourth = (make.id() for _ in range(3))
    await take(store, make, *(demand(one, cap(1)) for one in (make.id(), second, third, fourth)))
    make.now_ms += HOUR_MS + 500  # half a second late
    await take(store, make, demand(second, cap(1)))

    make.now_ms += HOUR_MS - 500
    found = await take(store, make, demand(third, cap(1)))

    assert found == [Full("offers", make.now_ms + 500)]


async def test_calendar_frees_all_places_at_once(store: Store, make: Any) -> None:
    daily = Cap(name="daily", most=2, window=Calendar(Unit.DAY, "Asia/Shanghai"), waits=True)

    found = await take(store, make, *(demand(make.id(), daily) for _ in range(5)))

    ends = [None if one is None else one.until_ms for one in found]
    assert ends[:2] == [None, None]
    assert ends[2] is not None
    assert ends[2:] == [ends[2], ends[2], ends[2] + 24 * HOUR_MS]
    assert make.now_ms < ends[2] <= make.now_ms + 24 * HOUR_MS


async def test_reading_takes_nothing(store: Store, make: Any) -> None:
    await take(store, make, demand(make.id()))
    place = Place(cap=cap(), subject=LI)

    found = [await store.read_caps([place], now_ms=make.now_ms) for _ in range(3)]

    assert found == [[CapUse(used=1, room_ms=make.now_ms)]] * 3
    await take(store, make, demand(make.id()))
    (full,) = await store.read_caps([place], now_ms=make.now_ms)
    assert full == CapUse(used=2, room_ms=make.now_ms + HOUR_MS)
    assert await store.take_caps([], now_ms=make.now_ms) == []
    assert await store.read_caps([], now_ms=make.now_ms) == []


async def test_use_is_given_back_with_the_change_that_says_so(store: Store, make: Any) -> None:
    by_sms = cap(2, "by_sms")
    await store.accept([make.message(), make.message()])
    row, other = await store.claim(make.request(2))
    for one in (row, other):
        await take(
            store,
            make,
            demand(one.case.id, cap()),
            demand(one.case.id, by_sms, channel="sms"),
        )

    await store.commit([make.result(row, state=State.FAILED, free_caps=["", "sms"])])

    assert (await used(store, make), await used(store, make, by_sms)) == (1, 1)


async def test_refused_change_gives_nothing_back(store: Store, make: Any) -> None:
    await store.accept([make.message()])
    (row,) = await store.claim(make.request(1))
    await take(store, make, demand(row.case.id))
    stale = replace(row, case=replace(row.case, version=7))

    verdicts = await store.commit([make.result(stale, free_caps=[""])])

    assert verdicts != [None]
    assert await used(store, make) == 1


async def test_erased_messages_say_of_nobody_that_they_were_counted(
    store: Store, make: Any
) -> None:
    (erased, kept) = messages = make.messages(2)
    await store.accept(messages)
    await take(store, make, *(demand(one.id) for one in messages))

    await store.erase_messages({erased.id: erased.body}, hashes=[], now_ms=make.now_ms)

    assert await used(store, make) == 1
    assert await take(store, make, demand(kept.id)) == [None]


async def test_old_uses_are_deleted_some_at_a_time(store: Store, make: Any) -> None:
    await take(store, make, *(demand(make.id(), cap(9)) for _ in range(5)))
    make.now_ms += HOUR_MS - 1
    await take(store, make, demand(make.id(), cap(9)))

    async def purge() -> int:
        return await store.purge(before_ms=0, parked_before_ms=0, now_ms=make.now_ms + 1, limit=3)

    assert [await purge() for _ in range(3)] == [3, 2, 0]
    assert await used(store, make, cap(9, length=2 * HOUR_MS)) == 1


async def test_nodes_that_race_for_one_recipient_never_exceed(open_store: Any, make: Any) -> None:
    nodes = [await open_store(f"n{number}") for number in range(4)]
    tight = cap(7)
    messages = [make.id() for _ in range(60)]

    async def ask(node: Store, some: Sequence[MessageId]) -> list[Full | None]:
        found: list[Full | None] = []
        for one in some:
            demands = [demand(one, tight), demand(one, tight, subject=WANG)]
            found += only_full(await node.take_caps(demands, now_ms=make.now_ms))
        return found

    # each message is asked for by two nodes, and by one of them for the other's recipient as well
    parts = [ask(node, messages[n * 10 : n * 10 + 30]) for n, node in enumerate(nodes)]
    found = [one for each in await asyncio.gather(*parts) for one in each]

    assert found.count(None) >= 14
    assert await used(nodes[0], make, tight) == await used(nodes[1], make, tight, WANG) == 7


async def test_batches_in_opposite_orders_do_not_lock_each_other_out(
    open_store: Any, make: Any
) -> None:
    nodes = [await open_store(f"n{number}") for number in range(4)]
    people = [f"{number:032x}" for number in range(0, 2**127, 2**121)]

    def batch(order: int) -> list[CapDemand]:
        return [demand(make.id(), cap(3), subject=one) for one in people[::order]]

    await asyncio.gather(
        *(node.take_caps(batch(order), now_ms=make.now_ms) for node in nodes for order in (1, -1))
    )

    places = [Place(cap=cap(3), subject=one) for one in people]
    found = await nodes[0].read_caps(places, now_ms=make.now_ms)
    assert {one.used for one in found} == {3}


LENGTH, STEP = 20, st.tuples(st.integers(0, 9), st.integers(0, 12))


@given(steps=st.lists(STEP, max_size=60), most=st.integers(1, 3))
def test_no_span_ever_has_too_many_whoever_comes_when(
    steps: list[tuple[int, int]], most: int
) -> None:
    """Against a model that knows only when what was sent. steps: (message, how much later)."""
    one, now_ms = cap(most, length=LENGTH), 1_000
    register, sent = Register(()), dict[str, int]()
    for number, pause in steps:
        now_ms += pause
        message = f"m{number}"
        inside = [at for other, at in sent.items() if other != message and at > now_ms - LENGTH]
        holds = sent.get(message, 0) > now_ms - LENGTH

        (found,) = only_full([register.take(demand(message, one), now_ms)])

        if found is None:
            assert holds or len(inside) < most
            sent[message] = now_ms
        else:
            assert not holds
            assert (found.until_ms or 0) > now_ms
    ends = sorted(sent.values())
    for end in ends:
        assert sum(end - LENGTH < at <= end for at in ends) <= most


@given(most=st.integers(1, 3), count=st.integers(1, 30))
def test_each_of_those_that_wait_goes_when_its_time_has_come(most: int, count: int) -> None:
    one, register = cap(most, length=LENGTH), Register(())
    due = [(1_000, f"m{number:02}") for number in range(count)]
    asked = 0
    while due:
        now_ms, message = min(due)
        due.remove((now_ms, message))
        asked += 1
        (found,) = only_full([register.take(demand(message, one), now_ms)])
        if found is not None and found.until_ms is not None:
            due.append((found.until_ms, message))

    assert asked <= 2 * count  # nobody is called in vain


@pytest.mark.parametrize("count", [3_000])
def test_thousands_that_wait_for_one_recipient_are_told_apart_quickly(count: int) -> None:
    one, register = cap(3), Register(())

    found = only_full([register.take(demand(f"m{number}", one), 0) for number in range(count)])

    times = [one.until_ms for one in found if one is not None]
    assert times == [HOUR_MS * (number // 3) for number in range(3, count)]

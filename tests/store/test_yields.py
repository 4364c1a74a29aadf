"""Who gives way: uses that are counted however many they are, and looks that use nothing."""

import asyncio
from collections.abc import Sequence
from typing import Any

from gateway.model.caps import Cap, CapDemand, CapUse, Full, Mates, Place, Role, Sliding
from gateway.model.case import Transition
from gateway.model.message import MessageId
from gateway.model.state import State
from gateway.model.values import replace
from gateway.store.base import Store

HOUR_MS = 3_600_000
FOREVER_MS = 10**15
LI, WANG = "ab" * 16, "cd" * 16
NAME = "yields:service"


def counts(length: int = 2 * HOUR_MS, name: str = NAME) -> Cap:
    return Cap(name=name, most=0, window=Sliding(length), waits=False, role=Role.COUNT)


def looks(length: int = 2 * HOUR_MS, name: str = NAME) -> Cap:
    return Cap(name=name, most=0, window=Sliding(length), waits=True, role=Role.LOOK)


def limit(most: int) -> Cap:
    return Cap(name="offers", most=most, window=Sliding(HOUR_MS), waits=True)


def demand(message: str, *caps: Cap, subject: str = LI, latest_ms: int = FOREVER_MS) -> CapDemand:
    places = [Place(cap=one, subject=subject) for one in caps]
    return CapDemand(message=MessageId(message), places=places, latest_ms=latest_ms)


async def take(store: Store, make: Any, *demands: CapDemand) -> Sequence[Full | None]:
    found = await store.take_caps(demands, now_ms=make.now_ms)
    return [one for one in found if not isinstance(one, Mates)]


async def look(store: Store, make: Any, one: Cap | None = None, subject: str = LI) -> CapUse:
    place = Place(cap=one or looks(), subject=subject)
    (found,) = await store.read_caps([place], now_ms=make.now_ms)
    return found


async def test_uses_are_counted_and_none_is_held(store: Store, make: Any) -> None:
    found = await take(store, make, *(demand(make.id(), counts()) for _ in range(9)))

    assert found == [None] * 9
    assert await look(store, make) == CapUse(used=1, room_ms=make.now_ms + 2 * HOUR_MS)


async def test_who_looks_waits_until_the_last_use_counts_no_more(store: Store, make: Any) -> None:
    waiting = make.id()
    await take(store, make, demand(make.id(), counts()))
    make.now_ms += HOUR_MS
    await take(store, make, demand(make.id(), counts()))

    make.now_ms += HOUR_MS
    held = await take(store, make, demand(waiting, looks()))
    make.now_ms += HOUR_MS - 1
    early = await take(store, make, demand(waiting, looks()))
    make.now_ms += 1
    in_time = await take(store, make, demand(waiting, looks()))

    assert held == early == [Full(NAME, make.now_ms)]
    assert in_time == [None]


async def test_looks_use_nothing_and_hold_nobody(store: Store, make: Any) -> None:
    found = await take(store, make, *(demand(make.id(), looks()) for _ in range(3)))

    assert found == [None] * 3
    assert await look(store, make) == CapUse(used=0, room_ms=make.now_ms)


async def test_uses_of_others_and_of_other_names_hold_nobody(store: Store, make: Any) -> None:
    await take(
        store,
        make,
        demand(make.id(), counts(), subject=WANG),
        demand(make.id(), counts(name="yields:otp")),
    )

    found = await take(store, make, demand(make.id(), looks()))

    assert found == [None]


async def test_use_in_the_same_batch_holds_those_after_it(store: Store, make: Any) -> None:
    found = await take(
        store,
        make,
        demand(make.id(), looks()),
        demand(make.id(), counts()),
        demand(make.id(), looks()),
    )

    assert found == [None, None, Full(NAME, make.now_ms + 2 * HOUR_MS)]


async def test_each_looks_as_far_back_as_it_yields(store: Store, make: Any) -> None:
    await take(store, make, demand(make.id(), counts()))
    make.now_ms += HOUR_MS

    found = await take(
        store, make, demand(make.id(), looks(HOUR_MS)), demand(make.id(), looks(2 * HOUR_MS))
    )

    assert found == [None, Full(NAME, make.now_ms + HOUR_MS)]


async def test_one_that_yields_to_several_waits_for_the_last(store: Store, make: Any) -> None:
    otp = "yields:otp"
    await take(store, make, demand(make.id(), counts(name=otp)))
    make.now_ms += HOUR_MS
    await take(store, make, demand(make.id(), counts()))

    found = await take(store, make, demand(make.id(), looks(name=otp), looks()))

    assert found == [Full(NAME, make.now_ms + 2 * HOUR_MS)]


async def test_one_that_is_yielded_to_yields_itself(store: Store, make: Any) -> None:
    otp = "yields:otp"
    middle, last = demand(make.id(), counts(), looks(name=otp)), demand(make.id(), looks())
    await take(store, make, demand(make.id(), counts(name=otp)))

    held = await take(store, make, middle, last)
    make.now_ms += 2 * HOUR_MS
    after = await take(store, make, middle, demand(make.id(), looks()))

    assert held == [Full(otp, make.now_ms), None]  # what is held was not sent
    assert after == [None, Full(NAME, make.now_ms + 2 * HOUR_MS)]


async def test_last_try_of_a_message_is_what_counts(store: Store, make: Any) -> None:
    id_ = make.id()
    await take(store, make, demand(id_, counts()))
    make.now_ms += HOUR_MS
    await take(store, make, demand(id_, counts()))

    found = await look(store, make)

    assert found == CapUse(used=1, room_ms=make.now_ms + 2 * HOUR_MS)


async def test_who_gives_way_takes_its_place_under_a_limit_later(store: Store, make: Any) -> None:
    id_ = make.id()
    await take(store, make, demand(make.id(), counts()))

    held = await take(store, make, demand(id_, limit(1), looks()))
    between = await take(store, make, demand(make.id(), limit(1)))
    make.now_ms += 2 * HOUR_MS
    after = await take(store, make, demand(id_, limit(1), looks()))

    assert (held, between, after) == ([Full(NAME, make.now_ms)], [None], [None])
    assert (await look(store, make, limit(1))).used == 1


async def test_use_that_is_given_back_holds_nobody(store: Store, make: Any) -> None:
    await store.accept([make.message(), make.message()])
    first, second = await store.claim(make.request(2))
    await take(store, make, demand(first.case.id, counts()))
    make.now_ms += 1000
    await take(store, make, demand(second.case.id, counts()))

    await store.commit([make.result(second, state=State.FAILED, free_caps=[""])])
    earlier = await look(store, make)
    await store.commit([make.result(first, state=State.FAILED, free_caps=[""])])

    assert earlier.room_ms == make.now_ms - 1000 + 2 * HOUR_MS
    assert await take(store, make, demand(make.id(), looks())) == [None]


async def waiting(store: Store, make: Any, until_ms: int) -> None:
    """A message that has been told to wait until then, with a second step a minute later."""
    (row,) = await claimed(store, make, 1)
    await take(store, make, demand(row.case.id, looks()))
    await defer(store, make, row, until_ms)


async def claimed(store: Store, make: Any, count: int) -> Sequence[Any]:
    await store.accept([make.message() for _ in range(count)])
    return await store.claim(make.request(count))


async def defer(store: Store, make: Any, row: Any, until_ms: int) -> None:
    assert await store.commit([deferred(make, row, until_ms)]) == [None]


def deferred(make: Any, row: Any, until_ms: int) -> Transition:
    first = make.row(row.case, due_ms=until_ms, epoch=row.epoch)
    second = replace(first, step=1, due_ms=until_ms + 60_000)
    put = (first, second)
    told: Transition = make.result(row, state=State.QUEUED, attempts=(), put=put, yields=True)
    return told


async def due(store: Store, make: Any, now_ms: int) -> int:
    """How many rows are due by then."""
    return sum([await store.promote("sms", n, now_ms=now_ms, limit=500) for n in range(4)])


async def test_who_gives_way_is_due_when_the_use_is_given_back(store: Store, make: Any) -> None:
    (service,) = await claimed(store, make, 1)
    await take(store, make, demand(service.case.id, counts()))
    for _ in range(3):
        await waiting(store, make, make.now_ms + 2 * HOUR_MS)
    early = await due(store, make, make.now_ms + HOUR_MS)

    await store.commit([make.result(service, state=State.FAILED, free_caps=[""])])

    assert early == 0
    assert await due(store, make, make.now_ms + 1) == 3
    assert await due(store, make, make.now_ms + 60_000) == 3  # and the steps that follow


async def test_who_waits_for_a_use_that_is_left_is_not_woken(store: Store, make: Any) -> None:
    first, second = await claimed(store, make, 2)
    await take(store, make, demand(first.case.id, counts()))
    make.now_ms += 1000
    await take(store, make, demand(second.case.id, counts()))
    await waiting(store, make, make.now_ms + 2 * HOUR_MS)

    await store.commit([make.result(first, state=State.FAILED, free_caps=[""])])

    assert await due(store, make, make.now_ms + HOUR_MS) == 0


async def test_others_who_wait_are_not_woken(store: Store, make: Any) -> None:
    first, other = await claimed(store, make, 2)
    await take(store, make, demand(first.case.id, counts()))
    await take(store, make, demand(other.case.id, counts(), subject=WANG))
    (row,) = await claimed(store, make, 1)
    await take(store, make, demand(row.case.id, looks(), subject=WANG))
    await defer(store, make, row, make.now_ms + 2 * HOUR_MS)

    await store.commit([make.result(first, state=State.FAILED, free_caps=[""])])

    assert await due(store, make, make.now_ms + HOUR_MS) == 0


async def test_who_is_told_to_wait_while_the_use_goes_is_due_at_once(
    store: Store, make: Any
) -> None:
    service, offer = await claimed(store, make, 2)
    await take(store, make, demand(service.case.id, counts()))
    await take(store, make, demand(offer.case.id, looks()))

    await store.commit([make.result(service, state=State.FAILED, free_caps=[""])])
    await defer(store, make, offer, make.now_ms + 2 * HOUR_MS)

    assert await due(store, make, make.now_ms + 1) == 1


async def test_who_is_told_to_wait_by_the_commit_that_frees_is_due_at_once(
    store: Store, make: Any
) -> None:
    service, offer = await claimed(store, make, 2)
    await take(store, make, demand(service.case.id, counts()))
    await take(store, make, demand(offer.case.id, looks()))
    told = deferred(make, offer, make.now_ms + 2 * HOUR_MS)

    await store.commit([told, make.result(service, state=State.FAILED, free_caps=[""])])

    assert await due(store, make, make.now_ms + 1) == 1


async def test_waits_that_are_over_are_purged(store: Store, make: Any) -> None:
    (service,) = await claimed(store, make, 1)
    await take(store, make, demand(service.case.id, counts()))
    await waiting(store, make, make.now_ms + 2 * HOUR_MS)

    def purge(now_ms: int) -> Any:
        return store.purge(before_ms=0, parked_before_ms=0, now_ms=now_ms, limit=9)

    early, late = await purge(make.now_ms + HOUR_MS), await purge(make.now_ms + 2 * HOUR_MS)

    assert (early, late) == (0, 2)


async def test_nodes_that_free_and_wait_at_once_miss_nobody(open_store: Any, make: Any) -> None:
    freeing, telling = [await open_store(f"n{number}") for number in range(2)]
    for _ in range(20):
        (service,) = await claimed(freeing, make, 1)
        (offer,) = await claimed(telling, make, 1)
        await take(freeing, make, demand(service.case.id, counts()))
        until_ms = make.now_ms + 2 * HOUR_MS

        async def wait(offer: Any = offer, until_ms: int = until_ms) -> None:
            found = await take(telling, make, demand(offer.case.id, looks()))
            await defer(telling, make, offer, until_ms if found[0] else make.now_ms + 1)

        free = make.result(service, state=State.FAILED, free_caps=[""])
        await asyncio.gather(freeing.commit([free]), wait())

        assert await due(freeing, make, make.now_ms + 1) == 1
        assert await due(freeing, make, make.now_ms + 3 * HOUR_MS) == 1
        assert len(await freeing.claim(make.request())) == 2


async def test_nodes_see_each_others_uses(open_store: Any, make: Any) -> None:
    nodes = [await open_store(f"n{number}") for number in range(3)]
    people = [f"{number:032x}" for number in range(0, 2**127, 2**122)]

    def batch(cap: Cap, order: int) -> list[CapDemand]:
        return [demand(make.id(), cap, subject=one) for one in people[::order]]

    await asyncio.gather(
        *(
            node.take_caps(batch(cap, order), now_ms=make.now_ms)
            for node in nodes
            for cap in (counts(), looks())
            for order in (1, -1)
        )
    )

    for node in nodes:
        found = await node.take_caps(batch(looks(), 1), now_ms=make.now_ms)
        assert found == [Full(NAME, make.now_ms + 2 * HOUR_MS)] * len(people)

"""Messages that wait for the same place: they share it, are told of each other, and are ended in
one commit with the one that takes it, by one node."""

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.model.caps import (
    MOST_MERGED,
    Calendar,
    Cap,
    CapDemand,
    Full,
    Mates,
    Place,
    Sliding,
    Unit,
)
from gateway.model.case import Case, NewMessage, Transition
from gateway.model.message import MessageId
from gateway.model.state import State
from gateway.store.base import Staleness, Store
from gateway.store.caps import Register

HOUR_MS = 3_600_000
FOREVER_MS = 10**15
LI = "ab" * 16


def cap(most: int = 1, name: str = "offers", *, merges: bool = True, length: int = HOUR_MS) -> Cap:
    return Cap(name=name, most=most, window=Sliding(length), waits=True, merges=merges)


def demand(message: str, *caps: Cap, digest: str = "d", latest_ms: int = FOREVER_MS) -> CapDemand:
    places = [Place(cap=one, subject=LI, digest=digest) for one in caps or (cap(),)]
    return CapDemand(message=MessageId(message), places=places, latest_ms=latest_ms)


def due(found: Full | Mates | None) -> int | None:
    assert isinstance(found, Full)
    return found.until_ms


async def take(store: Store, make: Any, *demands: CapDemand) -> Sequence[Full | Mates | None]:
    return await store.take_caps(demands, now_ms=make.now_ms)


async def cases_of(store: Store, messages: Sequence[NewMessage]) -> list[Case]:
    found = await store.cases([one.id for one in messages])
    return [found[one.id] for one in messages]


def ends(make: Any, cases: Sequence[Case], digest: NewMessage) -> list[Transition]:
    """As the finisher has it."""
    return [
        make.transition(
            case,
            state=State.CANCELLED,
            ending=State.CANCELLED,
            drop=[(row.step, row.part) for row in case.live],
            bundle=digest.id,
            free_caps=["", "sms"] if place else [],
            new=[] if place else [digest],
            caps_to="" if place else digest.id,
        )
        for place, case in enumerate(cases)
    ]


async def test_those_that_wait_for_the_same_share_a_place(store: Store, make: Any) -> None:
    first, second, third, other = (make.id() for _ in range(4))

    found = await take(store, make, *map(demand, (first, second, third)), demand(other, digest="e"))

    assert found[0] is None
    assert [due(one) for one in found[1:]] == [
        make.now_ms + HOUR_MS,
        make.now_ms + HOUR_MS,
        make.now_ms + 2 * HOUR_MS,
    ]


async def test_whichever_comes_back_first_is_told_of_the_others(store: Store, make: Any) -> None:
    waiting = [make.id() for _ in range(3)]
    await take(store, make, demand(make.id()), *map(demand, waiting))
    make.now_ms += HOUR_MS

    (found,) = await take(store, make, demand(waiting[1]))
    (again,) = await take(store, make, demand(waiting[2]))

    assert found == again == Mates(waiting)


async def test_those_that_come_late_still_hear_of_each_other(store: Store, make: Any) -> None:
    waiting, end_ms = [make.id() for _ in range(3)], make.now_ms + 9 * HOUR_MS
    await take(store, make, demand(make.id()))
    await take(store, make, *(demand(one, latest_ms=end_ms) for one in waiting))
    make.now_ms += 8 * HOUR_MS
    await store.purge(before_ms=0, parked_before_ms=0, now_ms=make.now_ms, limit=100)

    (found,) = await take(store, make, demand(waiting[0], latest_ms=end_ms))

    assert found == Mates(waiting)


async def test_one_that_waits_alone_has_no_mates(store: Store, make: Any) -> None:
    waiting = make.id()
    await take(store, make, demand(make.id()), demand(waiting))
    make.now_ms += HOUR_MS

    found = await take(store, make, demand(waiting))

    assert found == [None]


async def test_who_asks_alone_takes_the_place_from_its_mates(store: Store, make: Any) -> None:
    one, two = make.id(), make.id()
    await take(store, make, demand(make.id()), demand(one), demand(two))
    make.now_ms += HOUR_MS

    (alone,) = await take(store, make, demand(one, digest=""))
    (left,) = await take(store, make, demand(two))

    assert (alone, due(left)) == (None, make.now_ms + HOUR_MS)


async def test_newcomer_joins_those_whose_place_has_come(store: Store, make: Any) -> None:
    waiting, new = make.id(), make.id()
    await take(store, make, demand(make.id()), demand(waiting))
    make.now_ms += HOUR_MS

    found = await take(store, make, demand(new), demand(waiting))

    assert found == [Mates([waiting, new])] * 2


async def test_what_another_rule_holds_is_not_merged(store: Store, make: Any) -> None:
    narrow, wide = cap(1, "narrow", merges=False), cap(9, "wide")
    one, two = make.id(), make.id()
    found = await take(store, make, *(demand(id_, narrow, wide) for id_ in (make.id(), one, two)))

    assert [due(each) for each in found[1:]] == [
        make.now_ms + HOUR_MS,
        make.now_ms + 2 * HOUR_MS,
    ]
    make.now_ms += HOUR_MS
    assert await take(store, make, demand(one, narrow, wide)) == [None]


async def test_one_digest_has_room_for_so_many(store: Store, make: Any) -> None:
    ids = [make.id() for _ in range(MOST_MERGED + 5)]
    found = await take(store, make, demand(make.id()), *map(demand, ids))

    times = [due(one) for one in found[1:]]
    assert times == [make.now_ms + HOUR_MS] * MOST_MERGED + [make.now_ms + 2 * HOUR_MS] * 5
    make.now_ms += HOUR_MS
    assert await take(store, make, demand(ids[0])) == [Mates(ids[:MOST_MERGED])]


async def test_calendar_with_two_places_has_two_digests_at_once(store: Store, make: Any) -> None:
    daily = Cap(name="daily", most=2, window=Calendar(Unit.DAY, "UTC"), waits=True, merges=True)
    used = [make.id(), make.id()]
    ids = [make.id() for _ in range(2 * MOST_MERGED + 1)]

    found = await take(store, make, *(demand(one, daily) for one in (*used, *ids)))

    times = [due(one) for one in found[2:]]
    assert times == [times[0]] * 2 * MOST_MERGED + [(times[0] or 0) + 24 * HOUR_MS]


async def test_preview_counts_those_that_wait(store: Store, make: Any) -> None:
    await take(store, make, *(demand(make.id()) for _ in range(3)))

    place = Place(cap=cap(), subject=LI, digest="d")
    (found,) = await store.read_caps([place], now_ms=make.now_ms)

    assert (found.used, found.mates, found.room_ms) == (1, 2, make.now_ms + HOUR_MS)


async def test_one_commit_ends_all_and_stores_what_carries_them(store: Store, make: Any) -> None:
    messages, digest = make.messages(3), make.message()
    await store.accept(messages)
    await take(store, make, demand(make.id()), *(demand(one.id) for one in messages))
    make.now_ms += HOUR_MS

    verdicts = await store.commit(ends(make, await cases_of(store, messages), digest))

    assert verdicts == [None] * 3
    states = [case.state for case in await cases_of(store, [*messages, digest])]
    assert states == [State.CANCELLED] * 3 + [State.QUEUED]
    (row,) = await store.claim(make.request())
    assert row.case.id == digest.id
    # its place is kept for it
    newcomer, own = await take(
        store, make, demand(make.id(), digest=""), demand(digest.id, digest="")
    )
    assert own is None
    assert due(newcomer) == make.now_ms + HOUR_MS


async def test_nothing_is_written_when_one_of_them_has_changed(store: Store, make: Any) -> None:
    messages, digest = make.messages(3), make.message()
    await store.accept(messages)
    cases = await cases_of(store, messages)
    changed = make.transition(cases[1])
    await store.commit([changed])

    verdicts = await store.commit(ends(make, cases, digest))

    assert verdicts == [Staleness.VERSION] * 3
    assert await store.cases([digest.id]) == {}
    assert {case.state for case in await cases_of(store, messages)} == {State.QUEUED}
    assert len(await store.claim(make.request())) == 3


async def test_nothing_is_written_when_one_of_them_is_being_sent(store: Store, make: Any) -> None:
    messages, digest = make.messages(3), make.message()
    await store.accept(messages)
    cases = await cases_of(store, messages)
    (row,) = await store.claim(make.request(1))

    held = await store.commit(ends(make, cases, digest))
    await store.give_back([row], due_ms=[make.now_ms + 2_000])
    free = await store.commit(ends(make, cases, digest))

    assert (held, free) == ([Staleness.VERSION] * 3, [None] * 3)


async def test_bundle_that_is_refused_takes_no_other_with_it(store: Store, make: Any) -> None:
    messages, digest = make.messages(3), make.message()
    await store.accept(messages)
    cases = await cases_of(store, messages)
    await store.commit([make.transition(cases[0])])
    bundle = ends(make, cases[:2], digest)

    verdicts = await store.commit([*bundle, make.transition(cases[2])])

    assert verdicts == [Staleness.VERSION, Staleness.VERSION, None]


async def test_of_nodes_that_merge_the_same_one_does(open_store: Any, make: Any) -> None:
    nodes = [await open_store(f"n{number}") for number in range(4)]
    for _ in range(5):
        messages = make.messages(8)
        await nodes[0].accept(messages)
        cases = await cases_of(nodes[0], messages)

        async def merge(node: Store, number: int, cases: list[Case] = cases) -> NewMessage | None:
            # each another part of them, in another order, all of which overlap
            digest, part = make.message(), cases[number : number + 5][:: 1 - 2 * (number % 2)]
            verdicts = await node.commit(ends(make, part, digest))
            assert len({*verdicts}) == 1
            return digest if verdicts[0] is None else None

        made = await asyncio.gather(*(merge(node, n) for n, node in enumerate(nodes)))

        (digest,) = [one for one in made if one is not None]
        states = [case.state for case in await cases_of(nodes[0], messages)]
        assert states.count(State.CANCELLED) == 5
        rows = await nodes[1].claim(make.request())
        assert len(rows) == 4
        assert digest.id in [row.case.id for row in rows]
        await nodes[1].commit([make.result(row) for row in rows])


STEP = st.tuples(st.integers(0, 9), st.integers(0, 12))


@given(steps=st.lists(STEP, max_size=60), most=st.integers(1, 3))
def test_no_span_ever_has_too_many_whatever_is_merged(
    steps: list[tuple[int, int]], most: int
) -> None:
    """Against a model that knows only when what was sent. steps: (message, how much later); those
    of an even number are alike."""
    one, now_ms, length = cap(most, length=20), 1_000, 20
    register, sent, gone = Register(()), dict[str, int](), set[str]()
    for number, pause in steps:
        now_ms += pause
        message = f"m{number}"
        if message in gone:
            continue

        found = register.take(demand(message, one, digest="" if number % 2 else "d"), now_ms)

        if isinstance(found, Mates):
            assert message in found.messages
            assert not gone & {*found.messages}
            # the digest has the place of the first, by itself
            asker = found.messages[0]
            assert register.take(demand(asker, one, digest=""), now_ms) is None
            sent[asker] = now_ms
            gone |= {*found.messages}
            register = without(register, gone - {asker})
        elif found is None:
            sent[message] = now_ms
    times = sorted(sent.values())
    for end in times:
        assert sum(end - length < at <= end for at in times) <= most


def without(register: Register, gone: set[str]) -> Register:
    """As it is read again when the places of these have been given back."""
    rows = [row for row in register.new if row[2] not in gone]
    fresh = Register((*row[:6], row[7]) for row in rows)
    fresh._new = {row[:4]: row for row in rows}
    return fresh


@given(most=st.integers(1, 3), count=st.integers(1, 120))
def test_all_that_wait_leave_with_the_next_places(most: int, count: int) -> None:
    one, now_ms = cap(most, length=20), 1_000
    register = Register(())
    found = [register.take(demand(f"m{number:03}", one), now_ms) for number in range(count)]

    passed = sum(one is None for one in found)
    assert passed == min(most, count)
    times = {due(one) for one in found if one is not None}
    digests = -(-(count - passed) // MOST_MERGED)
    assert len(times) == -(-digests // most)

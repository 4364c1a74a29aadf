"""Work that waits for its time, runs out of it, is given back, or is left behind by a process."""

from collections import Counter
from typing import Any

from gateway.model.message import Priority
from gateway.model.state import Outcome, State
from gateway.store.base import LaneOverview, Staleness, Store

CRITICAL, HIGH, NORMAL, BULK = Priority


async def deferred(store: Store, make: Any, *, wait: float) -> None:
    """Claim one row of lane `sms` and put it off."""
    (row,) = await store.claim(make.request(1))
    again = make.row(
        row.case,
        due_ms=make.now_ms + int(wait * 1000),
        attempts=row.attempts,
        epoch=row.epoch,
        retry=True,
    )
    await store.commit([make.result(row, Outcome.DEFERRED, state=State.QUEUED, put=[again])])


async def test_due_rows_become_ready_oldest_first(store: Store, make: Any, ids: Any) -> None:
    later, soon, sooner = (make.message(start_in=wait) for wait in (60.0, 20.0, 10.0))
    await store.accept([later, soon, sooner])

    none = await store.promote("sms", NORMAL, now_ms=make.now_ms + 9_999, limit=10)
    one = await store.promote("sms", NORMAL, now_ms=make.now_ms + 30_000, limit=1)
    first = await store.claim(make.request())
    rest = await store.promote("sms", NORMAL, now_ms=make.now_ms + 30_000, limit=10)

    assert (none, one, rest) == (0, 1, 1)
    assert ids(first) == [sooner.id]
    assert ids(await store.claim(make.request())) == [soon.id]


async def test_promotion_is_by_lane_and_priority(store: Store, make: Any) -> None:
    await store.accept(
        [
            make.message(start_in=1.0, lane=lane, priority=priority)
            for lane in ("sms", "email")
            for priority in (NORMAL, BULK)
        ]
    )

    await store.promote("sms", BULK, now_ms=make.now_ms + 5_000, limit=10)

    (row,) = await store.claim(make.request())
    assert (row.lane, row.priority) == ("sms", BULK)
    assert await store.claim(make.request(lane="email")) == []


async def test_scheduled_crowd_takes_its_turn_with_others(store: Store, make: Any) -> None:
    await store.accept(make.messages(300, tenant="large", start_in=1.0))
    await store.accept(make.messages(20, tenant="small"))
    await store.promote("sms", NORMAL, now_ms=make.now_ms + 1_000, limit=500)
    await store.accept(make.messages(20, tenant="small"))

    rows = await store.claim(make.request(80))

    assert Counter(row.case.tenant for row in rows)["small"] == 40


async def test_row_that_was_tried_goes_on_at_the_front(store: Store, make: Any) -> None:
    retried = make.message(tenant="large")
    await store.accept([retried])
    await deferred(store, make, wait=5.0)
    await store.accept(make.messages(200, tenant="large"))
    await store.claim(make.request(10))

    await store.promote("sms", NORMAL, now_ms=make.now_ms + 5_000, limit=10)

    (row,) = await store.claim(make.request(1))
    assert row.case.id == retried.id


async def test_overview_counts_what_is_ready_and_tells_what_is_next(
    store: Store, make: Any
) -> None:
    await store.accept(make.messages(7))
    await store.accept([make.message(start_in=wait, priority=BULK) for wait in (9.0, 4.0)])

    overview = await store.overview(["sms", "email"], most=5)

    assert len(overview) == 8
    by_place = {(one.lane, one.priority): one for one in overview}
    assert by_place["sms", NORMAL] == LaneOverview(
        lane="sms", priority=NORMAL, next_due_ms=None, ready=5
    )
    assert by_place["sms", BULK].next_due_ms == make.now_ms + 4_000
    assert by_place["email", CRITICAL].ready == 0


async def test_given_back_row_is_claimed_again_at_no_cost(store: Store, make: Any) -> None:
    await store.accept(make.messages(3))
    rows = await store.claim(make.request(2))

    await store.give_back(rows)

    again = await store.claim(make.request())
    assert [row.case.id for row in again[:2]] == [row.case.id for row in rows]
    assert [(row.attempts, row.epoch) for row in again] == [(1, 2), (1, 2), (1, 1)]


async def test_row_can_be_given_back_for_later(store: Store, make: Any) -> None:
    await store.accept(make.messages(2))
    rows = await store.claim(make.request())

    await store.give_back(rows, due_ms=[make.now_ms + 5_000, None])

    assert len(await store.claim(make.request())) == 1
    assert await store.promote("sms", NORMAL, now_ms=make.now_ms + 5_000, limit=10) == 1
    (row,) = await store.claim(make.request())
    assert (row.attempts, row.due_ms) == (1, make.now_ms + 5_000)


async def test_giving_back_what_is_not_held_changes_nothing(store: Store, make: Any) -> None:
    await store.accept([make.message()])
    rows = await store.claim(make.request())
    await store.give_back(rows)
    (second,) = await store.claim(make.request())

    await store.give_back(rows)

    assert await store.claim(make.request()) == []
    assert await store.commit([make.result(second)]) == [None]


async def test_rows_past_their_time_are_claimed_to_be_ended(store: Store, make: Any) -> None:
    await store.accept([make.message(life=life) for life in (3.0, 1.0, 2.0, 60.0)])
    await store.accept([make.message(life=1.0, start_in=0.5), make.message(life=1.0, pin="acme")])

    rows = await store.claim_expired(now_ms=make.now_ms + 2_500, limit=10)

    assert len(rows) == 4
    assert {row.taker for row in rows} == {""}
    assert await store.claim_expired(now_ms=make.now_ms + 2_500, limit=10) == []
    ended = [make.result(row, state=State.EXPIRED, attempts=[]) for row in rows]
    assert await store.commit(ended) == [None] * 4
    assert len(await store.claim(make.request())) == 2


async def test_earliest_to_expire_come_first(store: Store, make: Any, ids: Any) -> None:
    messages = [make.message(life=life) for life in (3.0, 1.0, 2.0)]
    await store.accept(messages)

    rows = await store.claim_expired(now_ms=make.now_ms + 9_000, limit=2)

    assert set(ids(rows)) == {messages[1].id, messages[2].id}


async def test_claimed_row_does_not_expire_under_its_worker(store: Store, make: Any) -> None:
    await store.accept([make.message(life=1.0)])
    (row,) = await store.claim(make.request())

    assert await store.claim_expired(now_ms=make.now_ms + 2_000, limit=10) == []
    assert await store.commit([make.result(row)]) == [None]


async def test_claims_of_a_dead_process_are_taken_over(
    open_store: Any, make: Any, die: Any
) -> None:
    dead, heir = await open_store("n1"), await open_store("n2")
    await dead.accept(make.messages(3))
    rows = await dead.claim(make.request(2, provider="acme"))
    own = await heir.claim(make.request(1, provider="other"))
    await die(dead)

    orphans = await heir.claim_orphans(limit=10)

    assert {row.case.id for row in orphans} == {row.case.id for row in rows}
    assert {(row.epoch, row.attempts, row.taker) for row in orphans} == {(1, 1, "acme")}
    assert {row.case.live[0].claimed for row in orphans} == {True}
    assert await heir.claim_orphans(limit=10) == []
    assert await dead.commit([make.result(rows[0])]) == [Staleness.EPOCH]
    assert await heir.commit([make.result(row) for row in [*orphans, *own]]) == [None] * 3


async def test_orphans_are_taken_over_a_few_at_a_time(open_store: Any, make: Any, die: Any) -> None:
    dead, heir = await open_store("n1"), await open_store("n2")
    await dead.accept(make.messages(5))
    await dead.claim(make.request(5))
    await die(dead)

    counts = [len(await heir.claim_orphans(limit=2)) for _ in range(4)]

    assert counts == [2, 2, 1, 0]


async def test_process_without_claims_leaves_no_orphans(
    open_store: Any, make: Any, die: Any
) -> None:
    first, second = await open_store("n1"), await open_store("n2")
    await first.accept(make.messages(3))
    await first.give_back(await first.claim(make.request(2)))
    await die(first)

    assert await second.claim_orphans(limit=10) == []

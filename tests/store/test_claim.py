"""Who is sent next: priorities, fairness, pins, and what a worker may not take."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.model.case import Claimed
from gateway.model.message import Priority
from gateway.model.state import Outcome, State
from gateway.store.base import Store

CRITICAL, HIGH, NORMAL, BULK = Priority


async def drain(store: Store, make: Any, step: int = 1) -> list[Claimed]:
    """Everything in lane `sms`, claimed a few at a time."""
    rows: list[Claimed] = []
    while found := await store.claim(make.request(step)):
        rows += found
    return rows


def tenants(rows: Sequence[Claimed]) -> list[str]:
    return [row.case.tenant for row in rows]


async def test_claim_tells_all_that_a_decision_needs(store: Store, make: Any) -> None:
    message = make.message(metadata={"a": 1}, life=60.0, weight=2.0, once=True)
    await store.accept([message])

    (row,) = await store.claim(make.request())

    assert (row.case.id, row.case.tenant, row.case.version) == (message.id, "billing", 0)
    assert (row.case.state, row.case.ending, row.case.redrive) == (State.QUEUED, None, 0)
    assert row.case.created_ms == row.due_ms == make.now_ms
    assert row.case.expires_ms == make.now_ms + 60_000
    assert row.case.message.metadata == {"a": 1}
    assert (row.step, row.part, row.lane, row.pin, row.priority) == (0, 0, "sms", "", NORMAL)
    assert (row.attempts, row.epoch, row.units, row.once, row.weight) == (1, 1, 1, True, 2.0)
    assert not row.case.attempts
    assert not row.case.receipts


async def test_claimed_row_is_claimed_once(store: Store, make: Any) -> None:
    await store.accept(make.messages(3))

    first = await store.claim(make.request(2))
    second = await store.claim(make.request(2))
    third = await store.claim(make.request(2))

    assert (len(first), len(second), len(third)) == (2, 1, 0)


async def test_urgent_messages_come_first(store: Store, make: Any) -> None:
    for priority in (BULK, NORMAL, CRITICAL, HIGH):
        await store.accept(make.messages(2, priority=priority))

    rows = await drain(store, make, 3)

    assert [row.priority for row in rows] == [0, 0, 1, 1, 2, 2, 3, 3]


async def test_messages_of_one_flow_keep_their_order(store: Store, make: Any, ids: Any) -> None:
    messages = make.messages(20)
    for one in messages:
        await store.accept([one])

    assert ids(await drain(store, make, 7)) == [one.id for one in messages]


async def test_small_tenant_does_not_wait_for_a_large_one(store: Store, make: Any) -> None:
    await store.accept(make.messages(1000, tenant="large"))
    await store.claim(make.request(100))
    await store.accept(make.messages(10, tenant="small"))

    rows = await store.claim(make.request(21))

    assert Counter(tenants(rows))["small"] == 10


async def test_lane_is_shared_by_weight(store: Store, make: Any) -> None:
    await store.accept(make.messages(400, tenant="one", weight=1.0))
    await store.accept(make.messages(400, tenant="three", weight=3.0))

    shares = Counter(tenants(await store.claim(make.request(200))))

    assert shares["three"] == pytest.approx(150, abs=2)


async def test_idle_tenant_saves_up_no_turns(store: Store, make: Any) -> None:
    await store.accept(make.messages(300, tenant="busy"))
    await store.accept(make.messages(1, tenant="late"))
    await drain(store, make, 100)
    await store.accept(make.messages(100, tenant="busy"))
    await store.accept(make.messages(100, tenant="late"))

    shares = Counter(tenants(await store.claim(make.request(100))))

    assert shares["busy"] == pytest.approx(50, abs=2)


async def test_expired_rows_far_back_do_not_turn_the_clock(store: Store, make: Any) -> None:
    await store.accept(make.messages(500, tenant="large"))
    await store.accept(make.messages(10, tenant="large", life=1.0))
    await store.claim_expired(now_ms=make.now_ms + 2_000, limit=100)
    await store.accept(make.messages(5, tenant="small"))

    rows = await store.claim(make.request(12))

    assert Counter(tenants(rows))["small"] == 5


async def test_lanes_are_apart(store: Store, make: Any) -> None:
    await store.accept([make.message(lane="sms"), make.message(lane="email")])

    rows = await store.claim(make.request(lane="email"))

    assert [row.lane for row in rows] == ["email"]


async def test_pinned_rows_are_for_their_provider_alone(store: Store, make: Any) -> None:
    await store.accept([make.message(pin="acme"), make.message(), make.message(pin="other")])

    ours = await store.claim(make.request(provider="acme", pinned_only=True))
    rest = await store.claim(make.request(provider="acme"))
    theirs = await store.claim(make.request(provider="other"))

    assert [row.pin for row in ours] == ["acme"]
    assert [row.pin for row in rest] == [""]
    assert [row.pin for row in theirs] == ["other"]


async def test_pinned_and_free_rows_are_merged_by_rank(store: Store, make: Any, ids: Any) -> None:
    messages = [make.message(pin=pin) for pin in ("", "acme", "", "acme", "acme", "")]
    urgent = make.message(pin="acme", priority=CRITICAL)
    for one in [*messages, urgent]:
        await store.accept([one])

    rows = await store.claim(make.request(5))

    assert ids(rows) == [urgent.id, *(one.id for one in messages[:4])]


async def test_lane_is_left_to_those_before_until_its_head_is_old(store: Store, make: Any) -> None:
    await store.accept(make.messages(2))
    await store.accept([make.message(pin="acme")])

    early = await store.claim(make.request(head_due_by_ms=make.now_ms - 1))
    late = await store.claim(make.request(head_due_by_ms=make.now_ms))

    assert [row.pin for row in early] == ["acme"]
    assert len(late) == 2


async def test_priorities_from_a_number_on_or_up_to_one(store: Store, make: Any) -> None:
    for priority in Priority:
        await store.accept(make.messages(2, priority=priority))

    low = await store.claim(make.request(3, lowest=2))
    urgent = await store.claim(make.request(9, highest=0))

    assert [row.priority for row in low] == [NORMAL, NORMAL, BULK]
    assert [row.priority for row in urgent] == [CRITICAL, CRITICAL]


async def test_rows_to_be_sent_once_are_left_unless_they_can_start(
    store: Store, make: Any, ids: Any
) -> None:
    messages = [make.message(once=once) for once in (True, False, False, True, False)]
    for one in messages:
        await store.accept([one])

    rows = await store.claim(make.request(5, startable=1))
    rest = await store.claim(make.request(5, startable=0))
    then = await store.claim(make.request(5, startable=1))

    assert ids(rows) == [one.id for one in messages[:3]]
    assert rest == []
    assert ids(then) == [one.id for one in messages[3:]]


async def test_parts_of_a_step_are_claimed_together(store: Store, make: Any) -> None:
    await store.accept([make.message(parts=3)])

    rows = await store.claim(make.request())

    assert [row.part for row in rows] == [0, 1, 2]


async def test_rows_that_wait_for_their_time_are_not_claimed(store: Store, make: Any) -> None:
    await store.accept([make.message(start_in=60.0)])

    assert await store.claim(make.request()) == []


async def test_pins_are_served_each_as_much_as_is_wanted(store: Store, make: Any) -> None:
    for pin, count in (("a", 5), ("b", 1), ("c", 3)):
        await store.accept(make.messages(count, lane="webhook", pin=pin, flow=pin))

    rows = await store.claim_pinned("webhook", {"a": 2, "b": 4, "d": 1})

    assert Counter(row.pin for row in rows) == {"a": 2, "b": 1}
    assert {(row.attempts, row.epoch) for row in rows} == {(1, 1)}
    assert await store.ready_pins("webhook") == ["a", "c"]
    assert await store.claim_pinned("webhook", {}) == []


async def test_pins_are_served_oldest_first(store: Store, make: Any, ids: Any) -> None:
    messages = make.messages(6, lane="webhook", pin="a", flow="a")
    for one in messages:
        await store.accept([one])

    rows = await store.claim_pinned("webhook", {"a": 4})

    assert ids(rows) == [one.id for one in messages[:4]]


async def test_ready_pins_leave_out_other_lanes_and_waiting_rows(store: Store, make: Any) -> None:
    await store.accept(make.messages(3, lane="webhook", pin="a"))
    await store.accept([make.message(lane="webhook", pin="later", start_in=9.0)])
    await store.accept([make.message(lane="sms", pin="acme"), make.message(lane="webhook")])

    assert await store.ready_pins("webhook") == ["a"]
    assert await store.ready_pins("email") == []


async def test_kept_rows_are_let_go(store: Store, make: Any) -> None:
    await store.accept(make.messages(5, pin="acme"))
    await store.accept([make.message(pin="acme", lane="email"), make.message(pin="other")])

    first = await store.unpin("sms", "acme", limit=3)
    second = await store.unpin("sms", "acme", limit=3)

    rows = await store.claim(make.request(provider="third"))
    assert (first, second, len(rows)) == (3, 2, 5)


async def test_rows_of_providers_that_are_gone_are_let_go(store: Store, make: Any) -> None:
    await store.accept([make.message(pin=pin) for pin in ("acme", "gone", "gone2")])
    await store.accept([make.message(lane="webhook", pin="endpoint")])

    await store.unpin_strangers(["acme", "other"])

    assert len(await store.claim(make.request(provider="other"))) == 2
    assert await store.ready_pins("webhook") == ["endpoint"]


async def test_evidence_is_part_of_a_later_claim(store: Store, make: Any) -> None:
    await store.accept([make.message()])
    (row,) = await store.claim(make.request())
    again = make.row(row.case, attempts=row.attempts, epoch=row.epoch, retry=True)
    await store.commit([make.result(row, Outcome.DEFERRED, state=State.QUEUED, put=[again])])

    (row,) = await store.claim(make.request())

    assert [(one.number, one.outcome) for one in row.case.attempts] == [(1, "deferred")]
    assert (row.attempts, row.epoch, row.case.version) == (2, 2, 1)

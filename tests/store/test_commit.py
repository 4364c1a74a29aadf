"""Transitions are written whole, and only while what they rest on still holds."""

from typing import Any

from gateway.model.case import EventRecord, Guard, ReceiptRecord, Reference
from gateway.model.message import MessageId
from gateway.model.state import Outcome, ReceiptEvidence, State
from gateway.model.values import replace
from gateway.model.wire import ReceiptEvent
from gateway.store.base import Named, Staleness, Store, Stored


async def case_of(store: Store, message: MessageId) -> Any:
    return (await store.cases([message]))[message]


async def test_transition_changes_everything_at_once(store: Store, make: Any) -> None:
    message, webhook = make.message(parts=2), make.message(lane="webhook", pin="e", internal=True)
    await store.accept([message])
    first, second = await store.claim(make.request())
    named = Reference(provider="acme", reference="SM1", redrive=0, step=0, part=0, number=1)
    event = EventRecord(at_ms=make.now_ms, event="fallback", channel="email", detail="why")

    verdicts = await store.commit(
        [make.result(first, references=[named], events=[event], webhooks=[webhook])]
    )

    case = await case_of(store, message.id)
    assert verdicts == [None]
    assert (case.state, case.version, case.redrive) == (State.SENT, 1, 0)
    assert [(row.part, row.claimed) for row in case.live] == [(second.part, True)]
    assert [(one.part, one.number, one.provider) for one in case.attempts] == [(0, 1, "acme")]
    (found,) = await store.find_attempts(
        [Named(provider="acme", reference="SM1", parked={})], now_ms=make.now_ms
    )
    assert found is not None
    assert (found.message, found.number) == (message.id, 1)
    assert await store.ready_pins("webhook") == ["e"]
    seen = await store.read("billing", message.id)
    assert seen is not None
    assert [one.event for one in seen.timeline] == ["accepted", "attempt.accepted", "fallback"]


async def test_refused_transition_leaves_no_trace(store: Store, make: Any) -> None:
    message, webhook = make.message(), make.message(lane="webhook", pin="e", internal=True)
    await store.accept([message])
    (row,) = await store.claim(make.request())
    await store.commit([make.transition(row.case)])
    event = EventRecord(at_ms=make.now_ms, event="fallback")
    before = await case_of(store, message.id)

    verdicts = await store.commit([make.result(row, events=[event], webhooks=[webhook])])

    assert verdicts == [Staleness.VERSION]
    assert await case_of(store, message.id) == before
    assert await store.ready_pins("webhook") == []
    seen = await store.read("billing", message.id)
    assert seen is not None
    assert [one.event for one in seen.timeline] == ["accepted"]


async def test_claim_that_was_given_back_is_no_longer_ours(store: Store, make: Any) -> None:
    await store.accept([make.message()])
    (row,) = await store.claim(make.request())
    await store.give_back([row])
    free = await store.commit([make.result(row)])
    await store.claim(make.request())

    claimed_again = await store.commit([make.result(row)])

    assert free == claimed_again == [Staleness.EPOCH]


async def test_claim_of_another_process_is_not_ours(open_store: Any, make: Any) -> None:
    one, other = await open_store("n1"), await open_store("n2")
    await one.accept([make.message()])
    (row,) = await one.claim(make.request())

    assert await other.commit([make.result(row)]) == [Staleness.EPOCH]
    assert await one.commit([make.result(row)]) == [None]


async def test_lost_claim_is_told_before_an_old_version(store: Store, make: Any) -> None:
    await store.accept([make.message()])
    (row,) = await store.claim(make.request())
    await store.commit([make.result(row)])

    assert await store.commit([make.result(row)]) == [Staleness.EPOCH]


async def test_of_two_transitions_of_one_message_the_first_is_written(
    store: Store, make: Any
) -> None:
    await store.accept([make.message(parts=2), make.message()])
    first, second, other = await store.claim(make.request())

    verdicts = await store.commit([make.result(row) for row in (first, second, other)])

    assert verdicts == [None, Staleness.VERSION, None]
    case = await case_of(store, first.case.id)
    assert [one.part for one in case.attempts] == [first.part]


async def test_transition_of_a_message_that_is_gone(store: Store, make: Any) -> None:
    await store.accept([make.message()])
    (row,) = await store.claim(make.request())
    gone = replace(make.transition(row.case), message=make.id())

    assert await store.commit([gone]) == [Staleness.VERSION]


async def test_row_that_has_been_claimed_meanwhile_is_not_dropped(store: Store, make: Any) -> None:
    message = make.message()
    await store.accept([message])
    before = await case_of(store, message.id)
    (row,) = await store.claim(make.request())

    cancelled = make.transition(
        before, state=State.CANCELLED, ending=State.CANCELLED, drop=[(0, 0)]
    )

    assert await store.commit([cancelled]) == [Staleness.VERSION]
    assert await store.commit([make.result(row)]) == [None]


async def test_row_that_has_been_claimed_meanwhile_is_not_replaced(store: Store, make: Any) -> None:
    message = make.message()
    await store.accept([message])
    before = await case_of(store, message.id)
    (row,) = await store.claim(make.request())

    verdicts = await store.commit([make.transition(before, put=[make.row(before)])])

    assert verdicts == [Staleness.VERSION]
    assert await store.claim(make.request()) == []
    assert await store.commit([make.result(row)]) == [None]


async def test_sibling_claimed_in_the_same_batch_is_not_dropped(store: Store, make: Any) -> None:
    await store.accept([make.message(parts=2)])
    first, second = await store.claim(make.request())

    verdicts = await store.commit([make.result(first, drop=[(0, second.part)])])

    assert verdicts == [Staleness.VERSION]


async def test_row_that_is_free_can_be_dropped_and_replaced(store: Store, make: Any) -> None:
    await store.accept([make.message(steps=2), make.message(parts=2, lane="push")])
    (row,) = await store.claim(make.request())
    (_, other) = await store.claim(make.request(lane="push"))
    await store.give_back([other])
    case = await case_of(store, other.case.id)

    verdicts = await store.commit(
        [
            make.result(row, put=[make.row(row.case, step=1)]),
            make.transition(case, drop=[(0, 1)]),
        ]
    )

    assert verdicts == [None, None]
    assert [one.step for one in (await case_of(store, row.case.id)).live] == [1]
    assert [one.part for one in (await case_of(store, other.case.id)).live] == [0]


async def test_retry_keeps_its_row_and_counts_on(store: Store, make: Any) -> None:
    await store.accept([make.message()])
    (row,) = await store.claim(make.request())
    later = make.row(
        row.case, due_ms=make.now_ms + 5_000, attempts=row.attempts, epoch=row.epoch, retry=True
    )

    await store.commit([make.result(row, Outcome.DEFERRED, state=State.QUEUED, put=[later])])

    assert await store.claim(make.request()) == []
    await store.promote("sms", 2, now_ms=make.now_ms + 5_000, limit=10)
    (again,) = await store.claim(make.request())
    assert (again.attempts, again.epoch) == (2, 2)


async def test_repeated_receipt_is_kept_once(store: Store, make: Any) -> None:
    message = make.message()
    await store.accept([message])
    evidence = ReceiptEvidence(0, 0, 0, None, "acme", ReceiptEvent.DELIVERED)
    record = ReceiptRecord(evidence=evidence, at_ms=make.now_ms)

    for _ in range(2):
        case = await case_of(store, message.id)
        await store.commit([make.transition(case, receipts=[record], state=State.DELIVERED)])

    case = await case_of(store, message.id)
    assert case.receipts == [evidence]
    assert case.version == 2


async def test_receipts_of_segments_are_kept_apart(store: Store, make: Any) -> None:
    message = make.message()
    await store.accept([message])
    (row,) = await store.claim(make.request())
    result = make.result(row)
    evidence = replace(result.attempts[0].evidence, segments=2)
    await store.commit([replace(result, attempts=[replace(result.attempts[0], evidence=evidence)])])
    reports = [
        ReceiptEvidence(0, 0, 0, 1, "acme", ReceiptEvent.DELIVERED, segment)
        for segment in ("", "s1", "s2")
    ]

    for report in [*reports, *reports]:
        case = await case_of(store, message.id)
        record = ReceiptRecord(evidence=report, at_ms=make.now_ms)
        await store.commit([make.transition(case, receipts=[record])])

    case = await case_of(store, message.id)
    assert case.attempts == [evidence]
    assert sorted(case.receipts, key=lambda one: one.segment) == reports


async def test_attempt_without_a_number_and_texts_of_providers_survive(
    store: Store, make: Any
) -> None:
    message = make.message()
    await store.accept([message])
    (row,) = await store.claim(make.request())
    result = make.result(row)
    nasty = replace(result.attempts[0], detail="a\x00b'\"\\ 🎉\u2028", code="\x00")

    await store.commit([replace(result, attempts=[nasty])])

    found = await store.read("billing", message.id)
    assert found is not None
    assert found.timeline[-1].detail == "\x00: a\x00b'\"\\ 🎉\u2028"


async def test_redrive_and_expiry_are_written(store: Store, make: Any) -> None:
    message = make.message()
    await store.accept([message])
    (row,) = await store.claim(make.request())
    await store.commit([make.result(row, Outcome.REJECTED, ending=State.FAILED)])
    case = await case_of(store, message.id)

    await store.commit(
        [
            make.transition(
                case, redrive=1, ending=None, state=State.QUEUED, expires_ms=7, put=[make.row(case)]
            )
        ]
    )

    case = await case_of(store, message.id)
    assert (case.redrive, case.ending, case.expires_ms) == (1, None, 7)


async def test_guard_without_a_row_to_keep_ends_the_claim(store: Store, make: Any) -> None:
    await store.accept([make.message()])
    (row,) = await store.claim(make.request())
    guard = Guard(step=row.step, part=row.part, epoch=row.epoch)

    await store.commit([make.transition(row.case, state=State.FAILED, guard=guard)])

    assert await store.depths() == {}
    assert (await case_of(store, row.case.id)).live == []


async def test_webhooks_are_messages_of_their_own(store: Store, make: Any) -> None:
    await store.accept([make.message()])
    (row,) = await store.claim(make.request())
    webhook = make.message(lane="webhook", pin="e", internal=True)

    await store.commit([make.result(row, webhooks=[webhook])])

    (claimed,) = await store.claim_pinned("webhook", {"e": 5})
    assert claimed.case.id == webhook.id
    assert claimed.case.internal
    assert await store.read("billing", webhook.id) is None
    assert isinstance((await store.accept([make.message()]))[0], Stored)

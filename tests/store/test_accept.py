"""Storing messages once, whoever asks and how often."""

import asyncio
from typing import Any

import pytest

from gateway.model.case import DedupeKey, EventRecord, NewMessage, ReplaceKey
from gateway.model.state import Outcome, State
from gateway.model.values import replace
from gateway.model.view import MessageFilter
from gateway.store.base import Existing, KeyTaken, Store, Stored


async def stored_ids(store: Store, tenant: str = "billing") -> list[str]:
    page = await store.list(tenant, MessageFilter(limit=200))
    return [one.id for one in page.messages]


async def test_message_is_on_disk_when_accept_returns(open_store: Any, make: Any) -> None:
    store = await open_store()
    message = make.message(metadata={"order": "A17", "nul": "a\x00b", "emoji": "🎉"})

    accepted = await store.accept([message])

    other = await open_store("n2")
    found = await other.read("billing", message.id)
    assert accepted == [Stored(id=message.id, state=State.QUEUED)]
    assert found is not None
    assert found.metadata == {"order": "A17", "nul": "a\x00b", "emoji": "🎉"}


async def test_same_key_gives_the_same_message(store: Store, make: Any) -> None:
    first, again = make.messages(2, key="k")
    await store.accept([first])

    accepted = await store.accept([again])

    assert accepted == [Existing(id=first.id, state=State.QUEUED, by_key=True)]
    assert await stored_ids(store) == [first.id]


async def test_same_key_in_one_batch_gives_the_same_message(store: Store, make: Any) -> None:
    first, again = make.messages(2, key="k")
    other = make.message(key="k2")

    accepted = await store.accept([first, again, other])

    assert accepted[0] == Stored(id=first.id, state=State.QUEUED)
    assert accepted[1] == Existing(id=first.id, state=State.QUEUED, by_key=True)
    assert accepted[2] == Stored(id=other.id, state=State.QUEUED)
    assert sorted(await stored_ids(store)) == sorted([first.id, other.id])


async def test_key_that_holds_for_all_tenants_stores_the_shadow_of_a_duplicate(
    store: Store, make: Any
) -> None:
    def shared(one: NewMessage) -> NewMessage:
        ended = replace(one, rows=(), state=State.SUPPRESSED, ending=State.SUPPRESSED, dedupe=None)
        return replace(one, dedupe=DedupeKey(key="k", until_ms=2**53, shadow=ended))

    first, second = shared(make.message()), shared(make.message(tenant="shop"))
    third, own = shared(make.message(tenant="shop")), make.message(tenant="shop", dedupe="k")

    accepted = [*await store.accept([first]), *await store.accept([second, third, own])]

    assert accepted == [
        Stored(id=first.id, state=State.QUEUED),
        Stored(id=second.id, state=State.SUPPRESSED),
        Stored(id=third.id, state=State.SUPPRESSED),
        Stored(id=own.id, state=State.QUEUED),
    ]
    assert sorted(await stored_ids(store, "shop")) == sorted([second.id, third.id, own.id])


async def test_last_message_is_the_latest_word(store: Store, make: Any) -> None:
    word = ReplaceKey(key="order\x00-17", until_ms=2**53)
    first, second, third = (replace(one, replaces=word) for one in make.messages(3))
    other = replace(make.message(tenant="shop"), replaces=word)

    await store.accept([first, other])
    before = await store.latest([("billing", word.key), ("billing", "order-18")])
    await store.accept([second, third])

    assert before == {("billing", word.key): first.id}
    assert await store.latest([("billing", word.key)]) == {("billing", word.key): third.id}
    assert await store.latest([("shop", word.key)]) == {("shop", word.key): other.id}


async def test_latest_word_is_the_one_that_was_stored_last_whichever_clock_is_slow(
    store: Store, make: Any
) -> None:
    word = ReplaceKey(key="order-17", until_ms=2**53)
    first, second = (replace(one, replaces=word) for one in make.messages(2))
    second = replace(second, created_ms=first.created_ms - 50)

    await store.accept([first])
    await store.accept([second])

    assert await store.latest([("billing", word.key)]) == {("billing", word.key): second.id}


async def test_repeated_request_is_not_a_later_word(store: Store, make: Any) -> None:
    word = ReplaceKey(key="order-17", until_ms=2**53)
    first, second, again = (
        replace(one, replaces=word)
        for one in (*make.messages(1, key="k"), make.message(), *make.messages(1, key="k"))
    )

    await store.accept([first])
    await store.accept([second])
    await store.accept([again])

    assert await store.latest([("billing", word.key)]) == {("billing", word.key): second.id}


async def test_words_that_nobody_waits_to_say_are_forgotten(store: Store, make: Any) -> None:
    now_ms = make.message().created_ms
    old, new = (
        replace(one, replaces=ReplaceKey(key=key, until_ms=until_ms))
        for one, key, until_ms in zip(
            make.messages(2), ("a", "b"), (now_ms, now_ms + 1), strict=True
        )
    )
    await store.accept([old, new])

    await store.purge(before_ms=0, parked_before_ms=0, now_ms=now_ms, limit=10)

    assert await store.latest([("billing", "a"), ("billing", "b")]) == {("billing", "b"): new.id}


async def test_key_with_another_body_is_taken(store: Store, make: Any) -> None:
    first, other = make.message(key="k"), make.message(key="k", fingerprint="other")

    accepted = [*await store.accept([first]), *await store.accept([other])]
    together = await store.accept([make.message(key="j"), make.message(key="j", fingerprint="o")])

    assert accepted[1] == KeyTaken()
    assert together[1] == KeyTaken()


async def test_concurrent_requests_of_one_key_make_one_message(store: Store, make: Any) -> None:
    messages = make.messages(50, key="k")

    accepted = await asyncio.gather(*(store.accept([one]) for one in messages))

    assert len({verdict.id for (verdict,) in accepted if not isinstance(verdict, KeyTaken)}) == 1
    assert len(await stored_ids(store)) == 1


async def test_key_belongs_to_its_tenant(store: Store, make: Any) -> None:
    ours, theirs = make.message(key="k", dedupe="d"), make.message(tenant="x", key="k", dedupe="d")

    accepted = await store.accept([ours, theirs])

    assert [type(one) for one in accepted] == [Stored, Stored]


async def test_key_is_free_again_when_its_time_is_over(store: Store, make: Any) -> None:
    await store.accept([make.message(key="k")])
    make.now_ms += 86_400_000
    later = make.message(key="k", fingerprint="other")

    assert await store.accept([later]) == [Stored(id=later.id, state=State.QUEUED)]


async def test_keys_may_hold_any_character(store: Store, make: Any) -> None:
    keys = ["a\x00b", "a\x00c", "a", "🎉", "'; --"]

    accepted = await store.accept([make.message(key=key, dedupe=key) for key in keys])
    again = await store.accept([make.message(key=key) for key in keys])

    assert {type(one) for one in accepted} == {Stored}
    assert [one.id for one in again] == [one.id for one in accepted]  # type: ignore[union-attr]


async def test_duplicate_within_the_window_is_not_stored(store: Store, make: Any) -> None:
    first, again = make.messages(2, dedupe="d")

    accepted = await store.accept([first, again])
    make.now_ms += 59_999
    later = await store.accept([make.message(dedupe="d")])

    assert accepted[1] == Existing(id=first.id, state=State.QUEUED, by_key=False)
    assert later == [Existing(id=first.id, state=State.QUEUED, by_key=False)]


async def test_window_ends(store: Store, make: Any) -> None:
    await store.accept([make.message(dedupe="d")])
    make.now_ms += 60_000
    later = make.message(dedupe="d")

    assert await store.accept([later]) == [Stored(id=later.id, state=State.QUEUED)]


async def test_window_runs_from_the_message_that_was_stored(store: Store, make: Any) -> None:
    await store.accept([make.message(dedupe="d")])
    make.now_ms += 40_000
    await store.accept([make.message(dedupe="d")])
    make.now_ms += 30_000
    later = make.message(dedupe="d")

    assert await store.accept([later]) == [Stored(id=later.id, state=State.QUEUED)]


async def test_duplicate_s_key_keeps_naming_the_message_it_repeats(store: Store, make: Any) -> None:
    first, duplicate = make.message(dedupe="d"), make.message(dedupe="d", key="k")
    await store.accept([first])
    await store.accept([duplicate])
    make.now_ms += 3_600_000

    repeated = await store.accept([make.message(dedupe="d", key="k")])
    other = await store.accept([make.message(key="k", fingerprint="other")])

    assert repeated == [Existing(id=first.id, state=State.QUEUED, by_key=True)]
    assert other == [KeyTaken()]


async def test_duplicate_s_key_counts_within_the_batch(store: Store, make: Any) -> None:
    first, duplicate = make.message(dedupe="d"), make.message(dedupe="d", key="k")

    accepted = await store.accept([first, duplicate, make.message(key="k")])

    assert accepted[2] == Existing(id=first.id, state=State.QUEUED, by_key=True)


async def test_failure_frees_the_window(store: Store, make: Any) -> None:
    await store.accept([make.message(dedupe="d")])
    (row,) = await store.claim(make.request())

    await store.commit([make.result(row, Outcome.REJECTED, free_dedupe=True)])
    later = make.message(dedupe="d")

    assert await store.accept([later]) == [Stored(id=later.id, state=State.QUEUED)]


async def test_existing_message_is_told_with_its_state_of_now(store: Store, make: Any) -> None:
    await store.accept([make.message(key="k", dedupe="d")])
    (row,) = await store.claim(make.request())
    await store.commit([make.result(row)])

    accepted = await store.accept([make.message(key="k"), make.message(dedupe="d")])

    assert [one.state for one in accepted] == ["sent", "sent"]  # type: ignore[union-attr]


async def test_suppressed_message_is_kept_without_work(store: Store, make: Any) -> None:
    event = EventRecord(at_ms=make.now_ms, event="suppressed", detail="bounced")
    message = replace(
        make.message(state=State.SUPPRESSED), ending=State.SUPPRESSED, events=(event,)
    )

    await store.accept([message])

    found = await store.read("billing", message.id)
    assert found is not None
    assert found.state is State.SUPPRESSED
    assert [one.event for one in found.timeline] == ["accepted", "suppressed"]
    assert await store.depths() == {}


@pytest.mark.parametrize("count", [1, 1000])
async def test_batches_of_any_size(store: Store, make: Any, count: int) -> None:
    accepted = await store.accept(make.messages(count))

    assert len(accepted) == count
    assert await store.depths() == {("sms", "ready"): (count, make.now_ms)}

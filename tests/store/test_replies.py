"""What recipients wrote: stored once with all that it causes, and tied to what it answers."""

import asyncio
from typing import Any

import pytest

from gateway.model.case import Answer, Contact, Reference, Reply
from gateway.model.message import MessageId
from gateway.model.permission import Reason, Suppression
from gateway.model.state import Outcome
from gateway.model.values import replace
from gateway.store.base import Store

PHONE, EMAIL = ("sms", "hash1"), ("email", "hash2")
DAY_MS = 86_400_000


@pytest.fixture
def reply(make: Any) -> Reply:
    return Reply(
        provider="acme",
        key="k1",
        until_ms=make.now_ms + DAY_MS,
        at_ms=make.now_ms,
        address=PHONE,
    )


async def banned(store: Store) -> dict[str, str]:
    """Reasons by the account that must not write to the phone or the mailbox."""
    found = await store.suppressed([PHONE, EMAIL], now_ms=2)
    return {one.sender: one.detail for bans in found.values() for one in bans}


def contact(hash_: str = "hash1", provider: str = "acme") -> Contact:
    return Contact(provider=provider, hash=hash_)


async def sent(store: Store, make: Any, *contacts: Contact, name: str = "") -> MessageId:
    """A message that was for these."""
    await store.accept([make.message()])
    (row,) = await store.claim(make.request(1))
    names = [
        Reference(provider="acme", reference=name, redrive=0, step=0, part=0, number=1)
        for name in filter(None, [name])
    ]
    await store.commit([make.result(row, contacts=contacts, references=names)])
    return row.case.id


async def test_ban_is_for_the_account_that_brought_the_wish(store: Store, reply: Reply) -> None:
    first = await store.take_replies([replace(reply, ban="opted_out")])

    assert first == [True]
    assert await store.has_suppressions()
    assert await banned(store) == {"acme": "opted_out"}


async def test_bans_of_an_address_stand_side_by_side(store: Store, reply: Reply) -> None:
    await store.suppress(
        [
            Suppression(
                channel="sms",
                hash="hash1",
                reason=Reason.HARD_BOUNCE,
                detail="bounced",
                source="acme",
                at_ms=1,
            )
        ]
    )
    await store.take_replies(
        [
            replace(reply, ban="opted_out"),
            replace(reply, ban="opted_out", provider="other", key=""),
        ]
    )
    before = await banned(store)

    await store.take_replies([replace(reply, lifts=True, key="k2")])

    assert before == {"": "bounced", "acme": "opted_out", "other": "opted_out"}
    assert await banned(store) == {"": "bounced", "other": "opted_out"}
    assert await store.lift("", [PHONE]) == 2


async def test_wishes_of_one_call_take_effect_in_their_order(store: Store, reply: Reply) -> None:
    stop, start = replace(reply, ban="opted_out"), replace(reply, lifts=True, key="k2")

    await store.take_replies([stop, start])
    lifted = await banned(store)
    await store.take_replies([replace(start, key="k3"), replace(stop, key="k4")])

    assert lifted == {}
    assert await banned(store) == {"acme": "opted_out"}


async def test_of_a_second_copy_nothing_is_stored(store: Store, make: Any, reply: Reply) -> None:
    (hook, again) = make.messages(2, internal=True, endpoint="e", lane="webhook", pin="e")
    one = replace(reply, ban="opted_out", webhooks=[hook])
    await store.take_replies([one])
    await store.lift("", [PHONE])

    second = await store.take_replies([replace(one, webhooks=[again])])
    elsewhere = await store.take_replies([replace(reply, provider="other")])

    assert (second, elsewhere) == ([False], [True])
    assert await banned(store) == {}
    rows = await store.claim_pinned("webhook", {"e": 10})
    assert [row.case.id for row in rows] == [hook.id]


async def test_copies_in_one_call_count_once(store: Store, reply: Reply) -> None:
    assert await store.take_replies([reply, reply]) == [True, False]
    assert await store.take_replies([]) == []


async def test_what_has_no_key_is_always_new(store: Store, reply: Reply) -> None:
    one = replace(reply, key="")

    assert await store.take_replies([one, one]) == [True, True]


async def test_webhooks_are_ready_at_once(store: Store, make: Any, reply: Reply) -> None:
    hooks = make.messages(3, internal=True, endpoint="e", lane="webhook", pin="e")

    await store.take_replies([replace(reply, webhooks=hooks)])

    assert await store.ready_pins("webhook") == ["e"]
    rows = await store.claim_pinned("webhook", {"e": 10})
    assert {row.case.id for row in rows} == {one.id for one in hooks}


async def test_answer_is_stored_once_for_its_key(store: Store, make: Any, reply: Reply) -> None:
    own, again, copy, others = make.messages(4, pin="acme")
    until_ms = make.now_ms + DAY_MS

    def answered(message: Any, **changes: Any) -> Reply:
        answer = Answer(message=message, key="stop", until_ms=until_ms)
        return replace(reply, answer=answer, **changes)

    first = await store.take_replies([answered(own), answered(again, key="k2")])
    later = await store.take_replies([answered(copy)])
    elsewhere = await store.take_replies([answered(others, provider="other", key="")])

    assert (first, later, elsewhere) == ([True, True], [False], [True])
    stored = await store.cases([one.id for one in (own, again, copy, others)])
    assert set(stored) == {own.id, others.id}


async def test_latest_message_to_an_address_is_what_is_answered(store: Store, make: Any) -> None:
    await sent(store, make, contact())
    make.now_ms += 1000
    latest = await sent(store, make, contact(), contact("hash2"))
    other = await sent(store, make, contact(provider="other"))

    found = await store.find_answered(
        [
            (contact(), ""),
            (contact(), "unknown"),
            (contact("hash2"), ""),
            (contact(provider="other"), ""),
            (contact("nobody"), ""),
        ]
    )

    assert found == [latest, latest, latest, other, None]
    assert await store.find_answered([]) == []


async def test_earlier_result_that_is_written_late_does_not_take_over(
    store: Store, make: Any
) -> None:
    await store.accept(make.messages(2))
    first, second = await store.claim(make.request(2))
    late = make.result(first, contacts=[contact()])
    make.now_ms += 1000

    await store.commit([make.result(second, contacts=[contact()])])
    await store.commit([late])

    assert await store.find_answered([(contact(), "")]) == [second.case.id]


async def test_contacts_of_one_commit_may_be_the_same(store: Store, make: Any) -> None:
    await store.accept(make.messages(2))
    rows = await store.claim(make.request(2))
    early = make.result(rows[0], contacts=[contact()])
    make.now_ms += 1

    await store.commit([make.result(rows[1], contacts=[contact()]), early])

    assert await store.find_answered([(contact(), "")]) == [rows[1].case.id]


async def test_provider_s_name_goes_before_the_latest_message(store: Store, make: Any) -> None:
    named = await sent(store, make, contact(), name="SM\x001")
    make.now_ms += 1000
    await sent(store, make, contact())

    found = await store.find_answered([(contact(), "SM\x001"), (contact("nobody"), "SM\x001")])

    assert found == [named, named]


async def test_stale_result_leaves_no_contact(store: Store, make: Any) -> None:
    await store.accept([make.message()])
    (row,) = await store.claim(make.request(1))
    result = make.result(row, Outcome.ACCEPTED, contacts=[contact()])

    await store.commit([replace(result, version=7)])

    assert await store.find_answered([(contact(), "")]) == [None]


async def test_old_contacts_and_notes_are_purged_in_pieces(
    store: Store, make: Any, reply: Reply
) -> None:
    await sent(store, make, *[contact(f"h{number}") for number in range(5)])
    await store.take_replies([replace(reply, key=f"k{number}") for number in range(5)])
    make.now_ms += 2 * DAY_MS
    await sent(store, make, contact("young"))

    async def purge(limit: int) -> int:
        return await store.purge(
            before_ms=make.now_ms - DAY_MS, parked_before_ms=0, now_ms=make.now_ms, limit=limit
        )

    while await purge(2):
        pass

    people = [(contact(name), "") for name in ("h0", "h4", "young")]
    assert [one is not None for one in await store.find_answered(people)] == [False, False, True]
    again = [replace(reply, key=f"k{number}") for number in range(5)]
    assert await store.take_replies(again) == [True] * 5


async def test_two_nodes_take_a_message_once(open_store: Any, reply: Reply) -> None:
    ours, theirs = await open_store("n1"), await open_store("n2")
    one = replace(reply, ban="opted_out")

    found = await asyncio.gather(*(node.take_replies([one]) for node in (ours, theirs) * 4))

    assert sorted(found) == [[False]] * 7 + [[True]]

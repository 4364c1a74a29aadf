"""Recipients: kept in batches, found by address, their devices' deaths, and how they are erased."""

import asyncio
from typing import Any

import orjson
import pytest

from gateway.model import wire
from gateway.model.case import Contact
from gateway.model.message import Message, MessageId, Priority, Step, encode
from gateway.model.permission import Reason, Suppression
from gateway.model.recipient import PushDevice, Recipient, Upserted
from gateway.model.values import replace
from gateway.store.base import Store
from gateway.store.recipients import DeadDevice, Hashed, RecipientRow
from tests.store.conftest import Make

NEW, CHANGED, UNCHANGED = Upserted.NEW, Upserted.CHANGED, Upserted.UNCHANGED
LI = Recipient(id="李 雷", phone="+8613800138000", email="li@example.com", zone="Asia/Shanghai")
DEVICE = PushDevice(app="ios", token="t1")
HAN = Recipient(id="han", push=(DEVICE, PushDevice(app="ios", token="t2")))
HOOK = Step(
    channel=wire.Channel.WEBHOOK,
    lane="webhook",
    parts=(wire.Address(url="https://shop.example.com", endpoint="e"),),
)
DEAD = DeadDevice(hash="#ios:t1", device=replace(DEVICE, reason="gone", since_ms=7))
GONE = Suppression(
    channel="push",
    hash=DEAD.hash,
    reason=Reason.HARD_BOUNCE,
    detail=DEAD.device.reason,
    source="apns",
    at_ms=1,
)


def row(recipient: Recipient) -> RecipientRow:
    """With names of its addresses that can be read."""
    named = [("sms", recipient.phone), ("email", recipient.email)]
    addresses = [Hashed(channel, f"#{value}") for channel, value in named if value]
    addresses += [Hashed("push", f"#{one.app}:{one.token}", one.reason) for one in recipient.push]
    return RecipientRow(recipient=recipient, addresses=addresses)


async def put(store: Store, *recipients: Recipient, tenant: str = "shop", now_ms: int = 1) -> Any:
    return await store.upsert_recipients(tenant, [row(one) for one in recipients], now_ms=now_ms)


async def test_recipients_are_new_changed_or_as_they_were(store: Store) -> None:
    moved = replace(LI, zone="Europe/Paris")

    verdicts = [
        await put(store, LI, HAN, now_ms=1),
        await put(store, LI, HAN, now_ms=2),
        await put(store, moved, replace(HAN, id="new"), HAN, now_ms=3),
    ]

    assert verdicts == [[NEW, NEW], [UNCHANGED, UNCHANGED], [CHANGED, NEW, UNCHANGED]]
    kept = await store.recipients("shop", [LI.id, "han", "nobody"])
    assert {id_: (one.recipient, one.updated_ms) for id_, one in kept.items()} == {
        LI.id: (moved, 3),
        "han": (HAN, 1),
    }


async def test_tenants_do_not_see_each_other(store: Store) -> None:
    await put(store, LI, tenant="shop")

    assert await put(store, replace(LI, email=""), tenant="bank") == [NEW]

    assert (await store.recipients("shop", [LI.id]))[LI.id].recipient == LI
    assert await store.find_recipients("bank", [("email", "#li@example.com")]) == {}
    assert await store.list_recipients("other", after="", limit=9) == []


async def test_people_are_found_by_the_addresses_that_they_have_now(store: Store) -> None:
    await put(store, LI, replace(HAN, phone=LI.phone))
    await put(store, replace(LI, email="lei@example.com"))

    found = await store.find_recipients(
        "shop",
        [("sms", f"#{LI.phone}"), ("email", "#li@example.com"), ("email", "#lei@example.com")],
    )

    assert {name: sorted(ids) for name, ids in found.items()} == {
        ("sms", f"#{LI.phone}"): ["han", LI.id],
        ("email", "#lei@example.com"): [LI.id],
    }


async def test_pages_follow_each_other_by_id(store: Store) -> None:
    ids = ["a", "B", "é", "a b", "李"]
    await put(store, *(replace(LI, id=id_) for id_ in ids))

    first = await store.list_recipients("shop", after="", limit=3)
    rest = await store.list_recipients("shop", after=first[-1].recipient.id, limit=3)

    assert [one.recipient.id for one in [*first, *rest]] == sorted(ids)


async def test_a_dead_device_is_dead_for_all_who_have_it(store: Store) -> None:
    await put(store, HAN, tenant="shop")
    await put(store, replace(HAN, id="x"), tenant="bank")
    await put(store, LI)

    marked = [await store.mark_dead(DEAD, now_ms=9) for _ in range(2)]

    assert marked == [2, 0]
    kept = (await store.recipients("shop", ["han"]))["han"]
    assert kept.recipient.push == (DEAD.device, HAN.push[1])
    assert kept.recipient.devices == (HAN.push[1],)
    assert kept.updated_ms == 9


async def test_a_device_that_is_put_again_lives_and_is_not_banned(store: Store) -> None:
    await put(store, HAN)
    other = ("push", "#ios:t2")
    await store.suppress([GONE, replace(GONE, hash=other[1], detail="complained")])
    await store.mark_dead(DEAD, now_ms=2)

    verdict = await put(store, HAN)

    assert verdict == [CHANGED]
    assert (await store.recipients("shop", ["han"]))["han"].recipient == HAN
    assert set(await store.suppressed([("push", DEAD.hash), other], now_ms=2)) == {other}
    assert await store.mark_dead(DEAD, now_ms=3) == 1


async def test_a_ban_for_another_reason_outlives_the_device_s_return(store: Store) -> None:
    await put(store, HAN)
    by_hand = replace(GONE, reason=Reason.MANUAL, source="ops")
    await store.suppress([by_hand, GONE])
    await store.mark_dead(DEAD, now_ms=2)

    await put(store, HAN)

    ((left,),) = (await store.suppressed([("push", DEAD.hash)], now_ms=2)).values()
    assert left.reason is Reason.MANUAL


async def test_a_device_given_as_dead_stays_dead_and_banned(store: Store) -> None:
    await put(store, HAN)
    await store.suppress([GONE])
    await store.mark_dead(DEAD, now_ms=2)
    read = (await store.recipients("shop", ["han"]))["han"].recipient

    await put(store, replace(read, tier="gold"))

    assert (await store.recipients("shop", ["han"]))["han"].recipient.push == read.push
    assert await store.suppressed([("push", DEAD.hash)], now_ms=2)


async def test_erased_recipients_are_found_by_nothing(store: Store) -> None:
    await put(store, LI, HAN)

    erased = [await store.erase_recipient("shop", LI.id) for _ in range(2)]
    foreign = await store.erase_recipient("bank", "han")

    assert erased == [True, False]
    assert not foreign
    assert list(await store.recipients("shop", [LI.id, "han"])) == ["han"]
    assert await store.find_recipients("shop", [("sms", f"#{LI.phone}")]) == {}


async def test_two_processes_can_put_the_same_people(open_store: Any) -> None:
    ours, theirs = await open_store("n1"), await open_store("n2")
    people = [replace(LI, id=f"r{number}") for number in range(50)]
    changed = [replace(one, email=f"{one.id}@example.com") for one in people]

    await asyncio.gather(
        put(ours, *people),
        put(theirs, *reversed(changed)),
        put(ours, *changed),
        put(theirs, *people),
    )

    kept = await ours.recipients("shop", [one.id for one in people])
    for one in kept.values():
        wanted = [(address.channel, address.hash) for address in row(one.recipient).addresses]
        found = await ours.find_recipients("shop", wanted)
        assert all(one.recipient.id in found[name] for name in wanted)
    stale = [("email", f"#{one.email}") for one in [*people, *changed]]
    holders = {
        id_: name
        for name, ids in (await ours.find_recipients("shop", stale)).items()
        for id_ in ids
    }
    assert holders == {id_: ("email", f"#{one.recipient.email}") for id_, one in kept.items()}


@pytest.fixture
def held(make: Make) -> Any:
    return [
        replace(make.message(tenant="shop"), recipient="han"),
        replace(make.message(tenant="shop"), body='{"to":"LI@example.com 100%"}'),
        replace(make.message(tenant="bank"), body='{"to":"li@example.com"}', recipient="han"),
        replace(make.message(tenant="shop"), body='{"to":"mli@example-com"}'),
    ]


async def test_messages_are_found_by_whom_they_name(store: Store, held: Any) -> None:
    await store.accept(held)

    assert await store.messages_naming("shop", "han", limit=9) == [held[0].id]
    assert await store.messages_naming("bank", "han", limit=9) == [held[2].id]
    assert await store.messages_naming("shop", "nobody", limit=9) == []
    assert await store.messages_naming("shop", "han", after=held[0].id, limit=9) == []


@pytest.mark.parametrize("text", ["li@example.com", "100%", "M 100%"])
async def test_messages_are_found_by_what_they_hold(store: Store, held: Any, text: str) -> None:
    await store.accept(held)

    scanned = await store.messages_holding("shop", ["nobody@x", text], after="", limit=9)

    assert scanned.found == [held[1].id]
    assert scanned.cursor == ""


async def test_messages_are_looked_through_in_parts(store: Store, held: Any) -> None:
    await store.accept(held)
    found: list[MessageId] = []
    cursor, parts = "", 0

    while parts == 0 or cursor:
        scanned = await store.messages_holding("shop", ["example"], after=cursor, limit=3)
        found, cursor, parts = [*found, *scanned.found], scanned.cursor, parts + 1

    assert found == [held[1].id, held[3].id]
    assert parts == 2


async def test_reports_are_found_by_the_message_that_they_are_about(
    store: Store, make: Make
) -> None:
    one, other = (make.message(tenant="shop").id for _ in range(2))
    about = [
        ({"id": one}, "shop", True),
        ({"from": "li", "text": "hi", "answers": one}, "shop", True),
        ({"id": other}, "shop", True),
        ({"id": other, "text": f'{{"id":"{one}","answers":"{one}"'}, "shop", True),
        ({"id": one}, "bank", True),
        ({"id": one}, "shop", False),
    ]
    messages = [
        replace(
            make.message(tenant=tenant),
            internal=internal,
            body=encode(
                Message(
                    category="webhook",
                    priority=Priority.NORMAL,
                    chain=(HOOK,),
                    content={"text": orjson.dumps({"type": "t", "data": data}).decode()},
                )
            ),
        )
        for data, tenant, internal in about
    ]
    await store.accept(messages)

    scanned = await store.messages_holding("shop", [], about=[one], after="", limit=9)

    assert scanned.found == [messages[0].id, messages[1].id]


async def test_an_erased_message_keeps_its_history_and_no_words(store: Store, make: Make) -> None:
    message = replace(make.message(tenant="shop"), recipient="han")
    await store.accept([message])
    (claimed,) = await store.claim(make.request())
    contact = Contact(provider="acme", hash="#li")
    await store.commit([make.result(claimed, contacts=[contact])])
    body = orjson.loads(message.body)

    erased = orjson.dumps({**body, "erased": True}).decode()
    await store.erase_messages({message.id: erased}, hashes=["#li"], now_ms=9)

    case = (await store.cases([message.id]))[message.id]
    assert case.message.erased
    assert len(case.attempts) == 1
    shown = await store.read("shop", message.id)
    assert shown is not None
    assert [(one.event, one.detail) for one in shown.timeline if "." in one.event] == [
        ("attempt.accepted", "c")
    ]
    assert "erased" in [one.event for one in shown.timeline]
    assert await store.messages_naming("shop", "han", limit=9) == []
    assert await store.find_answered([(contact, "")]) == [None]
    await store.erase_messages({}, hashes=[], now_ms=9)


async def test_names_of_messages_go_when_the_messages_do(store: Store, make: Make) -> None:
    old = replace(make.message(tenant="shop"), recipient="han")
    await store.accept([old])
    make.now_ms += 10_000
    young = replace(make.message(tenant="shop"), recipient="han")
    await store.accept([young])

    await store.purge(
        before_ms=make.now_ms - 5_000, parked_before_ms=0, now_ms=make.now_ms, limit=100
    )

    assert await store.messages_naming("shop", "han", limit=9) == [young.id]

"""Recipients by name: whose addresses a message takes, which devices still live, and erasure."""

import asyncio
import json
from typing import Any

import pytest

from gateway.dispatch.webhooks import LEFT, Moved
from gateway.model import wire
from gateway.model.errors import InvalidMessage, NotFound, StateConflict, StoreUnavailable
from gateway.model.message import Whom
from gateway.model.recipient import Erased, PushDevice, Recipient, Upserted
from gateway.model.submission import Device, StepRequest, Submission, To
from gateway.model.values import replace
from gateway.model.wire import DeliveryReceipt, InboundMessage, ReceiptEvent
from tests.dispatch.conftest import MakeWorld
from tests.dispatch.world import World

PHONE, EMAIL = "+447700900000", "li@example.com"
T1, T2 = PushDevice(app="ios", token="t1"), PushDevice(app="ios", token="t2")
LI = Recipient(
    id="li",
    phone=PHONE,
    email=EMAIL,
    push=(T1, T2),
    locale="zh-CN",
    zone="Asia/Shanghai",
    quiet=(("22:00", "08:00"),),
    tier="gold",
    preferences={"service": ("email", "sms")},
)
NAMED = To(recipient="li")
HOOK = {"url": "https://good.example.com/h", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
GONE = wire.Rejected(code="Unregistered", scope=wire.Scope.RECIPIENT, suppress=True)


def first_is_gone(message: wire.Message, time: int) -> wire.AttemptResult:
    return GONE if message.to.token == "t1" else wire.Accepted(provider_id=message.reference)


def chain(*channels: str) -> tuple[StepRequest, ...]:
    return tuple(StepRequest(channel=one) for one in channels)


SMS, EMAIL_ONLY, PUSH = chain("sms"), chain("email"), chain("push")


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world(tenants={"billing": {"webhook": HOOK}})


#: UTC epoch milliseconds.
APPLE_SAW_MS, RENEWED_MS = 1_800_000_000_000, 1_800_000_000_001


async def put(world: World, *recipients: Recipient, tenant: str = "billing") -> Any:
    checked = [world.recipients.check(one) for one in recipients]
    return await world.recipients.put(world.caller(tenant), checked)


async def addresses(world: World, id_: str) -> list[list[str]]:
    """By step, where its parts go."""
    message = (await world.case(id_)).message
    return [[one.phone or one.email or one.token for one in step.parts] for step in message.chain]


# Addresses of messages


async def test_a_message_goes_to_the_addresses_of_whom_it_names(world: World) -> None:
    await put(world, LI)

    id_ = await world.post(to=NAMED, chain=chain("push", "sms", "email"))

    assert await addresses(world, id_) == [["t1", "t2"], [PHONE], [EMAIL]]
    assert (await world.case(id_)).message.whom == Whom(
        recipient="li",
        zone="Asia/Shanghai",
        quiet=(("22:00", "08:00"),),
        locale="zh-CN",
        tier="gold",
        channels=("email", "sms"),
    )


async def test_an_address_of_the_message_s_own_comes_first(world: World) -> None:
    await put(world, LI)
    own = To(recipient="li", phone="+447700900111", push=(Device(app="ios", token="t9"),))

    id_ = await world.post(to=own, chain=chain("push", "sms", "email"))

    assert await addresses(world, id_) == [["t9"], ["+447700900111"], [EMAIL]]


async def test_an_address_that_is_known_to_be_wrong_is_not_used(world: World) -> None:
    await put(world, replace(LI, invalid=("phone",)))

    id_ = await world.post(to=NAMED, chain=chain("sms", "email"))

    assert await addresses(world, id_) == [[EMAIL]]


async def test_an_unknown_recipient_needs_addresses_in_the_message(world: World) -> None:
    with pytest.raises(InvalidMessage) as refused:
        await world.post(to=To(recipient="nobody"), chain=SMS)
    id_ = await world.post(to=To(recipient="nobody", phone=PHONE), chain=SMS)

    assert [one.field for one in refused.value.faults] == ["to.recipient"]
    assert (await world.case(id_)).message.whom is None


async def test_another_tenant_s_recipient_is_unknown(world: World) -> None:
    await put(world, LI, tenant="shop")

    with pytest.raises(InvalidMessage):
        await world.post(to=NAMED, chain=SMS)


async def test_of_a_batch_each_is_judged_for_itself(world: World) -> None:
    await put(world, LI)
    names = ["li", "nobody", "", "li"]
    wanted = [
        Submission(
            to=To(recipient=name) if name else To(phone=PHONE),
            category="service",
            chain=SMS,
            content={"text": "hi"},
        )
        for name in names
    ]

    verdicts = await world.intake.accept(world.caller(), wanted)

    assert [isinstance(one, InvalidMessage) for one in verdicts] == [False, True, False, False]


async def test_who_names_nobody_costs_no_look_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: Any) -> Any:
        raise AssertionError("asked")

    monkeypatch.setattr(world.store, "recipients", never)

    await world.post(to=To(phone=PHONE), chain=SMS)


async def test_a_preview_shows_the_devices_of_whom_it_names(world: World) -> None:
    await put(world, LI)

    shown = await world.intake.preview(
        world.caller(),
        Submission(to=NAMED, category="service", chain=PUSH, content={"text": "hi"}),
    )

    assert [one.parts for one in shown.chain] == [2]
    with pytest.raises(InvalidMessage):
        await world.intake.preview(
            world.caller(),
            Submission(to=To(recipient="x"), category="service", content={"text": "hi"}),
        )


# Devices


async def test_a_device_that_the_provider_knows_no_more_is_left_out(world: World) -> None:
    await put(world, LI)
    world.senders["p"].answer = first_is_gone
    world.start()
    await world.post(to=NAMED, chain=PUSH)
    await world.settle()

    id_ = await world.post(to=NAMED, chain=PUSH)

    assert await addresses(world, id_) == [["t2"]]
    dead, alive = (await world.recipients.read(world.caller(), "li")).recipient.push
    assert (dead.token, dead.reason, alive) == ("t1", "Unregistered", T2)
    assert dead.since_ms > 0


async def test_a_receipt_can_say_that_a_device_is_dead(world: World) -> None:
    await put(world, replace(LI, push=(T1,)))
    world.start()
    await world.post(to=NAMED, chain=PUSH)
    await world.settle()
    call = world.senders["p"].calls[-1]

    await world.report(
        "p",
        DeliveryReceipt(event=ReceiptEvent.FAILED, reference=call.message.reference, suppress=True),
    )

    (device,) = (await world.recipients.read(world.caller(), "li")).recipient.push
    assert device.reason == "failed"
    with pytest.raises(InvalidMessage) as refused:
        await world.post(to=NAMED, chain=PUSH)
    assert [one.field for one in refused.value.faults] == ["to"]


async def test_a_device_that_is_put_again_gets_pushes_again(world: World) -> None:
    await put(world, LI)
    world.senders["p"].answer = first_is_gone
    world.start()
    await world.post(to=NAMED, chain=PUSH)
    await world.settle()

    world.senders["p"].script(wire.Accepted(provider_id="x"))
    verdict = await put(world, LI)
    id_ = await world.post(to=NAMED, chain=PUSH)
    await world.settle()

    assert verdict == [Upserted.CHANGED]
    assert await addresses(world, id_) == [["t1", "t2"]]
    assert await world.state(id_) == "sent"


# Erasure


async def test_erasure_forgets_whom_and_what_and_keeps_what_happened(world: World) -> None:
    await put(world, LI)
    world.start()
    named = await world.post(
        to=NAMED, chain=SMS, content={"text": "secret"}, metadata={"name": "Li Lei"}
    )
    bare = await world.post(
        to=To(email=EMAIL.upper().replace("EXAMPLE.COM", "example.com")), chain=EMAIL_ONLY
    )
    other = await world.post(to=To(phone="+447700900111"), chain=SMS)
    mention = await world.post(
        to=To(phone="+447700900222"), chain=SMS, content={"text": f"call {PHONE}"}
    )
    await world.settle()
    before = await world.timeline(named)

    erased = await world.recipients.erase(world.caller(), "li")

    assert erased == Erased(messages=2, cancelled=0)
    assert await world.state(named) == "sent"
    assert [one for one in await world.timeline(named) if one != "erased"] == before
    for id_ in (named, bare):
        message = (await world.case(id_)).message
        assert message.erased
        assert await addresses(world, id_) == [[""]]
        assert not message.content
        assert not message.metadata
        assert message.whom is None
    for id_ in (other, mention):
        assert not (await world.case(id_)).message.erased
    held = await world.sql("SELECT body FROM message")
    assert not [body for (body,) in held if "secret" in body and '"internal"' in body]
    with pytest.raises(NotFound):
        await world.recipients.read(world.caller(), "li")
    with pytest.raises(NotFound):
        await world.recipients.erase(world.caller(), "li")


async def test_waiting_messages_are_cancelled(world: World) -> None:
    await put(world, LI)
    id_ = await world.post(to=NAMED, chain=SMS)

    erased = await world.recipients.erase(world.caller(), "li")
    world.start()
    await world.settle()

    assert erased == Erased(messages=1, cancelled=1)
    assert await world.state(id_) == "cancelled"
    found = await world.desk.read(world.caller(), id_)
    assert ("cancelled", "erased") in [(one.event, one.detail) for one in found.timeline]
    assert not world.attempts().get(id_)


async def test_the_next_step_of_an_erased_message_is_not_sent(world: World) -> None:
    await put(world, LI)
    world.start()
    steps = (
        StepRequest(channel="sms"),
        StepRequest(channel="email"),
    )
    id_ = await world.post(to=NAMED, chain=steps)
    await world.settle()
    reference = world.senders["a"].calls[-1].message.reference

    await world.recipients.erase(world.caller(), "li")
    await world.report("a", DeliveryReceipt(event=ReceiptEvent.FAILED, reference=reference))
    await world.settle()

    assert world.attempts()[id_] == ["a"]


async def test_dead_letters_of_the_erased_are_not_sent_again(world: World) -> None:
    await put(world, LI)
    world.senders["a"].script(wire.Rejected(code="no"))
    world.senders["b"].script(wire.Rejected(code="no"))
    world.start()
    id_ = await world.post(to=NAMED, chain=SMS)
    await world.settle()
    assert await world.state(id_) == "failed"

    await world.recipients.erase(world.caller(), "li")

    with pytest.raises(StateConflict):
        await world.desk.redrive(world.caller(), id_)


async def test_what_the_person_wrote_is_forgotten(world: World) -> None:
    await put(world, LI)
    world.start()
    await world.post(to=NAMED, chain=SMS)
    await world.settle()
    await world.hear("a", InboundMessage(sender=PHONE, to="60606", text="my secret"))
    await world.settle()
    told = [json.loads(call.message.content.text) for call in world.receiver.calls]
    assert "my secret" in [one["data"].get("text") for one in told]

    await world.recipients.erase(world.caller(), "li")

    bodies = [body for (body,) in await world.sql("SELECT body FROM message")]
    assert not [one for one in bodies if "my secret" in one or PHONE in one]


async def test_reports_that_merely_hold_the_letters_of_an_address_are_sent(world: World) -> None:
    await put(world, Recipient(id="x", wecom="li"))
    id_ = await world.post(chain=SMS)
    world.start("a")
    await world.sleep(1.0)

    await world.recipients.erase(world.caller(), "x")
    world.start("postman")
    await world.settle()

    assert [id_ in call.message.content.text for call in world.receiver.calls] == [True]


async def test_reports_that_have_the_same_word_are_kept(world: World) -> None:
    await put(world, Recipient(id="w", wecom="sms"))
    world.start()
    await world.post(to=To(phone=PHONE), chain=SMS, metadata={"order": "7"})
    await world.post(to=To(phone=PHONE), chain=SMS, metadata={"for": ["SMS"]})
    await world.settle()

    await world.recipients.erase(world.caller(), "w")

    bodies = [body for (body,) in await world.sql("SELECT body FROM message")]
    reports = [body for body in bodies if '"category":"webhook"' in body]
    assert ["order" in body for body in reports].count(True) == 1
    assert not [body for body in reports if "SMS" in body]


async def reports(world: World) -> list[dict[str, Any]]:
    """Reports to tenants as they are kept, the first made first."""
    found = await world.sql("SELECT body FROM message WHERE internal ORDER BY id")
    return [json.loads(json.loads(body)["content"]["text"]) for (body,) in found]


async def test_reports_about_the_erased_keep_states_and_lose_what_the_tenant_said(
    world: World,
) -> None:
    await put(world, LI)
    world.start()
    ids = [
        await world.post(to=to, chain=SMS, metadata={"name": "Li Lei"})
        for to in (NAMED, To(phone=PHONE))
    ]
    other = await world.post(to=To(phone="+447700900222"), chain=SMS, metadata={"name": "Mei"})
    await world.settle()
    before = await reports(world)

    await world.recipients.erase(world.caller(), "li")

    after = await reports(world)
    assert [(one["type"], one["data"]["id"]) for one in after] == [
        (one["type"], one["data"]["id"]) for one in before
    ]
    metadata = {one["data"]["id"]: one["data"]["metadata"] for one in after}
    assert metadata == {**{one: {} for one in ids}, other: {"name": "Mei"}}
    assert {one["timestamp"] for one in after} == {one["timestamp"] for one in before}


async def test_replayed_reports_about_the_erased_tell_what_is_left(world: World) -> None:
    await put(world, LI)
    world.start()
    id_ = await world.post(to=NAMED, chain=SMS, metadata={"name": "Li Lei"})
    await world.settle()
    (endpoint,) = await world.endpoints.list(world.caller())
    await world.recipients.erase(world.caller(), "li")

    await world.endpoints.replay(world.caller(), endpoint.id, since_ms=0, only_failed=False)
    await world.settle()

    told = [json.loads(call.message.content.text)["data"] for call in world.receiver.calls]
    assert [(one["id"], one["metadata"]) for one in told] == [(id_, {"name": "Li Lei"}), (id_, {})]


async def test_reports_that_wait_are_delivered_without_what_was_erased(world: World) -> None:
    id_ = await world.post(
        to=To(recipient="gone", phone=PHONE), chain=SMS, metadata={"name": "Li Lei"}
    )
    world.start("a")
    await world.sleep(1.0)

    await world.recipients.erase(world.caller(), "gone")
    world.start("postman")
    await world.settle()

    told = [json.loads(call.message.content.text)["data"] for call in world.receiver.calls]
    assert [(one["id"], one["state"], one["metadata"]) for one in told] == [(id_, "sent", {})]


async def test_reports_of_who_left_lose_the_recipient(world: World) -> None:
    for name in ("li", "lima"):
        await world.store.accept(
            world.reporter.moved(
                Moved(
                    tenant="billing",
                    at_ms=world.clock.now_ms(),
                    event=LEFT,
                    channel="email",
                    category="news",
                    recipient=name,
                )
            )
        )
    await put(world, LI)

    await world.recipients.erase(world.caller(), "li")

    assert {one["data"]["recipient"] for one in await reports(world)} == {None, "lima"}


async def test_reports_are_erased_though_it_was_cut_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(world, LI)
    world.start()
    await world.post(to=NAMED, chain=SMS, metadata={"name": "Li Lei"})
    await world.settle()
    erase, calls = world.store.erase_messages, []

    async def fail_later(*args: Any, **fields: Any) -> Any:
        calls.append(args)
        if len(calls) > 1:
            raise StoreUnavailable
        return await erase(*args, **fields)

    with monkeypatch.context() as broken:
        broken.setattr(world.store, "erase_messages", fail_later)
        with pytest.raises(StoreUnavailable):
            await world.recipients.erase(world.caller(), "li")
    await world.recipients.erase(world.caller(), "li")

    held = await world.sql("SELECT body FROM message")
    assert not [body for (body,) in held if "Li Lei" in body]


async def test_messages_of_other_tenants_are_theirs(world: World) -> None:
    await put(world, LI)
    id_ = await world.post(to=To(phone=PHONE), chain=SMS, tenant="shop")

    erased = await world.recipients.erase(world.caller(), "li")

    assert erased == Erased(messages=0, cancelled=0)
    assert await addresses(world, id_) == [[PHONE]]


async def test_messages_of_an_unregistered_name_can_be_erased(world: World) -> None:
    id_ = await world.post(to=To(recipient="gone", phone=PHONE), chain=SMS)

    erased = await world.recipients.erase(world.caller(), "gone")

    assert erased == Erased(messages=1, cancelled=1)
    assert await addresses(world, id_) == [[""]]


async def test_erasing_ends_where_messages_are_gone_already(world: World) -> None:
    await put(world, LI)
    id_ = await world.post(to=NAMED, chain=SMS)
    await world.store._engine.write(lambda one: one.execute("DELETE FROM message") and None)

    erased = await asyncio.wait_for(world.recipients.erase(world.caller(), "li"), 60)

    assert erased == Erased(messages=0, cancelled=0)
    assert await world.store.messages_naming("billing", "li", limit=9) == [id_]


async def test_more_messages_are_erased_than_one_commit_holds(world: World) -> None:
    await put(world, LI)
    for _ in range(3):
        await world.post_all([{"to": NAMED, "chain": SMS}, {"to": To(phone=PHONE)}] * 50)

    erased = await world.recipients.erase(world.caller(), "li")

    assert erased == Erased(messages=300, cancelled=300)


async def test_a_ban_outlives_the_person(world: World) -> None:
    await put(world, LI)
    await world.bans.add_address(
        wire.Channel.SMS, wire.Address(phone=PHONE), reason="complained", source="a"
    )

    await world.recipients.erase(world.caller(), "li")
    id_ = await world.post(to=To(phone=PHONE), chain=SMS)

    assert await world.state(id_) == "suppressed"


async def test_erasing_goes_on_where_it_was_cut_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(world, LI)
    ids = [await world.post(to=To(phone=PHONE), chain=SMS) for _ in range(3)]

    async def fail(*args: Any, **fields: Any) -> Any:
        raise asyncio.CancelledError

    with monkeypatch.context() as broken:
        broken.setattr(world.store, "erase_messages", fail)
        with pytest.raises(asyncio.CancelledError):
            await world.recipients.erase(world.caller(), "li")
    erased = await world.recipients.erase(world.caller(), "li")

    assert erased.messages == 3
    assert [await addresses(world, id_) for id_ in ids] == [[[""]]] * 3


async def test_devices_are_sent_to_with_the_time_at_which_the_app_got_its_token(
    world: World,
) -> None:
    await put(world, replace(LI, push=(replace(T1, registered_ms=RENEWED_MS), T2)))

    id_ = await world.post(to=NAMED, chain=PUSH)

    (step,) = (await world.case(id_)).message.chain
    assert [(one.token, one.registered_ms) for one in step.parts] == [("t1", RENEWED_MS), ("t2", 0)]


async def test_token_that_was_registered_after_its_service_saw_it_dead_lives_on(
    world: World,
) -> None:
    """As `apns` answers: the address decides whether a refusal bans it."""
    world.senders["p"].answer = lambda message, time: replace(
        GONE, suppress=message.to.registered_ms <= APPLE_SAW_MS
    )
    world.workers["p"]._slots._attempter._works = True
    await put(world, replace(LI, push=(replace(T1, registered_ms=RENEWED_MS), T2)))
    world.start()

    await world.post(to=NAMED, chain=PUSH)
    await world.settle()

    kept = (await world.store.recipients("billing", ["li"]))["li"].recipient
    assert [(one.token, one.reason) for one in kept.push] == [("t1", ""), ("t2", "Unregistered")]
    assert kept.push[0].registered_ms == RENEWED_MS


async def test_dead_device_keeps_the_time_at_which_the_app_got_its_token(world: World) -> None:
    world.senders["p"].answer = first_is_gone
    world.workers["p"]._slots._attempter._works = True
    await put(world, replace(LI, push=(replace(T1, registered_ms=7), T2)))
    world.start()

    await world.post(to=NAMED, chain=PUSH)
    await world.settle()

    kept = (await world.store.recipients("billing", ["li"]))["li"].recipient
    assert (kept.push[0].reason, kept.push[0].registered_ms) == ("Unregistered", 7)

"""What recipients write back: opt-outs and their scope, reports to the tenant, copies, crashes."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.clock import to_datetime
from gateway.model import wire
from gateway.model.errors import StoreUnavailable
from gateway.model.submission import StepRequest, To
from gateway.model.wire import DeliveryReceipt, InboundMessage, ReceiptEvent
from tests.dispatch.world import World

ME = "+447700900000"
TO = To(phone=ME)
SMS_ONLY = (StepRequest(channel="sms"),)
HOOK = {"url": "https://good.example.com/h", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}

#: Two accounts in lane sms, one in lane `other`; both tenants hear of everything.
TABLES: dict[str, Any] = {
    "tenants": {"billing": {"webhook": HOOK}, "shop": {"webhook": HOOK}},
    "categories": {"marketing": {"unsubscribe": True}},
}

MakeWorld = Callable[..., Awaitable[World]]


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world(**TABLES)


@pytest.fixture
async def lone_world(make_world: MakeWorld) -> World:
    """Account `a` is alone in its lane."""
    return await make_world(**TABLES, lanes={"sms": {"providers": ["a"]}})


def reply(text: str, id_: str = "in-1", **fields: Any) -> InboundMessage:
    return InboundMessage(
        **{"sender": ME, "to": "60606", "text": text, "provider_id": id_, **fields}
    )


async def sent(world: World, **fields: Any) -> str:
    if not world.is_started:
        world.start()
    id_ = await world.post(**{"to": TO, "chain": SMS_ONLY, **fields})
    await world.settle()
    return id_


def heard(world: World) -> list[dict[str, Any]]:
    """Reports of replies that reached tenants."""
    bodies = [json.loads(call.message.content.text) for call in world.receiver.calls]
    return [body for body in bodies if body["type"] == "message.received"]


def count(world: World, name: str, *labels: str) -> float:
    value: float = getattr(world.metrics, name).labels(*labels)._value.get()
    return value


def marketing(world: World, **fields: Any) -> Awaitable[str]:
    return world.post(**{"to": TO, "category": "marketing", "chain": SMS_ONLY, **fields})


# Who is told


async def test_tenant_of_the_latest_message_hears_what_was_answered(world: World) -> None:
    await sent(world, tenant="shop")
    latest = await sent(world, metadata={"order": "A17"})

    answer = await world.hear("a", reply("Is it blue?"))
    await world.settle()

    assert answer.status == 204
    (body,) = heard(world)
    assert body["data"] == {
        "from": ME,
        "to": "60606",
        "text": "Is it blue?",
        "channel": "sms",
        "provider": "a",
        "answers": latest,
        "metadata": {"order": "A17"},
        "keyword": None,
    }
    assert count(world, "inbound", "a", "reply") == 1


async def test_message_that_is_named_is_the_one_that_is_answered(world: World) -> None:
    first = await sent(world, tenant="shop")
    reference = world.senders["a"].calls[0].message.reference
    await sent(world)

    await world.hear("a", reply("yes please", answers=f"a:{reference}"))
    await world.settle()

    (body,) = heard(world)
    assert body["data"]["answers"] == first


async def test_unknown_name_falls_back_to_the_latest_message(world: World) -> None:
    latest = await sent(world)

    await world.hear("a", reply("hm", answers="never seen"))
    await world.settle()

    assert [body["data"]["answers"] for body in heard(world)] == [latest]


@pytest.mark.parametrize(
    ("account", "fields"), [("a", {"sender": "+447700900999"}), ("b", {}), ("a", {"sender": ""})]
)
async def test_nobody_is_told_what_answers_no_message_of_that_account(
    world: World, account: str, fields: dict[str, Any]
) -> None:
    await sent(world)

    await world.hear(account, reply("hello?", **fields))
    await world.settle()

    assert heard(world) == []
    assert count(world, "inbound_untied", account) == 1


async def test_message_of_unknown_outcome_can_be_answered_too(world: World) -> None:
    world.senders["a"].script(wire.Unknown(code="timeout"))
    id_ = await sent(world, category="marketing")

    await world.hear("a", reply("thanks"))
    await world.settle()

    assert [body["data"]["answers"] for body in heard(world)] == [id_]


async def test_refused_message_is_not_what_is_answered(world: World) -> None:
    id_ = await sent(world)
    world.senders["a"].script(wire.Rejected(code="bad"))
    await sent(world)

    await world.hear("a", reply("thanks"))
    await world.settle()

    assert [body["data"]["answers"] for body in heard(world)] == [id_]


@pytest.mark.parametrize(
    ("text", "sender", "keyword"),
    [
        (" Stop. ", ME, "stop"),
        ("START", ME, "start"),
        ("help", ME, "help"),
        ("T", ME, None),
        ("T", "+8613800138000", "stop"),
        ("退订", "+8613800138000", "stop"),
        ("stop calling me at night", ME, None),
    ],
)
async def test_webhook_names_the_keyword(
    world: World, text: str, sender: str, keyword: str | None
) -> None:
    await sent(world, to=To(phone=sender))

    await world.hear("a", reply(text, sender=sender))
    await world.settle()

    (body,) = heard(world)
    assert (body["data"]["text"], body["data"]["keyword"]) == (text, keyword)


async def test_endpoint_may_ask_for_replies_alone(make_world: MakeWorld) -> None:
    hook = {**HOOK, "events": ["message.received"]}
    world = await make_world(tenants={"billing": {"webhook": hook}})
    await sent(world)

    await world.hear("a", reply("hello"))
    await world.settle()

    types = [json.loads(call.message.content.text)["type"] for call in world.receiver.calls]
    assert types == ["message.received"]


async def test_any_text_can_be_kept(world: World) -> None:
    await sent(world)

    await world.hear("a", reply("nul \0, half \ud800, long " + "x" * 20_000, "id\0\ud800"))
    await world.settle()

    (body,) = heard(world)
    assert len(body["data"]["text"]) == 10_000
    assert body["data"]["text"].startswith("nul \0, half ?")


# Copies


async def test_second_copy_has_no_effect(world: World) -> None:
    await sent(world)

    await world.hear("a", reply("hello"), reply("hello"))
    await world.hear("a", reply("hello"))
    await world.settle()

    assert len(heard(world)) == 1
    assert count(world, "inbound", "a", "repeated") == 2


async def test_late_copy_of_an_opt_out_does_not_undo_an_opt_in(lone_world: World) -> None:
    await lone_world.hear("a", reply("STOP", "1"))
    await lone_world.hear("a", reply("START", "2"))
    await lone_world.hear("a", reply("STOP", "1"))

    assert await lone_world.state(await marketing(lone_world)) == "queued"


async def test_same_id_of_another_account_is_another_message(world: World) -> None:
    await world.hear("a", reply("hello"))
    await world.hear("b", reply("hello"))

    assert count(world, "inbound", "b", "reply") == 1


async def test_messages_without_id_are_all_reported(world: World) -> None:
    await sent(world)

    await world.hear("a", reply("hello", ""), reply("hello", ""))
    await world.settle()

    assert len(heard(world)) == 2


async def test_crash_between_commit_and_answer_reports_once(make_world: MakeWorld) -> None:
    world = await make_world(**TABLES)
    await sent(world)

    def die(*_: object) -> None:
        raise RuntimeError("the process died")

    world.inbound._note = die  # type: ignore[method-assign,assignment]
    with pytest.raises(RuntimeError):
        await world.hear("a", reply("STOP"))
    await world.crash()
    again = await make_world(owner="n2", **TABLES)
    again.start()
    await again.hear("a", reply("STOP"))
    await again.settle()

    assert len(heard(again)) + len(heard(world)) == 1
    assert count(again, "inbound", "a", "repeated") == 1


async def test_provider_is_to_try_again_when_nothing_could_be_stored(
    lone_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: object) -> None:
        raise StoreUnavailable("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(lone_world.store, "take_replies", unavailable)
        with pytest.raises(StoreUnavailable):
            await lone_world.hear("a", reply("STOP"))
    before = await lone_world.state(await marketing(lone_world))
    await lone_world.hear("a", reply("STOP"))

    assert before == "queued"
    assert await lone_world.state(await marketing(lone_world)) == "suppressed"


async def test_notes_of_copies_and_contacts_are_purged(make_world: MakeWorld) -> None:
    world = await make_world(**TABLES, store={"retention": "30d"})
    await sent(world)
    await world.hear("a", reply("hello"))
    await world.jump(31 * 86_400)

    await world.upkeep.purge()

    assert await world.sql("SELECT * FROM inbound") == []
    assert await world.sql("SELECT * FROM contact") == []


# Opt-out and opt-in


async def test_opt_out_holds_for_what_is_queued_and_codes_go_on(lone_world: World) -> None:
    world = lone_world
    queued = await marketing(world)
    await world.hear("a", reply("STOP"))
    code = await world.post(to=TO, category="otp", chain=SMS_ONLY)
    service = await world.post(to=TO, chain=SMS_ONLY)
    new = await marketing(world)
    other = await marketing(world, to=To(phone="+447700900001"))

    world.start()
    await world.settle()

    assert [await world.state(one) for one in (queued, new)] == ["suppressed", "suppressed"]
    assert [await world.state(one) for one in (code, service, other)] == ["sent"] * 3
    assert set(world.senders["a"].sent) == {code, service, other}


async def test_opt_out_at_another_node_holds_within_seconds(make_world: MakeWorld) -> None:
    alone = {**TABLES, "lanes": {"sms": {"providers": ["a"]}}}
    ours, theirs = await make_world(**alone), await make_world(owner="n2", **alone)
    ours.start()
    before = await sent(ours, category="marketing")
    later = to_datetime(ours.clock.now_ms() + 6000)
    scheduled = await marketing(ours, send_at=later)

    await theirs.hear("a", reply("STOP"))
    await ours.sleep(5)
    after = await marketing(ours)
    await ours.settle()

    states = [await ours.state(one) for one in (before, scheduled, after)]
    assert states == ["sent", "suppressed", "suppressed"]


async def test_opt_in_lifts_the_opt_out(lone_world: World) -> None:
    await lone_world.hear("a", reply("STOP", "1"))
    await lone_world.hear("a", reply("UNSTOP", "2"))
    id_ = await marketing(lone_world)

    lone_world.start()
    await lone_world.settle()

    assert await lone_world.state(id_) == "sent"


async def test_a_button_says_what_words_would(lone_world: World) -> None:
    world = lone_world
    await sent(world)

    await world.hear("a", reply("", wish=wire.Wish.OPT_OUT))
    out = await world.state(await marketing(world))
    await world.hear("a", reply("", "in-2", wish=wire.Wish.OPT_IN))
    back = await world.state(await marketing(world))
    await world.settle()

    assert (out, back != "suppressed") == ("suppressed", True)
    assert [body["data"]["keyword"] for body in heard(world)] == ["stop", "start"]


async def test_opt_in_does_not_lift_a_hard_bounce(lone_world: World) -> None:
    await lone_world.bans.add_address(
        wire.Channel.SMS, wire.Address(phone=ME), reason="bounced", source="a"
    )
    await lone_world.hear("a", reply("START"))

    assert await lone_world.state(await marketing(lone_world)) == "suppressed"


async def test_category_by_consent_can_be_refused_too(lone_world: World) -> None:
    world = lone_world
    name = world.bans.hashed(wire.Channel.SMS, wire.Address(phone=ME))
    await world.agree("agreed", name)
    before = await world.post(to=TO, category="agreed", chain=SMS_ONLY)

    await world.hear("a", reply("STOP"))

    assert await world.state(await world.post(to=TO, category="agreed", chain=SMS_ONLY)) == (
        "suppressed"
    )
    world.start()
    await world.settle()
    assert await world.state(before) == "suppressed"


async def test_other_account_of_the_lane_goes_on_until_it_is_refused_too(world: World) -> None:
    queued = await marketing(world)
    await world.hear("a", reply("STOP"))
    accepted = await marketing(world)
    world.start()
    await world.settle()
    by = world.attempts()

    await world.hear("b", reply("STOP"))
    refused = await marketing(world)

    assert (by[queued], by[accepted]) == (["b"], ["b"])
    assert await world.state(refused) == "suppressed"


async def test_passing_on_costs_no_attempt(make_world: MakeWorld) -> None:
    world = await make_world(**TABLES, retry={"attempts": 1})
    id_ = await marketing(world)
    await world.hear("a", reply("STOP"))

    world.start()
    await world.settle()

    assert world.attempts()[id_] == ["b"]
    assert await world.state(id_) == "sent"
    assert "passed_on" in await world.timeline(id_)


async def test_account_that_is_left_gets_its_retries_with_pauses(world: World) -> None:
    world.senders["b"].script(
        wire.Deferred(code="busy"), wire.Deferred(code="busy"), wire.Accepted(provider_id="x")
    )
    await world.hear("a", reply("STOP"))
    id_ = await marketing(world)

    world.start()
    await world.settle()

    assert world.attempts()[id_] == ["b", "b", "b"]
    assert await world.state(id_) == "sent"
    assert len(set(world.senders["b"].times)) == 3


async def test_row_refused_by_the_account_that_is_left_is_suppressed(world: World) -> None:
    world.senders["b"].script(wire.Rejected(code="no", scope=wire.Scope.PROVIDER))
    await world.hear("a", reply("STOP"))
    id_ = await marketing(world)

    world.start()
    await world.settle()

    assert world.attempts()[id_] == ["b"]
    assert await world.state(id_) == "failed"


async def test_next_step_is_due_when_all_accounts_of_a_lane_are_refused(
    make_world: MakeWorld,
) -> None:
    world = await make_world(**TABLES)
    chain = (StepRequest(channel="sms"), StepRequest(channel="email"))
    both = To(phone=ME, email="li@example.com")
    queued = await marketing(world, to=both, chain=chain)
    await world.hear("a", reply("STOP"))
    await world.hear("b", reply("STOP"))
    new = await marketing(world, to=both, chain=chain)

    world.start()
    await world.settle()

    assert (world.attempts()[queued], world.attempts()[new]) == (["m"], ["m"])
    assert (await world.timeline(new))[0] == "skipped"
    assert (await world.timeline(queued))[:2] == ["suppressed", "fallback"]


async def test_row_waits_for_the_account_that_may_have_it(world: World) -> None:
    await world.hear("a", reply("STOP"))
    world.accounts["b"].pause(30.0)
    id_ = await marketing(world)
    began = world.clock.monotonic()

    world.start()
    await world.settle()

    assert world.attempts()[id_] == ["b"]
    assert world.senders["b"].times[0] - began >= 30.0


# What services say of opt-outs


async def test_opt_out_that_the_service_reports_is_about_its_account_alone(
    lone_world: World,
) -> None:
    world = lone_world
    await sent(world)
    reference = world.senders["a"].calls[0].message.reference

    await world.report("a", DeliveryReceipt(event=ReceiptEvent.OPTED_OUT, reference=reference))

    assert await world.state(await marketing(world)) == "suppressed"
    assert await world.state(await world.post(to=TO, category="otp", chain=SMS_ONLY)) != (
        "suppressed"
    )


async def test_refusal_for_an_opt_out_blocks_no_codes(lone_world: World) -> None:
    world = lone_world
    world.senders["a"].script(
        wire.Rejected(code="21610", scope=wire.Scope.RECIPIENT, suppress=True, opted_out=True)
    )
    await sent(world, category="otp")

    code = await world.post(to=TO, category="otp", chain=SMS_ONLY)

    assert await world.state(code) != "suppressed"
    assert await world.state(await marketing(world)) == "suppressed"


async def test_recipients_are_in_no_log(
    lone_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await sent(lone_world)
    await lone_world.hear("a", reply("hello from me", answers="x"), reply("STOP", "2"))
    await lone_world.settle()

    assert ME not in caplog.text
    assert "hello from me" not in caplog.text


async def test_keys_of_copies_do_not_tell_the_id(world: World) -> None:
    await world.hear("a", reply("hello", "SM123"))

    ((key,),) = await world.sql("SELECT key FROM inbound")
    assert key == hashlib.blake2b(b"SM123", digest_size=16).hexdigest()

"""What is taken in: plans, bans, permissions, keys, duplicates."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.dispatch import devices
from gateway.model import wire
from gateway.model.errors import InvalidMessage, KeyConflict, RequestError, StoreUnavailable
from gateway.model.message import Mode, OnUnknown, Priority
from gateway.model.recipient import PushDevice, Recipient
from gateway.model.state import State
from gateway.model.submission import Dedupe, Device, StepRequest, Submission, Ticket, To
from gateway.model.values import replace

TO = To(phone="+8613800138000", email="li@example.com")
START = datetime(2026, 11, 21, tzinfo=UTC) + timedelta(seconds=1000)


def submission(**fields: Any) -> Submission:
    usual: dict[str, Any] = {"to": TO, "category": "service", "content": {"text": "hello"}}
    return Submission(**{**usual, **fields})


async def accept(world: Any, *submissions: Submission, tenant: str = "billing") -> list[Any]:
    return list(await world.intake.accept(world.caller(tenant), submissions))


async def refusal(world: Any, **fields: Any) -> tuple[str, str]:
    """(field, detail) of the first fault of a message that is refused."""
    (error,) = await accept(world, submission(**fields))
    assert isinstance(error, InvalidMessage)
    fault = error.faults[0]
    return fault.field, fault.detail


async def ban(world: Any, channel: wire.Channel, **address: str) -> None:
    await world.bans.add_address(
        channel, replace(wire.Address(), **address), reason="bounced", source="test"
    )


async def test_category_fills_in_what_is_not_said(world: Any) -> None:
    (ticket,) = await accept(world, submission(category="otp"))

    case = await world.case(ticket.id)
    assert isinstance(ticket, Ticket)
    assert ticket.state is State.QUEUED
    assert [(step.channel, step.lane) for step in case.message.chain] == [
        ("sms", "sms"),
        ("email", "email"),
    ]
    assert case.message.priority is Priority.CRITICAL
    assert case.expires_ms - case.created_ms == 300_000


async def test_message_may_say_otherwise(world: Any) -> None:
    chain = (StepRequest(channel="email", until=State.DELIVERED, within=5.0),)

    (ticket,) = await accept(
        world,
        submission(
            chain=chain,
            priority=Priority.BULK,
            on_unknown=OnUnknown.STOP,
            mode=Mode.ALL,
            expires_in=60.0,
            metadata={"a": 1},
        ),
    )

    case = await world.case(ticket.id)
    (step,) = case.message.chain
    assert (step.until, step.within) == (State.DELIVERED, 5.0)
    assert (case.message.priority, case.message.on_unknown) == (Priority.BULK, OnUnknown.STOP)
    assert (case.message.mode, case.message.metadata) == (Mode.ALL, {"a": 1})
    assert case.expires_ms - case.created_ms == 60_000


async def test_no_category_means_service(world: Any) -> None:
    (ticket,) = await accept(world, submission(category=""))

    assert (await world.case(ticket.id)).message.category == "service"


async def test_step_without_an_address_is_left_out_and_told(world: Any) -> None:
    (ticket,) = await accept(world, submission(to=To(email="li@example.com")))

    case = await world.case(ticket.id)
    assert [step.channel for step in case.message.chain] == ["email"]
    assert [(one.channel, one.reason) for one in case.message.skipped] == [("sms", "no address")]


async def test_bad_item_does_not_sink_the_rest(world: Any) -> None:
    verdicts = await accept(
        world, submission(), submission(category="none"), submission(to=To()), submission()
    )

    assert [isinstance(one, Ticket) for one in verdicts] == [True, False, False, True]
    assert len(await world.rows()) == 2


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"category": "none"}, "category"),
        ({"template": "none"}, "template"),
        ({"to": To()}, "to"),
        ({"to": To(phone="123")}, "to.phone"),
        ({"to": To(email="no-at")}, "to.email"),
        ({"content": {}}, "to"),
        ({"content": {"text": "hello", "smss": {"text": "hi"}}}, "content.smss"),
        ({"content": {"text": "hello", "13912345678": {}}}, "content.?"),
        ({"content": {"text": "hello", "wechat": {"template": "T"}}}, "content.wechat"),
        ({"content": {"aliyun": {"template": "SMS_1"}}}, "to"),  # no lane has an account for it
        ({"send_at": START - timedelta(minutes=1)}, "send_at"),
        ({"send_at": START + timedelta(days=400)}, "send_at"),
        ({"expires_in": 31 * 86_400.0}, "expires_in"),
    ],
)
async def test_fault_names_its_field(world: Any, fields: dict[str, Any], field: str) -> None:
    named, detail = await refusal(world, **fields)

    assert named == field
    assert detail
    assert await world.rows() == []


async def test_tables_of_a_provider_kind_reach_its_providers(world: Any) -> None:
    table = {"template": "T_1", "params": {"code": "1"}}

    (ticket,) = await accept(
        world, submission(content={"http": table, "aliyun": {"template": "SMS_1"}}, category="otp")
    )

    case = await world.case(ticket.id)
    content = world.renderer.content(case.message, case.message.chain[0])
    assert content.provider_templates == {"http": table}


async def test_goal_that_no_provider_reports_needs_a_time_limit(make_world: Any) -> None:
    world = await make_world()
    world.composer.steps._reports["email"] = frozenset()
    asked = StepRequest(channel="email", until=State.READ)

    named, _ = await refusal(world, chain=(asked,))
    limited = StepRequest(channel="email", until=State.READ, within=5.0)
    (ticket,) = await accept(world, submission(chain=(limited,)))

    assert named == "chain[0].until"
    assert isinstance(ticket, Ticket)


async def test_little_lateness_of_send_at_is_forgiven(world: Any) -> None:
    (ticket,) = await accept(world, submission(send_at=START - timedelta(seconds=3)))

    assert ticket.state is State.QUEUED
    assert (await world.case(ticket.id)).live[0].due_ms == world.clock.now_ms()


async def test_scheduled_message_lives_from_its_time_on(world: Any) -> None:
    (ticket,) = await accept(world, submission(send_at=START + timedelta(hours=2), expires_in=60.0))

    case = await world.case(ticket.id)
    assert ticket.state is State.SCHEDULED
    assert case.expires_ms == int((START + timedelta(hours=2)).timestamp() * 1000) + 60_000


async def test_repeated_request_gives_the_first_answer(world: Any) -> None:
    one = submission(idempotency_key="k", fingerprint=b"1")
    other = submission(idempotency_key="k", fingerprint=b"2")

    (first,) = await accept(world, one)
    again, conflict = await accept(world, one, other)

    assert (again.id, again.repeated, again.duplicate) == (first.id, True, False)
    assert isinstance(conflict, KeyConflict)
    assert len(await world.rows()) == 1


async def test_duplicate_gives_the_first_id(world: Any) -> None:
    one = submission(dedupe=Dedupe(key="login", window=60.0))

    (first,) = await accept(world, one)
    (again,) = await accept(world, one)
    (other_tenant,) = await accept(world, one, tenant="shop")
    await world.jump(60.0)
    (later,) = await accept(world, one)

    assert (again.id, again.duplicate) == (first.id, True)
    assert other_tenant.id != first.id
    assert not later.duplicate


@pytest.mark.parametrize(
    ("change", "is_duplicate"),
    [
        ({}, True),
        ({"metadata": {"order": 1}}, True),
        ({"content": {"text": "other"}}, False),
        ({"to": To(phone="+8613800138001", email="li@example.com")}, False),
        ({"category": "otp"}, False),
    ],
)
async def test_without_a_key_the_content_and_recipient_tell_duplicates(
    world: Any, change: dict[str, Any], is_duplicate: bool
) -> None:
    dedupe = Dedupe(window=60.0)
    await accept(world, submission(dedupe=dedupe))

    (again,) = await accept(world, submission(dedupe=dedupe, **change))

    assert again.duplicate is is_duplicate


async def test_category_can_drop_repeats_by_itself(make_world: Any) -> None:
    world = await make_world(categories={"service": {"dedupe": {"window": "60s", "key": "k"}}})

    verdicts = await accept(
        world,
        submission(),
        submission(content={"text": "other"}),
        submission(to=To(phone="+8613800138001")),
    )

    assert [one.duplicate for one in verdicts] == [False, True, False]


async def test_failure_frees_what_stood_for_others(world: Any) -> None:
    one = submission(dedupe=Dedupe(key="login", window=3600.0))
    for name in ("a", "m"):
        world.senders[name].script(wire.Rejected(code="bad"))
    world.start()
    await accept(world, one)
    await world.settle()

    (again,) = await accept(world, one)

    assert not again.duplicate


async def test_banned_part_is_left_out(world: Any) -> None:
    await ban(world, wire.Channel.SMS, phone="+8613800138000")

    (ticket,) = await accept(world, submission())

    message = (await world.case(ticket.id)).message
    assert [step.channel for step in message.chain] == ["email"]
    assert [(one.channel, one.reason) for one in message.skipped] == [("sms", "bounced")]


async def test_banned_device_is_left_out_and_the_others_stay(world: Any) -> None:
    devices = tuple(Device(app="ios", token=f"t{number}") for number in range(3))
    await ban(world, wire.Channel.PUSH, app="ios", token="t1")

    (ticket,) = await accept(
        world, submission(to=To(push=devices), chain=(StepRequest(channel="push"),))
    )

    (step,) = (await world.case(ticket.id)).message.chain
    assert [part.token for part in step.parts] == ["t0", "t2"]


async def test_message_to_nobody_but_banned_is_suppressed_and_kept(world: Any) -> None:
    await ban(world, wire.Channel.SMS, phone="+8613800138000")
    await ban(world, wire.Channel.EMAIL, email="li@example.com")
    one = submission(dedupe=Dedupe(key="login", window=3600.0))

    (ticket,) = await accept(world, one)
    phone = world.bans.hashed(wire.Channel.SMS, wire.Address(phone="+8613800138000"))
    await world.store.lift("", [phone])
    (again,) = await accept(world, one)

    assert ticket.state is State.SUPPRESSED
    assert await world.state(ticket.id) == "suppressed"
    assert await world.timeline(ticket.id) == ["suppressed"]
    assert (again.state, again.duplicate) == (State.QUEUED, False)


async def test_category_that_needs_it_is_refused_without_consent(world: Any) -> None:
    hashed = world.bans.hashed(wire.Channel.SMS, wire.Address(phone="+8613800138000"))

    refused = await refusal(world, category="agreed")
    await world.agree("agreed", hashed)
    (ticket,) = await accept(world, submission(category="agreed"))
    (others,) = await accept(world, submission(category="agreed"), tenant="shop")

    assert refused == ("to", "no recorded consent for category agreed")
    assert isinstance(ticket, Ticket)
    assert isinstance(others, InvalidMessage)


async def test_store_that_is_away_refuses_all_and_keeps_none(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.store._engine._writer, "has_space", lambda: False)

    with pytest.raises(StoreUnavailable):
        await accept(world, submission(), submission())

    assert await world.rows() == []
    assert world.metrics.refused.labels("unavailable")._value.get() == 2


async def test_preview_stores_nothing(world: Any) -> None:
    preview = await world.intake.preview(
        world.caller(), submission(to=To(phone="+447700900123"), content={"text": "x" * 200})
    )

    first, second = preview.chain
    assert (preview.decision, preview.category, preview.priority) == ("send", "service", "normal")
    assert (first.channel, first.lane, tuple(first.providers)) == ("sms", "sms", ("a", "b"))
    assert first.sms == {"alphabet": "gsm7", "characters": 200, "length": 200, "segments": 2}
    assert (second.channel, second.skipped) == ("email", "no address")
    assert await world.rows() == []


async def test_preview_tells_what_the_gate_would_do(world: Any) -> None:
    later = await world.intake.preview(
        world.caller(), submission(send_at=START + timedelta(hours=1))
    )
    await ban(world, wire.Channel.SMS, phone="+8613800138000")
    await ban(world, wire.Channel.EMAIL, email="li@example.com")
    never = await world.intake.preview(world.caller(), submission())

    assert later.decision == "defer"
    assert (never.decision, never.reasons) == ("suppress", ["bounced"])
    with pytest.raises(RequestError):
        await world.intake.preview(world.caller(), submission(category="none"))


async def test_refused_messages_are_counted_by_reason(world: Any) -> None:
    one = submission(idempotency_key="k", fingerprint=b"1")
    await accept(world, one)
    await accept(
        world, one, submission(idempotency_key="k", fingerprint=b"2"), submission(category="x")
    )

    refused = world.metrics.refused
    reasons = ("repeated", "key_conflict", "invalid", "duplicate")
    assert [refused.labels(reason)._value.get() for reason in reasons] == [1, 1, 1, 0]


async def test_consent_that_was_withdrawn_stops_what_waits(world: Any) -> None:
    hashed = world.bans.hashed(wire.Channel.SMS, wire.Address(phone="+8613800138000"))
    await world.agree("agreed", hashed)
    (kept,) = await accept(world, submission(category="agreed"))
    world.start()
    await world.settle()

    world.workers["a"].account.pause(5.0)
    world.workers["b"].account.pause(5.0)
    (stopped,) = await accept(world, submission(category="agreed"))
    await world.refuse("agreed", hashed)
    await world.settle()

    assert await world.state(kept.id) == "sent"
    assert await world.state(stopped.id) == "suppressed"


async def test_tenant_is_told_of_what_is_suppressed_at_once(world: Any) -> None:
    hook = await world.endpoints.put(
        world.caller(), url="https://good.example", events=(), secret=None, endpoint=None
    )
    address = wire.Address(phone="+8613800138000")
    await world.bans.add_address(wire.Channel.SMS, address, reason="opted_out", source="a")
    chain = (StepRequest(channel="sms"),)
    world.start("postman")

    (ticket,) = await accept(world, submission(chain=chain, metadata={"order": "A17"}))
    await world.settle()

    (call,) = world.receiver.calls
    body = json.loads(call.message.content.text)
    assert hook.url == call.message.to.url
    assert body["type"] == "message.suppressed"
    assert (body["data"]["id"], body["data"]["detail"]) == (ticket.id, "opted_out")
    assert body["data"]["metadata"] == {"order": "A17"}
    ended = world.metrics.ended.labels("service", "suppressed")
    assert ended._value.get() == 1


async def test_repeated_request_tells_of_a_suppression_once(world: Any) -> None:
    await world.endpoints.put(
        world.caller(), url="https://good.example", events=(), secret=None, endpoint=None
    )
    address = wire.Address(phone="+8613800138000")
    await world.bans.add_address(wire.Channel.SMS, address, reason="opted_out", source="a")
    one = submission(chain=(StepRequest(channel="sms"),), idempotency_key="k")
    world.start("postman")

    await accept(world, one)
    await accept(world, one)
    await world.settle()

    assert len(world.receiver.calls) == 1


def objects(account: str) -> Any:
    return lambda content, to: "" if "fits" in content.text else f"too much for {account}"


async def test_step_that_no_account_can_carry_is_skipped_with_the_reasons(world: Any) -> None:
    for account in "ab":
        world.senders[account].provider.object = objects(account)

    (ticket,) = await accept(world, submission())

    message = (await world.case(ticket.id)).message
    assert [step.channel for step in message.chain] == ["email"]
    assert [(one.channel, one.reason) for one in message.skipped] == [
        ("sms", "a: too much for a; b: too much for b")
    ]


async def test_step_that_one_account_can_carry_is_taken(world: Any) -> None:
    world.senders["a"].provider.object = objects("a")

    (ticket,) = await accept(world, submission())
    world.start("a", "b")
    await world.settle()

    assert await world.state(ticket.id) == "sent"
    assert [len(world.senders[account].calls) for account in "ab"] == [0, 1]


@pytest.mark.parametrize(("device", "is_taken"), [("fits", True), ("large", False)])
async def test_one_device_that_can_be_reached_is_enough(
    world: Any, device: str, is_taken: bool
) -> None:
    world.senders["p"].provider.object = lambda content, to: "" if to.token == "fits" else "no"
    devices = tuple(Device(app="ios", token=token) for token in ("large", device))

    (verdict,) = await accept(
        world, submission(to=To(push=devices), chain=(StepRequest(channel="push"),))
    )

    assert isinstance(verdict, Ticket) is is_taken


@pytest.mark.parametrize("fields", [{"content": {"text": "hello"}}, {"template": "code"}])
async def test_message_that_nobody_can_carry_is_refused_for_what_it_says(
    make_world: Any, fields: dict[str, Any]
) -> None:
    world = await make_world(templates={"code": {"sms": {"text": "hello"}}})
    for account in "ab":
        world.senders[account].provider.object = objects(account)

    fields = {"content": {}, **fields, "chain": (StepRequest(channel="sms"),)}
    named, detail = await refusal(world, **fields)

    assert named == next(name for name in ("template", "content") if fields.get(name))
    assert "too much for b" in detail


def disowns(start: str, reason: str) -> Any:
    return lambda to: reason if to.token.startswith(start) else ""


async def test_device_that_no_account_of_the_lane_may_serve_is_refused_by_its_field(
    world: Any,
) -> None:
    world.senders["p"].provider.disown = disowns("wrong", "token: not one of ours")
    devices = tuple(Device(app="ios", token=token) for token in ("right", "wrong-1"))

    fault = await refusal(world, to=To(push=devices), chain=(StepRequest(channel="push"),))

    assert fault == ("to.push[1].token", "not one of ours")


async def test_device_that_another_account_of_the_lane_may_serve_is_taken(make_world: Any) -> None:
    world = await make_world(
        lanes={"push": {"channel": "push", "providers": ["p", "q"]}},
        providers={"q": {"kind": "http", "channel": "push", "url": "https://q.example.com"}},
    )
    world.senders["p"].provider.disown = disowns("apple", "app: not served")
    world.senders["q"].provider.disown = disowns("a", "token: not one of ours")
    push = (StepRequest(channel="push"),)

    (taken,) = await accept(
        world, submission(to=To(push=(Device(app="ios", token="android"),)), chain=push)
    )
    refused = await refusal(world, to=To(push=(Device(app="ios", token="apple"),)), chain=push)

    assert isinstance(taken, Ticket)
    assert refused == ("to.push[0].token", "not one of ours")


async def test_registered_device_that_cannot_be_served_is_left_out(world: Any) -> None:
    world.senders["p"].provider.disown = disowns("wrong", "token: not one of ours")
    good, bad = (PushDevice(app="ios", token=token) for token in ("right", "wrong"))
    push = (StepRequest(channel="push"),)
    chain = (*push, StepRequest(channel="email"))

    def named(*registered: PushDevice) -> Submission:
        to = replace(TO, push=tuple(Device(app=one.app, token=one.token) for one in registered))
        person = Recipient(id="user-42", push=registered)
        return submission(to=to, chain=chain, recipient=person)

    (both, only_bad) = await accept(world, named(good, bad), named(bad))

    steps = [(await world.case(one.id)).message.chain for one in (both, only_bad)]
    assert [part.token for part in steps[0][0].parts] == ["right"]
    assert [step.channel for step in steps[1]] == ["email"]


async def test_system_of_the_recipient_where_nothing_may_go_is_refused_by_its_field(
    make_world: Any,
) -> None:
    hook = {"kind": "http", "channel": "webhook", "url": "https://w.example.com"}
    world = await make_world(
        lanes={"own": {"channel": "webhook", "providers": ["w"]}}, providers={"w": hook}
    )
    check = devices.of_urls(lambda url: "" if "good" in url else "address not allowed")
    world.senders["w"].provider.disown = check
    chain = (StepRequest(channel="webhook"),)

    (taken,) = await accept(world, submission(to=To(url="https://good.example"), chain=chain))
    fault = await refusal(world, to=To(url="https://10.0.0.1/x"), chain=chain)

    assert isinstance(taken, Ticket)
    assert fault == ("to.url", "address not allowed")


async def test_template_is_weighed_where_every_account_may_object(make_world: Any) -> None:
    world = await make_world(templates={"news": {"push": {"text": "{{ what }}"}}})
    world.senders["p"].provider.object = objects("p")
    to = To(push=(Device(app="ios", token="t"),))
    fields = {"to": to, "template": "news", "content": {}, "chain": (StepRequest(channel="push"),)}

    (taken,) = await accept(world, submission(**fields, data={"what": "fits"}))
    field, detail = await refusal(world, **fields, data={"what": "long"})

    assert isinstance(taken, Ticket)
    assert (field, "too much for p" in detail) == ("template", True)


async def test_template_of_an_email_is_not_rendered_before_it_is_sent(make_world: Any) -> None:
    world = await make_world(templates={"news": {"email": {"text": "{{ 1 / what }}"}}})
    fields = {"template": "news", "content": {}, "chain": (StepRequest(channel="email"),)}

    (verdict,) = await accept(world, submission(**fields, data={"what": 0}))

    assert isinstance(verdict, Ticket)

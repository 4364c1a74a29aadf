"""Hours in which nothing leaves: when a message is accepted, and while it waits."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.model import wire
from gateway.model.errors import InvalidMessage
from gateway.model.message import Mode, Whom
from gateway.model.recipient import Recipient
from gateway.model.state import State
from gateway.model.submission import Device, StepRequest, Submission, To
from tests.dispatch.conftest import MakeWorld

TO = To(phone="+8613800138000", email="li@example.com", push=(Device(app="ios", token="t1"),))
PUSH, SMS, EMAIL = (StepRequest(channel=one) for one in ("push", "sms", "email"))

#: Worlds begin on Saturday 2026-11-21 at 00:16:40 UTC, in China at 08:16:40.
OPENS_SOON = {"windows": ["08:18-20:00"]}
CLOSES_SOON = {"windows": ["08:00-08:18"]}
CLOSED_TODAY = {"windows": ["Mon 09:00-20:00"]}


async def timed(make_world: MakeWorld, **timing: Any) -> Any:
    """A world whose category `service` has these rules."""
    categories = {"service": {"timing": list(timing)}}
    return await make_world(timing=timing, categories=categories)


async def post(world: Any, *chain: StepRequest, **fields: Any) -> Any:
    usual = {"to": TO, "chain": chain or (SMS,), "content": {"text": "t", "subject": "s"}}
    return await world.post(**{**usual, **fields})


async def timeline(world: Any, message: str) -> list[tuple[str, str, str]]:
    """(event, channel, detail), without `accepted`."""
    found = await world.desk.read(world.caller(), message)
    return [(one.event, one.channel, one.detail) for one in found.timeline][1:]


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def deferred(world: Any, rule: str, category: str = "service") -> float:
    return float(world.metrics.deferred.labels(category, rule)._value.get())


# When it is accepted


async def test_message_that_comes_too_early_is_scheduled_for_the_opening(
    make_world: MakeWorld,
) -> None:
    world = await timed(make_world, office=OPENS_SOON)

    id_ = await post(world)

    case = await world.case(id_)
    assert await world.state(id_) == "scheduled"
    assert await timeline(world, id_) == [("deferred", "sms", "office")]
    assert [row.due_ms for row in case.live] == [at("2026-11-21T00:18:00+00:00")]
    assert case.expires_ms - case.created_ms == case.message.life_ms
    assert deferred(world, "windows") == 1.0


async def test_scheduled_message_leaves_when_it_opens(make_world: MakeWorld) -> None:
    world = await timed(make_world, office=OPENS_SOON)
    world.start()

    id_ = await post(world)
    await world.settle(120.0)

    (sent,) = world.senders["a"].times
    assert 1080.0 <= sent < 1081.0  # 00:18 UTC, on a clock that began at midnight
    assert await world.timeline(id_) == ["deferred", "attempt.accepted"]


async def test_time_to_send_at_may_be_closed_as_well(make_world: MakeWorld) -> None:
    world = await timed(make_world, office=CLOSED_TODAY)

    id_ = await post(world, send_at=datetime(2026, 11, 22, 20, tzinfo=UTC))

    case = await world.case(id_)
    assert [row.due_ms for row in case.live] == [at("2026-11-23T09:00:00+08:00")]
    assert case.expires_ms == at("2026-11-23T20:00:00+00:00")


async def test_steps_by_time_limit_count_from_the_opening(make_world: MakeWorld) -> None:
    world = await timed(make_world, office={**OPENS_SOON, "channels": ["push"]})

    id_ = await post(world, StepRequest(channel="push", within=20.0), SMS)

    dues = [row.due_ms for row in (await world.case(id_)).live]
    assert dues == [at("2026-11-21T00:18:00+00:00"), at("2026-11-21T00:18:20+00:00")]


async def test_step_that_opens_too_late_is_skipped_for_the_next(make_world: MakeWorld) -> None:
    world = await timed(make_world, office={**CLOSED_TODAY, "channels": ["sms"]})

    id_ = await post(world, SMS, EMAIL)

    assert [step.channel for step in (await world.case(id_)).message.chain] == ["email"]
    assert await timeline(world, id_) == [("skipped", "sms", "office")]
    assert await world.state(id_) == "queued"


async def test_message_without_a_step_in_time_ends_by_the_rule(make_world: MakeWorld) -> None:
    world = await timed(make_world, office=CLOSED_TODAY)

    id_ = await post(world)

    assert await world.state(id_) == "suppressed"
    assert await timeline(world, id_) == [("suppressed", "", "office")]
    assert await world.rows() == []
    assert deferred(world, "windows") == 0.0


async def test_expiry_decides_whether_it_can_wait(make_world: MakeWorld) -> None:
    world = await timed(make_world, office=OPENS_SOON)

    states = [await world.state(await post(world, expires_in=life)) for life in (79.0, 81.0)]

    assert states == ["suppressed", "scheduled"]


async def test_steps_at_once_start_when_the_first_may_and_each_when_it_may(
    make_world: MakeWorld,
) -> None:
    world = await timed(make_world, office={**OPENS_SOON, "channels": ["sms"]})
    world.start()

    id_ = await post(world, SMS, EMAIL, mode=Mode.ALL)
    await world.settle(120.0)

    (texted,), (mailed,) = world.senders["a"].times, world.senders["m"].times
    assert mailed < 1001.0
    assert 1080.0 <= texted < 1081.0
    assert await world.state(id_) == "sent"


async def test_steps_at_once_wait_together_where_all_are_closed(make_world: MakeWorld) -> None:
    world = await timed(
        make_world,
        texts={**OPENS_SOON, "channels": ["sms"]},
        mails={"windows": ["08:20-20:00"], "channels": ["email"]},
    )

    id_ = await post(world, EMAIL, SMS, mode=Mode.ALL)

    case = await world.case(id_)
    assert {row.due_ms for row in case.live} == {at("2026-11-21T00:18:00+00:00")}
    assert await timeline(world, id_) == [("deferred", "", "texts")]


async def test_repeated_message_counts_as_deferred_once(make_world: MakeWorld) -> None:
    world = await timed(make_world, office=OPENS_SOON)
    submission = Submission(
        to=TO, category="service", content={"text": "t"}, idempotency_key="k", fingerprint=b"f"
    )

    for _ in range(2):
        await world.intake.accept(world.caller(), [submission])

    assert deferred(world, "windows") == 1.0


async def test_preview_tells_when_it_would_start_and_by_which_rule(make_world: MakeWorld) -> None:
    world = await timed(make_world, office=OPENS_SOON)
    submission = Submission(to=TO, category="service", chain=(SMS,), content={"text": "t"})

    found = await world.intake.preview(world.caller(), submission)

    assert (found.decision, found.reasons) == ("defer", ["office"])
    assert found.until_ms == at("2026-11-21T00:18:00+00:00")
    assert found.expires_in == 86400.0


async def test_preview_tells_what_would_never_start(make_world: MakeWorld) -> None:
    world = await timed(make_world, office=CLOSED_TODAY)
    submission = Submission(to=TO, category="service", chain=(SMS,), content={"text": "t"})

    found = await world.intake.preview(world.caller(), submission)

    assert (found.decision, found.reasons, found.until_ms) == ("suppress", ["office"], None)


# Whose clock


async def test_caller_may_say_where_the_person_is(make_world: MakeWorld) -> None:
    world = await timed(make_world, office=OPENS_SOON)
    to = To(phone="+8613800138000", zone="Asia/Tokyo", locale="ja-jp", recipient="u1")

    id_ = await post(world, to=to)

    case = await world.case(id_)
    assert case.message.whom == Whom(recipient="u1", zone="Asia/Tokyo", locale="ja-JP")
    assert await world.state(id_) == "queued"


async def test_message_of_which_nothing_is_said_carries_nothing(world: Any) -> None:
    assert (await world.case(await post(world))).message.whom is None


async def test_unknown_zone_and_language_are_refused_by_name(world: Any) -> None:
    to = To(phone="+8613800138000", zone="Mars/Olympus", locale="martian-old")

    (refused,) = await world.intake.accept(
        world.caller(), [Submission(to=to, category="service", content={"text": "t"})]
    )

    assert isinstance(refused, InvalidMessage)
    assert [fault.field for fault in refused.faults] == ["to.zone", "to.locale"]
    assert "Mars" not in str(refused.faults)


# While it waits


async def test_hours_that_end_while_a_message_waits_hold_it_until_they_begin_again(
    make_world: MakeWorld,
) -> None:
    world = await timed(make_world, office={"windows": ["08:00-08:18", "08:20-20:00"]})

    id_ = await post(world)
    await world.jump(100.0)  # 08:18:20, and nobody has been at work
    world.start()
    await world.settle(200.0)

    (sent,) = world.senders["a"].times
    assert 1200.0 <= sent < 1201.0
    assert await timeline(world, id_) == [
        ("deferred", "sms", "office"),
        ("attempt.accepted", "sms", ""),
    ]
    assert deferred(world, "windows") == 1.0


async def test_hours_that_end_for_good_while_it_waits_end_the_message(
    make_world: MakeWorld,
) -> None:
    world = await timed(make_world, office=CLOSES_SOON)

    id_ = await post(world, expires_in=3600.0)
    await world.jump(100.0)
    world.start()
    await world.settle(60.0)

    assert await world.state(id_) == "suppressed"
    assert world.attempts() == {}


async def test_retry_waits_for_the_hours(make_world: MakeWorld) -> None:
    world = await timed(make_world, office={"windows": ["08:00-08:17", "08:19-20:00"]})
    busy = wire.Deferred(code="busy", retry_after=30.0)
    for account in ("a", "b"):
        world.senders[account].script(busy, wire.Accepted())
    world.start()

    id_ = await post(world)
    await world.settle(300.0)

    texted = sorted(world.senders["a"].times + world.senders["b"].times)
    assert [time >= 1140.0 for time in texted] == [False, False, True]
    assert await world.state(id_) == "sent"


async def test_quiet_hours_of_a_recipient_are_kept(make_world: MakeWorld) -> None:
    world = await make_world(categories={"service": {"respect_quiet": True}})
    quiet = (("22:00", "08:18"),)
    li = Recipient(id="li", phone="+12125550123", zone="Asia/Shanghai", quiet=quiet)
    await world.recipients.put(world.caller(), [world.recipients.check(li)])

    id_ = await post(world, to=To(recipient="li"))

    assert await timeline(world, id_) == [("deferred", "sms", "the recipient's quiet hours")]
    assert deferred(world, "recipient") == 1.0


async def test_zone_that_the_caller_gives_counts_before_the_recorded_one(
    make_world: MakeWorld,
) -> None:
    world = await timed(make_world, office=OPENS_SOON)
    li = Recipient(id="li", phone="+12125550123", zone="Asia/Shanghai", locale="zh-CN")
    await world.recipients.put(world.caller(), [world.recipients.check(li)])

    id_ = await post(world, to=To(recipient="li", zone="Asia/Tokyo"))

    whom = (await world.case(id_)).message.whom
    assert (whom.zone, whom.locale) == ("Asia/Tokyo", "zh-CN")
    assert await world.state(id_) == "queued"


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_ever_leaves_in_quiet_hours(make_world: MakeWorld, seed: int) -> None:
    chance = random.Random(seed)
    minutes = sorted(chance.sample(range(17, 22), 4))
    pauses = [(minutes[0], minutes[1]), (minutes[2], minutes[3])]
    quiet = [f"00:{start}-00:{end}" for start, end in pauses]
    world = await make_world(
        timing={"night": {"quiet": quiet, "zone": "UTC", "channels": ["sms"]}},
        categories={"service": {"timing": ["night"]}},
        providers={"a": {"rate": 0.4}, "b": {"rate": 0.3}},
    )
    world.senders["a"].answer = unsure(chance)
    world.start("a", "b", "m", "upkeep")

    ids = []
    for _ in range(20):
        lives = chance.choice([60.0, 600.0, 3600.0])
        many = range(chance.randint(1, 8))
        ids += [await post(world, SMS, EMAIL, expires_in=lives) for _ in many]
        await world.sleep(chance.uniform(1.0, 15.0))
    await world.settle(3600.0)

    assert {await world.state(id_) for id_ in ids} <= {State.SENT, State.EXPIRED}
    texted = world.senders["a"].times + world.senders["b"].times
    assert len(texted) > 20
    for time in texted:  # since midnight UTC
        assert not any(start * 60 <= time < end * 60 for start, end in pauses), (quiet, time)


def unsure(chance: random.Random) -> Any:
    """Answers of all sorts."""

    def answer(message: wire.Message, time: int) -> wire.AttemptResult:
        busy = wire.Deferred(code="busy", retry_after=chance.uniform(0, 90))
        return busy if chance.random() < 0.3 else wire.Accepted()

    return answer

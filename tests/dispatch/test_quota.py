"""A day's quota is set aside before it is used: a crash loses some and mints none."""

from collections.abc import Awaitable, Callable
from typing import Any

from gateway.dispatch.quota import DailyQuota
from gateway.model.submission import StepRequest

MakeWorld = Callable[..., Awaitable[Any]]
SMS_ONLY: dict[str, Any] = {"chain": (StepRequest(channel="sms"),)}


def quota_of(world: Any, limit: int = 10, zone: str = "UTC") -> DailyQuota:
    return DailyQuota(world.store, world.clock, account="a", limit=limit, zone=zone)


async def test_what_is_not_spent_is_kept_for_the_next_time(world: Any) -> None:
    quota = quota_of(world)

    first = await quota.reserve(6)
    quota.spend(2)
    second = await quota.reserve(6)
    quota.spend(6)
    third = await quota.reserve(6)

    assert (first, second, third) == (6, 6, 2)


async def test_processes_share_a_day_and_a_crash_mints_nothing(world: Any) -> None:
    crashed, other = quota_of(world), quota_of(world)

    assert await crashed.reserve(6) == 6
    assert await other.reserve(10) == 4


async def test_new_day_is_whole_and_the_old_one_s_rest_is_gone(world: Any) -> None:
    quota = quota_of(world)
    await quota.reserve(10)
    quota.spend(4)

    await world.jump(86_400.0)

    assert await quota.reserve(20) == 10


CALLS = {"rate_unit": "request", "daily_quota": 3, "concurrency": 1}
ONLY_A = {"sms": {"providers": ["a"]}}


async def test_calls_are_what_counts_where_they_are_the_unit(make_world: MakeWorld) -> None:
    world = await make_world(batches={"a": 10}, providers={"a": CALLS}, lanes=ONLY_A)
    ids = await world.post_all([SMS_ONLY] * 40)

    world.start()
    await world.sleep(5.0)

    sender = world.senders["a"]
    assert len(sender.groups) == 3
    assert len(sender.groups[1]) == len(sender.groups[2]) == 10
    assert await world.sql("SELECT used FROM quota") == [(3,)]
    assert len(sender.calls) + len(await world.rows()) == len(ids)


async def test_next_day_has_calls_of_its_own(make_world: MakeWorld) -> None:
    world = await make_world(batches={"a": 10}, providers={"a": CALLS}, lanes=ONLY_A)
    ids = await world.post_all([{**SMS_ONLY, "expires_in": 4 * 86_400.0}] * 40)

    world.start()
    await world.sleep(5.0)
    await world.jump(86_400.0)
    await world.sleep(5.0)

    assert sorted(world.senders["a"].sent) == sorted(ids)
    assert len(world.senders["a"].groups) <= 6


async def test_messages_that_cannot_share_calls_cost_one_each(make_world: MakeWorld) -> None:
    world = await make_world(batches={"a": 10}, providers={"a": CALLS}, lanes=ONLY_A)
    world.senders["a"].batch = 1  # their texts differ
    await world.post_all([SMS_ONLY] * 8)

    world.start()
    await world.sleep(5.0)

    assert len(world.senders["a"].calls) == 3
    # the others wait, at no cost
    assert await world.sql("SELECT sum(attempts), count(*) FROM queue") == [(0, 5)]


async def test_calls_without_a_batch_are_messages(make_world: MakeWorld) -> None:
    world = await make_world(providers={"a": {**CALLS, "concurrency": 4}}, lanes=ONLY_A)
    await world.post_all([SMS_ONLY] * 8)

    world.start()
    await world.sleep(5.0)

    assert len(world.senders["a"].calls) == 3


async def test_nothing_is_taken_beyond_what_was_set_aside(world: Any) -> None:
    quota = quota_of(world)
    await quota.reserve(2)

    taken = [quota.take(1), quota.take(2), quota.take(1), quota.take(1)]

    assert taken == [True, False, True, False]


async def test_yesterday_s_rest_is_not_taken_today(world: Any) -> None:
    quota = quota_of(world)
    await quota.reserve(2)

    await world.jump(86_400.0)

    assert not quota.take(1)


async def test_call_for_which_too_little_is_left_waits(make_world: MakeWorld) -> None:
    world = await make_world(providers={"a": CALLS}, lanes=ONLY_A)
    sender, returned = world.senders["a"], 0
    plan, give_back = sender.plan, world.store.give_back
    sender.plan = lambda messages: [one._replace(parts=2) for one in plan(messages)]

    async def count(rows: Any) -> None:
        nonlocal returned
        returned += 1
        await give_back(rows)

    world.store.give_back = count
    await world.post_all([SMS_ONLY] * 2)

    world.start("a")
    await world.sleep(5.0)

    assert len(sender.groups) == 1
    assert returned <= 6

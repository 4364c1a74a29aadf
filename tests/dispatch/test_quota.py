"""A day's quota is set aside before it is used: a crash loses some and mints none."""

from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.dispatch.quota import Allowance, DailyQuota
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


def long_text(parts: int) -> dict[str, Any]:
    """To +86, where 67 characters make a part."""
    return {**SMS_ONLY, "content": {"text": "x" * (67 * parts)}}


async def test_text_of_more_parts_than_a_day_has_goes_by_the_next_account(
    make_world: MakeWorld,
) -> None:
    parts = {"rate_unit": "part", "daily_quota": 3}
    world = await make_world(providers={"a": parts, "b": {}})
    ids = await world.post_all([long_text(4), SMS_ONLY, long_text(2), long_text(4)])

    world.start()
    await world.settle(30.0)

    sent = world.attempts()
    assert [sent[one] for one in ids] == [["b"], ["a"], ["a"], ["b"]]
    assert await world.sql(
        f"SELECT provider, outcome, detail FROM attempt WHERE message = '{ids[0]}' ORDER BY number"
    ) == [("a", "rejected", "takes 4 of a daily_quota of 3"), ("b", "accepted", "")]
    assert await world.sql("SELECT used FROM quota") == [(3,)]


async def test_call_of_more_requests_than_a_day_has_fails_where_nobody_else_is(
    make_world: MakeWorld,
) -> None:
    world = await make_world(providers={"a": CALLS}, lanes=ONLY_A)
    sender = world.senders["a"]
    plan = sender.plan
    sender.plan = lambda messages: [
        one._replace(parts=4 if "long" in one.messages[0].content.text else 1)
        for one in plan(messages)
    ]
    long, short = await world.post_all([{**SMS_ONLY, "content": {"text": "long"}}, SMS_ONLY])

    world.start()
    await world.settle(30.0)

    assert (await world.state(long), await world.state(short)) == ("failed", "sent")
    assert sender.sent == [short]
    assert await world.sql(f"SELECT code, detail FROM attempt WHERE message = '{long}'") == [
        ("unfit", "takes 4 of a daily_quota of 3")
    ]


async def test_one_too_large_for_a_day_holds_up_nobody_in_its_call(make_world: MakeWorld) -> None:
    parts = {"rate_unit": "part", "daily_quota": 9}
    world = await make_world(batches={"a": 10}, providers={"a": parts}, lanes=ONLY_A)
    ids = await world.post_all([*[SMS_ONLY] * 4, long_text(10), *[SMS_ONLY] * 4])

    world.start()
    await world.settle(30.0)

    assert [await world.state(one) for one in ids] == ["sent"] * 4 + ["failed"] + ["sent"] * 4


@given(
    units=st.integers(1, 50), a_day=st.one_of(st.none(), st.integers(1, 50)), by_call=st.booleans()
)
def test_only_what_no_day_has_enough_for_is_objected_to(
    units: int, a_day: int | None, by_call: bool
) -> None:
    allowance = Allowance(a_day=a_day, tokens_of=lambda row: units, by_call=by_call)

    of_row = allowance.objection(None)  # type: ignore[arg-type]  # its units are given
    of_call = allowance.objection_to_call(units)

    assert bool(of_row or of_call) is (a_day is not None and units > a_day)
    assert not (of_row and of_call)

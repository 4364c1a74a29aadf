"""Workers on virtual time: retries, spilling, limits, pauses, drain."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from gateway.dispatch import slots
from gateway.model import wire
from gateway.model.errors import StoreUnavailable
from gateway.model.message import OnUnknown, Priority
from gateway.model.submission import Device, StepRequest, To
from gateway.store.base import ClaimRequest

BUSY = wire.Deferred(code="busy")
REFUSED = wire.Deferred(code="refused", cause=wire.Cause.CONNECT)
BAD = wire.Rejected(code="bad")
OK = wire.Accepted()
EMAIL_ONLY = {"chain": (StepRequest(channel="email"),)}
CRITICAL = {"category": "otp", "chain": (StepRequest(channel="sms"),)}
BULK = {"category": "marketing", "on_unknown": OnUnknown.RESEND}
ONCE = {"category": "marketing"}


async def test_message_is_sent_and_done(world: Any) -> None:
    world.start()

    id_ = await world.post()
    await world.settle()

    assert world.attempts() == {id_: ["a"]}
    assert await world.state(id_) == "sent"
    assert await world.timeline(id_) == ["attempt.accepted"]
    assert world.accounts["a"].in_flight == 0


async def test_what_was_accepted_before_the_start_is_sent(world: Any) -> None:
    ids = await world.post_all([{}] * 50)

    world.start()
    await world.settle()

    assert sorted(world.senders["a"].sent) == sorted(ids)


async def test_trouble_is_retried_by_the_next_account_at_once_then_with_back_off(
    world: Any,
) -> None:
    for name in ("a", "b"):
        world.senders[name].script(BUSY)
    world.start()

    id_ = await world.post(chain=(StepRequest(channel="sms"),))
    await world.settle()

    times = sorted(world.senders["a"].times + world.senders["b"].times)
    waits = [later - sooner for sooner, later in pairwise(times)]
    assert set(world.attempts()[id_][:2]) == {"a", "b"}
    assert len(times) == 5
    # full jitter on 4, 16 and 64 seconds, and up to a second until somebody looks
    assert [wait <= most + 1.5 for wait, most in zip(waits, (0, 4, 16, 64), strict=True)] == [
        True
    ] * 4
    assert await world.state(id_) == "failed"


async def test_retry_after_is_obeyed(make_world: Any) -> None:
    world = await make_world()
    world.senders["m"].script(wire.Deferred(code="later", retry_after=90.0), OK)
    world.start()

    id_ = await world.post(**EMAIL_ONLY)
    await world.settle()

    first, second = world.senders["m"].times
    assert 90.0 <= second - first < 92.0
    assert await world.state(id_) == "sent"


async def test_refusal_goes_on_to_the_next_step(world: Any) -> None:
    world.senders["a"].script(BAD)
    world.start()

    id_ = await world.post()
    await world.settle()

    assert world.attempts() == {id_: ["a", "m"]}
    assert await world.timeline(id_) == ["attempt.rejected", "fallback", "attempt.accepted"]


async def test_refusal_by_the_account_goes_to_another(world: Any) -> None:
    world.senders["a"].script(wire.Rejected(code="route", scope=wire.Scope.PROVIDER))
    world.start()

    id_ = await world.post()
    await world.settle()

    assert world.attempts() == {id_: ["a", "b"]}


async def test_lost_answer_is_sent_again_by_the_same_account(world: Any) -> None:
    world.senders["a"].script(wire.Unknown(code="timeout"), OK)
    world.start()

    id_ = await world.post()
    await world.settle()

    first, second = (call.message.reference for call in world.senders["a"].calls)
    assert world.attempts() == {id_: ["a", "a"]}
    assert first == second


async def test_lost_answer_ends_what_must_arrive_once(world: Any) -> None:
    world.senders["a"].script(wire.Unknown(code="timeout"))
    world.start()

    id_ = await world.post(**ONCE)
    await world.settle()

    assert world.attempts() == {id_: ["a"]}
    assert await world.state(id_) == "unknown"


def count_claims(world: Any) -> list[Any]:
    """Grows by each request for rows that goes to the store."""
    claim, asked = world.store.claim, []

    async def counted(request: Any) -> Any:
        asked.append(request)
        return await claim(request)

    world.store.claim = counted
    return asked


async def test_what_must_arrive_once_is_claimed_only_when_it_can_start(make_world: Any) -> None:
    world = await make_world(
        providers={"a": {"rate": 40, "concurrency": 4}}, lanes={"sms": {"providers": ["a"]}}
    )
    world.senders["a"].latency = 0.2
    world.start()
    await world.post_all([ONCE] * 100)

    claims, held = count_claims(world), []
    for _ in range(20):
        await world.sleep(0.1)
        held.append(world.workers["a"]._slots.held[0])

    assert not any(held)  # claimed, and without a slot
    assert world.senders["a"].most_in_flight == 4
    assert len(world.senders["a"].calls) >= 0.8 * 20 * 2
    assert len(claims) <= 3 * len(world.senders["a"].calls)


async def test_account_that_is_busy_claims_some_at_a_time(make_world: Any) -> None:
    world = await make_world(providers={"a": {"rate": 100}}, lanes={"sms": {"providers": ["a"]}})
    await world.post_all([{}] * 600)
    claims = count_claims(world)
    world.start("a")

    await world.sleep(5.0)

    assert len(world.senders["a"].calls) >= 0.97 * 500
    assert len(claims) <= 500 / 4


async def test_open_breaker_lets_the_second_account_take_over(world: Any) -> None:
    world.senders["a"].script(REFUSED)
    world.start()

    ids = await world.post_all([{}] * 40)
    await world.settle()

    assert {await world.state(id_) for id_ in ids} == {"sent"}
    assert set(world.senders["b"].sent) == set(ids)
    assert world.accounts["a"].breaker.state == "open"
    before = len(world.senders["a"].calls)
    await world.post_all([{}] * 40)
    await world.settle()
    assert len(world.senders["a"].calls) - before <= 1


async def test_rows_kept_for_a_dead_account_are_let_go(world: Any) -> None:
    world.senders["b"].script(BUSY)
    world.senders["a"].answer = lambda message, time: OK if time > 1 else BUSY
    world.start()
    for _ in range(20):
        world.accounts["b"].fail(connect=True)

    ids = await world.post_all([{}] * 10)
    await world.settle()

    assert {await world.state(id_) for id_ in ids} == {"sent"}
    assert set(Counter(world.senders["a"].sent).values()) == {2}


async def test_account_is_asked_again_after_its_trouble(world: Any) -> None:
    world.senders["m"].script(REFUSED)
    world.start()
    await world.post_all([EMAIL_ONLY] * 10)
    await world.sleep(3.0)
    assert world.accounts["m"].breaker.state == "open"

    world.senders["m"].script(OK)
    await world.settle()

    assert world.accounts["m"].breaker.state == "closed"


async def test_probe_that_the_gate_refuses_does_not_lock_the_account(world: Any) -> None:
    world.senders["m"].script(REFUSED)
    world.start()
    await world.post_all([EMAIL_ONLY] * 6)
    await world.sleep(1.0)
    assert world.accounts["m"].breaker.state == "open"
    address = wire.Address(email="li@example.com")
    await world.bans.add_address(wire.Channel.EMAIL, address, reason="bounced", source="test")

    world.senders["m"].script(OK)
    await world.sleep(60.0)
    id_ = await world.post(to=To(email="mei@example.com"), **EMAIL_ONLY)
    await world.settle()

    assert await world.state(id_) == "sent"


async def test_refused_credential_pauses_the_account_and_costs_no_attempt(world: Any) -> None:
    refused = wire.Deferred(code="http_401", cause=wire.Cause.CREDENTIAL)
    world.senders["m"].answer = lambda message, time: OK if time > 5 else refused
    world.start()

    id_ = await world.post(**EMAIL_ONLY)
    await world.settle()

    times = world.senders["m"].times
    assert len(times) == 6
    assert all(later - sooner >= 30.0 for sooner, later in pairwise(times))
    assert await world.state(id_) == "sent"
    assert world.metrics.credential_refusals.labels("m")._value.get() == 5


async def test_refused_credential_leaves_a_message_all_of_its_attempts(make_world: Any) -> None:
    world = await make_world(retry={"attempts": 2})
    refused = wire.Deferred(code="http_401", cause=wire.Cause.CREDENTIAL)
    busy = wire.Deferred(code="http_503", cause=wire.Cause.TEMPORARY)
    script = [refused, refused, refused, busy]
    world.senders["m"].answer = lambda message, time: script[time - 1] if time <= 4 else OK
    world.start()

    id_ = await world.post(**EMAIL_ONLY)
    await world.settle()

    assert await world.state(id_) == "sent"
    assert len(world.senders["m"].times) == 5


async def test_probe_with_a_refused_credential_is_repeated(world: Any) -> None:
    refused = wire.Deferred(code="http_401", cause=wire.Cause.CREDENTIAL)
    script = [REFUSED] * 5 + [refused, OK]
    world.senders["m"].answer = lambda message, time: script.pop(0) if len(script) > 1 else OK
    world.start()

    ids = await world.post_all([EMAIL_ONLY] * 5)
    await world.settle()

    assert {await world.state(id_) for id_ in ids} == {"sent"}


async def test_throttling_pauses_and_halves_and_costs_no_attempt(make_world: Any) -> None:
    world = await make_world(providers={"m": {"rate": 50, "concurrency": 4}})
    slow = wire.Deferred(code="http_429", cause=wire.Cause.THROTTLED, retry_after=20.0)
    world.senders["m"].answer = lambda message, time: OK if time > 1 else slow
    world.start()

    id_ = await world.post(**EMAIL_ONLY)
    await world.sleep(10.0)
    factor = world.accounts["m"].limiter.bucket.factor
    await world.settle()

    first, second = world.senders["m"].times
    (attempt, again) = (await world.case(id_)).attempts
    assert second - first >= 20.0
    assert factor == 0.5
    assert (attempt.outcome, again.outcome) == ("deferred", "accepted")
    assert await world.state(id_) == "sent"


async def test_throttled_account_leaves_its_work_to_the_other(world: Any) -> None:
    slow = wire.Deferred(code="http_429", cause=wire.Cause.THROTTLED, retry_after=3600.0)
    world.senders["a"].script(slow)
    world.start()

    ids = await world.post_all([{}] * 20)
    await world.settle(60.0)

    assert {await world.state(id_) for id_ in ids} == {"sent"}


async def test_work_spills_to_the_second_account_when_the_first_cannot_keep_up(
    make_world: Any,
) -> None:
    world = await make_world(providers={"a": {"rate": 10}, "b": {"rate": 10}})
    world.start()

    await world.post_all([{}] * 100)
    start = world.clock.monotonic()
    await world.settle()

    assert max(world.senders["a"].times + world.senders["b"].times) - start < 6.0
    assert len(world.senders["b"].calls) > 30
    assert world.senders["b"].times[0] - start >= 0.25


async def test_first_account_keeps_what_it_can_carry(world: Any) -> None:
    world.start()

    for _ in range(20):
        await world.post_all([{}] * 5)
        await world.sleep(0.5)
    await world.settle()

    assert len(world.senders["a"].calls) == 100
    assert world.senders["b"].calls == []


@pytest.mark.parametrize(("rate", "burst"), [(5, 1), (50, 10), (400, 80)])
async def test_rate_is_kept_and_used(make_world: Any, rate: int, burst: int) -> None:
    world = await make_world(providers={"m": {"rate": rate, "burst": burst}})
    world.senders["m"].latency = 0.02
    world.start()

    count = min(rate * 6, 800)
    await world.post_all([EMAIL_ONLY] * count)
    await world.settle()

    times = world.senders["m"].times
    assert len(times) == count
    for width in (1, burst, count // 2, count - 1):
        spans = [times[last] - times[last - width] for last in range(width, count)]
        assert all(width + 1 <= burst + rate * span + 1e-6 for span in spans)
    assert count / (times[-1] - times[0]) >= 0.97 * rate


async def test_parts_cost_as_many_tokens(make_world: Any) -> None:
    world = await make_world(
        providers={"a": {"rate": 10, "rate_unit": "part"}}, lanes={"sms": {"providers": ["a"]}}
    )
    world.start()

    british = To(phone="+447700900123")  # three segments; in China it would be six
    await world.post_all([{"to": british, "content": {"text": "x" * 400}}] * 20)
    await world.settle()

    times = world.senders["a"].times
    assert times[-1] - times[0] == pytest.approx(19 * 0.3, abs=0.1)


async def test_slots_bound_what_is_in_flight(make_world: Any) -> None:
    world = await make_world(providers={"m": {"concurrency": 3}})
    world.senders["m"].latency = 1.0
    world.start()

    await world.post_all([EMAIL_ONLY] * 30)
    await world.settle()

    assert world.senders["m"].most_in_flight == 3
    assert world.senders["m"].times[-1] - world.senders["m"].times[0] < 10.0


async def test_memory_does_not_grow_with_the_backlog(make_world: Any) -> None:
    world = await make_world(providers={"m": {"rate": 20}})
    world.start()

    await world.post_all([EMAIL_ONLY] * 1000)
    claimed = 0
    for _ in range(20):
        await world.sleep(0.25)
        claimed = max(claimed, sum(row[4] is not None for row in await world.rows()))

    assert claimed <= 20 * 0.1 + 4 + 2


async def test_urgent_message_does_not_wait_behind_bulk(make_world: Any) -> None:
    world = await make_world(providers={"a": {"rate": 50}}, lanes={"sms": {"providers": ["a"]}})
    world.start()
    await world.post_all([BULK] * 500)
    await world.sleep(3.0)

    id_ = await world.post(**CRITICAL)
    posted = world.clock.monotonic()
    await world.sleep(1.0)

    (sent,) = (call.at for call in world.senders["a"].calls if call.id == id_)
    assert sent - posted <= 0.2


async def test_reserve_is_there_when_something_urgent_comes(make_world: Any) -> None:
    world = await make_world(
        providers={"a": {"rate": 50, "burst": 50, "reserve": {"critical": 0.8}}},
        lanes={"sms": {"providers": ["a"]}},
    )
    world.start()
    await world.post_all([BULK] * 500)
    await world.sleep(3.0)

    posted = world.clock.monotonic()
    ids = await world.post_all([CRITICAL] * 40)
    await world.sleep(1.0)

    last = max(call.at for call in world.senders["a"].calls if call.id in ids)
    assert last - posted <= 0.1


async def test_urgent_message_of_another_lane_goes_first_too(make_world: Any) -> None:
    world = await make_world(
        providers={"a": {"rate": 20}},
        lanes={
            "sms": {"providers": ["a"]},
            "sms.uk": {"channel": "sms", "providers": ["a"], "match": {"phone_prefix": ["+44"]}},
        },
    )
    await world.post_all([BULK] * 200)
    british = To(phone="+447700900123")
    ids = await world.post_all([{**CRITICAL, "to": british}] * 60)
    world.start()

    await world.sleep(4.0)

    first = world.senders["a"].sent[:60]
    assert len(set(first) & set(ids)) >= 55


async def test_rows_of_one_lane_are_sent_though_another_could_not_be_claimed(
    make_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await make_world(
        lanes={
            "sms": {"providers": ["a"]},
            "sms.uk": {"channel": "sms", "providers": ["a"], "match": {"phone_prefix": ["+44"]}},
        },
    )
    claim = world.store.claim

    async def flaky(request: Any) -> Any:
        if request.lane == "sms.uk" and request.highest == Priority.BULK:
            raise StoreUnavailable("away")
        return await claim(request)

    ids = await world.post_all([{}] * 10)
    monkeypatch.setattr(world.store, "claim", flaky)
    world.start("a")
    await world.sleep(5.0)

    assert {await world.state(id_) for id_ in ids} == {"sent"}


async def test_low_priority_gets_its_least_share(make_world: Any) -> None:
    world = await make_world(providers={"a": {"rate": 100}}, lanes={"sms": {"providers": ["a"]}})
    await world.post_all([BULK] * 100)
    await world.post_all([{"category": "service"}] * 100)
    await world.post_all([CRITICAL] * 1000)
    world.start("a")

    await world.sleep(10.0)

    sent = Counter(call.message.category for call in world.senders["a"].calls)
    assert sum(sent.values()) >= 0.97 * 1000
    assert sent["marketing"] >= 0.018 * 1000
    assert sent["service"] >= 0.018 * 1000
    assert sent["otp"] >= 0.9 * 1000


async def test_tenants_share_a_lane_by_their_weights(make_world: Any) -> None:
    world = await make_world(
        providers={"a": {"rate": 50}},
        lanes={"sms": {"providers": ["a"]}},
        tenants={"billing": {"weight": 3}, "shop": {"weight": 1}},
    )
    ours = set(await world.post_all([{}] * 600, tenant="billing"))
    await world.post_all([{}] * 600, tenant="shop")
    world.start()

    await world.sleep(8.0)

    sent = world.senders["a"].sent
    assert sum(id_ in ours for id_ in sent) / len(sent) == pytest.approx(0.75, abs=0.05)


async def test_daily_quota_is_kept_until_the_day_ends_in_its_zone(make_world: Any) -> None:
    quota = {"daily_quota": 30, "daily_zone": "Asia/Shanghai"}
    world = await make_world(providers={"m": quota})
    world.start()
    midnight_ms = int(datetime(2026, 11, 21, 16, tzinfo=UTC).timestamp() * 1000)  # in Shanghai

    await world.post_all([EMAIL_ONLY] * 50)
    await world.sleep(5.0)
    at_once = len(world.senders["m"].calls)
    await world.jump((midnight_ms - world.clock.now_ms()) / 1000 - 10)
    await world.sleep(8.0)
    just_before = len(world.senders["m"].calls)
    await world.sleep(10.0)

    assert at_once == just_before == 30
    assert len(world.senders["m"].calls) == 50


async def test_quota_is_not_exceeded_for_low_priorities(make_world: Any) -> None:
    world = await make_world(
        providers={"a": {"daily_quota": 100, "rate": 1000}}, lanes={"sms": {"providers": ["a"]}}
    )
    await world.post_all([CRITICAL] * 150)
    await world.post_all([BULK] * 150)
    world.start()

    await world.sleep(30.0)

    assert len(world.senders["a"].calls) == 100


async def test_used_up_account_leaves_its_work_to_the_other(make_world: Any) -> None:
    world = await make_world(providers={"a": {"daily_quota": 10}})
    world.start()

    ids = await world.post_all([{}] * 30)
    await world.settle(60.0)

    assert {await world.state(id_) for id_ in ids} == {"sent"}
    assert len(world.senders["a"].calls) == 10


async def test_drain_finishes_what_is_in_flight_and_gives_back_the_rest(make_world: Any) -> None:
    world = await make_world(providers={"m": {"concurrency": 4}})
    world.senders["m"].latency = 5.0
    world.start("m")
    await world.post_all([EMAIL_ONLY] * 20)
    await world.sleep(1.0)

    await world.stop()

    assert len(world.senders["m"].calls) == 4
    rows = await world.rows()
    assert len(rows) == 16
    assert {row[4] for row in rows} == {None}
    assert await world.sql("SELECT DISTINCT attempts FROM queue") == [(0,)]


async def test_drain_survives_a_store_that_is_away(
    make_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await make_world(providers={"m": {"concurrency": 2}})
    world.senders["m"].latency = 5.0
    world.start("m")
    await world.post_all([EMAIL_ONLY] * 40)
    await world.sleep(6.0)

    async def away(rows: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(world.store, "give_back", away)
    await world.stop()

    assert world.accounts["m"].in_flight == 0


async def test_nothing_is_lost_while_the_store_is_away(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_away = False
    engine = world.store._engine
    read, write = engine.read, engine.write

    async def flaky_read(call: Any) -> Any:
        if is_away:
            raise StoreUnavailable("away")
        return await read(call)

    async def flaky_write(call: Any) -> Any:
        if is_away:
            raise StoreUnavailable("away")
        return await write(call)

    monkeypatch.setattr(engine, "read", flaky_read)
    monkeypatch.setattr(engine, "write", flaky_write)
    world.senders["a"].latency = 2.0
    world.start()
    ids = await world.post_all([{}] * 100)

    for _ in range(5):
        await world.sleep(0.7)
        is_away = True
        await world.sleep(5.0)
        is_away = False
    await world.settle()

    assert {await world.state(id_) for id_ in ids} == {"sent"}
    assert max(Counter(world.senders["a"].sent).values()) == 1


async def test_result_whose_commit_lost_its_answer_counts_once(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, lost = world.store.commit, 0

    async def lose_first(transitions: Sequence[Any]) -> Any:
        nonlocal lost
        verdicts = await commit(transitions)
        if any(one.attempts for one in transitions) and not lost:
            lost += 1
            raise StoreUnavailable("the answer is lost")
        return verdicts

    monkeypatch.setattr(world.store, "commit", lose_first)
    world.start()
    id_ = await world.post()
    await world.settle()
    await world.sleep(2.0)  # for the result to be told again

    assert lost == 1
    assert await world.timeline(id_) == ["attempt.accepted"]
    assert await world.sql("SELECT count(*) FROM receipt") == [(0,)]
    assert world.metrics.stale.labels("a")._value.get() == 0
    assert await world.state(id_) == "sent"
    assert world.metrics.ended.labels("service", "sent")._value.get() == 1


async def test_stale_result_counts_once_however_often_it_is_told(
    make_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, heir = await make_world(), await make_world(owner="n2")
    commit, told = world.store.commit, 0

    async def lose_some(transitions: Sequence[Any]) -> Any:
        nonlocal told
        told += 1
        if told in (2, 4):
            raise StoreUnavailable("no connection")
        return await commit(transitions)

    id_ = await world.post()
    request = ClaimRequest(lane="sms", provider="a", limit=1, startable=1)
    (row,) = await world.store.claim(request)
    await heir.upkeep.adopt_orphans()
    monkeypatch.setattr(world.store, "commit", lose_some)
    attempter = world.workers["a"]._slots._attempter
    await attempter.finish_alone(attempter.ended(row, OK))

    assert told == 6
    assert await world.timeline(id_) == ["attempt.unknown", "receipt.accepted"]
    assert world.metrics.stale.labels("a")._value.get() == 1


async def test_results_that_wait_for_the_store_are_bounded(
    make_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "_MOST_UNFINISHED", 20)
    world = await make_world(providers={"a": {"rate": 100}}, lanes={"sms": {"providers": ["a"]}})
    ids = await world.post_all([{}] * 60)
    commit, turn, turns = world.store.commit, world.workers["a"]._turn, []
    is_away = True

    async def flaky(transitions: Any) -> Any:
        if is_away:
            raise StoreUnavailable("away")
        return await commit(transitions)

    async def counted() -> None:
        turns.append(world.clock.monotonic())
        await turn()

    monkeypatch.setattr(world.store, "commit", flaky)
    monkeypatch.setattr(world.workers["a"], "_turn", counted)
    world.start("a")
    await world.sleep(10.0)
    held = len(world.senders["a"].calls)
    looks = len([at for at in turns if at > turns[0] + 5.0])
    is_away = False
    await world.settle(10.0)

    assert 20 <= held <= 20 + 10  # what was claimed with the last of them
    assert looks <= 10
    assert {await world.state(id_) for id_ in ids} == {"sent"}


async def test_adapter_that_raises_leaves_an_unknown_attempt(world: Any) -> None:
    def explode(message: wire.Message, time: int) -> wire.AttemptResult:
        if time == 1:
            raise KeyError("id")
        return OK

    world.senders["a"].answer = explode
    world.start()

    id_ = await world.post()
    await world.settle()

    assert await world.timeline(id_) == ["attempt.unknown", "attempt.accepted"]


async def test_devices_of_one_message_are_retried_together(world: Any) -> None:
    devices = tuple(Device(app="ios", token=f"t{number}") for number in range(5))
    world.senders["p"].answer = lambda message, time: OK if time > 2 else BUSY
    world.start()

    id_ = await world.post(to=To(push=devices), chain=(StepRequest(channel="push"),))
    await world.settle()

    assert await world.state(id_) == "sent"
    taken = [one.part for one in (await world.case(id_)).attempts if one.outcome == "accepted"]
    assert sorted(taken) == [0, 1, 2, 3, 4]


async def test_rows_of_equal_rank_are_taken_in_together(make_world: Any) -> None:
    world = await make_world(providers={"p": {"concurrency": 1}})
    devices = tuple(Device(app="ios", token=f"t{number}") for number in range(5))
    slow = wire.Deferred(code="http_429", cause=wire.Cause.THROTTLED, retry_after=2.0)
    world.senders["p"].answer = lambda message, time: OK if time > 1 else slow
    world.senders["p"].latency = 0.01
    world.start()

    ids = await world.post_all(
        [{"to": To(push=devices), "chain": (StepRequest(channel="push"),)}] * 3
    )
    await world.settle()

    assert {await world.state(id_) for id_ in ids} == {"sent"}


async def test_scheduled_message_is_sent_at_its_time(world: Any) -> None:
    world.start()
    start = world.clock.monotonic()
    at = datetime(2026, 11, 21, tzinfo=UTC) + timedelta(seconds=start + 3600)

    id_ = await world.post(send_at=at)
    await world.jump(3590.0)
    await world.sleep(9.0)
    before = (await world.state(id_), len(world.senders["a"].calls))
    await world.settle()

    (sent,) = world.senders["a"].times
    assert before == ("scheduled", 0)
    assert 3600.0 <= sent - start <= 3600.3


async def test_banned_address_is_not_written_to(world: Any) -> None:
    id_ = await world.post()
    address = wire.Address(phone="+8613800138000")
    await world.bans.add_address(wire.Channel.SMS, address, reason="opted_out", source="test")

    world.start()
    await world.settle()

    assert world.attempts() == {id_: ["m"]}
    assert "suppressed" in await world.timeline(id_)


async def test_address_that_bounced_for_good_is_banned(world: Any) -> None:
    world.senders["a"].script(wire.Rejected(code="dead", suppress=True))
    world.start()
    first = await world.post(chain=(StepRequest(channel="sms"),))
    await world.settle()

    second = await world.post(chain=(StepRequest(channel="sms"),))
    await world.settle()

    assert await world.state(first) == "failed"
    assert await world.state(second) == "suppressed"
    assert world.senders["a"].sent == [first]


async def test_nobody_is_banned_for_what_may_be_our_own_set_up(world: Any) -> None:
    dead = wire.Rejected(code="BadDeviceToken", suppress=True, doubtful=True)
    answers = iter([dead, wire.Accepted(), dead])
    world.senders["a"].answer = lambda message, time: next(answers)
    world.start()
    sms = (StepRequest(channel="sms"),)

    states = []
    for _ in range(4):
        id_ = await world.post(chain=sms)
        await world.settle()
        states.append(await world.state(id_))

    # not before the account has been seen to work
    assert states == ["failed", "sent", "failed", "suppressed"]


async def test_expired_message_is_not_sent(make_world: Any) -> None:
    world = await make_world(providers={"m": {"rate": 1}})
    world.start()

    ids = await world.post_all([{**EMAIL_ONLY, "expires_in": 10.0}] * 30)
    await world.settle()

    states = Counter([await world.state(id_) for id_ in ids])
    assert states["sent"] == len(world.senders["m"].calls)
    assert states["sent"] + states["expired"] == 30
    assert 8 <= states["sent"] <= 11


async def test_idle_worker_does_not_keep_asking_the_store(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    claim = world.store.claim

    async def counted(request: Any) -> Any:
        nonlocal asked
        asked += 1
        return await claim(request)

    monkeypatch.setattr(world.store, "claim", counted)
    world.senders["m"].latency = 60.0
    world.start("m")
    await world.post_all([EMAIL_ONLY] * world.accounts["m"].limits.concurrency)
    await world.sleep(5.0)
    asked = 0

    await world.sleep(50.0)

    assert asked <= 60


async def test_cancelled_task_leaves_its_slot(world: Any) -> None:
    world.senders["m"].latency = 1000.0
    world.start("m")
    await world.post_all([EMAIL_ONLY] * 3)
    await world.sleep(1.0)
    assert world.accounts["m"].in_flight == 3

    world.workers["m"].cancel()
    await world.stop()

    assert world.accounts["m"].in_flight == 0
    assert len(await world.rows()) == 3
    assert asyncio.current_task() is not None


async def test_quota_counts_tokens_as_the_rate_does(make_world: Any) -> None:
    account = {"daily_quota": 7, "rate": 1000, "rate_unit": "part"}
    world = await make_world(providers={"a": account}, lanes={"sms": {"providers": ["a"]}})
    long = {"content": {"text": "x" * 130}}  # two segments of 67
    world.start()

    await world.post_all([long] * 6)
    await world.sleep(10.0)

    assert len(world.senders["a"].calls) == 3
    assert {row[4] for row in await world.rows()} == {None}


async def test_clean_stop_gives_the_rest_of_the_quota_back(make_world: Any) -> None:
    world = await make_world(providers={"m": {"daily_quota": 100}})
    world.start("m")
    await world.post_all([EMAIL_ONLY] * 3)
    await world.settle()

    await world.stop()

    assert await world.sql("SELECT used FROM quota") == [(3,)]


async def test_urgent_work_of_all_lanes_goes_first(make_world: Any) -> None:
    world = await make_world(
        lanes={
            "sms": {"providers": ["a"]},
            "more": {"channel": "sms", "match": {"category": ["high"]}, "providers": ["a"]},
        },
        providers={"a": {"rate": 20, "burst": 1}},
        categories={"high": {"priority": "high", "chain": [{"channel": "sms"}]}},
    )
    low = await world.post_all([BULK] * 60)
    high = await world.post_all([{"category": "high"}] * 20)
    world.start("a")

    await world.sleep(3.0)

    first = world.senders["a"].sent[:24]
    assert sum(id_ in high for id_ in first) >= 19
    assert not set(first) - {*low, *high}


async def test_second_request_of_a_message_takes_a_token_of_its_own(make_world: Any) -> None:
    world = await make_world(providers={"m": {"rate": 1, "burst": 1}})
    sender, make = world.senders["m"], world.senders["m"]._make

    async def refreshed(group: Any, admit: Any) -> Any:
        await admit()  # refused; the credential is renewed and the request made again
        return await make(group, admit)

    sender._make = refreshed
    world.start("m")
    await world.post_all([EMAIL_ONLY] * 4)

    await world.sleep(5.5)

    assert len(sender.calls) == 2


async def test_fault_of_ours_ends_the_attempt_as_unknown(
    make_world: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = await make_world()

    def broken(row: object, ban: str) -> None:
        raise ValueError("li@example.com")

    monkeypatch.setattr(world.workers["m"]._slots._attempter, "prepare", broken)
    world.start("m")
    id_ = await world.post(**EMAIL_ONLY, on_unknown=OnUnknown.STOP)

    await world.settle(60.0)

    assert await world.state(id_) == "unknown"
    assert world.accounts["m"].in_flight == 0
    assert "attempt_failed" in caplog.text


async def test_what_ends_while_a_commit_is_on_its_way_is_written_together(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await world.post_all([EMAIL_ONLY] * 60)
    commit, sizes = world.store.commit, []

    async def slow(transitions: Any) -> Any:
        sizes.append(len(transitions))
        await world.clock.sleep(0.5)
        return await commit(transitions)

    monkeypatch.setattr(world.store, "commit", slow)
    world.senders["m"].latency = 0.01
    world.start("m")
    await world.settle()

    assert sum(sizes) == 60
    assert len(sizes) <= 6
    assert {await world.state(id_) for id_ in ids} == {"sent"}


async def test_one_result_that_cannot_be_worked_out_ends_as_unknown_and_the_others_as_they_are(
    world: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ids = await world.post_all([{**EMAIL_ONLY, "on_unknown": OnUnknown.STOP}] * 5)
    consequences = world.workers["m"]._slots._attempter._consequences
    move = consequences._move

    def sometimes(row: Any, result: Any, *rest: Any) -> Any:
        if isinstance(result, wire.Rejected):
            raise ValueError("li@example.com")
        return move(row, result, *rest)

    monkeypatch.setattr(consequences, "_move", sometimes)
    world.senders["m"].answer = lambda message, time: BAD if message.id == ids[2] else OK
    world.start("m")
    await world.settle(60.0)

    states = [await world.state(id_) for id_ in ids]
    assert states == ["sent", "sent", "unknown", "sent", "sent"]
    assert "attempt_failed" in caplog.text
    assert world.accounts["m"].in_flight == 0


@pytest.mark.parametrize(
    ("odd", "outcome"),
    [
        (wire.Rejected(code=5000), "rejected"),  # type: ignore[arg-type]
        (wire.Rejected(code="x\ud800", suppress=True), "rejected"),
        (wire.Unknown(code="odd", detail="\ud800"), "unknown"),
        (wire.Accepted(provider_id="\udfff"), "accepted"),
        ("no result", "unknown"),
    ],
)
async def test_odd_result_of_an_adapter_is_kept_and_harms_no_other(
    world: Any, odd: Any, outcome: str
) -> None:
    ids = await world.post_all([{**EMAIL_ONLY, "on_unknown": OnUnknown.STOP}] * 5)
    world.senders["m"].answer = lambda message, time: odd if message.id == ids[2] else OK
    world.start("m")
    await world.settle(60.0)

    cases = [await world.case(id_) for id_ in ids]
    found = Counter([str(one.outcome) for case in cases for one in case.attempts])
    assert found == Counter(["accepted"] * 4 + [outcome])
    assert world.workers["m"]._slots._unfinished == 0


async def test_message_that_cannot_be_written_for_now_holds_up_no_other(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await world.post_all([EMAIL_ONLY] * 200)
    commit, is_locked = world.store.commit, True

    async def locked(transitions: Sequence[Any]) -> Any:
        if is_locked and any(one.message == ids[20] for one in transitions):
            raise StoreUnavailable("lock timeout")
        return await commit(transitions)

    monkeypatch.setattr(world.store, "commit", locked)
    world.start("m")
    await world.sleep(30.0)
    before = Counter([await world.state(id_) for id_ in ids])
    is_locked = False
    await world.settle()

    assert before == {"sent": 199, "sending": 1}
    assert {await world.state(id_) for id_ in ids} == {"sent"}
    assert len(world.senders["m"].calls) == 200

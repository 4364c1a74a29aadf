"""Chores: due work, expired work, claims of the dead, old records, gauges."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.dispatch import webhooks
from gateway.model import wire
from gateway.model.errors import StoreUnavailable
from gateway.model.message import OnUnknown
from gateway.model.submission import StepRequest
from gateway.store.base import ClaimRequest

SMS_ONLY = (StepRequest(channel="sms"),)


def later(world: Any, seconds: float) -> datetime:
    return datetime.fromtimestamp(world.clock.now_ms() / 1000 + seconds, UTC)


async def ready(world: Any, lane: str = "sms") -> int:
    count: int = (await world.store.depths()).get((lane, "ready"), (0, None))[0]
    return count


async def test_due_work_is_made_ready_in_time(world: Any) -> None:
    await world.post(send_at=later(world, 60.0))

    await world.upkeep.promote()
    before = await ready(world)
    await world.jump(60.0)
    await world.upkeep.promote()

    assert (before, await ready(world)) == (0, 1)


async def test_urgent_work_is_made_ready_first_and_not_all_at_once(world: Any) -> None:
    at = later(world, 60.0)
    await world.post_all([{"category": "marketing", "send_at": at}] * 400)
    await world.post_all([{"category": "otp", "send_at": at}] * 400)
    await world.jump(60.0)

    await world.upkeep.promote()

    rows = await world.sql("SELECT priority, count(*) FROM queue WHERE rank IS NOT NULL GROUP BY 1")
    assert rows == [(0, 400), (3, 100)]


async def test_lane_that_is_behind_is_not_flooded(make_world: Any) -> None:
    world = await make_world(providers={"a": {"rate": 50}, "b": {"rate": 50}})
    await world.post_all([{}] * 250)
    await world.post_all([{"send_at": later(world, 6.0)}] * 250)
    await world.jump(6.0)

    await world.upkeep.promote()

    assert await ready(world) == 250


async def test_crowd_is_sent_at_the_lane_s_rate(make_world: Any) -> None:
    world = await make_world(providers={"a": {"rate": 50}, "b": {"rate": 50}})
    at = later(world, 100.0)
    await world.post_all([{"send_at": at}] * 450)
    await world.jump(99.0)
    world.start()

    await world.sleep(6.5)

    sent = len(world.senders["a"].calls) + len(world.senders["b"].calls)
    assert sent == 450


async def test_expired_work_is_ended(world: Any) -> None:
    ids = await world.post_all([{"expires_in": 5.0}] * 700)
    kept = await world.post(expires_in=60.0)
    await world.jump(5.0)

    await world.upkeep.expire()

    assert Counter([await world.state(id_) for id_ in ids]) == {"expired": 700}
    assert await world.state(kept) == "queued"
    assert len(await world.rows()) == 1


async def test_message_in_several_rows_expires_once(world: Any) -> None:
    chain = (StepRequest(channel="sms", within=1.0), StepRequest(channel="email"))
    id_ = await world.post(chain=chain, expires_in=5.0)
    await world.jump(5.0)

    await world.upkeep.expire()

    assert await world.timeline(id_) == ["expired"]
    assert await world.rows() == []


async def claim(world: Any, lane: str = "sms", account: str = "a") -> Any:
    request = ClaimRequest(lane=lane, provider=account, limit=500, startable=500)
    return await world.store.claim(request)


@pytest.mark.parametrize(
    ("on_unknown", "state", "accounts"),
    [
        (OnUnknown.RESEND, "sent", ["a"]),
        (OnUnknown.FALLBACK, "sent", ["m"]),
        (OnUnknown.STOP, "unknown", []),
    ],
)
async def test_work_of_a_dead_process_goes_the_way_of_its_unknown_outcome(
    make_world: Any, on_unknown: OnUnknown, state: str, accounts: list[str]
) -> None:
    dead, heir = await make_world(), await make_world(owner="n2")
    id_ = await dead.post(on_unknown=on_unknown)
    await claim(dead)

    await heir.upkeep.adopt_orphans()
    heir.start()
    await heir.settle()

    assert await heir.state(id_) == state
    assert heir.attempts().get(id_, []) == accounts
    first = (await heir.case(id_)).attempts[0]
    assert (first.provider, first.number, first.outcome) == ("a", 1, "unknown")


async def test_write_off_whose_commit_lost_its_answer_is_no_stale_result(
    make_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, heir = await make_world(), await make_world(owner="n2")
    id_ = await dead.post(chain=SMS_ONLY, on_unknown=OnUnknown.STOP)
    await claim(dead)
    commit, lost = heir.store.commit, list[Any]()

    async def lose_first(transitions: Any) -> Any:
        verdicts = await commit(transitions)
        if not lost:
            lost.append(verdicts)
            raise StoreUnavailable("the answer is lost")
        return verdicts

    monkeypatch.setattr(heir.store, "commit", lose_first)
    await heir.upkeep.adopt_orphans()

    assert lost == [[None]]
    assert await heir.timeline(id_) == ["attempt.unknown"]
    assert heir.metrics.stale.labels("a")._value.get() == 0
    assert heir.metrics.ended.labels("service", "unknown")._value.get() == 1


async def test_many_orphans_are_adopted(make_world: Any) -> None:
    dead, heir = await make_world(), await make_world(owner="n2")
    await dead.post_all([{"on_unknown": OnUnknown.STOP}] * 1000)
    await claim(dead)
    await claim(dead)

    await heir.upkeep.adopt_orphans()

    assert await heir.rows() == []


async def test_what_was_claimed_only_to_be_ended_is_ended(make_world: Any) -> None:
    dead, heir = await make_world(), await make_world(owner="n2")
    id_ = await dead.post(expires_in=5.0)
    await dead.jump(6.0)
    await dead.store.claim_expired(now_ms=dead.clock.now_ms(), limit=10)

    await heir.upkeep.adopt_orphans()

    assert await heir.state(id_) == "expired"
    assert await heir.timeline(id_) == ["expired"]


async def test_webhook_of_a_dead_process_keeps_its_schedule(make_world: Any) -> None:
    dead = await make_world()
    heir = await make_world(owner="n2")
    made = await dead.endpoints.put(
        dead.caller(), url="https://good.e", events=(), secret=None, endpoint=None
    )
    webhook = webhooks.new_webhook(made, "{}", now_ms=dead.clock.now_ms())
    await dead.store.accept([webhook])
    for _ in range(6):  # as after so many failed tries
        (row,) = await dead.store.claim_pinned("webhook", {made.id: 1})
        await dead.store.give_back([row])
        await dead.store._engine.write(
            lambda connection: connection.execute("UPDATE queue SET attempts = attempts + 1")
        )
    await dead.store.claim_pinned("webhook", {made.id: 1})

    await heir.upkeep.adopt_orphans()

    ((due_ms,),) = await heir.sql("SELECT due_ms FROM queue")
    wait = (due_ms - heir.clock.now_ms()) / 1000
    assert wait == pytest.approx(webhooks.SCHEDULE[6], rel=0.11)


async def test_old_messages_are_deleted_after_their_retention(make_world: Any) -> None:
    world = await make_world(store={"retention": "60d"})
    world.start()
    old = await world.post_all([{}] * 20)
    await world.settle()
    await world.jump(40 * 86_400.0)
    young = await world.post()
    await world.settle()
    await world.jump(21 * 86_400.0)

    await world.upkeep.purge()

    left = await world.sql("SELECT id FROM message")
    assert {row[0] for row in left} == {young}
    assert old


async def test_all_keys_that_are_over_are_purged(world: Any) -> None:
    await world.post_all([{"idempotency_key": f"k{number}"} for number in range(1000)])
    await world.post_all([{"idempotency_key": f"l{number}"} for number in range(1000)])
    await world.jump(86_400.0)

    await world.upkeep.purge()

    assert await world.sql("SELECT count(*) FROM idempotency") == [(0,)]


async def test_gauges_show_the_queue(world: Any) -> None:
    await world.post_all([{}] * 5)
    await world.post(send_at=later(world, 600.0))
    await world.jump(30.0)

    await world.upkeep.measure()

    rows, age = world.metrics.queue_rows, world.metrics.oldest_ready_seconds
    assert rows.labels("sms", "ready")._value.get() == 5
    assert rows.labels("sms", "waiting")._value.get() == 1
    assert age.labels("sms")._value.get() == pytest.approx(30.0, abs=0.1)


async def test_chores_go_on_after_the_store_was_away(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    overview = world.store.overview
    failures = 3

    async def flaky(*args: Any, **values: Any) -> Any:
        nonlocal failures
        if failures > 0:
            failures -= 1
            raise StoreUnavailable("away")
        return await overview(*args, **values)

    monkeypatch.setattr(world.store, "overview", flaky)
    world.start()
    id_ = await world.post(send_at=later(world, 6.0), chain=SMS_ONLY)
    await world.settle()

    assert failures == 0
    assert await world.state(id_) == "sent"


async def test_retries_wait_outside_and_come_back(world: Any) -> None:
    world.senders["m"].answer = lambda message, time: (
        wire.Accepted() if time > 3 else wire.Deferred(code="busy")
    )
    world.start()

    id_ = await world.post(chain=(StepRequest(channel="email"),))
    await world.settle()

    assert world.attempts()[id_] == ["m"] * 4

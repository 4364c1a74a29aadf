"""Webhooks: days of retries, endpoints apart from each other, and those that are given up."""

import asyncio
import json
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from gateway.dispatch import endpoints, postman, webhooks
from gateway.dispatch.endpoints import check_secret, new_secret
from gateway.model import wire
from gateway.model.errors import NotFound, StateConflict, StoreUnavailable
from gateway.model.view import Endpoint
from gateway.store import base

OK = wire.Accepted()
DOWN = wire.Deferred(code="refused", cause=wire.Cause.CONNECT)
GONE = wire.Rejected(code="http_410", suppress=True)
DAY = 86_400


async def endpoint(world: Any, name: str, *events: str) -> str:
    made = await world.endpoints.put(
        world.caller(), url=f"https://good.{name}", events=events, secret=None, endpoint=None
    )
    return str(made.id)


async def webhook(world: Any, endpoint_id: str, count: int = 1) -> list[str]:
    """Reports for an endpoint, as a change of state makes them."""
    to = world.book.get(endpoint_id)
    made = [
        webhooks.new_webhook(to, json.dumps({"n": number}), now_ms=world.clock.now_ms())
        for number in range(count)
    ]
    await world.store.accept(made)
    world.bells.ring("webhook", endpoint_id)
    return [one.id for one in made]


def calls_to(world: Any, name: str) -> list[Any]:
    return [call for call in world.receiver.calls if call.message.to.url.endswith(name)]


async def promote(world: Any) -> None:
    """Make due work ready every five minutes, as the upkeep does ten times a second."""
    while True:
        await world.upkeep.promote()
        await world.clock.sleep(300.0)


async def test_tenant_is_told_of_each_state(world: Any) -> None:
    await endpoint(world, "all")
    await endpoint(world, "failures", "message.failed")
    world.start()

    id_ = await world.post(metadata={"order": "A17"})
    await world.settle()
    await world.report(
        "a", wire.DeliveryReceipt(event=wire.ReceiptEvent.DELIVERED, provider_id=_name(world))
    )
    await world.settle()

    bodies = [json.loads(call.message.content.text) for call in calls_to(world, "all")]
    assert [body["type"] for body in bodies] == ["message.sent", "message.delivered"]
    assert {body["data"]["id"] for body in bodies} == {id_}
    assert bodies[1]["data"]["metadata"] == {"order": "A17"}
    assert (bodies[0]["data"]["channel"], bodies[0]["data"]["provider"]) == ("sms", "a")
    assert calls_to(world, "failures") == []


def _name(world: Any) -> str:
    return f"a:{world.senders['a'].calls[0].message.reference}"


async def test_webhooks_do_not_show_among_messages_nor_cause_others(world: Any) -> None:
    await endpoint(world, "all")
    world.receiver.script(wire.Rejected(code="http_400"))
    world.start()

    await world.post()
    await world.settle(60.0)

    assert len(world.receiver.calls) == 1


async def test_each_try_has_the_same_id_and_the_endpoint_s_secrets_of_now(world: Any) -> None:
    id_ = await endpoint(world, "e")
    world.receiver.answer = lambda message, time: OK if time > 1 else DOWN
    world.start("postman", "upkeep")

    (made,) = await webhook(world, id_)
    await world.sleep(2.0)
    secret = new_secret()
    await world.endpoints.put(
        world.caller(), url="https://good.moved", events=(), secret=secret, endpoint=id_
    )
    await world.settle()

    first, second = world.receiver.calls
    assert first.id == second.id == made
    assert second.message.to.url == "https://good.moved"
    assert second.message.content.extra["secrets"] == [secret]


async def test_webhook_is_tried_for_days(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postman, "_SEARCH_EVERY", 300.0)
    world.receiver.script(DOWN)
    id_ = await endpoint(world, "e")
    promoting = asyncio.create_task(promote(world))
    world.start("postman")

    (made,) = await webhook(world, id_)
    await world.clock.sleep(4 * DAY)
    promoting.cancel()

    times = world.receiver.times
    waits = [later - sooner for sooner, later in pairwise(times)]
    assert len(times) == 10
    for wait, planned in zip(waits, webhooks.SCHEDULE, strict=True):
        # a tenth either way, and up to ten minutes until somebody looks
        assert 0.9 * planned <= wait <= 1.1 * planned + 610
    assert 60 * 3600 < times[-1] - times[0] < 84 * 3600
    assert (await world.case(made)).state == "failed"


async def test_endpoint_that_fails_for_five_days_is_switched_off(world: Any) -> None:
    world.receiver.script(DOWN)
    id_ = await endpoint(world, "e")
    world.start("postman")
    for _ in range(5):
        await webhook(world, id_)
        await world.sleep(70.0)
        await world.jump(DAY)

    before = world.book.get(id_).disabled_ms
    await webhook(world, id_)
    await world.sleep(70.0)
    (waiting,) = await webhook(world, id_)
    await world.sleep(5.0)

    assert before is None
    assert world.book.get(id_).disabled_ms is not None
    assert (await world.case(waiting)).state == "failed"
    (stored,) = await world.store.endpoints()
    assert stored.endpoint.disabled_ms is not None


async def test_one_success_starts_the_five_days_anew(world: Any) -> None:
    id_ = await endpoint(world, "e")
    world.start("postman")
    for day in range(8):
        world.receiver.script(OK if day == 4 else DOWN)
        await webhook(world, id_)
        await world.sleep(70.0)
        await world.jump(DAY)

    assert world.book.get(id_).disabled_ms is None


async def test_endpoint_that_is_gone_is_switched_off_at_once(world: Any) -> None:
    world.receiver.script(GONE)
    id_ = await endpoint(world, "e")
    world.start()

    await world.post()
    await world.settle()
    await world.post()
    await world.settle()

    assert world.book.get(id_).reason == "it answered 410 Gone"
    assert len(world.receiver.calls) == 1


async def test_endpoint_that_is_put_again_is_served_again(world: Any) -> None:
    id_ = await endpoint(world, "e")
    world.receiver.script(DOWN)
    world.start("postman", "upkeep")
    await webhook(world, id_, 6)
    await world.sleep(30.0)
    world.receiver.script(GONE)
    await world.jump(3600.0)
    await world.sleep(70.0)
    assert world.book.get(id_).disabled_ms is not None

    world.receiver.script(OK)
    await world.endpoints.put(
        world.caller(), url="https://good.e", events=(), secret=None, endpoint=id_
    )
    (made,) = await webhook(world, id_)
    await world.sleep(120.0)

    assert (await world.case(made)).state == "sent"


async def test_endpoint_gets_no_more_at_once_than_it_may(world: Any) -> None:
    id_ = await endpoint(world, "e")
    world.receiver.latency = 1.0
    world.start("postman")

    await webhook(world, id_, 30)
    await world.settle()

    assert world.receiver.most_in_flight == 2
    assert len(world.receiver.calls) == 30
    assert world.receiver.times[-1] - world.receiver.times[0] == pytest.approx(14.0, abs=1.0)


async def test_endpoint_that_hangs_stalls_nobody_else(make_world: Any) -> None:
    world = await make_world()
    ids = [await endpoint(world, f"e{number}") for number in range(10)]

    async def hang(message: wire.Message) -> None:
        if message.to.url.endswith("e0"):
            await world.clock.sleep(15.0)

    def answer(message: wire.Message, time: int) -> wire.AttemptResult:
        return wire.Unknown(code="timeout") if message.to.url.endswith("e0") else OK

    world.receiver.meanwhile, world.receiver.answer = hang, answer
    world.start("postman")
    await webhook(world, ids[0], 500)
    await world.sleep(1.0)

    start = world.clock.monotonic()
    for id_ in ids[1:]:
        await webhook(world, id_, 20)
    await world.sleep(10.0)

    healthy = [call for call in world.receiver.calls if not call.message.to.url.endswith("e0")]
    assert len(healthy) == 180
    assert max(call.at for call in healthy) - start < 2.0
    assert len(calls_to(world, "e0")) <= 4


async def test_dead_endpoint_is_left_alone_and_probed(world: Any) -> None:
    id_ = await endpoint(world, "e")
    world.receiver.script(DOWN)
    world.start("postman")

    await webhook(world, id_, 200)
    await world.sleep(60.0)

    assert 4 <= len(world.receiver.calls) <= 12
    assert await world.sql("SELECT max(attempts) FROM queue") == [(1,)]


async def test_webhooks_wait_out_the_pause_that_was_asked_for(world: Any) -> None:
    id_ = await endpoint(world, "e")
    slow = wire.Deferred(code="http_429", cause=wire.Cause.THROTTLED, retry_after=30.0)
    world.receiver.answer = lambda message, time: OK if time > 1 else slow
    world.start("postman")

    ids = await webhook(world, id_, 2)
    await world.settle()

    first, *_, last = world.receiver.times
    assert last - first >= 30.0
    assert {(await world.case(one)).state for one in ids} == {"sent"}


async def test_result_is_kept_though_the_endpoint_s_health_is_not(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = await endpoint(world, "e")
    world.receiver.script(wire.Rejected(code="http_400"))

    async def away(record: base.EndpointRecord) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(world.store, "put_endpoint", away)
    world.start("postman")

    (made,) = await webhook(world, id_)
    await world.settle()

    assert (await world.case(made)).state == "failed"


async def test_webhooks_of_a_deleted_endpoint_end(world: Any) -> None:
    id_ = await endpoint(world, "e")
    made = await webhook(world, id_, 3)
    await world.endpoints.delete(world.caller(), id_)

    world.start("postman")
    await world.settle()

    assert {(await world.case(one)).state for one in made} == {"failed"}
    assert world.receiver.calls == []


async def test_replay_sends_again(world: Any) -> None:
    id_ = await endpoint(world, "e")
    world.receiver.answer = lambda message, time: wire.Rejected(code="http_400")
    world.start("postman")
    bad = await webhook(world, id_, 5)
    await world.settle()
    world.receiver.script(OK)
    good = await webhook(world, id_, 3)
    await world.settle()
    world.receiver.calls.clear()

    failed = await world.endpoints.replay(world.caller(), id_, since_ms=0, only_failed=True)
    await world.settle()
    every = await world.endpoints.replay(world.caller(), id_, since_ms=0, only_failed=False)
    await world.settle()

    assert (failed, every) == (5, 8)
    assert Counter(call.id for call in world.receiver.calls) == {
        **dict.fromkeys(bad, 2),
        **dict.fromkeys(good, 1),
    }
    assert (await world.case(bad[0])).expires_ms - world.clock.now_ms() <= webhooks.LIFETIME_MS


async def test_configured_endpoint_is_the_file_s_and_read_only(make_world: Any) -> None:
    hook = {"url": "https://good.example.com", "secret": "whsec_" + "A" * 32}
    world = await make_world(tenants={"billing": {"webhook": hook}})
    (made,) = world.book.of("billing")

    with pytest.raises(StateConflict):
        await world.endpoints.delete(world.caller(), made.id)
    with pytest.raises(NotFound):
        await world.endpoints.delete(world.caller("shop"), made.id)
    await world.book.configure({})

    assert made.configured
    assert world.book.of("billing") == ()
    assert await world.store.endpoints() == []


async def test_endpoint_that_was_switched_off_is_on_again_after_a_start(make_world: Any) -> None:
    hook = {"url": "https://good.example.com", "secret": "whsec_" + "A" * 32}
    world = await make_world(tenants={"billing": {"webhook": hook}})
    (made,) = world.book.of("billing")
    await world.book.disable(made.id, "it failed for too long")

    await world.book.configure(world.settings.tenants)

    assert world.book.get(made.id).disabled_ms is None


async def test_refresh_reads_what_another_process_changed(make_world: Any) -> None:
    world, other = await make_world(), await make_world(owner="n2")
    id_ = await endpoint(other, "e")

    await world.book.refresh()

    found: Endpoint = world.book.get(id_)
    assert found.url == "https://good.e"


async def test_refresh_that_failed_is_made_up_for(
    make_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, other = await make_world(), await make_world(owner="n2")
    id_ = await endpoint(other, "e")

    async def away() -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "endpoints", away)
        with pytest.raises(StoreUnavailable):
            await world.book.refresh()
    await world.book.refresh()

    assert world.book.get(id_) is not None


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("whsec_" + "A" * 32, ""),
        ("A" * 32, "must be whsec_"),
        ("whsec_" + "A" * 8, "must be whsec_"),
        ("whsec_!!!!", "is not base64"),
        ("whsec_" + "A" * 400, "must be whsec_"),
    ],
)
def test_secret_is_checked(secret: str, reason: str) -> None:
    assert check_secret(secret).startswith(reason)
    assert bool(check_secret(secret)) is bool(reason)
    assert check_secret(new_secret()) == ""


async def test_slow_receivers_with_much_waiting_leave_room_for_a_fast_one(
    make_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "_MOST", 100)
    world = await make_world()
    slow = [await endpoint(world, f"slow{number}") for number in range(12)]
    fast = await endpoint(world, "fast")

    async def linger(message: wire.Message) -> None:
        if "slow" in message.to.url:
            await world.clock.sleep(0.9)

    world.receiver.meanwhile = linger
    world.start("postman")
    for one in slow:
        await webhook(world, one, 200)
    await world.sleep(20.0)
    asked = world.clock.monotonic()
    await webhook(world, fast)
    while not calls_to(world, "fast"):
        await world.sleep(0.01)

    assert world.clock.monotonic() - asked < 1.0


async def test_what_was_claimed_ahead_is_given_back_at_the_end(world: Any) -> None:
    one = await endpoint(world, "e")
    world.start("postman")
    await webhook(world, one, 200)
    await world.sleep(1.0)
    world.receiver.latency = 5.0
    await webhook(world, one, 200)
    await world.sleep(1.0)
    sent, stopped = len(world.receiver.calls), world.clock.monotonic()
    world.postman.stop()
    await asyncio.wait([world._tasks["postman"]])

    assert len(world.receiver.calls) == sent
    assert world.clock.monotonic() - stopped <= 5.0
    assert not any(row[4] for row in await world.rows())


async def test_result_is_kept_when_it_cannot_be_noted(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await endpoint(world, "e")
    world.receiver.script(wire.Rejected(code="http_400"))

    async def broken(record: object) -> None:
        raise ValueError

    monkeypatch.setattr(world.store, "put_endpoint", broken)
    world.start("postman")
    (id_,) = await webhook(world, one)
    await world.sleep(2.0)

    assert [record.outcome for record in (await world.case(id_)).attempts] == ["rejected"]


async def test_nothing_is_claimed_while_too_much_waits_for_the_store(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postman, "_MOST_UNWRITTEN", 10)
    commit, is_away = world.store.commit, True

    async def away(transitions: Any) -> Any:
        if is_away:
            raise StoreUnavailable("away")
        return await commit(transitions)

    one = await endpoint(world, "e")
    await webhook(world, one, 100)
    monkeypatch.setattr(world.store, "commit", away)
    world.start("postman")
    await world.sleep(20.0)
    sent = len(world.receiver.calls)
    is_away = False
    await world.sleep(20.0)

    assert 10 <= sent <= 20
    assert len(world.receiver.calls) == 100

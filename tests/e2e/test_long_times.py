"""What takes hours and days, on a clock that leaps."""

from datetime import UTC, datetime, timedelta
from typing import Any

TEXT = {"text": "Your order is on its way"}
BODY = {"to": {"phone": "+14155550123"}, "content": TEXT, "chain": [{"channel": "sms"}]}
ONLY_ACME = {"lanes": {"sms": {"providers": ["acme"]}}}


async def test_receiver_that_is_down_for_80_hours_loses_nothing_that_cannot_be_replayed(
    stand: Any, eventually: Any, jump_clock: Any
) -> None:
    """Three days of tries end in a dead letter; a replay brings it, under its old id."""
    stand.acme.knobs.receipt = None
    stand.receiver.knobs.refuse = True
    clock = jump_clock(datetime.now(UTC) - timedelta(hours=84))
    since = datetime.fromtimestamp(clock.now_ms() / 1000, UTC).isoformat()
    gateway = await stand.start(clock=clock)
    lost = await gateway.send(**BODY)
    await gateway.until(lost, "sent")

    tries = 0
    while (due := await next_try(stand, eventually, tries)) is not None:
        tries += 1
        clock.jump_to(due)
    failed = stand.database.rows(
        "SELECT outcome FROM attempt JOIN message ON id = message WHERE internal = 1"
    )
    clock.jump_to(datetime.now(UTC).timestamp() * 1000)
    stand.receiver.knobs.refuse = False
    await stand.receiver.ready()
    heard = await gateway.send(**BODY)
    await eventually(lambda: len(stand.receiver.bodies) == 1)
    path = "/v1/webhooks/configured.shop/replay"
    _, replayed = await gateway.call("POST", path, {"since": since})
    await eventually(lambda: len(stand.receiver.bodies) == 2)

    assert 9 <= len(failed) <= 10
    assert {one for (one,) in failed} == {"deferred"}
    assert replayed == {"queued": 1}
    assert [one["data"]["id"] for one in stand.receiver.bodies.values()] == [heard, lost]
    assert stand.receiver.duplicates == 0
    (endpoint,) = (await gateway.call("GET", "/v1/webhooks"))[1]["webhooks"]
    assert endpoint["enabled"]


async def next_try(stand: Any, eventually: Any, tries: int) -> int | None:
    """When the webhook is due after so many tries; None when it has been given up."""

    def settled() -> bool:
        done = stand.database.one(
            "SELECT count(*) FROM attempt JOIN message ON id = message WHERE internal = 1"
        )
        return bool(done > tries or stand.database.one("SELECT count(*) FROM queue") == 0)

    await eventually(settled)
    rows = stand.database.rows("SELECT due_ms FROM queue")
    return rows[0][0] if rows else None


async def test_endpoint_that_fails_for_five_days_is_switched_off(
    stand: Any, eventually: Any, jump_clock: Any
) -> None:
    stand.acme.knobs.receipt = None
    stand.receiver.knobs.refuse = True
    clock = jump_clock()
    gateway = await stand.start(clock=clock)

    async def switched_off() -> bool:
        (endpoint,) = (await gateway.call("GET", "/v1/webhooks"))[1]["webhooks"]
        return not endpoint["enabled"]

    await gateway.send(**BODY)
    await eventually(lambda: failures(stand) == 1)
    before = await switched_off()
    clock.jump(5 * 86400 + 60)
    await gateway.send(**BODY)

    await eventually(switched_off)
    assert not before
    assert await gateway.metric("gateway_webhook_endpoints_disabled") == 1


def failures(stand: Any) -> int:
    query = "SELECT count(*) FROM attempt JOIN message ON id = message WHERE internal = 1"
    return int(stand.database.one(query))


async def test_quota_of_a_day_ends_at_midnight_of_its_zone(
    stand: Any, eventually: Any, jump_clock: Any
) -> None:
    """15:59 UTC is 23:59 in Shanghai."""
    stand.acme.knobs.receipt = None
    clock = jump_clock(datetime(2026, 3, 1, 15, 30, tzinfo=UTC))
    account = {"daily_quota": 3, "daily_zone": "Asia/Shanghai"}
    gateway = await stand.start({**ONLY_ACME, "providers": {"acme": account}}, clock=clock)
    ids = [await gateway.send(**BODY) for _ in range(5)]

    async def spent() -> bool:
        health = (await gateway.call("GET", "/v1/providers"))[1]["providers"]
        paused = next(one["paused_for"] for one in health if one["account"] == "acme")
        return bool(stand.acme.log.total == 3 and paused > 0)

    await eventually(spent)
    await gateway.stop()
    clock.jump(20 * 60)
    gateway = await stand.start(clock=clock)  # a restart gives no second helping
    await eventually(spent)
    clock.jump(20 * 60)
    for id in ids:
        await gateway.until(id, "sent")

    assert stand.acme.log.total == 5


async def test_old_messages_are_purged_and_scheduled_ones_are_kept(
    stand: Any, eventually: Any, jump_clock: Any
) -> None:
    clock = jump_clock()
    gateway = await stand.start({"store": {"retention": "20d"}}, clock=clock)
    old = await gateway.send(**BODY)
    await gateway.until(old, "delivered")
    await eventually(lambda: stand.database.one("SELECT count(*) FROM queue") == 0)
    at = datetime.now(UTC) + timedelta(days=12)
    scheduled = await gateway.send(**BODY, send_at=at.isoformat(), expires_in="20d")
    await eventually(lambda: stand.database.one("SELECT count(*) FROM queue") == 1)

    clock.jump(11 * 86400)
    fresh = await gateway.send(**BODY)
    await gateway.until(fresh, "sent", "delivered")
    clock.jump(10 * 86400)

    async def gone() -> bool:
        return bool((await gateway.call("GET", f"/v1/messages/{old}"))[0] == 404)

    await eventually(gone)
    left = [
        stand.database.one(f"SELECT count(*) FROM {table} WHERE message = ?", old)
        for table in ("status", "attempt", "receipt", "event", "reference", "queue")
    ]
    assert left == [0] * 6
    assert stand.database.one("SELECT count(*) FROM message WHERE id = ?", old) == 0
    assert (await gateway.read(fresh))["state"] in ("sent", "delivered")
    await gateway.until(scheduled, "sent", "delivered")


async def test_idempotency_key_is_free_again_after_its_time(
    stand: Any, eventually: Any, jump_clock: Any
) -> None:
    clock = jump_clock()
    gateway = await stand.start(clock=clock)
    first = await gateway.send(**BODY, headers={"Idempotency_Key": "A17"})
    clock.jump(23 * 3600)
    again = await gateway.send(**BODY, headers={"Idempotency_Key": "A17"})
    clock.jump(2 * 3600)

    other = await gateway.send(**BODY, headers={"Idempotency_Key": "A17"})

    assert again == first
    assert other != first


async def test_greylisted_mail_is_tried_again_after_minutes(
    stand: Any, eventually: Any, attempts: Any, jump_clock: Any
) -> None:
    clock = jump_clock()
    gateway = await stand.start(clock=clock)
    id = await gateway.send(
        to={"email": "greylist@example.com"}, content={**TEXT, "subject": "Your order"}
    )
    await eventually(lambda: stand.relay.log.total == 1)

    async def waits() -> bool:
        return bool((await gateway.read(id))["state"] == "queued")

    await eventually(waits)
    clock.jump(301)
    seen = await gateway.until(id, "sent")

    assert attempts(seen) == ["deferred/relay", "accepted/relay"]

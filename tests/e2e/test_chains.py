"""Chains: what starts the next step, what stops it, and what becomes of devices and unknowns."""

from typing import Any

import pytest

from gateway.model import wire
from gateway.sandbox.magic import Fate

TEXT = {"text": "Your code is 834201", "subject": "Your code"}
EVERYWHERE = {
    "phone": "+14155550123",
    "email": "li@example.com",
    "push": [{"app": "ios", "token": "device-1"}],
}


def push(within: str = "1h") -> dict[str, str]:
    return {"channel": "push", "until": "delivered", "within": within}


async def idle(stand: Any, eventually: Any) -> None:
    """Wait until nothing is queued any more, webhooks included."""
    await eventually(lambda: stand.database.one("SELECT count(*) FROM queue") == 0)


async def test_chain_goes_on_when_a_step_is_not_delivered_in_time(
    stand: Any, eventually: Any, attempts: Any
) -> None:
    stand.beacon.knobs.receipt = None
    stand.acme.knobs.receipt = None
    gateway = await stand.start()

    sms = {"channel": "sms", "until": "delivered", "within": "300ms"}
    id = await gateway.send(
        to=EVERYWHERE, content=TEXT, chain=[push("300ms"), sms, {"channel": "email"}]
    )
    await eventually(lambda: stand.relay.log.taken == 1)
    await idle(stand, eventually)

    seen = await gateway.read(id)
    assert attempts(seen) == ["accepted/beacon", "accepted/acme", "accepted/relay"]
    assert seen["state"] == "sent"
    times = [one.at for sim in (stand.beacon, stand.acme, stand.relay) for one in sim.log.arrivals]
    assert times == sorted(times)


async def test_failed_receipt_starts_the_next_step_at_once(
    stand: Any, attempts: Any, happened: Any
) -> None:
    stand.beacon.knobs.receipt = wire.ReceiptEvent.FAILED
    gateway = await stand.start()

    id = await gateway.send(to=EVERYWHERE, content=TEXT, chain=[push("1h"), {"channel": "sms"}])
    seen = await gateway.until(id, "delivered")

    assert attempts(seen) == ["accepted/beacon", "accepted/acme"]
    assert happened(seen) >= {"receipt.failed/beacon", "fallback", "receipt.delivered/acme"}
    assert await gateway.metric("gateway_fallback_steps_total", channel="sms") == 1


async def test_permanent_rejection_falls_back(stand: Any, attempts: Any) -> None:
    stand.beacon.knobs.error_rate, stand.beacon.knobs.error = 1.0, Fate.PERMANENT
    gateway = await stand.start()

    id = await gateway.send(
        to=EVERYWHERE, content=TEXT, chain=[{"channel": "push"}, {"channel": "sms"}]
    )
    seen = await gateway.until(id, "delivered")

    assert attempts(seen) == ["rejected/beacon", "accepted/acme"]
    assert stand.beacon.log.total == 1


async def test_last_step_that_fails_makes_a_dead_letter_that_can_be_redriven(
    stand: Any, eventually: Any, attempts: Any, happened: Any
) -> None:
    for simulator in (stand.beacon, stand.relay):
        simulator.knobs.error_rate, simulator.knobs.error = 1.0, Fate.PERMANENT
    gateway = await stand.start()
    hooks = await stand.hooks(gateway)
    id = await gateway.send(
        to=EVERYWHERE, content=TEXT, chain=[{"channel": "push"}, {"channel": "email"}]
    )
    failed = await gateway.until(id, "failed")
    _, listed = await gateway.call("GET", "/v1/messages?state=failed")
    stand.beacon.knobs.error_rate = 0.0

    status, _ = await gateway.call("POST", f"/v1/messages/{id}/redrive")
    seen = await gateway.until(id, "delivered")

    assert status == 200
    assert attempts(failed) == ["rejected/beacon", "rejected/relay"]
    assert [one["id"] for one in listed["messages"]] == [id]
    assert attempts(seen) == ["rejected/beacon", "rejected/relay", "accepted/beacon"]
    assert "redriven" in happened(seen)
    await eventually(lambda: {"message.failed", "message.delivered"} <= set(hooks.types(id)))
    again, problem = await gateway.call("POST", f"/v1/messages/{id}/redrive")
    assert (again, problem["title"]) == (409, "Conflict")


async def test_late_success_takes_back_what_has_not_started(
    stand: Any, eventually: Any, attempts: Any
) -> None:
    stand.beacon.knobs.receipt_delay = 0.3
    gateway = await stand.start()

    id = await gateway.send(to=EVERYWHERE, content=TEXT, chain=[push("1h"), {"channel": "sms"}])
    before = await gateway.until(id, "sent")
    waiting = stand.database.one("SELECT count(*) FROM queue WHERE message = ? AND step = 1", id)
    seen = await gateway.until(id, "delivered")
    await idle(stand, eventually)

    assert waiting == 1
    assert attempts(before) == attempts(seen) == ["accepted/beacon"]
    assert stand.acme.log.total == 0


async def test_mode_all_starts_every_step(stand: Any, eventually: Any, attempts: Any) -> None:
    gateway = await stand.start()

    id = await gateway.send(
        to=EVERYWHERE,
        content=TEXT,
        mode="all",
        chain=[{"channel": "push"}, {"channel": "sms"}, {"channel": "email"}],
    )
    await idle(stand, eventually)
    seen = await gateway.until(id, "delivered")

    assert sorted(attempts(seen)) == ["accepted/acme", "accepted/beacon", "accepted/relay"]


#: A token that the simulator knows for nobody's.
GONE = {"app": "ios", "token": "+15005550001"}


async def test_every_device_gets_its_push(stand: Any, eventually: Any, attempts: Any) -> None:
    gateway = await stand.start()
    devices = [{"app": "ios", "token": "one"}, GONE, {"app": "android", "token": "two"}]

    id = await gateway.send(
        to={**EVERYWHERE, "push": devices},
        content=TEXT,
        chain=[{"channel": "push"}, {"channel": "sms"}],
    )
    await idle(stand, eventually)
    seen = await gateway.until(id, "delivered")

    assert sorted(attempts(seen)) == ["accepted/beacon"] * 2 + ["rejected/beacon"]
    assert {one.to for one in stand.beacon.log.arrivals} == {"one", "two", "+15005550001"}
    assert len({one.reference for one in stand.beacon.log.arrivals}) == 3
    assert stand.acme.log.total == 0


async def test_next_step_starts_only_when_every_device_failed(stand: Any, attempts: Any) -> None:
    gateway = await stand.start()
    devices = [GONE, {"app": "ios", "token": "+15005550009"}]

    id = await gateway.send(
        to={**EVERYWHERE, "push": devices},
        content=TEXT,
        chain=[{"channel": "push"}, {"channel": "sms"}],
    )
    seen = await gateway.until(id, "delivered")

    assert attempts(seen) == ["rejected/beacon"] * 2 + ["accepted/acme"]
    assert stand.acme.log.total == 1


async def test_message_that_cannot_be_sent_in_time_expires(
    stand: Any, eventually: Any, happened: Any
) -> None:
    stand.acme.knobs.refuse = stand.backup.knobs.refuse = True
    gateway = await stand.start({"retry": {"attempts": 100}})
    hooks = await stand.hooks(gateway)

    id = await gateway.send(
        to=EVERYWHERE, content=TEXT, chain=[{"channel": "sms"}], expires_in="1s"
    )
    seen = await gateway.until(id, "expired", "failed")

    assert seen["state"] == "expired"
    assert "expired" in happened(seen)
    await eventually(lambda: hooks.types(id) == ["message.expired"])
    await idle(stand, eventually)


def lose_the_first(simulator: Any) -> None:
    """Take the first message and drop its connection; be good after that."""
    simulator.knobs.lost_answer_rate = 1.0
    simulator.log.watchers.append(lambda _: setattr(simulator.knobs, "lost_answer_rate", 0.0))


@pytest.mark.parametrize(
    ("on_unknown", "expected"),
    [
        ("resend", ["unknown/acme", "accepted/acme"]),
        ("fallback", ["unknown/acme", "accepted/relay"]),
    ],
)
async def test_lost_answer_goes_the_way_of_on_unknown(
    stand: Any, attempts: Any, on_unknown: str, expected: list[str]
) -> None:
    stand.acme.knobs.receipt = None
    lose_the_first(stand.acme)
    gateway = await stand.start()

    id = await gateway.send(
        to=EVERYWHERE,
        content=TEXT,
        chain=[{"channel": "sms"}, {"channel": "email"}],
        on_unknown=on_unknown,
    )
    seen = await gateway.until(id, "sent")

    assert attempts(seen) == expected
    copies = stand.acme.log.copies()
    assert list(copies.values()) == [expected.count("accepted/acme") + 1]
    assert len(copies) == 1  # the same reference both times


async def test_lost_answer_under_stop_is_sent_once_and_may_be_cleared_up_by_a_receipt(
    stand: Any, eventually: Any, attempts: Any
) -> None:
    stand.twilio.knobs.receipt_delay = 1.0
    lose_the_first(stand.twilio)
    gateway = await stand.start()
    hooks = await stand.hooks(gateway)
    to = {"phone": "+447400123456", "email": "li@example.com"}

    id = await gateway.send(
        to=to, content=TEXT, chain=[{"channel": "sms"}, {"channel": "email"}], on_unknown="stop"
    )
    unknown = await gateway.until(id, "unknown")
    seen = await gateway.until(id, "delivered")

    assert attempts(unknown) == attempts(seen) == ["unknown/twilio"]
    assert (stand.twilio.log.taken, stand.relay.log.total) == (1, 0)
    await eventually(
        lambda: {"message.unknown", "message.delivered"} <= set(hooks.types(id)),
    )


async def test_mail_whose_last_reply_is_lost_is_sent_once_under_stop(
    stand: Any, attempts: Any
) -> None:
    gateway = await stand.start()

    id = await gateway.send(to={"email": "lost@example.com"}, content=TEXT, on_unknown="stop")
    seen = await gateway.until(id, "unknown")

    assert attempts(seen) == ["unknown/relay"]
    assert stand.relay.log.taken == 1


async def test_receipt_that_overtakes_the_answer_is_not_lost(
    stand: Any, eventually: Any, attempts: Any, happened: Any
) -> None:
    stand.acme.knobs.latency = stand.twilio.knobs.latency = 0.5
    gateway = await stand.start()
    by_id = await gateway.send(to=EVERYWHERE, content=TEXT, chain=[{"channel": "sms"}])
    by_reference = await gateway.send(to={"phone": "+447400123456"}, content=TEXT)
    await eventually(lambda: stand.acme.reporter.counts["2xx"] == 1)
    unanswered = await gateway.read(by_id)

    seen = [await gateway.until(by_id, "delivered"), await gateway.until(by_reference, "delivered")]
    await eventually(lambda: stand.database.one("SELECT count(*) FROM attempt") >= 2)
    seen = [await gateway.read(by_id), await gateway.read(by_reference)]

    assert unanswered["state"] == "sending"
    assert [attempts(one) for one in seen] == [["accepted/acme"], ["accepted/twilio"]]
    assert [one["state"] for one in seen] == ["delivered"] * 2
    assert "receipt.delivered/acme" in happened(seen[0])
    parked = "SELECT count(*) FROM reference WHERE parked IS NOT NULL"
    await eventually(lambda: stand.database.one(parked) == 0)


async def test_receipts_repeated_and_out_of_order_change_nothing(
    stand: Any, eventually: Any
) -> None:
    stand.twilio.knobs.receipt = wire.ReceiptEvent.READ
    stand.twilio.knobs.receipt_repeats = 3
    gateway = await stand.start()
    hooks = await stand.hooks(gateway)

    id = await gateway.send(to={"phone": "+447400123456"}, content=TEXT)
    await gateway.until(id, "read")
    await stand.twilio.reporter.join()
    await idle(stand, eventually)

    assert (await gateway.read(id))["state"] == "read"
    assert stand.twilio.reporter.counts["2xx"] == 12
    reports = [body["type"] for _, body in hooks.taken if body["data"]["id"] == id]
    assert sorted(set(reports)) == sorted(reports)  # each state is reported once

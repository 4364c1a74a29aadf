"""A message centre behind the gateway: receipts come back over the gateway's own connections."""

from typing import Any

import pytest

from gateway.sandbox.knobs import Knobs
from gateway.sandbox.smpp import SmppSimulator

TO = {"phone": "+14155550123"}
CHAIN = [{"channel": "sms"}]
LONG = "x" * 400


def centre_of(simulator: SmppSimulator, **more: Any) -> dict[str, Any]:
    return {
        "lanes": {"sms": {"providers": ["centre", "backup"]}},
        "providers": {
            "centre": {
                "kind": "smpp",
                "host": "127.0.0.1",
                "port": simulator.port,
                "system_id": simulator.system_id,
                "password": simulator.password,
                "from": "Acme",
                "window": 64,
                **more,
            }
        },
    }


@pytest.mark.parametrize(("text", "parts"), [("Your code is 834201", 1), (LONG, 3)])
@pytest.mark.parametrize("bind", ["transceiver", "pair"])
async def test_message_is_delivered_when_its_receipts_have_come(
    stand: Any, attempts: Any, text: str, parts: int, bind: str
) -> None:
    centre = SmppSimulator(message_ids="decimal_receipts")
    await stand.enter(centre)
    gateway = await stand.start(centre_of(centre, message_ids="decimal_receipts", bind=bind))

    id = await gateway.send(to=TO, content={"text": text}, chain=CHAIN)
    seen = await gateway.until(id, "delivered")

    assert attempts(seen) == ["accepted/centre"]
    assert centre.log.taken == parts
    await centre.outbox.join()
    assert centre.outbox.counts == {"taken": parts}
    assert await gateway.metric("gateway_receipts_total", provider="centre") == parts


@pytest.mark.parametrize(
    ("phone", "state"),
    [("+15005550010", "failed"), ("+15005550011", "failed"), ("+15005550013", "sent")],
)
async def test_what_the_centre_reports_becomes_the_state(
    stand: Any, phone: str, state: str
) -> None:
    centre = SmppSimulator()
    await stand.enter(centre)
    gateway = await stand.start(centre_of(centre))

    id = await gateway.send(to={"phone": phone}, content={"text": "Hi"}, chain=CHAIN)
    await gateway.until(id, state)
    await centre.outbox.join()

    assert centre.outbox.counts == {"taken": 1}


@pytest.mark.parametrize("text", ["Hi", LONG])
async def test_receipt_that_comes_after_a_restart_is_believed(stand: Any, text: str) -> None:
    centre = SmppSimulator(knobs=Knobs(receipt_delay=0.5))
    await stand.enter(centre)
    first = await stand.start(centre_of(centre))
    id = await first.send(to=TO, content={"text": text}, chain=CHAIN)
    await first.until(id, "sent")
    await first.stop()
    assert not centre.sessions  # it has taken its leave

    second = await stand.start()
    await second.until(id, "delivered")


async def test_answer_that_is_lost_leaves_the_outcome_unknown(stand: Any, attempts: Any) -> None:
    centre = SmppSimulator()
    await stand.enter(centre)
    gateway = await stand.start(centre_of(centre))

    id = await gateway.send(
        to={"phone": "+15005550017"}, content={"text": "Hi"}, chain=CHAIN, on_unknown="stop"
    )
    seen = await gateway.until(id, "unknown")

    assert attempts(seen) == ["unknown/centre"]
    assert centre.log.taken == 1


async def test_another_provider_takes_over_where_the_bind_is_refused(
    stand: Any, attempts: Any
) -> None:
    centre = SmppSimulator()
    await stand.enter(centre)
    gateway = await stand.start(centre_of(centre, password="wrong"))

    id = await gateway.send(to=TO, content={"text": "Hi"}, chain=CHAIN)
    seen = await gateway.until(id, "delivered")

    assert attempts(seen)[-1] == "accepted/backup"
    assert centre.log.total == 0


async def test_centre_that_throttles_gets_less_and_every_message_once(
    stand: Any, attempts: Any
) -> None:
    centre = SmppSimulator(knobs=Knobs(throttle=2.0))
    await stand.enter(centre)
    changes = centre_of(centre)
    changes["lanes"]["sms"]["providers"] = ["centre"]
    gateway = await stand.start(changes)

    ids = [await gateway.send(to=TO, content={"text": f"{at}"}, chain=CHAIN) for at in range(4)]
    seen = [await gateway.until(id, "delivered") for id in ids]

    assert all(attempts(one)[-1] == "accepted/centre" for one in seen)
    assert centre.log.taken == 4
    assert sum(len(attempts(one)) for one in seen) == centre.log.total

"""The plain JSON service and its signed receipts."""

import asyncio
from typing import Any

import aiohttp
import orjson
import pytest
from standardwebhooks import Webhook

from gateway.model import wire
from gateway.sandbox import webhook_signature
from gateway.sandbox.http import STATUSES, HttpServiceSimulator
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.magic import Fate

MESSAGE = {"to": "+15005550006", "text": "hello", "ref": "r-1"}


async def send(
    session: aiohttp.ClientSession,
    simulator: HttpServiceSimulator,
    message: Any = MESSAGE,
    token: str = "",
) -> tuple[int, Any, str | None]:
    """(status, body, Retry-After)"""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with session.post(f"{simulator.url}/v1/send", json=message, headers=headers) as response:
        return response.status, await response.json(), response.headers.get("Retry-After")


async def test_each_message_gets_an_id_of_its_own(session: aiohttp.ClientSession) -> None:
    async with HttpServiceSimulator() as simulator:
        answers = [await send(session, simulator) for _ in range(2)]

        assert [status for status, _, _ in answers] == [200, 200]
        assert [body["id"] for _, body, _ in answers] == [one.id for one in simulator.log.arrivals]
        assert simulator.log.copies() == {"r-1": 2}


async def test_bearer_token_is_checked_when_there_is_one(session: aiohttp.ClientSession) -> None:
    async with HttpServiceSimulator(token="geheim") as simulator:
        assert (await send(session, simulator))[0] == 401
        assert (await send(session, simulator, token="falsch"))[0] == 401
        assert (await send(session, simulator, token="geheim"))[0] == 200

        assert simulator.log.total == 1


@pytest.mark.parametrize(
    "message", [[], {}, {"to": "", "text": "x"}, {"to": "x"}, {"to": 1, "text": "x"}, None]
)
async def test_incomplete_message_is_refused(
    session: aiohttp.ClientSession, message: object
) -> None:
    async with HttpServiceSimulator() as simulator:
        assert (await send(session, simulator, message))[0] == 400
        assert simulator.log.counts == {Fate.INVALID: 1}


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (Fate.TEMPORARY, 503, "7"),
        (Fate.THROTTLED, 429, "7"),
        (Fate.PERMANENT, 422, None),
        (Fate.RECIPIENT, 404, None),
        (Fate.CREDENTIAL, 401, None),
    ],
)
async def test_error_knob_has_its_status(
    session: aiohttp.ClientSession, error: Fate, status: int, retry_after: str | None
) -> None:
    knobs = Knobs(error_rate=1, error=error, retry_after=7)
    async with HttpServiceSimulator(knobs=knobs) as simulator:
        found = await send(session, simulator)

    assert (found[0], found[2]) == (status, retry_after)
    assert found[1]["error"]


async def test_receipt_is_signed_so_that_the_reference_library_believes_it(
    session: aiohttp.ClientSession, sink_url: str, inbox: list[wire.HttpRequest], secret: str
) -> None:
    knobs = Knobs(receipt_url=f"{sink_url}/v1/receipts/acme")
    async with (
        HttpServiceSimulator(knobs=knobs, receipt_secret=secret) as simulator,
        asyncio.timeout(20),
    ):
        _, body, _ = await send(session, simulator)
        await simulator.reporter.join()

    [receipt] = inbox
    assert receipt.url.endswith("/v1/receipts/acme")
    found = Webhook(secret).verify(receipt.body.decode(), dict(receipt.headers))
    assert found == {"id": body["id"], "status": "DELIVRD"}


async def test_receipt_is_not_signed_without_a_secret(
    session: aiohttp.ClientSession, sink_url: str, inbox: list[wire.HttpRequest]
) -> None:
    knobs = Knobs(receipt_url=sink_url)
    async with HttpServiceSimulator(knobs=knobs) as simulator, asyncio.timeout(20):
        await send(session, simulator)
        await simulator.reporter.join()

    assert not any(name.startswith("webhook-") for name in inbox[0].headers)


async def test_receipt_is_tried_again_with_the_same_id(
    session: aiohttp.ClientSession,
    sink_url: str,
    inbox: list[wire.HttpRequest],
    answers: list[int],
    secret: str,
) -> None:
    answers += [503, 503]
    knobs = Knobs(receipt_url=sink_url, receipt_retry_delay=0)
    async with (
        HttpServiceSimulator(knobs=knobs, receipt_secret=secret) as simulator,
        asyncio.timeout(20),
    ):
        await send(session, simulator)
        await simulator.reporter.join()

    assert len(inbox) == 3
    assert len({one.headers["webhook-id"] for one in inbox}) == 1


async def test_receipts_can_be_repeated(
    session: aiohttp.ClientSession, sink_url: str, inbox: list[wire.HttpRequest]
) -> None:
    knobs = Knobs(receipt_url=sink_url, receipt_repeats=2)
    async with HttpServiceSimulator(knobs=knobs) as simulator, asyncio.timeout(20):
        await send(session, simulator)
        await simulator.reporter.join()

    assert len({one.body for one in inbox}) == 1
    assert len(inbox) == 3


@pytest.mark.parametrize("event", list(wire.ReceiptEvent))
async def test_every_event_has_a_word_of_its_own(
    session: aiohttp.ClientSession,
    sink_url: str,
    inbox: list[wire.HttpRequest],
    event: wire.ReceiptEvent,
) -> None:
    knobs = Knobs(receipt_url=sink_url, receipt=event)
    async with HttpServiceSimulator(knobs=knobs) as simulator, asyncio.timeout(20):
        await send(session, simulator)
        await simulator.reporter.join()

    assert [orjson.loads(one.body)["status"] for one in inbox] == [STATUSES[event]]
    assert len(set(STATUSES.values())) == len(wire.ReceiptEvent)


@pytest.mark.parametrize("to", ["+15005550014", "+15005550001"])
async def test_silent_and_refused_messages_have_no_receipt(
    session: aiohttp.ClientSession, sink_url: str, inbox: list[wire.HttpRequest], to: str
) -> None:
    knobs = Knobs(receipt_url=sink_url)
    async with HttpServiceSimulator(knobs=knobs) as simulator, asyncio.timeout(20):
        await send(session, simulator, {"to": to, "text": "x"})

        assert simulator.reporter.pending == 0
    assert inbox == []


async def test_receipt_waits_for_its_delay(session: aiohttp.ClientSession, sink_url: str) -> None:
    knobs = Knobs(receipt_url=sink_url, receipt_delay=3600)
    async with HttpServiceSimulator(knobs=knobs) as simulator:
        await send(session, simulator)

        assert simulator.reporter.pending == 1
        assert simulator.reporter.counts == {}


def test_signature_is_the_one_of_the_specification(secret: str) -> None:
    found = webhook_signature.sign(
        secret,
        id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )

    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_unreadable_secret_is_an_error() -> None:
    with pytest.raises(ValueError, match="whsec_"):
        webhook_signature.sign("whsec_!", id="x", timestamp=1, body=b"")

"""The simulator of a platform for 5G messages, by recorded shapes."""

import asyncio
from typing import Any

import aiohttp
import orjson
import pytest

from gateway.model import wire
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.log import Arrival
from gateway.sandbox.magic import Fate
from gateway.sandbox.rcs_5g import CHATBOT, Rcs5gSimulator

PAIR = 'Username="sandbox-app",Password="sandbox-password"'
REFERENCE = "01900000-0000-7000-8000-00000000000a-0-1-0"
PHONE = "tel:+8615300000001"
UUID = "27437fcf-aa6e-4656-bdb1-695477cdddd9"


def call(*phones: str, **changes: Any) -> dict[str, Any]:
    """A right call, with some fields changed; those of the message by their own names."""
    numbers = list(phones or [PHONE])
    message = {
        "contentType": "text/plain",
        "contentEncoding": "utf8",
        "bodyText": "您的快递今日送达",
        "conversationID": UUID,
        "contributionID": UUID,
        "reportRequest": ["Delivered", "Displayed", "Failed"],
        "storeSupported": "true",
        "shortMessageSupported": "false",
    }
    whole = {
        "address": numbers[0],
        "destinationAddress": numbers,
        "senderAddress": CHATBOT,
        "productType": 1,
        "clientCorrelator": REFERENCE,
    }
    for name, value in changes.items():
        (message if name in message else whole)[name] = value
    return {**whole, "outboundIMMessage": message}


async def post(
    simulator: Rcs5gSimulator,
    session: aiohttp.ClientSession,
    value: Any,
    *,
    pair: str = PAIR,
    chatbot: str = CHATBOT,
) -> tuple[int, Any]:
    async with session.post(
        f"{simulator.url}/openchatbot/v2/{chatbot}/outbound",
        json=value,
        headers={"Authorization": pair},
    ) as response:
        return response.status, await response.json()


async def test_message_is_taken(session: aiohttp.ClientSession) -> None:
    async with Rcs5gSimulator() as simulator:
        status, answer = await post(simulator, session, call())

    [arrival] = simulator.log.arrivals
    assert status == 200
    assert arrival.id == answer["messageId"]
    assert (arrival.to, arrival.reference) == ("+8615300000001", REFERENCE)
    assert arrival.content["bodyText"] == "您的快递今日送达"


async def test_others_are_kept_out(session: aiohttp.ClientSession) -> None:
    async with Rcs5gSimulator() as simulator:
        wrong, _ = await post(simulator, session, call(), pair='Username="a",Password="b"')
        other, _ = await post(simulator, session, call(), chatbot="sip:1@example.com")

    assert (wrong, other) == (401, 403)
    assert simulator.log.total == 0


MANY = [f"tel:+86153{at:08d}" for at in range(101)]


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"destinationAddress": []}, "destinationAddress"),
        ({"destinationAddress": MANY}, "destinationAddress"),
        ({"destinationAddress": [PHONE, PHONE]}, "destinationAddress"),
        ({"destinationAddress": ["15300000001"]}, "destinationAddress"),
        ({"destinationAddress": None}, "destinationAddress"),
        ({"address": "tel:+8615300000009"}, "address"),
        ({"senderAddress": "sip:1@example.com"}, "senderAddress"),
        ({"productType": 3}, "productType"),
        ({"contentType": "text/html"}, "contentType"),
        ({"contentType": "multipart/mixed"}, "contentType"),
        ({"contentEncoding": "gbk"}, "contentEncoding"),
        ({"bodyText": ""}, "bodyText"),
        ({"conversationID": "c"}, "conversationID"),
        ({"reportRequest": ["Read"]}, "reportRequest"),
        ({"shortMessageSupported": True}, "shortMessageSupported"),
    ],
)
async def test_wrong_field_is_named(
    session: aiohttp.ClientSession, changes: dict[str, Any], wrong: str
) -> None:
    async with Rcs5gSimulator() as simulator:
        status, answer = await post(simulator, session, call(**changes))

    assert (status, answer) == (400, {"error": wrong})
    assert simulator.log.counts == {Fate.INVALID: 1}


@pytest.mark.parametrize(
    ("phone", "status"),
    [
        ("tel:+8615005550001", 400),
        ("tel:+8615005550002", 400),
        ("tel:+8615005550015", 503),
        ("tel:+8615005550016", 429),
        ("tel:+8615005550019", 403),
    ],
)
async def test_magic_number_decides_about_its_call(
    session: aiohttp.ClientSession, phone: str, status: int
) -> None:
    async with Rcs5gSimulator(knobs=Knobs(retry_after=3)) as simulator:
        found, _ = await post(simulator, session, call(PHONE, phone))

    assert found == status
    assert simulator.log.taken == 0


async def test_throttling_counts_numbers(session: aiohttp.ClientSession) -> None:
    async with Rcs5gSimulator(knobs=Knobs(throttle=2), now=lambda: 0.0) as simulator:
        first, _ = await post(simulator, session, call(*MANY[:2]))
        second, _ = await post(simulator, session, call())

    assert (first, second) == (200, 429)


@pytest.mark.parametrize(
    ("phone", "statuses"),
    [
        (PHONE, ["MessageSent", "DeliveredToTerminal"]),
        ("tel:+8615005550010", ["DeliveryImpossible"]),
        ("tel:+8615005550013", ["MessageSent"]),
        ("tel:+8615005550014", []),
    ],
)
async def test_reports_name_call_and_number(
    session: aiohttp.ClientSession,
    sink_url: str,
    inbox: list[wire.HttpRequest],
    phone: str,
    statuses: list[str],
) -> None:
    async with Rcs5gSimulator(knobs=Knobs(receipt_url=sink_url)) as simulator:
        async with asyncio.timeout(20):
            _, answer = await post(simulator, session, call(phone))
            await simulator.reporter.join()

    told = [orjson.loads(request.body)["deliveryInfo"] for request in inbox]
    assert sorted(one["deliveryStatus"] for one in told) == sorted(statuses)
    for one in told:
        assert (one["address"], one["messageId"]) == (phone, answer["messageId"])
    for request in inbox:
        pair = 'Username="sandbox-chatbot",Password="sandbox-callback"'
        assert request.headers["authorization"] == pair
        assert request.headers["traceuniqueid"].isdecimal()


@pytest.mark.parametrize("event", [*wire.ReceiptEvent, None])
async def test_receipt_knob_decides_what_is_reported(
    session: aiohttp.ClientSession,
    sink_url: str,
    inbox: list[wire.HttpRequest],
    event: wire.ReceiptEvent | None,
) -> None:
    knobs = Knobs(receipt_url=sink_url, receipt=event)
    async with Rcs5gSimulator(knobs=knobs) as simulator, asyncio.timeout(20):
        await post(simulator, session, call(reportRequest=["Delivered", "Displayed", "Failed"]))
        await simulator.reporter.join()

    counts = {"delivered": 2, "read": 2, "sent": 1, "failed": 1, "expired": 1}
    counts |= {"opted_out": 1, "unknown": 1}  # no SMS was asked for, so that BOUNCED says nothing
    assert len(inbox) == counts.get(str(event), 0)


async def test_nothing_is_reported_that_was_not_asked_for(
    session: aiohttp.ClientSession, sink_url: str, inbox: list[wire.HttpRequest]
) -> None:
    async with Rcs5gSimulator(knobs=Knobs(receipt_url=sink_url)) as simulator:
        async with asyncio.timeout(20):
            await post(simulator, session, call(reportRequest=["Failed"]))
            await simulator.reporter.join()

    [request] = inbox
    assert orjson.loads(request.body)["deliveryInfo"]["deliveryStatus"] == "MessageSent"


@pytest.mark.parametrize(("phone", "taken"), [("+8615005550017", 2), ("+8615005550018", 0)])
async def test_lost_and_hanging_numbers_get_no_answer(
    session: aiohttp.ClientSession, phone: str, taken: int
) -> None:
    came = asyncio.Event()

    def note(_: Arrival) -> None:
        if simulator.log.total == 2:
            came.set()

    async with Rcs5gSimulator() as simulator, asyncio.timeout(20):
        simulator.log.watchers.append(note)
        sending = asyncio.create_task(post(simulator, session, call(PHONE, f"tel:{phone}")))
        await came.wait()
        simulator.knobs.hang = False
        with pytest.raises(aiohttp.ClientError):
            await sending

    assert simulator.log.taken == taken

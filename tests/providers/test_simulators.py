"""Adapters against the simulators, which were written from the same public facts, not from them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import test_utils, web

from gateway.clock import SystemClock
from gateway.model import smpp, wire
from gateway.providers import base
from gateway.sandbox.fcm import FcmSimulator
from gateway.sandbox.http import HttpServiceSimulator
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.receiver import ReceiverSimulator
from gateway.sandbox.smpp import SmppSimulator
from gateway.sandbox.twilio import AUTH_TOKEN, TwilioSimulator
from gateway.transport.http import AiohttpTransport
from gateway.transport.smpp import PooledSmppTransport

Make = Callable[..., base.HttpProvider]
Message = Callable[..., wire.Message]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Inbox:
    """Takes receipts as the public port does, and keeps them."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[wire.HttpRequest] = asyncio.Queue()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        url = str(request.url)
        body = await request.read()
        await self.requests.put(
            wire.HttpRequest(method=request.method, url=url, headers=headers, body=body)
        )
        return web.Response(status=204)

    async def next(self, provider: base.HttpProvider) -> wire.DeliveryReceipt:
        request = await asyncio.wait_for(self.requests.get(), 5)
        assert provider.verify_receipt(request)
        [receipt] = provider.read_receipts(request)
        return receipt


@asynccontextmanager
async def serving() -> AsyncIterator[Inbox]:
    inbox = Inbox()
    app = web.Application()
    app.router.add_post("/v1/receipts/main", inbox.take)
    async with test_utils.TestServer(app) as server:
        inbox.url = str(server.make_url("/v1/receipts/main"))
        yield inbox


async def send(provider: base.HttpProvider, message: wire.Message) -> wire.AttemptResult:
    """One message as the dispatcher sends it, with a fresh token where one is needed."""
    [(carried, request)] = provider.build_requests([message])
    async with AiohttpTransport() as transport:
        if provider.credential:
            answer = await transport.send(provider.credential.token_request(), timeout=5)
            token = provider.credential.read_token(answer)
            assert isinstance(token, wire.Token)
            request = provider.credential.authorise(request, token.value)
        response = await transport.send(request, timeout=5)
    [result] = provider.read_response(carried, response)
    return result


@pytest.fixture(name="soon")
def fixture_soon() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=5)


async def test_twilio_takes_a_message_and_its_reports_are_believed(
    make: Make, message: Message, soon: datetime
) -> None:
    async with TwilioSimulator() as simulator, serving() as inbox:
        provider = make(
            "twilio", auth_token=AUTH_TOKEN, base_url=simulator.url, clock=SystemClock()
        )
        one = message(
            callback_url=inbox.url, expires_at=soon, to=wire.Address(phone="+4915112345678")
        )

        result = await send(provider, one)
        receipts = [await inbox.next(provider) for _ in range(3)]

    assert isinstance(result, wire.Accepted)
    assert {receipt.provider_id for receipt in receipts} == {result.provider_id}
    assert {receipt.reference for receipt in receipts} == {one.reference}
    assert wire.ReceiptEvent.DELIVERED in {receipt.event for receipt in receipts}
    assert simulator.log.arrivals[0].reference == one.reference


async def test_twilio_refuses_a_wrong_token(make: Make, message: Message) -> None:
    async with TwilioSimulator() as simulator:
        provider = make("twilio", auth_token="wrong", base_url=simulator.url)

        result = await send(provider, message())

    assert isinstance(result, wire.Deferred)
    assert result.cause is wire.Cause.CREDENTIAL


async def test_fcm_takes_a_message_with_a_token_of_its_service_account(
    make: Make, message: Message, soon: datetime
) -> None:
    extra = {"data": {"a": 1, "from": "x"}, "badge": 1, "link": "https://example.com/"}
    one = message(expires_at=soon, content=wire.Content(text="x", title="y", extra=extra))
    async with FcmSimulator() as simulator:
        key: Any = simulator.service_account()
        provider = make(
            "fcm", service_account=json.dumps(key), base_url=simulator.url, clock=SystemClock()
        )

        result = await send(provider, one)
        gone = await send(provider, message(to=wire.Address(token="unregistered-1")))

    assert isinstance(result, wire.Accepted)
    assert result.detail == "reserved data keys left out: 1"
    assert isinstance(gone, wire.Rejected)
    assert (gone.code, gone.suppress) == ("UNREGISTERED", True)


async def test_plain_json_service_takes_a_message_and_its_reports_are_believed(
    make: Make, message: Message
) -> None:
    receipt = {"secret": SECRET, "id": "id", "status": "status", "map": {"DELIVRD": "delivered"}}
    async with (
        serving() as inbox,
        HttpServiceSimulator(
            receipt_secret=SECRET, token="acme-token", knobs=Knobs(receipt_url=inbox.url)
        ) as simulator,
    ):
        provider = make(
            "http",
            base_url=simulator.url,
            message_id="id",
            receipt=receipt,
            clock=SystemClock(),
        )

        result = await send(provider, message(to=wire.Address(phone="+4915112345678")))
        report = await inbox.next(provider)

    assert isinstance(result, wire.Accepted)
    assert (report.event, report.provider_id) == (
        wire.ReceiptEvent.DELIVERED,
        result.provider_id,
    )


async def test_webhook_is_believed_by_its_receiver(make: Make, message: Message) -> None:
    async with ReceiverSimulator(secrets=[SECRET]) as receiver:
        one = message(
            to=wire.Address(url=f"{receiver.url}/hooks"),
            content=wire.Content(text='{"type":"message.sent"}', extra={"secrets": [SECRET]}),
        )

        result = await send(make("webhook", clock=SystemClock()), one)

    assert result == wire.Accepted()
    assert receiver.bodies == {one.id: {"type": "message.sent"}}


SMPP_TEXTS = {
    "@€ {\\}": 1,
    "中" * 70: 1,
    "a" * 161: 2,
    "a" * 152 + "€" + "a" * 152: 3,
    "中" * 66 + "😀" + "中" * 66: 3,
}


@pytest.mark.parametrize("ids", ["equal", "decimal_receipts", "hex_receipts"])
@pytest.mark.parametrize("form", ["text", "parameters", "both"])
async def test_message_centre_takes_a_message_and_its_receipts_are_read(
    make: Callable[..., Any], message: Message, ids: Any, form: Any
) -> None:
    brought: list[smpp.Delivery] = []

    async def take(deliveries: Sequence[smpp.Delivery]) -> Sequence[int]:
        brought.extend(deliveries)
        return [0] * len(deliveries)

    async with SmppSimulator(message_ids=ids, receipt_form=form) as simulator:
        provider = make(
            "smpp",
            host="127.0.0.1",
            port=simulator.port,
            system_id=simulator.system_id,
            password=simulator.password,
            message_ids=ids,
        )
        results = []
        async with PooledSmppTransport(provider.options, clock=SystemClock()) as transport:
            transport.begin(take)
            for text in SMPP_TEXTS:
                one = message(
                    content=wire.Content(text=text), to=wire.Address(phone="+447700900000")
                )
                submits = provider.build_submits(one)
                assert len(submits) == SMPP_TEXTS[text]
                for submit in submits:
                    answer = await transport.send(submit, timeout=5)
                    results.append(provider.read_answer(answer))
            await simulator.outbox.join()

    receipts = [provider.read_delivery(one) for one in brought]
    assert sorted(one.provider_id for one in receipts) == sorted(one.provider_id for one in results)
    assert {one.event for one in receipts} == {wire.ReceiptEvent.DELIVERED}
    texts = "".join(one.content["text"] for one in simulator.log.arrivals)
    assert texts == "".join(SMPP_TEXTS)

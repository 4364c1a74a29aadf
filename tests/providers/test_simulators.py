"""Adapters against the simulators, which were written from the same public facts, not from them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import test_utils, web

from gateway.clock import SystemClock
from gateway.model import wire
from gateway.providers import base
from gateway.sandbox import vonage_sms
from gateway.sandbox.fcm import FcmSimulator
from gateway.sandbox.http import HttpServiceSimulator
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.receiver import ReceiverSimulator
from gateway.sandbox.twilio import AUTH_TOKEN, TwilioSimulator
from gateway.sandbox.vonage import (
    API_KEY,
    API_SECRET,
    APPLICATION_ID,
    SIGNATURE_SECRET,
    VonageSimulator,
)
from gateway.transport.http import AiohttpTransport

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


async def test_twilio_brings_what_recipients_write(make: Make) -> None:
    async with TwilioSimulator() as simulator, serving() as inbox:
        provider = make("twilio", auth_token=AUTH_TOKEN)

        sid = simulator.write("+4915112345678", "Stopp", to="+15005550006", url=inbox.url)
        request = await asyncio.wait_for(inbox.requests.get(), 5)

    assert provider.verify_receipt(request)
    assert provider.read_inbound(request) == [
        wire.InboundMessage(
            sender="+4915112345678", to="+15005550006", text="Stopp", provider_id=sid
        )
    ]


def vonage_account(make: Make, simulator: VonageSimulator, **changes: str) -> base.HttpProvider:
    options = {
        "application_id": APPLICATION_ID,
        "private_key": simulator.private_key(),
        "api_key": API_KEY,
        "signature_secret": SIGNATURE_SECRET,
        **changes,
    }
    return make("vonage", options, base_url=simulator.url, clock=SystemClock())


@pytest.mark.parametrize("channel", [wire.Channel.SMS, wire.Channel.RCS])
async def test_vonage_takes_a_message_and_its_reports_are_believed(
    make: Make, message: Message, soon: datetime, channel: wire.Channel
) -> None:
    async with VonageSimulator() as simulator, serving() as inbox:
        provider = vonage_account(make, simulator, channel=channel)
        one = message(
            channel=channel,
            callback_url=inbox.url,
            expires_at=soon,
            to=wire.Address(phone="+4915112345678"),
        )

        result = await send(provider, one)
        receipts = [await inbox.next(provider) for _ in range(2)]

    assert isinstance(result, wire.Accepted)
    assert {receipt.provider_id for receipt in receipts} == {result.provider_id}
    assert {receipt.reference for receipt in receipts} == {one.reference}
    assert wire.ReceiptEvent.DELIVERED in {receipt.event for receipt in receipts}
    assert simulator.log.arrivals[0].reference == one.reference


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [
        ({"api_secret": API_SECRET}, True),
        ({"api_secret": "wrong"}, False),
        ({"application_id": "00000000-0000-4000-8000-000000000002"}, False),
    ],
)
async def test_vonage_knows_its_accounts(
    make: Make, message: Message, soon: datetime, changes: dict[str, str], accepted: bool
) -> None:
    async with VonageSimulator() as simulator:
        if "api_secret" in changes:
            changes = {**changes, "application_id": "", "private_key": "", "signature_secret": ""}
        provider = vonage_account(make, simulator, **changes)

        result = await send(
            provider, message(expires_at=soon, to=wire.Address(phone="+4915112345678"))
        )

    if accepted:
        assert isinstance(result, wire.Accepted)
    else:
        assert isinstance(result, wire.Deferred)
        assert (result.code, result.cause) == ("unauthorized", wire.Cause.CREDENTIAL)


@pytest.mark.parametrize(
    ("phone", "kind"),
    [
        ("+15005550001", wire.Rejected),
        ("+15005550002", wire.Rejected),
        ("+15005550015", wire.Deferred),
        ("+15005550016", wire.Deferred),
    ],
)
async def test_vonage_refuses(
    make: Make, message: Message, soon: datetime, phone: str, kind: type
) -> None:
    async with VonageSimulator() as simulator:
        provider = vonage_account(make, simulator)

        result = await send(provider, message(expires_at=soon, to=wire.Address(phone=phone)))

    assert type(result) is kind


async def test_vonage_brings_what_recipients_write(make: Make) -> None:
    async with VonageSimulator() as simulator, serving() as inbox:
        provider = vonage_account(make, simulator)

        id = simulator.write("+4915112345678", "STOP", to="447700900001", url=inbox.url)
        request = await asyncio.wait_for(inbox.requests.get(), 5)

    assert provider.verify_receipt(request)
    [inbound] = provider.read_inbound(request)
    assert (inbound.sender, inbound.to) == ("+4915112345678", "447700900001")
    assert (inbound.text, inbound.provider_id) == ("STOP", id)


@pytest.mark.parametrize("api_secret", [vonage_sms.API_SECRET, ""])
async def test_vonage_sms_takes_a_message_and_its_reports_are_believed(
    make: Make, message: Message, soon: datetime, api_secret: str
) -> None:
    options = {
        "api_key": vonage_sms.API_KEY,
        "api_secret": api_secret,
        "signature_secret": vonage_sms.SIGNATURE_SECRET,
    }
    async with vonage_sms.VonageSmsSimulator() as simulator, serving() as inbox:
        provider = make("vonage_sms", options, base_url=simulator.url, clock=SystemClock())
        one = message(
            callback_url=inbox.url,
            expires_at=soon,
            to=wire.Address(phone="+4915112345678"),
            content=wire.Content(text="a=b & c 您好" * 10),
        )

        result = await send(provider, one)
        receipts = [await inbox.next(provider) for _ in range(2)]
        wrong = await send(make("vonage_sms", base_url=simulator.url, clock=SystemClock()), one)

    assert isinstance(result, wire.Accepted)
    assert result.provider_id in {receipt.provider_id for receipt in receipts}
    assert {(one.reference, one.event) for one in receipts} == {
        (one.reference, wire.ReceiptEvent.DELIVERED)
    }
    assert isinstance(wrong, wire.Deferred)
    assert (wrong.code, wrong.cause) == ("4", wire.Cause.CREDENTIAL)


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

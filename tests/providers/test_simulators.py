"""Adapters against the simulators, which were written from the same public facts, not from them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

import pytest
from aiohttp import test_utils, web

from gateway.clock import SystemClock
from gateway.model import smpp, wire
from gateway.model.values import replace
from gateway.providers import base
from gateway.sandbox import vonage_sms
from gateway.sandbox.aliyun import ACCESS_KEY_ID, ACCESS_KEY_SECRET, AliyunSimulator
from gateway.sandbox.fcm import FcmSimulator
from gateway.sandbox.http import HttpServiceSimulator
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.receiver import ReceiverSimulator
from gateway.sandbox.smpp import SmppSimulator
from gateway.sandbox.tencent import SECRET_ID, SECRET_KEY, TencentSimulator
from gateway.sandbox.twilio import AUTH_TOKEN, TwilioSimulator
from gateway.sandbox.vonage import (
    API_KEY,
    API_SECRET,
    APPLICATION_ID,
    SIGNATURE_SECRET,
    VonageSimulator,
)
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


ADDRESS_SECRET = "an address that nobody guesses"
#: Three good numbers, and those that the simulators refuse for their own sake.
NUMBERS = ["+8615300000001", "+8615300000002", "+8615300000003"]
STOPPED, LIMITED = "+8615005550004", "+8615005550016"


def code_to(message: Message, phone: str, number: int = 1, **table: Any) -> wire.Message:
    """A one-time code by the templates that the simulators know."""
    tables = {
        "aliyun": {"template": "SMS_123456789", "params": {"code": "4711"}, **table},
        "tencent": {"template": "1400001", "params": {"code": "4711"}, **table},
    }
    reference = f"0195500a-5c00-7000-8000-{number:012d}-0-0-0"
    content = wire.Content(provider_templates=tables)
    return message(to=wire.Address(phone=phone), content=content, reference=reference)


async def send_all(
    provider: base.HttpProvider, messages: list[wire.Message]
) -> tuple[int, dict[str, wire.AttemptResult]]:
    """(requests, results by number) of several messages."""
    results: dict[str, wire.AttemptResult] = {}
    built = provider.build_requests(messages)
    async with AiohttpTransport() as transport:
        for carried, request in built:
            answers = provider.read_response(carried, await transport.send(request, timeout=5))
            for one, answer in zip(carried, answers, strict=True):
                results[one.to.phone] = answer
    return len(built), results


async def reported(inbox: Inbox, provider: base.HttpProvider) -> list[wire.DeliveryReceipt]:
    request = await asyncio.wait_for(inbox.requests.get(), 5)
    assert provider.verify_receipt(request)
    assert not provider.verify_receipt(replace(request, url=inbox.url))
    return list(provider.read_receipts(request))


@asynccontextmanager
async def mainland(
    kind: str, make: Make, **knobs: Any
) -> AsyncIterator[tuple[Any, base.HttpProvider, Inbox]]:
    """A simulator of the kind, an account of it, and where its reports come to."""
    async with serving() as inbox:
        address = f"{inbox.url}?key={quote_plus(ADDRESS_SECRET)}"
        build: Any = {"aliyun": AliyunSimulator, "tencent": TencentSimulator}[kind]
        keys = {
            "aliyun": {"access_key_id": ACCESS_KEY_ID, "access_key_secret": ACCESS_KEY_SECRET},
            "tencent": {"secret_id": SECRET_ID, "secret_key": SECRET_KEY},
        }
        async with build(knobs=Knobs(receipt_url=address, **knobs)) as simulator:
            options = {**keys[kind], "sign": "Example", "receipt_secret": ADDRESS_SECRET}
            provider = make(kind, options, base_url=simulator.url, clock=SystemClock())
            yield simulator, provider, inbox


BOTH = pytest.mark.parametrize("kind", ["aliyun", "tencent"])


@BOTH
async def test_code_to_the_mainland_is_taken_and_its_report_is_believed(
    kind: str, make: Make, message: Message
) -> None:
    one = code_to(message, NUMBERS[0])
    async with mainland(kind, make) as (simulator, provider, inbox):
        result = await send(provider, one)
        [receipt] = await reported(inbox, provider)

    assert isinstance(result, wire.Accepted)
    assert receipt.event is wire.ReceiptEvent.DELIVERED
    assert receipt.provider_id == result.provider_id
    assert simulator.log.arrivals[0].reference == one.reference


@BOTH
async def test_batch_is_one_call_and_each_message_has_its_own_report(
    kind: str, make: Make, message: Message
) -> None:
    messages = [code_to(message, phone, at) for at, phone in enumerate(NUMBERS)]
    async with mainland(kind, make) as (_, provider, inbox):
        calls, results = await send_all(provider, messages)
        receipts = await reported(inbox, provider)

    ids = [one.provider_id for one in results.values() if isinstance(one, wire.Accepted)]
    assert calls == 1
    assert ids == [one.provider_id for one in receipts]
    assert len(set(ids)) == 3


@BOTH
async def test_wrong_key_pauses_the_account(kind: str, make: Make, message: Message) -> None:
    async with mainland(kind, make) as (simulator, _, _):
        provider = make(kind, sign="Example", base_url=simulator.url, clock=SystemClock())

        result = await send(provider, code_to(message, NUMBERS[0]))

    assert isinstance(result, wire.Deferred)
    assert result.cause is wire.Cause.CREDENTIAL


@BOTH
async def test_number_that_opted_out_is_suppressed(kind: str, make: Make, message: Message) -> None:
    async with mainland(kind, make) as (_, provider, _):
        result = await send(provider, code_to(message, STOPPED))

    assert isinstance(result, wire.Rejected)
    assert (result.scope, result.suppress) == (wire.Scope.RECIPIENT, True)


@BOTH
async def test_limit_of_a_number_does_not_pause_the_account(
    kind: str, make: Make, message: Message
) -> None:
    async with mainland(kind, make) as (_, provider, _):
        result = await send(provider, code_to(message, LIMITED))

    assert isinstance(result, wire.Deferred)
    assert result.cause is wire.Cause.RECIPIENT
    assert result.retry_after is not None
    assert 0 < result.retry_after <= 60


@BOTH
async def test_throttled_account_is_throttled(kind: str, make: Make, message: Message) -> None:
    async with mainland(kind, make, throttle=0.001) as (_, provider, _):
        results = [await send(provider, code_to(message, one)) for one in NUMBERS[:2]]

    assert isinstance(results[1], wire.Deferred)
    assert results[1].cause is wire.Cause.THROTTLED


async def test_one_bad_number_defers_an_aliyun_batch_and_fails_alone_by_tencent(
    make: Make, message: Message
) -> None:
    messages = [code_to(message, NUMBERS[0], 1), code_to(message, STOPPED, 2)]
    async with mainland("aliyun", make) as (_, provider, _):
        _, by_aliyun = await send_all(provider, messages)
    async with mainland("tencent", make) as (_, provider, _):
        _, by_tencent = await send_all(provider, messages)

    assert [type(one) for one in by_aliyun.values()] == [wire.Deferred, wire.Deferred]
    assert [type(one) for one in by_tencent.values()] == [wire.Accepted, wire.Rejected]


@BOTH
async def test_message_without_template_is_refused_alone_and_might_go_elsewhere(
    kind: str, make: Make, message: Message
) -> None:
    messages = [code_to(message, NUMBERS[0], 1), code_to(message, NUMBERS[1], 2, template="")]
    async with mainland(kind, make) as (_, provider, _):
        _, results = await send_all(provider, messages)

    good, bad = (results[one] for one in NUMBERS[:2])
    assert isinstance(good, wire.Accepted)
    assert isinstance(bad, wire.Rejected)
    assert bad.scope is wire.Scope.PROVIDER


@BOTH
async def test_reply_is_read_by_its_provider(kind: str, make: Make) -> None:
    async with mainland(kind, make) as (simulator, provider, inbox):
        simulator.reply(NUMBERS[0], "退订")
        request = await asyncio.wait_for(inbox.requests.get(), 5)

    [reply] = provider.read_inbound(request)
    assert (reply.sender, reply.text) == (NUMBERS[0], "退订")
    assert reply.provider_id
    assert provider.read_receipts(request) == []


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

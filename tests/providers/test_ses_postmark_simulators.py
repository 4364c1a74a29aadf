"""SES and Postmark against their simulators, which were written from the same public facts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
from aiohttp import test_utils, web

from gateway.clock import SystemClock
from gateway.model import wire
from gateway.providers import base
from gateway.sandbox import mailboxes
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.magic import Fate
from gateway.sandbox.postmark import SERVER_TOKEN, PostmarkSimulator
from gateway.sandbox.ses import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, TOPIC_ARN, SesSimulator
from gateway.transport.http import AiohttpTransport

Make = Callable[..., base.HttpProvider]
Message = Callable[..., wire.Message]
Event = wire.ReceiptEvent


class Inbox:
    """Takes receipts as the gateway does, with what they need besides."""

    def __init__(self) -> None:
        self.url = ""
        self.provider: base.HttpProvider | None = None
        self.receipts: asyncio.Queue[wire.DeliveryReceipt] = asyncio.Queue()
        self.confirmed = 0

    async def take(self, request: web.Request) -> web.Response:
        provider = self.provider
        assert provider is not None
        inbound = wire.HttpRequest(
            method=request.method,
            url=str(request.url),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
        )
        async with AiohttpTransport() as transport:
            if (wanted := provider.evidence_request(inbound)) is None:
                assert provider.verify_receipt(inbound)
            else:
                evidence = await transport.send(wanted, timeout=5)
                assert provider.verify_with(inbound, evidence)
            for receipt in provider.read_receipts(inbound):
                await self.receipts.put(receipt)
            if (follow_up := provider.follow_up(inbound)) is not None:
                self.confirmed += (await transport.send(follow_up, timeout=5)).status == 200
        answer = provider.answer_receipt(inbound)
        return web.Response(status=answer.status, body=answer.body)

    async def events(self, count: int) -> list[wire.DeliveryReceipt]:
        async with asyncio.timeout(10):
            return [await self.receipts.get() for _ in range(count)]


@asynccontextmanager
async def serving() -> AsyncIterator[Inbox]:
    inbox = Inbox()
    app = web.Application()
    app.router.add_post("/v1/receipts/main", inbox.take)
    async with test_utils.TestServer(app) as server:
        inbox.url = str(server.make_url("/v1/receipts/main"))
        yield inbox


async def send(
    provider: base.HttpProvider, messages: list[wire.Message]
) -> list[wire.AttemptResult]:
    results: list[wire.AttemptResult] = []
    async with AiohttpTransport() as transport:
        for carried, request in provider.build_requests(messages):
            response = await transport.send(request, timeout=5)
            results += provider.read_response(carried, response)
    return results


def to(address: str) -> wire.Address:
    return wire.Address(email=address)


def ses_account(make: Make, simulator: SesSimulator, **changes: Any) -> base.HttpProvider:
    options: dict[str, Any] = {
        "region": REGION,
        "access_key_id": ACCESS_KEY_ID,
        "secret_access_key": SECRET_ACCESS_KEY,
        "topic_arns": [TOPIC_ARN],
        "sns_origin": simulator.url,
        "base_url": simulator.url,
        "clock": SystemClock(),
    }
    return make("ses", **{**options, **changes})


@pytest.mark.parametrize("version", ["1", "2"])
async def test_ses_takes_a_mail_and_its_events_are_believed(
    make: Make, message: Message, version: Literal["1", "2"]
) -> None:
    async with (
        serving() as inbox,
        SesSimulator(signature_version=version, knobs=Knobs(receipt_url=inbox.url)) as simulator,
    ):
        inbox.provider = provider = ses_account(make, simulator)
        one = message()

        [result] = await send(provider, [one])
        receipts = await inbox.events(2)

    assert isinstance(result, wire.Accepted)
    assert {receipt.provider_id for receipt in receipts} == {result.provider_id}
    assert {receipt.reference for receipt in receipts} == {one.reference}
    assert {receipt.event for receipt in receipts} == {Event.SENT, Event.DELIVERED}
    assert inbox.confirmed == 1
    assert simulator.log.arrivals[0].reference == one.reference


@pytest.mark.parametrize(
    ("address", "event", "suppress"),
    [
        ("bounce@simulator.amazonses.com", Event.BOUNCED, True),
        ("complaint@simulator.amazonses.com", Event.COMPLAINED, True),
        ("suppressionlist@simulator.amazonses.com", Event.FAILED, False),
        ("left@example.com", Event.OPTED_OUT, True),
    ],
)
async def test_ses_tells_what_became_of_a_mail(
    make: Make, message: Message, address: str, event: Event, suppress: bool
) -> None:
    async with (
        serving() as inbox,
        SesSimulator(knobs=Knobs(receipt_url=inbox.url)) as simulator,
    ):
        inbox.provider = provider = ses_account(make, simulator)

        await send(provider, [message(to=to(address))])
        async with asyncio.timeout(10):
            while (receipt := await inbox.receipts.get()).event is not event:
                pass

    assert receipt.suppress is suppress


REFUSALS = [
    ("invalid", wire.Rejected, wire.Scope.RECIPIENT),
    ("big", wire.Rejected, wire.Scope.MESSAGE),
    ("later", wire.Deferred, wire.Cause.TEMPORARY),
    ("throttled", wire.Deferred, wire.Cause.THROTTLED),
    ("credential", wire.Deferred, wire.Cause.CREDENTIAL),
]


@pytest.mark.parametrize(("name", "kind", "why"), REFUSALS)
async def test_ses_refusals_are_understood(
    make: Make,
    message: Message,
    name: str,
    kind: type[wire.Rejected | wire.Deferred],
    why: wire.Scope | wire.Cause,
) -> None:
    async with SesSimulator() as simulator:
        provider = ses_account(make, simulator)

        [result] = await send(provider, [message(to=to(f"{name}@example.com"))])

    assert isinstance(result, kind)
    assert (result.scope if isinstance(result, wire.Rejected) else result.cause) is why


@pytest.mark.parametrize(
    "changes",
    [
        {"secret_access_key": "wrong"},
        {"access_key_id": "wrong"},
        {"region": "us-east-1"},
        {"session_token": "surprise"},
    ],
)
async def test_ses_refuses_wrong_signatures(
    make: Make, message: Message, changes: dict[str, str]
) -> None:
    async with SesSimulator() as simulator:
        [result] = await send(ses_account(make, simulator, **changes), [message()])

    assert isinstance(result, wire.Deferred)
    assert result.cause is wire.Cause.CREDENTIAL
    assert simulator.log.total == 0


def postmark_account(make: Make, simulator: PostmarkSimulator, **changes: Any) -> base.HttpProvider:
    options = {"server_token": SERVER_TOKEN, "base_url": simulator.url}
    return make("postmark", **{**options, **changes})


async def test_postmark_takes_a_batch_and_its_webhooks_are_believed(
    make: Make, message: Message
) -> None:
    async with (
        serving() as inbox,
        PostmarkSimulator(
            webhook_username="postmark",
            webhook_password="correct horse",
            webhook_headers={"X-Hook-Secret": "battery staple"},
            knobs=Knobs(receipt_url=inbox.url),
        ) as simulator,
    ):
        inbox.provider = provider = postmark_account(make, simulator)
        messages = [message(id=str(at), reference=f"{at:08x}-0") for at in range(20)]

        results = await send(provider, messages)
        receipts = await inbox.events(20)

    ids = {one.provider_id for one in results if isinstance(one, wire.Accepted)}
    assert len(ids) == 20
    assert {one.provider_id for one in receipts} == ids
    assert {one.reference for one in receipts} == {one.reference for one in messages}
    assert {one.event for one in receipts} == {Event.DELIVERED}
    assert all(one.at is not None for one in receipts)


@pytest.mark.parametrize("together", [True, False])
async def test_postmark_refuses_some_of_many(make: Make, message: Message, together: bool) -> None:
    names = ["li", *(name for name, _, _ in REFUSALS), "wang"]
    messages = [message(id=one, reference=one, to=to(f"{one}@example.com")) for one in names]
    async with PostmarkSimulator() as simulator:
        provider = postmark_account(make, simulator)

        if together:
            results = await send(provider, messages)
        else:
            results = [found for one in messages for found in await send(provider, [one])]

    assert isinstance(results[0], wire.Accepted)
    assert isinstance(results[-1], wire.Accepted)
    for result, (_, kind, why) in zip(results[1:-1], REFUSALS, strict=True):
        assert isinstance(result, kind)
        assert why in (getattr(result, "scope", None), getattr(result, "cause", None))


async def test_postmark_refuses_a_wrong_token(make: Make, message: Message) -> None:
    async with PostmarkSimulator() as simulator:
        provider = postmark_account(make, simulator, server_token="wrong")

        results = await send(provider, [message(), message(id="2", reference="2")])

    assert [one.cause for one in results if isinstance(one, wire.Deferred)] == [
        wire.Cause.CREDENTIAL
    ] * 2
    assert simulator.log.total == 0


async def test_postmark_throttles_a_whole_batch(make: Make, message: Message) -> None:
    messages = [message(id=str(at), reference=str(at)) for at in range(3)]
    knobs = Knobs(throttle=1.0, retry_after=7.0)
    async with PostmarkSimulator(knobs=knobs, now=lambda: 0.0) as simulator:
        provider = postmark_account(make, simulator)

        await send(provider, messages)
        results = await send(provider, messages)

    for one in results:
        assert isinstance(one, wire.Deferred)
        assert (one.cause, one.retry_after) == (wire.Cause.THROTTLED, 7.0)
    assert simulator.log.counts == {Fate.TAKEN: 3, Fate.THROTTLED: 3}


@pytest.mark.parametrize("name", ["left", "unknown", "spam"])
async def test_postmark_tells_what_became_of_a_mail(
    make: Make, message: Message, name: str
) -> None:
    wanted = mailboxes.magic_of(f"{name}@example.com").receipt
    async with (
        serving() as inbox,
        PostmarkSimulator(
            webhook_headers={"X-Secret": "x"}, knobs=Knobs(receipt_url=inbox.url)
        ) as simulator,
    ):
        secrets: dict[str, Any] = {"webhook_username": "", "webhook_password": ""}
        inbox.provider = provider = postmark_account(
            make, simulator, **secrets, webhook_headers={"x-secret": "x"}
        )

        await send(provider, [message(to=to(f"{name}@example.com"))])
        async with asyncio.timeout(10):
            while (receipt := await inbox.receipts.get()).event is not wanted:
                pass

    assert receipt.suppress


async def test_mails_with_files_are_taken(make: Make, message: Message) -> None:
    files = [
        {"name": "Rechnung „7“.pdf", "type": "application/pdf", "data": "JVBERi0xLjc="},
        {"name": "logo.png", "type": "image/png", "data": "iVBORw==", "inline": "logo"},
    ]
    one = message(content=wire.Content(text="x", subject="S", extra={"attachments": files}))

    async with SesSimulator() as ses, PostmarkSimulator() as postmark:
        account = make("postmark", server_token=SERVER_TOKEN, base_url=postmark.url)
        results = await send(ses_account(make, ses), [one]) + await send(account, [one, one])

    assert [type(result) for result in results] == [wire.Accepted] * 3

"""Adapters of push and RCS services of China against their simulators."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import test_utils, web

from gateway.clock import SystemClock
from gateway.model import wire
from gateway.providers import base
from gateway.sandbox import getui, huawei, jpush, rcs_5g
from gateway.sandbox.knobs import Knobs
from gateway.transport.http import AiohttpTransport

Make = Callable[..., base.HttpProvider]
Message = Callable[..., wire.Message]


class Inbox:
    """Takes receipts as the public port does, and keeps them."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[wire.HttpRequest] = asyncio.Queue()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body, url = await request.read(), str(request.url)
        await self.requests.put(
            wire.HttpRequest(method="POST", url=url, headers=headers, body=body)
        )
        return web.Response(status=200)

    async def next(self, provider: base.HttpProvider) -> wire.HttpRequest:
        """The next one, which the provider believes."""
        request = await asyncio.wait_for(self.requests.get(), 5)
        assert provider.verify_receipt(request)
        return request


@asynccontextmanager
async def serving() -> AsyncIterator[Inbox]:
    inbox = Inbox()
    app = web.Application()
    app.router.add_post("/v1/receipts/main{path:.*}", inbox.take)
    async with test_utils.TestServer(app) as server:
        inbox.url = str(server.make_url("/v1/receipts/main"))
        yield inbox


async def send(
    provider: base.HttpProvider, messages: list[wire.Message]
) -> tuple[int, list[wire.AttemptResult]]:
    """(calls, results in the order of the messages), with a fresh token where one is needed."""
    results: dict[str, wire.AttemptResult] = {}
    built = provider.build_requests(messages)
    async with AiohttpTransport() as transport:
        token = ""
        if provider.credential:
            answer = await transport.send(provider.credential.token_request(), timeout=5)
            found = provider.credential.read_token(answer)
            assert isinstance(found, wire.Token)
            token = found.value
        for carried, request in built:
            if provider.credential:
                request = provider.credential.authorise(request, token)
            answer = await transport.send(request, timeout=5)
            told = provider.read_response(carried, answer)
            results |= {one.id: result for one, result in zip(carried, told, strict=True)}
    return len(built), [results[one.id] for one in messages]


@pytest.fixture(name="push")
def fixture_push(message: Message) -> Message:
    """A message to a token, or to a number, in time."""

    def build(token: str, text: str = "B", **changes: Any) -> wire.Message:
        fields = {
            "id": token,
            "to": wire.Address(token=token, phone=token),
            "content": wire.Content(title="T", text=text),
            "expires_at": datetime.now(UTC) + timedelta(minutes=5),
        }
        return message(**{**fields, **changes})

    return build


def huawei_account(make: Make, simulator: huawei.HuaweiSimulator) -> base.HttpProvider:
    return make(
        "huawei",
        app_id=huawei.APP_ID,
        app_secret=huawei.APP_SECRET,
        callback_user=huawei.CALLBACK_USER,
        callback_key=huawei.CALLBACK_KEY,
        token_uri=simulator.token_uri,
        base_url=simulator.url,
        clock=SystemClock(),
    )


async def test_huawei_takes_a_batch_and_its_receipts_are_believed(
    make: Make, push: Message
) -> None:
    messages = [push("t1"), push("gone-1"), push("expired-1"), push("t2", "other")]
    async with serving() as inbox:
        knobs = Knobs(receipt_url=inbox.url)
        async with huawei.HuaweiSimulator(knobs=knobs) as simulator:
            provider = huawei_account(make, simulator)

            calls, results = await send(provider, messages)
            posts = [await inbox.next(provider) for _ in range(2)]

    receipts = {one.provider_id: one for post in posts for one in provider.read_receipts(post)}
    assert calls == 2
    taken = [one for one in results if isinstance(one, wire.Accepted)]
    assert [type(one) for one in results].index(wire.Rejected) == 1
    assert [receipts[one.provider_id].event for one in taken] == [
        wire.ReceiptEvent.DELIVERED,
        wire.ReceiptEvent.EXPIRED,
        wire.ReceiptEvent.DELIVERED,
    ]
    assert receipts[taken[2].provider_id].reference == messages[3].reference


@pytest.mark.parametrize(
    ("token", "cause"),
    [
        ("throttled-1", wire.Cause.THROTTLED),
        ("unavailable-1", wire.Cause.TEMPORARY),
        ("credential-1", wire.Cause.CREDENTIAL),
    ],
)
async def test_huawei_defers(make: Make, push: Message, token: str, cause: wire.Cause) -> None:
    async with huawei.HuaweiSimulator() as simulator:
        _, [result] = await send(huawei_account(make, simulator), [push(token)])

    assert isinstance(result, wire.Deferred)
    assert result.cause is cause


def maap_account(make: Make, simulator: rcs_5g.Rcs5gSimulator, **changes: Any) -> base.HttpProvider:
    options = {
        "app_id": rcs_5g.APP_ID,
        "password": rcs_5g.PASSWORD,
        "chatbot": rcs_5g.CHATBOT,
        "callback_username": rcs_5g.CALLBACK_USERNAME,
        "callback_password": rcs_5g.CALLBACK_PASSWORD,
        "base_url": simulator.url,
    }
    return make("rcs_5g", {**options, **changes}, clock=SystemClock())


async def test_5g_messages_share_a_call_and_their_reports_are_believed(
    make: Make, push: Message
) -> None:
    extra = {"suggestions": [{"text": "好的"}]}
    content = wire.Content(text="您的快递今日送达", extra=extra)
    phones = ["+8615300000001", "+8615300000002"]
    messages = [push(one, content=content) for one in phones]
    async with serving() as inbox:
        knobs = Knobs(receipt_url=inbox.url)
        async with rcs_5g.Rcs5gSimulator(knobs=knobs) as simulator:
            provider = maap_account(make, simulator)

            calls, results = await send(provider, messages)
            posts = [await inbox.next(provider) for _ in range(4)]
            simulator.write(phones[0], "退订")
            reply = await inbox.next(provider)

    receipts = [one for post in posts for one in provider.read_receipts(post)]
    taken = [one for one in results if isinstance(one, wire.Accepted)]
    assert calls == 1
    for one in taken:
        events = [told.event for told in receipts if told.provider_id == one.provider_id]
        assert sorted(events) == [wire.ReceiptEvent.DELIVERED, wire.ReceiptEvent.SENT]
    assert len({one.provider_id for one in taken}) == 2
    [inbound] = provider.read_inbound(reply)
    assert (inbound.sender, inbound.text) == (phones[0], "退订")


async def test_5g_platform_refuses_a_wrong_password_and_a_call_for_one_bad_number(
    make: Make, push: Message
) -> None:
    messages = [push("+8615300000001"), push("+8615005550001")]
    async with rcs_5g.Rcs5gSimulator() as simulator:
        _, wrong = await send(maap_account(make, simulator, password="wrong"), messages)
        _, together = await send(maap_account(make, simulator), messages)
        _, alone = await send(maap_account(make, simulator), messages[1:])

    for one in wrong:
        assert isinstance(one, wire.Deferred)
        assert one.cause is wire.Cause.CREDENTIAL
    for one in together:
        assert isinstance(one, wire.Deferred)
        assert one.apart
    assert isinstance(alone[0], wire.Rejected)


async def test_jpush_takes_a_batch_once_whatever_how_often_it_comes(
    make: Make, push: Message
) -> None:
    messages = [push("d1"), push("d2"), push("gone-1", "other")]
    async with jpush.JPushSimulator() as simulator:
        options = {"app_key": jpush.APP_KEY, "master_secret": jpush.MASTER_SECRET}
        provider = make("jpush", options, base_url=simulator.url, clock=SystemClock())

        calls, first = await send(provider, messages)
        _, again = await send(provider, messages)

    assert calls == 2
    assert [type(one) for one in first] == [wire.Accepted, wire.Accepted, wire.Rejected]
    assert first == again
    assert simulator.log.taken == 2


async def test_jpush_refuses_a_wrong_secret(make: Make, push: Message) -> None:
    async with jpush.JPushSimulator() as simulator:
        provider = make("jpush", base_url=simulator.url, clock=SystemClock())

        _, [result] = await send(provider, [push("d1")])

    assert isinstance(result, wire.Deferred)
    assert (result.code, result.cause) == ("1004", wire.Cause.CREDENTIAL)


def getui_account(make: Make, simulator: getui.GetuiSimulator, **changes: Any) -> base.HttpProvider:
    options = {
        "app_id": getui.APP_ID,
        "app_key": getui.APP_KEY,
        "master_secret": getui.MASTER_SECRET,
        "base_url": simulator.url,
    }
    return make("getui", {**options, **changes}, clock=SystemClock())


async def test_getui_takes_a_batch_and_its_receipts_are_believed(make: Make, push: Message) -> None:
    tokens = ["c1", "gone-1", "uninstalled-1"]
    messages = [
        push(token, reference=f"0195500a-5c00-7000-8000-{at:012d}-0-0-0")
        for at, token in enumerate(tokens)
    ]
    async with (
        serving() as inbox,
        getui.GetuiSimulator(knobs=Knobs(receipt_url=inbox.url)) as simulator,
    ):
        provider = getui_account(make, simulator)

        calls, results = await send(provider, messages)
        posts = [await inbox.next(provider) for _ in range(2)]

    receipts = {one.provider_id: one for post in posts for one in provider.read_receipts(post)}
    assert calls == 1
    assert [type(one) for one in results] == [wire.Accepted, wire.Rejected, wire.Accepted]
    taken = [receipts[one.provider_id] for one in results if isinstance(one, wire.Accepted)]
    assert [one.event for one in taken] == [
        wire.ReceiptEvent.DELIVERED,
        wire.ReceiptEvent.FAILED,
    ]
    assert [one.suppress for one in taken] == [False, True]


async def test_getui_refuses_a_wrong_secret(make: Make) -> None:
    async with getui.GetuiSimulator() as simulator, AiohttpTransport() as transport:
        credential = getui_account(make, simulator, master_secret="wrong").credential
        assert credential is not None

        answer = await transport.send(credential.token_request(), timeout=5)

    trouble = credential.read_token(answer)
    assert isinstance(trouble, wire.Deferred)
    assert trouble.cause is wire.Cause.CREDENTIAL

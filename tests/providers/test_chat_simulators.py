"""Adapters for WeChat, WeCom and chats against the simulators, written from the same documents."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import test_utils, web

from gateway.clock import SystemClock
from gateway.model import wire
from gateway.model.values import replace
from gateway.providers import base
from gateway.sandbox import dingtalk, feishu, slack, telegram, wechat, wecom
from gateway.sandbox.chat import ChatSimulator
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.magic import Fate
from gateway.transport.http import AiohttpTransport

Make = Callable[..., base.HttpProvider]
Message = Callable[..., wire.Message]


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[str, asyncio.Queue[wire.HttpRequest]]]:
    """Where reports can go, and what came there."""
    came: asyncio.Queue[wire.HttpRequest] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        url, body = str(request.url), await request.read()
        await came.put(wire.HttpRequest(method=request.method, url=url, body=body))
        return web.Response(text="success")

    app = web.Application()
    app.router.add_post("/v1/receipts/main", take)
    async with test_utils.TestServer(app) as server:
        yield str(server.make_url("/v1/receipts/main")), came


async def send(
    provider: base.HttpProvider, messages: Sequence[wire.Message]
) -> Sequence[wire.AttemptResult]:
    """One call, with a fresh token where one is needed."""
    [(carried, request)] = provider.build_requests(messages)
    async with AiohttpTransport() as transport:
        if provider.credential:
            answer = await transport.send(provider.credential.token_request(), timeout=5)
            token = provider.credential.read_token(answer)
            if isinstance(token, wire.Deferred):
                return [token] * len(carried)
            request = provider.credential.authorise(request, token.value)
        return provider.read_response(carried, await transport.send(request, timeout=5))


def wechat_account(make: Make, simulator: wechat.WechatSimulator, **changes: Any) -> Any:
    options = {
        "app_id": wechat.APP_ID,
        "app_secret": wechat.APP_SECRET,
        "callback_token": wechat.CALLBACK_TOKEN,
        "encoding_aes_key": wechat.ENCODING_AES_KEY,
        **changes,
    }
    return make("wechat", options, base_url=simulator.url, clock=SystemClock())


def wecom_account(make: Make, simulator: wecom.WecomSimulator, **changes: Any) -> Any:
    options = {
        "corp_id": wecom.CORP_ID,
        "secret": wecom.SECRET,
        "agent_id": wecom.AGENT_ID,
        "callback_token": wecom.CALLBACK_TOKEN,
        "encoding_aes_key": wecom.ENCODING_AES_KEY,
        **changes,
    }
    return make("wecom", options, base_url=simulator.url, clock=SystemClock())


def to(message: Message, address: str) -> wire.Message:
    both = wire.Address(wechat=address, wecom=address, chat=address)
    return message(to=both)


@pytest.mark.parametrize("aes_key", [wechat.ENCODING_AES_KEY, ""])
@pytest.mark.parametrize("subscribe", [True, False])
async def test_wechat_takes_a_message_and_its_report_is_believed(
    make: Make, message: Message, aes_key: str, subscribe: bool
) -> None:
    table = {"template": "TM00015", "data": {"thing1": "登录"}, "subscribe": subscribe}
    content = wire.Content(provider_templates={"wechat": table})
    async with (
        serving() as (url, came),
        wechat.WechatSimulator(encoding_aes_key=aes_key, knobs=Knobs(receipt_url=url)) as simulator,
    ):
        provider = wechat_account(make, simulator, encoding_aes_key=aes_key)
        [result] = await send(provider, [replace(to(message, "openid"), content=content)])
        report = await asyncio.wait_for(came.get(), 5)

    assert isinstance(result, wire.Accepted)
    assert provider.verify_receipt(report)
    assert not provider.verify_receipt(replace(report, url=report.url.replace("nonce=", "nonce=1")))
    [receipt] = provider.read_receipts(report)
    assert (receipt.provider_id, receipt.event) == (
        result.provider_id,
        wire.ReceiptEvent.DELIVERED,
    )


async def test_wechat_tells_of_failures_and_of_those_who_blocked(
    make: Make, message: Message
) -> None:
    async with (
        serving() as (url, came),
        wechat.WechatSimulator(knobs=Knobs(receipt_url=url)) as simulator,
    ):
        provider = wechat_account(make, simulator)
        told = []
        for openid in ("failed-1", "blocked-1"):
            await send(provider, [to(message, openid)])
            request = await asyncio.wait_for(came.get(), 5)
            told += [(one.event, one.suppress) for one in provider.read_receipts(request)]

    assert told == [
        (wire.ReceiptEvent.FAILED, False),
        (wire.ReceiptEvent.OPTED_OUT, True),
    ]


async def test_wechat_brings_what_somebody_writes(make: Make) -> None:
    async with (
        serving() as (url, came),
        wechat.WechatSimulator(knobs=Knobs(receipt_url=url)) as simulator,
    ):
        provider = wechat_account(make, simulator)
        simulator.write("openid", "退订 ]]> <T>")
        request = await asyncio.wait_for(came.get(), 5)

    assert provider.verify_receipt(request)
    [inbound] = provider.read_inbound(request)
    assert (inbound.sender, inbound.to, inbound.text) == ("openid", "gh_sandbox", "退订 ]]> <T>")


async def test_wechat_drops_a_second_copy(make: Make, message: Message) -> None:
    async with wechat.WechatSimulator() as simulator:
        provider = wechat_account(make, simulator)
        results = [await send(provider, [to(message, "openid")]) for _ in range(2)]

    assert results[0] == results[1]
    assert simulator.log.taken == 1
    assert simulator.log.arrivals[0].reference == message().reference


async def test_wecom_tells_members_of_one_call_apart(make: Make, message: Message) -> None:
    async with wecom.WecomSimulator() as simulator:
        provider = wecom_account(make, simulator)
        members = ["LiLei", "gone-Jim", "Unlicensed-Kate"]
        results = await send(provider, [to(message, one) for one in members])

    assert [type(one) for one in results] == [wire.Accepted, wire.Rejected, wire.Rejected]
    assert simulator.log.taken == 1


async def test_wecom_refuses_a_lone_member_for_good(make: Make, message: Message) -> None:
    async with wecom.WecomSimulator() as simulator:
        [result] = await send(wecom_account(make, simulator), [to(message, "gone-Jim")])

    assert isinstance(result, wire.Rejected)
    assert (result.code, result.suppress) == ("81013", True)


async def test_wecom_drops_the_same_request_in_its_window(make: Make, message: Message) -> None:
    async with wecom.WecomSimulator() as simulator:
        provider = wecom_account(make, simulator)
        results = [(await send(provider, [to(message, "LiLei")]))[0] for _ in range(2)]

    assert [type(one) for one in results] == [wire.Accepted] * 2
    assert simulator.log.taken == 1


async def test_wecom_takes_again_what_it_had_refused(make: Make, message: Message) -> None:
    async with wecom.WecomSimulator(knobs=Knobs(error_rate=1)) as simulator:
        provider = wecom_account(make, simulator)
        [refused] = await send(provider, [to(message, "LiLei")])
        simulator.knobs.error_rate = 0
        [taken] = await send(provider, [to(message, "LiLei")])

    assert isinstance(refused, wire.Deferred)
    assert isinstance(taken, wire.Accepted)
    assert simulator.log.taken == 1


async def test_wecom_brings_what_a_member_writes(make: Make) -> None:
    async with (
        serving() as (url, came),
        wecom.WecomSimulator(knobs=Knobs(receipt_url=url)) as simulator,
    ):
        provider = wecom_account(make, simulator)
        simulator.write("LiLei", "hello")
        request = await asyncio.wait_for(came.get(), 5)

    assert provider.verify_receipt(request)
    [inbound] = provider.read_inbound(request)
    assert (inbound.sender, inbound.text) == ("LiLei", "hello")


@pytest.mark.parametrize(
    ("changes", "code"), [({"app_secret": "x"}, "40125"), ({"app_id": "x"}, "40013")]
)
async def test_wechat_gives_no_token_for_a_wrong_secret(
    make: Make, message: Message, changes: dict[str, str], code: str
) -> None:
    async with wechat.WechatSimulator() as simulator:
        [result] = await send(wechat_account(make, simulator, **changes), [message()])

    assert isinstance(result, wire.Deferred)
    assert (result.code, result.cause) == (code, wire.Cause.CREDENTIAL)


async def test_token_that_was_ended_is_told_from_other_troubles(
    make: Make, message: Message
) -> None:
    async with wechat.WechatSimulator() as first, wecom.WecomSimulator() as second:
        results = []
        for provider in (wechat_account(make, first), wecom_account(make, second)):
            [(carried, request)] = provider.build_requests([message()])
            async with AiohttpTransport() as transport:
                request = provider.credential.authorise(request, "stale")
                answer = await transport.send(request, timeout=5)
            results += provider.read_response(carried, answer)

    assert [one.code for one in results] == ["access_token"] * 2


#: How each kind reaches its simulator; the address is the robot's or the chat's.
def dingtalk_robot(make: Make, url: str, address: str) -> base.HttpProvider:
    token = dingtalk.ACCESS_TOKEN if address == "ops" else address
    return make("dingtalk", access_token=token, secret=dingtalk.SECRET, base_url=url)


def feishu_bot(make: Make, url: str, address: str) -> base.HttpProvider:
    token = feishu.WEBHOOK_TOKEN if address == "ops" else address
    return make("feishu", webhook_token=token, secret=feishu.SECRET, base_url=url)


def slack_hook(make: Make, url: str, address: str) -> base.HttpProvider:
    hook = "sandbox" if address == "ops" else address
    return make("slack", webhook_url=f"{url}/services/T1/B1/{hook}")


def slack_bot(make: Make, url: str, address: str) -> base.HttpProvider:
    return make("slack", webhook_url="", bot_token=slack.BOT_TOKEN, base_url=url)


def telegram_bot(make: Make, url: str, address: str) -> base.HttpProvider:
    return make("telegram", bot_token=telegram.BOT_TOKEN, base_url=url)


def wecom_robot(make: Make, url: str, address: str) -> base.HttpProvider:
    return make(
        "wecom_robot", webhook_key=wecom.ROBOT_KEY if address == "ops" else address, base_url=url
    )


ROBOTS = [
    (dingtalk.DingtalkSimulator, dingtalk_robot),
    (feishu.FeishuSimulator, feishu_bot),
    (slack.SlackSimulator, slack_hook),
    (slack.SlackSimulator, slack_bot),
    (telegram.TelegramSimulator, telegram_bot),
    (wecom.WecomSimulator, wecom_robot),
]
IDS = [build.__name__ for _, build in ROBOTS]


@pytest.fixture(name="soon")
def fixture_soon(make: Make) -> Make:
    """Builds accounts that know what time it is."""
    return lambda kind, **options: make(kind, clock=SystemClock(), **options)


@pytest.mark.parametrize(("simulated", "build"), ROBOTS, ids=IDS)
async def test_robot_says_what_it_is_given(
    soon: Make, message: Message, simulated: type[ChatSimulator], build: Any
) -> None:
    async with simulated() as simulator:
        [result] = await send(build(soon, simulator.url, "ops"), [message()])

    assert isinstance(result, wire.Accepted)
    [arrival] = simulator.log.arrivals
    assert arrival.fate is Fate.TAKEN
    assert "Your code is 4711" in str(arrival.content)


#: What DingTalk says to an empty text is not documented.
@pytest.mark.parametrize(("simulated", "build"), ROBOTS[1:], ids=IDS[1:])
async def test_empty_text_is_refused_for_good(
    soon: Make, message: Message, simulated: type[ChatSimulator], build: Any
) -> None:
    async with simulated() as simulator:
        one = message(content=wire.Content())
        [result] = await send(build(soon, simulator.url, "ops"), [one])

    assert isinstance(result, wire.Rejected)
    assert simulator.log.arrivals[0].fate is Fate.INVALID


@pytest.mark.parametrize(("simulated", "build"), ROBOTS, ids=IDS)
@pytest.mark.parametrize(
    ("address", "cause"),
    [
        ("throttled-1", wire.Cause.THROTTLED),
        ("trouble-1", wire.Cause.TEMPORARY),
        ("denied-1", wire.Cause.CREDENTIAL),
        ("rejected-1", None),
    ],
)
async def test_magic_robots_are_understood(
    soon: Make,
    message: Message,
    simulated: type[ChatSimulator],
    build: Any,
    address: str,
    cause: wire.Cause | None,
) -> None:
    async with simulated(knobs=Knobs(retry_after=7)) as simulator:
        [result] = await send(build(soon, simulator.url, address), [to(message, address)])

    if cause is None or (build is wecom_robot and cause is wire.Cause.CREDENTIAL):
        assert isinstance(result, wire.Rejected)  # such a robot has nothing but its key
        return
    assert isinstance(result, wire.Deferred)
    assert result.cause is cause
    if cause is wire.Cause.THROTTLED and build is not feishu_bot:
        assert result.retry_after


@pytest.mark.parametrize(("simulated", "build"), ROBOTS[:2], ids=IDS[:2])
async def test_wrong_signature_is_our_fault_and_not_the_message_s(
    soon: Make, message: Message, simulated: type[ChatSimulator], build: Any
) -> None:
    async with simulated(secret="another") as simulator:  # type: ignore[call-arg]
        [result] = await send(build(soon, simulator.url, "ops"), [message()])

    assert isinstance(result, wire.Deferred)
    assert result.cause is wire.Cause.CREDENTIAL


async def test_telegram_tells_of_those_who_blocked_the_bot(soon: Make, message: Message) -> None:
    async with telegram.TelegramSimulator() as simulator:
        provider = telegram_bot(soon, simulator.url, "")
        results = [
            (await send(provider, [to(message, chat)]))[0]
            for chat in ("blocked-1", "gone-1", "migrated-1")
        ]

    assert all(isinstance(one, wire.Rejected) for one in results)
    assert [one.suppress for one in results if isinstance(one, wire.Rejected)] == [
        True,
        True,
        False,
    ]

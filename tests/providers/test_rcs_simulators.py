"""RCS by Google against its simulator, asked and not, by the sender that the gateway has."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from aiohttp import test_utils, web

from gateway.clock import SystemClock
from gateway.dispatch.senders import HttpSender
from gateway.model import wire
from gateway.model.values import replace
from gateway.providers import rcs_google
from gateway.sandbox import rcs_google as sandbox
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.magic import Fate
from gateway.transport.http import AiohttpTransport

Make = Callable[..., rcs_google.Provider]
Message = Callable[..., wire.Message]

PHONE, WITHOUT_RCS = "+15005550100", sandbox.NO_RCS


@pytest.fixture(name="note")
def fixture_note(message: Message) -> Message:
    """A message to a phone, in time."""

    def build(phone: str = PHONE, **changes: Any) -> wire.Message:
        fields = {
            "to": wire.Address(phone=phone),
            "content": wire.Content(text="Hello"),
            "expires_at": datetime.now(UTC) + timedelta(minutes=5),
        }
        return message(**{**fields, **changes})

    return build


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[str, asyncio.Queue[wire.HttpRequest]]]:
    """Where events can go, and what came there."""
    came: asyncio.Queue[wire.HttpRequest] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        await came.put(
            wire.HttpRequest(method="POST", url=str(request.url), headers=headers, body=body)
        )
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/receipts/main", take)
    async with test_utils.TestServer(app) as server:
        yield str(server.make_url("/v1/receipts/main")), came


def account(
    make: Make, simulator: sandbox.RcsGoogleSimulator, **changes: Any
) -> rcs_google.Provider:
    options = {
        "service_account": orjson.dumps(simulator.service_account()).decode(),
        "agent_id": sandbox.AGENT_ID,
        "client_token": sandbox.CLIENT_TOKEN,
        "base_url": simulator.url,
        **changes,
    }
    return make("rcs_google", options, clock=SystemClock())


async def send(sender: HttpSender, message: wire.Message) -> wire.AttemptResult:
    [call] = sender.plan([message])
    [result] = await call.make(None)
    return result


@asynccontextmanager
async def sending(
    make: Make, simulator: sandbox.RcsGoogleSimulator, **changes: Any
) -> AsyncIterator[HttpSender]:
    async with AiohttpTransport() as transport:
        provider = account(make, simulator, **changes)
        yield HttpSender(provider, transport, SystemClock(), timeout=10)


async def test_message_is_taken_once_and_its_events_are_believed(make: Make, note: Message) -> None:
    extra = {
        "image": "https://example.com/i.png",
        "suggestions": [{"text": "Track", "link": "https://example.com/t"}, {"text": "Fine"}],
    }
    one = note(content=wire.Content(title="Parcel", text="Arrives today.", extra=extra))
    knobs = Knobs(receipt=wire.ReceiptEvent.READ)
    async with serving() as (url, came), sandbox.RcsGoogleSimulator(knobs=knobs) as simulator:
        knobs.receipt_url = url
        provider = account(make, simulator)
        async with sending(make, simulator) as sender:
            results = [await send(sender, one) for _ in range(2)]
        events = [await asyncio.wait_for(came.get(), 10) for _ in range(2)]
        simulator.write(PHONE, text="Thanks")
        reply = await asyncio.wait_for(came.get(), 10)
        simulator.write(PHONE, eventType="UNSUBSCRIBE")
        leave = await asyncio.wait_for(came.get(), 10)

    assert results[0] == results[1]
    assert isinstance(results[0], wire.Accepted)
    assert simulator.log.taken == 1
    assert all(provider.verify_receipt(request) for request in (*events, reply, leave))
    told = [receipt for request in events for receipt in provider.read_receipts(request)]
    assert {receipt.provider_id for receipt in told} == {results[0].provider_id}
    assert sorted(receipt.event for receipt in told) == ["delivered", "read"]
    [inbound] = provider.read_inbound(reply)
    assert (inbound.sender, inbound.text) == (PHONE, "Thanks")
    assert [one.wish for one in provider.read_inbound(leave)] == [wire.Wish.OPT_OUT]


async def test_phone_without_rcs_is_asked_once_and_sent_nothing(make: Make, note: Message) -> None:
    async with (
        sandbox.RcsGoogleSimulator() as simulator,
        sending(make, simulator, check=True) as sender,
    ):
        results = [await send(sender, note(WITHOUT_RCS, reference=f"r{n}")) for n in range(3)]

        assert simulator.asked == 1
        assert simulator.log.total == 0
    for one in results:
        assert isinstance(one, wire.Rejected)
        assert (one.scope, one.suppress) == (wire.Scope.RECIPIENT, False)


async def test_what_a_phone_can_do_is_asked_once_and_decides_for_each_message(
    make: Make, note: Message
) -> None:
    card = wire.Content(text="x", extra={"image": "https://example.com/i.png"})
    async with (
        sandbox.RcsGoogleSimulator(features=["ACTION_DIAL"]) as simulator,
        sending(make, simulator, check=True) as sender,
    ):
        text = await send(sender, note(reference="a"))
        shown = await send(sender, note(reference="b", content=card))
        again = await send(sender, note(reference="c"))

        assert simulator.asked == 1
        assert simulator.log.taken == 2
    assert isinstance(text, wire.Accepted)
    assert isinstance(shown, wire.Rejected)
    assert shown.scope is wire.Scope.MESSAGE
    assert isinstance(again, wire.Accepted)


async def test_phone_that_was_refused_is_not_tried_again_for_a_while(
    make: Make, note: Message
) -> None:
    async with sandbox.RcsGoogleSimulator() as simulator, sending(make, simulator) as sender:
        first = await send(sender, note(WITHOUT_RCS, reference="a"))
        second = await send(sender, note(WITHOUT_RCS, reference="b"))
        other = await send(sender, note(reference="c"))

        assert simulator.asked == 0
        assert simulator.log.total == 2
    assert first == second
    assert isinstance(first, wire.Rejected)
    assert isinstance(other, wire.Accepted)


async def test_service_that_does_not_answer_the_question_holds_nothing_up(
    make: Make, note: Message
) -> None:
    async with (
        sandbox.RcsGoogleSimulator() as simulator,
        sending(make, simulator, check=True, agent_id="another") as wrong,
    ):
        result = await send(wrong, note())

    assert isinstance(result, wire.Deferred)
    assert result.cause is wire.Cause.CREDENTIAL


async def test_token_that_was_revoked_is_renewed_once(make: Make, note: Message) -> None:
    async with sandbox.RcsGoogleSimulator() as simulator, sending(make, simulator) as sender:
        await send(sender, note(reference="a"))
        simulator.tokens.revoke()

        result = await send(sender, note(reference="b"))

    assert isinstance(result, wire.Accepted)


@pytest.mark.parametrize(
    ("fate", "cause"),
    [
        (Fate.TEMPORARY, wire.Cause.TEMPORARY),
        (Fate.THROTTLED, wire.Cause.THROTTLED),
        (Fate.CREDENTIAL, wire.Cause.CREDENTIAL),
    ],
)
async def test_trouble_is_told_apart(
    make: Make, note: Message, fate: Fate, cause: wire.Cause
) -> None:
    knobs = Knobs(error_rate=1.0, error=fate, retry_after=9)
    async with (
        sandbox.RcsGoogleSimulator(knobs=knobs) as simulator,
        sending(make, simulator) as sender,
    ):
        result = await send(sender, note())

    assert isinstance(result, wire.Deferred)
    assert result.cause is cause


@pytest.mark.parametrize(
    "changes",
    [
        {"contentMessage": {}},
        {"contentMessage": {"text": "x", "fileName": "y"}},
        {"ttl": "16d"},
        {"messageTrafficType": "SPAM"},
        {"unheard": 1},
    ],
)
async def test_requests_that_break_the_rules_are_refused(
    make: Make, note: Message, changes: dict[str, Any]
) -> None:
    async with sandbox.RcsGoogleSimulator() as simulator, AiohttpTransport() as transport:
        provider = account(make, simulator)
        assert provider.credential
        token = provider.credential.read_token(
            await transport.send(provider.credential.token_request(), timeout=10)
        )
        assert isinstance(token, wire.Token)
        [(messages, request)] = provider.build_requests([note()])
        body = orjson.dumps({**orjson.loads(request.body), **changes})
        request = provider.credential.authorise(replace(request, body=body), token.value)
        [result] = provider.read_response(messages, await transport.send(request, timeout=10))

    assert isinstance(result, wire.Rejected)
    assert result.code == "INVALID_ARGUMENT"

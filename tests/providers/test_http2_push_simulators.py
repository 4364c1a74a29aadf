"""apns and webpush against their simulators, over the transports that they ask for."""

import asyncio
import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.clock import SystemClock
from gateway.model import errors, wire
from gateway.providers import apns, apns_codes, webpush
from gateway.sandbox import webpush as webpush_sandbox
from gateway.sandbox.apns import ApnsSimulator, token_for
from gateway.sandbox.apns_rules import STATUSES
from gateway.sandbox.magic import Fate
from gateway.sandbox.webpush import WebPushSimulator
from gateway.transport import base
from gateway.transport.guard import AddressGuard
from gateway.transport.http import AiohttpTransport
from gateway.transport.http2 import Http2Transport

Make = Callable[..., Any]
Message = Callable[..., wire.Message]

DEVICE = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"


@pytest.fixture(name="push")
def fixture_push(message: Message) -> Message:
    """A message that is not over, to a device's token."""

    def build(token: str = DEVICE, **changes: Any) -> wire.Message:
        soon = datetime.now(UTC) + timedelta(minutes=5)
        return message(to=wire.Address(token=token), expires_at=soon, **changes)

    return build


def account(make: Make, simulator: ApnsSimulator, **changes: Any) -> apns.Provider:
    provider: apns.Provider = make(
        "apns",
        {
            "bundle_id": simulator.bundle_id,
            "key_id": simulator.key_id,
            "team_id": simulator.team_id,
            "private_key": simulator.private_key,
            "authorities": simulator.authority,
            "base_url": simulator.url,
            **changes,
        },
        clock=SystemClock(),
    )
    return provider


def road(provider: apns.Provider) -> Http2Transport:
    return Http2Transport(base.HttpOptions(tls=provider.tls, limit_per_host=1, connect_timeout=60))


async def send(
    provider: Any, transport: base.HttpTransport, message: wire.Message
) -> wire.AttemptResult:
    [(carried, request)] = provider.build_requests([message])
    response = await transport.send(request, timeout=120)
    result: wire.AttemptResult
    [result] = provider.read_response(carried, response)
    return result


async def test_push_arrives_as_apple_wants_it(make: Make, push: Message) -> None:
    async with ApnsSimulator() as simulator:
        provider = account(make, simulator)
        async with road(provider) as transport:
            result = await send(provider, transport, push(priority=0))

    [arrival] = simulator.log.arrivals
    assert isinstance(result, wire.Accepted)
    assert (arrival.id, arrival.to, arrival.fate) == (result.provider_id, DEVICE, Fate.TAKEN)
    assert arrival.reference == push().id
    assert arrival.content["payload"]["aps"]["alert"]["body"] == push().content.text


@pytest.mark.parametrize("kind", ["voip", "background", "location", "liveactivity", "pushtotalk"])
async def test_every_push_type_has_a_topic_that_is_taken(
    make: Make, push: Message, kind: str
) -> None:
    content = wire.Content(text="x", extra={"push_type": kind})
    async with ApnsSimulator() as simulator:
        provider = account(make, simulator)
        async with road(provider) as transport:
            result = await send(provider, transport, push(content=content, priority=0))

    assert isinstance(result, wire.Accepted)


async def test_hundreds_of_pushes_share_a_connection_and_a_provider_token(
    make: Make, push: Message
) -> None:
    async with ApnsSimulator() as simulator:
        provider = account(make, simulator)
        async with road(provider) as transport:
            results = await asyncio.gather(
                *(send(provider, transport, push(reference=str(n))) for n in range(300))
            )

        assert all(isinstance(one, wire.Accepted) for one in results)
        assert len({one.provider_id for one in results if isinstance(one, wire.Accepted)}) == 300
        assert simulator.log.taken == 300


async def test_processes_of_one_account_do_not_mint_too_many_tokens(
    make: Make, push: Message
) -> None:
    async with ApnsSimulator() as simulator:
        providers = [account(make, simulator) for _ in range(5)]
        results: list[wire.AttemptResult] = []
        for provider in providers:
            async with road(provider) as transport:
                results.append(await send(provider, transport, push()))

    assert all(isinstance(one, wire.Accepted) for one in results)


@pytest.mark.parametrize("reason", list(STATUSES))
async def test_reasons_come_through(make: Make, push: Message, reason: str) -> None:
    async with ApnsSimulator() as simulator:
        provider = account(make, simulator)
        async with road(provider) as transport:
            result = await send(provider, transport, push(token_for(reason)))

    assert type(result) is type(apns_codes.RESULTS[reason])
    assert isinstance(result, wire.Deferred | wire.Rejected)
    assert result.code == reason


async def test_shutdown_is_followed_by_a_new_connection(make: Make, push: Message) -> None:
    async with ApnsSimulator() as simulator:
        provider = account(make, simulator)
        async with road(provider) as transport:
            first = await send(provider, transport, push(token_for("Shutdown")))
            results: list[wire.AttemptResult] = []
            while not results or not isinstance(results[-1], wire.Accepted):
                try:
                    results.append(await send(provider, transport, push()))
                except errors.NotSent:  # told to go while it was on its way
                    assert len(results) < 5

    assert isinstance(first, wire.Deferred)


async def test_lost_answer_is_lost(make: Make, push: Message) -> None:
    async with ApnsSimulator() as simulator:
        provider = account(make, simulator)
        async with road(provider) as transport:
            with pytest.raises(errors.AnswerLost):
                await send(provider, transport, push(token_for("lost")))

    assert simulator.log.taken == 1


async def test_certificate_proves_who_sends(make: Make, push: Message) -> None:
    async with ApnsSimulator() as simulator:
        pair = simulator.client_certificate
        no_key = {"key_id": "", "team_id": "", "private_key": "", "certificate": pair}
        provider = account(make, simulator, **no_key)
        async with road(provider) as transport:
            result = await send(provider, transport, push())

    assert isinstance(result, wire.Accepted)


async def test_server_that_apple_did_not_sign_gets_nothing(make: Make, push: Message) -> None:
    async with ApnsSimulator() as simulator:
        provider = account(make, simulator, authorities="")
        assert provider.tls is None
        async with Http2Transport(base.HttpOptions(tls=ssl.create_default_context())) as transport:
            with pytest.raises(errors.NotSent, match="tls certificate"):
                await send(provider, transport, push())

    assert simulator.log.total == 0


def guarded() -> AiohttpTransport:
    return AiohttpTransport(guard=AddressGuard(only_loopback=True))


def browser(provider: webpush.Provider, simulator: WebPushSimulator, name: str = "") -> str:
    return json.dumps(simulator.subscribe(provider.public_key, name=name))


async def test_browser_reads_what_was_sent(make: Make, push: Message) -> None:
    async with WebPushSimulator() as simulator, guarded() as transport:
        provider = make("webpush", clock=SystemClock())
        result = await send(provider, transport, push(browser(provider, simulator), priority=3))

    [arrival] = simulator.log.arrivals
    text = json.loads(arrival.content["text"])
    assert result == wire.Accepted()
    assert text == {"id": push().id, "title": "Code", "text": "Your code is 4711"}
    assert arrival.reference == push().id
    assert arrival.content["headers"]["urgency"] == "low"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gone", wire.Rejected),
        ("expired", wire.Rejected),
        ("moved", wire.Deferred),
        ("unauthorised", wire.Deferred),
        ("forbidden", wire.Deferred),
        ("busy", wire.Deferred),
        ("trouble", wire.Deferred),
        ("down", wire.Deferred),
        ("large", wire.Rejected),
        ("rejected", wire.Rejected),
    ],
)
async def test_refusals_of_push_services(
    make: Make, push: Message, name: str, kind: type[wire.AttemptResult]
) -> None:
    async with WebPushSimulator() as simulator, guarded() as transport:
        provider = make("webpush", clock=SystemClock())
        result = await send(provider, transport, push(browser(provider, simulator, name)))

    assert isinstance(result, kind)
    suppressed = isinstance(result, wire.Rejected) and result.suppress
    assert suppressed == (webpush_sandbox.MAGIC[name].fate is Fate.RECIPIENT)


async def test_subscription_to_another_key_stops_nobody_else(make: Make, push: Message) -> None:
    async with WebPushSimulator() as simulator, guarded() as transport:
        provider = make("webpush", clock=SystemClock(), services=["127.0.0.1"])
        token = json.dumps(simulator.subscribe("another"))
        result = await send(provider, transport, push(token))

    assert isinstance(result, wire.Deferred)
    assert (result.code, result.cause) == ("http_403", wire.Cause.RECIPIENT)


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "[::1]", "127.1", "localhost"])
async def test_endpoint_within_our_own_network_gets_nothing(
    make: Make, push: Message, host: str
) -> None:
    provider = make("webpush", clock=SystemClock())
    async with WebPushSimulator() as simulator:
        subscription = simulator.subscribe()
        endpoint = f"https://{host}/push/x"
        async with AiohttpTransport(guard=AddressGuard()) as transport:
            with pytest.raises(errors.NotSent):
                await send(
                    provider, transport, push(json.dumps({**subscription, "endpoint": endpoint}))
                )

    assert simulator.log.total == 0

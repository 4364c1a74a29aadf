"""The SMTP adapter and transport against the simulated relay, and what comes back by mail."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import dkim as peer
import pytest
from aiohttp import test_utils, web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.clock import SystemClock
from gateway.model import wire
from gateway.model.wire import ReceiptEvent
from gateway.providers import smtp
from gateway.sandbox import smtp_mail
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.smtp import SmtpSimulator
from gateway.transport.smtp import PooledSmtpTransport

Make = Callable[..., smtp.Provider]
Message = Callable[..., wire.Message]

SECRET = "shared with the mail system"
BOUNCE = "bounces+{reference}@example.com"


class Keeping(SmtpSimulator):
    """Keeps the whole of what arrives."""

    def __init__(self) -> None:
        super().__init__(receipt_secret=SECRET, knobs=Knobs())
        self.contents: list[bytes] = []

    def record_mail(self, mail: smtp_mail.Mail, content: bytes) -> str:
        self.contents.append(content)
        return super().record_mail(mail, content)


class Bench:
    """A relay, and where its mail system posts what comes back."""

    def __init__(self) -> None:
        self.relay = Keeping()
        self.requests: asyncio.Queue[wire.HttpRequest] = asyncio.Queue()

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        url = str(request.url)
        await self.requests.put(
            wire.HttpRequest(method="POST", url=url, headers=headers, body=body)
        )
        return web.Response(status=204)

    async def send(self, provider: smtp.Provider, message: wire.Message) -> wire.AttemptResult:
        ((_, envelope),) = provider.build_envelopes([message])
        async with PooledSmtpTransport(
            host="127.0.0.1", port=self.relay.port, clock=SystemClock(), security="none"
        ) as transport:
            return provider.read_reply(message, await transport.send(envelope, timeout=5))

    async def receipt(self, provider: smtp.Provider) -> wire.DeliveryReceipt:
        request = await asyncio.wait_for(self.requests.get(), 5)
        assert provider.verify_receipt(request)
        (receipt,) = provider.read_receipts(request)
        return receipt


@asynccontextmanager
async def working() -> AsyncIterator[Bench]:
    bench = Bench()
    app = web.Application()
    app.router.add_post("/{path:.*}", bench.take)
    async with bench.relay, test_utils.TestServer(app) as server:
        bench.relay.knobs.receipt_url = str(server.make_url("/v1/receipts/main"))
        yield bench


@pytest.mark.parametrize(
    "settings", [{"dsn": True}, {"bounce": BOUNCE}, {"bounce": BOUNCE, "dsn": True}, {}]
)
@pytest.mark.parametrize(
    ("to", "event", "suppress"),
    [
        ("gone@example.net", ReceiptEvent.BOUNCED, True),
        ("gone+李@例え.jp", ReceiptEvent.BOUNCED, True),
        ("filtered@example.net", ReceiptEvent.BOUNCED, False),
        ("expired@example.net", ReceiptEvent.EXPIRED, False),
        ("complaint@example.net", ReceiptEvent.COMPLAINED, True),
    ],
)
async def test_what_comes_back_is_matched(
    make: Make, message: Message, settings: dict[str, Any], to: str, event: object, suppress: bool
) -> None:
    provider = make("smtp", settings, receipt_secret=SECRET)
    asked = message(to=wire.Address(email=to))

    async with working() as bench:
        result = await bench.send(provider, asked)
        receipt = await bench.receipt(provider)

    assert isinstance(result, wire.Accepted)
    assert receipt.reference == asked.reference
    assert (receipt.event, receipt.suppress) == (event, suppress)


async def test_delivery_is_told_when_asked_for(make: Make, message: Message) -> None:
    provider = make("smtp", dsn=True, dsn_success=True, receipt_secret=SECRET)

    async with working() as bench:
        await bench.send(provider, message())
        receipt = await bench.receipt(provider)

    assert (receipt.event, receipt.reference) == (ReceiptEvent.DELIVERED, message().reference)


async def test_mail_outside_ascii_goes_through(make: Make, message: Message) -> None:
    provider = make("smtp", {"from": "例 <送@例え.jp>"}, dsn=True, receipt_secret=SECRET)

    async with working() as bench:
        result = await bench.send(provider, message(to=wire.Address(email="李@例え.jp")))
        [arrival] = bench.relay.log.arrivals

    assert isinstance(result, wire.Accepted)
    assert arrival.to == "李@xn--r8jz45g.jp"
    assert arrival.content["from"] == "送@xn--r8jz45g.jp"


@pytest.mark.parametrize("to", ["li@example.net", "李@例え.jp"])
async def test_signature_outlives_the_way_to_the_relay(
    make: Make, message: Message, rsa_pem: str, rsa_key: rsa.RSAPrivateKey, to: str
) -> None:
    key = {"domain": "example.com", "selector": "s", "key": rsa_pem}
    provider = make("smtp", dkim=key, bounce=BOUNCE, receipt_secret=SECRET)
    text = ".\n..\n. x  \n.\n\n" + "long " * 300 + "\n."
    asked = message(to=wire.Address(email=to), content=wire.Content(subject="例え", text=text))
    der = rsa_key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(der)

    async with working() as bench:
        await bench.send(provider, asked)
        [content] = bench.relay.contents

    assert peer.verify(content, dnsfunc=lambda name, timeout=5: record)

"""The Vonage simulator, by Vonage's own libraries."""

import asyncio
import hashlib
import json
from datetime import datetime
from typing import Any

import aiohttp
import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from requests.adapters import HTTPAdapter
from vonage_http_client.auth import Auth
from vonage_http_client.errors import HttpRequestError
from vonage_http_client.http_client import HttpClient, HttpClientOptions
from vonage_jwt import verify_signature
from vonage_messages import Messages
from vonage_messages.models import RcsText, Sms

from gateway.model import wire
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.log import Arrival
from gateway.sandbox.magic import Fate
from gateway.sandbox.vonage import (
    API_KEY,
    API_SECRET,
    APPLICATION_ID,
    SIGNATURE_SECRET,
    VonageSimulator,
)

REFERENCE = "01900000-0000-7000-8000-00000000000a-0-1-0"


class Plain(HTTPAdapter):
    """The library speaks nothing but TLS; the simulator none."""

    def send(self, request: Any, *args: Any, **options: Any) -> requests.Response:
        request.url = request.url.replace("https://", "http://", 1)
        return super().send(request, *args, **options)


def client(simulator: VonageSimulator, auth: Auth) -> Messages:
    host = simulator.url.removeprefix("http://")
    http = HttpClient(auth, HttpClientOptions(api_host=host, timeout=20, max_retries=0))
    http._session.mount("https://", Plain())
    return Messages(http)


def application(simulator: VonageSimulator, *, id: str = APPLICATION_ID, key: str = "") -> Auth:
    return Auth(application_id=id, private_key=key or simulator.private_key())


async def send(simulator: VonageSimulator, auth: Auth | None = None, **fields: Any) -> str:
    """Send one SMS; the id that it was given."""
    given = {"to": "447700900000", "from_": "Acme", "text": "Your code is 4711", **fields}
    messages = client(simulator, auth or application(simulator))
    answer = await asyncio.to_thread(messages.send, Sms(**given))
    return str(answer.message_uuid)


async def refusal(
    simulator: VonageSimulator, auth: Auth | None = None, **fields: Any
) -> tuple[int, str]:
    """(HTTP status, fragment of the problem's type) of a message that is refused."""
    with pytest.raises(HttpRequestError) as error:
        await send(simulator, auth, **fields)
    response = error.value.response
    assert response.headers["content-type"].startswith("application/problem+json")
    return response.status_code, response.json()["type"].rpartition("#")[2]


def report(request: wire.HttpRequest) -> dict[str, Any]:
    """The body of a webhook whose signature is good."""
    scheme, _, token = request.headers["authorization"].partition(" ")
    assert scheme == "Bearer"
    assert verify_signature(token, SIGNATURE_SECRET)
    claims = jwt.decode(token, SIGNATURE_SECRET, algorithms=["HS256"])
    assert claims["payload_hash"] == hashlib.sha256(request.body).hexdigest()
    assert claims["application_id"] == APPLICATION_ID
    body: dict[str, Any] = json.loads(request.body)
    return body


async def test_message_of_an_application_is_taken() -> None:
    async with VonageSimulator() as simulator:
        id = await send(simulator, client_ref=REFERENCE)

    [arrival] = simulator.log.arrivals
    assert (arrival.id, arrival.to, arrival.fate) == (id, "+447700900000", Fate.TAKEN)
    assert arrival.reference == REFERENCE


async def test_rcs_message_is_taken() -> None:
    async with VonageSimulator() as simulator:
        text = RcsText(to="447700900000", from_="AcmeAgent", text="x" * 3072, ttl=300)
        messages = client(simulator, application(simulator))

        assert (await asyncio.to_thread(messages.send, text)).message_uuid


async def test_message_of_an_account_is_taken_and_never_reported_on(sink_url: str) -> None:
    auth = Auth(api_key=API_KEY, api_secret=API_SECRET)
    async with VonageSimulator() as simulator:
        assert await send(simulator, auth, webhook_url=sink_url)
        assert simulator.reporter.pending == 0


def other_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


async def test_other_credentials_are_refused() -> None:
    async with VonageSimulator() as simulator:
        for auth in (
            application(simulator, key=other_key()),
            application(simulator, id="00000000-0000-4000-8000-000000000002"),
            Auth(api_key=API_KEY, api_secret="wrong"),
        ):
            assert await refusal(simulator, auth) == (401, "unauthorized")

        assert simulator.log.total == 0


@pytest.mark.parametrize(
    ("claims", "algorithm"),
    [
        ({"exp": 1}, "RS256"),
        ({"iat": 4_000_000_000, "exp": 4_000_000_900}, "RS256"),
        ({"jti": "x"}, "RS256"),
        ({"jti": 7}, "RS256"),
        ({"iat": "x"}, "RS256"),
        ({"exp": 4_000_000_000}, "RS256"),
        ({}, "RS512"),
    ],
)
async def test_tokens_that_are_not_as_they_should_be_are_refused(
    session: aiohttp.ClientSession, claims: dict[str, Any], algorithm: str
) -> None:
    async with VonageSimulator() as simulator:
        good = application(simulator).generate_application_jwt().decode()
        given = jwt.decode(good, options={"verify_signature": False})
        payload = json.dumps({**given, **claims}).encode()
        token = jwt.PyJWS().encode(payload, simulator.private_key(), algorithm=algorithm)
        headers = {"Authorization": f"Bearer {token}"}

        async with session.post(f"{simulator.url}/v1/messages", headers=headers) as response:
            assert response.status == 401


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer a.b.c", "Bearer ..", "Bearer é"])
async def test_garbage_is_no_credential(session: aiohttp.ClientSession, authorization: str) -> None:
    async with VonageSimulator() as simulator:
        url = f"{simulator.url}/v1/messages"
        async with session.post(url, headers={"Authorization": authorization}) as response:
            assert response.status == 401


@pytest.mark.parametrize(
    ("fields", "code", "parameter"),
    [
        ({"channel": "pigeon"}, "1020", "channel"),
        ({"message_type": "image"}, "1020", "message_type"),
        ({"to": "+447700900000"}, "1170", "to"),
        ({"to": "123456"}, "1170", "to"),
        ({"to": 447700900000}, "1170", "to"),
        ({"from": ""}, "1120", "from"),
        ({"from": "a name too long"}, "1120", "from"),
        ({"text": ""}, "1020", "text"),
        ({"text": "x" * 1001}, "1020", "text"),
        ({"ttl": 19}, "1130", "ttl"),
        ({"ttl": 604_801}, "1130", "ttl"),
        ({"ttl": "300"}, "1130", "ttl"),
        ({"ttl": True}, "1130", "ttl"),
        ({"client_ref": "x" * 101}, "1020", "client_ref"),
        ({"webhook_url": "gw.example.com"}, "1020", "webhook_url"),
        ({"webhook_url": "http://["}, "1020", "webhook_url"),
        ({"webhook_version": "v9"}, "1020", "webhook_version"),
        ({"sms": {"encoding_type": "morse"}}, "1020", "sms"),
        ({"sms": {"content_id": 7}}, "1020", "sms"),
        ({"channel": "rcs", "ttl": 299}, "1130", "ttl"),
        ({"channel": "rcs", "sms": {"encoding_type": "auto"}}, "1020", "sms"),
    ],
)
async def test_wrong_field_is_named(
    session: aiohttp.ClientSession, fields: dict[str, Any], code: str, parameter: str
) -> None:
    good = {"channel": "sms", "message_type": "text", "to": "447700900000", "from": "Acme"}
    async with VonageSimulator() as simulator:
        auth = aiohttp.encode_basic_auth(API_KEY, API_SECRET)
        async with session.post(
            f"{simulator.url}/v1/messages",
            json={**good, "text": "x", **fields},
            headers={"Authorization": auth},
        ) as response:
            body = await response.json(content_type="application/problem+json")

        assert response.status == 422
        assert body["type"].endswith(f"#{code}")
        assert [one["name"] for one in body["invalid_parameters"]] == [parameter]
        assert simulator.log.counts == {Fate.INVALID: 1}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
async def test_what_is_no_message_is_invalid(session: aiohttp.ClientSession, body: bytes) -> None:
    async with VonageSimulator() as simulator:
        auth = aiohttp.encode_basic_auth(API_KEY, API_SECRET)
        url, headers = f"{simulator.url}/v1/messages", {"Authorization": auth}
        async with session.post(url, data=body, headers=headers) as response:
            assert response.status == 422


@pytest.mark.parametrize(
    ("event", "statuses", "code"),
    [
        (wire.ReceiptEvent.SENT, ["submitted"], None),
        (wire.ReceiptEvent.DELIVERED, ["submitted", "delivered"], None),
        (wire.ReceiptEvent.READ, ["submitted", "delivered", "read"], None),
        (wire.ReceiptEvent.FAILED, ["submitted", "undeliverable"], "1180"),
        (wire.ReceiptEvent.EXPIRED, ["submitted", "rejected"], "1360"),
        (wire.ReceiptEvent.OPTED_OUT, ["rejected"], "1240"),
        (wire.ReceiptEvent.ACCEPTED, [], None),
        (None, [], None),
    ],
)
async def test_webhooks_are_signed_and_tell_the_course_of_the_message(
    sink_url: str,
    inbox: list[wire.HttpRequest],
    event: wire.ReceiptEvent | None,
    statuses: list[str],
    code: str | None,
) -> None:
    knobs = Knobs(receipt=event, receipt_delay=0.2)
    async with VonageSimulator(knobs=knobs) as simulator, asyncio.timeout(20):
        id = await send(simulator, webhook_url=sink_url, client_ref=REFERENCE)
        await simulator.reporter.join()

    told = [report(one) for one in inbox]
    assert [one["status"] for one in told] == statuses
    assert {one["message_uuid"] for one in told} <= {id}
    assert {one["client_ref"] for one in told} <= {REFERENCE}
    assert all(datetime.fromisoformat(one["timestamp"]).tzinfo for one in told)
    assert [one.get("error", {}).get("title") for one in told][-1:] == [code] * bool(statuses)


async def test_webhook_that_was_not_accepted_comes_again_signed_anew(
    sink_url: str, inbox: list[wire.HttpRequest], answers: list[int]
) -> None:
    answers += [500, 404]
    knobs = Knobs(receipt=wire.ReceiptEvent.SENT, receipt_retry_delay=0, receipt_url=sink_url)
    async with VonageSimulator(knobs=knobs) as simulator, asyncio.timeout(20):
        await send(simulator)
        await simulator.reporter.join()

    assert [report(one)["status"] for one in inbox] == ["submitted"] * 3
    assert len({one.headers["authorization"] for one in inbox}) == 3


async def test_webhooks_can_be_repeated(sink_url: str, inbox: list[wire.HttpRequest]) -> None:
    async with VonageSimulator(knobs=Knobs(receipt_repeats=1)) as simulator, asyncio.timeout(20):
        await send(simulator, webhook_url=sink_url)
        await simulator.reporter.join()

    assert sorted(report(one)["status"] for one in inbox) == ["delivered"] * 2 + ["submitted"] * 2


async def test_what_somebody_writes_goes_to_the_application(
    sink_url: str, inbox: list[wire.HttpRequest]
) -> None:
    async with VonageSimulator(knobs=Knobs(receipt_url=sink_url)) as simulator:
        async with asyncio.timeout(20):
            id = simulator.write("+447700900000", "stop it", to="+447700900001")
            await simulator.reporter.join()

    [request] = inbox
    told = report(request)
    assert (told["from"], told["to"]) == ("447700900000", "447700900001")
    assert (told["message_uuid"], told["text"], told["sms"]["keyword"]) == (id, "stop it", "STOP")
    assert "status" not in told


@pytest.mark.parametrize(
    ("to", "status", "code"),
    [
        ("15005550001", 422, "1170"),
        ("15005550002", 422, "1040"),
        ("15005550015", 500, "1030"),
        ("15005550016", 429, "rate-limit"),
        ("15005550019", 401, "unauthorized"),
    ],
)
async def test_magic_recipient_is_refused(to: str, status: int, code: str) -> None:
    async with VonageSimulator() as simulator:
        assert await refusal(simulator, to=to) == (status, code)
        assert simulator.log.taken == 0


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Fate.TEMPORARY, 500, "1030"),
        (Fate.THROTTLED, 429, "rate-limit"),
        (Fate.PERMANENT, 422, "1040"),
        (Fate.RECIPIENT, 422, "1170"),
        (Fate.CREDENTIAL, 401, "unauthorized"),
    ],
)
async def test_error_knob_has_its_code(error: Fate, status: int, code: str) -> None:
    async with VonageSimulator(knobs=Knobs(error_rate=1, error=error)) as simulator:
        assert await refusal(simulator) == (status, code)


async def test_throttle_says_how_long_to_wait(session: aiohttp.ClientSession) -> None:
    knobs = Knobs(throttle=1, retry_after=1.5)
    message = {"channel": "sms", "message_type": "text", "to": "447700900000", "from": "Acme"}
    async with VonageSimulator(knobs=knobs, now=lambda: 0.0) as simulator:
        headers = {"Authorization": aiohttp.encode_basic_auth(API_KEY, API_SECRET)}
        url = f"{simulator.url}/v1/messages"
        statuses = []
        for _ in range(2):
            async with session.post(
                url, json={**message, "text": "x"}, headers=headers
            ) as response:
                statuses.append((response.status, response.headers.get("Retry-After")))

    assert statuses == [(202, None), (429, "2")]


@pytest.mark.parametrize("to", ["15005550017", "15005550018"])
async def test_lost_and_hanging_recipients_get_no_answer(to: str) -> None:
    came = asyncio.Event()

    def note(_: Arrival) -> None:
        came.set()

    async with VonageSimulator() as simulator, asyncio.timeout(20):
        simulator.log.watchers.append(note)
        sending = asyncio.create_task(send(simulator, to=to))
        await came.wait()
        taken = simulator.log.taken
        simulator.knobs.refuse = True
        with pytest.raises(requests.ConnectionError):
            await sending

    assert taken == (1 if to.endswith("17") else 0)

"""The APNs simulator, by httpx over HTTP/2 and PyJWT, from Apple's documents."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from gateway.sandbox import apns, apns_rules
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.magic import Fate

DEVICE = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"
BODY = {"aps": {"alert": {"title": "T", "body": "B"}}}
REFERENCE = "01900000-0000-7000-8000-00000000000a"


def bearer(simulator: apns.ApnsSimulator, **changes: Any) -> str:
    headers = {"kid": changes.pop("kid", simulator.key_id)}
    claims = {"iss": simulator.team_id, "iat": int(time.time()) - 100, **changes}
    token = jwt.encode(claims, simulator.private_key, algorithm="ES256", headers=headers)
    return f"bearer {token}"


@asynccontextmanager
async def client(simulator: apns.ApnsSimulator, pair: str = "") -> AsyncIterator[httpx.AsyncClient]:
    context = ssl.create_default_context(cadata=simulator.authority)
    if pair:
        context.load_cert_chain(pair)
    async with httpx.AsyncClient(
        http1=False, http2=True, verify=context, base_url=simulator.url, timeout=20
    ) as session:
        yield session


def usual(simulator: apns.ApnsSimulator, **changes: str) -> dict[str, str]:
    named = {
        "authorization": bearer(simulator),
        "apns-topic": simulator.bundle_id,
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-collapse-id": REFERENCE,
    }
    return {**named, **{key.replace("_", "-"): value for key, value in changes.items()}}


async def test_push_is_taken_over_http2() -> None:
    async with apns.ApnsSimulator() as simulator, client(simulator) as http:
        id = "123e4567-e89b-12d3-a456-426655440000"
        headers = usual(simulator, apns_id=id)

        first = await http.post(f"/3/device/{DEVICE}", headers=headers, json=BODY)
        del headers["apns-id"]
        second = await http.post(f"/3/device/{DEVICE}", headers=headers, json=BODY)

        [one, other] = simulator.log.arrivals
    assert (first.http_version, first.status_code, first.content) == ("HTTP/2", 200, b"")
    assert first.headers["apns-id"] == id
    assert len(second.headers["apns-id"]) == 36
    assert (one.fate, one.to, one.id, one.reference) == (Fate.TAKEN, DEVICE, id, REFERENCE)
    assert other.content["payload"] == BODY


async def test_connection_has_one_stream_until_somebody_has_proved_who_sends() -> None:
    async with apns.ApnsSimulator() as simulator, client(simulator) as http:
        headers = usual(simulator)
        await http.post(f"/3/device/{DEVICE}", headers=headers, json=BODY)

        answers = await asyncio.gather(
            *(http.post(f"/3/device/{DEVICE}", headers=headers, json=BODY) for _ in range(50))
        )

        assert {one.status_code for one in answers} == {200}
        assert simulator.log.taken == 51


@pytest.mark.parametrize("reason", list(apns_rules.STATUSES))
async def test_magic_tokens_get_each_reason(reason: str) -> None:
    async with apns.ApnsSimulator() as simulator, client(simulator) as http:
        path = f"/3/device/{apns.token_for(reason)}"
        answer = await http.post(path, headers=usual(simulator), json=BODY)

    assert answer.status_code == apns_rules.STATUSES[reason]
    assert answer.json()["reason"] == reason
    assert ("timestamp" in answer.json()) == (answer.status_code == 410)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"apns_topic": ""}, "MissingTopic"),
        ({"apns_topic": "com.other"}, "TopicDisallowed"),
        ({"apns_topic": "com.example.app.fax"}, "BadTopic"),
        ({"apns_push_type": "fax"}, "InvalidPushType"),
        ({"apns_priority": "7"}, "BadPriority"),
        ({"apns_push_type": "background"}, "BadPriority"),
        ({"apns_expiration": "soon"}, "BadExpirationDate"),
        ({"apns_collapse_id": "x" * 65}, "BadCollapseId"),
        ({"apns_id": "ABC"}, "BadMessageId"),
        ({"authorization": ""}, "MissingProviderToken"),
        ({"authorization": "bearer x.y.z"}, "InvalidProviderToken"),
    ],
)
async def test_headers_that_apple_refuses(changes: dict[str, str], reason: str) -> None:
    async with apns.ApnsSimulator() as simulator, client(simulator) as http:
        headers = {k: v for k, v in usual(simulator, **changes).items() if v}
        answer = await http.post(f"/3/device/{DEVICE}", headers=headers, json=BODY)

    assert answer.json() == {"reason": reason}
    assert answer.status_code == apns_rules.STATUSES[reason]


@pytest.mark.parametrize(
    ("method", "path", "content", "reason"),
    [
        ("POST", "/3/device/", b"{}", "MissingDeviceToken"),
        ("POST", "/3/device/xyz", b'{"aps":{}}', "BadDeviceToken"),
        ("POST", "/4/device/ab", b'{"aps":{}}', "BadPath"),
        ("GET", f"/3/device/{DEVICE}", b"", "MethodNotAllowed"),
        ("POST", f"/3/device/{DEVICE}", b"", "PayloadEmpty"),
        ("POST", f"/3/device/{DEVICE}", b'{"a":"' + b"x" * 4096 + b'"}', "PayloadTooLarge"),
    ],
)
async def test_requests_that_apple_refuses(
    method: str, path: str, content: bytes, reason: str
) -> None:
    async with apns.ApnsSimulator() as simulator, client(simulator) as http:
        answer = await http.request(method, path, headers=usual(simulator), content=content)

    assert answer.json() == {"reason": reason}
    assert answer.status_code == apns_rules.STATUSES[reason]


async def test_headers_that_come_twice_are_refused() -> None:
    async with apns.ApnsSimulator() as simulator, client(simulator) as http:
        headers = [*usual(simulator).items(), ("apns-priority", "5")]
        answer = await http.post(f"/3/device/{DEVICE}", headers=headers, json=BODY)

    assert answer.json() == {"reason": "DuplicateHeaders"}


async def test_provider_tokens_are_judged_by_their_age() -> None:
    now = time.time()
    reasons = []
    async with apns.ApnsSimulator(wall=lambda: now) as simulator, client(simulator) as http:
        for headers in (
            usual(simulator, authorization=bearer(simulator, iat=int(now) - 3500)),
            usual(simulator, authorization=bearer(simulator, iat=int(now) - 3700)),
            usual(simulator, authorization=bearer(simulator, iat=int(now) - 2400)),
            usual(simulator, authorization=bearer(simulator, iat=int(now) - 2200)),
            usual(simulator, authorization=bearer(simulator, iat=int(now) + 900)),
            usual(simulator, authorization=bearer(simulator, iat=str(int(now)))),
            usual(simulator, authorization=bearer(simulator, iss="OTHER12345")),
            usual(simulator, authorization=bearer(simulator, kid="OTHER12345")),
        ):
            answer = await http.post(f"/3/device/{DEVICE}", headers=headers, json=BODY)
            reasons.append(answer.json()["reason"] if answer.content else "")

    assert reasons == [
        "",
        "ExpiredProviderToken",
        "TooManyProviderTokenUpdates",
        "",
        "InvalidProviderToken",
        "InvalidProviderToken",
        "InvalidProviderToken",
        "InvalidProviderToken",
    ]


async def test_certificate_of_the_client_takes_the_place_of_a_token(tmp_path: Path) -> None:
    async with apns.ApnsSimulator() as simulator:
        pair = tmp_path / "client.pem"
        pair.write_text(simulator.client_certificate)
        async with client(simulator, str(pair)) as http:
            headers = usual(simulator)
            del headers["authorization"]
            answer = await http.post(f"/3/device/{DEVICE}", headers=headers, json=BODY)

    assert answer.status_code == 200


async def test_throttle_says_when_to_come_again() -> None:
    knobs = Knobs(throttle=1, retry_after=3)
    simulator = apns.ApnsSimulator(knobs=knobs, now=lambda: 0.0)
    async with simulator, client(simulator) as http:
        headers = usual(simulator)
        answers = [
            await http.post(f"/3/device/{DEVICE}", headers=headers, json=BODY) for _ in range(2)
        ]

    assert [one.status_code for one in answers] == [200, 429]
    assert answers[1].json() == {"reason": "TooManyRequests"}
    assert answers[1].headers["retry-after"] == "3"


async def test_shutdown_is_followed_by_goaway_and_a_new_connection_serves() -> None:
    async with apns.ApnsSimulator() as simulator, client(simulator) as http:
        path = f"/3/device/{apns.token_for('Shutdown')}"
        headers = usual(simulator)
        first = await http.post(path, headers=headers, json=BODY)
        async with client(simulator) as again:
            second = await again.post(f"/3/device/{DEVICE}", headers=headers, json=BODY)

    assert (first.status_code, second.status_code) == (503, 200)


async def test_lost_answer_was_taken_and_its_stream_is_reset() -> None:
    async with apns.ApnsSimulator() as simulator, client(simulator) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.post(
                f"/3/device/{apns.token_for('lost')}", headers=usual(simulator), json=BODY
            )

        assert simulator.log.taken == 1

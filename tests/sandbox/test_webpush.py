"""The push service simulator, by http-ece and py-vapid in the sender's place."""

import time
from typing import Any

import aiohttp
import http_ece
import py_vapid
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.sandbox import es256
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.magic import Fate
from gateway.sandbox.webpush import MAGIC, WebPushSimulator

KEY = py_vapid.Vapid02.from_string("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")
PUBLIC = "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8"
STATUSES = {"busy": 429, "down": 503, "rejected": 400}


def sealed(subscription: dict[str, Any], plaintext: bytes) -> bytes:
    keys = subscription["keys"]
    body: bytes = http_ece.encrypt(
        plaintext,
        private_key=ec.generate_private_key(ec.SECP256R1()),
        dh=es256.unpadded(keys["p256dh"]),
        auth_secret=es256.unpadded(keys["auth"]),
        version="aes128gcm",
    )
    return body


def usual(simulator: WebPushSimulator, **claims: Any) -> dict[str, str]:
    signed = {
        "aud": simulator.url,
        "exp": int(time.time()) + 3600,
        "sub": "mailto:a@example.com",
    }
    vapid = KEY.sign({**signed, **claims})
    return {
        **vapid,
        "TTL": "60",
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
    }


async def push(
    session: aiohttp.ClientSession, endpoint: str, headers: dict[str, str], body: bytes
) -> tuple[int, dict[str, str]]:
    async with session.post(
        endpoint, headers=headers, data=body, allow_redirects=False
    ) as response:
        return response.status, dict(response.headers)


async def test_push_is_decrypted_and_taken(session: aiohttp.ClientSession) -> None:
    async with WebPushSimulator() as simulator:
        one = simulator.subscribe(PUBLIC)

        status, headers = await push(
            session, one["endpoint"], usual(simulator), sealed(one, b"hello")
        )
        [arrival] = simulator.log.arrivals

    assert status == 201
    assert headers["TTL"] == "60"
    assert headers["Location"].startswith(simulator.url)
    assert (arrival.fate, arrival.content["text"]) == (Fate.TAKEN, "hello")


async def test_push_without_a_body_wakes_the_browser(session: aiohttp.ClientSession) -> None:
    async with WebPushSimulator() as simulator:
        one = simulator.subscribe()

        status, _ = await push(session, one["endpoint"], usual(simulator), b"")

    assert status == 201


@pytest.mark.parametrize(
    ("changes", "claims", "expected"),
    [
        ({"TTL": ""}, {}, 400),
        ({"TTL": "-1"}, {}, 400),
        ({"TTL": "9999999"}, {}, 400),
        ({"Urgency": "urgent"}, {}, 400),
        ({"Topic": "a b"}, {}, 400),
        ({"Topic": "x" * 33}, {}, 400),
        ({"Content-Encoding": "aesgcm"}, {}, 400),
        ({"Authorization": ""}, {}, 401),
        ({"Authorization": "vapid t=a.b.c,k=x"}, {}, 401),
        ({}, {"aud": "https://elsewhere.example"}, 401),
        ({}, {"exp": int(time.time()) - 10}, 401),
        ({}, {"exp": int(time.time()) + 90_000}, 401),
    ],
)
async def test_headers_that_a_service_refuses(
    session: aiohttp.ClientSession,
    changes: dict[str, str],
    claims: dict[str, Any],
    expected: int,
) -> None:
    async with WebPushSimulator() as simulator:
        one = simulator.subscribe()
        headers = {k: v for k, v in {**usual(simulator, **claims), **changes}.items() if v}

        status, _ = await push(session, one["endpoint"], headers, sealed(one, b"x"))

    assert status == expected


async def test_subscription_to_another_key_is_forbidden(session: aiohttp.ClientSession) -> None:
    async with WebPushSimulator() as simulator:
        one = simulator.subscribe("another")

        status, _ = await push(session, one["endpoint"], usual(simulator), sealed(one, b"x"))

    assert status == 403


async def test_body_for_another_browser_is_refused(session: aiohttp.ClientSession) -> None:
    async with WebPushSimulator() as simulator:
        one, other = simulator.subscribe(), simulator.subscribe()

        wrong, _ = await push(session, one["endpoint"], usual(simulator), sealed(other, b"x"))
        cut, _ = await push(session, one["endpoint"], usual(simulator), sealed(one, b"x")[:-1])
        short, _ = await push(session, one["endpoint"], usual(simulator), b"x")
        long, _ = await push(session, one["endpoint"], usual(simulator), bytes(4097))

    assert (wrong, cut, short, long) == (400, 400, 400, 413)


@pytest.mark.parametrize("name", sorted(set(MAGIC) - {"lost", "silent"}))
async def test_named_subscriptions_get_their_answers(
    session: aiohttp.ClientSession, name: str
) -> None:
    async with WebPushSimulator(knobs=Knobs(retry_after=5)) as simulator:
        control = f"{simulator.url}/_sandbox/subscriptions"
        async with session.post(control, json={"name": name}) as response:
            one = await response.json()

        status, headers = await push(session, one["endpoint"], usual(simulator), sealed(one, b"x"))

    assert status == (int(MAGIC[name].code) if MAGIC[name].code else STATUSES[name])
    assert (headers.get("Retry-After") == "5") == (status in (429, 503))


async def test_unknown_subscription_is_not_found(session: aiohttp.ClientSession) -> None:
    async with WebPushSimulator() as simulator:
        status, _ = await push(session, f"{simulator.url}/push/x", usual(simulator), b"")

    assert status == 404

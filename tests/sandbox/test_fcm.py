"""The FCM simulator, by Google's own authentication library and by recorded shapes."""

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import google.auth.exceptions
import google.auth.transport.requests
import orjson
import pytest
import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.oauth2 import service_account

from gateway.sandbox import oauth
from gateway.sandbox.fcm import FcmSimulator
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.log import Arrival
from gateway.sandbox.magic import Fate

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
REFERENCE = "01900000-0000-7000-8000-00000000000a-0-1-0"
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"


def credentials(simulator: FcmSimulator, scope: str = SCOPE) -> Any:
    return credentials_of(simulator.service_account(), scope)


def credentials_of(key_file: dict[str, str], scope: str = SCOPE) -> Any:
    kind: Any = service_account.Credentials  # the library is not typed
    return kind.from_service_account_info(key_file, scopes=[scope])


async def refresh(credential: Any) -> None:
    def run() -> None:
        with requests.Session() as client:
            credential.refresh(google.auth.transport.requests.Request(client))

    await asyncio.to_thread(run)


async def send(
    simulator: FcmSimulator,
    session: aiohttp.ClientSession,
    message: Any,
    *,
    token: str = "",
    project: str = "sandbox",
    **fields: Any,
) -> tuple[int, Any, Mapping[str, str]]:
    """(status, JSON body, headers) of a send; with a good token unless one is given."""
    async with session.post(
        f"{simulator.url}/v1/projects/{project}/messages:send",
        json={"message": message, **fields},
        headers={"Authorization": f"Bearer {token or simulator.tokens.issue()}"},
    ) as response:
        return response.status, await response.json(), response.headers


async def test_google_auth_refreshes_and_its_token_sends(session: aiohttp.ClientSession) -> None:
    async with FcmSimulator() as simulator:
        credential = credentials(simulator)
        await refresh(credential)
        first = credential.token
        status, body, _ = await send(
            simulator, session, {"token": "t-1", "data": {"id": REFERENCE}}, token=first
        )
        await refresh(credential)

        assert (status, simulator.tokens.issued) == (200, 2)
        assert body["name"].startswith("projects/sandbox/messages/")
        assert credential.token != first
        [arrival] = simulator.log.arrivals
        assert (arrival.id, arrival.to, arrival.reference) == (body["name"], "t-1", REFERENCE)


async def test_token_for_another_scope_is_refused_by_name() -> None:
    async with FcmSimulator() as simulator:
        with pytest.raises(google.auth.exceptions.RefreshError, match="invalid_scope"):
            await refresh(credentials(simulator, "https://www.googleapis.com/auth/drive"))

        assert simulator.tokens.issued == 0


async def test_key_of_another_account_is_refused() -> None:
    async with FcmSimulator() as simulator, FcmSimulator() as other:
        key = {**other.service_account(), "token_uri": f"{simulator.url}/token"}
        stranger = credentials_of(key)

        with pytest.raises(google.auth.exceptions.RefreshError, match="Invalid JWT Signature"):
            await refresh(stranger)


@pytest.mark.parametrize(
    ("error", "status"), [("invalid_grant", 400), ("temporarily_unavailable", 503)]
)
async def test_token_endpoint_fails_as_told(
    session: aiohttp.ClientSession, error: str, status: int
) -> None:
    async with (
        FcmSimulator(knobs=Knobs(token_error=error)) as simulator,
        session.post(f"{simulator.url}/token") as response,
    ):
        assert response.status == status
        assert (await response.json())["error"] == error


class Assertions:
    """Makes assertions, good but for what a test changes; an oracle of its own for the checks."""

    def __init__(self) -> None:
        self.account = oauth.ServiceAccount(
            token_uri=lambda: "http://127.0.0.1:1/token", scopes={SCOPE}, now=lambda: 1_700_000_000
        )
        self.file = self.account.key_file("sandbox")

    def make(self, header: dict[str, Any] | None = None, **changes: Any) -> str:
        head = {"typ": "JWT", "alg": "RS256", "kid": self.file["private_key_id"], **(header or {})}
        claims = {
            "iat": 1_700_000_000,
            "exp": 1_700_003_600,
            "iss": self.file["client_email"],
            "aud": self.file["token_uri"],
            "scope": SCOPE,
            **changes,
        }
        signed = f"{segment(orjson.dumps(head))}.{segment(orjson.dumps(claims))}"
        key = serialization.load_pem_private_key(self.file["private_key"].encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{segment(signature)}"


def segment(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def assertions() -> Assertions:
    return Assertions()


def test_good_assertion_has_no_fault(assertions: Assertions) -> None:
    assert assertions.account.fault(oauth.GRANT, assertions.make()) is None


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"header": {"alg": "none"}}, "invalid_grant"),
        ({"header": {"alg": "HS256"}}, "invalid_grant"),
        ({"header": {"kid": "other"}}, "invalid_grant"),
        ({"iss": "other@example.com"}, "invalid_grant"),
        ({"aud": "https://oauth2.example.com/token"}, "invalid_grant"),
        ({"iat": 1_700_000_301, "exp": 1_700_000_400}, "invalid_grant"),
        ({"iat": 1_699_990_000, "exp": 1_699_993_600}, "invalid_grant"),
        ({"exp": 1_700_003_601}, "invalid_grant"),
        ({"exp": "soon"}, "invalid_grant"),
        ({"iat": None}, "invalid_grant"),
        ({"scope": ""}, "invalid_scope"),
    ],
)
def test_wrong_claim_is_a_fault(
    assertions: Assertions, changes: dict[str, Any], error: str
) -> None:
    fault = assertions.account.fault(oauth.GRANT, assertions.make(**changes))

    assert fault is not None
    assert fault[0] == error


@pytest.mark.parametrize("assertion", ["", "a.b", "a.b.c", "!.!.!", "é.é.é", "W10.W10.W10"])
def test_nonsense_for_an_assertion_is_a_fault(assertions: Assertions, assertion: str) -> None:
    fault = assertions.account.fault(oauth.GRANT, assertion)

    assert fault is not None
    assert fault[0] == "invalid_grant"


def test_other_grants_are_refused(assertions: Assertions) -> None:
    fault = assertions.account.fault("client_credentials", assertions.make())

    assert fault is not None
    assert fault[0] == "unsupported_grant_type"


async def test_token_ends_with_its_lifetime_or_when_revoked(
    session: aiohttp.ClientSession,
) -> None:
    now = [0.0]
    async with FcmSimulator(token_lifetime=100, now=lambda: now[0]) as simulator:
        token = simulator.tokens.issue()
        other = simulator.tokens.issue()
        found = []

        for at in (99.0, 100.0):
            now[0] = at
            found.append((await send(simulator, session, {"token": "t"}, token=token))[0])
        now[0] = 50.0
        simulator.tokens.revoke()
        status, body, _ = await send(simulator, session, {"token": "t"}, token=other)

    assert found == [200, 401]
    assert status == 401
    assert body["error"]["status"] == "UNAUTHENTICATED"
    assert "details" not in body["error"]


async def test_other_project_is_not_found(session: aiohttp.ClientSession) -> None:
    async with FcmSimulator() as simulator:
        status, body, _ = await send(simulator, session, {"token": "t"}, project="other")

    assert (status, body["error"]["status"]) == (404, "NOT_FOUND")
    assert "details" not in body["error"]


FULL = {
    "token": "REGISTRATION_TOKEN",
    "notification": {"title": "T", "body": "B", "image": "https://example.com/i.png"},
    "data": {"order_id": "42"},
    "android": {
        "collapse_key": "orders",
        "priority": "high",
        "ttl": "3600.5s",
        "data": {"k": "v"},
        "notification": {"color": "#00ff00", "channel_id": "orders"},
        "fcm_options": {"analytics_label": "campaign_1"},
    },
    "apns": {
        "headers": {"apns-priority": "10"},
        "payload": {"aps": {"alert": {"title": "T"}, "badge": 1}},
    },
    "webpush": {"headers": {"TTL": "3600"}, "fcm_options": {"link": "https://example.com/"}},
    "fcmOptions": {"analyticsLabel": "campaign_1"},
}


@pytest.mark.parametrize(
    "message",
    [
        FULL,
        {"fid": "x", "data": {}},
        {"topic": "news.today", "data": {"k": "v" * 2047}},
        {"condition": "'a' in topics"},
        {"token": "t", "data": {"k": "v" * 4095}},
        {"token": "t", "android": {"ttl": "2419200s", "priority": "NORMAL"}},
    ],
)
async def test_good_message_is_taken(session: aiohttp.ClientSession, message: Any) -> None:
    async with FcmSimulator() as simulator:
        status, _, _ = await send(simulator, session, message)

    assert status == 200
    assert simulator.log.arrivals[0].content == message


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (None, "message"),
        ([], "message"),
        ({}, "message"),
        ({"token": "t", "topic": "x"}, "message"),
        ({"token": 7}, "message.token"),
        ({"topic": "/topics/x"}, "message.topic"),
        ({"token": "t", "colour": "red"}, "message"),
        ({"token": "t", "data": {"k": 12}}, "message.data[0].value"),
        ({"token": "t", "data": []}, "message.data"),
        ({"token": "t", "data": {"a": "b", "from": "x"}}, "message.data[1].key"),
        ({"token": "t", "data": {"message_type": "x"}}, "message.data[0].key"),
        ({"token": "t", "data": {"google.x": "x"}}, "message.data[0].key"),
        ({"token": "t", "data": {"gcm.notification.x": "x"}}, "message.data[0].key"),
        ({"token": "t", "data": {"k": "v" * 4096}}, "message"),
        ({"topic": "x", "data": {"k": "v" * 2048}}, "message"),
        ({"token": "t", "apns": {"payload": {"k": "v" * 4096}}}, "message.apns.payload"),
        ({"token": "t", "android": {"ttl": "1h"}}, "message.android.ttl"),
        ({"token": "t", "android": {"ttl": 3600}}, "message.android.ttl"),
        ({"token": "t", "android": {"ttl": "2419201s"}}, "message.android.ttl"),
        ({"token": "t", "android": {"priority": "urgent"}}, "message.android.priority"),
        ({"token": "t", "android": {"data": {"k": None}}}, "message.android.data[0].value"),
        (
            {"token": "t", "android": {"notification": {"color": "red"}}},
            "message.android.notification.color",
        ),
        ({"token": "t", "apns": {"headers": {"a": 10}}}, "message.apns.headers[0].value"),
        ({"token": "t", "apns": "x"}, "message.apns"),
        ({"token": "t", "android": {"ttl": "0s"}, "androidV2": {"a": 1}}, "message.android_v2"),
        (
            {"token": "t", "fcm_options": {"analytics_label": "ä"}},
            "message.fcm_options.analytics_label",
        ),
        (
            {"token": "t", "webpush": {"fcm_options": {"link": "http://example.com"}}},
            "message.webpush.fcm_options.link",
        ),
    ],
)
async def test_wrong_message_names_its_field(
    session: aiohttp.ClientSession, message: Any, field: str
) -> None:
    async with FcmSimulator() as simulator:
        status, body, _ = await send(simulator, session, message)

    error = body["error"]
    assert (status, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    [detail] = error["details"]
    assert detail["@type"] == BAD_REQUEST
    assert detail["fieldViolations"][0]["field"] == field
    assert simulator.log.counts == {Fate.INVALID: 1}


async def test_body_that_is_not_json_is_refused(session: aiohttp.ClientSession) -> None:
    async with FcmSimulator() as simulator:
        url = f"{simulator.url}/v1/projects/sandbox/messages:send"
        headers = {"Authorization": f"Bearer {simulator.tokens.issue()}"}

        async with session.post(url, data=b"{", headers=headers) as response:
            assert response.status == 400


async def test_validate_only_is_answered_and_not_taken(session: aiohttp.ClientSession) -> None:
    async with FcmSimulator() as simulator:
        good, body, _ = await send(simulator, session, {"token": "t"}, validate_only=True)
        bad, _, _ = await send(simulator, session, {"token": "t", "data": 1}, validate_only=True)

    assert (good, bad) == (200, 400)
    assert "name" in body
    assert simulator.log.taken == 0


@pytest.mark.parametrize(
    ("token", "status", "error_status", "code"),
    [
        ("unregistered-1", 404, "NOT_FOUND", "UNREGISTERED"),
        ("mismatch-1", 403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
        ("malformed-1", 400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
        ("apns-1", 401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"),
        ("quota-1", 429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
        ("internal-1", 500, "INTERNAL", "INTERNAL"),
        ("unavailable-1", 503, "UNAVAILABLE", "UNAVAILABLE"),
    ],
)
async def test_magic_token_has_its_error(
    session: aiohttp.ClientSession, token: str, status: int, error_status: str, code: str
) -> None:
    async with FcmSimulator() as simulator:
        found, body, _ = await send(simulator, session, {"token": token})

    error = body["error"]
    assert (found, error["code"], error["status"]) == (status, status, error_status)
    assert {"@type": FCM_ERROR, "errorCode": code} in error["details"]
    assert simulator.log.taken == 0


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Fate.TEMPORARY, 503),
        (Fate.THROTTLED, 429),
        (Fate.PERMANENT, 400),
        (Fate.RECIPIENT, 404),
        (Fate.CREDENTIAL, 401),
    ],
)
async def test_error_knob_has_its_status(
    session: aiohttp.ClientSession, error: Fate, status: int
) -> None:
    async with FcmSimulator(knobs=Knobs(error_rate=1, error=error)) as simulator:
        assert (await send(simulator, session, {"token": "t"}))[0] == status


async def test_throttling_names_the_quota_and_the_wait(session: aiohttp.ClientSession) -> None:
    knobs = Knobs(throttle=1, retry_after=60)
    async with FcmSimulator(knobs=knobs, now=lambda: 0.0) as simulator:
        simulator.tokens.lifetime = 1
        first, _, _ = await send(simulator, session, {"token": "t"})
        second, body, headers = await send(simulator, session, {"token": "t"})

    assert (first, second, headers["Retry-After"]) == (200, 429, "60")
    assert [one["@type"].rpartition(".")[2] for one in body["error"]["details"]] == [
        "FcmError",
        "QuotaFailure",
    ]


async def test_lost_token_is_taken_without_an_answer(session: aiohttp.ClientSession) -> None:
    async with FcmSimulator() as simulator:
        with pytest.raises(aiohttp.ClientError):
            await send(simulator, session, {"token": "lost-1"})

        assert simulator.log.counts == {Fate.LOST: 1}


async def test_silent_token_is_never_answered(session: aiohttp.ClientSession) -> None:
    came = asyncio.Event()

    def note(_: Arrival) -> None:
        came.set()

    async with FcmSimulator() as simulator, asyncio.timeout(20):
        simulator.log.watchers.append(note)
        sending = asyncio.create_task(send(simulator, session, {"token": "silent-1"}))
        await came.wait()

        assert not sending.done()
        assert simulator.log.counts == {Fate.HUNG: 1}
        sending.cancel()


async def test_key_file_is_complete_json() -> None:
    async with FcmSimulator(project_id="demo") as simulator:
        file = json.loads(json.dumps(simulator.service_account()))

    assert file["type"] == "service_account"
    assert file["project_id"] == "demo"
    assert file["token_uri"] == f"{simulator.url}/token"

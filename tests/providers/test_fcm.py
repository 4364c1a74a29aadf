"""FCM against recorded bytes and google-auth."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import google.auth.jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.providers import fcm

Make = Callable[..., fcm.Provider]
Message = Callable[..., wire.Message]

FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
QUOTA_FAILURE = "type.googleapis.com/google.rpc.QuotaFailure"


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> fcm.Provider:
    return make("fcm")


def payload(provider: fcm.Provider, message: wire.Message) -> dict[str, Any]:
    [(_, request)] = provider.build_requests([message])
    body: dict[str, Any] = orjson.loads(request.body)["message"]
    return body


def answer(status: int, state: str, code: str = "", *details: object) -> wire.HttpResponse:
    by_fcm = [{"@type": FCM_ERROR, "errorCode": code}] if code else []
    error = {"code": status, "message": "…", "status": state, "details": [*by_fcm, *details]}
    return wire.HttpResponse(status=status, body=orjson.dumps({"error": error}))


def read(
    provider: fcm.Provider, message: Message, response: wire.HttpResponse
) -> wire.AttemptResult:
    [result] = provider.read_response([message()], response)
    return result


def test_request_is_as_recorded(
    provider: fcm.Provider, message: Message, recorded_request: Callable[[str], wire.HttpRequest]
) -> None:
    extra = {
        "image": "https://example.com/i.png",
        "link": "https://example.com/o/42",
        "data": {"order": 42, "note": "new"},
        "badge": 3,
        "sound": "default",
        "collapse_key": "orders",
    }
    content = wire.Content(text="Your code is 4711", subject="Code", extra=extra)
    one = message(content=content, priority=0)

    [(carried, request)] = provider.build_requests([one])

    assert carried == (one,)
    assert request == recorded_request("fcm/send")


def test_message_sent_again_replaces_itself_on_the_device(
    provider: fcm.Provider, message: Message
) -> None:
    first, again = payload(provider, message()), payload(provider, message())

    assert first["android"]["notification"]["tag"] == message().id
    assert first["apns"]["headers"]["apns-collapse-id"] == message().id
    assert first == again


@pytest.mark.parametrize(
    ("priority", "android", "apple", "web"),
    [
        (0, "high", "10", "high"),
        (1, "high", "10", "high"),
        (2, "normal", "5", "normal"),
        (3, "normal", "5", "normal"),
    ],
)
def test_priority(
    provider: fcm.Provider, message: Message, priority: int, android: str, apple: str, web: str
) -> None:
    body = payload(provider, message(priority=priority))

    assert body["android"]["priority"] == android
    assert body["apns"]["headers"]["apns-priority"] == apple
    assert body["webpush"]["headers"]["Urgency"] == web


@pytest.mark.parametrize(("lasts", "ttl"), [(-1, 0), (90.5, 90), (60 * 86400, 28 * 86400)])
def test_time_to_live_ends_with_the_message(
    provider: fcm.Provider, message: Message, now: datetime, lasts: float, ttl: int
) -> None:
    expires = now + timedelta(seconds=lasts)

    body = payload(provider, message(expires_at=expires))

    assert body["android"]["ttl"] == f"{ttl}s"
    assert body["webpush"]["headers"]["TTL"] == str(ttl)
    assert body["apns"]["headers"]["apns-expiration"] == str(int(expires.timestamp()))


def test_push_without_texts_wakes_the_app_quietly(provider: fcm.Provider, message: Message) -> None:
    content = wire.Content(extra={"data": {"sync": "1"}})

    body = payload(provider, message(content=content, priority=0))

    assert "notification" not in body
    assert body["apns"]["headers"]["apns-priority"] == "5"
    assert body["apns"]["payload"] == {"aps": {"content-available": 1}}
    assert body["data"] == {"sync": "1"}


def test_data_is_made_of_strings_and_reserved_keys_are_counted(
    provider: fcm.Provider, message: Message
) -> None:
    data = {"n": 1, "t": True, "o": {"a": [1]}, "s": "x"}
    reserved = {"from": "x", "message_type": "x", "google.a": "x", "gcm.notification.b": "x"}
    one = message(content=wire.Content(text="x", extra={"data": {**data, **reserved}}))

    body = payload(provider, one)
    accepted = wire.HttpResponse(status=200, body=b'{"name": "n"}')

    assert body["data"] == {"n": "1", "t": "true", "o": '{"a":[1]}', "s": "x"}
    assert provider.read_response([one], accepted) == [
        wire.Accepted(provider_id="n", detail="reserved data keys left out: 4")
    ]


def test_unusable_extras_are_left_out(provider: fcm.Provider, message: Message) -> None:
    extra = {"badge": "3", "sound": 1, "image": None, "link": "http://x", "data": "x"}

    body = payload(provider, message(content=wire.Content(text="x", extra=extra)))

    assert body["notification"] == {"body": "x"}
    assert "payload" not in body["apns"]
    assert "fcm_options" not in body["webpush"]


@pytest.mark.parametrize(
    ("recording", "expected"),
    [
        (
            "answer_sent",
            wire.Accepted(
                provider_id="projects/example-app/messages/0:1500415314455276%31bd1c9631bd1c96"
            ),
        ),
        (
            "answer_unregistered",
            wire.Rejected(
                code="UNREGISTERED",
                detail="token gone",
                scope=wire.Scope.RECIPIENT,
                suppress=True,
            ),
        ),
        (
            "answer_bad_token",
            wire.Rejected(
                code="INVALID_ARGUMENT",
                detail="token malformed",
                scope=wire.Scope.RECIPIENT,
                suppress=True,
            ),
        ),
        (
            "answer_bad_field",
            wire.Rejected(code="INVALID_ARGUMENT", detail="message.data[0].value"),
        ),
    ],
)
def test_recorded_answers(
    provider: fcm.Provider,
    message: Message,
    recorded_answer: Callable[[str], wire.HttpResponse],
    recording: str,
    expected: wire.AttemptResult,
) -> None:
    assert read(provider, message, recorded_answer(f"fcm/{recording}")) == expected


@pytest.mark.parametrize(
    ("response", "code", "cause"),
    [
        (
            answer(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"),
            "THIRD_PARTY_AUTH_ERROR",
            wire.Cause.CREDENTIAL,
        ),
        (
            answer(401, "UNAUTHENTICATED", "APNS_AUTH_ERROR"),
            "APNS_AUTH_ERROR",
            wire.Cause.CREDENTIAL,
        ),
        (answer(401, "UNAUTHENTICATED"), "access_token", wire.Cause.CREDENTIAL),
        (wire.HttpResponse(status=401), "access_token", wire.Cause.CREDENTIAL),
        (answer(403, "PERMISSION_DENIED"), "PERMISSION_DENIED", wire.Cause.CREDENTIAL),
        (answer(500, "INTERNAL", "INTERNAL"), "INTERNAL", wire.Cause.TEMPORARY),
        (answer(503, "UNAVAILABLE", "UNAVAILABLE"), "UNAVAILABLE", wire.Cause.TEMPORARY),
        (answer(500, "UNKNOWN", "UNSPECIFIED_ERROR"), "UNSPECIFIED_ERROR", wire.Cause.TEMPORARY),
        (wire.HttpResponse(status=502, body=b"<html>"), "http_502", wire.Cause.TEMPORARY),
        (answer(429, "RESOURCE_EXHAUSTED"), "RESOURCE_EXHAUSTED", wire.Cause.THROTTLED),
    ],
)
def test_answers_that_may_be_repeated(
    provider: fcm.Provider,
    message: Message,
    response: wire.HttpResponse,
    code: str,
    cause: wire.Cause,
) -> None:
    result = read(provider, message, response)

    assert isinstance(result, wire.Deferred)
    assert (result.code, result.cause) == (code, cause)


@pytest.mark.parametrize(
    ("response", "scope", "suppress"),
    [
        (answer(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"), wire.Scope.RECIPIENT, True),
        (answer(404, "NOT_FOUND"), wire.Scope.PROVIDER, False),
        (wire.HttpResponse(status=404, body=b"<html>"), wire.Scope.PROVIDER, False),
        (answer(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"), wire.Scope.MESSAGE, False),
        (answer(400, "INVALID_ARGUMENT"), wire.Scope.MESSAGE, False),
    ],
)
def test_answers_that_are_final(
    provider: fcm.Provider,
    message: Message,
    response: wire.HttpResponse,
    scope: wire.Scope,
    suppress: bool,
) -> None:
    result = read(provider, message, response)

    assert isinstance(result, wire.Rejected)
    assert (result.scope, result.suppress) == (scope, suppress)


def test_quota_of_the_project_pauses_the_account_for_a_minute(
    provider: fcm.Provider, message: Message
) -> None:
    result = read(provider, message, answer(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"))

    assert result == wire.Deferred(
        code="QUOTA_EXCEEDED", cause=wire.Cause.THROTTLED, retry_after=60.0
    )


def test_quota_of_a_device_concerns_that_device_only(
    provider: fcm.Provider, message: Message
) -> None:
    violation = {"subject": "device:x", "description": "Device message rate exceeded"}
    detail = {"@type": QUOTA_FAILURE, "violations": [violation]}

    result = read(provider, message, answer(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", detail))

    assert isinstance(result, wire.Deferred)
    assert (result.cause, result.retry_after) == (wire.Cause.RECIPIENT, None)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"name": 1}'])
def test_success_without_name_is_unknown(
    provider: fcm.Provider, message: Message, body: bytes
) -> None:
    result = read(provider, message, wire.HttpResponse(status=200, body=body))

    assert isinstance(result, wire.Unknown)


def test_assertion_is_what_google_would_verify(
    make: Make, rsa_key: rsa.RSAPrivateKey, clock_at: Callable[[int], Clock]
) -> None:
    now = int(datetime.now(UTC).timestamp())  # google-auth compares with the machine's clock
    provider = make("fcm", clock=clock_at(now))
    public = rsa_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert provider.credential

    request = provider.credential.token_request()

    form = parse_qs(request.body.decode())
    token_uri = "https://oauth2.googleapis.com/token"
    decode: Callable[..., object] = google.auth.jwt.decode
    decode_header: Callable[..., object] = google.auth.jwt.decode_header
    claims = decode(form["assertion"][0], certs=public, audience=token_uri)
    assert (request.method, request.url) == ("POST", token_uri)
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assert decode_header(form["assertion"][0]) == {
        "typ": "JWT",
        "alg": "RS256",
        "kid": "key-1",
    }
    assert claims == {
        "iat": now,
        "exp": now + 3600,
        "iss": "gateway@example-app.iam.gserviceaccount.com",
        "aud": token_uri,
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
    }


def test_token_endpoint_and_project_can_be_replaced(make: Make, message: Message) -> None:
    changes = {
        "token_uri": "http://127.0.0.1:9/token",
        "project_id": "p q",
        "base_url": "http://h/",
    }

    provider = make("fcm", changes)

    [(_, request)] = provider.build_requests([message()])
    assert provider.credential
    assert provider.credential.token_request().url == "http://127.0.0.1:9/token"
    assert request.url == "http://h/v1/projects/p%20q/messages:send"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no project_id in the key file"),
        ('{"project_id": "p", "client_email": "e", "private_key": "secret-pem"}', "not an RSA key"),
    ],
)
def test_bad_key_file_is_a_fault_without_its_text(make: Make, text: str, fault: str) -> None:
    with pytest.raises(errors.SettingsError) as caught:
        make("fcm", service_account=text)

    assert caught.value.faults[0].startswith("providers.main.service_account: ")
    assert fault in str(caught.value)
    assert "secret-pem" not in str(caught.value)


def test_fcm_reports_nothing(provider: fcm.Provider) -> None:
    request = wire.HttpRequest(method="POST", url="https://gw.example.com/r")

    assert not provider.reports
    assert not provider.verify_receipt(request)
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_receipts(request)

"""APNs against recorded bytes, PyJWT, and the reasons of Apple's table one by one."""

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import jwt as pyjwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.providers import apns, apns_codes, ecdsa
from gateway.sandbox import certificates

Make = Callable[..., apns.Provider]
Message = Callable[..., wire.Message]

SUPPRESSED = wire.Scope.RECIPIENT, True
PERMANENT = wire.Scope.MESSAGE, False


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> apns.Provider:
    return make("apns")


def built(provider: apns.Provider, message: wire.Message) -> wire.HttpRequest:
    [(carried, request)] = provider.build_requests([message])
    assert carried == (message,)
    return request


def payload(provider: apns.Provider, message: wire.Message) -> dict[str, Any]:
    value: dict[str, Any] = orjson.loads(built(provider, message).body)
    return value


def answer(status: int, reason: str, **more: object) -> wire.HttpResponse:
    return wire.HttpResponse(status=status, body=orjson.dumps({"reason": reason, **more}))


def read(
    provider: apns.Provider, message: Message, response: wire.HttpResponse
) -> wire.AttemptResult:
    [result] = provider.read_response([message()], response)
    return result


def test_request_is_as_recorded(
    provider: apns.Provider, message: Message, recorded_request: Callable[[str], wire.HttpRequest]
) -> None:
    extra = {
        "image": "https://example.com/i.png",
        "link": "https://example.com/o/42",
        "data": {"order_id": "42", "aps": "never"},
        "badge": 1,
        "sound": "default",
        "collapse_key": "order-42",
    }
    content = wire.Content(text="Your code is 4711", subject="Code", extra=extra)
    one = message(content=content, priority=0, to=wire.Address(token="00fc13adff78" * 5 + "abcd"))

    assert built(provider, one) == recorded_request("apns/send")


def test_provider_token_is_what_apple_would_verify(
    make: Make, message: Message, options_of: Callable[[str], dict[str, Any]]
) -> None:
    provider = make("apns")
    key = ecdsa.private_key(options_of("apns")["private_key"]).public_key()
    public = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    scheme, _, token = built(provider, message()).headers["authorization"].partition(" ")

    assert scheme == "bearer"
    assert pyjwt.get_unverified_header(token) == {"alg": "ES256", "kid": "KEY1234567"}
    claims = pyjwt.decode(token, public, algorithms=["ES256"], options={"verify_iat": False})
    assert set(claims) == {"iss", "iat"}
    assert claims["iss"] == "TEAM123456"
    assert type(claims["iat"]) is int


def test_provider_token_is_renewed_between_twenty_and_sixty_minutes_and_never_too_young(
    make: Make, message: Message, clock_at: Callable[[int], Clock]
) -> None:
    begin = 1_772_366_400
    made: dict[str, int] = {}

    for at in range(begin, begin + 6 * 3600, 60):
        header = built(make("apns", clock=clock_at(at)), message()).headers["authorization"]
        claims = pyjwt.decode(header.split()[1], options={"verify_signature": False})
        made[header] = claims["iat"]
        assert 60 <= at - claims["iat"] < 3600

    times = list(made.values())
    gaps = {later - earlier for earlier, later in itertools.pairwise(times)}
    assert len(times) == 10
    assert gaps == {2400}


def test_every_process_signs_the_same_provider_token(make: Make, message: Message) -> None:
    tokens = {built(make("apns"), message()).headers["authorization"] for _ in range(20)}

    assert len(tokens) == 1


@pytest.mark.parametrize(
    ("extra", "texts", "priority", "kind", "urgency", "topic"),
    [
        ({}, True, 0, "alert", "10", "com.example.app"),
        ({}, True, 2, "alert", "5", "com.example.app"),
        ({}, False, 0, "background", "5", "com.example.app"),
        ({"push_type": "background"}, True, 0, "background", "5", "com.example.app"),
        ({"push_type": "voip"}, True, 1, "voip", "10", "com.example.app.voip"),
        ({"push_type": "location"}, True, 1, "location", "10", "com.example.app.location-query"),
        (
            {"push_type": "liveactivity"},
            True,
            3,
            "liveactivity",
            "5",
            "com.example.app.push-type.liveactivity",
        ),
        ({"push_type": "complication"}, True, 1, "complication", "10", "elsewhere"),
        ({"push_type": "nonsense"}, True, 1, "alert", "10", "com.example.app"),
    ],
)
def test_push_type_decides_topic_and_priority(
    make: Make,
    message: Message,
    extra: dict[str, str],
    texts: bool,
    priority: int,
    kind: str,
    urgency: str,
    topic: str,
) -> None:
    provider = make("apns", topics={"complication": "elsewhere"})
    content = wire.Content(text="x" if texts else "", extra=extra)

    headers = built(provider, message(content=content, priority=priority)).headers

    assert headers["apns-push-type"] == kind
    assert headers["apns-priority"] == urgency
    assert headers["apns-topic"] == topic


def test_silent_push_has_nothing_to_show(provider: apns.Provider, message: Message) -> None:
    extra = {"push_type": "background", "badge": 1, "sound": "x", "data": {"sync": 1}}

    body = payload(provider, message(content=wire.Content(text="x", extra=extra)))

    assert body == {"aps": {"content-available": 1}, "sync": 1}


def test_keys_of_apples_own_win_over_ours(provider: apns.Provider, message: Message) -> None:
    aps = {"alert": {"title-loc-key": "T"}, "thread-id": "a", "interruption-level": "active"}
    content = wire.Content(text="x", title="y", extra={"aps": aps, "badge": 0})

    assert payload(provider, message(content=content)) == {"aps": {**aps, "badge": 0}}


@pytest.mark.parametrize(("lasts", "kept"), [(-1, 0), (0, 0), (90, 90), (60 * 86400, 30 * 86400)])
def test_expiration_is_a_moment_and_never_a_past_one(
    provider: apns.Provider, message: Message, now: datetime, lasts: int, kept: int
) -> None:
    headers = built(provider, message(expires_at=now + timedelta(seconds=lasts))).headers

    expected = int(now.timestamp()) + kept if kept else 0
    assert headers["apns-expiration"] == str(expected)


def test_push_sent_again_is_the_same_push_to_apple(
    provider: apns.Provider, message: Message
) -> None:
    first, again = built(provider, message()), built(provider, message())
    other = built(provider, message(reference=message().id + "-0-0-1"))

    assert first == again
    assert first.headers["apns-collapse-id"] == message().id
    assert first.headers["apns-id"] != other.headers["apns-id"]


def test_collapse_id_that_apple_would_refuse_is_left_out(
    provider: apns.Provider, message: Message
) -> None:
    names = ("é" * 33, "x" * 65, "a\r\nb")
    contents = [wire.Content(text="x", extra={"collapse_key": name}) for name in names]

    headers = [built(provider, message(content=one)).headers for one in contents]

    assert not any("apns-collapse-id" in one for one in headers)


def test_push_that_is_too_large_cannot_be_built(provider: apns.Provider, message: Message) -> None:
    empty = len(built(provider, message(content=wire.Content(text="x"))).body) - 1
    fitting = wire.Content(text="x" * (4096 - empty))
    call = wire.Content(text="x" * (4097 - empty), extra={"push_type": "voip"})

    assert len(built(provider, message(content=fitting)).body) == 4096
    assert len(built(provider, message(content=call)).body) == 4097
    with pytest.raises(ValueError, match="more than 4096 bytes"):
        built(provider, message(content=wire.Content(text="x" * (4097 - empty))))


def test_token_cannot_lead_elsewhere(provider: apns.Provider, message: Message) -> None:
    request = built(provider, message(to=wire.Address(token="../4/x?y#z")))

    assert request.url == "https://api.push.apple.com/3/device/..%2F4%2Fx%3Fy%23z"


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (400, "BadCollapseId", PERMANENT),
        (400, "BadExpirationDate", PERMANENT),
        (400, "BadMessageId", PERMANENT),
        (400, "BadPriority", PERMANENT),
        (400, "InvalidPushType", PERMANENT),
        (400, "DuplicateHeaders", PERMANENT),
        (400, "PayloadEmpty", PERMANENT),
        (400, "BadDeviceToken", SUPPRESSED),
        (400, "DeviceTokenNotForTopic", SUPPRESSED),
        (400, "BadTopic", wire.Cause.CREDENTIAL),
        (400, "MissingTopic", wire.Cause.CREDENTIAL),
        (400, "TopicDisallowed", wire.Cause.CREDENTIAL),
        (400, "MissingDeviceToken", PERMANENT),
        (400, "IdleTimeout", wire.Cause.TEMPORARY),
        (403, "ExpiredProviderToken", wire.Cause.CREDENTIAL),
        (403, "InvalidProviderToken", wire.Cause.CREDENTIAL),
        (403, "MissingProviderToken", wire.Cause.CREDENTIAL),
        (403, "BadEnvironmentKeyIdInToken", wire.Cause.CREDENTIAL),
        (403, "BadEnvironmentKeyInToken", wire.Cause.CREDENTIAL),
        (403, "UnrelatedKeyIdInToken", wire.Cause.CREDENTIAL),
        (403, "BadCertificate", wire.Cause.CREDENTIAL),
        (403, "BadCertificateEnvironment", wire.Cause.CREDENTIAL),
        (403, "Forbidden", wire.Cause.CREDENTIAL),
        (404, "BadPath", PERMANENT),
        (405, "MethodNotAllowed", PERMANENT),
        (410, "Unregistered", SUPPRESSED),
        (410, "ExpiredToken", SUPPRESSED),
        (413, "PayloadTooLarge", PERMANENT),
        (429, "TooManyRequests", wire.Cause.RECIPIENT),
        (429, "TooManyProviderTokenUpdates", wire.Cause.THROTTLED),
        (500, "InternalServerError", wire.Cause.TEMPORARY),
        (503, "ServiceUnavailable", wire.Cause.TEMPORARY),
        (503, "Shutdown", wire.Cause.TEMPORARY),
    ],
)
def test_reasons_are_what_the_table_says(
    provider: apns.Provider, message: Message, status: int, reason: str, expected: object
) -> None:
    result = read(provider, message, answer(status, reason))

    assert not isinstance(result, wire.Accepted | wire.Unknown)
    assert result.code == reason
    if isinstance(result, wire.Rejected):
        assert (result.scope, result.suppress) == expected
    else:
        assert result.cause == expected


def test_no_reason_of_the_table_is_untested() -> None:
    [mark] = [
        one
        for one in test_reasons_are_what_the_table_says.pytestmark  # type: ignore[attr-defined]
        if one.name == "parametrize"
    ]

    assert {case[1] for case in mark.args[1]} == set(apns_codes.RESULTS)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, b'{"reason":"NewInAutumn"}', wire.Rejected(code="http_400")),
        (400, b'{"reason":["BadTopic"]}', wire.Rejected(code="http_400")),
        (410, b"<html>", wire.Rejected(code="http_410")),
        (500, b"", wire.Deferred(code="http_500")),
        (502, b'{"reason":"Unregistered"}', wire.Deferred(code="http_502")),
        (429, b"", wire.Deferred(code="http_429", cause=wire.Cause.THROTTLED)),
        (403, b"", wire.Deferred(code="http_403", cause=wire.Cause.CREDENTIAL)),
        (
            204,
            b"",
            wire.Unknown(code="http_204", detail="not an answer of Apple's"),
        ),
    ],
)
def test_answers_without_a_known_reason_go_by_their_status(
    provider: apns.Provider,
    message: Message,
    status: int,
    body: bytes,
    expected: wire.AttemptResult,
) -> None:
    assert read(provider, message, wire.HttpResponse(status=status, body=body)) == expected


def test_accepted_push_has_apples_id(provider: apns.Provider, message: Message) -> None:
    response = wire.HttpResponse(status=200, headers={"apns-id": "123e4567-e89b"})

    assert read(provider, message, response) == wire.Accepted(provider_id="123e4567-e89b")


@pytest.mark.parametrize(
    ("timestamp", "detail"),
    [
        (1_700_000_000_123, "token gone since 2023-11-14T22:13:20Z"),
        ("1700000000123", "token gone"),
        (True, "token gone"),
        (-5, "token gone"),
        (2**60, "token gone"),
    ],
)
def test_dead_token_says_since_when(
    provider: apns.Provider, message: Message, timestamp: object, detail: str
) -> None:
    result = read(provider, message, answer(410, "Unregistered", timestamp=timestamp))

    assert isinstance(result, wire.Rejected)
    assert result.detail == detail


def test_retry_after_is_honoured_where_there_is_one(
    provider: apns.Provider, message: Message
) -> None:
    body = b'{"reason":"ServiceUnavailable"}'
    response = wire.HttpResponse(status=503, headers={"retry-after": "7"}, body=body)

    assert read(provider, message, response) == wire.Deferred(
        code="ServiceUnavailable", retry_after=7.0
    )


def test_certificate_takes_the_place_of_the_provider_token(make: Make, message: Message) -> None:
    pair = "".join(certificates.self_signed("com.example.app"))
    no_key = {"key_id": "", "team_id": "", "private_key": ""}

    provider = make("apns", {**no_key, "certificate": pair, "environment": "sandbox"})
    request = built(provider, message())

    assert "authorization" not in request.headers
    assert request.url.startswith("https://api.sandbox.push.apple.com/3/device/")
    assert provider.tls is not None
    assert provider.tls.check_hostname
    assert "PRIVATE KEY" not in repr(apns.Settings(bundle_id="x", certificate=pair))


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"private_key": "secret"}, ["private_key: not a P-256 key in PEM without password"]),
        ({"private_key": ""}, ["private_key: missing, unless there is a certificate"]),
        ({"key_id": ""}, ["key_id: missing, unless there is a certificate"]),
        ({"bundle_id": ""}, ["bundle_id: is empty"]),
        ({"certificate": "x"}, ["certificate: a key is set too, one of them is needed"]),
        ({"topics": {"fax": "x"}}, ["topics.fax: no such push type"]),
        ({"authorities": "x"}, ["authorities: not certificates in PEM"]),
        (
            {"certificate": "secret", "key_id": "", "team_id": "", "private_key": ""},
            ["certificate: not a certificate and its key in PEM without password"],
        ),
        ({"environment": "test"}, ["environment: not one of production, sandbox"]),
    ],
)
def test_settings_that_cannot_work_are_named(
    make: Make, changes: dict[str, Any], faults: list[str]
) -> None:
    with pytest.raises(errors.SettingsError) as caught:
        make("apns", changes)

    assert list(caught.value.faults) == [f"providers.main.{fault}" for fault in faults]
    assert "secret" not in str(caught.value)


def test_apple_reports_nothing(provider: apns.Provider) -> None:
    request = wire.HttpRequest(method="POST", url="https://gw.example.com/r")

    assert not provider.verify_receipt(request)
    assert provider.answer_receipt(request).status == 404
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_receipts(request)


@pytest.mark.parametrize(
    ("registered_ms", "is_banned"), [(0, True), (5_000, True), (15_000, False)]
)
def test_token_that_was_registered_after_it_died_is_not_banned(
    provider: apns.Provider, message: Message, registered_ms: int, is_banned: bool
) -> None:
    to = wire.Address(token="00ff", registered_ms=registered_ms)
    gone = answer(410, "Unregistered", timestamp=10_000)

    [result] = provider.read_response([message(to=to)], gone)

    assert isinstance(result, wire.Rejected)
    assert result.suppress is is_banned

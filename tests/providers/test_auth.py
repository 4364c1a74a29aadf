"""Signatures against the published vectors and the reference library; tokens of OAuth 2.0."""

from base64 import b64encode
from datetime import UTC, datetime

import orjson
import pytest
import standardwebhooks
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.clock import Clock
from gateway.model import wire
from gateway.providers import auth

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECOND = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
PRIVATE = (
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
)
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
ID, TIMESTAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
BY_SECRET = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
BY_SECOND = "v1,78nXHjpFP0tVJQW5D0SBwmVyyW87BV/rL6MgfM/Bw44="
BY_PRIVATE = (
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
)


def sign(*secrets: str, body: bytes = BODY, timestamp: int = TIMESTAMP) -> str:
    return auth.sign_webhook(secrets, message_id=ID, timestamp=timestamp, body=body)


def verify(
    signature: str, *secrets: str, body: bytes = BODY, now: float = TIMESTAMP, **changes: str
) -> bool:
    headers = {
        "webhook-id": ID,
        "webhook-timestamp": str(TIMESTAMP),
        "webhook-signature": signature,
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    return auth.verify_webhook(secrets, headers=headers, body=body, now_ms=int(now * 1000))


@pytest.mark.parametrize(
    ("secrets", "signature"),
    [
        ([SECRET], BY_SECRET),
        ([SECRET.removeprefix("whsec_")], BY_SECRET),
        ([SECRET, SECOND], f"{BY_SECRET} {BY_SECOND}"),
        ([PRIVATE], BY_PRIVATE),
        ([SECRET, "whsk_nonsense", "", "whsec_", SECOND], f"{BY_SECRET} {BY_SECOND}"),
    ],
)
def test_published_signatures(secrets: list[str], signature: str) -> None:
    assert sign(*secrets) == signature


def test_another_published_signature() -> None:
    body = (
        b'{"type":"contact.created","timestamp":"2022-11-03T20:26:10.344522Z",'
        b'"data":{"id":"1f81eb52-5198-4599-803e-771906343485"}}'
    )

    signature = auth.sign_webhook(
        [SECRET], message_id="msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", timestamp=1674087231, body=body
    )

    assert signature == "v1,ARw42xaAApl/nxRo+iPGYwSaMQaOwMo2eyH5JBRA+bQ="


@pytest.mark.parametrize(
    ("secret", "signature"), [(SECRET, BY_SECRET), (SECOND, BY_SECOND), (PUBLIC, BY_PRIVATE)]
)
def test_any_of_several_signatures_is_enough(secret: str, signature: str) -> None:
    assert verify(f"v9,nonsense {BY_SECRET} {BY_SECOND} {BY_PRIVATE}", secret)
    assert verify(signature, "whsec_AAAA", secret)
    assert not verify(f"v1,{'A' * 43}= v1a,AAAA v1 , ", secret)
    assert not verify(signature, secret, body=BODY + b" ")
    assert not verify(signature, secret, webhook_id="msg_other")


@pytest.mark.parametrize(
    ("now", "good"), [(-301, False), (-300, True), (0, True), (300, True), (300.001, False)]
)
def test_timestamp_may_be_five_minutes_off(now: float, good: bool) -> None:
    assert verify(BY_SECRET, SECRET, now=TIMESTAMP + now) is good


@pytest.mark.parametrize("timestamp", ["", "x", "-1614265330", "1614265330.0", "٣", "9" * 40])
def test_unreadable_timestamp_is_refused(timestamp: str) -> None:
    assert not verify(BY_SECRET, SECRET, webhook_timestamp=timestamp)


@pytest.mark.parametrize("secret", ["", "whsec_", "whpk_", "whpk_AAAA"])
def test_empty_secret_verifies_nothing(secret: str) -> None:
    by_empty_key = "v1,woH/1mJtZGSMCmpFTxRYbStS24eLLD/oXIYr4PYyZ7g="

    assert not verify(f"{by_empty_key} {sign('x')} v1,", secret)


@pytest.mark.parametrize("secret", ["correct horse battery!", "plain-secret_1", "secretsecret"])
def test_plain_secret_is_used_as_it_stands(secret: str) -> None:
    library = standardwebhooks.Webhook(secret.encode())
    signature = library.sign(ID, datetime.fromtimestamp(TIMESTAMP, UTC), BODY.decode())

    assert verify(signature, secret)


def test_undecodable_header_is_refused() -> None:
    assert not verify("v1,\udcff", SECRET, PUBLIC)
    assert not verify(BY_SECRET, SECRET, webhook_id="\udcff")


KEYS = st.binary(min_size=24, max_size=64)


@settings(deadline=None)
@given(key=KEYS, body=st.text())
def test_reference_library_agrees(key: bytes, body: str) -> None:
    library = standardwebhooks.Webhook(key)
    secret = "whsec_" + b64encode(key).decode()
    expected = library.sign(ID, datetime.fromtimestamp(TIMESTAMP, UTC), body)

    assert sign(secret, body=body.encode()) == expected
    assert verify(expected, secret, body=body.encode())


def test_reference_library_verifies_ours() -> None:
    now = int(datetime.now(UTC).timestamp())  # the library knows the machine's clock only
    headers = {
        "webhook-id": ID,
        "webhook-timestamp": str(now),
        "webhook-signature": sign(PRIVATE, SECOND, SECRET, timestamp=now),
    }

    verified = standardwebhooks.Webhook(SECRET).verify(BODY, headers)

    assert verified == {"test": 2432232314}


def test_basic_credentials() -> None:
    # RFC 7617 §2 and §2.1
    assert auth.basic("Aladdin", "open sesame") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert auth.basic("test", "123\u00a3") == "Basic dGVzdDoxMjPCow=="


@pytest.fixture(name="credential")
def fixture_credential(service_account: str, clock: Clock) -> auth.JwtBearer:
    key = orjson.loads(service_account)
    return auth.JwtBearer(
        issuer="me",
        scope="all",
        private_key=key["private_key"],
        key_id="1",
        token_uri=key["token_uri"],
        clock=clock,
    )


@pytest.mark.parametrize("lifetime", [b"3599", b'"3599"', b"3599.0"])
def test_token_is_read(credential: auth.JwtBearer, lifetime: bytes) -> None:
    body = b'{"access_token":"ya29","token_type":"Bearer","expires_in":' + lifetime + b"}"

    token = credential.read_token(wire.HttpResponse(status=200, body=body))

    assert token == wire.Token(value="ya29", expires_in=3599.0)


@pytest.mark.parametrize(
    ("status", "body", "code", "cause"),
    [
        (400, b'{"error":"invalid_grant"}', "invalid_grant", wire.Cause.CREDENTIAL),
        (401, b'{"error":"invalid_client"}', "invalid_client", wire.Cause.CREDENTIAL),
        (400, b'{"error":"server_error"}', "server_error", wire.Cause.TEMPORARY),
        (
            400,
            b'{"error":"x","error_description":"internal_failure"}',
            "x",
            wire.Cause.TEMPORARY,
        ),
        (408, b"", "http_408", wire.Cause.TEMPORARY),
        (429, b"", "http_429", wire.Cause.THROTTLED),
        (503, b"<html>", "http_503", wire.Cause.TEMPORARY),
        (302, b"", "http_302", wire.Cause.CREDENTIAL),
        (200, b"<html>", "unreadable_token", wire.Cause.TEMPORARY),
        (200, b'{"access_token":"x","expires_in":-1}', "unreadable_token", wire.Cause.TEMPORARY),
    ],
)
def test_failed_token_requests(
    credential: auth.JwtBearer, status: int, body: bytes, code: str, cause: wire.Cause
) -> None:
    answer = credential.read_token(wire.HttpResponse(status=status, body=body))

    assert isinstance(answer, wire.Deferred)
    assert (answer.code, answer.cause) == (code, cause)


def test_token_goes_into_the_authorization_header(credential: auth.JwtBearer) -> None:
    request = wire.HttpRequest(method="POST", url="https://x", headers={"a": "b"}, body=b"c")

    authorised = credential.authorise(request, "ya29")

    assert authorised.headers == {"a": "b", "authorization": "Bearer ya29"}
    assert (request.headers, authorised.body) == ({"a": "b"}, b"c")


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b"null", b'"\\ud800"', b"\xff"])
def test_what_is_no_json_object_is_an_empty_one(body: bytes) -> None:
    assert auth.json_object(body) == {}

"""Web Push against the vectors of RFC 8291 and RFC 8292, http-ece, py-vapid and PyJWT."""

import base64
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import http_ece
import jwt as pyjwt
import orjson
import py_vapid
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.providers import ecdsa, web_encryption, webpush
from gateway.sandbox import es256, webpush_rules

Make = Callable[..., webpush.Provider]
Message = Callable[..., wire.Message]

#: RFC 8291 §5 and appendix A.
PLAINTEXT = b"When I grow up, I want to be a watermelon"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
UA_PRIVATE = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
UA_PUBLIC = (
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
)
AS_PRIVATE = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
AS_PUBLIC = (
    "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8"
)
SALT = "DGv6ra1nlYgDCS1FRnbzlw"
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS"
    "6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qu"
    "lcy4a-fN"
)
#: RFC 8292 §2.4.
VAPID = (
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOj"
    "E0NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMl"
    "MuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA"
)
VAPID_KEY = (
    "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs"
)

RECIPIENT = web_encryption.Recipient(
    public=ecdsa.from_base64url(UA_PUBLIC), secret=ecdsa.from_base64url(AUTH)
)
ENDPOINT = "https://updates.push.services.mozilla.com/wpush/v2/gAAAAA"


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> webpush.Provider:
    return make("webpush")


@pytest.fixture(name="message")
def fixture_message(message: Message) -> Message:
    """To the browser of RFC 8291."""
    address = json.loads((Path(__file__).parent / "webpush" / "address.json").read_text())
    return lambda **changes: message(**{"to": wire.Address(**address), **changes})


def token(endpoint: str = ENDPOINT, p256dh: object = UA_PUBLIC, auth: object = AUTH) -> str:
    return json.dumps({"endpoint": endpoint, "keys": {"p256dh": p256dh, "auth": auth}})


def built(provider: webpush.Provider, message: wire.Message) -> wire.HttpRequest:
    [(carried, request)] = provider.build_requests([message])
    assert carried == (message,)
    return request


def shown(request: wire.HttpRequest) -> Any:
    """What the browser gets, by another library."""
    key = ecdsa.private_key(UA_PRIVATE)
    secret = ecdsa.from_base64url(AUTH)
    return orjson.loads(
        http_ece.decrypt(request.body, private_key=key, auth_secret=secret, version="aes128gcm")
    )


def read(
    provider: webpush.Provider, message: wire.Message, status: int, **headers: str
) -> wire.AttemptResult:
    response = wire.HttpResponse(status=status, headers=headers, body=b'{"errno": 102}')
    [result] = provider.read_response([message], response)
    return result


def test_body_is_that_of_the_rfc_byte_for_byte() -> None:
    body = web_encryption.encrypt(
        PLAINTEXT,
        RECIPIENT,
        key=ecdsa.private_key(AS_PRIVATE),
        salt=ecdsa.from_base64url(SALT),
    )

    assert body == ecdsa.from_base64url(BODY)
    assert len(body) == 144


def test_key_of_the_rfc_has_the_public_half_of_the_rfc() -> None:
    public = ecdsa.private_key(AS_PRIVATE).public_key()

    assert web_encryption.point(public) == ecdsa.from_base64url(AS_PUBLIC)


@pytest.mark.parametrize("size", [0, 1, 100, web_encryption.MAX_PLAINTEXT])
def test_another_library_reads_what_we_seal(size: int) -> None:
    body = web_encryption.encrypt(bytes(size), RECIPIENT)

    opened = http_ece.decrypt(
        body,
        private_key=ecdsa.private_key(UA_PRIVATE),
        auth_secret=RECIPIENT.secret,
        version="aes128gcm",
    )

    assert opened == bytes(size)
    assert len(body) == 103 + size <= 4096


def test_longer_text_than_every_service_takes_is_refused() -> None:
    assert web_encryption.MAX_PLAINTEXT == 3993
    with pytest.raises(ValueError, match="too long"):
        web_encryption.encrypt(bytes(3994), RECIPIENT)


def test_each_body_has_a_key_and_a_salt_of_its_own() -> None:
    bodies = [web_encryption.encrypt(b"x", RECIPIENT) for _ in range(5)]

    assert len({body[:16] for body in bodies}) == 5
    assert len({body[21:86] for body in bodies}) == 5


def test_simulator_reads_the_vectors_of_the_rfcs() -> None:
    browser = webpush_rules.Subscription(
        id="x", key=ecdsa.private_key(UA_PRIVATE), secret=RECIPIENT.secret
    )
    public = ec.EllipticCurvePublicKey.from_encoded_point(
        ec.SECP256R1(), ecdsa.from_base64url(VAPID_KEY)
    )

    assert webpush_rules.decrypt(ecdsa.from_base64url(BODY), browser) == PLAINTEXT
    assert es256.is_signed(VAPID, public)
    assert not es256.is_signed(VAPID[:-8] + "AAAAAAAA", public)


def test_request_is_what_the_rfcs_ask_for(provider: webpush.Provider, message: Message) -> None:
    extra = {
        "image": "https://example.com/i.png",
        "link": "https://example.com/o/42",
        "data": {"order": 42},
        "badge": 3,
    }
    content = wire.Content(text="Your code is 4711", subject="Code", extra=extra)

    request = built(provider, message(content=content, priority=1))

    headers = dict(request.headers)
    assert (request.method, request.url) == ("POST", ENDPOINT)
    assert headers.pop("authorization").startswith("vapid t=")
    assert len(headers.pop("topic")) == 32
    assert headers == {
        "content-encoding": "aes128gcm",
        "content-type": "application/octet-stream",
        "ttl": "300",
        "urgency": "high",
    }
    assert shown(request) == {
        "id": message().id,
        "title": "Code",
        "text": "Your code is 4711",
        "image": "https://example.com/i.png",
        "link": "https://example.com/o/42",
        "badge": 3,
        "data": {"order": 42},
    }


def test_signature_is_what_other_libraries_verify(
    provider: webpush.Provider, message: Message, now: datetime
) -> None:
    header = built(provider, message()).headers["authorization"]

    signed, _, key = header.removeprefix("vapid t=").partition(",k=")
    claims = pyjwt.decode(signed, options={"verify_signature": False})
    assert py_vapid.Vapid02.verify(header)
    assert key == AS_PUBLIC
    assert pyjwt.get_unverified_header(signed) == {"typ": "JWT", "alg": "ES256"}
    assert claims["aud"] == "https://updates.push.services.mozilla.com"
    assert claims["sub"] == "mailto:push@example.com"
    assert 6 * 3600 <= claims["exp"] - now.timestamp() <= 12 * 3600


@pytest.mark.parametrize(
    ("endpoint", "audience"),
    [
        ("https://Push.Example.net:443/a?b=%2F", "https://push.example.net"),
        ("https://push.example.net:8443/", "https://push.example.net:8443"),
        ("https://[2001:db8::1]/x", "https://[2001:db8::1]"),
    ],
)
def test_audience_is_the_origin_of_the_endpoint(
    provider: webpush.Provider, message: Message, endpoint: str, audience: str
) -> None:
    request = built(provider, message(to=wire.Address(token=token(endpoint))))

    signed = request.headers["authorization"].split("t=")[1].partition(",")[0]
    assert request.url == endpoint
    assert pyjwt.decode(signed, options={"verify_signature": False})["aud"] == audience


def test_signature_is_kept_for_hours_and_good_whenever_it_is_used(
    make: Make, message: Message, clock_at: Callable[[int], Clock]
) -> None:
    begin = 1_772_366_400
    seen = set()

    for at in range(begin, begin + 86_400, 600):
        header = built(make("webpush", clock=clock_at(at)), message()).headers["authorization"]
        signed = header.split("t=")[1].partition(",")[0]
        claims = pyjwt.decode(signed, options={"verify_signature": False})
        assert at < claims["exp"] <= at + 86_400
        seen.add(header)

    assert len(seen) == 4


@pytest.mark.parametrize(
    ("priority", "urgency"), [(0, "high"), (1, "high"), (2, "normal"), (3, "low")]
)
def test_urgency(provider: webpush.Provider, message: Message, priority: int, urgency: str) -> None:
    assert built(provider, message(priority=priority)).headers["urgency"] == urgency


@pytest.mark.parametrize(("lasts", "ttl"), [(-9, "0"), (90.9, "90"), (90 * 86400, "2592000")])
def test_time_to_live_ends_with_the_message(
    provider: webpush.Provider, message: Message, now: datetime, lasts: float, ttl: str
) -> None:
    request = built(provider, message(expires_at=now + timedelta(seconds=lasts)))

    assert request.headers["ttl"] == ttl


def test_topic_replaces_the_same_message_and_what_shares_its_collapse_key(
    provider: webpush.Provider, message: Message
) -> None:
    def topic(id: str, **extra: str) -> str:
        content = wire.Content(text="x", extra=extra)
        return built(provider, message(id=id, content=content)).headers["topic"]

    assert topic("1") == topic("1")
    assert topic("1") != topic("2")
    assert topic("1", collapse_key="é orders") == topic("2", collapse_key="é orders")
    assert set(topic("1")) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    )


@pytest.mark.parametrize(
    "bad",
    [
        "device-token",
        "[]",
        "{}",
        '{"endpoint": "https://x.example/"}',
        token("ftp://x.example/"),
        token("http://x.example/"),
        token("http://8.8.8.8/"),
        token("https://user:pass@x.example/"),
        token("https:///x"),
        token("/relative"),
        token("https://x.example/a b"),
        token("https://x.example/\r\nx: y"),
        token("https://x.example/" + "a" * 3000),
        token(p256dh=AUTH),
        token(p256dh=UA_PUBLIC[:-4] + "AAAA"),
        token(p256dh="!" * 87),
        token(p256dh=None),
        token(auth=AUTH[:-4]),
        token(auth=7),
        token(auth="é"),
    ],
)
def test_what_is_no_subscription_cannot_be_sent_to_and_is_not_repeated(
    provider: webpush.Provider, message: Message, bad: str
) -> None:
    with pytest.raises(ValueError, match=r"^to.token: not a web push subscription$"):
        built(provider, message(to=wire.Address(token=bad)))


@pytest.mark.parametrize("host", ["127.0.0.1:80", "localhost", "[::1]", "10.0.0.7"])
def test_services_of_our_own_networks_may_do_without_tls(
    provider: webpush.Provider, host: str
) -> None:
    assert provider.misfit(wire.Address(token=token(f"http://{host}/x"))) == ""


def test_content_that_is_too_long_cannot_be_built(
    provider: webpush.Provider, message: Message
) -> None:
    with pytest.raises(ValueError, match="more than 3993 bytes"):
        built(provider, message(content=wire.Content(text="x" * 4000)))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, wire.Accepted()),
        (201, wire.Accepted()),
        (202, wire.Accepted()),
        (204, wire.Unknown(code="http_204", detail="not an answer of a push service")),
        (307, wire.Deferred(code="http_307", detail="endpoint moved", cause=wire.Cause.RECIPIENT)),
        (400, wire.Rejected(code="http_400")),
        (
            401,
            wire.Deferred(code="http_401", detail="VAPID key refused", cause=wire.Cause.RECIPIENT),
        ),
        (
            403,
            wire.Deferred(code="http_403", detail="VAPID key refused", cause=wire.Cause.RECIPIENT),
        ),
        (
            404,
            wire.Rejected(
                code="http_404",
                detail="subscription gone",
                scope=wire.Scope.RECIPIENT,
                suppress=True,
            ),
        ),
        (
            410,
            wire.Rejected(
                code="http_410",
                detail="subscription gone",
                scope=wire.Scope.RECIPIENT,
                suppress=True,
            ),
        ),
        (413, wire.Rejected(code="http_413")),
        (429, wire.Deferred(code="http_429", cause=wire.Cause.THROTTLED)),
        (500, wire.Deferred(code="http_500")),
        (502, wire.Deferred(code="http_502")),
        (503, wire.Deferred(code="http_503")),
        (504, wire.Deferred(code="http_504")),
    ],
)
def test_statuses_are_what_the_table_says(
    provider: webpush.Provider, message: Message, status: int, expected: wire.AttemptResult
) -> None:
    assert read(provider, message(), status) == expected


def test_retry_after_is_honoured(provider: webpush.Provider, message: Message) -> None:
    result = read(provider, message(), 429, **{"retry-after": "9"})

    assert result == wire.Deferred(code="http_429", cause=wire.Cause.THROTTLED, retry_after=9.0)


@pytest.mark.parametrize(
    ("host", "believed"),
    [
        ("updates.push.services.mozilla.com", True),
        ("db5p.notify.windows.com", True),
        ("evil.example", False),
        ("a.b.notify.windows.com", False),
        ("fcm.googleapis.com.evil.example", False),
    ],
)
def test_only_services_we_know_can_pause_the_account(
    provider: webpush.Provider, message: Message, host: str, believed: bool
) -> None:
    one = message(to=wire.Address(token=token(f"https://{host}/x")))

    causes = [
        result.cause
        for status in (429, 503)
        if isinstance(result := read(provider, one, status), wire.Deferred)
    ]

    known = [wire.Cause.THROTTLED, wire.Cause.TEMPORARY]
    assert causes == (known if believed else [wire.Cause.RECIPIENT] * 2)


def test_requests_go_only_where_the_guard_lets_them(provider: webpush.Provider) -> None:
    assert provider.guarded


def test_key_may_be_pem(make: Make, message: Message) -> None:
    number = base64.urlsafe_b64encode(ecdsa.from_base64url(AS_PRIVATE)).decode()
    pem = py_vapid.Vapid02.from_string(AS_PRIVATE).private_pem().decode()

    headers = {
        built(make("webpush", private_key=key), message()).headers["authorization"]
        for key in (AS_PRIVATE, number, pem)
    }

    assert len(headers) == 1


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"private_key": "secret"}, "private_key: not a P-256 key"),
        ({"private_key": AS_PUBLIC}, "private_key: not a P-256 key"),
        ({"subject": "push@example.com"}, "subject: neither mailto: nor https://"),
    ],
)
def test_settings_that_cannot_work_are_named(
    make: Make, changes: dict[str, str], fault: str
) -> None:
    with pytest.raises(errors.SettingsError) as caught:
        make("webpush", changes)

    [found] = caught.value.faults
    assert found.startswith(f"providers.main.{fault}")
    assert "secret" not in found

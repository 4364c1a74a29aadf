"""Vonage's Messages API against recorded bytes, published vectors and its own SDK."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt as pyjwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from vonage_jwt import verify_signature
from vonage_messages.models import RcsText, Sms

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import vonage
from tests.providers.answers import result

Make = Callable[..., vonage.Provider]
Message = Callable[..., wire.Message]
Faults = Callable[..., Sequence[str]]
Request = Callable[[str], wire.HttpRequest]
Answer = Callable[[str], wire.HttpResponse]
At = Callable[[int], Clock]

SECRET = "ZYtdTtGV3BCFN7tWmOWr1md66XsquMggr4W2cTtXtcPgfnI0Xw"
APPLICATION = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"
BASIC = {"application_id": "", "private_key": "", "api_secret": "s3cret", "signature_secret": ""}


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> vonage.Provider:
    return make("vonage")


def payload(provider: vonage.Provider, message: wire.Message) -> dict[str, Any]:
    [(_, request)] = provider.build_requests([message])
    body: dict[str, Any] = orjson.loads(request.body)
    return body


def token(provider: vonage.Provider, message: wire.Message) -> str:
    [(_, request)] = provider.build_requests([message])
    scheme, _, value = request.headers["authorization"].partition(" ")
    assert scheme == "Bearer"
    return value


def webhook(
    body: bytes, now: datetime, *, secret: str = SECRET, algorithm: str = "HS256", **claims: Any
) -> wire.HttpRequest:
    """As Vonage signs it; a claim of None is left out."""
    given = {
        "iat": int(now.timestamp()),
        "jti": "c5ba8f24-1a14-4c10-bfdf-3fbe8ce511b5",
        "iss": "Vonage",
        "payload_hash": hashlib.sha256(body).hexdigest(),
        "api_key": "a1b2c3d",
        "application_id": APPLICATION,
        **claims,
    }
    kept = {name: value for name, value in given.items() if value is not None}
    signed = pyjwt.encode(kept, secret, algorithm=algorithm)
    return wire.HttpRequest(
        method="POST",
        url="https://gw.example.com/receipts/vonage",
        headers={"authorization": f"Bearer {signed}", "content-type": "application/json"},
        body=body,
    )


def problem(code: str) -> bytes:
    return orjson.dumps({"type": f"https://developer.vonage.com/api-errors/messages#{code}"})


def test_request_is_as_recorded(
    provider: vonage.Provider, message: Message, recorded_request: Request
) -> None:
    one = message(callback_url="https://gw.example.com/receipts/vonage")

    [(carried, request)] = provider.build_requests([one])

    headers = {name: value for name, value in request.headers.items() if name != "authorization"}
    assert carried == (one,)
    assert replace(request, headers=headers) == recorded_request("vonage/send")


def test_request_is_as_the_sdk_makes_it(provider: vonage.Provider, message: Message) -> None:
    body = payload(provider, message(callback_url="https://gw.example.com/r"))

    theirs = Sms(
        to=body["to"],
        from_=body["from"],
        text=body["text"],
        ttl=body["ttl"],
        client_ref=body["client_ref"],
        webhook_url=body["webhook_url"],
        webhook_version=body["webhook_version"],
        sms=body["sms"],
    )
    assert theirs.model_dump(by_alias=True, exclude_none=True, mode="json") == body


def test_rcs_has_no_options_of_sms(make: Make, message: Message) -> None:
    provider = make("vonage", channel="rcs")

    body = payload(provider, message(channel=wire.Channel.RCS))

    theirs = RcsText(
        to=body["to"],
        from_=body["from"],
        text=body["text"],
        ttl=body["ttl"],
        client_ref=body["client_ref"],
    )
    assert theirs.model_dump(by_alias=True, exclude_none=True, mode="json") == body
    assert provider.channel is wire.Channel.RCS
    assert wire.ReceiptEvent.READ in provider.reports


@pytest.mark.parametrize(
    ("channel", "lasts", "ttl"),
    [
        ("sms", -5, 20),
        ("sms", 59.9, 59),
        ("sms", 1e6, 604_800),
        ("rcs", 60, 300),
        ("rcs", 1e6, 259_200),
    ],
)
def test_time_to_live_ends_with_the_message(
    make: Make, message: Message, now: datetime, channel: str, lasts: float, ttl: int
) -> None:
    one = message(expires_at=now + timedelta(seconds=lasts))

    assert payload(make("vonage", channel=channel), one)["ttl"] == ttl


def test_options_of_sms(make: Make, message: Message) -> None:
    provider = make("vonage", encoding_type="unicode", entity_id="110000")
    content = wire.Content(text="x", provider_templates={"vonage": {"template": "1107"}})

    assert payload(provider, message(content=content))["sms"] == {
        "encoding_type": "unicode",
        "entity_id": "110000",
        "content_id": "1107",
    }


def test_token_is_the_applications_and_lasts_a_quarter_of_an_hour(
    provider: vonage.Provider, message: Message, rsa_key: rsa.RSAPrivateKey, now: datetime
) -> None:
    claims = pyjwt.decode(
        token(provider, message()),
        rsa_key.public_key(),
        algorithms=["RS256"],
        options={"verify_exp": False, "verify_iat": False},
    )

    assert claims.keys() == {"application_id", "iat", "exp", "jti"}
    assert claims["application_id"] == APPLICATION
    assert claims["exp"] == claims["iat"] + 900
    assert 0 <= now.timestamp() - claims["iat"] < 600
    assert claims["jti"][14] == "4"  # UUID version 4


def test_token_is_made_anew_well_before_it_ends(
    make: Make, message: Message, clock_at: At, rsa_key: rsa.RSAPrivateKey
) -> None:
    at = [1_772_366_400 + after for after in (0, 599, 600)]

    first, last, next_ = (token(make("vonage", clock=clock_at(one)), message()) for one in at)

    assert first == last
    assert next_ != first


def test_account_without_application_uses_its_key_and_asks_for_no_report(
    make: Make, message: Message
) -> None:
    provider = make("vonage", BASIC)

    [(_, request)] = provider.build_requests([message(callback_url="https://gw.example.com/r")])

    assert request.headers["authorization"] == "Basic YTFiMmMzZDpzM2NyZXQ="
    assert "webhook_url" not in orjson.loads(request.body)
    assert provider.reports == frozenset()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"from": ""}, "from: is empty"),
        ({"private_key": ""}, "private_key: missing"),
        ({"application_id": ""}, "application_id: missing"),
        ({**BASIC, "api_secret": ""}, "application_id: missing, unless"),
        ({**BASIC, "signature_secret": "s"}, "signature_secret: webhooks need"),
        ({"private_key": "no key"}, "private_key: is not an RSA key"),
        ({"channel": "pigeon"}, "channel: not one of"),
    ],
)
def test_settings_that_cannot_work_name_the_key(
    faults_of: Faults, changes: dict[str, str], fault: str
) -> None:
    assert any(one.startswith(fault) for one in faults_of("vonage", changes))


def test_accepted_message_has_its_id(
    provider: vonage.Provider, message: Message, recorded_answer: Answer
) -> None:
    results = provider.read_response([message()], recorded_answer("vonage/answer_accepted"))

    assert results == [wire.Accepted(provider_id="aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab")]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"message_uuid": 7}', b"{" * 99])
def test_success_without_id_is_unknown(
    provider: vonage.Provider, message: Message, body: bytes
) -> None:
    assert isinstance(result(provider, message(), 202, body), wire.Unknown)


def test_throttled_answer(
    provider: vonage.Provider, message: Message, recorded_answer: Answer
) -> None:
    answer = replace(recorded_answer("vonage/answer_throttled"), headers={"retry-after": "3"})

    assert provider.read_response([message()], answer) == [
        wire.Deferred(code="rate-limit", cause=wire.Cause.THROTTLED, retry_after=3.0)
    ]


def test_invalid_recipient_is_not_repeated_in_the_detail(
    provider: vonage.Provider, message: Message, recorded_answer: Answer
) -> None:
    assert provider.read_response([message()], recorded_answer("vonage/answer_invalid")) == [
        wire.Rejected(code="1430", detail="to", scope=wire.Scope.RECIPIENT)
    ]


@pytest.mark.parametrize(
    ("parameters", "scope", "detail"),
    [
        ([{"name": "from", "reason": "x"}], wire.Scope.PROVIDER, "from"),
        ([{"name": "text"}], wire.Scope.MESSAGE, "text"),
        ([{"name": "to"}, {"name": "text"}], wire.Scope.MESSAGE, "to, text"),
        ([{"name": "+447700900000"}, 7, {"name": None}], wire.Scope.MESSAGE, ""),
        ("to", wire.Scope.MESSAGE, ""),
        (None, wire.Scope.MESSAGE, ""),
    ],
)
def test_parameter_at_fault_says_whose_it_is(
    provider: vonage.Provider, message: Message, parameters: object, scope: wire.Scope, detail: str
) -> None:
    body = orjson.dumps({"title": "Invalid params", "invalid_parameters": parameters})

    assert result(provider, message(), 422, body) == wire.Rejected(
        code="http_422", detail=detail, scope=scope
    )


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, wire.Deferred(code="http_401", cause=wire.Cause.CREDENTIAL)),
        (402, wire.Deferred(code="http_402", cause=wire.Cause.CREDENTIAL)),
        (403, wire.Deferred(code="http_403", cause=wire.Cause.CREDENTIAL)),
        (429, wire.Deferred(code="http_429", cause=wire.Cause.THROTTLED)),
        (500, wire.Deferred(code="http_500", cause=wire.Cause.TEMPORARY)),
        (422, wire.Rejected(code="http_422")),
        (418, wire.Rejected(code="http_418")),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b'{"title": ["1240"]}'])
def test_status_decides_where_the_body_says_nothing(
    provider: vonage.Provider,
    message: Message,
    status: int,
    expected: wire.AttemptResult,
    body: bytes,
) -> None:
    assert result(provider, message(), status, body) == expected


@pytest.mark.parametrize("status", [401, 402, 403])
def test_account_is_to_blame_whatever_the_code_says(
    provider: vonage.Provider, message: Message, status: int
) -> None:
    one = result(provider, message(), status, problem("1240"))

    assert isinstance(one, wire.Deferred)
    assert (one.code, one.cause) == ("1240", wire.Cause.CREDENTIAL)


CAUSES = {
    wire.Cause.THROTTLED: "1000 1241",
    wire.Cause.CREDENTIAL: "1060 1070 1080",
    wire.Cause.TEMPORARY: "1030 1100 1230 1260 1330 1331",
    wire.Cause.RECIPIENT: "1180 1220",
}


@pytest.mark.parametrize(
    ("code", "cause"), [(code, cause) for cause in CAUSES for code in CAUSES[cause].split()]
)
def test_deferring_codes(
    provider: vonage.Provider, message: Message, code: str, cause: wire.Cause
) -> None:
    one = result(provider, message(), 422, problem(code))

    assert isinstance(one, wire.Deferred)
    assert (one.code, one.cause) == (code, cause)


REFUSALS = {
    (wire.Scope.RECIPIENT, True): "1240 1170 1190",
    (wire.Scope.RECIPIENT, False): "1050 1200 1270 1280 1290 1300 1310",
    (wire.Scope.MESSAGE, False): "1010 1020 1022 1040 1090 1130 1210 1320 1340 1360",
    (wire.Scope.PROVIDER, False): "1120 1140 1160 1250",
}


@pytest.mark.parametrize(
    ("code", "scope", "suppress"),
    [(code, *kind) for kind, codes in REFUSALS.items() for code in codes.split()],
)
def test_refusing_codes(
    provider: vonage.Provider, message: Message, code: str, scope: wire.Scope, suppress: bool
) -> None:
    one = result(provider, message(), 422, problem(code))

    assert isinstance(one, wire.Rejected)
    assert (one.code, one.scope, one.suppress) == (code, scope, suppress)


def test_recorded_receipt(
    provider: vonage.Provider, recorded_request: Request, now: datetime
) -> None:
    recorded = recorded_request("vonage/receipt_undeliverable")
    request = webhook(recorded.body, now)

    assert provider.verify_receipt(request)
    assert provider.read_inbound(request) == []
    assert provider.read_receipts(request) == [
        wire.DeliveryReceipt(
            event=wire.ReceiptEvent.FAILED,
            provider_id="aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab",
            reference="0195500a-5c00-7000-8000-000000000001-0-0-0",
            code="1180",
            detail="handset off or busy",
            at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        )
    ]


@pytest.mark.parametrize(
    ("status", "title", "event", "suppress"),
    [
        ("submitted", None, wire.ReceiptEvent.SENT, False),
        ("delivered", None, wire.ReceiptEvent.DELIVERED, False),
        ("read", None, wire.ReceiptEvent.READ, False),
        ("rejected", None, wire.ReceiptEvent.FAILED, False),
        ("rejected", 1360, wire.ReceiptEvent.EXPIRED, False),
        ("rejected", "1240", wire.ReceiptEvent.OPTED_OUT, True),
        ("undeliverable", 1240, wire.ReceiptEvent.OPTED_OUT, True),
        ("undeliverable", "1190", wire.ReceiptEvent.FAILED, True),
        ("undeliverable", "1260", wire.ReceiptEvent.FAILED, False),
        ("undeliverable", ["x"], wire.ReceiptEvent.FAILED, False),
        ("submitted", "1220", wire.ReceiptEvent.SENT, False),
        ("teleported", "1240", wire.ReceiptEvent.UNKNOWN, True),
    ],
)
def test_statuses(
    provider: vonage.Provider,
    now: datetime,
    status: str,
    title: object,
    event: wire.ReceiptEvent,
    suppress: bool,
) -> None:
    body = {"message_uuid": "u", "status": status, "error": {"title": title}}

    [receipt] = provider.read_receipts(webhook(orjson.dumps(body), now))

    assert (receipt.event, receipt.suppress) == (event, suppress)
    assert receipt.code == (str(title) if isinstance(title, int | str) else status)


def test_what_a_recipient_writes_is_no_receipt(
    provider: vonage.Provider, recorded_request: Request, now: datetime
) -> None:
    request = webhook(recorded_request("vonage/receipt_inbound").body, now)

    assert provider.verify_receipt(request)
    assert provider.read_receipts(request) == []
    assert provider.read_inbound(request) == [
        wire.InboundMessage(
            sender="+447700900000",
            to="447700900001",
            text="STOP",
            provider_id="bbbbbbbb-cccc-4ddd-8eee-0123456789ab",
            at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        )
    ]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"message_uuid": 7}', b'{"message_uuid": "u", "status": 7}']
)
def test_webhook_without_id_or_status_is_unreadable(
    provider: vonage.Provider, now: datetime, body: bytes
) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_receipts(webhook(body, now))


def test_what_the_sdk_believes_is_believed_with_its_body_and_in_time_only(
    provider: vonage.Provider, make: Make, clock_at: At, now: datetime
) -> None:
    request = webhook(b"{}", now)
    a_day_later = clock_at(int(now.timestamp()) + 86_400)

    assert verify_signature(request.headers["authorization"].split()[1], SECRET)
    assert provider.verify_receipt(request)
    assert not provider.verify_receipt(replace(request, body=b"{} "))
    assert not make("vonage", clock=a_day_later).verify_receipt(request)


@pytest.mark.parametrize("late", [-300, 0, 300])
def test_webhook_is_believed_for_five_minutes(
    make: Make, now: datetime, clock_at: At, late: int
) -> None:
    request = webhook(b"{}", now)
    moment = int(now.timestamp()) + late

    assert make("vonage", clock=clock_at(moment)).verify_receipt(request)
    beyond = moment + (1 if late >= 0 else -1) * (301 - abs(late))
    assert not make("vonage", clock=clock_at(beyond)).verify_receipt(request)


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": "another" * 8},
        {"algorithm": "HS384"},
        {"iat": None},
        {"iat": "1772366400"},
        {"iat": True},
        {"iat": 1e300},
        {"payload_hash": None},
        {"payload_hash": ""},
        {"payload_hash": 7},
        {"payload_hash": "0" * 64},
        {"application_id": "another"},
        {"api_key": "another"},
    ],
)
def test_forged_webhooks_are_refused(
    provider: vonage.Provider, now: datetime, changes: dict[str, Any]
) -> None:
    assert provider.verify_receipt(webhook(b"{}", now))
    if isinstance(changes.get("iat"), str | bool | float):
        assert not provider.verify_receipt(signed_freely(b"{}", now, changes))
    else:
        assert not provider.verify_receipt(webhook(b"{}", now, **changes))


def signed_freely(body: bytes, now: datetime, claims: dict[str, Any]) -> wire.HttpRequest:
    """With claims that PyJWT would not sign."""
    good = webhook(body, now)
    given = pyjwt.decode(
        good.headers["authorization"].split()[1], options={"verify_signature": False}
    )
    signed = pyjwt.PyJWS().encode(orjson.dumps({**given, **claims}), SECRET, algorithm="HS256")
    return replace(good, headers={"authorization": f"Bearer {signed}"})


def test_webhook_without_token_is_refused(provider: vonage.Provider, now: datetime) -> None:
    good = webhook(b"{}", now)
    value = good.headers["authorization"]

    for wrong in ("", "Bearer ", f"Basic {value[7:]}", value[7:], value + "x", "\udcff"):
        assert not provider.verify_receipt(replace(good, headers={"authorization": wrong}))
    assert not provider.verify_receipt(replace(good, headers={}))


def test_account_without_signature_secret_believes_nobody(make: Make, now: datetime) -> None:
    provider = make("vonage", signature_secret="")

    assert not provider.verify_receipt(webhook(b"{}", now))
    assert provider.reports == frozenset()


def test_webhooks_are_answered(provider: vonage.Provider, now: datetime) -> None:
    assert provider.answer_receipt(webhook(b"{}", now)) == wire.HttpResponse(status=200)


def test_secrets_do_not_print(make: Make, options_of: Callable[[str], dict[str, Any]]) -> None:
    options = {**options_of("vonage"), "from_": "Acme", "api_secret": "s3cret"}
    del options["from"]

    shown = repr(vonage.Settings(**options))

    for secret in ("s3cret", SECRET, "PRIVATE KEY", "a1b2c3d"):
        assert secret not in shown

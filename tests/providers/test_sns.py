"""What SNS posts: which certificate is fetched, what is believed, what is confirmed."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway.clock import Clock
from gateway.providers import sns
from tests.providers.sns_notes import (
    CERTIFICATE_URL,
    SUBSCRIBE_URL,
    TOPIC,
    certificate,
    confirmation,
    note,
    post,
    sign,
)


@pytest.fixture(name="inbox")
def fixture_inbox(clock: Clock) -> sns.Inbox:
    return sns.Inbox([TOPIC], origin="", clock=clock)


@pytest.fixture(name="pem", scope="module")
def fixture_pem(rsa_key: rsa.RSAPrivateKey, now: datetime) -> bytes:
    return certificate(rsa_key, now)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", ["Amazon SES Email Event Notification", None])
def test_signed_notification_is_believed(
    inbox: sns.Inbox,
    rsa_key: rsa.RSAPrivateKey,
    pem: bytes,
    now: datetime,
    version: str,
    subject: str | None,
) -> None:
    fields = sign(note(now, SignatureVersion=version, Subject=subject), rsa_key)

    asked = inbox.certificate_request(post(fields))

    assert asked is not None
    assert (asked.method, asked.url, asked.body) == ("GET", CERTIFICATE_URL, b"")
    assert inbox.is_signed(post(fields), pem)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("kind", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_signed_confirmation_is_believed(
    inbox: sns.Inbox,
    rsa_key: rsa.RSAPrivateKey,
    pem: bytes,
    now: datetime,
    version: str,
    kind: str,
) -> None:
    fields = sign(confirmation(now, Type=kind, SignatureVersion=version), rsa_key)

    assert inbox.is_signed(post(fields), pem)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Message", "Hello\nWorld"),
        ("MessageId", "another"),
        ("Subject", "another"),
        ("Subject", None),
        ("Timestamp", "2026-03-01T11:59:59.000Z"),
        ("Signature", ""),
        ("Signature", "AAAA"),
        ("Signature", "not base64!"),
        ("Signature", None),
        ("SignatureVersion", "2"),
    ],
)
def test_what_was_changed_is_not_believed(
    inbox: sns.Inbox,
    rsa_key: rsa.RSAPrivateKey,
    pem: bytes,
    now: datetime,
    name: str,
    value: str | None,
) -> None:
    fields = {**sign(note(now), rsa_key), name: value}
    changed = {key: one for key, one in fields.items() if one is not None}

    assert inbox.certificate_request(post(changed)) is not None
    assert not inbox.is_signed(post(changed), pem)


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.us-west-2.amazonaws.com/a.pem",
        "https://sns.us-west-2.amazonaws.com:8443/a.pem",
        "https://sns.us-west-2.amazonaws.com:4430/a.pem",
        "https://sns.us-west-2.amazonaws.com.example.com/a.pem",
        "https://sns.us-west-2.amazonaws.com@example.com/a.pem",
        "https://li@sns.us-west-2.amazonaws.com/a.pem",
        "https://example.com/sns.us-west-2.amazonaws.com/a.pem",
        "https://sns.us-west-2.amazonaws.com/a.pem?x=1",
        "https://sns.us-west-2.amazonaws.com/a.pem#x",
        "https://sns.us-west-2.amazonaws.com/?x=a.pem",
        "https://sns.us-west-2.amazonaws.com/../a.pem",
        "https://sns.us-west-2.amazonaws.com//example.com/a.pem",
        "https://sns.us-west-2.amazonaws.com/a.pem\n",
        "https://sns.us-west-2.amazonaws.com\\@example.com/a.pem",
        "https://sns.us.west.amazonaws.com/a.pem",
        "https://sns.amazonaws.com/a.pem",
        "https://sns.us-east-1.amazonaws.com/a.pem",
        "https://sns.s3-us-west-2.amazonaws.com/a.pem",
        "https://sns.us-west-2.amazonaws.com.cn/a.pem",
        "https://sqs.us-west-2.amazonaws.com/a.pem",
        "https://sns.us-west-2.amazonaws.com/a.crt",
        "https://sns.us-west-2.amazonaws.com.cn.example.com/a.pem",
        "https://127.0.0.1/a.pem",
        "file:///etc/a.pem",
        "",
        None,
    ],
)
def test_certificates_of_others_are_not_fetched(
    inbox: sns.Inbox, now: datetime, url: str | None
) -> None:
    assert inbox.certificate_request(post(note(now, SigningCertURL=url))) is None


@pytest.mark.parametrize(
    ("topic", "url"),
    [
        (TOPIC, "https://sns.us-west-2.amazonaws.com:443/SimpleNotificationService-0a.pem"),
        (
            "arn:aws-cn:sns:cn-north-1:123456789012:ses",
            "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-0a.pem",
        ),
        (
            "arn:aws-us-gov:sns:us-gov-west-1:123456789012:ses",
            "https://sns.us-gov-west-1.amazonaws.com/SimpleNotificationService-0a.pem",
        ),
    ],
)
def test_sns_in_the_region_of_the_topic_has_the_certificate(
    clock: Clock, now: datetime, topic: str, url: str
) -> None:
    inbox = sns.Inbox([TOPIC, topic], origin="", clock=clock)

    asked = inbox.certificate_request(post(note(now, TopicArn=topic, SigningCertURL=url)))

    assert asked is not None
    assert asked.url == url


def test_another_origin_takes_the_place_of_amazon_s(clock: Clock, now: datetime) -> None:
    inbox = sns.Inbox([TOPIC], origin="http://127.0.0.1:8080/", clock=clock)
    urls = ["http://127.0.0.1:8080/a.pem", "http://127.0.0.1:80801/a.pem", CERTIFICATE_URL]

    asked = [inbox.certificate_request(post(note(now, SigningCertURL=url))) for url in urls]

    assert [one.url if one else None for one in asked] == [urls[0], None, None]


@pytest.mark.parametrize(
    "changes",
    [
        {"TopicArn": "arn:aws:sns:us-west-2:999999999999:ses"},
        {"Type": "Surprise"},
        {"Type": None},
        {"SignatureVersion": "3"},
        {"SignatureVersion": 1},
        {"Message": {"eventType": "Bounce"}},
        {"MessageId": None},
        {"Timestamp": "yesterday"},
        {"Timestamp": "2026-03-01T12:00:00.000"},
    ],
)
def test_what_sns_would_not_post_is_not_looked_into(
    inbox: sns.Inbox, now: datetime, changes: dict[str, Any]
) -> None:
    assert inbox.certificate_request(post(note(now, **changes))) is None


@pytest.mark.parametrize(
    ("ago", "is_fresh"),
    [
        (timedelta(minutes=-6), False),
        (timedelta(minutes=-4), True),
        (timedelta(hours=1, minutes=5), True),
        (timedelta(hours=3), False),
    ],
)
def test_old_notifications_are_not_believed(
    inbox: sns.Inbox, now: datetime, ago: timedelta, is_fresh: bool
) -> None:
    assert (inbox.read(post(note(now - ago))) is not None) is is_fresh


@pytest.mark.parametrize("name", ["x_amz_sns_message_type", "x_amz_sns_message_id"])
def test_headers_must_say_what_the_body_says(inbox: sns.Inbox, now: datetime, name: str) -> None:
    assert inbox.read(post(note(now), **{name: "another"})) is None


def test_certificate_of_another_key_proves_nothing(
    inbox: sns.Inbox, rsa_key: rsa.RSAPrivateKey, now: datetime
) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    assert not inbox.is_signed(post(sign(note(now), rsa_key)), certificate(other, now))


@pytest.mark.parametrize("days", [-1, -10])
def test_certificate_that_has_ended_proves_nothing(
    inbox: sns.Inbox, rsa_key: rsa.RSAPrivateKey, now: datetime, days: int
) -> None:
    pem = certificate(rsa_key, now, days=days)

    assert not inbox.is_signed(post(sign(note(now), rsa_key)), pem)


def test_certificate_that_has_not_begun_proves_nothing(
    inbox: sns.Inbox, rsa_key: rsa.RSAPrivateKey, now: datetime
) -> None:
    pem = certificate(rsa_key, now + timedelta(days=50))

    assert not inbox.is_signed(post(sign(note(now), rsa_key)), pem)


def test_short_keys_and_other_kinds_prove_nothing(
    inbox: sns.Inbox, now: datetime, rsa_key: rsa.RSAPrivateKey
) -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    curve = ec.generate_private_key(ec.SECP256R1())

    assert not inbox.is_signed(post(sign(note(now), short)), certificate(short, now))
    assert not inbox.is_signed(post(sign(note(now), rsa_key)), certificate(curve, now))


@pytest.mark.parametrize("pem", [b"", b"<html>", b"-----BEGIN CERTIFICATE-----", b"x" * 10**6])
def test_what_is_no_certificate_proves_nothing(
    inbox: sns.Inbox, rsa_key: rsa.RSAPrivateKey, now: datetime, pem: bytes
) -> None:
    assert not inbox.is_signed(post(sign(note(now), rsa_key)), pem)


def test_subscription_is_confirmed_where_it_says(inbox: sns.Inbox, now: datetime) -> None:
    asked = inbox.confirmation(post(confirmation(now)))

    assert asked is not None
    assert (asked.method, asked.url) == ("GET", SUBSCRIBE_URL)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/?Action=ConfirmSubscription",
        SUBSCRIBE_URL.replace("ConfirmSubscription", "DeleteTopic"),
        SUBSCRIBE_URL.replace(":ses&", ":other&"),
        SUBSCRIBE_URL + "&Action=DeleteTopic",
        SUBSCRIBE_URL.replace("/?", "/elsewhere?"),
        SUBSCRIBE_URL.replace("https:", "http:"),
        SUBSCRIBE_URL + "#",
    ],
)
def test_nothing_else_is_called(inbox: sns.Inbox, now: datetime, url: str) -> None:
    request = post(confirmation(now, SubscribeURL=url))

    assert inbox.confirmation(request) is None
    assert inbox.certificate_request(request) is None


@pytest.mark.parametrize("kind", ["Notification", "UnsubscribeConfirmation"])
def test_only_a_subscription_is_confirmed(inbox: sns.Inbox, now: datetime, kind: str) -> None:
    assert inbox.confirmation(post(confirmation(now, Type=kind))) is None


def test_arn_of_a_topic_is_known(now: datetime) -> None:
    good = [TOPIC, "arn:aws-cn:sns:cn-north-1:123456789012:a_b-c.fifo"]
    bad = ["", "ses", TOPIC + ":22b80b92", TOPIC.replace("sns", "sqs"), TOPIC + "\n"]

    assert [sns.is_topic(one) for one in good + bad] == [True] * 2 + [False] * 5

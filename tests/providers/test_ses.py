"""Amazon SES: mails as botocore's model knows them, every code, every event."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
import orjson
import pytest
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.model import errors, wire
from gateway.providers import ses
from tests.providers import sns_notes
from tests.providers.answers import result

Make = Callable[..., ses.Provider]
Message = Callable[..., wire.Message]
Answer = Callable[[str], wire.HttpResponse]
Request = Callable[[str], wire.HttpRequest]
Event = wire.ReceiptEvent

ID = "0100018c0a1b2c3d-4e5f6a7b-8c9d-4e0f-a1b2-c3d4e5f6a7b8-000000"
REFERENCE = "0195500a-5c00-7000-8000-000000000001-0-0-0"


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> ses.Provider:
    return make("ses")


def mail(provider: ses.Provider, message: wire.Message) -> dict[str, Any]:
    [(carried, request)] = provider.build_requests([message])
    assert carried == (message,)
    body: dict[str, Any] = orjson.loads(request.body)
    return body


def refused(
    provider: ses.Provider, message: wire.Message, status: int, code: str, text: str = ""
) -> wire.AttemptResult:
    headers = {"x-amzn-errortype": f"{code}:http://internal.amazon.com/coral/{code}/"}
    return result(provider, message, status, {"message": text}, headers)


def test_request_is_as_recorded(
    provider: ses.Provider, message: Message, recorded_request: Request
) -> None:
    content = wire.Content(
        text="Hi",
        html="<p>Hi</p>",
        subject="Order 17",
        extra={"list_unsubscribe": "https://u.example.com/u/abc"},
    )

    [(_, request)] = provider.build_requests([message(content=content)])

    assert request == recorded_request("ses/send")


def test_request_is_one_that_amazon_s_own_library_would_make(make: Make, message: Message) -> None:
    provider = make("ses", reply_to="Hilfe <help@example.com>")
    service = botocore.session.get_session().get_service_model("sesv2")
    operation = service.operation_model("SendEmail")
    content = wire.Content(
        text="Hi 你好",
        html="<p>Hi</p>",
        subject="Grüße",
        extra={"list_unsubscribe": ["mailto:a@b"]},
    )

    [(_, request)] = provider.build_requests([message(content=content)])

    parameters = orjson.loads(request.body)
    report = ParamValidator().validate(parameters, operation.input_shape)
    assert not report.has_errors(), report.generate_report()
    theirs = create_serializer("rest-json").serialize_to_request(parameters, operation)
    assert (theirs["method"], theirs["url_path"]) == ("POST", "/v2/email/outbound-emails")
    assert orjson.loads(theirs["body"]) == parameters


def test_mail_carries_our_reference_as_a_tag(provider: ses.Provider, message: Message) -> None:
    assert mail(provider, message())["EmailTags"] == [{"Name": "gw_id", "Value": REFERENCE}]


@pytest.mark.parametrize(
    ("text", "html", "names"),
    [
        ("a", "", ["Text"]),
        ("", "<a>", ["Html"]),
        ("a", "<a>", ["Text", "Html"]),
        ("", "", ["Text"]),
    ],
)
def test_body_has_the_texts_that_there_are(
    provider: ses.Provider, message: Message, text: str, html: str, names: list[str]
) -> None:
    content = wire.Content(text=text, html=html, subject="x")

    assert list(mail(provider, message(content=content))["Content"]["Simple"]["Body"]) == names


def test_several_ways_to_unsubscribe_are_not_one_click(
    provider: ses.Provider, message: Message
) -> None:
    uris = ["https://a.example.com/1", "https://b.example.com/2"]
    content = wire.Content(text="x", extra={"list_unsubscribe": uris})

    assert mail(provider, message(content=content))["Content"]["Simple"]["Headers"] == [
        {
            "Name": "List-Unsubscribe",
            "Value": "<https://a.example.com/1>, <https://b.example.com/2>",
        }
    ]


def test_nothing_can_break_out_of_a_header(provider: ses.Provider, message: Message) -> None:
    uri = "https://u.example.com/>\r\nBcc: li@example.com é"
    content = wire.Content(subject="a\r\nBcc: x\x1b", text="x", extra={"list_unsubscribe": uri})

    simple = mail(provider, message(content=content))["Content"]["Simple"]

    assert simple["Subject"]["Data"] == "a Bcc: x "
    assert simple["Headers"][0]["Value"] == (
        "<https://u.example.com/%3E%0D%0ABcc:%20li@example.com%20%C3%A9>"
    )


def test_names_beyond_ascii_are_encoded_words(make: Make, message: Message) -> None:
    long = "Geschäftsführung der Beispielgesellschaft mit beschränkter Haftung"
    provider = make("ses", {"from": f"{long} <no-reply@bücher.example>"})

    sender = mail(provider, message())["FromEmailAddress"]

    assert sender.isascii()
    assert "\n" not in sender
    assert sender.startswith("=?utf-8?B?")
    assert sender.endswith(" <no-reply@xn--bcher-kva.example>")


@pytest.mark.parametrize(
    ("region", "origin"),
    [
        ("eu-west-1", "https://email.eu-west-1.amazonaws.com/"),
        ("cn-north-1", "https://email.cn-north-1.amazonaws.com.cn/"),
    ],
)
def test_each_region_has_its_endpoint(
    make: Make, message: Message, region: str, origin: str
) -> None:
    [(_, request)] = make("ses", region=region).build_requests([message()])

    assert request.url.startswith(origin)


def test_temporary_credentials_send_their_token(make: Make, message: Message) -> None:
    [(_, request)] = make("ses", session_token="abc").build_requests([message()])

    assert request.headers["x-amz-security-token"] == "abc"
    assert "x-amz-security-token," in request.headers["authorization"]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"region": "Ireland"}, "region"),
        ({"region": ""}, "region"),
        ({"access_key_id": ""}, "access_key_id"),
        ({"secret_access_key": ""}, "secret_access_key"),
        ({"from": "nobody"}, "from"),
        ({"from": "Müller <müller@example.com>"}, "from"),
        ({"reply_to": "a@b, c@d"}, "reply_to"),
        ({"configuration_set": "two words"}, "configuration_set"),
        ({"topic_arns": ["ses"]}, "topic_arns"),
        ({"sns_origin": "http://127.0.0.1/path"}, "sns_origin"),
    ],
)
def test_settings_that_cannot_work_are_named(make: Make, changes: dict[str, Any], key: str) -> None:
    with pytest.raises(errors.SettingsError, match=rf"providers\.main\.{key}: "):
        make("ses", changes)


def test_account_without_topics_promises_no_receipts(make: Make) -> None:
    assert make("ses", topic_arns=[]).reports == frozenset()
    assert make("ses").reports == {Event.DELIVERED}


def test_taken_mail_is_accepted_with_its_id(
    provider: ses.Provider, message: Message, recorded_answer: Answer
) -> None:
    results = provider.read_response([message()], recorded_answer("ses/answer_accepted"))

    assert results == [wire.Accepted(provider_id=ID)]


def test_recorded_throttling_is_a_limit(
    provider: ses.Provider, message: Message, recorded_answer: Answer
) -> None:
    [one] = provider.read_response([message()], recorded_answer("ses/answer_throttled"))

    assert isinstance(one, wire.Deferred)
    assert (one.code, one.cause) == ("TooManyRequestsException", wire.Cause.THROTTLED)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"MessageId": 7}', b'{"Mess'])
def test_success_without_an_id_is_unknown(
    provider: ses.Provider, message: Message, body: bytes
) -> None:
    assert isinstance(result(provider, message(), 200, body), wire.Unknown)


@pytest.mark.parametrize(
    ("status", "code", "cause"),
    [
        (429, "TooManyRequestsException", "throttled"),
        (400, "ThrottlingException", "throttled"),
        (400, "Throttling", "throttled"),
        (400, "RequestThrottled", "throttled"),
        (400, "RequestThrottledException", "throttled"),
        (400, "LimitExceededException", "throttled"),
        (400, "AccountSuspendedException", "credential"),
        (400, "SendingPausedException", "credential"),
        (403, "AccessDeniedException", "credential"),
        (403, "SignatureDoesNotMatch", "credential"),
        (403, "InvalidSignatureException", "credential"),
        (403, "UnrecognizedClientException", "credential"),
        (403, "ExpiredTokenException", "credential"),
        (403, "RequestTimeTooSkewed", "credential"),
        (403, "SomethingNew", "credential"),
        (500, "InternalFailure", "temporary"),
        (503, "ServiceUnavailable", "temporary"),
        (502, "SomethingNew", "temporary"),
    ],
)
def test_deferring_codes(
    provider: ses.Provider, message: Message, status: int, code: str, cause: str
) -> None:
    one = refused(provider, message(), status, code)

    assert isinstance(one, wire.Deferred)
    assert (one.code, one.cause) == (code, wire.Cause(cause))


@pytest.mark.parametrize(
    ("status", "code", "text", "scope", "suppress"),
    [
        (400, "MessageRejected", "Email contained a virus.", "message", False),
        (400, "MessageRejected", "Email address is not verified. …", "provider", False),
        (400, "MailFromDomainNotVerifiedException", "", "provider", False),
        (404, "NotFoundException", "Configuration set <x> does not exist.", "provider", False),
        (400, "BadRequestException", "Invalid header.", "message", False),
        (400, "BadRequestException", "Illegal address", "recipient", True),
        (400, "BadRequestException", "Missing final '@domain'", "recipient", True),
        (400, "BadRequestException", "Domain contains dot-dot", "recipient", True),
        (400, "SomethingNew", "", "message", False),
        (413, "RequestEntityTooLarge", "", "message", False),
    ],
)
def test_permanent_codes(
    provider: ses.Provider,
    message: Message,
    status: int,
    code: str,
    text: str,
    scope: str,
    suppress: bool,
) -> None:
    one = refused(provider, message(), status, code, text)

    assert isinstance(one, wire.Rejected)
    assert (one.code, one.scope, one.suppress) == (code, wire.Scope(scope), suppress)


def test_address_beyond_ascii_may_be_good_elsewhere(
    provider: ses.Provider, message: Message
) -> None:
    one = message(to=wire.Address(email="李@example.com"))

    found = refused(provider, one, 400, "BadRequestException", "Illegal address")

    assert isinstance(found, wire.Rejected)
    assert (found.scope, found.suppress) == (wire.Scope.RECIPIENT, False)


@pytest.mark.parametrize("status", [400, 429])
def test_used_up_quota_waits_for_hours(
    provider: ses.Provider, message: Message, status: int
) -> None:
    text = "Daily message quota exceeded."

    one = refused(provider, message(), status, "TooManyRequestsException", text)

    assert isinstance(one, wire.Deferred)
    assert (one.cause, one.retry_after) == (wire.Cause.THROTTLED, 3600.0)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, {"__type": "com.amazonaws.ses.v2#MessageRejected", "Message": "x"}),
        ({}, {"code": "MessageRejected", "message": "x"}),
        ({"x-amzn-errortype": "MessageRejected"}, {}),
        ({"x-amzn-errortype": "com.amazonaws#MessageRejected:http://x/y#z"}, {"code": "Other"}),
    ],
)
def test_code_is_found_wherever_it_stands(
    provider: ses.Provider, message: Message, headers: dict[str, str], body: object
) -> None:
    one = result(provider, message(), 400, body, headers)

    assert isinstance(one, wire.Rejected)
    assert one.code == "MessageRejected"


def test_refusal_that_says_nothing_goes_by_its_status(
    provider: ses.Provider, message: Message
) -> None:
    assert result(provider, message(), 400, b"<html>" * 10**6) == wire.Rejected(code="http_400")


def test_recipient_is_not_repeated_in_the_detail(provider: ses.Provider, message: Message) -> None:
    text = "Email address is not verified: li@example.com"

    assert "li@" not in str(refused(provider, message(), 400, "MessageRejected", text))


# Receipts


def event(name: str, **changes: Any) -> dict[str, Any]:
    """A recorded event, with the part that tells something changed."""
    path = Path(__file__).parent / "ses" / f"event_{name}.json"
    found: dict[str, Any] = json.loads(path.read_text())
    if name in found:
        found[name].update(changes)
    return found


def notified(provider: ses.Provider, now: datetime, told: object) -> list[wire.DeliveryReceipt]:
    text = told if isinstance(told, str) else json.dumps(told)
    return list(provider.read_receipts(sns_notes.post(sns_notes.note(now, Message=text))))


def test_recorded_bounce_names_its_message_and_ends_the_address(
    provider: ses.Provider, now: datetime
) -> None:
    assert notified(provider, now, event("bounce")) == [
        wire.DeliveryReceipt(
            event=Event.BOUNCED,
            provider_id=ID,
            reference=REFERENCE,
            code="Permanent/General",
            at=datetime(2026, 3, 1, 11, 59, 58, 123000, UTC),
            suppress=True,
        )
    ]


@pytest.mark.parametrize(
    ("kind", "sub", "what", "suppress"),
    [
        ("Permanent", "General", Event.BOUNCED, True),
        ("Permanent", "NoEmail", Event.BOUNCED, True),
        ("Permanent", "Suppressed", Event.FAILED, False),
        ("Permanent", "OnAccountSuppressionList", Event.FAILED, False),
        ("Transient", "General", Event.BOUNCED, False),
        ("Transient", "MailboxFull", Event.BOUNCED, False),
        ("Transient", "MessageTooLarge", Event.BOUNCED, False),
        ("Transient", "ContentRejected", Event.BOUNCED, False),
        ("Transient", "AttachmentRejected", Event.BOUNCED, False),
        ("Undetermined", "Undetermined", Event.BOUNCED, False),
    ],
)
def test_bounces(
    provider: ses.Provider, now: datetime, kind: str, sub: str, what: Event, suppress: bool
) -> None:
    told = event("bounce", bounceType=kind, bounceSubType=sub)

    [receipt] = notified(provider, now, told)

    assert (receipt.event, receipt.suppress, receipt.code) == (what, suppress, f"{kind}/{sub}")


@pytest.mark.parametrize(
    ("feedback", "sub", "found"),
    [
        ("abuse", None, [(Event.COMPLAINED, True)]),
        ("fraud", None, [(Event.COMPLAINED, True)]),
        (None, None, [(Event.COMPLAINED, True)]),
        ("not-spam", None, []),
        (None, "OnAccountSuppressionList", [(Event.FAILED, False)]),
    ],
)
def test_complaints(
    provider: ses.Provider,
    now: datetime,
    feedback: str | None,
    sub: str | None,
    found: list[tuple[Event, bool]],
) -> None:
    told = event("complaint", complaintFeedbackType=feedback, complaintSubType=sub)

    assert [(one.event, one.suppress) for one in notified(provider, now, told)] == found


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("Send", Event.SENT),
        ("Delivery", Event.DELIVERED),
        ("DeliveryDelay", Event.ACCEPTED),
        ("Reject", Event.FAILED),
        ("Rendering Failure", Event.FAILED),
        ("Open", Event.READ),
        ("Click", Event.READ),
        ("Something New", Event.UNKNOWN),
    ],
)
def test_other_events(provider: ses.Provider, now: datetime, kind: str, what: Event) -> None:
    told = {**event("bounce"), "eventType": kind}

    [receipt] = notified(provider, now, told)

    assert (receipt.event, receipt.suppress, receipt.reference) == (what, False, REFERENCE)


def test_time_of_an_event_is_its_own_or_else_that_of_the_mail(
    provider: ses.Provider, now: datetime
) -> None:
    delay = {"timestamp": "2026-03-01T11:00:00.000Z", "delayType": "MailboxFull"}
    told = {"eventType": "DeliveryDelay", "mail": event("bounce")["mail"]}

    [own] = notified(provider, now, {**told, "deliveryDelay": delay})
    [of_mail] = notified(provider, now, told)

    assert own.at == datetime(2026, 3, 1, 11, tzinfo=UTC)
    assert of_mail.at == datetime(2026, 3, 1, 11, 59, 50, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wishes", "leaves"),
    [
        ({"unsubscribeAll": True}, True),
        ({"topicSubscriptionStatus": [{"topicName": "a", "subscriptionStatus": "OptOut"}]}, True),
        ({"topicSubscriptionStatus": [{"topicName": "a", "subscriptionStatus": "OptIn"}]}, False),
        ({"unsubscribeAll": False}, False),
        ({"topicSubscriptionStatus": "OptOut"}, False),
    ],
)
def test_who_unsubscribes_has_got_the_mail(
    provider: ses.Provider, now: datetime, wishes: object, leaves: bool
) -> None:
    told = {**event("bounce"), "eventType": "Subscription"}
    told["subscription"] = {"newTopicPreferences": wishes}

    found = [(one.event, one.suppress) for one in notified(provider, now, told)]

    assert found == ([(Event.DELIVERED, False), (Event.OPTED_OUT, True)] if leaves else [])


def test_notification_of_an_identity_is_read_too(provider: ses.Provider, now: datetime) -> None:
    told = event("bounce")
    told["notificationType"] = told.pop("eventType")
    del told["mail"]["tags"]

    [receipt] = notified(provider, now, told)

    assert (receipt.event, receipt.provider_id, receipt.reference) == (Event.BOUNCED, ID, "")


def test_greeting_of_an_event_destination_says_nothing(
    provider: ses.Provider, now: datetime
) -> None:
    text = "Successfully validated SNS topic for Amazon SES event publishing."

    assert notified(provider, now, text) == []


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"eventType": "Bounce"},
        {"eventType": "Bounce", "mail": {"messageId": ""}},
        {"eventType": 7, "mail": {"messageId": "x"}},
        {"eventType": "Bounce", "mail": [1]},
        '{"eventType": "Bou',
    ],
)
def test_events_without_a_message_are_unreadable(
    provider: ses.Provider, now: datetime, told: object
) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        notified(provider, now, told)


@pytest.mark.parametrize("tags", [None, [], {"gw_id": []}, {"gw_id": [7]}, {"gw_id": "x"}])
def test_odd_tags_are_no_reference(provider: ses.Provider, now: datetime, tags: object) -> None:
    told = event("bounce")
    told["mail"]["tags"] = tags

    assert notified(provider, now, told)[0].reference == ""


def test_receipt_is_believed_by_its_certificate_only(
    provider: ses.Provider, now: datetime, rsa_key: rsa.RSAPrivateKey
) -> None:
    fields = sns_notes.sign(sns_notes.note(now, Message=json.dumps(event("bounce"))), rsa_key)
    request = sns_notes.post(fields)
    evidence = wire.HttpResponse(status=200, body=sns_notes.certificate(rsa_key, now))

    asked = provider.evidence_request(request)

    assert asked is not None
    assert asked.url == sns_notes.CERTIFICATE_URL
    assert provider.verify_with(request, evidence)
    assert not provider.verify_with(request, wire.HttpResponse(status=200))
    assert not provider.verify_receipt(request)
    assert provider.follow_up(request) is None
    assert provider.answer_receipt(request).status == 200


def test_subscription_is_confirmed_and_reports_nothing(
    provider: ses.Provider, now: datetime
) -> None:
    request = sns_notes.post(sns_notes.confirmation(now))

    asked = provider.follow_up(request)

    assert asked is not None
    assert asked.url == sns_notes.SUBSCRIBE_URL
    assert provider.read_receipts(request) == []

"""Postmark: single mails and batches, every code, every webhook."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from postmark.models.bounces.enums import BounceType
from postmark.models.outbound import Email

from gateway.model import errors, wire
from gateway.providers import postmark, postmark_events

Make = Callable[..., postmark.Provider]
Message = Callable[..., wire.Message]
Answer = Callable[[str], wire.HttpResponse]
Request = Callable[[str], wire.HttpRequest]
Event = wire.ReceiptEvent

ID = "2706ee8a-737c-4285-b032-ccd317af53ed"
REFERENCE = "0195500a-5c00-7000-8000-000000000001-0-0-0"


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> postmark.Provider:
    return make("postmark")


def mail(provider: postmark.Provider, message: wire.Message) -> dict[str, Any]:
    [(_, request)] = provider.build_requests([message])
    assert request.url.endswith("/email")
    body: dict[str, Any] = orjson.loads(request.body)
    return body


def results(
    provider: postmark.Provider, messages: list[wire.Message], status: int, body: object
) -> list[wire.AttemptResult]:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return list(provider.read_response(messages, wire.HttpResponse(status=status, body=raw)))


def result(
    provider: postmark.Provider, message: wire.Message, status: int, body: object
) -> wire.AttemptResult:
    [one] = results(provider, [message], status, body)
    return one


CONTENT = wire.Content(
    text="Hi",
    html="<p>Hi</p>",
    subject="Order 17",
    extra={"list_unsubscribe": "https://u.example.com/u/abc"},
)


def two(message: Message) -> list[wire.Message]:
    return [
        message(content=CONTENT),
        message(
            id="2",
            reference="0195500a-5c00-7000-8000-000000000002-0-0-0",
            to=wire.Address(email="wang@example.com"),
            content=wire.Content(text="Hi", subject="Order 18"),
        ),
    ]


def test_single_mail_is_as_recorded(
    provider: postmark.Provider, message: Message, recorded_request: Request
) -> None:
    [(_, request)] = provider.build_requests([message(content=CONTENT)])

    assert request == recorded_request("postmark/send")


def test_batch_is_as_recorded(
    provider: postmark.Provider, message: Message, recorded_request: Request
) -> None:
    messages = two(message)

    [(carried, request)] = provider.build_requests(messages)

    assert carried == messages
    assert request == recorded_request("postmark/send_batch")


def test_mail_is_one_that_postmark_s_own_library_would_make(make: Make, message: Message) -> None:
    provider = make("postmark", reply_to="help@example.com", track_opens=True)
    ours = mail(provider, message(content=CONTENT))

    fields = {
        "sender": '"Example" <noreply@example.com>',
        "to": "li@example.com",
        "subject": "Order 17",
        "text_body": "Hi",
        "html_body": "<p>Hi</p>",
        "reply_to": "help@example.com",
        "headers": [
            {"Name": "List-Unsubscribe", "Value": "<https://u.example.com/u/abc>"},
            {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"},
        ],
        "track_opens": True,
        "track_links": "None",
        "metadata": {"gw_id": REFERENCE},
        "message_stream": "outbound",
    }
    theirs = Email.model_validate(fields).model_dump(by_alias=True, exclude_none=True, mode="json")

    assert {**ours, "Attachments": []} == theirs


def test_metadata_fits_into_its_limits(provider: postmark.Provider, message: Message) -> None:
    [(name, value)] = mail(provider, message(reference="0" * 48))["Metadata"].items()

    assert len(name) <= 20
    assert len(value) <= 80


@pytest.mark.parametrize(
    ("configured", "sent"),
    [
        ("no-reply@example.com", "no-reply@example.com"),
        ("Example <no-reply@example.com>", '"Example" <no-reply@example.com>'),
        ("Example, Inc. <a@example.com>", '"Example, Inc." <a@example.com>'),
        ('"A \\"B\\"" <a@example.com>', '"A \\"B\\"" <a@example.com>'),
        ("Müller <a@bücher.example>", '"Müller" <a@xn--bcher-kva.example>'),
    ],
)
def test_sender_s_name_is_quoted(make: Make, message: Message, configured: str, sent: str) -> None:
    assert mail(make("postmark", {"from": configured}), message())["From"] == sent


def test_subject_stays_on_its_line(provider: postmark.Provider, message: Message) -> None:
    one = message(content=wire.Content(text="x", subject="a\nBcc: li@example.com"))

    assert mail(provider, one)["Subject"] == "a Bcc: li@example.com"


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [1]), (2, [2]), (500, [500]), (501, [500, 1]), (1001, [500, 500, 1])]
)
def test_requests_hold_500_mails_at_most(
    provider: postmark.Provider, message: Message, count: int, sizes: list[int]
) -> None:
    messages = [message(id=str(at), reference=f"r{at}") for at in range(count)]

    built = provider.build_requests(messages)

    assert [len(part) for part, _ in built] == sizes
    assert [one for part, _ in built for one in part] == messages
    for part, request in built:
        body = orjson.loads(request.body)
        sent = body if request.url.endswith("/email/batch") else [body]
        assert [one["Metadata"]["gw_id"] for one in sent] == [one.reference for one in part]


def test_requests_are_bounded_in_bytes(provider: postmark.Provider, message: Message) -> None:
    content = wire.Content(text="x" * 9_000_000, subject="x")
    messages = [message(id=str(at), content=content) for at in range(6)]

    built = provider.build_requests(messages)

    assert [len(part) for part, _ in built] == [4, 2]
    assert all(len(request.body) < 50_000_000 for _, request in built)


def test_mail_that_is_too_large_goes_alone(provider: postmark.Provider, message: Message) -> None:
    sizes = [1, 1, 11_000_000, 1, 1]
    messages = [
        message(id=str(at), content=wire.Content(text="x" * size)) for at, size in enumerate(sizes)
    ]

    assert [len(part) for part, _ in provider.build_requests(messages)] == [2, 1, 2]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"server_token": ""}, "server_token"),
        ({"message_stream": ""}, "message_stream"),
        ({"from": "nobody"}, "from"),
        ({"reply_to": "nobody"}, "reply_to"),
        ({"webhook_password": ""}, "webhook_password"),
        ({"webhook_username": ""}, "webhook_password"),
        ({"webhook_headers": {"X": ""}}, "webhook_headers"),
        ({"track_links": "Some"}, "track_links"),
    ],
)
def test_settings_that_cannot_work_are_named(make: Make, changes: dict[str, Any], key: str) -> None:
    with pytest.raises(errors.SettingsError, match=rf"providers\.main\.{key}: "):
        make("postmark", changes)


OK = {
    "To": "li@example.com",
    "SubmittedAt": "2026-03-01T12:00:00.0000000Z",
    "MessageID": ID,
    "ErrorCode": 0,
    "Message": "OK",
}


def test_taken_mail_is_accepted_with_its_id(
    provider: postmark.Provider, message: Message, recorded_answer: Answer
) -> None:
    answer = recorded_answer("postmark/answer_accepted")

    assert provider.read_response([message()], answer) == [wire.Accepted(provider_id=ID)]


def test_delayed_mail_is_taken_though_it_has_no_code(
    provider: postmark.Provider, message: Message
) -> None:
    delayed = {**OK, "Message": "Message accepted, but delivery may be delayed."}
    del delayed["ErrorCode"]

    assert result(provider, message(), 200, delayed) == wire.Accepted(provider_id=ID)


@pytest.mark.parametrize(
    ("inactive", "is_ours"),
    [
        ("li@example.com", True),
        ("wang@example.com, li@example.com", True),
        ("wang@example.com", False),
        ("xli@example.com", False),
    ],
)
def test_address_that_gets_nothing_though_all_is_ok_is_refused(
    provider: postmark.Provider, message: Message, inactive: str, is_ours: bool
) -> None:
    text = f"Message OK, but will not deliver to these inactive addresses: {inactive}. Inactive …"
    to = wire.Address(email="Li@example.com")

    one = result(provider, message(to=to), 200, {**OK, "Message": text})

    if is_ours:
        assert isinstance(one, wire.Rejected)
        assert (one.code, one.scope, one.suppress) == ("406", wire.Scope.RECIPIENT, True)
    else:
        assert one == wire.Accepted(provider_id=ID)


def test_recorded_batch_gives_each_mail_its_own_result(
    provider: postmark.Provider, message: Message, recorded_answer: Answer
) -> None:
    found = provider.read_response(two(message), recorded_answer("postmark/answer_batch"))

    assert found[0] == wire.Accepted(provider_id=ID)
    assert isinstance(found[1], wire.Rejected)
    assert (found[1].code, found[1].suppress) == ("406", True)


def test_results_go_by_position(provider: postmark.Provider, message: Message) -> None:
    messages = [message(id=str(at)) for at in range(3)]
    answers = [
        {**OK, "MessageID": "a"},
        {"ErrorCode": 300, "Message": "x"},
        {**OK, "MessageID": "c"},
    ]

    found = results(provider, messages, 200, answers)

    assert found == [
        wire.Accepted(provider_id="a"),
        wire.Rejected(code="300", detail="message refused"),
        wire.Accepted(provider_id="c"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b"[]",
        b"[1, 2]",
        b"[{}, {}]",
        [OK],
        [OK, OK, OK],
        b'[{"ErrorCode": 0}',
    ],
)
def test_batch_that_is_not_answered_in_full_is_unknown(
    provider: postmark.Provider, message: Message, body: object
) -> None:
    found = results(provider, two(message), 200, body)

    assert [type(one) for one in found] == [wire.Unknown, wire.Unknown]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"ErrorCode": 0},
        {**OK, "MessageID": ""},
        {**OK, "MessageID": 7},
        {**OK, "ErrorCode": "0"},
        {**OK, "ErrorCode": None},
        {**OK, "ErrorCode": False},
        b"<html>" * 10**6,
    ],
)
def test_success_that_cannot_be_read_is_unknown(
    provider: postmark.Provider, message: Message, answer: object
) -> None:
    assert isinstance(result(provider, message(), 200, answer), wire.Unknown)


@pytest.mark.parametrize("in_batch", [True, False])
@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (10, "credential"),
        (100, "temporary"),
        (405, "credential"),
        (413, "credential"),
        (429, "throttled"),
    ],
)
def test_deferring_codes(
    provider: postmark.Provider, message: Message, code: int, cause: str, in_batch: bool
) -> None:
    answer = {"ErrorCode": code, "Message": "…"}

    one = result(provider, message(), *((200, [answer]) if in_batch else (422, answer)))

    assert isinstance(one, wire.Deferred)
    assert (one.code, one.cause) == (str(code), wire.Cause(cause))


@pytest.mark.parametrize("in_batch", [True, False])
@pytest.mark.parametrize(
    ("code", "text", "scope", "suppress"),
    [
        (300, "Invalid 'To' address: 'x'.", "recipient", True),
        (300, "Error parsing 'Cc': Illegal email domain 'x'.", "recipient", True),
        (300, "Error parsing 'Bcc': Illegal email domain 'x'.", "recipient", True),
        (300, "Invalid 'From' address: 'x'.", "message", False),
        (300, "Error parsing 'Reply-To'", "message", False),
        (300, "Provide either email TextBody or HtmlBody or both.", "message", False),
        (400, "", "provider", False),
        (401, "", "provider", False),
        (402, "", "provider", False),
        (403, "", "provider", False),
        (406, "Found inactive addresses: li@example.com.", "recipient", True),
        (409, "", "provider", False),
        (410, "", "provider", False),
        (411, "", "message", False),
        (412, "", "provider", False),
        (701, "", "message", False),
        (9999, "", "message", False),
    ],
)
def test_permanent_codes(
    provider: postmark.Provider,
    message: Message,
    code: int,
    text: str,
    scope: str,
    suppress: bool,
    in_batch: bool,
) -> None:
    answer = {"ErrorCode": code, "Message": text}

    one = result(provider, message(), *((200, [answer]) if in_batch else (422, answer)))

    assert isinstance(one, wire.Rejected)
    assert (one.code, one.scope, one.suppress) == (str(code), wire.Scope(scope), suppress)
    assert "li@" not in str(one)


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (401, {"ErrorCode": 10, "Message": ""}, wire.Deferred, "10"),
        (401, b"", wire.Deferred, "http_401"),
        (404, b"", wire.Rejected, "http_404"),
        (413, b"<html>", wire.Rejected, "http_413"),
        (422, {"ErrorCode": 402, "Message": ""}, wire.Rejected, "402"),
        (422, {"ErrorCode": 410, "Message": ""}, wire.Rejected, "410"),
        (422, {"ErrorCode": 8888, "Message": ""}, wire.Rejected, "8888"),
        (429, b"", wire.Deferred, "http_429"),
        (429, {"ErrorCode": 429, "Message": ""}, wire.Deferred, "429"),
        (500, {"ErrorCode": 406, "Message": ""}, wire.Deferred, "http_500"),
        (503, {"ErrorCode": 100, "Message": ""}, wire.Deferred, "http_503"),
    ],
)
def test_refusal_of_a_whole_batch_is_about_all_of_it(
    provider: postmark.Provider,
    message: Message,
    status: int,
    body: object,
    kind: type[wire.Rejected | wire.Deferred],
    code: str,
) -> None:
    first, second = results(provider, two(message), status, body)

    assert first == second
    assert isinstance(first, kind)
    assert first.code == code


@pytest.mark.parametrize("code", [300, 406])
def test_refusal_of_a_whole_batch_ends_no_address(
    provider: postmark.Provider, message: Message, code: int
) -> None:
    answer = {"ErrorCode": code, "Message": "Invalid 'To' address: 'x'."}

    found = results(provider, two(message), 422, answer)

    assert [(one.scope, one.suppress) for one in found if isinstance(one, wire.Rejected)] == [
        (wire.Scope.MESSAGE, False)
    ] * 2


def test_limit_waits_as_long_as_it_is_told(provider: postmark.Provider, message: Message) -> None:
    response = wire.HttpResponse(
        status=429, headers={"retry-after": "7"}, body=b'{"ErrorCode": 429}'
    )

    [one] = provider.read_response([message()], response)

    assert isinstance(one, wire.Deferred)
    assert (one.cause, one.retry_after) == (wire.Cause.THROTTLED, 7.0)


# Webhooks


def post(body: object, **headers: str) -> wire.HttpRequest:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return wire.HttpRequest(
        method="POST", url="https://gw.example.com/v1/receipts/main", headers=headers, body=raw
    )


def told(provider: postmark.Provider, body: object) -> list[tuple[Event, str, bool]]:
    found = provider.read_receipts(post(body))
    assert all((one.provider_id, one.reference) == (ID, REFERENCE) for one in found)
    return [(one.event, one.code, one.suppress) for one in found]


COMMON = {"MessageID": ID, "Metadata": {"gw_id": REFERENCE}, "Recipient": "li@example.com"}


def test_recorded_bounce_is_believed_and_ends_the_address(
    provider: postmark.Provider, recorded_request: Request
) -> None:
    request = recorded_request("postmark/receipt_bounce")

    assert provider.verify_receipt(request)
    assert provider.read_receipts(request) == [
        wire.DeliveryReceipt(
            event=Event.BOUNCED,
            provider_id=ID,
            reference=REFERENCE,
            code="HardBounce",
            at=datetime(2026, 3, 1, 7, 59, 58, 396393, timezone(timedelta(hours=-4))),
            suppress=True,
        )
    ]
    assert provider.answer_receipt(request).status == 200
    assert provider.evidence_request(request) is None


BASIC = "Basic cG9zdG1hcms6Y29ycmVjdCBob3JzZQ=="  # postmark:correct horse


@pytest.mark.parametrize(
    ("headers", "is_believed"),
    [
        ({"authorization": BASIC, "x-hook-secret": "battery staple"}, True),
        ({"authorization": BASIC}, False),
        ({"x-hook-secret": "battery staple"}, False),
        ({"authorization": BASIC, "x-hook-secret": "battery"}, False),
        ({"authorization": BASIC[:-4], "x-hook-secret": "battery staple"}, False),
        ({"authorization": "\udcff", "x-hook-secret": "é"}, False),
        ({}, False),
    ],
)
def test_webhook_must_carry_all_that_it_was_given(
    provider: postmark.Provider, headers: dict[str, str], is_believed: bool
) -> None:
    assert provider.verify_receipt(post({}, **headers)) is is_believed


def test_account_without_secrets_believes_nobody(make: Make) -> None:
    provider = make("postmark", webhook_username="", webhook_password="", webhook_headers={})

    assert not provider.verify_receipt(post({}))
    assert not provider.verify_receipt(post({}, authorization="Basic Og=="))
    assert provider.reports == frozenset()


def test_every_bounce_of_postmark_s_own_library_is_known() -> None:
    theirs = {str(one.value) for one in BounceType} - {"InboundError"}  # not about our mail

    assert theirs == set(postmark_events.BOUNCES)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("HardBounce", [(Event.BOUNCED, True)]),
        ("BadEmailAddress", [(Event.BOUNCED, True)]),
        ("SoftBounce", [(Event.BOUNCED, False)]),
        ("Blocked", [(Event.BOUNCED, False)]),
        ("VirusNotification", [(Event.BOUNCED, False)]),
        ("DMARCPolicy", [(Event.BOUNCED, False)]),
        ("SpamNotification", [(Event.BOUNCED, False)]),
        ("Transient", [(Event.ACCEPTED, False)]),
        ("DnsError", [(Event.ACCEPTED, False)]),
        ("SpamComplaint", [(Event.COMPLAINED, True)]),
        ("ManuallyDeactivated", [(Event.FAILED, False)]),
        ("Unconfirmed", [(Event.FAILED, False)]),
        ("SMTPApiError", [(Event.FAILED, False)]),
        ("TemplateRenderingFailed", [(Event.FAILED, False)]),
        ("Unsubscribe", [(Event.DELIVERED, False), (Event.OPTED_OUT, True)]),
        ("AutoResponder", []),
        ("AddressChange", []),
        ("ChallengeVerification", []),
        ("OpenRelayTest", []),
        ("Subscribe", []),
        ("Unknown", []),
        ("SomethingNew", [(Event.UNKNOWN, False)]),
    ],
)
def test_bounces(provider: postmark.Provider, kind: str, found: list[tuple[Event, bool]]) -> None:
    body = {**COMMON, "RecordType": "Bounce", "Type": kind}

    assert told(provider, body) == [(event, kind, suppress) for event, suppress in found]


@pytest.mark.parametrize(
    ("kind", "event", "suppress"),
    [
        ("Delivery", Event.DELIVERED, False),
        ("Open", Event.READ, False),
        ("Click", Event.READ, False),
        ("SpamComplaint", Event.COMPLAINED, True),
        ("SomethingNew", Event.UNKNOWN, False),
    ],
)
def test_other_webhooks(
    provider: postmark.Provider, kind: str, event: Event, suppress: bool
) -> None:
    assert told(provider, {**COMMON, "RecordType": kind}) == [(event, kind, suppress)]


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (
            {"SuppressionReason": "ManualSuppression", "Origin": "Recipient"},
            [(Event.DELIVERED, False), (Event.OPTED_OUT, True)],
        ),
        (
            {"SuppressionReason": "ManualSuppression", "Origin": "Customer"},
            [(Event.OPTED_OUT, True)],
        ),
        ({"SuppressionReason": "HardBounce", "Origin": "Recipient"}, [(Event.BOUNCED, True)]),
        ({"SuppressionReason": "SpamComplaint"}, [(Event.COMPLAINED, True)]),
        ({"SuppressionReason": "SomethingNew"}, [(Event.UNKNOWN, False)]),
        ({"SuppressionReason": None}, [(Event.UNKNOWN, False)]),
        ({"SuppressSending": False, "SuppressionReason": None}, []),
        ({"SuppressSending": "yes", "SuppressionReason": "HardBounce"}, []),
    ],
)
def test_changes_of_a_subscription(
    provider: postmark.Provider, fields: dict[str, Any], found: list[tuple[Event, bool]]
) -> None:
    body = {**COMMON, "RecordType": "SubscriptionChange", "SuppressSending": True, **fields}

    assert [(event, suppress) for event, _, suppress in told(provider, body)] == found


@pytest.mark.parametrize("id", [None, "", "00000000-0000-0000-0000-000000000000"])
def test_suppression_that_names_no_message_says_nothing(
    provider: postmark.Provider, id: str | None
) -> None:
    body = {
        "RecordType": "SubscriptionChange",
        "MessageID": id,
        "SuppressSending": True,
        "SuppressionReason": "ManualSuppression",
    }

    assert provider.read_receipts(post(body)) == []


@pytest.mark.parametrize(
    ("name", "value", "at"),
    [
        ("DeliveredAt", "2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("ReceivedAt", "2026-03-01T12:00:00.1234567Z", datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)),
        ("ChangedAt", "2026-03-01T12:00:00+02:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("DeliveredAt", "2026-03-01T12:00:00", None),
        ("DeliveredAt", "now", None),
        ("DeliveredAt", 1772366400, None),
        ("DeliveredAt", "0001-01-01T00:00:00+23:00", None),
    ],
)
def test_time_of_an_event_is_read(
    provider: postmark.Provider, name: str, value: object, at: datetime | None
) -> None:
    [receipt] = provider.read_receipts(post({**COMMON, "RecordType": "Delivery", name: value}))

    assert receipt.at == at


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"<html>", {}, {"RecordType": 7}, {"RecordType": "Delivery"}]
)
def test_webhooks_without_a_message_are_unreadable(
    provider: postmark.Provider, body: object
) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_receipts(post(body))

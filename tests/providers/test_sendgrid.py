"""SendGrid against recorded bytes, its published vector and its own SDK."""

from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sendgrid.helpers import mail as sdk
from sendgrid.helpers.eventwebhook import EventWebhook

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import mail_api, sendgrid
from gateway.sandbox.sendgrid_events import Signer

Make = Callable[..., sendgrid.Provider]
Message = Callable[..., wire.Message]
Faults = Callable[..., Sequence[str]]
Request = Callable[[str], wire.HttpRequest]
Answer = Callable[[str], wire.HttpResponse]

#: When the published vector was signed.
VECTOR_AT = 1_600_112_502
URL = "https://gw.example.com/v1/receipts/main"


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> sendgrid.Provider:
    return make("sendgrid")


@pytest.fixture(name="vector")
def fixture_vector(make: Make, clock_at: Callable[[int], Clock]) -> sendgrid.Provider:
    """With the published key, at the time of the published post."""
    return make("sendgrid", clock=clock_at(VECTOR_AT))


Many = Callable[..., list[wire.Message]]


def body_of(request: wire.HttpRequest) -> Any:
    return orjson.loads(request.body)


def post(events: object) -> wire.HttpRequest:
    return wire.HttpRequest(method="POST", url=URL, body=orjson.dumps(events))


def refused(*found: dict[str, Any]) -> wire.HttpResponse:
    return wire.HttpResponse(status=400, body=orjson.dumps({"errors": found}))


def only(results: Sequence[wire.AttemptResult]) -> wire.AttemptResult:
    [one] = results
    return one


def test_request_is_as_recorded(
    provider: sendgrid.Provider, message: Message, recorded_request: Request
) -> None:
    one = message(
        content=wire.Content(text="Your code is 4711", subject="Code", html="<p>4711</p>")
    )

    [(carried, request)] = provider.build_requests([one])

    assert carried == [one]
    assert request == recorded_request("sendgrid/send")


def test_body_is_what_the_sdk_would_send(make: Make, many: Many) -> None:
    provider = make("sendgrid", reply_to="Help <help@example.com>", tracking=False)
    extra = {"list_unsubscribe": "https://u.example.com/u/1"}
    messages = many(2, html="<p>Hi</p>", extra=extra)

    [(_, request)] = provider.build_requests(messages)

    theirs = sdk.Mail(
        from_email=sdk.From("noreply@example.com", "Example"),
        subject="S",
        plain_text_content="Hi",
        html_content="<p>Hi</p>",
    )
    theirs.reply_to = sdk.ReplyTo("help@example.com", "Help")
    theirs.add_category(sdk.Category("otp"))
    tracking = sdk.TrackingSettings(
        click_tracking=sdk.ClickTracking(enable=False),
        open_tracking=sdk.OpenTracking(enable=False),
        subscription_tracking=sdk.SubscriptionTracking(enable=False),
    )
    theirs.tracking_settings = tracking
    for one in reversed(messages):  # the SDK puts each in front of the others
        person = sdk.Personalization()
        person.add_to(sdk.To(one.to.email))
        person.subject = "S"
        person.add_custom_arg(sdk.CustomArg("gw_id", one.reference))
        person.add_header(sdk.Header("List-Unsubscribe", "<https://u.example.com/u/1>"))
        person.add_header(sdk.Header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
        theirs.add_personalization(person)
    assert body_of(request) == theirs.get()


def test_equal_texts_share_a_call_and_others_do_not(
    provider: sendgrid.Provider, many: Many
) -> None:
    equal, other = many(3), many(5, text="other")[3:]
    marketing = [replace(one, category="marketing") for one in many(7)[6:]]

    built = provider.build_requests([equal[0], other[0], *equal[1:], other[1], *marketing])

    assert [[one.id for one in part] for part, _ in built] == [
        ["m-0", "m-1", "m-2"],
        ["m-3", "m-4"],
        ["m-6"],
    ]


def test_each_message_keeps_its_subject_headers_and_reference(
    provider: sendgrid.Provider, many: Many
) -> None:
    messages = [
        replace(
            one,
            content=wire.Content(
                text="Hi",
                subject=f"For {one.id}",
                extra={"list_unsubscribe": [f"https://u.example.com/{one.id}", "mailto:u@x.org"]},
            ),
        )
        for one in many(2)
    ]

    [(carried, request)] = provider.build_requests(messages)

    assert carried == messages
    people = body_of(request)["personalizations"]
    assert [one["to"] for one in people] == [[{"email": one.to.email}] for one in messages]
    assert [one["subject"] for one in people] == ["For m-0", "For m-1"]
    assert [one["custom_args"] for one in people] == [{"gw_id": one.reference} for one in messages]
    assert people[1]["headers"] == {
        "List-Unsubscribe": "<https://u.example.com/m-1>, <mailto:u@x.org>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def test_no_address_is_twice_in_a_call(provider: sendgrid.Provider, many: Many) -> None:
    one, two, three = many(3)
    again = replace(two, to=wire.Address(email=one.to.email.upper()))

    built = provider.build_requests([one, again, three])

    assert [[message.id for message in part] for part, _ in built] == [["m-0", "m-2"], ["m-1"]]


@pytest.mark.parametrize(
    "address",
    [
        "jürgen@example.com",
        '"a b"@example.com',
        "a@localhost",
        "a..b@example.com",
        "",
        "@",
        "x@a.1",
    ],
)
def test_doubtful_address_goes_alone(provider: sendgrid.Provider, many: Many, address: str) -> None:
    one, two, three = many(3)
    doubtful = replace(two, to=wire.Address(email=address))

    built = provider.build_requests([one, doubtful, three])

    assert [[message.id for message in part] for part, _ in built] == [["m-0", "m-2"], ["m-1"]]


def test_domain_is_written_in_ascii(provider: sendgrid.Provider, message: Message) -> None:
    [(_, request)] = provider.build_requests([message(to=wire.Address(email="li@bücher.example"))])

    assert body_of(request)["personalizations"][0]["to"] == [{"email": "li@xn--bcher-kva.example"}]


def test_a_thousand_share_a_call_and_one_more_does_not(
    provider: sendgrid.Provider, many: Many
) -> None:
    built = provider.build_requests(many(1001))

    assert [len(part) for part, _ in built] == [1000, 1]


@given(
    texts=st.lists(st.sampled_from(["a", "b", "\ud800"]), min_size=1, max_size=30),
    addresses=st.lists(st.sampled_from(["a@x.org", "A@x.org", "b@x.org", "b@x"]), min_size=30),
)
@settings(deadline=None)
def test_calls_hold_equal_texts_and_different_addresses(
    texts: list[str], addresses: list[str], message: Message
) -> None:
    messages = [
        message(id=str(at), content=wire.Content(text=text), to=wire.Address(email=addresses[at]))
        for at, text in enumerate(texts)
    ]

    keyed = [(one, one.common) for one in map(mail_api.letter, messages)]
    calls = mail_api.share(keyed, limit=3)

    assert sorted(one.message.id for call in calls for one in call) == sorted(
        one.id for one in messages
    )
    for call in calls:
        assert len(call) <= 3
        assert len({one.text for one in call}) == 1
        assert len({one.to.lower() for one in call}) == len(call)
        assert len(call) == 1 or all(one.to != "b@x" for one in call)


@pytest.mark.parametrize(
    ("text", "html", "kinds"),
    [
        ("a", "b", ["text/plain", "text/html"]),
        ("", "b", ["text/html"]),
        ("a", "", ["text/plain"]),
        ("", "", ["text/plain"]),
    ],
)
def test_plain_text_comes_before_html(
    provider: sendgrid.Provider, message: Message, text: str, html: str, kinds: list[str]
) -> None:
    one = message(content=wire.Content(text=text, html=html, subject="S"))

    [(_, request)] = provider.build_requests([one])

    assert [part["type"] for part in body_of(request)["content"]] == kinds


def test_breaks_of_lines_make_no_headers(provider: sendgrid.Provider, message: Message) -> None:
    extra = {"list_unsubscribe": ["https://u.example.com/a\r\nBcc: x@y.org", 7, "http s://", None]}
    one = message(content=wire.Content(text="Hi", subject="a\r\nBcc: b", extra=extra))

    [(_, request)] = provider.build_requests([one])

    [person] = body_of(request)["personalizations"]
    assert person["subject"] == "a Bcc: b"
    assert not set("\r\n") & set("".join(person["headers"].values()))


def test_taken_call_names_each_message(
    provider: sendgrid.Provider, many: Many, recorded_answer: Answer
) -> None:
    messages = many(2)

    results = provider.read_response(messages, recorded_answer("sendgrid/answer_queued"))

    names = [one.provider_id for one in results if isinstance(one, wire.Accepted)]
    assert len(set(names)) == 2
    assert all(name.startswith("14c5d75ce93.dfd.64b469/") for name in names)


def test_sandbox_mode_is_asked_for_and_believed(make: Make, message: Message) -> None:
    provider = make("sendgrid", sandbox=True)

    [(_, request)] = provider.build_requests([message()])
    results = provider.read_response([message()], wire.HttpResponse(status=200))

    assert body_of(request)["mail_settings"] == {"sandbox_mode": {"enable": True}}
    assert results == [wire.Accepted(detail="sandbox mode: not sent")]


@pytest.mark.parametrize("status", [200, 201, 204])
def test_success_that_is_not_202_is_unknown(
    provider: sendgrid.Provider, message: Message, status: int
) -> None:
    result = only(provider.read_response([message()], wire.HttpResponse(status=status)))

    assert isinstance(result, wire.Unknown)


def test_refused_address_does_not_hurt_the_others(
    provider: sendgrid.Provider, many: Many, recorded_answer: Answer
) -> None:
    results = provider.read_response(many(3), recorded_answer("sendgrid/answer_bad_address"))

    again = wire.Deferred(
        code="http_400", detail="refused with its call", cause=wire.Cause.RECIPIENT, apart=True
    )
    bad = wire.Rejected(
        code="http_400", detail="address refused", scope=wire.Scope.RECIPIENT, suppress=False
    )
    assert results == [again, bad, again]


@pytest.mark.parametrize(
    ("field", "scope"),
    [
        ("personalizations.0.to.0.email", wire.Scope.RECIPIENT),
        ("personalizations.0.to", wire.Scope.RECIPIENT),
        ("personalizations.0.cc.0.email", wire.Scope.RECIPIENT),
        ("personalizations.0.subject", wire.Scope.MESSAGE),
        ("personalizations.0.topic", wire.Scope.MESSAGE),
        ("personalizations.0", wire.Scope.MESSAGE),
        ("personalizations.9999.to", wire.Scope.MESSAGE),
        ("personalizations", wire.Scope.MESSAGE),
        ("content.0.value", wire.Scope.MESSAGE),
        ("from.email", wire.Scope.MESSAGE),
        (None, wire.Scope.MESSAGE),
        (7, wire.Scope.MESSAGE),
    ],
)
def test_field_tells_whose_fault_it_is(
    provider: sendgrid.Provider, message: Message, field: object, scope: wire.Scope
) -> None:
    answer = refused({"message": "li@example.com is bad", "field": field})

    result = only(provider.read_response([message()], answer))

    assert isinstance(result, wire.Rejected)
    assert (result.code, result.scope, result.suppress) == ("http_400", scope, False)
    assert "li@" not in result.detail


def test_fault_of_the_shared_content_is_everybodys(provider: sendgrid.Provider, many: Many) -> None:
    results = provider.read_response(many(3), refused({"message": "x", "field": "content"}))

    assert {type(one) for one in results} == {wire.Rejected}


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"errors": [{"field": null}]}'])
def test_refusal_of_many_without_a_culprit_may_be_repeated(
    provider: sendgrid.Provider, many: Many, body: bytes
) -> None:
    results = provider.read_response(many(2), wire.HttpResponse(status=400, body=body))

    assert [type(one) for one in results] == [wire.Deferred, wire.Deferred]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, wire.Deferred(code="http_401", cause=wire.Cause.CREDENTIAL)),
        (403, wire.Deferred(code="http_403", cause=wire.Cause.CREDENTIAL)),
        *[
            (status, wire.Rejected(code=f"http_{status}", scope=wire.Scope.PROVIDER))
            for status in (404, 405, 406, 415)
        ],
        (413, wire.Rejected(code="http_413")),
        (429, wire.Deferred(code="http_429", cause=wire.Cause.THROTTLED)),
        *[(status, wire.Deferred(code=f"http_{status}")) for status in (500, 503, 504)],
    ],
)
def test_statuses(
    provider: sendgrid.Provider, many: Many, status: int, expected: wire.AttemptResult
) -> None:
    response = wire.HttpResponse(status=status, body=b'{"errors": [{"message": "x"}]}')

    assert provider.read_response(many(2), response) == [expected, expected]


def test_spent_credits_pause_the_account_and_do_not_blame_its_key(
    provider: sendgrid.Provider, message: Message
) -> None:
    body = b'{"errors": [{"message": "Maximum credits exceeded", "field": null}]}'

    result = only(provider.read_response([message()], wire.HttpResponse(status=401, body=body)))

    assert result == wire.Deferred(code="http_401", cause=wire.Cause.THROTTLED)


@pytest.mark.parametrize(
    ("reset", "wait"), [(30, 30.0), (-5, 1.0), (10**9, 86_400.0)], ids=["soon", "past", "far"]
)
def test_limit_ends_with_the_reset_header(
    provider: sendgrid.Provider, message: Message, clock: Clock, reset: int, wait: float
) -> None:
    at = str(clock.now_ms() // 1000 + reset)
    response = wire.HttpResponse(status=429, headers={"x-ratelimit-reset": at})

    result = only(provider.read_response([message()], response))

    assert isinstance(result, wire.Deferred)
    assert result.retry_after == wait


def test_published_vector(vector: sendgrid.Provider, recorded_request: Request) -> None:
    request = recorded_request("sendgrid/receipt_dropped")
    request = replace(request, body=request.body + b"\r\n")

    assert len(request.body) == 327
    assert vector.verify_receipt(request)
    assert vector.read_receipts(request)[0].event is wire.ReceiptEvent.FAILED


@pytest.mark.parametrize(
    "change",
    [
        {"body": b"[]\r\n"},
        {"headers": {"x-twilio-email-event-webhook-timestamp": "1600112503"}},
        {"headers": {"x-twilio-email-event-webhook-signature": "AAAA"}},
        {"headers": {"x-twilio-email-event-webhook-signature": "ü"}},
        {"headers": {"x-twilio-email-event-webhook-signature": ""}},
    ],
    ids=["body", "timestamp", "signature", "not base64", "unsigned"],
)
def test_changed_vector_is_refused(
    vector: sendgrid.Provider, recorded_request: Request, change: dict[str, Any]
) -> None:
    good = recorded_request("sendgrid/receipt_dropped")
    good = replace(good, body=good.body + b"\r\n")
    headers = {**good.headers, **change.get("headers", {})}

    assert not vector.verify_receipt(replace(good, **{**change, "headers": headers}))


@pytest.mark.parametrize(("later", "good"), [(24 * 3600, True), (26 * 3600, False), (-301, False)])
def test_post_may_be_as_old_as_the_service_repeats_it(
    make: Make,
    clock_at: Callable[[int], Clock],
    recorded_request: Request,
    later: int,
    good: bool,
) -> None:
    request = recorded_request("sendgrid/receipt_dropped")
    provider = make("sendgrid", clock=clock_at(VECTOR_AT + later))

    assert provider.verify_receipt(replace(request, body=request.body + b"\r\n")) is good


def test_key_of_before_the_rotation_still_verifies(
    make: Make, clock_at: Callable[[int], Clock], recorded_request: Request
) -> None:
    old = make("sendgrid", clock=clock_at(VECTOR_AT))
    new = Signer().public_key
    published = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw"
        "+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
    )
    rotated = make(
        "sendgrid",
        verification_key=new,
        verification_key_previous=published,
        clock=clock_at(VECTOR_AT),
    )
    request = recorded_request("sendgrid/receipt_dropped")
    request = replace(request, body=request.body + b"\r\n")

    assert old.verify_receipt(request)
    assert rotated.verify_receipt(request)


def test_sdk_and_provider_believe_the_same_posts(
    make: Make, clock_at: Callable[[int], Clock]
) -> None:
    signer = Signer()
    request = signer.post(URL, b'[{"event":"processed"}]\r\n')()
    headers = {name.lower(): value for name, value in request.headers.items()}
    timestamp = headers["x-twilio-email-event-webhook-timestamp"]
    signature = headers["x-twilio-email-event-webhook-signature"]

    theirs = EventWebhook(signer.public_key)

    assert theirs.verify_signature(request.body.decode(), signature, timestamp)
    assert not theirs.verify_signature(request.body.decode() + " ", signature, timestamp)
    provider = make("sendgrid", verification_key=signer.public_key, clock=clock_at(int(timestamp)))
    assert provider.verify_receipt(replace(request, headers=headers))
    assert not provider.verify_receipt(replace(request, headers=headers, body=request.body + b" "))


def test_without_a_key_nothing_is_believed_or_promised(make: Make, message: Message) -> None:
    provider = make("sendgrid", verification_key="")

    assert provider.reports == frozenset()
    assert not provider.verify_receipt(post([]))


def test_without_tracking_nobody_is_promised_to_have_read(make: Make) -> None:
    assert make("sendgrid", tracking=False).reports == {wire.ReceiptEvent.DELIVERED}
    assert wire.ReceiptEvent.READ in make("sendgrid").reports


EVENT = wire.ReceiptEvent


@pytest.mark.parametrize(
    ("fields", "event", "code", "suppress"),
    [
        ({"event": "processed"}, EVENT.SENT, "processed", False),
        ({"event": "deferred", "attempt": "2"}, EVENT.ACCEPTED, "deferred", False),
        ({"event": "delivered", "response": "250 OK"}, EVENT.DELIVERED, "delivered", False),
        (
            {"event": "bounce", "type": "bounce", "status": "5.1.1"},
            EVENT.BOUNCED,
            "5.1.1",
            True,
        ),
        ({"event": "bounce", "type": "bounce"}, EVENT.BOUNCED, "bounce", True),
        (
            {"event": "bounce", "type": "bounce", "status": "5.2.2"},
            EVENT.BOUNCED,
            "5.2.2",
            False,
        ),
        (
            {"event": "bounce", "type": "blocked", "status": "5.7.1"},
            EVENT.BOUNCED,
            "5.7.1",
            False,
        ),
        ({"event": "bounce", "type": "expired"}, EVENT.EXPIRED, "expired", False),
        ({"event": "bounce"}, EVENT.BOUNCED, "bounce", False),
        (
            {"event": "dropped", "reason": "Unsubscribed Address"},
            EVENT.OPTED_OUT,
            "Unsubscribed Address",
            True,
        ),
        (
            {"event": "dropped", "reason": "Spam Reporting Address"},
            EVENT.OPTED_OUT,
            "Spam Reporting Address",
            True,
        ),
        (
            {"event": "dropped", "reason": "Bounced Address"},
            EVENT.FAILED,
            "Bounced Address",
            True,
        ),
        ({"event": "dropped", "reason": "Invalid"}, EVENT.FAILED, "Invalid", True),
        *[
            ({"event": "dropped", "reason": reason}, EVENT.FAILED, "dropped", False)
            for reason in (
                "Invalid SMTPAPI header",
                "Spam Content",
                "Recipient List over Package Quota",
                "li@example.com",
            )
        ],
        ({"event": "open"}, EVENT.READ, "open", False),
        ({"event": "open", "sg_machine_open": False}, EVENT.READ, "open", False),
        ({"event": "open", "sg_machine_open": True}, EVENT.DELIVERED, "open", False),
        ({"event": "click", "url": "https://x"}, EVENT.READ, "click", False),
        ({"event": "spamreport"}, EVENT.COMPLAINED, "spamreport", True),
        ({"event": "unsubscribe"}, EVENT.OPTED_OUT, "unsubscribe", True),
        ({"event": "group_unsubscribe"}, EVENT.OPTED_OUT, "group_unsubscribe", True),
        ({"event": "teleported"}, EVENT.UNKNOWN, "teleported", False),
    ],
)
def test_events(
    provider: sendgrid.Provider,
    fields: dict[str, Any],
    event: wire.ReceiptEvent,
    code: str,
    suppress: bool,
) -> None:
    row = {"email": "li@example.com", "sg_message_id": "abc.recvd", "gw_id": "ref", **fields}

    [receipt] = provider.read_receipts(post([row]))

    assert (receipt.event, receipt.code, receipt.suppress) == (event, code, suppress)
    assert receipt.reference == "ref"
    assert "@" not in receipt.detail


def test_recorded_events(
    provider: sendgrid.Provider, many: Many, recorded_request: Request, recorded_answer: Answer
) -> None:
    """The first names our reference; the second only the call, whose answer we remember."""
    [jane] = [replace(many(1)[0], to=wire.Address(email="Jane@example.org"))]
    [taken] = provider.read_response([jane], recorded_answer("sendgrid/answer_queued"))

    bounce, delivery = provider.read_receipts(recorded_request("sendgrid/receipt_events"))

    assert bounce.reference == "0195500a-5c00-7000-8000-000000000001-0-0-0"
    assert (bounce.event, bounce.code, bounce.suppress) == (EVENT.BOUNCED, "5.1.1", True)
    assert bounce.at is not None
    assert bounce.at.isoformat() == "2026-01-01T00:00:01+00:00"
    assert isinstance(taken, wire.Accepted)
    assert (delivery.reference, delivery.provider_id) == ("", taken.provider_id)


def test_asynchronous_bounce_is_known_by_our_reference(provider: sendgrid.Provider) -> None:
    row = {"email": "li@example.com", "event": "bounce", "type": "bounce", "gw_id": "ref"}

    [receipt] = provider.read_receipts(post([row]))

    assert (receipt.reference, receipt.provider_id) == ("ref", "")


def test_events_that_are_not_ours_are_left_out(provider: sendgrid.Provider) -> None:
    rows = [
        {"event": "group_resubscribe", "gw_id": "ref"},
        {"event": "delivered"},
        {"event": 7, "gw_id": "ref"},
        "open",
        {"event": "open", "gw_id": "ref"},
    ]

    [receipt] = provider.read_receipts(post(rows))

    assert receipt.event is EVENT.READ


@pytest.mark.parametrize(
    "body", [b"", b"[", b"[]", b"{}", b'{"event": "open"}', b"[7]", b'[{"event": null}]', b"\xff"]
)
def test_post_without_events_is_unreadable(provider: sendgrid.Provider, body: bytes) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_receipts(wire.HttpRequest(method="POST", url=URL, body=body))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"api_key": ""}, "api_key: is empty"),
        (
            {"from": "nobody"},
            "from: not a mailbox such as Example <no-reply@example.com>",
        ),
        (
            {"reply_to": "<>"},
            "reply_to: not a mailbox such as Example <no-reply@example.com>",
        ),
        *[
            ({key: value}, f"{key}: not a P-256 public key in base64")
            for key in ("verification_key", "verification_key_previous")
            for value in ("AAAA", "ü", "MCowBQYDK2VwAyEA" + "A" * 43 + "=")
        ],
    ],
)
def test_settings_that_cannot_work(faults_of: Faults, changes: dict[str, Any], fault: str) -> None:
    assert fault in faults_of("sendgrid", changes)


def test_key_does_not_print(make: Make) -> None:
    assert "SG." not in repr(
        sendgrid.Settings(api_key="SG.secret", from_="a@example.com", verification_key="")
    )


def test_post_is_answered_without_content(provider: sendgrid.Provider) -> None:
    assert provider.answer_receipt(post([])) == wire.HttpResponse(status=204)

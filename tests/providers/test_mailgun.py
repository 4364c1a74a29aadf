"""Mailgun against recorded bytes, the documented signature and its own SDK."""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import orjson
import pytest
from mailgun.security import SecurityGuard

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import mailgun

Make = Callable[..., mailgun.Provider]
Message = Callable[..., wire.Message]
Faults = Callable[..., Sequence[str]]
Request = Callable[[str], wire.HttpRequest]
Answer = Callable[[str], wire.HttpResponse]

URL = "https://gw.example.com/v1/receipts/main"
#: The vector: the documentation's token and time, signed with a key for tests.
VECTOR_AT = 1_529_006_854
VECTOR = {
    "timestamp": "1529006854",
    "token": "a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0",
    "signature": "ea80a3596ce790aa20ccea2a5ba5f2f725e02026d71bc488e9308afc89b5907b",
}


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> mailgun.Provider:
    return make("mailgun")


@pytest.fixture(name="vector")
def fixture_vector(make: Make, clock_at: Callable[[int], Clock]) -> mailgun.Provider:
    """At the time of the vector."""
    return make("mailgun", clock=clock_at(VECTOR_AT))


Many = Callable[..., list[wire.Message]]


def form_of(request: wire.HttpRequest) -> dict[str, list[str]]:
    return parse_qs(request.body.decode("ascii"), keep_blank_values=True)


def ids(built: Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]) -> list[list[str]]:
    return [[one.id for one in part] for part, _ in built]


def answer(status: int, message: object) -> wire.HttpResponse:
    return wire.HttpResponse(status=status, body=orjson.dumps({"message": message}))


def webhook(data: object, signature: Mapping[str, object] = VECTOR) -> wire.HttpRequest:
    body = orjson.dumps({"signature": signature, "event-data": data})
    return wire.HttpRequest(method="POST", url=URL, body=body)


def only(results: Sequence[wire.AttemptResult]) -> wire.AttemptResult:
    [one] = results
    return one


def test_request_is_as_recorded(
    provider: mailgun.Provider, message: Message, recorded_request: Request
) -> None:
    [(carried, request)] = provider.build_requests([message()])

    assert carried == [message()]
    assert request == recorded_request("mailgun/send")


def test_batch_is_as_recorded(make: Make, many: Many, recorded_request: Request) -> None:
    provider = make("mailgun", reply_to="Hilfe für Alle <help@example.com>", tracking=False)

    [(carried, request)] = provider.build_requests(many(2))

    assert [one.id for one in carried] == ["m-0", "m-1"]
    assert request == recorded_request("mailgun/send_batch")


@pytest.mark.parametrize(
    ("settings", "origin"),
    [
        ({}, "https://api.mailgun.net"),
        ({"region": "eu"}, "https://api.eu.mailgun.net"),
        ({"region": "eu", "base_url": "http://127.0.0.1:1/"}, "http://127.0.0.1:1"),
    ],
)
def test_region_has_a_host_of_its_own(
    make: Make, message: Message, settings: dict[str, Any], origin: str
) -> None:
    [(_, request)] = make("mailgun", settings).build_requests([message()])

    assert request.url == f"{origin}/v3/mg.example.com/messages"


def test_recipients_never_see_each_other(provider: mailgun.Provider, many: Many) -> None:
    messages = many(3)

    [(_, request)] = provider.build_requests(messages)

    form = form_of(request)
    variables = orjson.loads(form["recipient-variables"][0])
    assert form["to"] == list(variables) == [one.to.email for one in messages]


def test_what_differs_is_filled_in_for_each(provider: mailgun.Provider, many: Many) -> None:
    messages = [
        replace(
            one,
            content=wire.Content(
                text="Hi",
                subject=f"For {one.id}",
                extra={"list_unsubscribe": f"https://u.example.com/{one.id}"},
            ),
        )
        for one in many(2)
    ]

    [(_, request)] = provider.build_requests(messages)

    form = form_of(request)
    variables = orjson.loads(form["recipient-variables"][0])
    for one in messages:

        def filled(name: str, own: Mapping[str, str] = variables[one.to.email]) -> str:
            [text] = form[name]
            for key, value in own.items():
                text = text.replace(f"%recipient.{key}%", value)
            return text

        assert filled("subject") == one.content.subject
        assert filled("v:gw_id") == one.reference
        assert filled("h:List-Unsubscribe") == f"<https://u.example.com/{one.id}>"
        assert filled("h:List-Unsubscribe-Post") == "List-Unsubscribe=One-Click"


@pytest.mark.parametrize(
    "content",
    [
        {"text": "100 %recipients"},
        {"subject": "%recipient.v0%"},
        {"html": "<p>%recipient%</p>"},
        {"extra": {"list_unsubscribe": "https://u.example.com/%recipient.v0%"}},
    ],
)
def test_text_that_would_be_filled_in_goes_alone(
    provider: mailgun.Provider, many: Many, content: dict[str, Any]
) -> None:
    built = provider.build_requests(many(2, **content))

    assert ids(built) == [["m-0"], ["m-1"]]
    assert all("recipient-variables" not in form_of(request) for _, request in built)


def test_different_texts_and_headers_go_apart(provider: mailgun.Provider, many: Many) -> None:
    plain = many(2)
    left = many(3, extra={"list_unsubscribe": "mailto:u@example.com"})[2:]
    one_click = many(4, extra={"list_unsubscribe": "https://u.example.com/"})[3:]
    other = many(5, text="other")[4:]

    built = provider.build_requests([*plain, *left, *one_click, *other])

    assert ids(built) == [["m-0", "m-1"], ["m-2"], ["m-3"], ["m-4"]]


def test_no_address_is_twice_in_a_call(provider: mailgun.Provider, many: Many) -> None:
    one, two, three = many(3)

    built = provider.build_requests([one, replace(two, to=one.to), three])

    assert ids(built) == [["m-0", "m-2"], ["m-1"]]


@pytest.mark.parametrize(("batch", "sizes"), [(1000, [1000, 1]), (1, [1] * 1001)])
def test_batch_is_no_larger_than_allowed(
    make: Make, many: Many, batch: int, sizes: list[int]
) -> None:
    built = make("mailgun", batch=batch).build_requests(many(1001))

    assert [len(part) for part, _ in built] == sizes


def test_message_without_any_text_is_left_to_the_service(
    provider: mailgun.Provider, many: Many
) -> None:
    [(_, empty)] = provider.build_requests(many(1, text=""))
    [(_, html)] = provider.build_requests(many(1, text="", html="<p>x</p>"))

    assert form_of(empty)["text"] == [""]
    assert "text" not in form_of(html)


def test_form_carries_any_text_whole(provider: mailgun.Provider, many: Many) -> None:
    text, subject = "a=1&b=%20+ ü\r\n\ud800 €", "Bücher & Co"

    [(_, request)] = provider.build_requests(many(1, text=text, subject=subject))

    form = dict(parse_qsl(request.body.decode("ascii")))
    assert (form["text"], form["subject"]) == (text.replace("\ud800", "?"), subject)


def test_test_mode_is_asked_for(make: Make, message: Message) -> None:
    [(_, request)] = make("mailgun", test_mode=True).build_requests([message()])

    assert form_of(request)["o:testmode"] == ["yes"]


def test_taken_call_names_each_message(
    provider: mailgun.Provider, many: Many, recorded_answer: Answer
) -> None:
    results = provider.read_response(many(2), recorded_answer("mailgun/answer_queued"))

    names = [one.provider_id for one in results if isinstance(one, wire.Accepted)]
    assert len(set(names)) == 2
    assert all(name.startswith("20111114174239.25659.5817@samples.mailgun.org/") for name in names)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"message": "Queued. Thank you."}',
        b'{"id": "", "message": "Queued."}',
        b'{"id": 7, "message": "Queued."}',
        b'{"id": "<a@b>", "message": "Hm"}',
        b'{"id": "<a@b>"',
    ],
)
def test_success_without_id_is_unknown(
    provider: mailgun.Provider, message: Message, body: bytes
) -> None:
    result = only(provider.read_response([message()], wire.HttpResponse(status=200, body=body)))

    assert isinstance(result, wire.Unknown)


def test_answer_of_a_wrong_path_is_no_success(provider: mailgun.Provider, many: Many) -> None:
    response = wire.HttpResponse(status=200, body=b"Mailgun Magnificent API")

    results = provider.read_response(many(2), response)

    assert {(type(one), getattr(one, "scope", "")) for one in results} == {
        (wire.Rejected, wire.Scope.PROVIDER)
    }


CREDENTIAL, THROTTLED = wire.Cause.CREDENTIAL, wire.Cause.THROTTLED
BAD_TO = "'to' parameter is not a valid address. please check documentation"


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (
            400,
            BAD_TO,
            wire.Rejected(code="http_400", detail="address refused", scope=wire.Scope.RECIPIENT),
        ),
        (
            400,
            "to parameter is not a valid address. please check documentation",
            wire.Rejected(code="http_400", detail="address refused", scope=wire.Scope.RECIPIENT),
        ),
        (400, "from parameter is not a valid address", wire.Rejected(code="http_400")),
        (400, "Too many recipients, max is 1000", wire.Rejected(code="http_400")),
        (400, "to parameter is missing", wire.Rejected(code="http_400")),
        (400, None, wire.Rejected(code="http_400")),
        (
            400,
            "Domain mg.example.com is not allowed to send: not activated",
            wire.Deferred(code="http_400", detail="domain may not send", cause=CREDENTIAL),
        ),
        (401, "Forbidden", wire.Deferred(code="http_401", cause=CREDENTIAL)),
        (402, "Request failed", wire.Rejected(code="http_402")),
        (
            403,
            "not allowed to send large batches yet",
            wire.Rejected(
                code="http_403", detail="no large batches yet", scope=wire.Scope.PROVIDER
            ),
        ),
        (403, "IP 192.0.2.1 can't be used", wire.Deferred(code="http_403", cause=CREDENTIAL)),
        (
            404,
            "Domain not found: x",
            wire.Deferred(code="http_404", detail="domain unknown here", cause=CREDENTIAL),
        ),
        (413, "request size exceeds 52.4MiB limit", wire.Rejected(code="http_413")),
        (429, "x", wire.Deferred(code="http_429", cause=THROTTLED)),
        (500, "x", wire.Deferred(code="http_500")),
        (503, "x", wire.Deferred(code="http_503")),
    ],
)
def test_refusals(
    provider: mailgun.Provider,
    message: Message,
    status: int,
    text: object,
    expected: wire.AttemptResult,
) -> None:
    assert only(provider.read_response([message()], answer(status, text))) == expected


@pytest.mark.parametrize(
    ("status", "text"),
    [(400, BAD_TO), (400, "x"), (402, "x"), (403, "not allowed to send large batches yet")],
)
def test_call_that_one_message_spoilt_may_be_repeated_in_other_company(
    provider: mailgun.Provider, many: Many, status: int, text: str
) -> None:
    results = provider.read_response(many(3), answer(status, text))

    again = wire.Deferred(
        code=f"http_{status}",
        detail="refused with its call",
        cause=wire.Cause.RECIPIENT,
        apart=True,
    )
    assert results == [again] * 3


def test_too_large_content_is_everybodys(provider: mailgun.Provider, many: Many) -> None:
    results = provider.read_response(many(2), answer(413, "x"))

    assert results == [wire.Rejected(code="http_413")] * 2


@pytest.mark.parametrize(
    ("text", "headers", "wait"),
    [
        (
            "Domain a recipient limit exceeded, try again after Sun, 01 Mar 2026 12:00:30 GMT",
            {"x-ratelimit-reset": "1772366400"},
            30.0,
        ),
        (
            "request limit exceeded, try again after Sun, 01 Mar 2026 11:00:00 GMT",
            {},
            0.0,
        ),
        ("try again after some time or other", {"x-ratelimit-reset": "1772366407"}, 7.0),
        ("bytes limit exceeded", {"retry-after": "5"}, 5.0),
        ("bytes limit exceeded", {"x-ratelimit-reset": "soon"}, None),
    ],
)
def test_limit_says_when_it_ends(
    provider: mailgun.Provider,
    message: Message,
    text: str,
    headers: dict[str, str],
    wait: float | None,
) -> None:
    response = replace(answer(429, text), headers=headers)

    result = only(provider.read_response([message()], response))

    assert isinstance(result, wire.Deferred)
    assert (result.cause, result.retry_after) == (THROTTLED, wait)


def test_vector(vector: mailgun.Provider) -> None:
    assert vector.verify_receipt(webhook({}))
    assert SecurityGuard.verify_webhook("key-test-signing", **VECTOR, max_age_seconds=0)


@pytest.mark.parametrize(
    "change",
    [
        {"timestamp": "1529006855"},
        {"timestamp": 1529006854},
        {"token": "b8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0"},
        {"signature": VECTOR["signature"].upper()},
        {"signature": ""},
        {"signature": "ü"},
        {"signature": None},
        {"token": ""},
    ],
)
def test_changed_vector_is_refused(vector: mailgun.Provider, change: dict[str, Any]) -> None:
    assert not vector.verify_receipt(webhook({}, {**VECTOR, **change}))


def test_empty_token_proves_nothing(vector: mailgun.Provider) -> None:
    """Else whoever learnt one such signature could sign anything."""
    signature = hmac.digest(b"key-test-signing", b"1529006854", hashlib.sha256).hex()

    signed = {"timestamp": "1529006854", "token": "", "signature": signature}

    assert not vector.verify_receipt(webhook({}, signed))


@pytest.mark.parametrize(("later", "good"), [(8 * 3600, True), (10 * 3600, False), (-301, False)])
def test_webhook_may_be_as_old_as_the_service_repeats_it(
    make: Make, clock_at: Callable[[int], Clock], later: int, good: bool
) -> None:
    provider = make("mailgun", clock=clock_at(VECTOR_AT + later))

    assert provider.verify_receipt(webhook({})) is good


def test_key_of_before_the_rotation_still_verifies(
    make: Make, clock_at: Callable[[int], Clock]
) -> None:
    rotated = make(
        "mailgun",
        signing_key="new",
        signing_key_previous="key-test-signing",
        clock=clock_at(VECTOR_AT),
    )

    assert rotated.verify_receipt(webhook({}))


def test_without_a_key_nothing_is_believed_or_promised(
    make: Make, clock_at: Callable[[int], Clock]
) -> None:
    provider = make("mailgun", signing_key="", clock=clock_at(VECTOR_AT))

    signature = hmac.digest(b"", b"1529006854t", hashlib.sha256).hex()
    signed = {"timestamp": "1529006854", "token": "t", "signature": signature}
    assert provider.reports == frozenset()
    assert not provider.verify_receipt(webhook({}, signed))


def test_recorded_failure(
    provider: mailgun.Provider, many: Many, recorded_request: Request
) -> None:
    [receipt] = provider.read_receipts(recorded_request("mailgun/receipt_failed"))

    assert receipt.event is wire.ReceiptEvent.FAILED
    assert (receipt.code, receipt.suppress) == ("605 5.1.1", True)
    assert receipt.reference == "0195500a-5c00-7000-8000-000000000001-0-0-0"
    assert receipt.at is not None
    assert receipt.at.isoformat() == "2018-06-22T21:12:49.818328+00:00"
    assert "@" not in receipt.detail


EVENT = wire.ReceiptEvent


def event_data(**fields: Any) -> dict[str, Any]:
    return {
        "id": "pl271FzxTTmGRW8Uj3dUWw",
        "timestamp": 1529701969.8,
        "recipient": "joan@example.com",
        "message": {"headers": {"message-id": "20111114174239.25659.5817@samples.mailgun.org"}},
        "user-variables": {"gw_id": "ref"},
        **fields,
    }


def failed(reason: str = "", severity: str = "permanent", **status: Any) -> dict[str, Any]:
    names = {name.replace("_", "-"): value for name, value in status.items()}
    return event_data(
        event="failed", severity=severity, reason=reason, **{"delivery-status": names}
    )


@pytest.mark.parametrize(
    ("data", "event", "suppress"),
    [
        (event_data(event="accepted"), EVENT.SENT, False),
        (event_data(event="delivered"), EVENT.DELIVERED, False),
        (event_data(event="rejected", reject={"reason": "x"}), EVENT.FAILED, False),
        (event_data(event="opened"), EVENT.READ, False),
        (event_data(event="opened", **{"client-info": {"bot": ""}}), EVENT.READ, False),
        (event_data(event="opened", **{"client-info": {"bot": "apple"}}), EVENT.DELIVERED, False),
        (event_data(event="clicked", **{"client-info": {"bot": "gmail"}}), EVENT.DELIVERED, False),
        (event_data(event="clicked"), EVENT.READ, False),
        (event_data(event="complained"), EVENT.COMPLAINED, True),
        (event_data(event="unsubscribed"), EVENT.OPTED_OUT, True),
        (event_data(event="teleported"), EVENT.UNKNOWN, False),
        (failed("generic", "temporary", code=451), EVENT.ACCEPTED, False),
        (failed("suppress-bounce"), EVENT.FAILED, True),
        (failed("", code=605), EVENT.FAILED, True),
        (failed("suppress-unsubscribe"), EVENT.OPTED_OUT, True),
        (failed("", code=606), EVENT.OPTED_OUT, True),
        (failed("suppress-complaint"), EVENT.OPTED_OUT, True),
        (failed("", code=607), EVENT.OPTED_OUT, True),
        (failed("bounce", code=550, enhanced_code="5.1.1"), EVENT.BOUNCED, True),
        (failed("bounce"), EVENT.BOUNCED, True),
        (failed("bounce", code=550, message="blocked using spam list"), EVENT.BOUNCED, False),
        (failed("bounce", code=552, enhanced_code="5.2.2"), EVENT.BOUNCED, False),
        (failed("generic", code=550, enhanced_code="5.1.10"), EVENT.BOUNCED, True),
        (failed("generic", code=550), EVENT.BOUNCED, True),
        (failed("generic", code=550, enhanced_code="5.7.1"), EVENT.BOUNCED, False),
        (failed("generic", code=498, enhanced_code="5.1.1"), EVENT.BOUNCED, False),
        (failed("generic", code=554), EVENT.BOUNCED, False),
        (failed("generic", bounce_code="5.1.1"), EVENT.BOUNCED, True),
        (failed("old", code=602), EVENT.EXPIRED, False),
        (failed("x" * 99, code="x" * 99), EVENT.BOUNCED, False),
        (event_data(event="failed", **{"delivery-status": 7}), EVENT.BOUNCED, False),
    ],
)
def test_events(
    provider: mailgun.Provider,
    data: dict[str, Any],
    event: wire.ReceiptEvent,
    suppress: bool,
) -> None:
    [receipt] = provider.read_receipts(webhook(data))

    assert (receipt.event, receipt.suppress, receipt.reference) == (event, suppress, "ref")
    assert 0 < len(receipt.code) <= 64


@pytest.mark.parametrize("variables", [{}, {"gw_id": "%recipient.v1%"}, None])
def test_event_without_our_reference_is_known_by_call_and_recipient(
    provider: mailgun.Provider, many: Many, recorded_answer: Answer, variables: object
) -> None:
    first, _ = many(2)
    taken, _ = provider.read_response(many(2), recorded_answer("mailgun/answer_queued"))
    data = event_data(event="delivered", **{"user-variables": variables})

    [receipt] = provider.read_receipts(webhook({**data, "recipient": first.to.email.upper()}))

    assert isinstance(taken, wire.Accepted)
    assert (receipt.reference, receipt.provider_id) == ("", taken.provider_id)


def test_recipient_of_a_rejected_message_is_in_its_header(provider: mailgun.Provider) -> None:
    known = event_data(event="delivered", recipient="joan@example.com")
    headers = {**known["message"]["headers"], "to": "Joan <joan@example.com>"}
    rejected = event_data(event="rejected", recipient=None, message={"headers": headers})

    [one] = provider.read_receipts(webhook(known))
    [other] = provider.read_receipts(webhook(rejected))

    assert one.provider_id == other.provider_id


def test_incoming_mail_is_no_receipt(provider: mailgun.Provider) -> None:
    assert provider.read_receipts(webhook({"event": "stored"})) == []


@pytest.mark.parametrize(
    "data",
    [None, {}, [], {"event": 7}, {"event": "delivered"}, {"user-variables": {"gw_id": "ref"}}],
)
def test_webhook_without_event_or_id_is_unreadable(
    provider: mailgun.Provider, data: object
) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_receipts(webhook(data))


def test_only_200_is_done(provider: mailgun.Provider) -> None:
    assert provider.answer_receipt(webhook({})) == wire.HttpResponse(status=200)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"api_key": ""}, "api_key: is empty"),
        ({"domain": ""}, "domain: not a domain's name"),
        ({"domain": "mg.example.com/x"}, "domain: not a domain's name"),
        ({"batch": 0}, "batch: not between 1 and 1000"),
        ({"batch": 1001}, "batch: not between 1 and 1000"),
        ({"region": "mars"}, "region: not one of us, eu"),
        ({"from": ""}, "from: not a mailbox such as Example <no-reply@example.com>"),
    ],
)
def test_settings_that_cannot_work(faults_of: Faults, changes: dict[str, Any], fault: str) -> None:
    assert faults_of("mailgun", changes) == [fault]

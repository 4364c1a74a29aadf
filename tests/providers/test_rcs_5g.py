"""5G messages against recorded bytes."""

import base64
import email
import email.policy
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest

from gateway.model import errors, wire
from gateway.providers import rcs_5g

Make = Callable[..., rcs_5g.Provider]
Message = Callable[..., wire.Message]
Request = Callable[[str], wire.HttpRequest]
Answer = Callable[[str], wire.HttpResponse]

PHONE = "+8615300000001"
BOT = "sip:10655000000001@botplatform.rcs.chinamobile.com"
ID = "2827c3a6-ee61-11ea-a172-fa163e6a8a4e"
REFERENCE = "0195500a-5c00-7000-8000-%012d-0-0-0"


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> rcs_5g.Provider:
    return make("rcs_5g")


@pytest.fixture(name="note")
def fixture_note(message: Message) -> Message:
    """A notice to a number."""

    def build(
        phone: str = PHONE, text: str = "您的快递今日送达", number: int = 1, **changes: Any
    ) -> wire.Message:
        content = changes.pop("content", wire.Content(text=text, extra=changes.pop("extra", {})))
        fields = {
            "to": wire.Address(phone=phone),
            "content": content,
            "reference": REFERENCE % number,
            "channel": wire.Channel.RCS,
            "category": "service",
        }
        return message(**{**fields, **changes})

    return build


def sent(request: wire.HttpRequest) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(request.body)
    return found


def said(provider: rcs_5g.Provider, message: wire.Message) -> tuple[str, str]:
    [(_, request)] = provider.build_requests([message])
    body = sent(request)["outboundIMMessage"]
    assert body["contentEncoding"] == "utf8"
    return body["contentType"], body["bodyText"]


def read(
    provider: rcs_5g.Provider, messages: Sequence[wire.Message], status: int, body: bytes = b"{}"
) -> Sequence[wire.AttemptResult]:
    return provider.read_response(messages, wire.HttpResponse(status=status, body=body))


def posted(**fields: Any) -> wire.HttpRequest:
    return wire.HttpRequest(method="POST", url="https://x/r", body=orjson.dumps(fields))


def report(provider: rcs_5g.Provider, **fields: Any) -> wire.DeliveryReceipt:
    told = {"address": f"tel:{PHONE}", "messageId": ID, **fields}
    [receipt] = provider.read_receipts(posted(deliveryInfo=told))
    return receipt


def test_request_is_as_recorded(
    provider: rcs_5g.Provider, note: Message, recorded_request: Request
) -> None:
    [(carried, request)] = provider.build_requests([note()])

    assert carried == (note(),)
    assert request == recorded_request("rcs_5g/send")


def test_equal_contents_share_calls_of_a_hundred_numbers(
    provider: rcs_5g.Provider, note: Message
) -> None:
    many = [note(f"+86153{at:08d}", number=at) for at in range(101)]
    others = [note("+8615400000001", "other", 101), note(many[0].to.phone, number=102)]
    news = note("+8615400000002", number=103, category="marketing")

    built = provider.build_requests([*many, *others, news])

    assert [len(carried) for carried, _ in built] == [100, 2, 1, 1]
    first = sent(built[0][1])
    assert first["destinationAddress"] == [f"tel:{one.to.phone}" for one in many[:100]]
    assert first["address"] == first["destinationAddress"][0]
    assert [sent(request)["productType"] for _, request in built] == [1, 1, 1, 2]
    correlators = {sent(request)["clientCorrelator"] for _, request in built}
    assert len(correlators) == 4
    assert all(len(one) <= 48 for one in correlators)


def test_same_messages_have_the_same_ids_again(provider: rcs_5g.Provider, note: Message) -> None:
    messages = [note(), note("+8615300000002", number=2)]

    assert provider.build_requests(messages) == provider.build_requests(messages)


def test_operators_may_want_numbers_as_a_text(make: Make, note: Message) -> None:
    provider = make("rcs_5g", numbers="text")

    [(_, request)] = provider.build_requests([note(), note("+8615300000002", number=2)])

    assert sent(request)["destinationAddress"] == "tel:+8615300000001,tel:+8615300000002"


def test_platform_falls_back_to_sms_where_it_is_told_to(make: Make, note: Message) -> None:
    [(_, request)] = make("rcs_5g", sms_fallback=True).build_requests([note()])

    body = sent(request)["outboundIMMessage"]
    assert body["shortMessageSupported"] == "true"
    assert body["reportRequest"] == ["Delivered", "Displayed", "Failed", "SMS"]


def test_title_stands_above_the_text_and_a_link_below(
    provider: rcs_5g.Provider, note: Message
) -> None:
    linked = wire.Content(title="T", text="x", extra={"link": "https://example.com/t"})

    assert said(provider, note(content=wire.Content(title="T", text="x"))) == ("text/plain", "T\nx")
    assert said(provider, note(content=linked)) == ("text/plain", "T\nx\nhttps://example.com/t")


def test_card_and_file_of_a_template_go_as_they_are(
    provider: rcs_5g.Provider, note: Message
) -> None:
    card = {"message": {"generalPurposeCard": {"content": {"title": "快递"}}}}
    file = '<?xml version="1.0"?><file/>'

    def own(**table: Any) -> wire.Message:
        return note(content=wire.Content(text="x", provider_templates={"rcs_5g": table}))

    kind, body = said(provider, own(card=card))
    assert kind == "application/vnd.gsma.botmessage.v1.0+json"
    assert orjson.loads(body) == card
    assert said(provider, own(file=file)) == ("application/vnd.gsma.rcs-ft-http+xml", file)


def test_suggestions_are_a_part_of_their_own(provider: rcs_5g.Provider, note: Message) -> None:
    suggestions = [
        {"text": "好的", "postback": "ok"},
        {"text": "Track", "link": "https://example.com/a"},
        {"text": "Call", "phone": "+8610086"},
    ]

    kind, body = said(provider, note(extra={"suggestions": suggestions}))

    assert kind == 'multipart/mixed; boundary="[delimiter]"'
    whole = f"Content-Type: {kind}\r\n\r\n{body}".encode()
    parts: Any = email.message_from_bytes(whole, policy=email.policy.HTTP)
    text, buttons = parts.get_payload()
    assert (text.get_content_type(), text.get_payload(decode=True).decode()) == (
        "text/plain",
        "您的快递今日送达",
    )
    assert buttons.get_content_type() == "application/vnd.gsma.botsuggestion.v1.0+json"
    payload = buttons.get_payload(decode=True)
    assert int(buttons["content-length"]) == len(payload)
    assert orjson.loads(payload) == {
        "suggestions": [
            {"reply": {"displayText": "好的", "postback": {"data": "ok"}}},
            {
                "action": {
                    "urlAction": {"openUrl": {"url": "https://example.com/a"}},
                    "displayText": "Track",
                    "postback": {"data": "Track"},
                }
            },
            {
                "action": {
                    "dialerAction": {"dialPhoneNumber": {"phoneNumber": "+8610086"}},
                    "displayText": "Call",
                    "postback": {"data": "Call"},
                }
            },
        ]
    }


def test_text_cannot_end_its_own_part(provider: rcs_5g.Provider, note: Message) -> None:
    kind, body = said(
        provider, note(text="--[delimiter]--", extra={"suggestions": [{"text": "a"}]})
    )

    assert kind == 'multipart/mixed; boundary="[delimiter-]"'
    assert body.count("--[delimiter-]") == 3


@pytest.mark.parametrize(
    "suggestions", [[{"text": "a"}] * 12, [{"text": ""}], [{"text": "a", "link": 7}], ["a"]]
)
def test_wrong_suggestions_are_unfit(
    provider: rcs_5g.Provider, note: Message, suggestions: Any
) -> None:
    with pytest.raises(ValueError, match="suggestions"):
        provider.build_requests([note(extra={"suggestions": suggestions})])


@pytest.mark.parametrize("body", [b'{"messageId":"m1"}', b'{"code":0,"result":{"messageId":"m1"}}'])
def test_taken_messages_are_named_by_call_and_number(
    provider: rcs_5g.Provider, note: Message, body: bytes
) -> None:
    first, second = read(provider, [note(), note("+8615300000002")], 200, body)

    assert isinstance(first, wire.Accepted)
    assert isinstance(second, wire.Accepted)
    assert first.provider_id.startswith("m1/")
    assert first.provider_id != second.provider_id


@pytest.mark.parametrize(("status", "body"), [(200, b"{}"), (202, b""), (204, b" ")])
def test_answer_without_id_means_taken_too(
    provider: rcs_5g.Provider, note: Message, status: int, body: bytes
) -> None:
    assert read(provider, [note()], status, body) == [wire.Accepted()]


def test_page_for_an_answer_says_nothing(provider: rcs_5g.Provider, note: Message) -> None:
    [result] = read(provider, [note()], 200, b"<html>log in</html>")

    assert isinstance(result, wire.Unknown)


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (401, wire.Cause.CREDENTIAL),
        (403, wire.Cause.CREDENTIAL),
        (429, wire.Cause.THROTTLED),
        (500, wire.Cause.TEMPORARY),
        (503, wire.Cause.TEMPORARY),
    ],
)
def test_what_may_be_repeated_goes_by_status(
    provider: rcs_5g.Provider, note: Message, status: int, cause: wire.Cause
) -> None:
    results = read(provider, [note(), note("+8615300000002")], status)

    for one in results:
        assert isinstance(one, wire.Deferred)
        assert (one.cause, one.apart) == (cause, False)


@pytest.mark.parametrize("status", [400, 404, 422])
def test_refused_message_is_permanent_and_a_refused_call_is_split(
    provider: rcs_5g.Provider, note: Message, status: int
) -> None:
    alone = read(provider, [note()], status)
    together = read(provider, [note(), note("+8615300000002")], status)

    assert alone == [wire.Rejected(code=f"http_{status}")]
    for one in together:
        assert isinstance(one, wire.Deferred)
        assert one.apart


def test_report_is_believed_and_names_its_message(
    provider: rcs_5g.Provider, note: Message, recorded_request: Request, recorded_answer: Answer
) -> None:
    request = recorded_request("rcs_5g/report")
    [result] = provider.read_response([note()], recorded_answer("rcs_5g/answer_sent"))

    [receipt] = provider.read_receipts(request)

    assert provider.verify_receipt(request)
    assert isinstance(result, wire.Accepted)
    assert receipt == wire.DeliveryReceipt(
        event=wire.ReceiptEvent.DELIVERED, provider_id=result.provider_id, code="UP2"
    )
    assert provider.read_inbound(request) == []
    assert provider.answer_receipt(request).status == 200


def test_link_that_ends_in_our_reference_names_the_message(provider: rcs_5g.Provider) -> None:
    href = f"http://maap.example.com/messaging/v1/outbound/sip%3A1/requests/{REFERENCE % 1}/status"
    told = {"address": f"tel:{PHONE}", "deliveryStatus": "MessageSent"}

    [receipt] = provider.read_receipts(posted(deliveryInfo=told, link=[{"href": href}, 7]))

    assert (receipt.reference, receipt.event) == (REFERENCE % 1, wire.ReceiptEvent.SENT)


STATUSES = {
    "MessageSent": ("sent", ""),
    "DeliveredToTerminal": ("delivered", ""),
    "DeliveredToNetwork": ("delivered", "as SMS"),
    "DeliveredToSMS": ("delivered", "as SMS"),
    "DeliverdToSMS": ("delivered", "as SMS"),
    "DeliveredToVms": ("delivered", "as video message"),
    "MessageDisplayed": ("read", ""),
    "DeliveryImpossible": ("failed", ""),
    "DeliveredToSMSFailed": ("failed", "as SMS"),
    "DeliverdToSMSFailed": ("failed", "as SMS"),
    "DeliveredToVmsFailed": ("failed", "as video message"),
    "Unheard": ("unknown", ""),
}


@pytest.mark.parametrize(("status", "told"), STATUSES.items())
def test_status_of_a_report(provider: rcs_5g.Provider, status: str, told: tuple[str, str]) -> None:
    receipt = report(provider, deliveryStatus=status, description="SVC0004")

    assert (receipt.event, receipt.detail, receipt.code) == (*told, "SVC0004")


def test_words_of_a_report_are_not_passed_on(provider: rcs_5g.Provider) -> None:
    receipt = report(
        provider, deliveryStatus="DeliveryImpossible", description="no +8615300000001", text="x"
    )

    assert receipt.code == "DeliveryImpossible"
    assert PHONE not in str(receipt)


@pytest.mark.parametrize(("status", "event"), [("Revoked", "expired"), ("RevokeFailed", "unknown")])
def test_revocation_ends_a_message(
    provider: rcs_5g.Provider, recorded_request: Request, status: str, event: str
) -> None:
    request = recorded_request("rcs_5g/revoked")
    body = request.body.replace(b"Revoked", status.encode())

    [receipt] = provider.read_receipts(
        wire.HttpRequest(method="POST", url=request.url, headers=request.headers, body=body)
    )

    assert receipt.event == event
    assert receipt.provider_id.startswith(f"{ID}/")


@pytest.mark.parametrize(
    ("header", "good"),
    [
        ('Username="chatbot-1",Password="what reports bring"', True),
        ('Username="chatbot-1", Password="what reports bring"', True),
        ('Username="chatbot-2",Password="what reports bring"', False),
        ('Username="chatbot-1",Password="what reports"', False),
        ('Username="chatbot-1"', False),
        ("Basic Y2hhdGJvdC0xOng=", False),
        ("", False),
    ],
)
def test_report_is_believed_by_its_pair(provider: rcs_5g.Provider, header: str, good: bool) -> None:
    request = wire.HttpRequest(method="POST", url="https://x/", headers={"authorization": header})

    assert provider.verify_receipt(request) is good


def test_nothing_is_believed_without_a_pair(make: Make) -> None:
    provider = make("rcs_5g", callback_username="", callback_password="")
    headers = {"authorization": 'Username="",Password=""'}

    assert not provider.verify_receipt(wire.HttpRequest(method="POST", url="x", headers=headers))
    assert provider.reports == frozenset()


def test_what_somebody_writes_is_brought(
    provider: rcs_5g.Provider, recorded_request: Request
) -> None:
    request = recorded_request("rcs_5g/inbound")

    assert provider.verify_receipt(request)
    assert provider.read_receipts(request) == []
    assert provider.read_inbound(request) == [
        wire.InboundMessage(sender=PHONE, to=BOT, text="退订", provider_id="SFF$#REGFY7&^%THT")
    ]


SUGGESTED = "application/vnd.gsma.botsuggestion.response.v1.0+json"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"bodyText": "6YCA6K6i", "contentEncoding": "base64"}, "退订"),
        ({"bodyText": "%", "contentEncoding": "base64"}, ""),
        (
            {
                "contentType": SUGGESTED,
                "bodyText": '{"response":{"reply":{"displayText":"TD","postback":{"data":"x"}}}}',
            },
            "TD",
        ),
        (
            {
                "contentType": f"{SUGGESTED}; charset=utf-8",
                "bodyText": base64.b64encode(
                    b'{"response":{"action":{"postback":{"data":"x"}}}}'
                ).decode(),
                "contentEncoding": "Base64",
            },
            "x",
        ),
        ({"contentType": SUGGESTED, "bodyText": "no JSON"}, ""),
    ],
)
def test_what_somebody_says_is_text(
    provider: rcs_5g.Provider, fields: dict[str, str], text: str
) -> None:
    basic = {"senderAddress": "sip:+8615300000001@ims.example.com", "contributionID": "c"}
    direct = posted(**basic, **fields, destinationAddress=BOT)
    nested = posted(**basic, destinationAddress=BOT, inboundIMMessage=fields)

    for request in (direct, nested):
        [found] = provider.read_inbound(request)
        assert (found.sender, found.to, found.text) == (PHONE, BOT, text)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"deliveryInfo": {"deliveryStatus": "MessageSent"}},
        {"deliveryInfo": {"messageId": ID, "address": "tel:+8615300000001"}},
    ],
)
def test_other_posts_are_unreadable(provider: rcs_5g.Provider, fields: Any) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_receipts(posted(**fields))


def test_message_of_nobody_is_unreadable(provider: rcs_5g.Provider) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_inbound(posted(senderAddress="tel:", contributionID="c"))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"base_url": ""}, "base_url: is empty"),
        ({"chatbot": ""}, "chatbot: is empty"),
        ({"password": 'a"b'}, "password: cannot stand in a header"),
        ({"app_id": "a\nb"}, "app_id: cannot stand in a header"),
        ({"callback_password": ""}, "callback_password: missing"),
        ({"callback_username": ""}, "callback_username: missing"),
        ({"numbers": "array"}, "numbers: not one of list, text"),
    ],
)
def test_settings_that_cannot_work_name_their_key(
    make: Make, changes: dict[str, str], fault: str
) -> None:
    with pytest.raises(errors.SettingsError, match=fault):
        make("rcs_5g", changes)

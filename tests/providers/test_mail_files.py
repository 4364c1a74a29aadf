"""Files of an email, as each service of email wants them."""

import base64
import email.policy
from collections.abc import Callable
from typing import Any

import botocore.session
import orjson
import pytest
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator
from postmark.models.outbound import Email
from sendgrid.helpers import mail as sdk

from gateway.content import templates
from gateway.model import wire
from gateway.providers import forms

Make = Callable[..., Any]
Message = Callable[..., wire.Message]

SERVICES = ("mailgun", "postmark", "sendgrid", "ses")
PDF = b"%PDF-1.7\r\n--form-\x00\xff"
PNG = b"\x89PNG\r\n"


def table(name: str, data: bytes, **more: str) -> dict[str, str]:
    return {"name": name, "data": base64.b64encode(data).decode(), **more}


BILL = table("Rechnung für Li “7”.pdf", PDF, type="application/pdf")
LOGO = table("logo.png", PNG, type="image/png", inline="logo@example.com")


def content(*files: dict[str, str], **texts: str) -> wire.Content:
    posted = {"text": "hello", "html": "<img src='cid:logo@example.com'>", "subject": "S", **texts}
    return templates.from_content(
        {**posted, "email": {"attachments": list(files)}}, wire.Channel.EMAIL
    )


@pytest.fixture(name="send")
def fixture_send(make: Make, message: Message) -> Callable[..., wire.HttpRequest]:
    """The request of one service for one mail with these files."""

    def build(kind: str, *files: dict[str, str]) -> wire.HttpRequest:
        request: wire.HttpRequest
        [(_, request)] = make(kind).build_requests([message(content=content(*files))])
        return request

    return build


Send = Callable[..., wire.HttpRequest]


def test_ses_gets_them_as_amazon_s_own_library_would_send_them(send: Send) -> None:
    service = botocore.session.get_session().get_service_model("sesv2")
    operation = service.operation_model("SendEmail")

    body = orjson.loads(send("ses", BILL, LOGO).body)

    files = body["Content"]["Simple"]["Attachments"]
    assert [(one["ContentDisposition"], one.get("ContentId")) for one in files] == [
        ("ATTACHMENT", None),
        ("INLINE", "logo@example.com"),
    ]
    decoded = orjson.loads(orjson.dumps(body))
    for one in decoded["Content"]["Simple"]["Attachments"]:
        one["RawContent"] = base64.b64decode(one["RawContent"])
    report = ParamValidator().validate(decoded, operation.input_shape)
    assert not report.has_errors(), report.generate_report()
    theirs = create_serializer("rest-json").serialize_to_request(decoded, operation)
    assert orjson.loads(theirs["body"]) == body


def test_sendgrid_gets_them_as_its_own_library_would_send_them(send: Send) -> None:
    files = orjson.loads(send("sendgrid", BILL, LOGO).body)["attachments"]

    bill = sdk.Attachment(BILL["data"], BILL["name"], "application/pdf", "attachment")
    logo = sdk.Attachment(LOGO["data"], "logo.png", "image/png", "inline", LOGO["inline"])
    assert files == [bill.get(), logo.get()]


def test_postmark_gets_them_as_its_own_library_would_send_them(send: Send) -> None:
    body = orjson.loads(send("postmark", BILL, LOGO).body)

    theirs = Email.model_validate(body).model_dump(by_alias=True, exclude_none=True)
    assert body["Attachments"] == theirs["Attachments"]
    assert [one.get("ContentID") for one in body["Attachments"]] == [None, "cid:logo@example.com"]


def test_mailgun_gets_a_form_that_a_parser_reads(send: Send) -> None:
    request = send("mailgun", BILL, LOGO)

    head = b"Content-Type: " + request.headers["content-type"].encode() + b"\r\n\r\n"
    form = email.message_from_bytes(head + request.body, policy=email.policy.HTTP)
    parts = {one.get_param("name", header="content-disposition"): one for one in form.walk()}
    assert parts["attachment"].get_payload(decode=True) == PDF
    assert parts["attachment"].get_content_type() == "application/pdf"
    assert parts["inline"].get_payload(decode=True) == PNG
    assert parts["inline"].get_filename() == "logo@example.com"
    assert parts["text"].get_payload(decode=True) == b"hello"
    assert BILL["name"].encode() in request.body  # RFC 7578 §4.2: as it is, in UTF-8
    assert not form.defects


def test_relay_gets_a_mail_with_all_parts(make: Make, message: Message) -> None:
    [(_, envelope)] = make("smtp").build_envelopes([message(content=content(BILL, LOGO))])

    parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert parsed.get_content_type() == "multipart/mixed"
    found = [one for one in parsed.walk() if one.get_filename()]
    assert [(one.get_filename(), one.get_payload(decode=True)) for one in found] == [
        ("logo.png", PNG),
        (BILL["name"], PDF),
    ]


def test_relay_names_the_stream_to_feedback_loops(make: Make, message: Message) -> None:
    extra = {"feedback_id": "news:shop:gateway", "list_unsubscribe": "https://gw.example.com/u/x"}
    one = message(content=wire.Content(text="hi", extra=extra))

    [(_, envelope)] = make("smtp").build_envelopes([one])

    parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert parsed["Feedback-ID"] == "news:shop:gateway"
    assert parsed["List-Unsubscribe"] == "<https://gw.example.com/u/x>"
    assert parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


@pytest.mark.parametrize("kind", ["sendgrid", "mailgun"])
def test_mails_with_different_files_go_apart(kind: str, make: Make, message: Message) -> None:
    contents = [content(BILL), content(BILL), content(LOGO), content()]
    messages = [
        message(id=str(at), to=wire.Address(email=f"p{at}@example.org"), content=one)
        for at, one in enumerate(contents)
    ]

    built = make(kind).build_requests(messages)

    assert [[one.id for one in carried] for carried, _ in built] == [["0", "1"], ["2"], ["3"]]


@pytest.mark.parametrize("kind", SERVICES)
def test_mail_without_files_says_nothing_of_them(kind: str, send: Send) -> None:
    assert b"ttachment" not in send(kind).body


@pytest.mark.parametrize("kind", [*SERVICES, "smtp"])
def test_files_that_nobody_has_checked_make_the_mail_unfit(
    kind: str, make: Make, message: Message
) -> None:
    wrong = wire.Content(text="x", extra={"attachments": [{"name": "a\r\nb", "data": 7}]})
    provider = make(kind)
    build = provider.build_envelopes if kind == "smtp" else provider.build_requests

    with pytest.raises(ValueError, match="attachments"):
        build([message(content=wrong)])


def test_what_is_too_large_for_postmark_is_unfit_there_and_good_elsewhere(
    make: Make, message: Message
) -> None:
    large = message(content=content(table("a.bin.pdf", b"x" * 9_000_000, type="application/pdf")))

    with pytest.raises(ValueError, match="larger than the service takes"):
        make("postmark").build_requests([large])
    for kind in ("mailgun", "sendgrid", "ses"):
        assert len(make(kind).build_requests([large])) == 1


def test_service_that_is_only_configured_carries_files_if_its_body_names_them(
    make: Make, message: Message
) -> None:
    one = message(content=content(BILL))
    url = "https://mail.example.com"
    bare = make("http", channel="email", url=url, body={"text": "{{ content.text }}"})
    names = {"files": "{% for one in content.extra.attachments %}{{ one.name }}{% endfor %}"}

    with pytest.raises(ValueError, match="no place for attachments"):
        bare.build_requests([one])
    assert len(bare.build_requests([message(content=content())])) == 1
    [(_, request)] = make("http", channel="email", url=url, body=names).build_requests([one])
    assert orjson.loads(request.body) == {"files": BILL["name"]}


def test_form_without_files_is_urlencoded() -> None:
    assert forms.encode([("a", "b c"), ("é", "&")], []) == (
        "application/x-www-form-urlencoded",
        b"a=b+c&%C3%A9=%26",
    )


def test_no_name_can_break_out_of_a_form() -> None:
    name = 'a"; filename="b\r\nX: y'
    file = forms.File(field="f", name=name, type="text/plain", data=b"x")

    _, body = forms.encode([(name, "v")], [file])

    quoted = b"a%22; filename=%22b%0D%0AX: y"
    assert body.count(quoted) == 2
    assert b"\r\nX: y" not in body

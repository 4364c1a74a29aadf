"""WeChat service accounts against recorded bytes; callbacks against the platform's vectors."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from wechatpy import parse_message
from wechatpy.crypto import WeChatCrypto
from wechatpy.exceptions import InvalidSignatureException
from wechatpy.utils import check_signature

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.providers import base, wechat, wechat_callback

Make = Callable[..., wechat.Provider]
Message = Callable[..., wire.Message]
Request = Callable[[str], wire.HttpRequest]
Answer = Callable[[str], wire.HttpResponse]

HERE = Path(__file__).parent / "wechat"
TOKEN, KEY = "123456", "kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR"
APP = "wx49f0ab532d5d035a"
URL = "https://gw.example.com/v1/receipts/main"
RECIPIENT = wire.Scope.RECIPIENT


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> wechat.Provider:
    return make("wechat")


@pytest.fixture(name="plain")
def fixture_plain(make: Make, clock_at: Callable[[int], Clock]) -> wechat.Provider:
    """Without a key, at the time of the plain vector."""
    clock = clock_at(1411443780)
    return make("wechat", callback_token="mytoken", encoding_aes_key="", clock=clock)


def templated(message: Message, **table: Any) -> wire.Message:
    return message(content=wire.Content(provider_templates={"wechat": table}))


def read(provider: base.HttpProvider, message: wire.Message, answer: Any) -> wire.AttemptResult:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    [result] = provider.read_response([message], wire.HttpResponse(status=200, body=body))
    return result


def plain_request(document: bytes, *, timestamp: str = "1411443780", **query: str) -> Any:
    signature = "35dc4e00bb8f186472debfe6c0d692e763f046fd"
    fields = {"signature": signature, "timestamp": timestamp, "nonce": "437374425", **query}
    url = f"{URL}?{urlencode(fields)}"
    return wire.HttpRequest(method="POST", url=url, body=document)


def test_template_message_as_recorded(
    provider: wechat.Provider, message: Message, recorded_request: Request
) -> None:
    [(_, request)] = provider.build_requests([message()])

    assert request == recorded_request("wechat/send")


def test_subscription_notification_as_recorded(
    provider: wechat.Provider, message: Message, recorded_request: Request
) -> None:
    table = {
        "template": "T2",
        "subscribe": True,
        "url": "https://example.com/x",
        "miniprogram": {"appid": "wx1", "pagepath": "index"},
        "data": {"thing1": "登录"},
    }

    [(_, request)] = provider.build_requests([templated(message, **table)])

    assert request == recorded_request("wechat/subscribe")


def test_link_of_the_content_is_the_address_of_the_template(
    provider: wechat.Provider, message: Message
) -> None:
    table = {"wechat": {"template": "T", "data": {}}}
    content = wire.Content(extra={"link": "https://example.com"}, provider_templates=table)

    [(_, request)] = provider.build_requests([message(content=content)])

    assert json.loads(request.body)["url"] == "https://example.com"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "wechat.template"),
        ({"template": 7}, "wechat.template"),
        ({"template": "T", "data": ["a"]}, "wechat.data"),
    ],
)
def test_message_without_a_usable_template_is_unfit(
    provider: wechat.Provider, message: Message, table: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        provider.build_requests([templated(message, **table)])
    with pytest.raises(ValueError, match="no template of wechat"):
        provider.build_requests([message(content=wire.Content(text="hello"))])


def test_token_is_asked_for_and_goes_into_the_query(
    provider: wechat.Provider, recorded_request: Request, recorded_answer: Answer
) -> None:
    credential = provider.credential
    assert credential is not None

    assert credential.token_request() == recorded_request("wechat/token")
    token = credential.read_token(recorded_answer("wechat/answer_token"))
    assert token == wire.Token(value="ACCESS_TOKEN", expires_in=7200)
    sent = credential.authorise(recorded_request("wechat/send"), "a/b+c")
    assert sent.url.endswith("/template/send?access_token=a%2Fb%2Bc")


@pytest.mark.parametrize(
    ("body", "code", "cause"),
    [
        ({"errcode": 40125, "errmsg": "x"}, "40125", wire.Cause.CREDENTIAL),
        ({"errcode": 40001, "errmsg": "x"}, "40001", wire.Cause.CREDENTIAL),
        ({"errcode": 40003, "errmsg": "x"}, "40003", wire.Cause.CREDENTIAL),
        ({"errcode": 99999, "errmsg": "x"}, "99999", wire.Cause.CREDENTIAL),
        ({"errcode": -1}, "-1", wire.Cause.TEMPORARY),
        ({"errcode": 45011}, "45011", wire.Cause.THROTTLED),
        ({"access_token": "", "expires_in": 7200}, "unreadable_token", wire.Cause.TEMPORARY),
        ({}, "unreadable_token", wire.Cause.TEMPORARY),
    ],
)
def test_refused_tokens(
    provider: wechat.Provider, body: dict[str, Any], code: str, cause: wire.Cause
) -> None:
    assert provider.credential is not None

    answer = provider.credential.read_token(
        wire.HttpResponse(status=200, body=json.dumps(body).encode())
    )

    assert isinstance(answer, wire.Deferred)
    assert (answer.code, answer.cause) == (code, cause)


def test_taken_message_has_the_id_of_its_report(
    provider: wechat.Provider, message: Message, recorded_answer: Answer
) -> None:
    [result] = provider.read_response([message()], recorded_answer("wechat/answer_sent"))

    assert result == wire.Accepted(provider_id="200228332")


def test_id_of_64_bits_keeps_its_digits(provider: wechat.Provider, message: Message) -> None:
    result = read(provider, message(), b'{"errcode":0,"msgid":9223372036854775807}')

    assert result == wire.Accepted(provider_id="9223372036854775807")


def test_refusal_is_told_without_the_words_that_may_name_somebody(
    provider: wechat.Provider, message: Message, recorded_answer: Answer
) -> None:
    [result] = provider.read_response([message()], recorded_answer("wechat/answer_refused"))

    assert result == wire.Rejected(
        code="43004", detail="does not follow", scope=RECIPIENT, suppress=True, opted_out=True
    )


#: By errcode: kind, cause or scope, whether it suppresses.
TABLE: dict[tuple[int, ...], tuple[Any, ...]] = {
    (-1,): (wire.Deferred, wire.Cause.TEMPORARY),
    (40001, 40014, 42001): (wire.Deferred, wire.Cause.CREDENTIAL),
    (40013, 40125, 40164, 41001, 41002, 41004, 61003, 61007): (
        wire.Deferred,
        wire.Cause.CREDENTIAL,
    ),
    (48001, 48004, 48008, 50001, 50002): (wire.Deferred, wire.Cause.CREDENTIAL),
    (40003, 43004, 50005, 43019, 48002): (wire.Rejected, RECIPIENT, True),
    (43101,): (wire.Rejected, RECIPIENT, False),
    (40036, 40037, 45026, 45027): (wire.Rejected, wire.Scope.PROVIDER, False),
    (47001, 47003, 40033, 40035, 40038, 40039, 41009, 44002, 45002, 43002, 45168): (
        wire.Rejected,
        wire.Scope.MESSAGE,
        False,
    ),
    (45009, 45011): (wire.Deferred, wire.Cause.THROTTLED),
    (12345,): (wire.Rejected, wire.Scope.MESSAGE, False),
}


@pytest.mark.parametrize(
    ("code", "expected"), [(code, row) for codes, row in TABLE.items() for code in codes]
)
@pytest.mark.parametrize("form", [int, str])
def test_codes_mean_what_the_documents_say(
    provider: wechat.Provider,
    message: Message,
    code: int,
    expected: tuple[Any, ...],
    form: Callable[[int], Any],
) -> None:
    result = read(provider, message(), {"errcode": form(code), "errmsg": "oia2T said so"})

    assert type(result) is expected[0]
    assert "oia2T" not in repr(result)
    if isinstance(result, wire.Rejected):
        assert (result.scope, result.suppress, result.code) == (*expected[1:], str(code))
    elif isinstance(result, wire.Deferred):
        assert result.cause is expected[1]
        assert (result.code == "access_token") == (code in (40001, 40014, 42001))


def test_every_code_is_in_the_table_of_the_test() -> None:
    assert set(wechat.RESULTS) | {12345} == {code for codes in TABLE for code in codes}


def test_limits_say_how_long_to_wait(
    make: Make, message: Message, clock_at: Callable[[int], Clock]
) -> None:
    at = int(datetime(2026, 3, 1, 14, 30, tzinfo=UTC).timestamp())  # 22:30 in Beijing
    provider = make("wechat", clock=clock_at(at))

    waits = [read(provider, message(), {"errcode": code}) for code in (45009, 45011)]

    assert [one.retry_after for one in waits if isinstance(one, wire.Deferred)] == [5400.0, 60.0]


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"errcode":', b'{"errcode":true}', b"x" * 10**7]
)
def test_unreadable_answer_leaves_it_open(
    provider: wechat.Provider, message: Message, body: bytes
) -> None:
    assert isinstance(read(provider, message(), body), wire.Unknown)


def test_plain_signature_of_the_vector_is_believed(plain: wechat.Provider) -> None:
    request = plain_request((HERE / "report.xml").read_bytes())

    assert plain.verify_receipt(request)
    check_signature(
        "mytoken", "35dc4e00bb8f186472debfe6c0d692e763f046fd", "1411443780", "437374425"
    )


@pytest.mark.parametrize(
    "query", [{"nonce": "437374426"}, {"signature": ""}, {"timestamp": "1411443781"}]
)
def test_plain_signature_of_something_else_is_not(
    plain: wechat.Provider, query: dict[str, str]
) -> None:
    assert not plain.verify_receipt(plain_request(b"<xml/>", **query))


def test_old_request_is_not_believed(make: Make, clock_at: Callable[[int], Clock]) -> None:
    def at(seconds: int) -> bool:
        provider = make(
            "wechat", callback_token="mytoken", encoding_aes_key="", clock=clock_at(seconds)
        )
        return provider.verify_receipt(plain_request(b"<xml/>"))

    assert at(1411443780 + 300)
    assert not at(1411443780 + 301)
    assert not at(1411443780 - 301)


def test_account_with_a_key_believes_nothing_plain(
    make: Make, clock_at: Callable[[int], Clock]
) -> None:
    provider = make("wechat", callback_token="mytoken", clock=clock_at(1411443780))

    assert not provider.verify_receipt(plain_request((HERE / "report.xml").read_bytes()))


def test_address_is_proved_by_its_echo(plain: wechat.Provider) -> None:
    request = plain_request(b"", echostr="59277<&>")
    asked = wire.HttpRequest(method="GET", url=request.url)

    assert plain.verify_receipt(asked)
    assert plain.read_receipts(asked) == []
    assert plain.read_inbound(asked) == []
    assert plain.answer_receipt(asked).body == b"59277<&>"
    assert plain.answer_receipt(asked).headers["content-type"].startswith("text/plain")


def test_reports_are_answered_as_the_platform_wants(plain: wechat.Provider) -> None:
    answer = plain.answer_receipt(plain_request((HERE / "report.xml").read_bytes()))

    assert (answer.status, answer.body) == (200, b"success")


def test_first_vector_is_opened() -> None:
    sealed = (
        "4ByGGj+sVCYcvGeQYhaKIk1o0pQRNbRjxybjTGblXrBaXlTXeOo1+bXFXDQQb1o6co6Yh9Bv41n7hOchLF6p+Q=="
    )

    assert (
        wechat_callback.sign(TOKEN, "1411443780", "437374425", sealed)
        == "dd6b9c95b495b3f7e2901bfbc76c664930ffdb96"
    )
    key = wechat_callback.read_key(KEY)
    assert wechat_callback.decrypt(key, sealed, receive_id=APP) == b"5927782489442352469"


def sealed_request(document: bytes, **changes: str) -> wire.HttpRequest:
    fields = {
        "signature": "of the plain form",
        "timestamp": "1411525903",
        "nonce": "461056294",
        "encrypt_type": "aes",
        "msg_signature": "74d92dfeb87ba7c714f89d98870ae5eb62dff26d",
        **changes,
    }
    url = f"{URL}?{urlencode(fields)}"
    return wire.HttpRequest(method="POST", url=url, body=document)


def test_second_vector_brings_a_message(make: Make, clock_at: Callable[[int], Clock]) -> None:
    provider = make("wechat", clock=clock_at(1411525903))
    request = sealed_request((HERE / "message.xml").read_bytes())

    assert provider.verify_receipt(request)
    assert provider.read_receipts(request) == []
    [inbound] = provider.read_inbound(request)
    assert (inbound.sender, inbound.text) == ("messense", "test")
    assert inbound.provider_id == "4363689963896700987"


@pytest.mark.parametrize(
    "changes",
    [
        {"app_id": "wx0000000000000000"},
        {"callback_token": "654321"},
        {"encoding_aes_key": "A" * 43},
    ],
)
def test_message_for_another_account_is_not_believed(
    make: Make, clock_at: Callable[[int], Clock], changes: dict[str, str]
) -> None:
    provider = make("wechat", changes, clock=clock_at(1411525903))

    assert not provider.verify_receipt(sealed_request((HERE / "message.xml").read_bytes()))


@pytest.mark.parametrize("sealed", ["", "x", "AAAA", "A" * 64, "é" * 4])
def test_nonsense_in_place_of_the_encrypted_is_not_believed(
    make: Make, clock_at: Callable[[int], Clock], sealed: str
) -> None:
    provider = make("wechat", clock=clock_at(1411525903))
    signature = wechat_callback.sign(TOKEN, "1411525903", "461056294", sealed)
    document = f"<xml><Encrypt>{sealed}</Encrypt></xml>".encode()

    request = sealed_request(document, msg_signature=signature)

    assert not provider.verify_receipt(request)
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_receipts(request)


def test_what_an_independent_library_encrypts_is_opened(
    make: Make, clock_at: Callable[[int], Clock]
) -> None:
    provider = make("wechat", clock=clock_at(1411525903))
    crypto = WeChatCrypto(TOKEN, KEY, APP)
    document = (HERE / "report.xml").read_text()
    reply = crypto.encrypt_message(document, "461056294", "1411525903")
    parsed = wechat_callback.read_xml(reply.encode())
    signature = wechat_callback.text_of(parsed, "MsgSignature")

    request = sealed_request(reply.encode(), msg_signature=signature)

    assert provider.verify_receipt(request)
    [receipt] = provider.read_receipts(request)
    assert receipt.provider_id == "200163836"
    with pytest.raises(InvalidSignatureException):
        crypto.decrypt_message(reply, "wrong", "1411525903", "461056294")


def test_report_of_a_template_message(plain: wechat.Provider) -> None:
    document = (HERE / "report.xml").read_bytes()

    [receipt] = plain.read_receipts(plain_request(document))

    assert receipt == wire.DeliveryReceipt(
        event=wire.ReceiptEvent.DELIVERED,
        provider_id="200163836",
        code="success",
        at=datetime(2014, 3, 24, 11, 2, tzinfo=UTC),
    )
    other = parse_message(document)
    assert (str(other.id), other.status) == (receipt.provider_id, "success")


@pytest.mark.parametrize(
    ("status", "event", "suppress"),
    [
        ("failed:user block", wire.ReceiptEvent.OPTED_OUT, True),
        ("failed: user block", wire.ReceiptEvent.OPTED_OUT, True),
        ("failed: system failed", wire.ReceiptEvent.FAILED, False),
        ("failed:system failed", wire.ReceiptEvent.FAILED, False),
        ("failed:freq limit", wire.ReceiptEvent.FAILED, False),
        ("failed: something new", wire.ReceiptEvent.FAILED, False),
        ("maybe", wire.ReceiptEvent.UNKNOWN, False),
    ],
)
def test_statuses_of_reports(
    plain: wechat.Provider, status: str, event: wire.ReceiptEvent, suppress: bool
) -> None:
    document = (HERE / "report.xml").read_text().replace("success", status)

    [receipt] = plain.read_receipts(plain_request(document.encode()))

    assert (receipt.event, receipt.suppress) == (event, suppress)


def test_report_of_subscriptions_may_name_several(plain: wechat.Provider) -> None:
    document = (HERE / "report_subscription.xml").read_bytes()

    receipts = plain.read_receipts(plain_request(document))

    assert [(one.provider_id, one.event, one.code) for one in receipts] == [
        ("1864323726461255680", wire.ReceiptEvent.DELIVERED, "0"),
        ("1864323726461255681", wire.ReceiptEvent.FAILED, "43101"),
    ]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"<xml>",
        b"<xml><Event>TEMPLATESENDJOBFINISH</Event></xml>",
        b"<xml><Event>subscribe_msg_sent_event</Event></xml>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><xml>&a;</xml>',
        b'<!DOCTYPE x SYSTEM "http://127.0.0.1/x"><xml/>',
        b'<?xml version="1.0" encoding="no-such"?><xml/>',
        b"<xml>" + b" " * 300_000 + b"</xml>",
    ],
)
def test_unreadable_reports(plain: wechat.Provider, document: bytes) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        plain.read_receipts(plain_request(document))


def test_other_events_bring_nothing(plain: wechat.Provider) -> None:
    document = b"<xml><MsgType>event</MsgType><Event>subscribe_msg_popup_event</Event></xml>"

    assert plain.read_receipts(plain_request(document)) == []
    assert plain.read_inbound(plain_request(document)) == []


@pytest.mark.parametrize(
    ("event", "wish"), [("subscribe", wire.Wish.OPT_IN), ("unsubscribe", wire.Wish.OPT_OUT)]
)
def test_who_follows_the_account_no_more_wants_nothing_from_it(
    plain: wechat.Provider, event: str, wish: wire.Wish
) -> None:
    document = (
        "<xml><ToUserName>gh_1</ToUserName><FromUserName>oia2</FromUserName>"
        f"<CreateTime>1395658920</CreateTime><MsgType>event</MsgType><Event>{event}</Event></xml>"
    )

    [first] = plain.read_inbound(plain_request(document.encode()))
    [again] = plain.read_inbound(plain_request(document.encode()))

    assert (first.sender, first.to, first.text, first.wish) == ("oia2", "gh_1", "", wish)
    assert first.provider_id == again.provider_id != ""


def test_consent_to_one_template_is_no_wish_about_the_account(plain: wechat.Provider) -> None:
    document = (
        b"<xml><ToUserName>gh_1</ToUserName><FromUserName>oia2</FromUserName>"
        b"<CreateTime>1395658920</CreateTime><MsgType>event</MsgType>"
        b"<Event>subscribe_msg_change_event</Event></xml>"
    )

    assert plain.read_inbound(plain_request(document)) == []


def test_event_without_a_sender_is_unreadable(plain: wechat.Provider) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        plain.read_inbound(plain_request(b"<xml><Event>unsubscribe</Event></xml>"))


def test_message_without_sender_is_unreadable(plain: wechat.Provider) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        plain.read_inbound(plain_request(b"<xml><MsgType>text</MsgType></xml>"))


def test_account_reports_only_what_it_can_believe(make: Make) -> None:
    assert make("wechat").reports == {wire.ReceiptEvent.DELIVERED}
    silent = make("wechat", callback_token="", encoding_aes_key="")
    assert not silent.reports
    assert not silent.verify_receipt(plain_request(b"<xml/>"))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"app_id": ""}, "app_id: is empty"),
        ({"app_secret": ""}, "app_secret: is empty"),
        ({"encoding_aes_key": "short"}, "encoding_aes_key: not an EncodingAESKey"),
        ({"encoding_aes_key": "ä" * 43}, "encoding_aes_key: not an EncodingAESKey"),
        ({"callback_token": ""}, "callback_token: missing"),
    ],
)
def test_settings_that_cannot_work_are_faults(
    make: Make, changes: dict[str, str], fault: str
) -> None:
    with pytest.raises(errors.SettingsError, match=f"providers.main.{fault}"):
        make("wechat", changes)

"""Getui against recorded bytes."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import getui, push_api

Make = Callable[..., getui.Provider]
Message = Callable[..., wire.Message]
Request = Callable[[str], wire.HttpRequest]
Answer = Callable[[str], wire.HttpResponse]

GONE = wire.Rejected(code="", detail="no such device", scope=wire.Scope.RECIPIENT, suppress=True)


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> getui.Provider:
    return make("getui")


@pytest.fixture(name="push")
def fixture_push(message: Message) -> Message:
    """A push to a client id."""

    def build(token: str = "CID", text: str = "B", number: int = 1, **extra: Any) -> wire.Message:
        content = wire.Content(text=text, title="T" if text else "", extra=extra)
        reference = f"0195500a-5c00-7000-8000-{number:012d}-0-0-0"
        return message(to=wire.Address(token=token), content=content, reference=reference)

    return build


def sent(provider: getui.Provider, *messages: wire.Message) -> dict[str, Any]:
    [(_, request)] = provider.build_requests(messages)
    found: dict[str, Any] = orjson.loads(request.body)
    return found


def read(
    provider: getui.Provider, messages: Sequence[wire.Message], status: int, **answer: Any
) -> Sequence[wire.AttemptResult]:
    body = orjson.dumps(answer)
    return provider.read_response(messages, wire.HttpResponse(status=status, body=body))


def test_request_is_as_recorded(
    provider: getui.Provider, push: Message, recorded_request: Request
) -> None:
    one = push(link="https://example.com", collapse_key="x")

    [(carried, request)] = provider.build_requests([one])

    assert carried == (one,)
    assert request == recorded_request("getui/send")


def test_token_is_asked_for_with_the_signature_of_the_moment(
    make: Make,
    clock_at: Callable[[int], Clock],
    recorded_request: Request,
    recorded_answer: Answer,
) -> None:
    credential = make("getui", clock=clock_at(1_700_000_000)).credential
    assert credential is not None

    request = credential.token_request()
    token = credential.read_token(recorded_answer("getui/answer_token"))

    assert request == recorded_request("getui/token")
    assert token == wire.Token(value="d67f5a8b", expires_in=86_400)
    assert credential.authorise(request, "d67f5a8b").headers["token"] == "d67f5a8b"


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        (401, b'{"code":10003,"msg":"too often"}', wire.Cause.THROTTLED),
        (401, b'{"code":10004,"msg":"wrong sign"}', wire.Cause.CREDENTIAL),
        (400, b'{"code":20001,"msg":"appkey"}', wire.Cause.CREDENTIAL),
        (200, b'{"code":301,"msg":"domain"}', wire.Cause.CREDENTIAL),
        (503, b"", wire.Cause.TEMPORARY),
        (200, b"<html>", wire.Cause.TEMPORARY),
        (200, b'{"code":0,"data":{"token":"t","expire_time":"soon"}}', wire.Cause.TEMPORARY),
    ],
)
def test_why_there_is_no_token(
    provider: getui.Provider, status: int, body: bytes, cause: wire.Cause
) -> None:
    assert provider.credential is not None

    trouble = provider.credential.read_token(wire.HttpResponse(status=status, body=body))

    assert isinstance(trouble, wire.Deferred)
    assert (trouble.cause, trouble.detail) == (cause, "no access token")


def test_call_carries_two_hundred_messages_and_no_device_twice(
    provider: getui.Provider, push: Message
) -> None:
    messages = [push(f"c{at}", text=f"B{at}", number=at) for at in range(201)]
    again = push("c0", number=201)

    built = provider.build_requests([*messages, again])

    assert [len(carried) for carried, _ in built] == [200, 2]
    body = orjson.loads(built[0][1].body)
    assert built[0][1].url.endswith("/push/single/batch/cid")
    assert body["is_async"] is False
    assert [row["audience"]["cid"] for row in body["msg_list"]] == [[f"c{at}"] for at in range(200)]
    ids = {row["request_id"] for row in body["msg_list"]}
    assert len(ids) == 200
    assert all(10 <= len(id) <= 32 for id in ids)


def test_message_in_a_call_is_as_it_is_alone(provider: getui.Provider, push: Message) -> None:
    one, other = push("c1", number=1), push("c2", number=2)

    together = sent(provider, one, other)["msg_list"]

    assert together == [sent(provider, one), sent(provider, other)]


def test_push_without_text_is_for_the_app_alone(provider: getui.Provider, push: Message) -> None:
    body = sent(provider, push(text="", data={"a": 1}))

    assert body["push_message"] == {"transmission": '{"a":1}'}
    assert "push_channel" not in body


@pytest.mark.parametrize(("title", "text"), [("only", ""), ("", "only")])
def test_notification_has_title_and_body(
    provider: getui.Provider, push: Message, title: str, text: str
) -> None:
    content = wire.Content(title=title, text=text)

    shown = sent(provider, replace(push(), content=content))["push_message"]["notification"]

    assert (shown["title"], shown["body"]) == ("only", "only")


@pytest.mark.parametrize(
    ("extra", "click"),
    [
        ({"link": "http://example.com"}, {"click_type": "url", "url": "http://example.com"}),
        ({"link": "app://page"}, {"click_type": "intent", "intent": "app://page"}),
        ({"data": {"a": 1}}, {"click_type": "payload", "payload": '{"a":1}'}),
        ({}, {"click_type": "startapp"}),
    ],
)
def test_tap_opens_what_there_is(
    provider: getui.Provider, push: Message, extra: dict[str, Any], click: dict[str, str]
) -> None:
    body = sent(provider, push(**extra))

    assert body["push_message"]["notification"] == {"title": "T", "body": "B", **click}


def test_apple_devices_get_sound_badge_and_data(provider: getui.Provider, push: Message) -> None:
    apple = sent(provider, push(sound="s", badge=2, data={"a": 1}))["push_channel"]["ios"]

    assert apple == {
        "type": "notify",
        "aps": {"alert": {"title": "T", "body": "B"}, "sound": "s"},
        "apns-collapse-id": "0195500a-5c00-7000-8000-000000000001",
        "auto_badge": "2",
        "payload": '{"a":1}',
    }


def test_message_waits_for_three_days_at_most(
    make: Make, clock_at: Callable[[int], Clock], push: Message
) -> None:
    provider = make("getui", clock=clock_at(1_700_000_000), strategy=4)

    settings = sent(provider, push())["settings"]

    assert settings == {"ttl": 259_200_000, "strategy": {"default": 4}}


def test_each_device_of_a_call_has_its_own_result(
    provider: getui.Provider, push: Message, recorded_answer: Answer
) -> None:
    messages = [push(f"c{at}") for at in (1, 2, 3, 4)]

    results = provider.read_response(messages, recorded_answer("getui/answer_batch"))

    name = push_api.name("RASS_0525_1", "c1")
    assert results[0] == wire.Accepted(provider_id=name, detail="successed_online")
    assert results[1] == replace(GONE, code="successed_ignore")
    assert [type(one) for one in results[2:]] == [wire.Unknown, wire.Unknown]


@pytest.mark.parametrize(
    ("status", "code", "result", "cause"),
    [
        (401, 10001, "access_token", wire.Cause.CREDENTIAL),
        (401, 10002, "10002", wire.Cause.CREDENTIAL),
        (401, 10004, "10004", wire.Cause.CREDENTIAL),
        (401, 10003, "10003", wire.Cause.THROTTLED),
        (401, 10005, "10005", wire.Cause.THROTTLED),
        (401, 10099, "10099", wire.Cause.CREDENTIAL),
        (403, None, "http_403", wire.Cause.CREDENTIAL),
        (200, 2, "2", wire.Cause.TEMPORARY),
        (500, None, "http_500", wire.Cause.TEMPORARY),
        (504, None, "http_504", wire.Cause.TEMPORARY),
    ],
)
def test_what_may_be_repeated(
    provider: getui.Provider,
    push: Message,
    status: int,
    code: int | None,
    result: str,
    cause: wire.Cause,
) -> None:
    for one in read(provider, [push(), push("c2")], status, code=code, msg="CID"):
        assert isinstance(one, wire.Deferred)
        assert (one.code, one.cause, one.apart) == (result, cause, False)


@pytest.mark.parametrize(
    ("status", "answer", "result"),
    [
        (400, {"code": 20001, "msg": "target user is invalid"}, replace(GONE, code="20001")),
        (400, {"code": 20001, "msg": "ttl"}, wire.Rejected(code="20001")),
        (
            200,
            {"code": 301, "msg": "x"},
            wire.Rejected(code="301", detail="another data centre", scope=wire.Scope.PROVIDER),
        ),
        (200, {"code": 1}, wire.Rejected(code="1")),
        (404, {}, wire.Rejected(code="http_404")),
        (405, {}, wire.Rejected(code="http_405")),
        (200, {"code": 77}, wire.Rejected(code="77", scope=wire.Scope.PROVIDER)),
        (200, {}, wire.Unknown(code="http_200", detail="answer without code")),
        (204, {"code": 0}, wire.Unknown(code="http_204", detail="answer without code")),
    ],
)
def test_what_is_not_to_be_repeated(
    provider: getui.Provider,
    push: Message,
    status: int,
    answer: dict[str, Any],
    result: wire.AttemptResult,
) -> None:
    assert list(read(provider, [push()], status, **answer)) == [result]


def test_wrong_device_does_not_fail_its_company(provider: getui.Provider, push: Message) -> None:
    messages = [push(), push("c2")]

    for one in read(provider, messages, 400, code=20001, msg="target user is invalid"):
        assert isinstance(one, wire.Deferred)
        assert one.apart


def test_receipts_are_believed_line_by_line(
    provider: getui.Provider, push: Message, recorded_request: Request, recorded_answer: Answer
) -> None:
    request = recorded_request("getui/receipts")
    [result] = provider.read_response([push()], recorded_answer("getui/answer_sent"))

    receipts = provider.read_receipts(request)

    assert provider.verify_receipt(request)
    assert isinstance(result, wire.Accepted)
    assert receipts == [
        wire.DeliveryReceipt(
            event=wire.ReceiptEvent.DELIVERED, provider_id=result.provider_id, code="200"
        ),
        wire.DeliveryReceipt(
            event=wire.ReceiptEvent.FAILED,
            provider_id=push_api.name("RASS_0525_2", "c2"),
            code="402",
            suppress=True,
        ),
    ]
    assert provider.answer_receipt(request).status == 200


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"cid":"c2"', b'"cid":"c3"'),
        (b'"taskid":"RASS_0525_2"', b'"taskid":"RASS_0525_1"'),
        (b'"msgid":"m2"', b'"msgid":"m1"'),
        (b'"sign":"', b'"sign":"0'),
        (b'"sign"', b'"signed"'),
        (b"\n", b"\n[]\n"),
        (b"\n", b"\n<html>\n"),
    ],
)
def test_one_wrong_line_spoils_a_post(
    provider: getui.Provider, recorded_request: Request, old: bytes, new: bytes
) -> None:
    request = recorded_request("getui/receipts")
    assert old in request.body

    assert not provider.verify_receipt(replace(request, body=request.body.replace(old, new)))


def test_receipt_of_another_app_is_not_believed(provider: getui.Provider) -> None:
    sign = hashlib.md5(b"otherc1t1m1testmastersecret").hexdigest()
    line = {"appid": "other", "cid": "c1", "taskid": "t1", "msgid": "m1", "sign": sign}
    request = wire.HttpRequest(method="POST", url="https://x/", body=orjson.dumps(line))

    assert not provider.verify_receipt(request)
    assert not provider.verify_receipt(replace(request, body=b""))


@pytest.mark.parametrize(
    ("code", "event", "gone"),
    [
        (200, "delivered", False),
        (400, "failed", False),
        (401, "failed", True),
        (402, "failed", True),
        (500, "failed", False),
        (10010, "unknown", False),
        (None, "unknown", False),
        (True, "unknown", False),
    ],
)
def test_code_of_a_receipt(provider: getui.Provider, code: object, event: str, gone: bool) -> None:
    line = orjson.dumps({"taskid": "t", "cid": "c", "code": code})
    request = wire.HttpRequest(method="POST", url="https://x/", body=line + b"\r\n")

    [receipt] = provider.read_receipts(request)

    assert (receipt.event, receipt.suppress) == (event, gone)


@pytest.mark.parametrize("body", [b"", b"\n", b"[]", b'{"cid":"c1"}', b'{"taskid":"t"}\nno'])
def test_other_posts_are_unreadable(provider: getui.Provider, body: bytes) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_receipts(wire.HttpRequest(method="POST", url="", body=body))


def test_account_without_receipts_waits_for_none(make: Make) -> None:
    assert make("getui", receipts=False).reports == frozenset()
    assert make("getui").reports == {wire.ReceiptEvent.DELIVERED}


@pytest.mark.parametrize("name", ["app_id", "app_key", "master_secret"])
def test_settings_that_cannot_work_name_their_key(make: Make, name: str) -> None:
    with pytest.raises(errors.SettingsError, match=f"{name}: is empty"):
        make("getui", {name: ""})

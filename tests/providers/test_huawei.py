"""Huawei Push Kit against recorded bytes and Huawei's own SDK."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hpa import messaging
from hpa._message_serializer import MessageSerializer

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import huawei, huawei_codes, push_api

Make = Callable[..., huawei.Provider]
Message = Callable[..., wire.Message]
Request = Callable[[str], wire.HttpRequest]
Answer = Callable[[str], wire.HttpResponse]

REQUEST_ID = "157466304904000004000701"


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> huawei.Provider:
    return make("huawei")


@pytest.fixture(name="push")
def fixture_push(message: Message) -> Message:
    """A push to a token."""

    def build(token: str = "t1", text: str = "B", number: int = 1, **changes: Any) -> wire.Message:
        content = wire.Content(text=text, title="T", extra=changes.pop("extra", {}))
        fields = {
            "to": wire.Address(token=token),
            "content": content,
            "reference": f"0195500a-5c00-7000-8000-{number:012d}-0-0-0",
            "channel": wire.Channel.PUSH,
        }
        return message(**{**fields, **changes})

    return build


def sent(request: wire.HttpRequest) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(request.body)["message"]
    return found


def read(
    provider: huawei.Provider, messages: Sequence[wire.Message], answer: Any, status: int = 200
) -> Sequence[wire.AttemptResult]:
    body = orjson.dumps(answer)
    return provider.read_response(messages, wire.HttpResponse(status=status, body=body))


def test_request_is_as_recorded(
    provider: huawei.Provider, push: Message, recorded_request: Request
) -> None:
    extra = {
        "data": {"k": "v"},
        "link": "https://example.com/a",
        "badge": 3,
        "collapse_key": "7",
        "image": "https://example.com/i.png",
    }
    one = push(extra=extra, priority=1)

    [(carried, request)] = provider.build_requests([one])

    assert carried == (one,)
    assert request == recorded_request("huawei/send")


def test_body_is_that_of_the_sdk(provider: huawei.Provider, push: Message) -> None:
    [(_, request)] = provider.build_requests([push(extra={"link": "app://page", "sound": "s.mp3"})])

    notification: Any = messaging.AndroidNotification(
        title="T",
        body="B",
        sound="s.mp3",
        importance="NORMAL",
        click_action=messaging.AndroidClickAction(action_type=1, intent="app://page"),
    )
    android = messaging.AndroidConfig(
        collapse_key=-1,
        urgency="NORMAL",
        ttl="300s",
        bi_tag="0195500a-5c00-7000-8000-000000000001-0-0-0",
        notification=notification,
    )
    expected = MessageSerializer().default(
        messaging.Message(
            notification=messaging.Notification(title="T", body="B"), android=android, token=["t1"]
        )
    )
    found = sent(request)
    assert (found["android"].pop("category"), found["android"].pop("receipt_id")) == (
        "IM",
        "RCP7812B8A4",
    )
    for name in ("default_sound", "auto_cancel", "use_default_vibrate", "use_default_light"):
        expected["android"]["notification"].pop(name, None)
    for name in ("visibility", "foreground_show"):
        expected["android"]["notification"].pop(name, None)
    assert found == expected


def test_token_is_asked_for_by_id_and_secret(
    provider: huawei.Provider, recorded_request: Request, recorded_answer: Answer
) -> None:
    assert provider.credential is not None

    token = provider.credential.read_token(recorded_answer("huawei/answer_token"))
    request = provider.credential.token_request()

    assert request == recorded_request("huawei/token")
    assert token == wire.Token(value="CV0k/X+/Y", expires_in=3600)
    authorised = provider.credential.authorise(request, "CV0k/X+/Y")
    assert authorised.headers["authorization"] == "Bearer CV0k/X+/Y"


def test_wrong_secret_pauses_the_account(provider: huawei.Provider) -> None:
    assert provider.credential is not None
    body = b'{"error":1101,"sub_error":20044,"error_description":"invalid client"}'

    refused = provider.credential.read_token(wire.HttpResponse(status=400, body=body))

    assert isinstance(refused, wire.Deferred)
    assert refused.cause is wire.Cause.CREDENTIAL


def test_equal_contents_share_calls_of_a_thousand(provider: huawei.Provider, push: Message) -> None:
    many = [push(f"t{at}", number=at) for at in range(1001)]
    others = [
        push("other", "C", 1001),
        push("t0", number=1002),
        push("badge", number=1003, extra={"badge": 1}),
        push("late", number=1004, priority=0),
        push("marketing", number=1005, category="marketing"),
    ]

    built = provider.build_requests([*many, *others])

    assert [len(carried) for carried, _ in built] == [1000, 2, 1, 1, 1, 1]
    assert sent(built[0][1])["token"] == [one.to.token for one in many[:1000]]
    assert [one.to.token for one in built[1][0]] == ["t1000", "t0"]
    assert "bi_tag" not in sent(built[0][1])["android"]


def test_messages_of_one_moment_share_a_call_that_lives_as_long_as_the_shortest(
    provider: huawei.Provider, push: Message, now: datetime
) -> None:
    ends = [now + timedelta(seconds=seconds) for seconds in (302, 300, 100)]
    messages = [push(f"t{at}", expires_at=end) for at, end in enumerate(ends)]

    built = provider.build_requests(messages)

    assert [len(carried) for carried, _ in built] == [2, 1]
    assert [sent(request)["android"]["ttl"] for _, request in built] == ["300s", "100s"]


def test_push_without_text_is_for_the_app_alone(provider: huawei.Provider, push: Message) -> None:
    content = wire.Content(extra={"data": {"b": [1], "a": {"c": None}}})

    [(_, request)] = provider.build_requests([push(content=content)])

    assert sent(request)["data"] == '{"a":{"c":null},"b":[1]}'
    assert "notification" not in sent(request)
    assert "notification" not in sent(request)["android"]


@pytest.mark.parametrize(
    ("key", "number"), [("7", 7), ("100", 100), ("101", -1), ("-2", -1), ("order", -1), ("", -1)]
)
def test_collapse_key_is_a_number_up_to_a_hundred_or_none(
    provider: huawei.Provider, push: Message, key: str, number: int
) -> None:
    [(_, request)] = provider.build_requests([push(extra={"collapse_key": key})])

    android = sent(request)["android"]
    assert android["collapse_key"] == number
    assert android["notification"].get("tag", "") == key


def test_message_may_name_its_own_category(provider: huawei.Provider, push: Message) -> None:
    content = wire.Content(text="x", provider_templates={"huawei": {"category": "VOIP"}})

    [(_, request)] = provider.build_requests([push(content=content)])

    assert sent(request)["android"]["category"] == "VOIP"


def test_content_may_be_4096_bytes_long_whatever_its_tokens(
    provider: huawei.Provider, push: Message
) -> None:
    [(_, small)] = provider.build_requests([push(text="", number=1)])
    tokens = len(b'"token":["t1"],')
    room = 4096 - (len(small.body) - tokens) - len('"body":"",') * 2
    fits = push(text="x" * (room // 2))
    built = provider.build_requests([fits, push("t" * 300, text=fits.content.text)])

    assert len(built) == 1
    with pytest.raises(ValueError, match="more than 4096 bytes"):
        provider.build_requests([push(text="x" * (room // 2 + 2))])


def test_taken_messages_are_named_by_call_and_token(
    provider: huawei.Provider, push: Message, recorded_answer: Answer
) -> None:
    messages = [push("t1"), push("t2")]

    results = provider.read_response(messages, recorded_answer("huawei/answer_sent"))

    names = [push_api.name(REQUEST_ID, token) for token in ("t1", "t2")]
    assert results == [wire.Accepted(provider_id=name) for name in names]
    assert len(set(names)) == 2
    assert all(name.startswith(REQUEST_ID) for name in names)


def test_refused_tokens_are_dead_and_the_others_taken(
    provider: huawei.Provider, push: Message, recorded_answer: Answer
) -> None:
    messages = [push(one) for one in ("t1", "t2", "t3")]

    results = provider.read_response(messages, recorded_answer("huawei/answer_partial"))

    assert results[0] == results[1]
    assert results[0] == wire.Rejected(
        code="80100000", detail="token refused", scope=wire.Scope.RECIPIENT, suppress=True
    )
    assert isinstance(results[2], wire.Accepted)


@pytest.mark.parametrize(
    "told",
    [
        {"success": 1, "failure": 1, "illegal_tokens": ["t1"]},
        {"success": 1, "failure": 1, "illegalTokens": ["t1"]},
    ],
)
def test_older_answers_name_tokens_in_a_list(
    provider: huawei.Provider, push: Message, told: Any
) -> None:
    answer = {"code": "80100000", "msg": json.dumps(told), "requestId": "1"}

    results = read(provider, [push("t1"), push("t2")], answer)

    assert [type(one) for one in results] == [wire.Rejected, wire.Accepted]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        7,
        '{"illegalTokens":{}}',
        '{"illegalTokens":[7]}',
        '{"illegal_tokens":["t1"],"failure":2}',
    ],
)
def test_refusal_that_does_not_say_whose_is_unknown(
    provider: huawei.Provider, push: Message, text: object
) -> None:
    answer = {"code": "80100000", "msg": text, "requestId": "1"}

    results = read(provider, [push("t1"), push("t2"), push("t3")], answer)

    assert {type(one) for one in results} == {wire.Unknown}


REJECTED = (
    "80100001 80100002 80100003 80100004 80100013 80100016 80100017 80100018 80300008 80300010"
)


@pytest.mark.parametrize("code", REJECTED.split())
def test_wrong_content_is_permanent(provider: huawei.Provider, push: Message, code: str) -> None:
    [result] = read(provider, [push()], {"code": code, "msg": "token t1"})

    assert result == wire.Rejected(code=code)


def test_call_without_a_good_token_is_of_dead_ones(
    provider: huawei.Provider, push: Message
) -> None:
    results = read(provider, [push("t1"), push("t2")], {"code": "80300007"})

    for one in results:
        assert isinstance(one, wire.Rejected)
        assert (one.code, one.scope, one.suppress) == ("80300007", wire.Scope.RECIPIENT, True)


@pytest.mark.parametrize(
    ("status", "code", "result"),
    [
        (200, "80200001", ("access_token", wire.Cause.CREDENTIAL)),
        (401, "80200003", ("access_token", wire.Cause.CREDENTIAL)),
        (200, "80200005", ("access_token", wire.Cause.CREDENTIAL)),
        (401, "", ("access_token", wire.Cause.CREDENTIAL)),
        (200, "80300002", ("80300002", wire.Cause.CREDENTIAL)),
        (200, "80300011", ("80300011", wire.Cause.CREDENTIAL)),
        (200, "80600003", ("80600003", wire.Cause.TEMPORARY)),
        (200, "81000001", ("81000001", wire.Cause.TEMPORARY)),
        (500, "", ("http_500", wire.Cause.TEMPORARY)),
        (502, "", ("http_502", wire.Cause.TEMPORARY)),
        (503, "", ("http_503", wire.Cause.THROTTLED)),
        (503, "81000001", ("81000001", wire.Cause.THROTTLED)),
    ],
)
def test_what_may_be_repeated(
    provider: huawei.Provider,
    push: Message,
    status: int,
    code: str,
    result: tuple[str, wire.Cause],
) -> None:
    [found] = read(provider, [push()], {"code": code}, status)

    assert isinstance(found, wire.Deferred)
    assert (found.code, found.cause) == result


@pytest.mark.parametrize(
    ("status", "code", "result"),
    [
        (404, "", wire.Rejected(code="http_404", scope=wire.Scope.PROVIDER)),
        (400, "80999999", wire.Rejected(code="80999999")),
        (200, "80999999", wire.Rejected(code="80999999", scope=wire.Scope.PROVIDER)),
        (200, "Success", wire.Unknown(code="http_200", detail="answer without code")),
        (200, "", wire.Unknown(code="http_200", detail="answer without code")),
    ],
)
def test_what_is_in_no_table_goes_by_status(
    provider: huawei.Provider, push: Message, status: int, code: str, result: wire.AttemptResult
) -> None:
    assert list(read(provider, [push()], {"code": code}, status)) == [result]


def test_receipts_of_both_versions_are_believed_and_read(
    make: Make,
    clock_at: Callable[[int], Clock],
    recorded_request: Request,
) -> None:
    provider = make("huawei", clock=clock_at(1563105451))
    first, second = (recorded_request(f"huawei/receipt_v{version}") for version in (1, 2))

    assert provider.verify_receipt(first)
    assert provider.verify_receipt(second)
    assert provider.read_receipts(first) == [
        wire.DeliveryReceipt(
            event=wire.ReceiptEvent.DELIVERED,
            provider_id=push_api.name(REQUEST_ID, "t1"),
            reference="0195500a-5c00-7000-8000-000000000001-0-0-0",
            code="0",
            at=datetime(2019, 7, 14, 11, 57, 31, tzinfo=UTC),
        ),
        wire.DeliveryReceipt(
            event=wire.ReceiptEvent.FAILED,
            provider_id=push_api.name(REQUEST_ID, "t2"),
            code="2",
            at=datetime(2019, 7, 14, 11, 57, 31, tzinfo=UTC),
            suppress=True,
        ),
    ]
    [newer] = provider.read_receipts(second)
    assert (newer.event, newer.code) == (wire.ReceiptEvent.EXPIRED, "15")
    assert newer.provider_id == push_api.name(REQUEST_ID, "t1")
    answer = orjson.loads(provider.answer_receipt(first).body)
    assert (answer["code"], answer["errno"]) == ("0", "0")


VECTOR = "H4nLJvxOHDalmOsgeXC0u/luxxGGxvy3kjQzspLYQag="
NONCE = "a07bfa17-6d82-4b53-a9a2-07cfef5ceef1"


@pytest.mark.parametrize(
    ("header", "at", "good"),
    [
        (f"timestamp=1563105451261; nonce={NONCE}; value={VECTOR}", 1563105451, True),
        (f"timestamp=1563105451261;nonce={NONCE};value={VECTOR}", 1563105451 + 299, True),
        (f"timestamp=1563105451261; nonce={NONCE}; value={VECTOR}", 1563105451 + 301, False),
        (f"timestamp=1563105451261; nonce={NONCE}; value={VECTOR}", 1563105451 - 301, False),
        (f"timestamp=1563105451262; nonce={NONCE}; value={VECTOR}", 1563105451, False),
        (f"timestamp=1563105451261; nonce=x{NONCE}; value={VECTOR}", 1563105451, False),
        (f"timestamp=1563105451261; nonce={NONCE}; value={VECTOR[:-1]}", 1563105451, False),
        (f"timestamp=1563105451261; nonce={NONCE}", 1563105451, False),
        ("timestamp=now; nonce=; value=", 1563105451, False),
        ("", 1563105451, False),
    ],
)
def test_receipt_is_believed_by_its_header(
    make: Make, clock_at: Callable[[int], Clock], header: str, at: int, good: bool
) -> None:
    provider = make("huawei", clock=clock_at(at))
    request = wire.HttpRequest(
        method="POST", url="https://gw.example.com/r", headers={"x-huawei-callback-id": header}
    )

    assert provider.verify_receipt(request) is good


def test_nothing_is_believed_without_a_key(
    make: Make, clock_at: Callable[[int], Clock], recorded_request: Request
) -> None:
    provider = make("huawei", callback_user="", callback_key="", clock=clock_at(1563105451))

    assert not provider.verify_receipt(recorded_request("huawei/receipt_v1"))
    assert provider.reports == frozenset()
    assert make("huawei").reports == {wire.ReceiptEvent.DELIVERED}


EVENTS = {
    0: "delivered",
    2: "failed",
    5: "failed",
    6: "failed",
    10: "failed",
    14: "failed",
    15: "expired",
    22: "failed",
    27: "sent",
    31: "failed",
    51: "sent",
    102: "failed",
    144: "failed",
    201: "failed",
    256: "failed",
    999: "failed",
    "0": "delivered",
    "what": "unknown",
    None: "unknown",
}


@pytest.mark.parametrize(("result", "event"), EVENTS.items())
def test_result_of_a_receipt(provider: huawei.Provider, result: object, event: str) -> None:
    row = {"token": "t1", "requestId": "1", "status": result}
    body = orjson.dumps({"statuses": [row, {"token": "t2"}, 7]})

    [receipt] = provider.read_receipts(wire.HttpRequest(method="POST", url="", body=body))

    assert receipt.event == event
    assert receipt.suppress is (result in huawei_codes.DEAD)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"statuses":{}}'])
def test_other_posts_are_unreadable(provider: huawei.Provider, body: bytes) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_receipts(wire.HttpRequest(method="POST", url="", body=body))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"app_id": ""}, "app_id: is empty"),
        ({"app_secret": ""}, "app_secret: is empty"),
        ({"callback_key": ""}, "callback_key: missing"),
        ({"callback_user": ""}, "callback_user: missing"),
    ],
)
def test_settings_that_cannot_work_name_their_key(
    make: Make, changes: dict[str, str], fault: str
) -> None:
    with pytest.raises(errors.SettingsError, match=fault):
        make("huawei", changes)


def test_data_that_no_json_holds_is_unfit(provider: huawei.Provider, push: Message) -> None:
    with pytest.raises(ValueError, match="data: not JSON"):
        provider.build_requests([replace(push(extra={"data": {"n": 2**70}}))])

"""JPush against recorded bytes and its own SDK."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jpush as sdk
import orjson
import pytest

from gateway.model import errors, wire
from gateway.providers import jpush

Make = Callable[..., jpush.Provider]
Message = Callable[..., wire.Message]
Request = Callable[[str], wire.HttpRequest]
Answer = Callable[[str], wire.HttpResponse]

DEVICE = "1a0018970a"


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> jpush.Provider:
    return make("jpush")


@pytest.fixture(name="push")
def fixture_push(message: Message) -> Message:
    """A push to a registration id."""

    def build(token: str = DEVICE, text: str = "B", number: int = 1, **extra: Any) -> wire.Message:
        content = wire.Content(text=text, title="T" if text else "", extra=extra)
        reference = f"0195500a-5c00-7000-8000-{number:012d}-0-0-0"
        return message(to=wire.Address(token=token), content=content, reference=reference)

    return build


def sent(request: wire.HttpRequest) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(request.body)
    return found


def read(
    provider: jpush.Provider, messages: Sequence[wire.Message], status: int, code: object = None
) -> Sequence[wire.AttemptResult]:
    error = {"error": {"code": code, "message": f"device {DEVICE}"}} if code else {}
    body = orjson.dumps(error)
    return provider.read_response(messages, wire.HttpResponse(status=status, body=body))


def test_request_is_as_recorded(
    provider: jpush.Provider, push: Message, recorded_request: Request
) -> None:
    one = push(data={"k": "v"}, sound="default", badge=1)

    [(carried, request)] = provider.build_requests([one])

    assert carried == (one,)
    assert request == recorded_request("jpush/send")


def test_notification_is_that_of_the_sdk(provider: jpush.Provider, push: Message) -> None:
    link, image = "https://example.com/a", "https://example.com/i.png"
    data = {"k": [1, {"n": None}]}
    [(_, request)] = provider.build_requests(
        [push(data=data, link=link, image=image, sound="s", badge=2)]
    )

    library: Any = sdk
    extras = {**data, "link": link}
    expected = library.notification(
        alert="B",
        android=library.android(
            "B",
            title="T",
            extras=extras,
            intent={"url": link},
            style=3,
            big_pic_path=image,
            sound="s",
            badge_set_num=2,
        ),
        ios=library.ios({"title": "T", "body": "B"}, badge=2, sound="s", extras=extras),
        hmos=library.hmos("B", title="T", extras=extras, intent={"url": link}, badge_set_num=2),
    )
    assert sent(request)["notification"] == expected
    assert sent(request)["audience"] == library.audience(library.registration_id(DEVICE))


def test_push_without_text_is_for_the_app_alone(provider: jpush.Provider, push: Message) -> None:
    [(_, request)] = provider.build_requests([push(text="", data={"a": 1})])

    assert sent(request)["message"] == {"msg_content": '{"a":1}'}
    assert "notification" not in sent(request)


def test_equal_contents_share_calls_of_a_thousand(provider: jpush.Provider, push: Message) -> None:
    many = [push(f"t{at}", number=at) for at in range(1001)]
    others = [push("other", "C", 1001), push("t0", number=1002)]

    built = provider.build_requests([*many, *others])

    assert [len(carried) for carried, _ in built] == [1000, 2, 1]
    whole = sent(built[0][1])
    assert whole["audience"]["registration_id"] == [one.to.token for one in many[:1000]]
    assert len({sent(request)["cid"] for _, request in built}) == 3


def test_call_has_the_same_name_when_it_is_made_again(
    provider: jpush.Provider, push: Message, make: Make
) -> None:
    messages = [push("t1", number=1), push("t2", number=2)]

    first, again = (sent(provider.build_requests(messages)[0][1])["cid"] for _ in range(2))

    assert first == again
    assert re.fullmatch(r"[0-9a-f]{24}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", first)
    [(_, unnamed)] = make("jpush", cid=False).build_requests(messages)
    assert "cid" not in sent(unnamed)


def test_account_says_which_platforms(make: Make, push: Message) -> None:
    provider = make("jpush", platforms=["ios"], apns_production=False)

    [(_, request)] = provider.build_requests([push()])

    assert sent(request)["platform"] == ["ios"]
    assert set(sent(request)["notification"]) == {"alert", "ios"}
    assert sent(request)["options"]["apns_production"] is False


def test_taken_message_has_the_id_of_its_call(
    provider: jpush.Provider, push: Message, recorded_answer: Answer
) -> None:
    results = provider.read_response([push(), push("t2")], recorded_answer("jpush/answer_sent"))

    assert results == [wire.Accepted(provider_id="1799597405")] * 2


def test_id_may_come_as_a_number(provider: jpush.Provider, push: Message) -> None:
    response = wire.HttpResponse(status=200, body=b'{"sendno":0,"msg_id":18100287008891905}')

    [result] = provider.read_response([push()], response)

    assert result == wire.Accepted(provider_id="18100287008891905")


def test_device_that_is_not_found_is_dead(
    provider: jpush.Provider, push: Message, recorded_answer: Answer
) -> None:
    answer = recorded_answer("jpush/answer_nobody")

    [alone] = provider.read_response([push()], answer)
    together = provider.read_response([push(), push("t2")], answer)

    assert alone == wire.Rejected(
        code="1011", detail="no such device", scope=wire.Scope.RECIPIENT, suppress=True
    )
    for one in together:
        assert isinstance(one, wire.Deferred)
        assert (one.code, one.apart) == ("1011", True)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        *((400, code) for code in (1001, 1002, 1003, 1005, 1010, 1012)),
        (400, "1002"),
        *((status, None) for status in (403, 404, 405, 410)),
        (400, 9999),
    ],
)
def test_what_is_permanent(
    provider: jpush.Provider, push: Message, status: int, code: object
) -> None:
    expected = str(code) if code else f"http_{status}"

    assert read(provider, [push()], status, code) == [wire.Rejected(code=expected)]


@pytest.mark.parametrize(
    ("status", "code", "cause"),
    [
        (401, None, wire.Cause.CREDENTIAL),
        (401, 1004, wire.Cause.CREDENTIAL),
        (400, 1008, wire.Cause.CREDENTIAL),
        (429, None, wire.Cause.THROTTLED),
        (429, 2002, wire.Cause.THROTTLED),
        (400, 2002, wire.Cause.THROTTLED),
        (500, 1000, wire.Cause.TEMPORARY),
        (500, 1030, wire.Cause.TEMPORARY),
        (502, None, wire.Cause.TEMPORARY),
        (503, None, wire.Cause.TEMPORARY),
        (504, None, wire.Cause.TEMPORARY),
    ],
)
def test_what_may_be_repeated(
    provider: jpush.Provider, push: Message, status: int, code: object, cause: wire.Cause
) -> None:
    for one in read(provider, [push(), push("t2")], status, code):
        assert isinstance(one, wire.Deferred)
        assert (one.cause, one.apart) == (cause, False)
        assert DEVICE not in str(one)


def test_malformed_device_does_not_fail_its_company(
    provider: jpush.Provider, push: Message
) -> None:
    for one in read(provider, [push(), push("t2")], 400, 1003):
        assert isinstance(one, wire.Deferred)
        assert one.apart


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"x-rate-limit-reset": "17"}, 17.0),
        ({"x-rate-limit-reset": "1772366400"}, 60.0),
        ({"x-rate-limit-reset": "17", "retry-after": "5"}, 5.0),
        ({"x-rate-limit-reset": "soon"}, None),
        ({}, None),
    ],
)
def test_limit_says_when_it_ends(
    provider: jpush.Provider, push: Message, headers: dict[str, str], wait: float | None
) -> None:
    response = wire.HttpResponse(status=429, headers=headers)

    [result] = provider.read_response([push()], response)

    assert isinstance(result, wire.Deferred)
    assert result.retry_after == wait


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"msg_id":null}', b'{"sendno":"1"}'])
def test_answer_without_id_says_nothing(
    provider: jpush.Provider, push: Message, body: bytes
) -> None:
    [result] = provider.read_response([push()], wire.HttpResponse(status=200, body=body))

    assert isinstance(result, wire.Unknown)


def test_nothing_is_believed(provider: jpush.Provider) -> None:
    request = wire.HttpRequest(method="POST", url="https://x/", body=b"{}")

    assert not provider.verify_receipt(request)
    assert provider.reports == frozenset()
    assert provider.answer_receipt(request).status == 404
    with pytest.raises(errors.UnreadableReceipt):
        provider.read_receipts(request)


@pytest.mark.parametrize("name", ["app_key", "master_secret", "platforms"])
def test_settings_that_cannot_work_name_their_key(make: Make, name: str) -> None:
    with pytest.raises(errors.SettingsError, match=f"{name}: is empty"):
        make("jpush", {name: [] if name == "platforms" else ""})

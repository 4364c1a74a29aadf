"""Feishu's custom bot against recorded bytes and the vectors of its signature."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.providers import feishu

Make = Callable[..., feishu.Provider]
Message = Callable[..., wire.Message]
Request = Callable[[str], wire.HttpRequest]
Answer = Callable[[str], wire.HttpResponse]


@pytest.fixture(name="provider")
def fixture_provider(make: Make, clock_at: Callable[[int], Clock]) -> feishu.Provider:
    return make("feishu", clock=clock_at(1_599_360_473))


def read(provider: feishu.Provider, answer: Any, status: int = 200) -> wire.AttemptResult:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return provider.result(wire.HttpResponse(status=status, body=body))


@pytest.mark.parametrize(
    ("timestamp", "signature"),
    [
        (100, "jquNHnVOwmDRfw+vqTIrY5dooJAgi5EcRtLsQE4wfXg="),
        (1_599_360_473, "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="),
    ],
)
def test_signature_is_that_of_the_vectors(timestamp: int, signature: str) -> None:
    assert feishu.sign("demo", timestamp) == signature


def test_message_as_recorded(
    provider: feishu.Provider, message: Message, recorded_request: Request
) -> None:
    [(_, request)] = provider.build_requests([message()])

    assert request == recorded_request("feishu/send")


def test_bot_without_secret_signs_nothing(make: Make, message: Message) -> None:
    [(_, request)] = make("feishu", secret="").build_requests([message()])

    assert set(json.loads(request.body)) == {"msg_type", "content"}


def test_card_is_sent_as_it_is_and_signed(provider: feishu.Provider, message: Message) -> None:
    table = {"msg_type": "interactive", "card": {"elements": []}, "sign": "theirs"}
    content = wire.Content(provider_templates={"feishu": table})

    [(_, request)] = provider.build_requests([message(content=content)])

    body = json.loads(request.body)
    assert (body["msg_type"], body["card"]) == ("interactive", {"elements": []})
    assert body["sign"] == feishu.sign("demo", 1_599_360_473)


def test_text_that_looks_like_a_mention_is_none(
    provider: feishu.Provider, message: Message
) -> None:
    content = wire.Content(text='<at user_id="all">x</at>')

    [(_, request)] = provider.build_requests([message(content=content)])

    assert "<at " not in json.loads(request.body)["content"]["text"]


def test_too_long_and_misdirected_messages_are_unfit(make: Make, message: Message) -> None:
    provider = make("feishu", chat="ops")

    with pytest.raises(ValueError, match="longer than 20480 bytes"):
        provider.build_requests([message(content=wire.Content(text="x" * 20_470))])
    with pytest.raises(ValueError, match=r"to\.chat"):
        provider.build_requests([message(to=wire.Address(chat="sales"))])


CREDENTIAL, MESSAGE = wire.Cause.CREDENTIAL, wire.Scope.MESSAGE


@pytest.mark.parametrize(
    ("code", "kind", "cause_or_scope"),
    [
        (9499, wire.Rejected, MESSAGE),
        (11232, wire.Deferred, wire.Cause.THROTTLED),
        (19021, wire.Deferred, CREDENTIAL),
        (19022, wire.Deferred, CREDENTIAL),
        (19024, wire.Rejected, MESSAGE),
        (19001, wire.Deferred, CREDENTIAL),
        (19002, wire.Rejected, MESSAGE),
        (7, wire.Rejected, MESSAGE),
    ],
)
def test_codes_mean_what_the_documents_say(
    provider: feishu.Provider, code: int, kind: type, cause_or_scope: Any
) -> None:
    result = read(provider, {"code": code, "msg": "x", "StatusCode": 0})

    assert type(result) is kind
    if isinstance(result, wire.Deferred):
        assert (result.cause, result.code) == (cause_or_scope, str(code))
    elif isinstance(result, wire.Rejected):
        assert (result.scope, result.code) == (cause_or_scope, str(code))


def test_success(provider: feishu.Provider, recorded_answer: Answer) -> None:
    assert provider.result(recorded_answer("feishu/answer_sent")) == wire.Accepted()


def test_trouble_before_the_api_goes_by_its_status(provider: feishu.Provider) -> None:
    limited, broken = read(provider, b"slow down", 429), read(provider, b"<html>", 502)

    assert isinstance(limited, wire.Deferred)
    assert limited.cause is wire.Cause.THROTTLED
    assert isinstance(broken, wire.Deferred)
    assert broken.cause is wire.Cause.TEMPORARY


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"StatusCode":0}', b"x" * 10**7])
def test_unreadable_answer_leaves_it_open(provider: feishu.Provider, body: bytes) -> None:
    assert isinstance(read(provider, body), wire.Unknown)


def test_bot_without_a_token_is_a_fault(make: Make) -> None:
    with pytest.raises(errors.SettingsError, match="webhook_token: is empty"):
        make("feishu", webhook_token="")

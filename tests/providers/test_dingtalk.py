"""DingTalk's robot against recorded bytes and the vectors of its signature."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.providers import dingtalk

Make = Callable[..., dingtalk.Provider]
Message = Callable[..., wire.Message]
Request = Callable[[str], wire.HttpRequest]
Answer = Callable[[str], wire.HttpResponse]

CREDENTIAL, THROTTLED = wire.Cause.CREDENTIAL, wire.Cause.THROTTLED


@pytest.fixture(name="provider")
def fixture_provider(make: Make, clock_at: Callable[[int], Clock]) -> dingtalk.Provider:
    return make("dingtalk", clock=clock_at(1_700_000_000))


def read(provider: dingtalk.Provider, answer: Any, status: int = 200) -> wire.AttemptResult:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return provider.result(wire.HttpResponse(status=status, body=body))


@pytest.mark.parametrize(
    ("timestamp", "signature"),
    [
        (1_700_000_000_000, "aZLLrriXgn05YbwaGR7knYsLeJADjr9NwLaNNKpxh4g="),
        (1_700_000_000_001, "r4CWp/Dz+Ng0sbTjH1vB0Fr+uQ2fn831mssaN6/C05I="),
    ],
)
def test_signature_is_that_of_the_vectors(timestamp: int, signature: str) -> None:
    assert dingtalk.sign("SECtest", timestamp) == signature


def test_signature_is_quoted_in_the_query(make: Make, message: Message, clock: Clock) -> None:
    class Late:
        def now_ms(self) -> int:
            return 1_700_000_000_001

        def monotonic(self) -> float:
            return clock.monotonic()

        async def sleep(self, seconds: float) -> None:
            await clock.sleep(seconds)

    [(_, request)] = make("dingtalk", clock=Late()).build_requests([message()])

    assert request.url.endswith("&sign=r4CWp%2FDz%2BNg0sbTjH1vB0Fr%2BuQ2fn831mssaN6%2FC05I%3D")


def test_message_as_recorded(
    provider: dingtalk.Provider, message: Message, recorded_request: Request
) -> None:
    [(_, request)] = provider.build_requests([message()])

    assert request == recorded_request("dingtalk/send")


def test_robot_without_secret_signs_nothing(make: Make, message: Message) -> None:
    [(_, request)] = make("dingtalk", secret="").build_requests([message()])

    assert request.url == "https://oapi.dingtalk.com/robot/send?access_token=566cc69da782ec"


def test_table_is_sent_as_it_is(provider: dingtalk.Provider, message: Message) -> None:
    table = {
        "msgtype": "markdown",
        "markdown": {"title": "t", "text": "# t"},
        "at": {"atMobiles": ["13800000000"], "isAtAll": False},
    }
    content = wire.Content(provider_templates={"dingtalk": table})

    [(_, request)] = provider.build_requests([message(content=content)])

    assert json.loads(request.body) == table


def test_too_long_and_misdirected_messages_are_unfit(make: Make, message: Message) -> None:
    provider = make("dingtalk", chat="ops")
    provider.build_requests([message(content=wire.Content(text="x" * 19_000))])

    with pytest.raises(ValueError, match="longer than 20000 bytes"):
        provider.build_requests([message(content=wire.Content(text='"' * 19_000))])
    with pytest.raises(ValueError, match="longer than 20000 bytes"):
        provider.build_requests([message(content=wire.Content(text="界" * 6_667))])
    with pytest.raises(ValueError, match=r"to\.chat"):
        provider.build_requests([message(to=wire.Address(chat="sales"))])


@pytest.mark.parametrize(
    ("code", "words", "kind", "cause_or_scope"),
    [
        (-1, "system busy", wire.Deferred, wire.Cause.TEMPORARY),
        (130101, "send too fast, exceed 20 times per minute", wire.Deferred, THROTTLED),
        (130101, "", wire.Deferred, THROTTLED),
        (410100, "", wire.Deferred, THROTTLED),
        (999999, "Send Too Fast", wire.Deferred, THROTTLED),
        (999999, "frequency limited", wire.Deferred, THROTTLED),
        (460101, "message too long, exceed 20000 bytes", wire.Rejected, wire.Scope.MESSAGE),
        (310000, "keywords not in content", wire.Rejected, wire.Scope.MESSAGE),
        (310000, "错误描述:关键词不匹配", wire.Rejected, wire.Scope.MESSAGE),
        (310000, "sign not match", wire.Deferred, CREDENTIAL),
        (310000, "ip 1.2.3.4 not in whitelist", wire.Deferred, CREDENTIAL),
        (300001, "token is not exist", wire.Deferred, CREDENTIAL),
        (300005, "", wire.Deferred, CREDENTIAL),
        (400101, "", wire.Deferred, CREDENTIAL),
        (400102, "", wire.Rejected, wire.Scope.PROVIDER),
        (400106, "", wire.Rejected, wire.Scope.PROVIDER),
        (400013, "", wire.Rejected, wire.Scope.PROVIDER),
        (40035, "miss param", wire.Rejected, wire.Scope.MESSAGE),
        (43004, "", wire.Rejected, wire.Scope.MESSAGE),
        (400105, "", wire.Rejected, wire.Scope.MESSAGE),
        (7, "13800000000 is unheard of", wire.Rejected, wire.Scope.MESSAGE),
    ],
)
def test_codes_and_words(
    provider: dingtalk.Provider, code: int, words: str, kind: type, cause_or_scope: Any
) -> None:
    result = read(provider, {"errcode": code, "errmsg": words})

    assert type(result) is kind
    assert "13800000000" not in repr(result)
    assert not isinstance(result, wire.Accepted)
    assert result.code == str(code)
    if isinstance(result, wire.Deferred):
        assert result.cause is cause_or_scope
        assert result.retry_after == (600.0 if cause_or_scope is THROTTLED else None)
    elif isinstance(result, wire.Rejected):
        assert result.scope is cause_or_scope


def test_success(provider: dingtalk.Provider) -> None:
    assert read(provider, {"errcode": 0, "errmsg": "ok"}) == wire.Accepted()
    assert isinstance(read(provider, {"errcode": 0}, status=502), wire.Deferred)


def test_page_of_punishment_is_a_limit(
    provider: dingtalk.Provider, recorded_answer: Answer
) -> None:
    result = provider.result(recorded_answer("dingtalk/answer_punish"))

    assert result == wire.Deferred(code="punish_1111", cause=THROTTLED, retry_after=5.0)
    for wait in (None, "x", -1, 10**9, True):
        longer = read(provider, {"punish": "deny", "wait": wait})
        assert isinstance(longer, wire.Deferred)
        assert longer.retry_after == 600.0


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"status":1}', b"x" * 10**7])
def test_unreadable_answer_leaves_it_open(provider: dingtalk.Provider, body: bytes) -> None:
    assert isinstance(read(provider, body), wire.Unknown)


def test_robot_without_a_token_is_a_fault(make: Make) -> None:
    with pytest.raises(errors.SettingsError, match="access_token: is empty"):
        make("dingtalk", access_token="")

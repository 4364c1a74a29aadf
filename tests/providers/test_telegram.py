"""Telegram's Bot API against recorded bytes."""

import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from gateway.model import errors, wire
from gateway.providers import telegram

Make = Callable[..., telegram.Provider]
Message = Callable[..., wire.Message]
Request = Callable[[str], wire.HttpRequest]
Answer = Callable[[str], wire.HttpResponse]

RECIPIENT, MESSAGE = wire.Scope.RECIPIENT, wire.Scope.MESSAGE


@pytest.fixture(name="provider")
def fixture_provider(make: Make) -> telegram.Provider:
    return make("telegram")


def refused(
    provider: telegram.Provider, status: int, words: object, **others: Any
) -> wire.AttemptResult:
    value = {"ok": False, "error_code": status, "description": words, **others}
    return provider.result(wire.HttpResponse(status=status, body=json.dumps(value).encode()))


def test_message_as_recorded(
    provider: telegram.Provider, message: Message, recorded_request: Request
) -> None:
    [(_, request)] = provider.build_requests([message()])

    assert request == recorded_request("telegram/send")


@pytest.mark.parametrize(
    ("chat", "expected"),
    [("123456789", 123456789), ("-1001234567890", -1001234567890), ("@news", "@news")],
)
def test_numbers_of_chats_are_numbers(
    provider: telegram.Provider, message: Message, chat: str, expected: int | str
) -> None:
    [(_, request)] = provider.build_requests([message(to=wire.Address(chat=chat))])

    assert json.loads(request.body)["chat_id"] == expected


def test_table_goes_into_the_call_and_the_chat_is_ours(
    provider: telegram.Provider, message: Message
) -> None:
    table = {"parse_mode": "HTML", "text": "<b>hi</b>", "chat_id": 1, "disable_notification": True}
    content = wire.Content(text="hi", provider_templates={"telegram": table})

    [(_, request)] = provider.build_requests([message(content=content)])

    assert json.loads(request.body) == {**table, "chat_id": "ops"}


def test_text_of_4096_characters_is_the_longest(
    provider: telegram.Provider, message: Message
) -> None:
    provider.build_requests([message(content=wire.Content(text="界" * 4096))])

    with pytest.raises(ValueError, match="longer than 4096 characters"):
        provider.build_requests([message(content=wire.Content(text="x" * 4097))])


def test_success(provider: telegram.Provider, recorded_answer: Answer) -> None:
    result = provider.result(recorded_answer("telegram/answer_sent"))

    assert result == wire.Accepted(provider_id="42")


def test_limit_says_how_long_to_wait(provider: telegram.Provider, recorded_answer: Answer) -> None:
    def limited(**others: Any) -> wire.AttemptResult:
        return refused(provider, 429, "Too Many Requests: retry after 7", **others)

    def expected(wait: float) -> wire.Deferred:
        return wire.Deferred(code="429", cause=wire.Cause.THROTTLED, retry_after=wait)

    assert provider.result(recorded_answer("telegram/answer_limit")) == expected(5.0)
    assert limited() == expected(7.0)
    assert limited(parameters={"retry_after": "x"}) == expected(7.0)
    header = wire.HttpResponse(status=429, headers={"retry-after": "9"})
    assert provider.result(header) == expected(9.0)


@pytest.mark.parametrize(
    ("status", "words", "scope", "suppress"),
    [
        (400, "Bad Request: chat not found", RECIPIENT, True),
        (400, "Bad Request: private chat not found", RECIPIENT, True),
        (400, "Bad Request: message text is empty", MESSAGE, False),
        (400, "Bad Request: message is too long", MESSAGE, False),
        (400, "Bad Request: can't parse entities: at 5", MESSAGE, False),
        (400, "Bad Request: reply markup is too long", MESSAGE, False),
        (400, "Bad Request: something new", MESSAGE, False),
        (403, "Forbidden: bot was blocked by the user", RECIPIENT, True),
        (403, "Forbidden: user is deactivated", RECIPIENT, True),
        (403, "Forbidden: the group chat was deleted", RECIPIENT, True),
        (403, "Forbidden: bot was kicked from the supergroup chat", RECIPIENT, True),
        (403, "Forbidden: bot is not a member of the channel chat", RECIPIENT, True),
        (403, "Forbidden: something new", RECIPIENT, False),
    ],
)
def test_refusals(
    provider: telegram.Provider, status: int, words: str, scope: wire.Scope, suppress: bool
) -> None:
    result = refused(provider, status, words)

    assert isinstance(result, wire.Rejected)
    assert (result.scope, result.suppress, result.code) == (scope, suppress, str(status))


def test_group_with_a_new_id_is_told_without_it(provider: telegram.Provider) -> None:
    words = "Bad Request: group chat was upgraded to a supergroup chat"

    result = refused(provider, 400, words, parameters={"migrate_to_chat_id": -1001234567890})

    assert result == wire.Rejected(
        code="migrated", detail="the group has a new id", scope=RECIPIENT
    )


@pytest.mark.parametrize(
    ("status", "words", "cause"),
    [
        (401, "Unauthorized", wire.Cause.CREDENTIAL),
        (404, "Not Found", wire.Cause.CREDENTIAL),
        (500, "Internal Server Error: x", wire.Cause.TEMPORARY),
        (502, None, wire.Cause.TEMPORARY),
    ],
)
def test_what_may_be_repeated(
    provider: telegram.Provider, status: int, words: object, cause: wire.Cause
) -> None:
    result = refused(provider, status, words)

    assert isinstance(result, wire.Deferred)
    assert result.cause is cause


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"ok":true}',
        b'{"ok":true,"result":7}',
        b'{"ok":false}',
        b"x" * 10**7,
    ],
)
def test_unreadable_answer_leaves_it_open(provider: telegram.Provider, body: bytes) -> None:
    assert isinstance(provider.result(wire.HttpResponse(status=200, body=body)), wire.Unknown)


@pytest.mark.parametrize("token", ["", "ABC", "123:", "123:a/b", "123:a\n"])
def test_what_is_no_token_is_a_fault(make: Make, token: str) -> None:
    with pytest.raises(errors.SettingsError, match="bot_token: not the token of a bot"):
        make("telegram", bot_token=token)


def test_group_with_a_new_id_gets_the_same_call_there(
    make: Callable[..., Any], message: Callable[..., wire.Message]
) -> None:
    provider = make("telegram")
    [(_, request)] = provider.build_requests([message(to=wire.Address(chat="-42"))])
    body = {
        "ok": False,
        "error_code": 400,
        "description": "Bad Request: group chat was upgraded to a supergroup chat",
        "parameters": {"migrate_to_chat_id": -1001234567890},
    }
    moved = wire.HttpResponse(status=400, body=orjson.dumps(body))

    again = provider.redirected(request, moved)

    assert again is not None
    assert orjson.loads(again.body) == {**orjson.loads(request.body), "chat_id": -1001234567890}
    assert (again.url, again.headers) == (request.url, request.headers)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b'{"ok":true,"result":{"message_id":1}}'),
        (400, b'{"ok":false,"parameters":{"migrate_to_chat_id":"7"}}'),
        (400, b'{"ok":false,"parameters":[]}'),
        (500, b'{"ok":false,"parameters":{"migrate_to_chat_id":7}}'),
        (400, b"<html>"),
    ],
)
def test_other_answers_lead_nowhere_else(
    make: Callable[..., Any],
    message: Callable[..., wire.Message],
    status: int,
    body: bytes,
) -> None:
    provider = make("telegram")
    [(_, request)] = provider.build_requests([message(to=wire.Address(chat="-42"))])

    assert provider.redirected(request, wire.HttpResponse(status=status, body=body)) is None

"""Slack's webhook and bot against recorded bytes and Slack's own library."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from slack_sdk.signature import SignatureVerifier

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import slack

Make = Callable[..., slack.Provider]
Message = Callable[..., wire.Message]
Request = Callable[[str], wire.HttpRequest]
Answer = Callable[[str], wire.HttpResponse]

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
CREDENTIAL, THROTTLED = wire.Cause.CREDENTIAL, wire.Cause.THROTTLED
RECIPIENT, MESSAGE, PROVIDER = wire.Scope.RECIPIENT, wire.Scope.MESSAGE, wire.Scope.PROVIDER


@pytest.fixture(name="hook")
def fixture_hook(make: Make) -> slack.Provider:
    return make("slack")


@pytest.fixture(name="bot")
def fixture_bot(make: Make) -> slack.Provider:
    return make("slack", webhook_url="", bot_token="xoxb-1")


def answer(status: int, body: str | dict[str, Any], **headers: str) -> wire.HttpResponse:
    text = body if isinstance(body, str) else json.dumps(body)
    return wire.HttpResponse(status=status, headers=headers, body=text.encode())


def test_webhook_is_called_as_recorded(
    hook: slack.Provider, message: Message, recorded_request: Request
) -> None:
    [(_, request)] = hook.build_requests([message()])

    assert request == recorded_request("slack/send")


def test_bot_posts_as_recorded(
    bot: slack.Provider, message: Message, recorded_request: Request
) -> None:
    [(_, request)] = bot.build_requests([message()])

    assert request == recorded_request("slack/post")


def test_blocks_stand_beside_the_text_and_the_channel_is_ours(
    bot: slack.Provider, message: Message
) -> None:
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "*hi*"}}]
    tables = {"slack": {"blocks": blocks, "channel": "elsewhere"}}
    content = wire.Content(text="hi", provider_templates=tables)

    [(_, request)] = bot.build_requests([message(content=content)])

    assert json.loads(request.body) == {"text": "hi", "blocks": blocks, "channel": "ops"}


def test_text_calls_nobody_by_accident(hook: slack.Provider, message: Message) -> None:
    content = wire.Content(text="<!channel> a & b")

    [(_, request)] = hook.build_requests([message(content=content)])

    assert json.loads(request.body)["text"] == "&lt;!channel&gt; a &amp; b"


def test_too_long_and_misdirected_messages_are_unfit(make: Make, message: Message) -> None:
    provider = make("slack", chat="ops")
    provider.build_requests([message(content=wire.Content(text="界" * 40_000))])

    with pytest.raises(ValueError, match="longer than 40000 characters"):
        provider.build_requests([message(content=wire.Content(text="<" * 10_001))])
    with pytest.raises(ValueError, match=r"to\.chat"):
        provider.build_requests([message(to=wire.Address(chat="sales"))])


@pytest.mark.parametrize(
    ("status", "word", "kind", "detail"),
    [
        *(
            (400, word, wire.Rejected, (MESSAGE, False))
            for word in ("invalid_payload", "no_text", "invalid_blocks", "too_many_attachments")
        ),
        (400, "user_not_found", wire.Rejected, (RECIPIENT, True)),
        *(
            (403, word, wire.Deferred, CREDENTIAL)
            for word in ("action_prohibited", "posting_to_general_channel_denied", "team_disabled")
        ),
        (403, "invalid_token", wire.Deferred, CREDENTIAL),
        *(
            (404, word, wire.Rejected, (PROVIDER, False))
            for word in ("channel_not_found", "no_service", "no_service_id", "no_active_hooks")
        ),
        (404, "no_team", wire.Rejected, (PROVIDER, False)),
        (410, "channel_is_archived", wire.Rejected, (PROVIDER, False)),
        (500, "rollup_error", wire.Deferred, wire.Cause.TEMPORARY),
        (503, "<html>", wire.Deferred, wire.Cause.TEMPORARY),
        (400, "something_new", wire.Rejected, (MESSAGE, False)),
        (302, "", wire.Rejected, (PROVIDER, False)),
    ],
)
def test_words_of_a_webhook(
    hook: slack.Provider, status: int, word: str, kind: type, detail: Any
) -> None:
    result = hook.result(answer(status, word))

    assert type(result) is kind
    if isinstance(result, wire.Rejected):
        assert (result.scope, result.suppress) == detail
    elif isinstance(result, wire.Deferred):
        assert result.cause is detail


def test_webhook_takes_a_message(hook: slack.Provider) -> None:
    assert hook.result(answer(200, "ok")) == wire.Accepted()
    assert isinstance(hook.result(answer(200, "okay")), wire.Unknown)
    assert isinstance(hook.result(answer(200, "x" * 10**7)), wire.Unknown)
    assert isinstance(hook.result(answer(500, "ok")), wire.Deferred)


def test_limit_says_how_long_to_wait(hook: slack.Provider, bot: slack.Provider) -> None:
    limited = {"ok": False, "error": "ratelimited"}

    results = [
        hook.result(answer(429, "", **{"retry-after": "30"})),
        hook.result(answer(429, "rate_limited", **{"retry-after": "30"})),
        bot.result(answer(429, limited, **{"retry-after": "30"})),
    ]

    for one in results:
        assert one == wire.Deferred(
            code="ratelimited", detail="over a limit", cause=THROTTLED, retry_after=30.0
        )


def test_bot_takes_a_message(bot: slack.Provider, recorded_answer: Answer) -> None:
    result = bot.result(recorded_answer("slack/answer_post"))

    assert result == wire.Accepted(provider_id="1503435956.000247")


@pytest.mark.parametrize(
    ("word", "kind", "detail"),
    [
        ("ratelimited", wire.Deferred, THROTTLED),
        *(
            (word, wire.Deferred, CREDENTIAL)
            for word in ("invalid_auth", "not_authed", "account_inactive", "token_revoked")
        ),
        *(
            (word, wire.Deferred, CREDENTIAL)
            for word in ("token_expired", "missing_scope", "access_denied", "accesslimited")
        ),
        *(
            (word, wire.Rejected, (RECIPIENT, True))
            for word in ("channel_not_found", "not_in_channel", "is_archived")
        ),
        *(
            (word, wire.Rejected, (MESSAGE, False))
            for word in ("msg_too_long", "no_text", "invalid_blocks", "invalid_arguments")
        ),
        *(
            (word, wire.Deferred, wire.Cause.TEMPORARY)
            for word in ("internal_error", "fatal_error", "service_unavailable", "request_timeout")
        ),
        ("something_new", wire.Rejected, (MESSAGE, False)),
    ],
)
def test_errors_of_the_bot(bot: slack.Provider, word: str, kind: type, detail: Any) -> None:
    result = bot.result(answer(200, {"ok": False, "error": word}))

    assert type(result) is kind
    if isinstance(result, wire.Rejected):
        assert (result.scope, result.suppress, result.code) == (*detail, word)
    elif isinstance(result, wire.Deferred):
        assert (result.cause, result.code) == (detail, word)


@pytest.mark.parametrize("body", ["", "ok", "[]", {"error": "x"}, {"ok": False}, {"ok": "true"}])
def test_unreadable_answer_leaves_it_open(bot: slack.Provider, body: str | dict[str, Any]) -> None:
    assert isinstance(bot.result(answer(200, body)), wire.Unknown)


def test_words_of_an_error_are_no_place_for_text(bot: slack.Provider) -> None:
    result = bot.result(answer(200, {"ok": False, "error": "no such user li@example.com"}))

    assert result == wire.Rejected(code="error", detail="unheard-of error")


def test_request_of_slack_is_believed(
    make: Make, recorded_request: Request, clock_at: Callable[[int], Clock]
) -> None:
    provider, request = make("slack", clock=clock_at(1531420618)), recorded_request("slack/command")
    headers = request.headers
    own = SignatureVerifier(SECRET).generate_signature(
        timestamp=headers["x-slack-request-timestamp"], body=request.body
    )

    assert own == headers["x-slack-signature"]
    assert provider.verify_receipt(request)
    assert provider.read_receipts(request) == []
    assert provider.answer_receipt(request).status == 200
    assert not provider.verify_receipt(replace(request, body=request.body + b" "))
    stale = {**headers, "x-slack-request-timestamp": "1531420619"}
    assert not provider.verify_receipt(replace(request, headers=stale))
    assert not make("slack", clock=clock_at(1531420919)).verify_receipt(request)
    open_account = make("slack", signing_secret="", clock=clock_at(1531420618))
    assert not open_account.verify_receipt(request)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"webhook_url": ""}, "webhook_url: either this or bot_token"),
        ({"bot_token": "xoxb-1"}, "webhook_url: either this or bot_token"),
        ({"webhook_url": "hooks.slack.com"}, "webhook_url: not an address"),
        ({"webhook_url": "", "bot_token": "x", "chat": "ops"}, "chat: goes with webhook_url"),
    ],
)
def test_settings_that_cannot_work_are_faults(
    make: Make, changes: dict[str, str], fault: str
) -> None:
    with pytest.raises(errors.SettingsError, match=f"providers.main.{fault}"):
        make("slack", changes)


def test_base_url_takes_the_place_of_slack(make: Make, message: Message) -> None:
    hook = make("slack", base_url="http://127.0.0.1:1")
    bot = make("slack", webhook_url="", bot_token="x", base_url="http://127.0.0.1:1/")

    urls = [one.build_requests([message()])[0][1].url for one in (hook, bot)]

    assert urls == [
        "http://127.0.0.1:1/services/T00/B00/XXXX",
        "http://127.0.0.1:1/api/chat.postMessage",
    ]

"""Telegram: a bot that writes to chats.

Send: https://core.telegram.org/bots/api#sendmessage
Errors: https://core.telegram.org/bots/api#making-requests
Limits: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this

What the content's table `telegram` holds (`parse_mode`, `disable_notification`,
`link_preview_options`, `text` for another form of the text …) goes into the call. Without a
`parse_mode` a text is shown as it is. There are no receipts and no idempotency key: a call that
got no answer may be there twice when it is made again. A group that was upgraded has a new id: the
call is made again with the answer's `migrate_to_chat_id`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import orjson

from gateway.clock import Clock
from gateway.model import wire
from gateway.model.values import replace
from gateway.providers import auth, base, chat, errcodes

#: Characters of a text.
MAX_TEXT = 4096
_TOKEN = re.compile(r"[0-9]+:[A-Za-z0-9_-]+")
_CHAT_ID = re.compile(r"-?[0-9]{1,18}")
_WAIT = re.compile(r"retry after ([0-9]{1,6})")

_RECIPIENT = wire.Scope.RECIPIENT
_GONE = wire.Rejected(code="", detail="chat out of reach", scope=_RECIPIENT, suppress=True)
#: By a part of `description`, for 400.
_NO_CHAT = ("chat not found",)
#: For 403; what else is refused with it is about the chat too.
_FOR_GOOD = (
    "bot was blocked by the user",
    "user is deactivated",
    "the group chat was deleted",
    "bot was kicked from the",
    "bot is not a member of the",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "telegram"`."""

    #: of the bot, `123456:ABC…`
    bot_token: str = field(repr=False)
    #: origin of the API; default https://api.telegram.org
    base_url: str = "https://api.telegram.org"

    def __post_init__(self) -> None:
        fault = "bot_token: not the token of a bot, as in 123456:ABC"
        errcodes.check([] if _TOKEN.fullmatch(self.bot_token) else [fault])


class Provider(chat.Silent):
    """One message a call."""

    name: ClassVar[str] = "telegram"

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self._clock = clock
        # a secret in the path: this address is never logged
        self._url = f"{settings.base_url.rstrip('/')}/bot{settings.bot_token}/sendMessage"

    def request(self, message: wire.Message) -> wire.HttpRequest:
        own = chat.own(message.content, self.name)
        text = own.get("text") or chat.plain(message.content, max_bytes=4 * MAX_TEXT)
        # what counts are characters without the marks of a parse_mode
        if "parse_mode" not in own and len(str(text)) > MAX_TEXT:
            raise chat.TooLong(f"text: longer than {MAX_TEXT} characters")
        chat_id = message.to.chat
        to: int | str = int(chat_id) if _CHAT_ID.fullmatch(chat_id) else chat_id
        return chat.post(self._url, {**own, "text": text, "chat_id": to})

    def redirected(
        self, request: wire.HttpRequest, response: wire.HttpResponse
    ) -> wire.HttpRequest | None:
        parameters = auth.json_object(response.body).get("parameters")
        id_ = parameters.get("migrate_to_chat_id") if isinstance(parameters, dict) else None
        if response.status != 400 or not isinstance(id_, int) or isinstance(id_, bool):
            return None
        body = {**auth.json_object(request.body), "chat_id": id_}
        return replace(request, body=orjson.dumps(body))

    def result(self, response: wire.HttpResponse) -> wire.AttemptResult:
        answer = auth.json_object(response.body)
        now_ms = self._clock.now_ms()
        if 200 <= response.status < 300:
            return _taken(answer, response)
        words = answer.get("description")
        words = words.lower() if isinstance(words, str) else ""
        if response.status == 429:
            wait = _wait(answer, words) or base.retry_after(response, now_ms=now_ms)
            return wire.Deferred(code="429", cause=wire.Cause.THROTTLED, retry_after=wait)
        if not words:  # not the API, such as a page of something before it
            return base.result_of_status(response, now_ms=now_ms)
        if response.status == 400:
            return _bad_request(answer, words)
        if response.status == 403:
            is_final = any(one in words for one in _FOR_GOOD)
            return replace(_GONE, code="403", suppress=is_final)
        if response.status in (401, 404):  # 404: a wrong token makes a path that is not there
            detail = "token refused"
            return wire.Deferred(
                code=str(response.status), detail=detail, cause=wire.Cause.CREDENTIAL
            )
        return base.result_of_status(response, now_ms=now_ms)


def _taken(answer: Mapping[str, Any], response: wire.HttpResponse) -> wire.AttemptResult:
    result = answer.get("result")
    id_ = result.get("message_id") if isinstance(result, dict) else None
    if answer.get("ok") is True and isinstance(id_, int) and not isinstance(id_, bool):
        return wire.Accepted(provider_id=str(id_))
    return wire.Unknown(code=f"http_{response.status}", detail="answer without message_id")


def _bad_request(answer: Mapping[str, Any], words: str) -> wire.Rejected:
    parameters = answer.get("parameters")
    if isinstance(parameters, dict) and "migrate_to_chat_id" in parameters:
        detail = "the group has a new id"
        return wire.Rejected(code="migrated", detail=detail, scope=_RECIPIENT)
    if any(one in words for one in _NO_CHAT):
        return replace(_GONE, code="400", detail="chat not found")
    return wire.Rejected(code="400", detail="request refused")


def _wait(answer: Mapping[str, Any], words: str) -> float | None:
    """Seconds to stay away: the field, else what the words say."""
    parameters = answer.get("parameters")
    value = parameters.get("retry_after") if isinstance(parameters, dict) else None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return float(min(value, 999_999))
    found = _WAIT.search(words)
    return float(found[1]) if found else None

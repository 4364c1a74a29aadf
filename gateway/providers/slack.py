"""Slack: an incoming webhook, or a bot that posts to any of its channels.

Webhook: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
Bot: https://docs.slack.dev/reference/methods/chat.postMessage
Requests of Slack: https://docs.slack.dev/authentication/verifying-requests-from-slack

What the content's table `slack` holds (`blocks`, `attachments`, `unfurl_links` …) is sent beside
the text, which stays what notifications show; `card` in the content makes blocks of it. Text is
escaped: nobody is called by what happens to look like a mention. There are no receipts and no
idempotency key.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import urlsplit

from gateway.clock import Clock
from gateway.model import wire
from gateway.model.values import replace
from gateway.providers import auth, base, chat, chat_cards, errcodes

#: Characters of a text.
MAX_TEXT = 40_000

_CREDENTIAL, _THROTTLED = wire.Cause.CREDENTIAL, wire.Cause.THROTTLED
_RECIPIENT, _PROVIDER = wire.Scope.RECIPIENT, wire.Scope.PROVIDER
_CONTENT = wire.Rejected(code="", detail="content refused")
_REFUSED = wire.Deferred(code="", detail="webhook or token refused", cause=_CREDENTIAL)
_GONE = wire.Rejected(code="", detail="the webhook leads nowhere", scope=_PROVIDER)
_TROUBLE = wire.Deferred(code="", detail="trouble at Slack")
_LIMIT = wire.Deferred(code="", detail="over a limit", cause=_THROTTLED)
#: The whole body of an answer, in plain text.
WEBHOOK_RESULTS: Mapping[str, wire.Rejected | wire.Deferred] = {
    **dict.fromkeys(
        ("invalid_payload", "no_text", "invalid_blocks", "too_many_attachments"), _CONTENT
    ),
    "user_not_found": wire.Rejected(
        code="", detail="no such member", scope=_RECIPIENT, suppress=True
    ),
    **dict.fromkeys(
        (
            "action_prohibited",
            "posting_to_general_channel_denied",
            "team_disabled",
            "invalid_token",
        ),
        _REFUSED,
    ),
    **dict.fromkeys(
        (
            "channel_not_found",
            "no_service",
            "no_service_id",
            "no_active_hooks",
            "no_team",
            "channel_is_archived",
        ),
        _GONE,
    ),
    "rollup_error": _TROUBLE,
}
#: `error` of a Web API answer.
API_RESULTS: Mapping[str, wire.Rejected | wire.Deferred] = {
    "ratelimited": _LIMIT,
    **dict.fromkeys(
        (
            "invalid_auth",
            "not_authed",
            "account_inactive",
            "token_revoked",
            "token_expired",
            "missing_scope",
            "access_denied",
            "accesslimited",
        ),
        _REFUSED,
    ),
    **dict.fromkeys(
        ("channel_not_found", "not_in_channel", "is_archived"),
        wire.Rejected(code="", detail="channel out of reach", scope=_RECIPIENT, suppress=True),
    ),
    **dict.fromkeys(("msg_too_long", "no_text", "invalid_blocks", "invalid_arguments"), _CONTENT),
    **dict.fromkeys(
        ("internal_error", "fatal_error", "service_unavailable", "request_timeout"), _TROUBLE
    ),
}
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "slack"`."""

    #: address of an incoming webhook; this or `bot_token` is needed
    webhook_url: str = field(default="", repr=False)
    #: `xoxb-…`, of a bot that posts to the channel that `to.chat` names by its id
    bot_token: str = field(default="", repr=False)
    #: signs what Slack posts to us; default: none, and nothing is believed
    signing_secret: str = field(default="", repr=False)
    #: what `to.chat` says for the webhook's channel; default: anything
    chat: str = ""
    #: origin of the API; default https://slack.com, or that of `webhook_url`
    base_url: str = ""

    def __post_init__(self) -> None:
        faults = []
        if bool(self.webhook_url) == bool(self.bot_token):
            faults.append("webhook_url: either this or bot_token, not both")
        elif self.webhook_url and not self.webhook_url.startswith(("https://", "http://")):
            faults.append("webhook_url: not an address that begins with http")
        if self.chat and self.bot_token:
            faults.append("chat: goes with webhook_url, a bot posts to any channel")
        errcodes.check(faults)


class Provider(chat.Silent):
    """One message a call."""

    name: ClassVar[str] = "slack"

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self._clock = clock
        self._chat = settings.chat
        self._signing_secret = settings.signing_secret
        self._bot_token = settings.bot_token
        origin = settings.base_url.rstrip("/")
        self._url = f"{origin or 'https://slack.com'}/api/chat.postMessage"
        if settings.webhook_url:
            path = urlsplit(settings.webhook_url).path
            self._url = origin + path if origin else settings.webhook_url

    def request(self, message: wire.Message) -> wire.HttpRequest:
        chat.check_group(message, self._chat)
        text = chat.plain(message.content, max_bytes=4 * MAX_TEXT).translate(_ESCAPES)
        if len(text) > MAX_TEXT:
            raise chat.TooLong(f"text: longer than {MAX_TEXT} characters")
        card = chat_cards.asked(message.content)
        blocks = chat_cards.slack(card) if card is not None else {}
        body = {"text": text, **blocks, **chat.own(message.content, self.name)}
        if not self._bot_token:
            return chat.post(self._url, body)
        request = chat.post(self._url, {**body, "channel": message.to.chat})
        headers = {**request.headers, "authorization": f"Bearer {self._bot_token}"}
        return replace(request, headers=headers)

    def result(self, response: wire.HttpResponse) -> wire.AttemptResult:
        result = self._api_result(response) if self._bot_token else self._webhook_result(response)
        if isinstance(result, wire.Deferred):
            wait = base.retry_after(response, now_ms=self._clock.now_ms())
            return replace(result, retry_after=wait)
        return result

    def _webhook_result(self, response: wire.HttpResponse) -> wire.AttemptResult:
        word = response.body[:60].decode("ascii", "replace").strip()
        if word == "ok" and 200 <= response.status < 300:
            return wire.Accepted()
        return self._refusal(word, WEBHOOK_RESULTS, response)

    def _api_result(self, response: wire.HttpResponse) -> wire.AttemptResult:
        answer = auth.json_object(response.body)
        if answer.get("ok") is True and 200 <= response.status < 300:
            id_ = answer.get("ts")
            return wire.Accepted(provider_id=id_ if isinstance(id_, str) else "")
        word = answer.get("error")
        word = word if isinstance(word, str) and answer.get("ok") is False else ""
        return self._refusal(word, API_RESULTS, response)

    def _refusal(
        self,
        word: str,
        known: Mapping[str, wire.Rejected | wire.Deferred],
        response: wire.HttpResponse,
    ) -> wire.AttemptResult:
        by_status = base.result_of_status(response, now_ms=self._clock.now_ms())
        if response.status == 429:
            return replace(_LIMIT, code="ratelimited")
        if word in known:
            return replace(known[word], code=word)
        if not isinstance(by_status, wire.Accepted):
            return by_status
        if self._bot_token and word:
            code = word if word.isidentifier() and word.isascii() else "error"
            return wire.Rejected(code=code[:60], detail="unheard-of error")
        return wire.Unknown(code=f"http_{response.status}", detail="unreadable answer")

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        """Whether Slack signed this just now; nothing that it brings is read yet."""
        timestamp = request.headers.get("x-slack-request-timestamp", "")
        if not self._signing_secret or not _is_now(timestamp, self._clock.now_ms()):
            return False
        expected = sign(self._signing_secret, timestamp, request.body).encode()
        offered = auth.to_bytes(request.headers.get("x-slack-signature", ""))
        return hmac.compare_digest(expected, offered)

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        return []

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=200)


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Value of X-Slack-Signature."""
    return "v0=" + chat.mac(secret.encode(), f"v0:{timestamp}:".encode() + body).hex()


def _is_now(timestamp: str, now_ms: int) -> bool:
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        return False
    return abs(int(timestamp) * 1000 - now_ms) <= auth.TOLERANCE * 1000

"""Feishu and Lark (飞书): the custom bot of a group.

Send: https://open.larksuite.com/document/client-docs/bot-v3/use-custom-bots-in-a-group

Lark is the same with `base_url = "https://open.larksuite.com"`. A bot may send 100 messages a
minute and 5 a second. What the content's table `feishu` holds (`msg_type` and `content`, or `card`)
is sent as it is; without it the text goes as `text`, where nobody is mentioned by what happens to
look like a mention, with `card` in the content as `interactive`. There are no receipts and
no idempotency key.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import quote

from gateway.clock import Clock
from gateway.model import wire
from gateway.providers import auth, chat, chat_cards, errcodes

#: Bytes of a request.
MAX_BODY = 20 * 1024
_CREDENTIAL = wire.Cause.CREDENTIAL
_GROUPS: errcodes.Groups = (
    (wire.Rejected(code="", detail="request refused"), frozenset({9499, 19002})),
    (
        wire.Deferred(code="", detail="over a limit", cause=wire.Cause.THROTTLED),
        frozenset({11232}),
    ),
    (
        wire.Deferred(code="", detail="signature or clock", cause=_CREDENTIAL),
        frozenset({19021}),
    ),
    (wire.Deferred(code="", detail="address refused", cause=_CREDENTIAL), frozenset({19022})),
    (wire.Deferred(code="", detail="no such webhook", cause=_CREDENTIAL), frozenset({19001})),
    (wire.Rejected(code="", detail="no keyword of the bot in it"), frozenset({19024})),
)
RESULTS = errcodes.table_of(_GROUPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "feishu"`."""

    #: end of the webhook's address
    webhook_token: str = field(repr=False)
    #: where the bot wants a signature; default: none
    secret: str = field(default="", repr=False)
    #: what `to.chat` says for this bot's group; default: anything
    chat: str = ""
    #: origin of the API; default https://open.feishu.cn
    base_url: str = "https://open.feishu.cn"

    def __post_init__(self) -> None:
        errcodes.check([] if self.webhook_token else ["webhook_token: is empty"])


class Provider(chat.Silent):
    """One message a call."""

    name: ClassVar[str] = "feishu"

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self._clock = clock
        self._chat = settings.chat
        self._secret = settings.secret
        token = quote(settings.webhook_token, safe="")
        self._url = f"{settings.base_url.rstrip('/')}/open-apis/bot/v2/hook/{token}"

    def request(self, message: wire.Message) -> wire.HttpRequest:
        chat.check_group(message, self._chat)
        body = dict(chat.own(message.content, self.name))
        if not body:
            body = dict(_said(message.content))
        if self._secret:
            timestamp = self._clock.now_ms() // 1000
            body |= {"timestamp": str(timestamp), "sign": sign(self._secret, timestamp)}
        request = chat.post(self._url, body)
        if len(request.body) > MAX_BODY:
            raise chat.TooLong(f"text: longer than {MAX_BODY} bytes")
        return request

    def result(self, response: wire.HttpResponse) -> wire.AttemptResult:
        code = errcodes.code_of(auth.json_object(response.body), "code")
        if code == 0 and 200 <= response.status < 300:
            return wire.Accepted()
        code = None if code == 0 else code
        return errcodes.refusal(code, response, RESULTS, now_ms=self._clock.now_ms())


def _said(content: wire.Content) -> Mapping[str, Any]:
    if (card := chat_cards.asked(content)) is not None:
        return chat_cards.feishu(card)
    text = chat.plain(content, max_bytes=MAX_BODY)
    # a mention is `<at user_id="all">`
    return {"msg_type": "text", "content": {"text": text.replace("<at ", "< at ")}}


def sign(secret: str, timestamp: int) -> str:
    """Timestamp and secret are the key, and what is signed is empty."""
    return b64encode(chat.mac(f"{timestamp}\n{secret}".encode(), b"")).decode()

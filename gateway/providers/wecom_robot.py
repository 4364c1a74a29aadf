"""WeCom's group robot (消息推送, formerly 群机器人): one webhook, one group.

Send: https://developer.work.weixin.qq.com/document/path/99110

The key in the address is the whole secret: nothing is signed. Its limit is 20 messages a minute.
What the content's table `wecom_robot` holds (`msgtype` and the part of that name) is sent as it
is; without it the text goes as `text`, with `card` in the content as `template_card`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import quote

from gateway.clock import Clock
from gateway.model import wire
from gateway.providers import auth, chat, chat_cards, errcodes

#: Bytes of a text.
MAX_TEXT = 2048
_THROTTLED = wire.Deferred(
    code="", detail="20 messages a minute", cause=wire.Cause.THROTTLED, retry_after=60.0
)
_GROUPS: errcodes.Groups = (
    (wire.Deferred(code="", detail="busy"), frozenset({-1})),
    (_THROTTLED, frozenset({45009})),
    (
        wire.Rejected(code="", detail="no such robot", scope=wire.Scope.PROVIDER),
        frozenset({93000}),
    ),
    (
        wire.Rejected(code="", detail="content refused"),
        frozenset({40008, 40058, 44004, 45002}),
    ),
)
RESULTS: Mapping[int, wire.Rejected | wire.Deferred] = errcodes.table_of(_GROUPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "wecom_robot"`."""

    #: `key` of the webhook's address
    webhook_key: str = field(repr=False)
    #: what `to.chat` says for this robot's group; default: anything
    chat: str = ""
    #: origin of the API; default https://qyapi.weixin.qq.com
    base_url: str = "https://qyapi.weixin.qq.com"

    def __post_init__(self) -> None:
        errcodes.check([] if self.webhook_key else ["webhook_key: is empty"])


class Provider(chat.Silent):
    """One message a call."""

    name: ClassVar[str] = "wecom_robot"

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self._clock = clock
        self._chat = settings.chat
        origin = settings.base_url.rstrip("/")
        self._url = f"{origin}/cgi-bin/webhook/send?key={quote(settings.webhook_key, safe='')}"

    def request(self, message: wire.Message) -> wire.HttpRequest:
        chat.check_group(message, self._chat)
        if table := chat.own(message.content, self.name):
            return chat.post(self._url, table)
        if (card := chat_cards.asked(message.content)) is not None:
            return chat.post(self._url, chat_cards.wecom_robot(card))
        text = chat.plain(message.content, max_bytes=MAX_TEXT)
        return chat.post(self._url, {"msgtype": "text", "text": {"content": text}})

    def result(self, response: wire.HttpResponse) -> wire.AttemptResult:
        code = errcodes.code_of(auth.json_object(response.body))
        if code == 0 and 200 <= response.status < 300:
            return wire.Accepted()
        code = None if code == 0 else code
        return errcodes.refusal(code, response, RESULTS, now_ms=self._clock.now_ms())

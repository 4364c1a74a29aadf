"""DingTalk (钉钉): the custom robot of a group.

Send: https://open.dingtalk.com/document/robots/custom-robot-access
Signature: https://open.dingtalk.com/document/robots/customize-robot-security-settings

DingTalk's limit is 20 messages a minute, and who exceeds it is blocked for ten: give the account a
`rate` of 0.3. What the content's table `dingtalk` holds (`msgtype`, the part of that name, `at`) is
sent as it is; without it the text goes as `text`, with `card` in the content as `link`. There are
no receipts and no idempotency key.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import quote

from gateway.clock import Clock
from gateway.model import wire
from gateway.providers import auth, chat, chat_cards, errcodes

#: Bytes of a request (`message too long, exceed 20000 bytes`).
MAX_BODY = 20_000
#: Seconds that a robot is blocked for when it has exceeded its limit.
BLOCK = 600.0
_CREDENTIAL = wire.Cause.CREDENTIAL
_THROTTLED = wire.Deferred(
    code="", detail="20 messages a minute", cause=wire.Cause.THROTTLED, retry_after=BLOCK
)
#: Keywords missing, signature wrong, address not listed: the text tells which.
SECURITY = 310000
_GROUPS: errcodes.Groups = (
    (wire.Deferred(code="", detail="busy"), frozenset({-1})),
    (_THROTTLED, frozenset({130101, 410100})),
    (
        wire.Deferred(code="", detail="no such access_token", cause=_CREDENTIAL),
        frozenset({300001, 300005, 400101}),
    ),
    (
        wire.Deferred(code="", detail="signature or address refused", cause=_CREDENTIAL),
        frozenset({SECURITY}),
    ),
    (
        wire.Rejected(code="", detail="robot or group is gone", scope=wire.Scope.PROVIDER),
        frozenset({400013, 400102, 400106}),
    ),
    (wire.Rejected(code="", detail="request refused"), frozenset({40035, 43004, 400105})),
)
RESULTS = errcodes.table_of(_GROUPS)
_NO_KEYWORD = wire.Rejected(code=str(SECURITY), detail="no keyword of the robot in it")
#: Texts of a limit, whose numbers have changed over time.
_LIMITS = ("too fast", "exceed", "frequency")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "dingtalk"`."""

    #: `access_token` of the webhook's address
    access_token: str = field(repr=False)
    #: `SEC…`, where the robot wants a signature; default: none
    secret: str = field(default="", repr=False)
    #: what `to.chat` says for this robot's group; default: anything
    chat: str = ""
    #: origin of the API; default https://oapi.dingtalk.com
    base_url: str = "https://oapi.dingtalk.com"

    def __post_init__(self) -> None:
        errcodes.check([] if self.access_token else ["access_token: is empty"])


class Provider(chat.Silent):
    """One message a call."""

    name: ClassVar[str] = "dingtalk"

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self._clock = clock
        self._chat = settings.chat
        self._secret = settings.secret
        token = quote(settings.access_token, safe="")
        self._url = f"{settings.base_url.rstrip('/')}/robot/send?access_token={token}"

    def request(self, message: wire.Message) -> wire.HttpRequest:
        chat.check_group(message, self._chat)
        body = chat.own(message.content, self.name) or _said(message.content)
        request = chat.post(self._url + self._signature(), body)
        if len(request.body) > MAX_BODY:
            raise chat.TooLong(f"text: longer than {MAX_BODY} bytes")
        return request

    def _signature(self) -> str:
        if not self._secret:
            return ""
        now_ms = self._clock.now_ms()
        return f"&timestamp={now_ms}&sign={quote(sign(self._secret, now_ms), safe='')}"

    def result(self, response: wire.HttpResponse) -> wire.AttemptResult:
        answer = auth.json_object(response.body)
        code, now_ms = errcodes.code_of(answer), self._clock.now_ms()
        if code == 0 and 200 <= response.status < 300:
            return wire.Accepted()
        if code is None and answer.get("punish"):
            return _punished(answer)
        if code is None or code == 0:
            return errcodes.refusal(None, response, RESULTS, now_ms=now_ms)
        return _told(code, answer) or errcodes.refusal(code, response, RESULTS, now_ms=now_ms)


def _said(content: wire.Content) -> Mapping[str, Any]:
    if (card := chat_cards.asked(content)) is not None:
        return chat_cards.dingtalk(card)
    text = chat.plain(content, max_bytes=MAX_BODY)
    return {"msgtype": "text", "text": {"content": text}}


def sign(secret: str, timestamp_ms: int) -> str:
    """The secret is the key and stands in the text too."""
    text = f"{timestamp_ms}\n{secret}".encode()
    return b64encode(chat.mac(secret.encode(), text)).decode()


def _told(code: int, answer: Mapping[str, Any]) -> wire.AttemptResult | None:
    """What the words say that the number leaves open."""
    words = str(answer.get("errmsg", "")).lower()
    if "too long" in words:  # `… exceed 20000 bytes` is no limit of messages
        return wire.Rejected(code=str(code), detail="too long")
    if any(one in words for one in _LIMITS):
        return errcodes.table_of(((_THROTTLED, frozenset({code})),))[code]
    if code == SECURITY and ("keyword" in words or "关键词" in words):
        return _NO_KEYWORD
    return None


def _punished(answer: Mapping[str, Any]) -> wire.Deferred:
    """The page of the gateway before the API, which says how long to stay away."""
    wait = answer.get("wait")
    good = isinstance(wait, int | float) and not isinstance(wait, bool) and 0 <= wait <= 86_400
    status = errcodes.code_of(answer, "status")
    return wire.Deferred(
        code=f"punish_{status}" if status is not None else "punish",
        cause=wire.Cause.THROTTLED,
        retry_after=float(wait) if good and wait is not None else BLOCK,
    )

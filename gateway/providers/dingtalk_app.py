"""DingTalk (钉钉): work notifications (工作通知) of an application to members.

Token: https://open.dingtalk.com/document/orgapp/obtain-orgapp-token
Send: https://open.dingtalk.com/document/orgapp/asynchronous-sending-of-enterprise-session-messages

`to.chat` is a member's userid. Members who are told the same share a call, up to 100. What the
content's table `dingtalk_app` holds (`msgtype` and the part of that name) is sent as it is; without
it the text goes as `text`, with `card` in the content as `link`. DingTalk shows the same content to
a member once a day. Who has read it can only be asked for, hence there are no receipts; there is no
idempotency key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlencode

import orjson

from gateway.clock import Clock
from gateway.model import wire
from gateway.providers import auth, chat, chat_cards, errcodes, mainland, trial

#: Bytes of a message, as the robot's.
MAX_BODY = 20_000
#: Code of a refused token, whose own code is a `sub_code`.
_WRAPPED = 88
_RECIPIENT = wire.Scope.RECIPIENT
_CREDENTIAL, _THROTTLED = wire.Cause.CREDENTIAL, wire.Cause.THROTTLED
_GROUPS: errcodes.Groups = (
    (wire.Deferred(code="", detail="busy"), frozenset({-1})),
    (
        wire.Deferred(code=errcodes.TOKEN_REFUSED, cause=_CREDENTIAL),
        frozenset({_WRAPPED, 40014, 42001}),
    ),
    (
        wire.Deferred(code="", detail="too many a minute", cause=_THROTTLED, retry_after=60.0),
        frozenset({143103, 143104}),
    ),
    (
        wire.Rejected(code="", detail="no such member", scope=_RECIPIENT, suppress=True),
        frozenset({33012}),
    ),
    (wire.Rejected(code="", detail="request refused"), frozenset({40035, 43004, 400105})),
)
RESULTS = errcodes.table_of(_GROUPS)
#: Texts of a limit, whose numbers have changed over time.
_LIMITS = ("too fast", "frequency", "qps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "dingtalk_app"`."""

    #: AppKey, or client id, of the application
    app_key: str = field(repr=False)
    #: its secret
    app_secret: str = field(repr=False)
    #: AgentId of the application, a number
    agent_id: int
    #: origin of the API; default https://oapi.dingtalk.com
    base_url: str = "https://oapi.dingtalk.com"

    def __post_init__(self) -> None:
        needed = ("app_key", "app_secret")
        errcodes.check([f"{name}: is empty" for name in needed if not getattr(self, name)])


class Provider(chat.Silent):
    """One text to up to 100 members a call."""

    name: ClassVar[str] = "dingtalk_app"
    batch_limit: ClassVar[int] = 100

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self._clock = clock
        self._agent_id = settings.agent_id
        origin = settings.base_url.rstrip("/")
        self._url = f"{origin}/topapi/message/corpconversation/asyncsend_v2"
        ids = urlencode({"appkey": settings.app_key, "appsecret": settings.app_secret})
        token = wire.HttpRequest(method="GET", url=f"{origin}/gettoken?{ids}")
        self.credential = errcodes.QueryToken(token, RESULTS, clock)

    def misfit(self, to: wire.Address) -> str:
        return "chat: not one userid" if set(to.chat) & set(", \t\r\n") else ""

    def objection(self, content: wire.Content, to: wire.Address) -> str:
        return self.misfit(to) or trial.objection(self._said, content, to, self.channel)

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        """Raises ValueError when one is too long, or to nobody's id."""
        said: dict[bytes, list[dict[str, wire.Message]]] = {}
        for message in messages:
            if fault := self.misfit(message.to):
                raise ValueError(f"to.{fault}")
            calls = said.setdefault(orjson.dumps(self._said(message)), [])
            member = message.to.chat
            free = (one for one in calls if member not in one and len(one) < self.batch_limit)
            call = next(free, None)
            if call is None:
                calls.append(call := {})
            call[member] = message
        return [
            (tuple(call.values()), self._request(orjson.loads(text), call))
            for text, calls in said.items()
            for call in calls
        ]

    def _said(self, message: wire.Message) -> Mapping[str, Any]:
        return chat.within(message.content, _msg)

    def _request(self, said: Mapping[str, Any], members: Mapping[str, object]) -> wire.HttpRequest:
        body = {
            "agent_id": self._agent_id,
            "userid_list": ",".join(members),
            "to_all_user": False,
            "msg": said,
        }
        return chat.post(self._url, body)

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        result = self.result(response)
        if len(messages) > 1 and isinstance(result, wire.Rejected):
            result = chat.of_a_batch(result.code)
        return [result] * len(messages)

    def result(self, response: wire.HttpResponse) -> wire.AttemptResult:
        answer, now_ms = auth.json_object(response.body), self._clock.now_ms()
        code = errcodes.code_of(answer)
        if code == 0 and 200 <= response.status < 300:
            return wire.Accepted(provider_id=mainland.text_of(answer, "task_id"))
        words = str(answer.get("errmsg", "")).lower()
        if code and any(one in words for one in _LIMITS):
            return wire.Deferred(code=str(code), cause=_THROTTLED, retry_after=60.0)
        return errcodes.refusal(code or None, response, RESULTS, now_ms=now_ms)


def _msg(content: wire.Content) -> Mapping[str, Any]:
    """Raises ValueError."""
    said = chat.own(content, Provider.name) or _card_or_text(content)
    if len(orjson.dumps(dict(said), option=orjson.OPT_NON_STR_KEYS)) > MAX_BODY:
        raise chat.TooLong(f"text: longer than {MAX_BODY} bytes")
    return said


def _card_or_text(content: wire.Content) -> Mapping[str, Any]:
    if (card := chat_cards.asked(content)) is not None:
        return chat_cards.dingtalk(card)
    return {"msgtype": "text", "text": {"content": chat.plain(content, max_bytes=MAX_BODY)}}

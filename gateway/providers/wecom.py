"""WeCom (企业微信): messages of an application to members.

Token: https://developer.work.weixin.qq.com/document/path/91039
Send: https://developer.work.weixin.qq.com/document/path/90236
Limits: https://developer.work.weixin.qq.com/document/path/90454

Members that are to be told the same share a call, and an answer of success names those that were
not served. There are no receipts. WeCom drops a request that repeats another one byte for byte
within `duplicate_window`; that keeps a repeated call from being seen twice. It also drops, and
does not say so, what one member gets beyond 30 messages a minute.

The content's table `wecom` names a message type as its `template` and holds what the type wants
under that name: `{ template = "textcard", textcard = { title = …, description = …, url = … } }`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlencode

import orjson

from gateway.clock import Clock
from gateway.model import wire
from gateway.model.values import replace
from gateway.providers import auth, base, chat, chat_cards, errcodes, trial, wechat_callback

#: Bytes of a text; WeCom cuts what is longer.
MAX_TEXT = 2048
#: Seconds: the longest duplicate_check_interval.
MAX_WINDOW = 14_400
#: Everybody whom the application can see, if it stands alone.
ALL = "@all"
#: What may stand in the content's table beside the type's own part.
OPTIONS = ("safe", "enable_id_trans")

_RECIPIENT = wire.Scope.RECIPIENT
_CREDENTIAL, _THROTTLED = wire.Cause.CREDENTIAL, wire.Cause.THROTTLED
_INVALID = wire.Rejected(
    code="invaliduser", detail="no such member", scope=_RECIPIENT, suppress=True
)
_UNLICENSED = wire.Rejected(code="unlicenseduser", detail="no license", scope=_RECIPIENT)
# developer.work.weixin.qq.com/document/path/90313, by what they mean to us.
_GROUPS: errcodes.Groups = (
    (wire.Deferred(code="", detail="busy"), frozenset({-1})),
    (
        wire.Deferred(code=errcodes.TOKEN_REFUSED, cause=_CREDENTIAL),
        frozenset({40014, 41001, 42001}),
    ),
    (
        wire.Deferred(code="", detail="corpid or secret refused", cause=_CREDENTIAL),
        frozenset({40001, 40013, 40091, 41002, 41004}),
    ),
    (
        wire.Deferred(code="", detail="application or address not permitted", cause=_CREDENTIAL),
        frozenset({40056, 41011, 48002, 48004, 50003, 60020, 301002}),
    ),
    (
        wire.Deferred(code="", detail="calls a minute", cause=_THROTTLED, retry_after=60.0),
        frozenset({45009}),
    ),
    (
        wire.Deferred(code="", detail="calls at once", cause=_THROTTLED, retry_after=2.0),
        frozenset({45033}),
    ),
    (
        wire.Rejected(code="", detail="no such member", scope=_RECIPIENT, suppress=True),
        frozenset({40003, 40031, 46004, 60111, 81013, 82001, 301021}),
    ),
    (
        wire.Rejected(code="", detail="WeChat not bound", scope=_RECIPIENT, suppress=True),
        frozenset({43004}),
    ),
    (  # which the company may widen
        wire.Rejected(code="", detail="outside the visible range", scope=_RECIPIENT),
        frozenset({50002, 60011}),
    ),
    (wire.Rejected(code="", detail="too many ids"), frozenset({40032, 82002, 82003})),
    (
        wire.Rejected(code="", detail="content refused"),
        frozenset({40007, 40008, 40033, 40035, 40058, 40063, 41006, 41016, 41033, 44004})
        | frozenset({45002, 45008, 85002}),
    ),
)
RESULTS = errcodes.table_of(_GROUPS)
#: Refusals of a whole call that may be due to one of its members.
_OF_ONE = frozenset(
    {str(code) for code, one in RESULTS.items() if isinstance(one, wire.Rejected)}
) - {str(code) for code in _GROUPS[-1][1]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "wecom"`."""

    #: of the company, `ww…`
    corp_id: str
    #: of the application
    secret: str = field(repr=False)
    #: of the application, such as `1000002`
    agent_id: int
    #: seconds in which WeCom drops the same request again, 0 for never; default 60
    duplicate_window: int = 60
    #: token of the application's callback; default: none, and nothing is believed
    callback_token: str = field(default="", repr=False)
    #: its EncodingAESKey, needed with the token
    encoding_aes_key: str = field(default="", repr=False)
    #: origin of the API; default https://qyapi.weixin.qq.com
    base_url: str = "https://qyapi.weixin.qq.com"

    def __post_init__(self) -> None:
        faults = [f"{name}: is empty" for name in ("corp_id", "secret") if not getattr(self, name)]
        if not 0 <= self.duplicate_window <= MAX_WINDOW:
            faults.append(f"duplicate_window: not between 0 and {MAX_WINDOW} seconds")
        if bool(self.callback_token) != bool(self.encoding_aes_key):
            faults.append("callback_token: needs an encoding_aes_key, and it a token")
        errcodes.check(faults + wechat_callback.key_faults(self.encoding_aes_key))


class Provider(base.HttpProvider):
    """One text to up to 1,000 members a call."""

    name: ClassVar[str] = "wecom"
    channel = wire.Channel.WECOM
    batch_limit: ClassVar[int] = 1000
    reports: frozenset[wire.ReceiptEvent] = frozenset()

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self._clock = clock
        origin = settings.base_url.rstrip("/")
        self._url = f"{origin}/cgi-bin/message/send"
        ids = urlencode({"corpid": settings.corp_id, "corpsecret": settings.secret})
        token = wire.HttpRequest(method="GET", url=f"{origin}/cgi-bin/gettoken?{ids}")
        self.credential: base.Credential | None = errcodes.QueryToken(token, RESULTS, clock)
        self._fixed: dict[str, Any] = {"agentid": settings.agent_id}
        if settings.duplicate_window:
            window = settings.duplicate_window
            self._fixed |= {"enable_duplicate_check": 1, "duplicate_check_interval": window}
        self._agent = str(settings.agent_id)
        self._callback = wechat_callback.Callback(
            token=settings.callback_token,
            aes_key=settings.encoding_aes_key,
            receive_id=settings.corp_id,
            encrypts_echo=True,
            clock=clock,
        )

    def misfit(self, to: wire.Address) -> str:
        return "wecom: not one userid" if "|" in to.wecom else ""

    def objection(self, content: wire.Content, to: wire.Address) -> str:
        return self.misfit(to) or trial.objection(
            lambda one: _said(one.content), content, to, self.channel
        )

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        """Raises ValueError when one cannot be sent, or is to several."""
        said: dict[tuple[bytes, bool], list[dict[str, wire.Message]]] = {}
        for message in messages:
            if fault := self.misfit(message.to):
                raise ValueError(f"to.{fault}")
            text = orjson.dumps(_said(message.content))
            member = message.to.wecom.lower()  # answers name members in lower case
            calls = said.setdefault((text, member == ALL), [])
            free = (one for one in calls if member not in one and len(one) < self.batch_limit)
            call = next(free, None)
            if call is None:
                calls.append(call := {})
            call[member] = message
        return [
            (tuple(call.values()), self._request(orjson.loads(text), call.values()))
            for (text, _), calls in said.items()
            for call in calls
        ]

    def _request(
        self, content: Mapping[str, Any], messages: Iterable[wire.Message]
    ) -> wire.HttpRequest:
        body = {**content, "touser": "|".join(one.to.wecom for one in messages), **self._fixed}
        return chat.post(self._url, body)

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        answer = auth.json_object(response.body)
        code = errcodes.code_of(answer)
        if code == 0 and 200 <= response.status < 300:
            return _fates(messages, answer)
        result = errcodes.refusal(
            None if code == 0 else code, response, RESULTS, now_ms=self._clock.now_ms()
        )
        if len(messages) > 1 and isinstance(result, wire.Rejected) and result.code in _OF_ONE:
            result = chat.of_a_batch(result.code)
        return [result] * len(messages)

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        return self._callback.verify(request)

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        if request.method != "GET":
            self._callback.read(request)
        return []

    def read_inbound(self, request: wire.HttpRequest) -> Sequence[wire.InboundMessage]:
        if request.method == "GET":
            return []
        return wechat_callback.read_inbound(self._callback.read(request), to=self._agent)

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return self._callback.answer(request)


def _said(content: wire.Content) -> Mapping[str, Any]:
    """The same, its texts cut where they must and may be. Raises ValueError."""
    return chat.within(content, _content)


def _content(content: wire.Content) -> Mapping[str, Any]:
    """The part that all members of a call share. Raises ValueError."""
    table = content.provider_templates.get(Provider.name)
    if isinstance(table, Mapping):
        kind = table.get("template")
        if not isinstance(kind, str) or not isinstance(table.get(kind), Mapping):
            raise ValueError("wecom.template: not a message type with a table of its name")
        options = {name: table[name] for name in OPTIONS if name in table}
        return {**options, "msgtype": kind, kind: table[kind]}
    if (asked := chat_cards.asked(content)) is not None:
        return chat_cards.wecom(asked)
    card = chat_cards.card_of(content)
    lengths = [len(auth.to_bytes(one)) for one in (card.title, card.text, card.link)]
    if all(0 < size <= most for size, most in zip(lengths, chat_cards.WECOM, strict=True)):
        return chat_cards.wecom(replace(card, image=""))
    return {"msgtype": "text", "text": {"content": chat.plain(content, max_bytes=MAX_TEXT)}}


def _fates(
    messages: Sequence[wire.Message], answer: Mapping[str, Any]
) -> Sequence[wire.AttemptResult]:
    """Success is nobody's who is on a list."""
    invalid, unlicensed = _ids(answer, "invaliduser"), _ids(answer, "unlicenseduser")
    id_ = answer.get("msgid")
    taken = wire.Accepted(provider_id=id_ if isinstance(id_, str) else "")
    members = [message.to.wecom.lower() for message in messages]
    return [
        _INVALID if one in invalid else _UNLICENSED if one in unlicensed else taken
        for one in members
    ]


def _ids(answer: Mapping[str, Any], name: str) -> frozenset[str]:
    value = answer.get(name)
    return frozenset(value.lower().split("|")) if isinstance(value, str) else frozenset()

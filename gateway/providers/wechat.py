"""WeChat service accounts (微信服务号): template messages and subscription notifications.

Token: https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken
Templates: https://developers.weixin.qq.com/doc/service/api/notify/template/api_sendtemplatemessage
Reports: https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Template_Message_Interface.html
Subscriptions: https://developers.weixin.qq.com/doc/service/guide/product/subscription_messages/push

No free text: a message names a template of the account and its data, in the content's table
`wechat`. `subscribe = true` in it sends a subscription notification, which uses up one consent of
the recipient and whose answer may have no id: then its report finds no message. A template message
carries our reference as `client_msg_id`, by which WeChat drops a second copy for some ten minutes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from xml.etree.ElementTree import Element

import orjson

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import (
    auth,
    base,
    chat,
    errcodes,
    mainland,
    trial,
    wechat_callback,
    wechat_data,
)

_RECIPIENT, _PROVIDER = wire.Scope.RECIPIENT, wire.Scope.PROVIDER
_CREDENTIAL, _THROTTLED = wire.Cause.CREDENTIAL, wire.Cause.THROTTLED
#: Calls of the day are used up: until midnight in Beijing.
QUOTA = 45009
_REFUSED = wire.Rejected(code="", scope=_RECIPIENT, suppress=True, opted_out=True)
# Global return codes, by what they mean to us.
_GROUPS: errcodes.Groups = (
    (wire.Deferred(code="", detail="busy"), frozenset({-1})),
    (
        wire.Deferred(code=errcodes.TOKEN_REFUSED, cause=_CREDENTIAL),
        frozenset({40001, 40014, 42001}),
    ),
    (
        wire.Deferred(code="", detail="credentials or addresses refused", cause=_CREDENTIAL),
        frozenset({40013, 40125, 40164, 41001, 41002, 41004, 61003, 61007}),
    ),
    (
        wire.Deferred(code="", detail="API not granted or banned", cause=_CREDENTIAL),
        frozenset({48001, 48004, 48008, 50001, 50002}),
    ),
    (
        wire.Rejected(code="", detail="no such openid here", scope=_RECIPIENT, suppress=True),
        frozenset({40003}),
    ),
    (  # until they follow it again, of which we hear
        replace(_REFUSED, detail="does not follow"),
        frozenset({43004, 50005}),
    ),
    (replace(_REFUSED, detail="refuses messages"), frozenset({43019, 48002})),
    (  # consent to one template, not to the account
        wire.Rejected(code="", detail="no subscription left", scope=_RECIPIENT),
        frozenset({43101}),
    ),
    (
        wire.Rejected(code="", detail="no such template", scope=_PROVIDER),
        frozenset({40036, 40037, 45026, 45027}),
    ),
    (
        wire.Rejected(code="", detail="content refused"),
        frozenset({40033, 40035, 40038, 40039, 41009, 43002, 44002, 45002, 45168, 47001, 47003}),
    ),
    (wire.Deferred(code="", detail="quota of the day", cause=_THROTTLED), frozenset({QUOTA})),
    (
        wire.Deferred(code="", detail="calls a minute", cause=_THROTTLED, retry_after=60.0),
        frozenset({45011}),
    ),
)
RESULTS = errcodes.table_of(_GROUPS)

TEMPLATE_EVENT = "TEMPLATESENDJOBFINISH"
SUBSCRIBE_EVENT = "subscribe_msg_sent_event"
#: Events of who follows the account. Consent to one template (`subscribe_msg_popup_event`,
#: `subscribe_msg_change_event`) is WeChat's to keep: it answers 43101, and bans nobody.
_WISHES = {"subscribe": wire.Wish.OPT_IN, "unsubscribe": wire.Wish.OPT_OUT}
_DELIVERED, _FAILED = wire.ReceiptEvent.DELIVERED, wire.ReceiptEvent.FAILED
#: By `Status` of a template message, without blanks; others that begin with `failed` are failures.
STATUSES = {
    "success": (_DELIVERED, ""),
    "failed:userblock": (wire.ReceiptEvent.OPTED_OUT, "blocked the account"),
    "failed:systemfailed": (_FAILED, "system failed"),
    "failed:freqlimit": (_FAILED, "frequency limit"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "wechat"`."""

    #: AppID, `wx…`
    app_id: str
    #: AppSecret
    app_secret: str = field(repr=False)
    #: token of the server configuration, which signs reports; default: none, and none is believed
    callback_token: str = field(default="", repr=False)
    #: EncodingAESKey, with which reports must be encrypted then; default: the plain form
    encoding_aes_key: str = field(default="", repr=False)
    #: origin of the API; default https://api.weixin.qq.com
    base_url: str = "https://api.weixin.qq.com"

    def __post_init__(self) -> None:
        faults = [
            f"{name}: is empty" for name in ("app_id", "app_secret") if not getattr(self, name)
        ]
        if self.encoding_aes_key and not self.callback_token:
            faults.append("callback_token: missing, though there is an encoding_aes_key")
        errcodes.check(faults + wechat_callback.key_faults(self.encoding_aes_key))


class Provider(base.HttpProvider):
    """One recipient a request."""

    name: ClassVar[str] = "wechat"
    channel = wire.Channel.WECHAT
    batch_limit: ClassVar[int] = 1

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self.reports = frozenset({_DELIVERED} if settings.callback_token else ())
        self._clock = clock
        self._origin = settings.base_url.rstrip("/")
        self.credential: base.Credential | None = errcodes.QueryToken(
            _token_request(self._origin, settings), RESULTS, clock, refine=self._until_reset
        )
        self._callback = wechat_callback.Callback(
            token=settings.callback_token,
            aes_key=settings.encoding_aes_key,
            receive_id=settings.app_id,
            encrypts_echo=False,
            clock=clock,
        )

    def objection(self, content: wire.Content, to: wire.Address) -> str:
        return trial.objection(self._request, content, to, self.channel)

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        return [((message,), self._request(message)) for message in messages]

    def _request(self, message: wire.Message) -> wire.HttpRequest:
        table = message.content.provider_templates.get(self.name)
        if not isinstance(table, Mapping):
            raise ValueError("the content has no template of wechat")
        is_subscription = table.get("subscribe") is True
        path = "message/subscribe/bizsend" if is_subscription else "message/template/send"
        url = table.get("url") or table.get("page") or chat.link_of(message.content)
        body = {
            "touser": message.to.wechat,
            "template_id": _template(table),
            "page" if is_subscription else "url": url,
            "miniprogram": table.get("miniprogram"),
            "client_msg_id": None if is_subscription else message.reference,
            "data": wechat_data.read(table),
        }
        filled = {name: value for name, value in body.items() if value or name == "data"}
        return _post(f"{self._origin}/cgi-bin/{path}", filled)

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        return [self._result(response)] * len(messages)

    def _result(self, response: wire.HttpResponse) -> wire.AttemptResult:
        answer = auth.json_object(response.body)
        code = errcodes.code_of(answer)
        if code == 0 and 200 <= response.status < 300:
            id_ = answer.get("msgid")  # may need 64 bits; a number in JSON, a text with us
            good = isinstance(id_, int | str) and not isinstance(id_, bool)
            return wire.Accepted(provider_id=str(id_) if good else "")
        result = errcodes.refusal(
            None if code == 0 else code, response, RESULTS, now_ms=self._clock.now_ms()
        )
        return self._until_reset(result) if isinstance(result, wire.Deferred) else result

    def _until_reset(self, result: wire.Deferred) -> wire.Deferred:
        if result.code != str(QUOTA) or result.retry_after is not None:
            return result
        wait = mainland.until_hour(0, now_ms=self._clock.now_ms())
        return replace(result, retry_after=wait)

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        return self._callback.verify(request)

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        if request.method == "GET":  # proves the address, and brings nothing
            return []
        document = self._callback.read(request)
        event = wechat_callback.text_of(document, "Event")
        if event == TEMPLATE_EVENT:
            return [_template_receipt(document)]
        if event == SUBSCRIBE_EVENT:
            return _subscription_receipts(document)
        return []

    def read_inbound(self, request: wire.HttpRequest) -> Sequence[wire.InboundMessage]:
        if request.method == "GET":
            return []
        document = self._callback.read(request)
        to = wechat_callback.text_of(document, "ToUserName")
        if wish := _WISHES.get(wechat_callback.text_of(document, "Event")):
            return [_follower(document, to=to, wish=wish)]
        return wechat_callback.read_inbound(document, to=to)

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return self._callback.answer(request)


def _follower(document: Element, *, to: str, wish: wire.Wish) -> wire.InboundMessage:
    """Somebody follows the account, or does so no more. An event is known by its sender and time
    when it comes twice."""
    sender = wechat_callback.text_of(document, "FromUserName")
    created = wechat_callback.text_of(document, "CreateTime")
    if not sender or not created:
        raise errors.UnreadableReceipt("neither a sender nor a time of an event")
    at = wechat_callback.read_at(document)
    id_ = f"{wish}:{sender}:{created}"
    return wire.InboundMessage(sender=sender, to=to, text="", provider_id=id_, wish=wish, at=at)


def _token_request(origin: str, settings: Settings) -> wire.HttpRequest:
    """Of the kind that may be repeated without ending the token that others use."""
    body = {
        "grant_type": "client_credential",
        "appid": settings.app_id,
        "secret": settings.app_secret,
        "force_refresh": False,
    }
    return _post(f"{origin}/cgi-bin/stable_token", body)


def _post(url: str, body: Mapping[str, Any]) -> wire.HttpRequest:
    # UTF-8 as it is: escapes such as \u4f60 are refused with 40033.
    headers = {"content-type": "application/json"}
    return wire.HttpRequest(method="POST", url=url, headers=headers, body=orjson.dumps(body))


def _template(table: Mapping[str, Any]) -> str:
    template = table.get("template")
    if not isinstance(template, str) or not template:
        raise ValueError("wechat.template: not the id of a template")
    return template


def _template_receipt(document: Element) -> wire.DeliveryReceipt:
    id_ = wechat_callback.text_of(document, "MsgID")
    status = "".join(wechat_callback.text_of(document, "Status").split()).lower()
    if not id_ or not status:
        raise errors.UnreadableReceipt("neither an id nor a status of a message")
    unknown = _FAILED if status.startswith("failed") else wire.ReceiptEvent.UNKNOWN
    event, detail = STATUSES.get(status, (unknown, ""))
    return wire.DeliveryReceipt(
        event=event,
        provider_id=id_,
        code=status[:60],
        detail=detail,
        at=wechat_callback.read_at(document),
        suppress=event is wire.ReceiptEvent.OPTED_OUT,
    )


def _subscription_receipts(document: Element) -> list[wire.DeliveryReceipt]:
    at = wechat_callback.read_at(document)
    receipts = [
        wire.DeliveryReceipt(
            event=_DELIVERED if code == "0" else _FAILED, provider_id=id_, code=code[:12], at=at
        )
        for row in document.iterfind("SubscribeMsgSentEvent/List")
        if (id_ := wechat_callback.text_of(row, "MsgID"))
        and (code := wechat_callback.text_of(row, "ErrorCode"))
    ]
    if not receipts:
        raise errors.UnreadableReceipt("no report names a message and a code")
    return receipts

"""5G messages (5G消息) by a MaaP platform of CMCC's making, as Huawei Cloud offers it.

Send: https://support.huaweicloud.com/api-messageover5g/messageover5g_05_0006.html
Reports: https://support.huaweicloud.com/api-messageover5g/messageover5g_05_0010.html
Cards and suggestions: GSMA RCC.07 §3.6.10

Messages that say the same share a call, up to 100 numbers; a report names the call and the number,
so that both make the id of a message. Whether a repeated `clientCorrelator` is one message is not
documented. There is no way to ask what a phone can do: `sms_fallback` lets the platform send an
SMS instead, and then no chain should. Cards and files are given whole by a template, as `card` (a
botmessage) or `file` (XML) of its `rcs_5g`; `suggestions` of the content are buttons below.
"""

import hmac
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias
from urllib.parse import quote
from uuid import NAMESPACE_OID, uuid5

import orjson

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.providers import auth, base, mail_api, mainland, push_api, rcs_5g_content, trial

CAPABILITY = {"capabilityId": "ChatbotSA", "version": '+g.gsma.rcs.botversion="#=1"'}
#: Of `productType`.
_NOTICE, _MARKETING = 1, 2

_DELIVERED, _FAILED = wire.ReceiptEvent.DELIVERED, wire.ReceiptEvent.FAILED
#: By deliveryStatus, or by status of a revocation: the event, and by which way it came about.
EVENTS: Mapping[str, tuple[wire.ReceiptEvent, str]] = {
    "MessageSent": (wire.ReceiptEvent.SENT, ""),
    "DeliveredToTerminal": (_DELIVERED, ""),
    "DeliveredToNetwork": (_DELIVERED, "as SMS"),
    "DeliveredToSMS": (_DELIVERED, "as SMS"),
    "DeliverdToSMS": (_DELIVERED, "as SMS"),
    "DeliveredToVms": (_DELIVERED, "as video message"),
    "MessageDisplayed": (wire.ReceiptEvent.READ, ""),
    "DeliveryImpossible": (_FAILED, ""),
    "DeliveredToSMSFailed": (_FAILED, "as SMS"),
    "DeliverdToSMSFailed": (_FAILED, "as SMS"),
    "DeliveredToVmsFailed": (_FAILED, "as video message"),
    "Revoked": (wire.ReceiptEvent.EXPIRED, "revoked"),
    "RevokeFailed": (wire.ReceiptEvent.UNKNOWN, "not revoked"),
}
_PAIR = re.compile(r'\s*Username="([^"]*)"\s*,\s*Password="([^"]*)"\s*')
_NUMBER = re.compile(r"(?:tel:|sip:)?(\+?[0-9]{5,15})(?:@.*)?", re.DOTALL)
_REQUEST = re.compile(r"/requests/([0-9a-f]{8}-[0-9a-f-]{27}(?:-[0-9a-f]{1,7}){3})(?:/status)?$")
_CODE = re.compile(r"[A-Za-z0-9._-]{1,30}")

Call: TypeAlias = Sequence[tuple[wire.Message, tuple[str, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "rcs_5g"`."""

    #: origin of the platform, which each operator has of its own
    base_url: str
    #: the chatbot's address, `sip:1065…@botplatform.rcs.chinamobile.com`
    chatbot: str
    #: name of the account
    app_id: str
    #: what goes with it as it stands: the secret, or the digest that the platform wants
    password: str = field(repr=False)
    #: shown to recipients; default: the chatbot's
    sender_name: str = ""
    #: let the platform send an SMS where there is no RCS; default no: chains do that
    sms_fallback: bool = False
    #: categories that are marketing (productType 2); default marketing
    marketing: Sequence[str] = ("marketing",)
    #: how operators want several numbers: `list`, or `text` with commas
    numbers: Literal["list", "text"] = "list"
    #: name that reports bring; with callback_password
    callback_username: str = ""
    #: password that reports bring; default: none, and no report is believed
    callback_password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        needed = ("base_url", "chatbot", "app_id", "password")
        faults = [f"{name}: is empty" for name in needed if not getattr(self, name)]
        for name in ("app_id", "password"):
            if re.search(r'["\x00-\x1f\x7f]|[^\x00-\xff]', getattr(self, name)):
                faults.append(f"{name}: cannot stand in a header")
        if bool(self.callback_username) != bool(self.callback_password):
            missing = "callback_password" if self.callback_username else "callback_username"
            faults.append(f"{missing}: missing, callback_username and _password go together")
        if faults:
            raise errors.SettingsError(faults)


class Provider(base.HttpProvider):
    """Equal contents to as many numbers as there are for them."""

    name: ClassVar[str] = "rcs_5g"
    channel = wire.Channel.RCS
    batch_limit: ClassVar[int] = 100
    adds_path: ClassVar[bool] = True
    credential = None

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self._settings = settings
        self._clock = clock
        origin, chatbot = settings.base_url.rstrip("/"), quote(settings.chatbot, safe=":@+")
        self._url = f"{origin}/openchatbot/v2/{chatbot}/outbound"
        self._headers = {
            "authorization": f'Username="{settings.app_id}",Password="{settings.password}"',
            "content-type": "application/json;charset=UTF-8",
        }
        told = {_DELIVERED, wire.ReceiptEvent.READ}
        self.reports = frozenset(told if settings.callback_password else ())

    def objection(self, content: wire.Content, to: wire.Address) -> str:
        if "suggestions" not in content.extra:
            return ""
        return trial.objection(self._content, content, to, self.channel)

    def _content(self, message: wire.Message) -> tuple[str, str]:
        return rcs_5g_content.write(message.content, self.name)

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        """Raises ValueError when one has more suggestions than fit, or wrong ones."""
        calls: dict[Hashable, list[dict[str, tuple[wire.Message, tuple[str, str]]]]] = {}
        for message in messages:
            content = self._content(message)
            open_calls = calls.setdefault((content, self._product(message)), [])
            for call in open_calls:
                if message.to.phone not in call and len(call) < self.batch_limit:
                    break
            else:
                open_calls.append(call := {})
            call[message.to.phone] = (message, content)
        whole = [tuple(call.values()) for open_calls in calls.values() for call in open_calls]
        return [(tuple(message for message, _ in call), self._request(call)) for call in whole]

    def _product(self, message: wire.Message) -> int:
        return _MARKETING if message.category in self._settings.marketing else _NOTICE

    def _request(self, call: Call) -> wire.HttpRequest:
        numbers: Any = [f"tel:{message.to.phone}" for message, _ in call]
        first, (content_type, text) = call[0]
        references = ",".join(message.reference for message, _ in call)
        fallback = self._settings.sms_fallback
        wanted = ["Delivered", "Displayed", "Failed", *(["SMS"] if fallback else [])]
        body = {
            "address": numbers[0],
            "destinationAddress": ",".join(numbers) if self._as_text() else numbers,
            "senderAddress": self._settings.chatbot,
            "senderName": self._settings.sender_name,
            "productType": self._product(first),
            "clientCorrelator": references if len(call) == 1 else _uuid("call", references),
            "outboundIMMessage": {
                "contentType": content_type,
                "contentEncoding": "utf8",
                "bodyText": text,
                "conversationID": _uuid("conversation", references),
                "contributionID": _uuid("contribution", references),
                "reportRequest": wanted,
                "storeSupported": "true",
                "shortMessageSupported": "true" if fallback else "false",
                "subject": mail_api.clean(first.content.subject),
                "serviceCapability": [CAPABILITY],
            },
        }
        return wire.HttpRequest(
            method="POST", url=self._url, headers=self._headers, body=orjson.dumps(body)
        )

    def _as_text(self) -> bool:
        return self._settings.numbers == "text"

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        """Neither error codes nor the place of the id are documented."""
        result = base.result_of_status(response, now_ms=self._clock.now_ms())
        if isinstance(result, wire.Accepted):
            answer = auth.json_object(response.body)
            if response.body.strip() not in (b"", b"{}") and not answer:
                unread = wire.Unknown(code=f"http_{response.status}", detail="not a JSON object")
                return [unread] * len(messages)
            id = _message_id(answer)
            return [wire.Accepted(provider_id=_name(id, one.to.phone)) for one in messages]
        if isinstance(result, wire.Rejected) and len(messages) > 1:
            result = wire.Deferred(code=result.code, cause=wire.Cause.RECIPIENT, apart=True)
        return [result] * len(messages)

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        found = _PAIR.fullmatch(request.headers.get("authorization", ""))
        name, password = found.groups() if found else ("", "")
        mine = self._settings.callback_username, self._settings.callback_password
        same_name = hmac.compare_digest(auth.to_bytes(name), auth.to_bytes(mine[0]))
        same_word = hmac.compare_digest(auth.to_bytes(password), auth.to_bytes(mine[1]))
        return same_name and same_word and bool(mine[1])

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        report = auth.json_object(request.body)
        if _is_inbound(report):
            return []
        told = mail_api.table_of(report, "deliveryInfo") or report
        status = mail_api.text_of(told, "deliveryStatus") or mail_api.text_of(told, "status")
        phone = _phone(mail_api.text_of(told, "address"))
        receipt = _receipt(told, status, _name(mail_api.text_of(told, "messageId"), phone), report)
        if not status or not (receipt.provider_id or receipt.reference):
            raise errors.UnreadableReceipt("neither a status nor an id of a message")
        return [receipt]

    def read_inbound(self, request: wire.HttpRequest) -> Sequence[wire.InboundMessage]:
        report = auth.json_object(request.body)
        return [_inbound(report)] if _is_inbound(report) else []

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=200)


def _uuid(use: str, references: str) -> str:
    """The same for the same messages."""
    return str(uuid5(NAMESPACE_OID, f"{use} {references}"))


def _message_id(answer: Mapping[str, object]) -> str:
    tables = [answer, *(one for one in answer.values() if isinstance(one, dict))]
    return next((id for one in tables if (id := mail_api.text_of(one, "messageId"))), "")


def _name(id: str, phone: str) -> str:
    return push_api.name(id, mainland.digits_of(phone))


def _phone(address: str) -> str:
    found = _NUMBER.fullmatch(address)
    return found[1] if found else ""


def _receipt(
    told: Mapping[str, object], status: str, provider_id: str, report: Mapping[str, object]
) -> wire.DeliveryReceipt:
    event, way = EVENTS.get(status, (wire.ReceiptEvent.UNKNOWN, ""))
    code = mail_api.text_of(told, "description")
    links = [mail_api.text_of(one, "href") for one in mail_api.tables_of(report, "link")]
    found = [match[1] for link in links if (match := _REQUEST.search(link))]
    return wire.DeliveryReceipt(
        event=event,
        provider_id=provider_id,
        reference=found[0] if found else "",
        code=code if _CODE.fullmatch(code) else status[:30],
        detail=way,
    )


def _is_inbound(report: Mapping[str, object]) -> bool:
    return "deliveryInfo" not in report and "senderAddress" in report


def _inbound(report: Mapping[str, Any]) -> wire.InboundMessage:
    table = {**report, **mail_api.table_of(report, "inboundIMMessage")}
    to = table.get("destinationAddress")
    to = to[0] if isinstance(to, list) and to else to
    sender = _phone(mail_api.text_of(table, "senderAddress"))
    id = mail_api.text_of(table, "messageId") or mail_api.text_of(table, "contributionID")
    if not sender or not id:
        raise errors.UnreadableReceipt("neither a sender nor an id of a message")
    sender = sender if sender.startswith("+") else f"+{sender}"
    to = to if isinstance(to, str) else ""
    return wire.InboundMessage(
        sender=sender, to=to, text=rcs_5g_content.read(table), provider_id=id
    )

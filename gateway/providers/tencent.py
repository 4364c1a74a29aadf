"""Tencent Cloud SMS (腾讯云短信), API 2021-01-11.

Send: https://cloud.tencent.com/document/api/382/55981
Signature: https://cloud.tencent.com/document/api/382/52072
Reports: https://cloud.tencent.com/document/product/382/59177
Replies: https://www.tencentcloud.com/document/product/382/43548

The API knows no idempotency key: a request sent again is another SMS. A call says the same to all
of its numbers; each has a result of its own.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, ClassVar, TypeAlias

import orjson

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.providers import auth, base, mainland, signatures, tencent_codes

VERSION = "2021-01-11"
CONTENT_TYPE = "application/json; charset=utf-8"
#: What reports and replies are to be answered with.
THANKS = b'{"result":0,"errmsg":"OK"}'
#: Seconds since the epoch beyond which datetime does not go.
_MAX_SECONDS = 253_402_300_799

Call: TypeAlias = Sequence[tuple[wire.Message, mainland.Filled]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "tencent"`."""

    #: of the key pair
    secret_id: str = field(repr=False)
    #: its secret, which signs requests
    secret_key: str = field(repr=False)
    #: SmsSdkAppId, such as `1400006666`
    app_id: str
    #: of temporary keys; default: none
    token: str = field(default="", repr=False)
    #: approved signature without 【】, for templates that name none
    sign: str = ""
    #: where the account is; default ap-guangzhou
    region: str = "ap-guangzhou"
    #: digits appended to the sender, by which replies are told apart; default: none
    extend_code: str = ""
    #: sender shown abroad; default: the service's
    sender_id: str = ""
    #: what reports bring as `?key=` of their address; default: none, and no report is believed
    receipt_secret: str = field(default="", repr=False)
    #: origin of the API; default https://sms.tencentcloudapi.com
    base_url: str = "https://sms.tencentcloudapi.com"

    def __post_init__(self) -> None:
        needed = ("secret_id", "secret_key", "app_id", "region")
        if faults := mainland.faults_of(self, needed):
            raise errors.SettingsError(faults)


class Provider(base.HttpProvider):
    """The same text to as many numbers as there are for it, by SendSms."""

    name: ClassVar[str] = "tencent"
    channel = wire.Channel.SMS
    batch_limit: ClassVar[int] = 200
    limits: ClassVar[str] = "approved templates"
    credential = None

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self.reports = mainland.reports_of(settings.receipt_secret)
        self._settings = settings
        self._clock = clock
        self._host = mainland.host_of(settings.base_url)
        self._url = settings.base_url.rstrip("/") + "/"

    def objection(self, content: wire.Content, to: wire.Address) -> str:
        return mainland.objection(content, to, self.name, self._settings.sign)

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        filled = mainland.fill_all(messages, self.name, self._settings.sign)
        calls = mainland.group(filled, _same_text, limit=self.batch_limit)
        return [(tuple(message for message, _ in call), self._request(call)) for call in calls]

    def _request(self, call: Call) -> wire.HttpRequest:
        body = orjson.dumps({name: value for name, value in self._fields(call).items() if value})
        timestamp = self._clock.now_ms() // 1000
        signed = {"content-type": CONTENT_TYPE, "host": self._host, "x-tc-action": "sendsms"}
        settings = self._settings
        headers = {
            "authorization": signatures.tc3(
                settings.secret_id,
                settings.secret_key,
                service="sms",
                timestamp=timestamp,
                headers=signed,
                body=body,
            ),
            **signed,
            "x-tc-action": "SendSms",
            "x-tc-version": VERSION,
            "x-tc-timestamp": str(timestamp),
            "x-tc-region": settings.region,
        }
        if settings.token:
            headers["x-tc-token"] = settings.token
        return wire.HttpRequest(method="POST", url=self._url, headers=headers, body=body)

    def _fields(self, call: Call) -> Mapping[str, Any]:
        message, own = call[0]
        abroad = not message.to.phone.startswith("+86")
        return {
            "PhoneNumberSet": [one.to.phone for one, _ in call],
            "SmsSdkAppId": self._settings.app_id,
            "SignName": own.sign,
            "TemplateId": own.template,
            "TemplateParamSet": _in_order(own.params),
            "SessionContext": message.reference if len(call) == 1 else "",
            "ExtendCode": self._settings.extend_code,
            "SenderId": self._settings.sender_id if abroad else "",
        }

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        now_ms = self._clock.now_ms()
        answer = _object(auth.json_object(response.body).get("Response"))
        rows = answer.get("SendStatusSet")
        if "Error" in answer or not isinstance(rows, list) or not 200 <= response.status < 300:
            code = mainland.code_of(_object(answer.get("Error")).get("Code"))
            result = tencent_codes.of_call(code, response, now_ms=now_ms)
            if len(messages) > 1 and tencent_codes.blames_one(result):
                result = mainland.of_a_batch(code)
            return [result] * len(messages)
        numbers = {
            mainland.digits_of(mainland.text_of(row, "PhoneNumber")): row
            for row in map(_object, rows)
        }
        found = [numbers.get(mainland.digits_of(message.to.phone)) for message in messages]
        return [_result(row, now_ms=now_ms) for row in found]

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        return mainland.is_proven(request, self._settings.receipt_secret)

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        rows = [row for row in mainland.read_objects(request) if not _is_reply(row)]
        receipts = [receipt for row in rows if (receipt := _receipt(row))]
        if rows and not receipts:
            raise errors.UnreadableReceipt("no report names a sid and a status")
        return receipts

    def read_inbound(self, request: wire.HttpRequest) -> Sequence[wire.InboundMessage]:
        rows = [row for row in mainland.read_objects(request) if _is_reply(row)]
        replies = [_reply(row) for row in rows if mainland.text_of(row, "mobile")]
        if rows and not replies:
            raise errors.UnreadableReceipt("no reply says who wrote it")
        return replies

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        headers = {"content-type": "application/json"}
        return wire.HttpResponse(status=200, headers=headers, body=THANKS)


def _same_text(own: mainland.Filled) -> Hashable:
    return own.template, own.sign, tuple(_in_order(own.params))


def _in_order(params: Mapping[str, str]) -> list[str]:
    """Values for the template's `{1}`, `{2}` …: by number where all are numbered, else as given."""
    if all(name.isascii() and name.isdecimal() for name in params):
        return [params[name] for name in sorted(params, key=lambda name: int(name[:9]))]
    return list(params.values())


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _result(row: Mapping[str, Any] | None, *, now_ms: int) -> wire.AttemptResult:
    """What became of one number."""
    if row is None:
        return wire.Unknown(code="no_status", detail="answer without this number")
    if row.get("Code") != "Ok":
        return tencent_codes.of_number(mainland.code_of(row.get("Code")), now_ms=now_ms)
    if serial := mainland.text_of(row, "SerialNo"):
        return wire.Accepted(provider_id=serial)
    return wire.Unknown(code="Ok", detail="number without SerialNo")


def _is_reply(row: Mapping[str, Any]) -> bool:
    return "text" in row and "mobile" in row and "report_status" not in row


def _receipt(row: Mapping[str, Any]) -> wire.DeliveryReceipt | None:
    """One entry of the status push; None when it names no message."""
    sid, status = mainland.text_of(row, "sid"), mainland.text_of(row, "report_status")
    if not sid or not status:
        return None
    code = mainland.code_of(row.get("errmsg"))
    event, detail = wire.ReceiptEvent.UNKNOWN, ""
    if status == "SUCCESS":
        event = wire.ReceiptEvent.DELIVERED
    elif status == "FAIL":
        event, detail = tencent_codes.EVENTS.get(code, (wire.ReceiptEvent.FAILED, ""))
    at = mainland.read_time(row.get("user_receive_time"))
    return wire.DeliveryReceipt(event=event, provider_id=sid, code=code, detail=detail, at=at)


def _reply(row: Mapping[str, Any]) -> wire.InboundMessage:
    """A reply has no id of its own: the same fields are the same reply."""
    mobile = mainland.text_of(row, "mobile")
    home = "86" if mainland.is_mobile(mobile) else ""
    number = (mainland.text_of(row, "nationcode") or home) + mobile
    names = ("nationcode", "mobile", "extend", "sign", "time", "text")
    told = orjson.dumps([mainland.text_of(row, name) for name in names])
    return wire.InboundMessage(
        sender=f"+{number.lstrip('+')}",
        to=mainland.text_of(row, "extend") or mainland.text_of(row, "sign"),
        text=mainland.text_of(row, "text"),
        provider_id=sha256(told).hexdigest()[:32],
        at=_moment(row.get("time")),
    )


def _moment(value: object) -> datetime | None:
    """Unix seconds."""
    good = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MAX_SECONDS
    return datetime.fromtimestamp(value, UTC) if good and isinstance(value, int) else None

"""Alibaba Cloud SMS (阿里云短信), Dysmsapi 2017-05-25.

Send: https://help.aliyun.com/zh/sms/developer-reference/api-dysmsapi-2017-05-25-sendsms
Batch: https://help.aliyun.com/zh/sms/developer-reference/api-dysmsapi-2017-05-25-sendbatchsms
Reports: https://help.aliyun.com/zh/sms/developer-reference/smsreport-2
Replies: https://help.aliyun.com/zh/sms/developer-reference/smsup-http

The API knows no idempotency key: a request sent again is another SMS. A batch is taken or refused
as one, so a refusal that one of its numbers or texts may have caused condemns none of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import blake2s, sha256
from typing import Any, ClassVar, TypeAlias

import orjson

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.providers import aliyun_codes, auth, base, mainland, signatures

VERSION = "2017-05-25"
#: What reports are to be answered with: a number in `code` is all that is looked at.
THANKS = '{"code":0,"msg":"成功"}'.encode()

Parameters: TypeAlias = Mapping[str, str]
Call: TypeAlias = Sequence[tuple[wire.Message, mainland.Filled]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "aliyun"`."""

    #: of the AccessKey pair
    access_key_id: str
    #: its secret, which signs requests
    access_key_secret: str = field(repr=False)
    #: of temporary keys (STS); default: none
    security_token: str = field(default="", repr=False)
    #: approved signature without 【】, for templates that name none
    sign: str = ""
    #: digits added to the sender, by which replies are told apart; default: none
    extend_code: str = ""
    #: what reports bring as `?key=` of their address; default: none, and no report is believed
    receipt_secret: str = field(default="", repr=False)
    #: origin of the API; default https://dysmsapi.aliyuncs.com
    base_url: str = "https://dysmsapi.aliyuncs.com"

    def __post_init__(self) -> None:
        if faults := mainland.faults_of(self, ("access_key_id", "access_key_secret")):
            raise errors.SettingsError(faults)


class Provider(base.HttpProvider):
    """One SMS by SendSms, several of one template by SendBatchSms."""

    name: ClassVar[str] = "aliyun"
    channel = wire.Channel.SMS
    batch_limit: ClassVar[int] = 100
    limits: ClassVar[str] = "approved templates"
    credential = None

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self.reports = mainland.reports_of(settings.receipt_secret)
        self._settings = settings
        self._clock = clock
        self._host = mainland.host_of(settings.base_url)
        self._origin = settings.base_url.rstrip("/")

    def objection(self, content: wire.Content, to: wire.Address) -> str:
        return mainland.objection(content, to, self.name, self._settings.sign)

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        filled = mainland.fill_all(messages, self.name, self._settings.sign)
        calls = mainland.group(filled, lambda one: one.template, limit=self.batch_limit)
        return [(tuple(message for message, _ in call), self._request(call)) for call in calls]

    def _request(self, call: Call) -> wire.HttpRequest:
        if len(call) == 1:
            query = signatures.encode(self._parameters(*call[0]))
            return self._signed("SendSms", query, b"", _nonce_of(call))
        query = signatures.encode({"TemplateCode": call[0][1].template})
        body = signatures.encode(self._batch_parameters(call)).encode()
        return self._signed("SendBatchSms", query, body, _nonce_of(call))

    def _parameters(self, message: wire.Message, own: mainland.Filled) -> Parameters:
        """Of SendSms. Our reference comes back as `out_id` of the report."""
        parameters = {
            "OutId": message.reference,
            "PhoneNumbers": number(message.to.phone),
            "SignName": own.sign,
            "SmsUpExtendCode": self._settings.extend_code,
            "TemplateCode": own.template,
            "TemplateParam": _json(own.params) if own.params else "",
        }
        return {name: value for name, value in parameters.items() if value}

    def _batch_parameters(self, call: Call) -> Parameters:
        """Of SendBatchSms: what grows with the batch, hence in the body, as in the current SDKs."""
        parameters = {
            "PhoneNumberJson": _json([number(message.to.phone) for message, _ in call]),
            "SignNameJson": _json([own.sign for _, own in call]),
            "TemplateParamJson": _json([own.params for _, own in call]),
        }
        if code := self._settings.extend_code:
            parameters["SmsUpExtendCodeJson"] = _json([code] * len(call))
        return parameters

    def _signed(self, action: str, query: str, body: bytes, nonce: str) -> wire.HttpRequest:
        now_ms = self._clock.now_ms()
        at = datetime.fromtimestamp(now_ms // 1000, UTC)
        headers = {
            "host": self._host,
            "x-acs-action": action,
            "x-acs-version": VERSION,
            "x-acs-date": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            # Another for each try; the same when the same try is built twice.
            "x-acs-signature-nonce": sha256(f"{now_ms}{nonce}".encode()).hexdigest()[:32],
            "x-acs-content-sha256": sha256(body).hexdigest(),
        }
        if token := self._settings.security_token:
            headers["x-acs-security-token"] = token
        if body:
            headers["content-type"] = "application/x-www-form-urlencoded"
        headers["authorization"] = signatures.acs3(
            self._settings.access_key_id,
            self._settings.access_key_secret,
            query=query,
            headers=headers,
        )
        url = f"{self._origin}/?{query}"
        return wire.HttpRequest(method="POST", url=url, headers=headers, body=body)

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        answer = auth.json_object(response.body)
        if answer.get("Code") == "OK":
            return _accepted(messages, answer.get("BizId"), response)
        result = aliyun_codes.refusal(answer, response, now_ms=self._clock.now_ms())
        if len(messages) > 1 and aliyun_codes.blames_one(result, signs=self._signs(messages)):
            result = mainland.of_a_batch(result.code)
        return [result] * len(messages)

    def _signs(self, messages: Sequence[wire.Message]) -> int:
        """How many different signatures a batch has."""
        tables = [message.content.provider_templates.get(self.name) for message in messages]
        own = [table.get("sign") if isinstance(table, Mapping) else None for table in tables]
        return len({str(sign or self._settings.sign) for sign in own})

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        return mainland.is_proven(request, self._settings.receipt_secret)

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        rows = [row for row in mainland.read_objects(request) if not _is_reply(row)]
        receipts = [receipt for row in rows if (receipt := _receipt(row))]
        if rows and not receipts:
            raise errors.UnreadableReceipt("no report names an id and a number")
        return receipts

    def read_inbound(self, request: wire.HttpRequest) -> Sequence[wire.InboundMessage]:
        rows = [row for row in mainland.read_objects(request) if _is_reply(row)]
        replies = [_reply(row) for row in rows if mainland.text_of(row, "phone_number")]
        if rows and not replies:
            raise errors.UnreadableReceipt("no reply says who wrote it")
        return replies

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        headers = {"content-type": "application/json;charset=utf-8"}
        return wire.HttpResponse(status=200, headers=headers, body=THANKS)


def _nonce_of(call: Call) -> str:
    return " ".join(message.reference for message, _ in call)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def number(phone: str) -> str:
    """E.164 as the API wants it: 11 digits at home, no `+` abroad.

    A North American number is 11 digits that begin with 1 too, and can look like a mobile of the
    mainland. It gets `00`, which is understood or refused, but never reaches a stranger.
    """
    digits = phone.removeprefix("+")
    if phone.startswith("+86"):
        return mainland.digits_of(phone)
    return f"00{digits}" if mainland.is_mobile(digits) else digits


def provider_id(biz_id: str, phone: str) -> str:
    """A batch has one id, so ours needs the number too: hashed, since ids are shown and logged."""
    digits = mainland.digits_of(phone).encode(errors="replace")
    return f"{biz_id}/{blake2s(digits, digest_size=6).hexdigest()}"


def _accepted(
    messages: Sequence[wire.Message], biz_id: object, response: wire.HttpResponse
) -> Sequence[wire.AttemptResult]:
    if isinstance(biz_id, str) and biz_id and 200 <= response.status < 300:
        ids = [provider_id(biz_id, message.to.phone) for message in messages]
        return [wire.Accepted(provider_id=one) for one in ids]
    return [wire.Unknown(code="OK", detail="answer without BizId")] * len(messages)


def _is_reply(row: Mapping[str, Any]) -> bool:
    return "content" in row and "sequence_id" in row


def _receipt(row: Mapping[str, Any]) -> wire.DeliveryReceipt | None:
    """SmsReport, or its form for messages abroad; None when it names no message."""
    biz_id = mainland.text_of(row, "biz_id") or mainland.text_of(row, "MessageId")
    phone = mainland.text_of(row, "phone_number") or mainland.text_of(row, "To")
    if not biz_id or not phone:
        return None
    event, code, detail = _told(row)
    return wire.DeliveryReceipt(
        event=event,
        provider_id=provider_id(biz_id, phone),
        reference=mainland.text_of(row, "out_id")[:64],
        code=code,
        detail=detail,
        at=mainland.read_time(row.get("report_time")) or _read_date(row),
        suppress=event is wire.ReceiptEvent.OPTED_OUT or code == aliyun_codes.DEAD,
    )


def _read_date(row: Mapping[str, Any]) -> datetime | None:
    """`ReceiveDate` of a report on a message abroad (RFC 5322 §3.3)."""
    try:
        at = parsedate_to_datetime(mainland.text_of(row, "ReceiveDate"))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _told(row: Mapping[str, Any]) -> tuple[wire.ReceiptEvent, str, str]:
    """The event, the service's code, and what we say about it."""
    if "success" not in row:
        status = mainland.text_of(row, "Status")[:8]
        event = aliyun_codes.STATUSES.get(status, wire.ReceiptEvent.UNKNOWN)
        return event, mainland.code_of(row.get("ErrorCode")) or status, ""
    code, success = mainland.code_of(row.get("err_code")), row["success"]
    if success is True:
        return wire.ReceiptEvent.DELIVERED, code, ""
    if success is not False:
        return wire.ReceiptEvent.UNKNOWN, code, ""
    event, detail = aliyun_codes.EVENTS.get(code, (wire.ReceiptEvent.FAILED, ""))
    return event, code, detail


def _reply(row: Mapping[str, Any]) -> wire.InboundMessage:
    digits = mainland.digits_of(mainland.text_of(row, "phone_number"))
    return wire.InboundMessage(
        sender=f"+86{digits}" if mainland.is_mobile(digits) else f"+{digits}",
        to=mainland.text_of(row, "dest_code"),
        text=mainland.text_of(row, "content"),
        provider_id=mainland.text_of(row, "sequence_id"),
        at=mainland.read_time(row.get("send_time")),
    )

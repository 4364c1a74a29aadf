"""Vonage SMS API, formerly Nexmo: SMS alone. The newer API is `vonage`.

Send: https://developer.vonage.com/api/sms
Errors: https://developer.vonage.com/messaging/sms/guides/troubleshooting-sms
Receipts: https://developer.vonage.com/messaging/sms/guides/delivery-receipts
Messages of recipients: https://developer.vonage.com/messaging/sms/guides/inbound-sms
Signatures: https://developer.vonage.com/concepts/guides/signing-messages

Every answer is HTTP 200; its body has a status and an id for each segment. The message is taken
when one of them is, and delivered when all are: receipts come for each, and do not say of how many.
Known weakness: where the answer was lost, the first receipt tells of the whole message; a long
message of a recipient may come in parts, which stay apart.
The API knows no idempotency key: a request sent again is another SMS.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

from gateway.clock import Clock
from gateway.content import sms
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import auth, base, sms_limits, vonage_sms_codes

Method: TypeAlias = Literal["md5hash", "md5", "sha1", "sha256", "sha512"]
Fields: TypeAlias = Mapping[str, str]

#: Bounds of `ttl`, milliseconds, and the longest `callback`.
TTL, MAX_CALLBACK = (20_000, 604_800_000), 100
#: Fields of one webhook; more is not from Vonage.
_MAX_FIELDS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "vonage_sms"`."""

    #: sender: number without `+`, or at most 11 letters and digits
    from_: str
    #: of the account
    api_key: str = field(repr=False)
    #: its secret; empty: requests are signed with signature_secret
    api_secret: str = field(default="", repr=False)
    #: signs receipts, and requests without api_secret; empty: receipts are not asked for
    signature_secret: str = field(default="", repr=False)
    #: as the account is set: `md5hash`, or HMAC with `md5`, `sha1`, `sha256`, `sha512`
    signature_method: Method = "sha256"
    #: India: the sender's id of DLT; the text's is `template` of its provider_templates
    entity_id: str = ""
    #: origin of the API; default https://rest.nexmo.com
    base_url: str = "https://rest.nexmo.com"

    def __post_init__(self) -> None:
        needed = {"from": self.from_, "api_key": self.api_key}
        faults = [f"{name}: is empty" for name, value in needed.items() if not value]
        if not self.api_secret and not self.signature_secret:
            faults.append("api_secret: missing, unless signature_secret is set")
        if faults:
            raise errors.SettingsError(faults)


class Provider(base.HttpProvider):
    """One SMS a request."""

    name: ClassVar[str] = "vonage_sms"
    channel = wire.Channel.SMS
    batch_limit: ClassVar[int] = 1
    limits: ClassVar[str] = "255 segments"
    credential = None

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self._settings = settings
        self._clock = clock
        self._url = settings.base_url.rstrip("/") + "/sms/json"
        self._headers = {"content-type": "application/x-www-form-urlencoded"}
        if settings.api_secret:
            self._headers["authorization"] = auth.basic(settings.api_key, settings.api_secret)
        told = {wire.ReceiptEvent.DELIVERED} if settings.signature_secret else set()
        self.reports: frozenset[wire.ReceiptEvent] = frozenset(told)

    def objection(self, content: wire.Content, to: wire.Address) -> str:
        return sms_limits.objection(content)

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        return [((message,), self._request(message)) for message in messages]

    def _request(self, message: wire.Message) -> wire.HttpRequest:
        form = self._form(message)
        if not self._settings.api_secret:
            now = str(self._clock.now_ms() // 1000)
            form |= {"api_key": self._settings.api_key, "timestamp": now}
            form["sig"] = self._sign(form)
        body = urlencode(form, errors="replace").encode("ascii")
        return wire.HttpRequest(method="POST", url=self._url, headers=self._headers, body=body)

    def _form(self, message: wire.Message) -> dict[str, str]:
        text = message.content.text
        left_ms = int(message.expires_at.timestamp() * 1000) - self._clock.now_ms()
        form = {
            "from": self._settings.from_,
            "to": message.to.phone.removeprefix("+"),
            "text": text,
            "type": "text" if sms.is_gsm(text) else "unicode",
            "ttl": str(min(max(left_ms, TTL[0]), TTL[1])),
            "client-ref": message.reference,
        }
        wanted = message.callback_url if self.reports else ""
        if wanted and len(wanted) <= MAX_CALLBACK:  # else they go where the account says
            form["callback"] = wanted
        template = message.content.provider_templates.get(self.name, {}).get("template")
        dlt = {"entity-id": self._settings.entity_id, "content-id": template}
        return form | {name: value for name, value in dlt.items() if value and type(value) is str}

    def _sign(self, fields: Fields) -> str:
        settings = self._settings
        return signature(fields, settings.signature_secret, settings.signature_method)

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        return [_result(response, now_ms=self._clock.now_ms())] * len(messages)

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        fields, now_ms = _fields(request), self._clock.now_ms()
        offered, timestamp = fields.get("sig", ""), fields.get("timestamp", "")
        if not self._settings.signature_secret or not re.fullmatch(r"\d{1,12}", timestamp, re.A):
            return False
        if abs(int(timestamp) * 1000 - now_ms) > auth.TOLERANCE * 1000:
            return False
        if fields.get("api-key", self._settings.api_key) != self._settings.api_key:
            return False
        expected = self._sign(fields)
        return hmac.compare_digest(expected.encode(), auth.to_bytes(offered.lower()))

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        fields = _readable(request)
        return [_receipt(fields)] if "status" in fields else []

    def read_inbound(self, request: wire.HttpRequest) -> Sequence[wire.InboundMessage]:
        fields = _readable(request)
        return [] if "status" in fields else [_inbound(fields)]

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=200)


def signature(fields: Fields, secret: str, method: Method) -> str:
    """`sig` of a request or a webhook with these fields, in lower case."""
    rest = sorted((name, value) for name, value in fields.items() if name != "sig")
    marks = str.maketrans("&=", "__")
    signed = auth.to_bytes("".join(f"&{name}={value.translate(marks)}" for name, value in rest))
    if method == "md5hash":
        return hashlib.md5(signed + auth.to_bytes(secret), usedforsecurity=False).hexdigest()
    return hmac.digest(auth.to_bytes(secret), signed, method).hex()


def _result(response: wire.HttpResponse, *, now_ms: int) -> wire.AttemptResult:
    if response.status != 200:
        return _trouble(response, now_ms=now_ms)
    given = auth.json_object(response.body).get("messages")
    segments = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    statuses = [str(one.get("status", "")) for one in segments]
    if "0" in statuses:
        return _taken(segments, statuses)
    if not statuses or not re.fullmatch(r"\d{1,4}", statuses[0], re.A):
        return wire.Unknown(code="http_200", detail="answer without a status")
    known = vonage_sms_codes.RESULTS.get(statuses[0], wire.Rejected(code=statuses[0]))
    if isinstance(known, wire.Deferred):
        return replace(known, retry_after=base.retry_after(response, now_ms=now_ms))
    return known


def _taken(segments: Sequence[Mapping[str, Any]], statuses: Sequence[str]) -> wire.Accepted:
    """One that was refused never arrives, and so never does the whole."""
    named = [one.get("message-id") for one in segments]
    ids = [
        name if status == "0" and isinstance(name, str) else ""
        for name, status in zip(named, statuses, strict=True)
    ]
    left = len(statuses) - statuses.count("0")
    return wire.Accepted(
        provider_id=next(filter(None, ids), ""),
        detail=f"segments refused: {left}" if left else "",
        segments=tuple(ids) if len(ids) > 1 else (),
    )


def _trouble(response: wire.HttpResponse, *, now_ms: int) -> wire.AttemptResult:
    """The service itself answers 200: anything else is between us and it, and not final."""
    by_status = base.result_of_status(response, now_ms=now_ms)
    if isinstance(by_status, wire.Accepted):
        return wire.Unknown(code=f"http_{response.status}", detail="answer without a status")
    if isinstance(by_status, wire.Rejected) and response.status >= 400:
        return wire.Deferred(code=by_status.code)
    return by_status


def _fields(request: wire.HttpRequest) -> dict[str, str]:
    """What a webhook says: in its query, a form or a flat JSON object, as the account is set."""
    if "json" in request.headers.get("content-type", "").lower():
        return {name: _plain(value) for name, value in auth.json_object(request.body).items()}
    text: Any = urlsplit(request.url).query if request.method == "GET" else request.body
    try:
        text = text if isinstance(text, str) else text.decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS))
    except ValueError:
        return {}


def _plain(value: object) -> str:
    return str(value) if isinstance(value, str | int | float) else ""


def _readable(request: wire.HttpRequest) -> dict[str, str]:
    fields = _fields(request)
    if not fields.get("messageId") or fields.get("status") == "":
        raise errors.UnreadableReceipt("no id of a message, or no status")
    return fields


def _receipt(fields: Fields) -> wire.DeliveryReceipt:
    status, code = fields["status"], fields.get("err-code", "")
    event, known = (
        vonage_sms_codes.EVENTS.get(status, wire.ReceiptEvent.UNKNOWN),
        vonage_sms_codes.ERRORS.get(code),
    )
    if event in (wire.ReceiptEvent.FAILED, wire.ReceiptEvent.EXPIRED) and code == "9":
        event = wire.ReceiptEvent.OPTED_OUT
    return wire.DeliveryReceipt(
        event=event,
        provider_id=fields["messageId"],
        reference=fields.get("client-ref", ""),
        code=code[:30] if known else status[:30],
        detail=known.detail if known else "",
        at=_time(fields),
        suppress=isinstance(known, wire.Rejected) and known.suppress,
        of_segment=True,
    )


def _inbound(fields: Fields) -> wire.InboundMessage:
    sender = fields.get("msisdn", "")
    if not sender:
        raise errors.UnreadableReceipt("no sender of a message")
    return wire.InboundMessage(
        sender=f"+{sender}" if re.fullmatch(r"[1-9]\d{6,14}", sender, re.A) else sender,
        to=fields.get("to", ""),
        text=fields.get("text", ""),
        provider_id=fields["messageId"],
        at=_time(fields),
    )


def _time(fields: Fields) -> datetime | None:
    """`message-timestamp`, `YYYY-MM-DD HH:MM:SS` of UTC."""
    try:
        at = datetime.fromisoformat(fields.get("message-timestamp", ""))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)

"""Twilio Programmable Messaging, API 2010-04-01: SMS.

Send: https://www.twilio.com/docs/messaging/api/message-resource
Status callbacks: https://www.twilio.com/docs/messaging/guides/track-outbound-message-status
Messages of recipients: https://www.twilio.com/docs/messaging/guides/webhook-request

What codes and statuses mean is in `twilio_codes`. The API knows no idempotency key: a request sent
again is another SMS. Its own error texts are not passed on, since they repeat the recipient's
number.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, quote_plus, urlencode, urlsplit

import orjson

from gateway.clock import Clock
from gateway.content import addresses
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import auth, base, sms_limits, twilio_codes, twilio_signature

#: Characters of Body (Message resource; error 21617).
LONGEST = 1600
#: Bounds of ValidityPeriod, seconds (Message resource).
VALIDITY = (1, 36_000)
#: Appended to the callback URL and not signed: repeat a report three times, whatever failed.
#: By default an answer of 5xx is not repeated (docs/usage/webhooks/webhooks-connection-overrides).
RETRY = "#rc=3&rp=all"

INBOUND = frozenset({"receiving", "received"})
#: An alphanumeric sender, and no number, short code or address of another channel.
_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 &+_-]+")
#: Where no phone takes a message from one (docs/glossary/what-alphanumeric-sender-id).
NAMELESS = frozenset({"US", "CA"})
#: TwiML that sends nothing back (docs/messaging/twiml).
NO_REPLY = wire.HttpResponse(status=200, headers={"content-type": "text/xml"}, body=b"<Response/>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "twilio"`."""

    #: `AC…`, of the account or subaccount
    account_sid: str
    #: its AuthToken, which also signs callbacks
    auth_token: str = field(repr=False)
    #: the token before the last rotation, still good for callbacks; default: none
    auth_token_previous: str = field(default="", repr=False)
    #: number (E.164), short code or alphanumeric sender; default: chosen by the service
    from_: str = ""
    #: `MG…`, a pool of senders; this or `from` is needed
    messaging_service_sid: str = ""
    #: let Twilio write quotes and dashes so that the text stays in the GSM alphabet; default no
    smart_encoded: bool = False
    #: origin of the API; default https://api.twilio.com
    base_url: str = "https://api.twilio.com"

    def __post_init__(self) -> None:
        needed = ("account_sid", "auth_token")
        faults = [f"{name}: is empty" for name in needed if not getattr(self, name)]
        if not self.from_ and not self.messaging_service_sid:
            faults.append("from: missing, unless messaging_service_sid is set")
        if faults:
            raise errors.SettingsError(faults)


class Provider(base.HttpProvider):
    """One SMS a request."""

    name: ClassVar[str] = "twilio"
    channel = wire.Channel.SMS
    batch_limit: ClassVar[int] = 1
    limits: ClassVar[str] = "1,600 characters"
    reports = frozenset({wire.ReceiptEvent.DELIVERED, wire.ReceiptEvent.READ})
    credential = None

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self._clock = clock
        path = f"/2010-04-01/Accounts/{quote(settings.account_sid, safe='')}/Messages.json"
        self._url = settings.base_url.rstrip("/") + path
        self._headers = {
            "authorization": auth.basic(settings.account_sid, settings.auth_token),
            "content-type": "application/x-www-form-urlencoded",
        }
        sender = {"From": settings.from_, "MessagingServiceSid": settings.messaging_service_sid}
        self._is_name = bool(_NAME.fullmatch(settings.from_))
        self._sender = urlencode({name: value for name, value in sender.items() if value})
        self._options = "&SmartEncoded=true" if settings.smart_encoded else ""
        tokens = (settings.auth_token, settings.auth_token_previous)
        self._tokens = [token.encode() for token in tokens if token]

    def objection(self, content: wire.Content, to: wire.Address) -> str:
        if self._is_name and addresses.country_of(to.phone) in NAMELESS:
            return "the sender is a name, and there it must be a number"
        if content.provider_templates.get(self.name, {}).get("template"):
            return ""
        return sms_limits.objection(content, longest=LONGEST)

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        return [((message,), self._request(message)) for message in messages]

    def _request(self, message: wire.Message) -> wire.HttpRequest:
        seconds = int(message.expires_at.timestamp() - self._clock.now_ms() / 1000)
        period = min(max(seconds, VALIDITY[0]), VALIDITY[1])
        to = quote(message.to.phone.removeprefix("+"))  # the rest needs no quoting: a fast path
        plus = "%2B" if message.to.phone.startswith("+") else ""
        text = _content(message.content)
        form = f"To={plus}{to}&{self._sender}&{text}&ValidityPeriod={period}{self._options}"
        if message.callback_url:
            form += f"&StatusCallback={_callback(message)}"
        body = form.encode("ascii")
        return wire.HttpRequest(method="POST", url=self._url, headers=self._headers, body=body)

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        return [_result(response, now_ms=self._clock.now_ms())] * len(messages)

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        return twilio_signature.verify(self._tokens, request)

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        form = dict(twilio_signature.form(request) or ())
        status = _status(form)
        if status in INBOUND:
            return []
        sid = form.get("MessageSid") or form.get("SmsSid", "")
        if not sid or not status:
            raise errors.UnreadableReceipt("neither an id nor a status of a message")
        return [_receipt(sid, status, _number(form.get("ErrorCode")), _reference(request.url))]

    def read_inbound(self, request: wire.HttpRequest) -> Sequence[wire.InboundMessage]:
        form = dict(twilio_signature.form(request) or ())
        return [_inbound(form)] if _status(form) in INBOUND else []

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        if _status(dict(twilio_signature.form(request) or ())) in INBOUND:
            return NO_REPLY
        return wire.HttpResponse(status=204)


def _content(content: wire.Content) -> str:
    """Fields of the text, or of a template of Twilio's own that stands for it."""
    table = content.provider_templates.get(Provider.name)
    if table and (template := table.get("template")):
        fields = {"ContentSid": str(template)}
        if params := _params(table.get("params")):
            fields["ContentVariables"] = params
        return urlencode(fields, errors="replace")
    return "Body=" + quote_plus(content.text, errors="replace")


def _params(given: Any) -> str:
    """JSON text of a template's variables, which are strings."""
    if not isinstance(given, Mapping) or not given:
        return ""
    return orjson.dumps({str(name): str(value) for name, value in given.items()}).decode()


def _callback(message: wire.Message) -> str:
    """Names our reference, so that a report finds its message also when the answer was lost."""
    return f"{_quoted(message.callback_url)}{quote(message.reference)}{quote(RETRY, safe='')}"


@lru_cache(maxsize=64)
def _quoted(url: str) -> str:
    """An account's callback URL, up to the value of `reference`."""
    return quote(f"{url}{'&' if '?' in url else '?'}reference=", safe="")


def _result(response: wire.HttpResponse, *, now_ms: int) -> wire.AttemptResult:
    answer = auth.json_object(response.body)
    if 200 <= response.status < 300:
        sid = answer.get("sid")
        if isinstance(sid, str) and sid:
            return wire.Accepted(provider_id=sid)
        return wire.Unknown(code=f"http_{response.status}", detail="answer without sid")
    by_status = base.result_of_status(response, now_ms=now_ms)
    code = _number(answer.get("code"))
    known = twilio_codes.RESULTS.get(code)
    if isinstance(known, wire.Deferred):
        return replace(known, retry_after=base.retry_after(response, now_ms=now_ms))
    if known is None and code and not isinstance(by_status, wire.Accepted):
        return replace(by_status, code=str(code))
    return known or by_status


def _number(value: object) -> int:
    """An error code, which JSON carries as a number and forms as text; 0 when there is none."""
    text = str(value) if isinstance(value, int | str) else ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 6 else 0


def _receipt(sid: str, status: str, code: int, reference: str) -> wire.DeliveryReceipt:
    event = twilio_codes.EVENTS.get(status, wire.ReceiptEvent.UNKNOWN)
    known = twilio_codes.RESULTS.get(code)
    if event is wire.ReceiptEvent.FAILED:
        if code == twilio_codes.EXPIRED:
            event = wire.ReceiptEvent.EXPIRED
        elif code in twilio_codes.OPTED_OUT:
            event = wire.ReceiptEvent.OPTED_OUT
    return wire.DeliveryReceipt(
        event=event,
        provider_id=sid,
        reference=reference,
        code=str(code) if code else status[:30],
        detail=known.detail if known else "",
        suppress=isinstance(known, wire.Rejected) and known.suppress,
    )


def _status(form: Mapping[str, str]) -> str:
    return form.get("MessageStatus") or form.get("SmsStatus", "")


def _inbound(form: Mapping[str, str]) -> wire.InboundMessage:
    """What Advanced Opt-Out understood stands for the words, which may be of the account's own
    making: it acted upon them already, and has confirmed that."""
    sid = form.get("MessageSid") or form.get("SmsSid", "")
    if not sid or not form.get("From"):
        raise errors.UnreadableReceipt("neither an id nor a sender of a message")
    return wire.InboundMessage(
        sender=form["From"].rpartition(":")[2],  # without the channel, as in rcs:+15005550001
        to=form.get("To", ""),
        text=form.get("OptOutType") or form.get("Body", ""),
        confirmed=bool(form.get("OptOutType")),
        provider_id=sid,
    )


def _reference(url: str) -> str:
    """Ours, from the callback URL, which the signature covers."""
    return parse_qs(urlsplit(url).query).get("reference", [""])[0]

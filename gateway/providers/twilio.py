"""Twilio Programmable Messaging, API 2010-04-01: SMS.

Send: https://www.twilio.com/docs/messaging/api/message-resource
Errors: https://www.twilio.com/docs/api/errors
Status callbacks: https://www.twilio.com/docs/messaging/guides/track-outbound-message-status
Signatures: https://www.twilio.com/docs/usage/webhooks/webhooks-security

The API knows no idempotency key: a request sent again is another SMS. Its own error texts are
not passed on, since they repeat the recipient's number.
"""

import hmac
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import ClassVar
from urllib.parse import parse_qs, parse_qsl, quote, quote_plus, urlencode, urlsplit

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import auth, base

#: Bounds of ValidityPeriod, seconds (Message resource).
VALIDITY = (1, 36_000)
#: Appended to the callback URL and not signed: repeat a report three times, whatever failed.
#: By default an answer of 5xx is not repeated (docs/usage/webhooks/webhooks-connection-overrides).
RETRY = "#rc=3&rp=all"
#: Fields of one callback; more is not from Twilio.
_MAX_FIELDS = 100

#: docs/messaging/guides/outbound-message-status-in-status-callbacks
EVENTS = {
    "accepted": wire.ReceiptEvent.ACCEPTED,
    "scheduled": wire.ReceiptEvent.ACCEPTED,
    "queued": wire.ReceiptEvent.ACCEPTED,
    "sending": wire.ReceiptEvent.ACCEPTED,
    "sent": wire.ReceiptEvent.SENT,
    "partially_delivered": wire.ReceiptEvent.SENT,
    "delivered": wire.ReceiptEvent.DELIVERED,
    "read": wire.ReceiptEvent.READ,
    "undelivered": wire.ReceiptEvent.FAILED,
    "failed": wire.ReceiptEvent.FAILED,
    "canceled": wire.ReceiptEvent.FAILED,
}
INBOUND = frozenset({"receiving", "received"})
#: STOP, blocked by the user, known litigator: the last is not theirs to say but as final.
OPTED_OUT = frozenset({21610, 30630, 30640, 63014, 63033})
EXPIRED = 30036

_RECIPIENT, _PROVIDER = wire.Scope.RECIPIENT, wire.Scope.PROVIDER
# docs/api/errors: codes of answers and of callbacks, by what they mean to us.
_GROUPS: tuple[tuple[wire.Rejected | wire.Deferred, frozenset[int]], ...] = (
    (
        wire.Deferred(code="", detail="account or token refused", cause=wire.Cause.CREDENTIAL),
        frozenset({10001, 20003, 20005, 20006, 20403, 20404, 21701, 21705, 30002}),
    ),
    (
        wire.Deferred(code="", detail="over a limit", cause=wire.Cause.THROTTLED),
        frozenset({14107, 20429, 21611, 30001, 30022, 30023, 30027, 30454, 63017, 63018, 63038}),
    ),
    (
        wire.Deferred(code="", detail="trouble at Twilio or the carrier"),
        frozenset({20500, 20503, 20504, 30008, 30017, 30020, 30021, 30410, 30500})
        | frozenset({63009, 63010, 63012}),
    ),
    (  # handset off, blocked for hours by fraud protection, quiet hours by law
        wire.Deferred(code="", detail="not now", cause=wire.Cause.RECIPIENT),
        frozenset({30003, 30450, 30453, 30485, 30610}),
    ),
    (wire.Rejected(code="", detail="validity period ended"), frozenset({EXPIRED})),
    (
        wire.Rejected(code="", detail="opted out", scope=_RECIPIENT, suppress=True),
        OPTED_OUT,
    ),
    (
        wire.Rejected(code="", detail="no such mobile number", scope=_RECIPIENT, suppress=True),
        frozenset({21211, 21217, 21614, 21635, 30005, 30006, 63003, 63024}),
    ),
    (
        wire.Rejected(code="", detail="number cannot be reached", scope=_RECIPIENT),
        frozenset({21214, 21265, 21266, 21268, 21604, 30004, 30011, 63036}),
    ),
    (
        wire.Rejected(code="", detail="content refused"),
        frozenset({21602, 21617, 21618, 21619, 21620, 21623, 21654, 21655, 21656})
        | frozenset({30007, 30010, 30019, 30038, 63005, 63013, 63016}),
    ),
    (
        wire.Rejected(code="", detail="sender not usable", scope=_PROVIDER),
        frozenset({21212, 21408, 21601, 21603, 21606, 21608, 21609, 21612, 21659, 21660, 21661})
        | frozenset({21702, 21703, 21704, 30018, 30024, 30032, 30033, 30034, 30037})
        | frozenset({30040, 30041, 30042}),
    ),
)
RESULTS = {code: replace(result, code=str(code)) for result, codes in _GROUPS for code in codes}


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
        self._sender = urlencode({name: value for name, value in sender.items() if value})
        tokens = (settings.auth_token, settings.auth_token_previous)
        self._tokens = [token.encode() for token in tokens if token]

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        return [((message,), self._request(message)) for message in messages]

    def _request(self, message: wire.Message) -> wire.HttpRequest:
        seconds = int(message.expires_at.timestamp() - self._clock.now_ms() / 1000)
        period = min(max(seconds, VALIDITY[0]), VALIDITY[1])
        to = quote(message.to.phone.removeprefix("+"))  # the rest needs no quoting: a fast path
        plus = "%2B" if message.to.phone.startswith("+") else ""
        text = quote_plus(message.content.text, errors="replace")
        form = f"To={plus}{to}&{self._sender}&Body={text}&ValidityPeriod={period}"
        if message.callback_url:
            form += f"&StatusCallback={_callback(message)}"
        body = form.encode("ascii")
        return wire.HttpRequest(method="POST", url=self._url, headers=self._headers, body=body)

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        return [_result(response, now_ms=self._clock.now_ms())] * len(messages)

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        signed = _signed_fields(request)
        if signed is None:
            return False
        offered = auth.to_bytes(request.headers.get("x-twilio-signature", ""))
        expected = [
            b64encode(hmac.digest(token, auth.to_bytes(url + signed), "sha1"))
            for token in self._tokens
            for url in _spellings(request.url)
        ]
        return any(hmac.compare_digest(one, offered) for one in expected)

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        form = dict(_form(request) or ())
        status = form.get("MessageStatus") or form.get("SmsStatus", "")
        if status in INBOUND:
            return []
        sid = form.get("MessageSid") or form.get("SmsSid", "")
        if not sid or not status:
            raise errors.UnreadableReceipt("neither an id nor a status of a message")
        return [_receipt(sid, status, _number(form.get("ErrorCode")), _reference(request.url))]

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=204)


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
    known = RESULTS.get(code)
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
    event = EVENTS.get(status, wire.ReceiptEvent.UNKNOWN)
    known = RESULTS.get(code)
    if event is wire.ReceiptEvent.FAILED:
        if code == EXPIRED:
            event = wire.ReceiptEvent.EXPIRED
        elif code in OPTED_OUT:
            event = wire.ReceiptEvent.OPTED_OUT
    return wire.DeliveryReceipt(
        event=event,
        provider_id=sid,
        reference=reference,
        code=str(code) if code else status[:30],
        detail=known.detail if known else "",
        suppress=isinstance(known, wire.Rejected) and known.suppress,
    )


def _reference(url: str) -> str:
    """Ours, from the callback URL, which the signature covers."""
    return parse_qs(urlsplit(url).query).get("reference", [""])[0]


def _form(request: wire.HttpRequest) -> list[tuple[str, str]] | None:
    """Fields of a form body, decoded, in their order; None when it is not a form."""
    if "json" in request.headers.get("content-type", "").lower():
        return None
    try:
        text = request.body.decode("ascii")
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return None


def _signed_fields(request: wire.HttpRequest) -> str | None:
    """What follows the URL in the signed string; None when the body is not covered by it."""
    form = _form(request)
    if form is not None:
        return "".join(name + value for name, value in sorted(set(form)))
    digest = re.search(r"[?&]bodySHA256=([0-9a-f]{64})(?:[&#]|$)", request.url)
    body_is_signed = digest is not None and hmac.compare_digest(
        digest[1], sha256(request.body).hexdigest()
    )
    return "" if body_is_signed else None


def _spellings(url: str) -> set[str]:
    """The URL as it stands, without its port and with the default one: all of them are signed."""
    scheme, mark, rest = url.partition("#")[0].partition("://")
    host = re.split(r"[/?]", rest, maxsplit=1)[0]
    tail = rest[len(host) :]
    bare = re.sub(r":\d+$", "", host)
    port = "443" if scheme == "https" else "80"
    with_port = host if bare != host else f"{host}:{port}"
    return {f"{scheme}{mark}{each}{tail}" for each in (host, bare, with_port)}

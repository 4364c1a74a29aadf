"""Twilio SendGrid, Web API v3: email.

Send: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
Errors: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors
Events: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
Signatures: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features

One call carries up to a thousand personalizations: messages with the same texts, each with a
subject, headers and reference of its own. A fault in one refuses the whole call. There is no
idempotency key, and the answer names the call, not its messages: events name ours by `gw_id`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import orjson
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.clock import Clock
from gateway.content.attachments import Attachment
from gateway.model import errors, wire
from gateway.providers import auth, base, ecdsa, mail_api, mailboxes, sendgrid_events

Json: TypeAlias = Mapping[str, Any]

#: Seconds: a post is repeated for 24 hours, and whether it is signed anew is not documented.
MAX_AGE = 25 * 3600

#: Octets of a mail with its files: 30 MB, of which some are left for texts and headers.
MAX_MAIL = 29_000_000

#: Our own mistakes: URL, method, Accept, content type.
_BUGS = frozenset({404, 405, 406, 415})
_FIELD = re.compile(r"personalizations\.(\d{1,4})(?:\.(.*))?")
_RECIPIENT_FIELD = re.compile(r"(?:to|cc|bcc)(?:\.|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "sendgrid"`."""

    #: `SG.…`, with the permission to send
    api_key: str = field(repr=False)
    #: `Example <no-reply@example.com>`, a verified sender
    from_: str
    #: a mailbox like `from`; default: none
    reply_to: str = ""
    #: public key of the signed event webhook, base64; default: there are no receipts
    verification_key: str = field(default="", repr=False)
    #: the one before the last rotation, still good for receipts; default: none
    verification_key_previous: str = field(default="", repr=False)
    #: count opens and clicks; default: as the account is set up
    tracking: bool | None = None
    #: validate and do not send; default false
    sandbox: bool = False
    #: origin of the API; default https://api.sendgrid.com, EU subusers: https://api.eu.sendgrid.com
    base_url: str = "https://api.sendgrid.com"

    def __post_init__(self) -> None:
        faults = mailboxes.faults(
            required={"from": self.from_}, optional={"reply_to": self.reply_to}
        )
        if not self.api_key:
            faults.append("api_key: is empty")
        for name in ("verification_key", "verification_key_previous"):
            try:
                _keys(getattr(self, name))
            except ValueError as error:
                faults.append(f"{name}: {error}")
        if faults:
            raise errors.SettingsError(faults)


class Provider(base.HttpProvider):
    """Messages with the same texts share a call."""

    name: ClassVar[str] = "sendgrid"
    channel = wire.Channel.EMAIL
    batch_limit: ClassVar[int] = 1000
    credential = None

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self._clock = clock
        self._sandbox = settings.sandbox
        self._url = settings.base_url.rstrip("/") + "/v3/mail/send"
        self._headers = {
            "authorization": f"Bearer {settings.api_key}",
            "content-type": "application/json",
            "accept": "application/json",
        }
        self._common = _common(settings)
        self._keys = _keys(settings.verification_key, settings.verification_key_previous)
        self.reports = mail_api.reports(signed=bool(self._keys), tracking=settings.tracking)

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        """Equal texts, files and category make a call; no address is twice in one.

        Raises ValueError for files that do not fit into a mail.
        """
        letters = [mail_api.letter(message) for message in messages]
        for one in letters:
            mail_api.check_size(one, most=MAX_MAIL)
        calls = mail_api.share([(one, one.common) for one in letters], limit=self.batch_limit)
        return [([one.message for one in call], self._request(call)) for call in calls]

    def _request(self, call: Sequence[mail_api.Letter]) -> wire.HttpRequest:
        first = call[0]
        body: dict[str, Any] = {
            "personalizations": [_personalization(one) for one in call],
            **self._common,
            "subject": first.subject,
            "content": _content(first),
            "categories": [first.message.category],
        }
        if first.files:
            body["attachments"] = [_file(one) for one in first.files]
        if first.unsubscribe:  # SendGrid's own header would contradict it
            tracking = body.get("tracking_settings", {})
            body["tracking_settings"] = {**tracking, "subscription_tracking": {"enable": False}}
        return wire.HttpRequest(
            method="POST", url=self._url, headers=self._headers, body=orjson.dumps(body)
        )

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        status = response.status
        if status == 202:
            call = response.headers.get("x-message-id", "")
            names = [mail_api.provider_id(call, message.to.email) for message in messages]
            return [wire.Accepted(provider_id=name) for name in names]
        if status == 200 and self._sandbox:
            return [wire.Accepted(detail="sandbox mode: not sent")] * len(messages)
        if 200 <= status < 300:
            return [wire.Unknown(code=f"http_{status}", detail="not 202")] * len(messages)
        if status == 400:
            return _refused(messages, mail_api.tables_of(auth.json_object(response.body), "errors"))
        return [_result(response, now_ms=self._clock.now_ms())] * len(messages)

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        headers = request.headers
        timestamp = headers.get("x-twilio-email-event-webhook-timestamp", "")
        signature = headers.get("x-twilio-email-event-webhook-signature", "")
        if not mail_api.is_recent(timestamp, now_ms=self._clock.now_ms(), max_age=MAX_AGE):
            return False
        content = timestamp.encode("ascii") + request.body
        return any(ecdsa.verify(key, signature, content) for key in self._keys)

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        """One that cannot be read is left out, lest it hold up the others of its post."""
        try:
            rows = mail_api.tables_of({"": orjson.loads(request.body)}, "")
        except orjson.JSONDecodeError:
            rows = []
        known = [row for row in rows if isinstance(row.get("event"), str)]
        if not known:
            raise errors.UnreadableReceipt("not an array with events")
        return sendgrid_events.read(known)

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=204)


def _keys(*texts: str) -> Sequence[ec.EllipticCurvePublicKey]:
    return [ecdsa.public_key(text) for text in texts if text]


def _common(settings: Settings) -> Json:
    """What all requests of an account say."""
    common: dict[str, Any] = {"from": _mailbox(settings.from_)}
    if settings.reply_to:
        common["reply_to"] = _mailbox(settings.reply_to)
    if settings.sandbox:
        common["mail_settings"] = {"sandbox_mode": {"enable": True}}
    if settings.tracking is not None:
        wanted = {"enable": settings.tracking}
        common["tracking_settings"] = {"click_tracking": wanted, "open_tracking": wanted}
    return common


def _mailbox(value: str) -> Json:
    found = mail_api.mailbox(value)
    return {"email": found.address, "name": found.name} if found.name else {"email": found.address}


def _personalization(letter: mail_api.Letter) -> Json:
    own: dict[str, Any] = {
        "to": [{"email": letter.to}],
        "subject": letter.subject,
        "custom_args": {sendgrid_events.REFERENCE: letter.message.reference},
    }
    if headers := letter.headers():
        own["headers"] = headers
    return own


def _content(letter: mail_api.Letter) -> Sequence[Json]:
    """Plain text first, as clients show the last that they can; an empty message is refused."""
    texts = (("text/plain", letter.text), ("text/html", letter.html))
    parts = [{"type": kind, "value": value} for kind, value in texts if value]
    return parts or [{"type": "text/plain", "value": ""}]


def _file(one: Attachment) -> Json:
    file = {"filename": one.name, "type": one.type, "content": one.data}
    if one.inline:
        return {**file, "disposition": "inline", "content_id": one.inline}
    return {**file, "disposition": "attachment"}


def _refused(messages: Sequence[wire.Message], rows: Sequence[Json]) -> list[wire.AttemptResult]:
    """None was taken. Those at fault are told by their place, the others may go again.

    A field that belongs to all is everybody's fault. Without one nobody knows whose it is, so
    that all go again in smaller calls, until the culprit is alone.
    """
    code = "http_400"
    places: dict[int, wire.AttemptResult] = {}
    for name in [mail_api.text_of(row, "field") for row in rows]:
        match = _FIELD.fullmatch(name)
        if match and int(match[1]) < len(messages):
            is_address = _RECIPIENT_FIELD.match(match[2] or "") is not None
            scope = wire.Scope.RECIPIENT if is_address else wire.Scope.MESSAGE
            detail = "address refused" if is_address else "message refused"
            places[int(match[1])] = wire.Rejected(code=code, detail=detail, scope=scope)
        elif len(messages) == 1 or (name and not name.startswith("personalizations")):
            return [wire.Rejected(code=code, detail="content refused")] * len(messages)
    if len(messages) == 1:
        return [places.get(0, wire.Rejected(code=code))]
    again = wire.Deferred(
        code=code, detail="refused with its call", cause=wire.Cause.RECIPIENT, apart=True
    )
    return [places.get(index, again) for index in range(len(messages))]


def _result(response: wire.HttpResponse, *, now_ms: int) -> wire.AttemptResult:
    result = base.result_of_status(response, now_ms=now_ms)
    rows = mail_api.tables_of(auth.json_object(response.body), "errors")
    no_credits = any("credits" in mail_api.text_of(row, "message") for row in rows)
    if response.status == 429 or (response.status == 401 and no_credits):
        code, wait = f"http_{response.status}", mail_api.pause(response, now_ms=now_ms)
        return wire.Deferred(code=code, cause=wire.Cause.THROTTLED, retry_after=wait)
    if response.status in _BUGS:
        return wire.Rejected(code=f"http_{response.status}", scope=wire.Scope.PROVIDER)
    return result

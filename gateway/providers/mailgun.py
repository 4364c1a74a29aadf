"""Mailgun, API v3: email.

Send: https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/send-http
Batches: https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/batch-sending
Webhooks: https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhooks

One call carries up to a thousand recipients: messages with the same texts, whose subject, headers
and reference Mailgun fills in for each as `%recipient.…%`. A bad address refuses the whole call,
and the answer does not say which. There is no idempotency key. A webhook's signature does not
cover its body, and its report of a delivery is posted only once.
"""

import binascii
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import ClassVar, Literal, TypeAlias
from urllib.parse import quote

import orjson

from gateway.clock import Clock
from gateway.content import mime
from gateway.content.attachments import Attachment
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import auth, base, forms, mail_api, mailboxes, mailgun_events

Json: TypeAlias = Mapping[str, object]

REGIONS = {"us": "https://api.mailgun.net", "eu": "https://api.eu.mailgun.net"}
#: Our reference among the custom variables, which events give back.
REFERENCE = "gw_id"
#: Recipients of one call.
MAX_BATCH = 1000
#: Seconds: a post is repeated for eight hours, and whether it is signed anew is not documented.
MAX_AGE = 9 * 3600
#: Octets of a mail with its files: 25 MB, of which some are left for texts and headers.
MAX_MAIL = 24_000_000
#: What Mailgun would fill in, so that a text with these words is not to be sent in a batch.
_PLACE = "%recipient"

_BAD_ADDRESS = re.compile(r"'?(to|cc|bcc)'? parameter is not a valid address", re.IGNORECASE)
_UNTIL = re.compile(r"try again after ([\w,: +-]{10,40})", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "mailgun"`."""

    #: the account's, or one that may send for the domain only
    api_key: str = field(repr=False)
    #: sending domain
    domain: str
    #: `Example <no-reply@example.com>`
    from_: str
    #: a mailbox like `from`; default: none
    reply_to: str = ""
    #: signs webhooks, and is none of the API keys; default: there are no receipts
    signing_key: str = field(default="", repr=False)
    #: the one before the last rotation, still good for receipts; default: none
    signing_key_previous: str = field(default="", repr=False)
    #: where the domain lives; default us
    region: Literal["us", "eu"] = "us"
    #: recipients of one call; fewer for accounts that may not send large batches; default 1000
    batch: int = MAX_BATCH
    #: count opens and clicks; default: as the domain is set up
    tracking: bool | None = None
    #: accept and do not deliver; default false
    test_mode: bool = False
    #: origin of the API; default: the region's, https://api.mailgun.net
    base_url: str = ""

    def __post_init__(self) -> None:
        faults = mailboxes.faults(
            required={"from": self.from_}, optional={"reply_to": self.reply_to}
        )
        if not self.api_key:
            faults.append("api_key: is empty")
        if not self.domain or "/" in self.domain:
            faults.append("domain: not a domain's name")
        if not 1 <= self.batch <= MAX_BATCH:
            faults.append(f"batch: not between 1 and {MAX_BATCH}")
        if faults:
            raise errors.SettingsError(faults)


class Provider(base.HttpProvider):
    """Messages with the same texts share a call."""

    name: ClassVar[str] = "mailgun"
    channel = wire.Channel.EMAIL
    batch_limit: ClassVar[int] = MAX_BATCH
    credential = None

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self._clock = clock
        self._batch = settings.batch
        origin = settings.base_url or REGIONS[settings.region]
        self._url = f"{origin.rstrip('/')}/v3/{quote(settings.domain, safe='')}/messages"
        self._authorization = auth.basic("api", settings.api_key)
        self._common = _common(settings)
        keys = (settings.signing_key, settings.signing_key_previous)
        self._keys = [key.encode() for key in keys if key]
        self.reports = mail_api.reports(signed=bool(self._keys), tracking=settings.tracking)

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        """Equal texts, files, category and names of headers make a call; no address is twice in
        one. Raises ValueError for files that do not fit into a mail."""
        letters = [_letter(message) for message in messages]
        for one in letters:
            mail_api.check_size(one, most=MAX_MAIL)
        keyed = [(one, (one.common, *one.headers())) for one in letters]
        calls = mail_api.share(keyed, limit=self._batch)
        return [([one.message for one in call], self._request(call)) for call in calls]

    def _request(self, call: Sequence[mail_api.Letter]) -> wire.HttpRequest:
        first = call[0]
        fields = [("to", one.to) for one in call] + self._common
        fields += [("text", first.text)] if first.text or not first.html else []
        fields += [("html", first.html)] if first.html else []
        fields.append(("o:tag", first.message.category))
        fields += _own(first).items() if len(call) == 1 else _filled_in(call)
        content_type, body = forms.encode(fields, [_file(one) for one in first.files])
        headers = {"authorization": self._authorization, "content-type": content_type}
        return wire.HttpRequest(method="POST", url=self._url, headers=headers, body=body)

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        if 200 <= response.status < 300:
            return _taken(messages, response)
        result = _refusal(response, now_ms=self._clock.now_ms())
        splits = isinstance(result, wire.Rejected) and response.status in (400, 402, 403)
        if len(messages) > 1 and splits:
            # None was taken, and alone the others will be.
            result = wire.Deferred(
                code=result.code,
                detail="refused with its call",
                cause=wire.Cause.RECIPIENT,
                apart=True,
            )
        return [result] * len(messages)

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        signed = mail_api.table_of(auth.json_object(request.body), "signature")
        timestamp, token = (mail_api.text_of(signed, name) for name in ("timestamp", "token"))
        if not token or not mail_api.is_recent(
            timestamp, now_ms=self._clock.now_ms(), max_age=MAX_AGE
        ):
            return False
        offered = auth.to_bytes(mail_api.text_of(signed, "signature"))
        content = auth.to_bytes(timestamp + token)
        expected = [hmac.digest(key, content, "sha256").hex().encode() for key in self._keys]
        return any(hmac.compare_digest(one, offered) for one in expected)

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        data = mail_api.table_of(auth.json_object(request.body), "event-data")
        event = mail_api.text_of(data, "event")
        if event in mailgun_events.IGNORED:
            return []
        receipt = _receipt(data)
        if not event or not (receipt.provider_id or receipt.reference):
            raise errors.UnreadableReceipt("neither an event nor an id of a message")
        return [receipt]

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=200)


def _common(settings: Settings) -> list[tuple[str, str]]:
    """What all requests of an account say."""
    fields = {"from": _mailbox(settings.from_)}
    if settings.reply_to:
        fields["h:Reply-To"] = _mailbox(settings.reply_to)
    if settings.tracking is not None:
        fields["o:tracking"] = "yes" if settings.tracking else "no"
    if settings.test_mode:
        fields["o:testmode"] = "yes"
    return list(fields.items())


def _mailbox(value: str) -> str:
    """On one line of ASCII, as Mailgun refuses other headers."""
    folded = mime.mailbox(mail_api.mailbox(value), indent=0)
    return folded.replace(b"\r\n", b"").decode()


def _file(one: Attachment) -> forms.File:
    """Mailgun takes an inline file's name for its Content-ID."""
    field, name = ("inline", one.inline) if one.inline else ("attachment", one.name)
    data = binascii.a2b_base64(one.data)
    return forms.File(field=field, name=name, type=one.type, data=data)


def _letter(message: wire.Message) -> mail_api.Letter:
    letter = mail_api.letter(message)
    texts = (letter.subject, letter.text, letter.html, letter.unsubscribe)
    if any(_PLACE in text for text in texts):
        return replace(letter, sociable=False)
    return letter


def _own(letter: mail_api.Letter) -> dict[str, str]:
    """Fields that may differ between messages of a call."""
    headers = {f"h:{name}": value for name, value in letter.headers().items()}
    return {"subject": letter.subject, f"v:{REFERENCE}": letter.message.reference, **headers}


def _filled_in(call: Sequence[mail_api.Letter]) -> list[tuple[str, str]]:
    """Those that are equal as they are; for others a place, and what to put there for each.

    Without recipient-variables everybody would see all addresses.
    """
    own = [_own(one) for one in call]
    places = {
        name: f"v{index}"
        for index, name in enumerate(own[0])
        if any(fields[name] != own[0][name] for fields in own)
    }
    variables = {
        one.to: {place: fields[name] for name, place in places.items()}
        for one, fields in zip(call, own, strict=True)
    }
    fields = [
        (name, f"{_PLACE}.{places[name]}%" if name in places else value)
        for name, value in own[0].items()
    ]
    return [*fields, ("recipient-variables", orjson.dumps(variables).decode())]


def _taken(
    messages: Sequence[wire.Message], response: wire.HttpResponse
) -> Sequence[wire.AttemptResult]:
    answer = auth.json_object(response.body)
    call = mail_api.text_of(answer, "id").strip("<> ")
    code = f"http_{response.status}"
    if response.status == 200 and call and mail_api.text_of(answer, "message").startswith("Queued"):
        names = [mail_api.provider_id(call, message.to.email) for message in messages]
        return [wire.Accepted(provider_id=name) for name in names]
    if b"Mailgun Magnificent API" in response.body[:1000]:
        wrong = wire.Rejected(code=code, detail="not the path to send", scope=wire.Scope.PROVIDER)
        return [wrong] * len(messages)
    return [wire.Unknown(code=code, detail="answer without id")] * len(messages)


def _refusal(response: wire.HttpResponse, *, now_ms: int) -> wire.Rejected | wire.Deferred:
    status, code = response.status, f"http_{response.status}"
    text = mail_api.text_of(auth.json_object(response.body), "message")[:1000]
    if status == 429:
        until = _UNTIL.search(text)
        told = {"retry-after": until[1]} if until else {}
        response = replace(response, headers={**response.headers, **told})
        wait = mail_api.pause(response, now_ms=now_ms)
        return wire.Deferred(code=code, cause=wire.Cause.THROTTLED, retry_after=wait)
    if status == 400 and _BAD_ADDRESS.search(text):
        return wire.Rejected(code=code, detail="address refused", scope=wire.Scope.RECIPIENT)
    if status == 403 and "large batches" in text:
        return wire.Rejected(code=code, detail="no large batches yet", scope=wire.Scope.PROVIDER)
    if status == 404 or (status == 400 and "is not allowed to send" in text):
        detail = "domain unknown here" if status == 404 else "domain may not send"
        return wire.Deferred(code=code, detail=detail, cause=wire.Cause.CREDENTIAL)
    result = base.result_of_status(response, now_ms=now_ms)
    if isinstance(result, wire.Rejected | wire.Deferred):
        return result
    return wire.Rejected(code=code)


def _receipt(data: Json) -> wire.DeliveryReceipt:
    headers = mail_api.table_of(mail_api.table_of(data, "message"), "headers")
    recipient = mail_api.text_of(data, "recipient")
    if not recipient:  # of a rejected message
        recipient = parseaddr(mail_api.text_of(headers, "to"))[1]
    call = mail_api.text_of(headers, "message-id").strip("<> ")
    event, code, suppress = mailgun_events.read(data)
    reference = mail_api.text_of(mail_api.table_of(data, "user-variables"), REFERENCE)
    return wire.DeliveryReceipt(
        event=event,
        provider_id=mail_api.provider_id(call, recipient),
        reference="" if reference.startswith("%") else reference,
        code=code,
        at=mail_api.moment(data.get("timestamp")),
        suppress=suppress,
    )

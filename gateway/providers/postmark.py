"""Postmark: email, up to 500 messages a request.

Send: https://postmarkapp.com/developer/api/email-api
Errors: https://postmarkapp.com/developer/api/overview#error-codes
What its webhooks say is in `postmark_events`.

Each message of a batch has its own content and its own result. The API knows no idempotency key.
Its texts repeat addresses and are not passed on. Webhooks are not signed: what proves them is the
user and password, or a secret header, that they were configured with.
"""

import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import orjson

from gateway.clock import Clock
from gateway.content import attachments
from gateway.content.attachments import Attachment
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import auth, base, mailboxes, postmark_events, trial

#: Bytes of a batch, which may have 50 MB (user-guide/send-email-with-api/batch-emails), and of a
#: mail, beyond which it goes alone, so that its refusal is no other's.
_BATCH_BYTES, _MAIL_BYTES = 40_000_000, 10_000_000

_INVALID, _SUPPRESSED = 300, 406
_RECIPIENT, _PROVIDER = wire.Scope.RECIPIENT, wire.Scope.PROVIDER
_OURS = wire.Rejected(code="", detail="request refused", scope=_PROVIDER)
_CLOSED = wire.Deferred(code="", detail="account may not send", cause=wire.Cause.CREDENTIAL)
#: developer/api/overview#error-codes; others are about the message.
RESULTS: Mapping[int, wire.Rejected | wire.Deferred] = {
    10: wire.Deferred(code="", detail="token refused", cause=wire.Cause.CREDENTIAL),
    100: wire.Deferred(code="", detail="maintenance"),
    400: wire.Rejected(code="", detail="sender not usable", scope=_PROVIDER),
    401: wire.Rejected(code="", detail="sender not usable", scope=_PROVIDER),
    402: _OURS,
    403: _OURS,
    405: _CLOSED,
    _SUPPRESSED: wire.Rejected(code="", detail="inactive address", scope=_RECIPIENT, suppress=True),
    409: _OURS,
    410: _OURS,
    412: wire.Rejected(code="", detail="account is not approved yet", scope=_PROVIDER),
    413: _CLOSED,
    429: wire.Deferred(code="", detail="over a limit", cause=wire.Cause.THROTTLED),
}
_BAD_RECIPIENT = re.compile(r"(?:Invalid|Error parsing) '(?:To|Cc|Bcc)'")
_INACTIVE = re.compile(r"will not deliver to these inactive addresses: (.*?)\. ", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "postmark"`."""

    #: of the server that sends
    server_token: str = field(repr=False)
    #: `Example <no-reply@example.com>`, or the address alone; a confirmed sender signature
    from_: str
    #: a mailbox like `from`; default: none
    reply_to: str = ""
    #: `outbound`, or one for broadcasts; default outbound
    message_stream: str = "outbound"
    #: count opens by a picture in the HTML; default false
    track_opens: bool = False
    #: lead links over Postmark to count clicks; default None
    track_links: Literal["None", "HtmlAndText", "HtmlOnly", "TextOnly"] = "None"
    #: user and password that its webhooks were given; default: none
    webhook_username: str = ""
    #: goes with the user
    webhook_password: str = field(default="", repr=False)
    #: headers that its webhooks were given, a secret among them; default: none
    webhook_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: origin of the API; default https://api.postmarkapp.com
    base_url: str = "https://api.postmarkapp.com"

    def __post_init__(self) -> None:
        faults = mailboxes.faults(
            required={"from": self.from_}, optional={"reply_to": self.reply_to}
        )
        for name in ("server_token", "message_stream"):
            if not getattr(self, name):
                faults.append(f"{name}: is empty")
        if bool(self.webhook_username) != bool(self.webhook_password):
            faults.append("webhook_password: goes with webhook_username, neither without the other")
        if not all(self.webhook_headers.values()):
            faults.append("webhook_headers: holds an empty value, which anybody has")
        if faults:
            raise errors.SettingsError(faults)


class Provider(base.HttpProvider):
    """A batch a request, or one message."""

    name: ClassVar[str] = "postmark"
    channel = wire.Channel.EMAIL
    batch_limit: ClassVar[int] = 500
    credential = None

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self._clock = clock
        self._url = settings.base_url.rstrip("/") + "/email"
        self._headers = {
            "accept": "application/json",
            "content-type": "application/json",
            "x-postmark-server-token": settings.server_token,
        }
        self._common = {
            "From": _mailbox(settings.from_),
            "MessageStream": settings.message_stream,
            "TrackOpens": settings.track_opens,
            "TrackLinks": settings.track_links,
        }
        if settings.reply_to:
            self._common["ReplyTo"] = _mailbox(settings.reply_to)
        proofs = {name.lower(): value for name, value in settings.webhook_headers.items()}
        if settings.webhook_username:
            proofs["authorization"] = auth.basic(
                settings.webhook_username, settings.webhook_password
            )
        self._proofs = {name: auth.to_bytes(value) for name, value in proofs.items()}
        # opens are left out of the promise: mail servers fetch pictures too
        self.reports = frozenset({wire.ReceiptEvent.DELIVERED} if proofs else ())

    def objection(self, content: wire.Content, to: wire.Address) -> str:
        if not content.extra.get("attachments"):
            return ""
        return trial.objection(self._mail, content, to, self.channel)

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        """Of `content.extra` it reads `list_unsubscribe`, a URI or a list of them, and
        `attachments`. Raises ValueError for files that do not fit into a mail."""
        return [
            (
                [message for message, _ in group],
                self._post("" if len(group) == 1 else "/batch", [body for _, body in group]),
            )
            for group in _groups([(message, self._mail(message)) for message in messages])
        ]

    def _post(self, path: str, mails: Sequence[bytes]) -> wire.HttpRequest:
        body = b"[" + b",".join(mails) + b"]" if path else mails[0]
        return wire.HttpRequest(
            method="POST", url=self._url + path, headers=self._headers, body=body
        )

    def _mail(self, message: wire.Message) -> bytes:
        content = message.content
        texts = {"TextBody": content.text, "HtmlBody": content.html}
        mail = {
            **self._common,
            "To": message.to.email,
            "Subject": mailboxes.one_line(content.subject),
            **{name: text for name, text in texts.items() if text},
            "Metadata": {postmark_events.REFERENCE: message.reference},
        }
        if headers := mailboxes.headers(message):
            mail["Headers"] = [{"Name": name, "Value": value} for name, value in headers]
        files = attachments.of(content)
        if not files:
            return orjson.dumps(mail)
        mail["Attachments"] = [_file(one) for one in files]
        body = orjson.dumps(mail)
        if len(body) > _MAIL_BYTES:
            raise ValueError("the attachments are larger than the service takes")
        return body

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        whole = base.result_of_status(response, now_ms=self._clock.now_ms())
        if not isinstance(whole, wire.Accepted):
            return [_refused(messages, response, whole)] * len(messages)
        return [
            _result(message, answer)
            for message, answer in zip(messages, _answers(response, len(messages)), strict=True)
        ]

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        given = {name: auth.to_bytes(request.headers.get(name, "")) for name in self._proofs}
        matches = [hmac.compare_digest(given[name], self._proofs[name]) for name in given]
        return bool(matches) and all(matches)

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        return postmark_events.read(auth.json_object(request.body))

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=200)


def _mailbox(value: str) -> str:
    """With its name in quotes, which holds whatever the name holds."""
    found = mailboxes.read(value)
    if found is None or not found.name:
        return found.address if found else ""
    name = re.sub(r'(["\\])', r"\\\1", found.name)
    return f'"{name}" <{found.address}>'


def _file(one: Attachment) -> Mapping[str, str]:
    file = {"Name": one.name, "ContentType": one.type, "Content": one.data}
    return {**file, "ContentID": f"cid:{one.inline}"} if one.inline else file


_Mails = Sequence[tuple[wire.Message, bytes]]


def _groups(mails: _Mails) -> Iterator[_Mails]:
    """As many a request as its size allows."""
    begin, size = 0, 0
    for at, (_, body) in enumerate(mails):
        weight = len(body) + 1 if len(body) <= _MAIL_BYTES else _BATCH_BYTES
        if at - begin == Provider.batch_limit or (at > begin and size + weight > _BATCH_BYTES):
            yield mails[begin:at]
            begin, size = at, 0
        size += weight
    yield mails[begin:]


def _answers(response: wire.HttpResponse, count: int) -> Sequence[Mapping[str, Any]]:
    """One answer for each message, by position; empty ones where they do not match."""
    try:
        body = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        body = None
    answers = body if isinstance(body, list) else [body]
    if len(answers) != count:
        return [{}] * count
    return [one if isinstance(one, dict) else {} for one in answers]


def _refused(
    messages: Sequence[wire.Message],
    response: wire.HttpResponse,
    by_status: wire.Rejected | wire.Deferred | wire.Unknown,
) -> wire.AttemptResult:
    """Of a request that was refused as a whole, which says nothing about one recipient of many."""
    answer = auth.json_object(response.body)
    code = _code(answer)
    if not code or response.status >= 500:
        return by_status
    known = _meaning(code, answer, messages[0])
    about_one = isinstance(known, wire.Rejected) and known.scope is _RECIPIENT
    if (about_one and len(messages) > 1) or (code not in RESULTS and not about_one):
        return replace(by_status, code=str(code))
    wait = getattr(by_status, "retry_after", None)
    if isinstance(known, wire.Deferred) and wait is not None:
        return replace(known, retry_after=wait)
    return known


def _result(message: wire.Message, answer: Mapping[str, Any]) -> wire.AttemptResult:
    """Of one message. A delayed one comes without an ErrorCode and is taken."""
    code, id = _code(answer), answer.get("MessageID")
    if code:
        return _meaning(code, answer, message)
    if code is None or not isinstance(id, str) or not id:
        return wire.Unknown(code="http_200", detail="no answer for this message")
    inactive = _INACTIVE.search(_text(answer) + " ")
    if inactive and message.to.email.lower() in inactive[1].lower().split(", "):
        return replace(RESULTS[_SUPPRESSED], code=str(_SUPPRESSED))
    return wire.Accepted(provider_id=id)


def _meaning(
    code: int, answer: Mapping[str, Any], message: wire.Message
) -> wire.Rejected | wire.Deferred:
    known = RESULTS.get(code)
    if known is not None:
        return replace(known, code=str(code))
    if code == _INVALID and _BAD_RECIPIENT.match(_text(answer)):
        # an address that is not ASCII may do with a relay that knows SMTPUTF8
        return wire.Rejected(
            code=str(code),
            detail="invalid address",
            scope=_RECIPIENT,
            suppress=message.to.email.isascii(),
        )
    return wire.Rejected(code=str(code), detail="message refused")


def _code(answer: Mapping[str, Any]) -> int | None:
    """0 where there is none, None for what is no code."""
    code = answer.get("ErrorCode", 0)
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def _text(answer: Mapping[str, Any]) -> str:
    text = answer.get("Message")
    return text if isinstance(text, str) else ""

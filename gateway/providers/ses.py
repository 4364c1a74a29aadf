"""Amazon SES, API v2: email. Receipts come through Amazon SNS.

Send: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
Errors: https://docs.aws.amazon.com/ses/latest/APIReference-V2/CommonErrors.html
What the events say is in `ses_events`.

SES builds the MIME, signs it (DKIM) and sets Message-ID and Date by itself. The API knows no
idempotency token: a request sent again is another mail. Its texts repeat addresses and are not
passed on. Accepted is not sent: what SES finds later comes as an event.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import orjson

from gateway.clock import Clock
from gateway.content import attachments, mime
from gateway.content.attachments import Attachment
from gateway.model import errors, wire
from gateway.model.values import replace
from gateway.providers import auth, base, mailboxes, ses_events, sigv4, sns

#: Seconds to wait when the day's quota is used up, and where docs advise up to ten minutes.
_QUOTA_WAIT, _LIMIT_WAIT = 3600.0, 600.0

_PROVIDER = wire.Scope.PROVIDER
# Codes of answers by what they mean to us.
_GROUPS: tuple[tuple[wire.Rejected | wire.Deferred, str], ...] = (
    (
        wire.Deferred(code="", detail="over a limit", cause=wire.Cause.THROTTLED),
        "TooManyRequestsException Throttling ThrottlingException ThrottledException"
        " RequestThrottled RequestThrottledException RequestLimitExceeded",
    ),
    (
        wire.Deferred(
            code="", detail="a limit of SES", cause=wire.Cause.THROTTLED, retry_after=_LIMIT_WAIT
        ),
        "LimitExceededException",
    ),
    (
        wire.Deferred(code="", detail="SES has paused the account", cause=wire.Cause.CREDENTIAL),
        "AccountSuspendedException SendingPausedException",
    ),
    (
        wire.Deferred(code="", detail="key or signature refused", cause=wire.Cause.CREDENTIAL),
        "AccessDeniedException SignatureDoesNotMatch InvalidSignatureException"
        " UnrecognizedClientException ExpiredTokenException InvalidClientTokenId"
        " IncompleteSignature MissingAuthenticationTokenException",
    ),
    (
        wire.Deferred(code="", detail="our clock is wrong", cause=wire.Cause.CREDENTIAL),
        "RequestTimeTooSkewed RequestExpired",
    ),
    (
        wire.Rejected(code="", detail="sender or configuration set not usable", scope=_PROVIDER),
        "MailFromDomainNotVerifiedException NotFoundException",
    ),
    (wire.Rejected(code="", detail="message refused"), "MessageRejected BadRequestException"),
    (
        wire.Deferred(code="", detail="trouble at SES"),
        "InternalFailure InternalServiceErrorException ServiceUnavailable",
    ),
)
RESULTS = {code: replace(result, code=code) for result, codes in _GROUPS for code in codes.split()}
_CODE = re.compile(r"[A-Za-z0-9_.]{1,60}")
#: Texts of BadRequestException about the address that the mail is for; SES documents none.
_ILLEGAL = re.compile(
    r"(?:illegal|invalid) (?:email |recipient |to )?address|missing final '@domain'"
    r"|(?:local address|domain) (?:contains|starts|ends)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Keys of `[providers.<account>]` with `kind = "ses"`."""

    #: such as eu-west-1
    region: str
    #: of a user or role that may `ses:SendEmail`
    access_key_id: str
    #: the secret that belongs to it
    secret_access_key: str = field(repr=False)
    #: of temporary credentials; default: none
    session_token: str = field(default="", repr=False)
    #: `Example <no-reply@example.com>`, or the address alone; a verified identity
    from_: str
    #: a mailbox like `from`; default: none
    reply_to: str = ""
    #: its event destination reports to us; default: none, or that of the identity
    configuration_set: str = ""
    #: ARNs of the SNS topics whose notifications are believed; default: none, no receipts
    topic_arns: tuple[str, ...] = ()
    #: for tests: origin that takes the place of https://sns.<region>.amazonaws.com; default: none
    sns_origin: str = ""
    #: origin of the API; default https://email.<region>.amazonaws.com
    base_url: str = ""

    def __post_init__(self) -> None:
        needed = ("access_key_id", "secret_access_key")
        faults = [f"{name}: is empty" for name in needed if not getattr(self, name)]
        if not re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)+", self.region):
            faults.append("region: not a region such as eu-west-1")
        faults += mailboxes.faults(
            required={"from": self.from_}, optional={"reply_to": self.reply_to}
        )
        for name, value in (("from", self.from_), ("reply_to", self.reply_to)):
            if not _header(value).isascii():
                faults.append(f"{name}: SES takes no address beyond ASCII but for its domain")
        if not re.fullmatch(r"[A-Za-z0-9_-]{0,64}", self.configuration_set):
            faults.append("configuration_set: not up to 64 letters, digits, - or _")
        faults += ["topic_arns: not an ARN" for arn in self.topic_arns if not sns.is_topic(arn)]
        if self.sns_origin and not re.fullmatch(r"https?://[^/?#@\s]+/?", self.sns_origin):
            faults.append("sns_origin: not http(s)://host")
        if faults:
            raise errors.SettingsError(faults)


class Provider(base.HttpProvider):
    """One mail a request: recipients of one request would see each other."""

    name: ClassVar[str] = "ses"
    channel = wire.Channel.EMAIL
    batch_limit: ClassVar[int] = 1
    credential = None

    def __init__(self, account: str, settings: Settings, clock: Clock) -> None:
        self.account = account
        self._clock = clock
        # opens are left out of the promise: mail servers fetch pictures too
        self.reports = frozenset({wire.ReceiptEvent.DELIVERED} if settings.topic_arns else ())
        suffix = ".cn" if settings.region.startswith("cn-") else ""
        origin = settings.base_url or f"https://email.{settings.region}.amazonaws.com{suffix}"
        self._url = origin.rstrip("/") + "/v2/email/outbound-emails"
        self._sender = _header(settings.from_)
        self._common: dict[str, Any] = {}
        if settings.reply_to:
            self._common["ReplyToAddresses"] = [_header(settings.reply_to)]
        if settings.configuration_set:
            self._common["ConfigurationSetName"] = settings.configuration_set
        self._signer = sigv4.Signer(
            access_key_id=settings.access_key_id,
            secret_access_key=settings.secret_access_key,
            session_token=settings.session_token,
            region=settings.region,
            service="ses",
        )
        self._inbox = sns.Inbox(settings.topic_arns, origin=settings.sns_origin, clock=clock)

    def objection(self, content: wire.Content, to: wire.Address) -> str:
        return "" if to.email.isascii() else "SES takes no address beyond ASCII"

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        """Of `content.extra` it reads `list_unsubscribe`, a URI or a list of them, and
        `attachments`. Raises ValueError for files that cannot be attached."""
        return [((message,), self._request(message)) for message in messages]

    def _request(self, message: wire.Message) -> wire.HttpRequest:
        mail = {
            "FromEmailAddress": self._sender,
            "Destination": {"ToAddresses": [message.to.email]},
            "Content": {"Simple": _simple(message)},
            "EmailTags": [{"Name": ses_events.TAG, "Value": message.reference}],
            **self._common,
        }
        headers = {"content-type": "application/json"}
        body = orjson.dumps(mail)
        request = wire.HttpRequest(method="POST", url=self._url, headers=headers, body=body)
        return self._signer.sign(request, now_ms=self._clock.now_ms())

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        now_ms = self._clock.now_ms()
        return [_result(message.to.email, response, now_ms=now_ms) for message in messages]

    def evidence_request(self, request: wire.HttpRequest) -> wire.HttpRequest | None:
        return self._inbox.certificate_request(request)

    def verify_with(self, request: wire.HttpRequest, evidence: wire.HttpResponse) -> bool:
        return self._inbox.is_signed(request, evidence.body)

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        return False

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        note = self._inbox.read(request)
        if note is None:
            raise errors.UnreadableReceipt("not a notification of a topic of ours")
        if note["Type"] != sns.NOTIFICATION or not note["Message"].startswith("{"):
            return []  # such as the plain text that greets a new event destination
        return ses_events.read(auth.json_object(auth.to_bytes(note["Message"])))

    def follow_up(self, request: wire.HttpRequest) -> wire.HttpRequest | None:
        return self._inbox.confirmation(request)

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=200)


def _header(mailbox: str) -> str:
    """ASCII on one line: names beyond it as encoded words (RFC 2047)."""
    found = mailboxes.read(mailbox)
    return mime.mailbox(found, indent=0).decode().replace("\r\n", "") if found else ""


def _simple(message: wire.Message) -> dict[str, Any]:
    content = message.content
    texts = {"Text": content.text, "Html": content.html}
    body = {name: _utf8(text) for name, text in texts.items() if text}
    simple = {
        "Subject": _utf8(mailboxes.one_line(content.subject)),
        "Body": body or {"Text": _utf8("")},
    }
    headers = mailboxes.headers(message)
    if headers:
        simple["Headers"] = [{"Name": name, "Value": value} for name, value in headers]
    if files := attachments.of(content):
        simple["Attachments"] = [_file(one) for one in files]
    return simple


def _file(one: Attachment) -> dict[str, str]:
    """Far below the 40 MB of a mail (ses/latest/dg/quotas.html) with all that may be attached."""
    file = {
        "FileName": one.name,
        "ContentType": one.type,
        "ContentTransferEncoding": "BASE64",
        "RawContent": one.data,
    }
    if one.inline:
        return {**file, "ContentDisposition": "INLINE", "ContentId": one.inline}
    return {**file, "ContentDisposition": "ATTACHMENT"}


def _utf8(text: str) -> dict[str, str]:
    return {"Data": text, "Charset": "UTF-8"}


def _result(email: str, response: wire.HttpResponse, *, now_ms: int) -> wire.AttemptResult:
    answer = auth.json_object(response.body)
    if 200 <= response.status < 300:
        id = answer.get("MessageId")
        if isinstance(id, str) and id:
            return wire.Accepted(provider_id=id)
        return wire.Unknown(code=f"http_{response.status}", detail="answer without MessageId")
    code, text = _error(response.headers, answer)
    by_status = base.result_of_status(response, now_ms=now_ms)
    result: wire.AttemptResult = _meaning(code, text, email) or RESULTS.get(code) or by_status
    wait = base.retry_after(response, now_ms=now_ms)
    if isinstance(result, wire.Deferred) and wait is not None:
        result = replace(result, retry_after=wait)
    return replace(result, code=code) if code and not isinstance(result, wire.Accepted) else result


def _error(headers: Mapping[str, str], answer: Mapping[str, Any]) -> tuple[str, str]:
    """(code, text) of a refusal; the code may stand before a `:` and behind a `#`."""
    named = headers.get("x-amzn-errortype") or answer.get("code") or answer.get("__type")
    code = str(named or "").partition(":")[0].rpartition("#")[2].strip()
    text = answer.get("message") or answer.get("Message")
    return code if _CODE.fullmatch(code) else "", text if isinstance(text, str) else ""


def _meaning(code: str, text: str, email: str) -> wire.Rejected | wire.Deferred | None:
    """What only the text tells."""
    if "daily message quota exceeded" in text.lower():
        return wire.Deferred(
            code="daily_quota",
            detail="daily quota used up",
            cause=wire.Cause.THROTTLED,
            retry_after=_QUOTA_WAIT,
        )
    if code == "MessageRejected" and "not verified" in text:
        return wire.Rejected(code=code, detail="address not verified", scope=_PROVIDER)
    if code == "BadRequestException" and _ILLEGAL.search(text):
        # one that is not ASCII is illegal here, and may do with a relay that knows SMTPUTF8
        return wire.Rejected(
            code=code,
            detail="illegal address",
            scope=wire.Scope.RECIPIENT,
            suppress=email.isascii(),
        )
    return None

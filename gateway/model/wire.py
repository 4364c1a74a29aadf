"""What providers and transports speak: messages out, requests, answers, results, receipts.

A provider turns `Message`s into `HttpRequest`s or `Envelope`s and answers into `AttemptResult`s;
a transport moves the bytes. Neither knows the other, nor the store.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

from gateway.model.values import Value, field


class Channel(StrEnum):
    """How a message reaches somebody."""

    SMS = "sms"
    EMAIL = "email"
    PUSH = "push"
    WECHAT = "wechat"
    WECOM = "wecom"
    RCS = "rcs"
    CHAT = "chat"
    WEBHOOK = "webhook"


class ReceiptEvent(StrEnum):
    """What a provider reports about a message that it took. One vocabulary for all of them."""

    ACCEPTED = "accepted"  # it holds the message; says no more than its answer did
    SENT = "sent"  # handed on to the network, the mail server, the phone's platform
    DELIVERED = "delivered"  # reached the device or mailbox
    READ = "read"  # seen by the recipient
    FAILED = "failed"  # will not arrive; another channel may
    EXPIRED = "expired"  # not delivered in the time that it had; a failure too
    OPTED_OUT = "opted_out"  # the recipient has refused messages from this sender; a failure too
    BOUNCED = "bounced"  # came back, perhaps after delivery
    COMPLAINED = "complained"  # delivered and reported as unwanted
    UNKNOWN = "unknown"  # a code that is in no table; counted, changes nothing


#: Events after which the message will not arrive by that attempt.
FAILURES = frozenset(
    {ReceiptEvent.FAILED, ReceiptEvent.EXPIRED, ReceiptEvent.OPTED_OUT, ReceiptEvent.BOUNCED}
)


class Wish(StrEnum):
    """What somebody wants who has pressed a button for it."""

    OPT_OUT = "opt_out"
    OPT_IN = "opt_in"


class Address(Value):
    """Where one part of a message goes. Only the fields of its channel are set."""

    #: E.164, with `+`
    phone: str = ""
    email: str = ""
    #: push: name of the app, as configured by the tenant, and the device's token
    app: str = ""
    token: str = ""
    #: push: when the app got its token, UTC epoch milliseconds; 0: nobody says
    registered_ms: int = 0
    wechat: str = ""
    wecom: str = ""
    chat: str = ""
    #: webhook: where to, and the name of the endpoint in the store
    url: str = ""
    endpoint: str = ""
    #: the tenant's own id of the recipient
    recipient: str = ""


class Content(Value):
    """What is said on one channel, rendered. Absent texts are empty."""

    text: str = ""
    #: email; push falls back to it when there is no title
    subject: str = ""
    #: push, RCS and chat
    title: str = ""
    html: str = ""
    #: channel-specific values with no field of their own (image, link, data, badge …)
    extra: Mapping[str, Any] = field(default_factory=dict)
    #: by provider kind: their own template, sign and parameters, with variables filled in
    provider_templates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Message(Value):
    """One part of one step of a message, as a provider sees it."""

    id: str
    #: ours, unique for (message, redrive, step, part) and the same when it is sent again;
    #: `[0-9a-f-]`, at most 48 characters
    reference: str
    channel: Channel
    category: str
    to: Address
    content: Content
    #: no use in delivering it after this
    expires_at: datetime
    #: 0 critical, 1 high, 2 normal, 3 bulk
    priority: int = 2
    #: where the provider should report to; empty when the gateway has no public address
    callback_url: str = ""
    #: the tenant's variables, for providers that fill in templates of their own
    data: Mapping[str, Any] = field(default_factory=dict)


class HttpRequest(Value):
    """One HTTP request: ours to a provider, or a provider's receipt to us.

    Inbound, `url` is the public URL as the provider called it, with the query, and the keys of
    `headers` are in lower case.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class HttpResponse(Value):
    """A whole answer. Keys of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Envelope(Value):
    """One SMTP transaction (RFC 5321 §3.3)."""

    sender: str
    recipients: Sequence[str]
    #: canonical CRLF lines, not dot-stuffed, no final dot
    content: bytes
    #: of MAIL, such as `ENVID=…`; the transport adds SIZE, BODY and SMTPUTF8, and drops what
    #: the server does not offer
    mail_options: Sequence[str] = ()
    rcpt_options: Sequence[str] = ()


class SmtpReply(Value):
    """The reply that decided one recipient's fate, and the stage at which it came."""

    code: int
    text: str
    #: `connect`, `starttls`, `auth`, `mail`, `rcpt`, `data`, or `content` for the final dot's
    stage: str
    recipient: str = ""


class Cause(StrEnum):
    """Why an attempt may be repeated, which decides who is to blame for it."""

    CONNECT = "connect"  # not one byte left
    THROTTLED = "throttled"  # the account is over a limit: pause it
    TEMPORARY = "temporary"  # the provider has trouble
    CREDENTIAL = "credential"  # our account or key: pause the account and alert
    RECIPIENT = "recipient"  # this recipient only (mailbox full, handset off)


class Scope(StrEnum):
    """How far a refusal reaches."""

    RECIPIENT = "recipient"  # this address will never do: next step
    MESSAGE = "message"  # this content will never do here: next step
    PROVIDER = "provider"  # this account cannot send it, another one might


class Accepted(Value):
    """The provider took it."""

    #: the provider's own id, by which its receipts name the message; may be empty
    provider_id: str = ""
    detail: str = ""
    #: of a text that goes in segments which are reported on one by one: the ids of all of them,
    #: '' for one that will not be reported on
    segments: Sequence[str] = ()


class Rejected(Value):
    """Permanent: never send this again this way."""

    code: str
    detail: str = ""
    scope: Scope = Scope.MESSAGE
    #: the address is dead or has refused (hard bounce, opt-out, token unregistered)
    suppress: bool = False
    #: with `suppress`: by the recipient's own wish, which is about this sender alone
    opted_out: bool = False
    #: with `suppress`: our own set-up may be to blame, so that nobody is banned for it before the
    #: account has been seen to work
    doubtful: bool = False


class Deferred(Value):
    """Not taken, and safe to repeat."""

    code: str
    detail: str = ""
    cause: Cause = Cause.TEMPORARY
    #: seconds, as the provider asked for; None when it did not
    retry_after: float | None = None
    #: refused for the company that it was in, perhaps: its call is made again in halves, at once
    apart: bool = False
    #: not even tried, for others are before it: it costs no attempt
    held: bool = False


class Unknown(Value):
    """The request left and there is no readable answer: it may or may not have been taken."""

    code: str
    detail: str = ""
    #: it went to a system of the recipient's own, and says nothing of the account
    of_recipient: bool = False


AttemptResult: TypeAlias = Accepted | Rejected | Deferred | Unknown


class DeliveryReceipt(Value):
    """What a provider reports about one message. At least one of the two names is set."""

    event: ReceiptEvent
    #: the provider's id, as its answer gave it
    provider_id: str = ""
    #: our reference, when the provider carries it
    reference: str = ""
    #: the provider's own code and words, short
    code: str = ""
    detail: str = ""
    #: when it happened, by the provider's clock; None when it does not say
    at: datetime | None = None
    #: never send to this address again
    suppress: bool = False
    #: about one segment alone, which `provider_id` names; the message may have others
    of_segment: bool = False


class InboundMessage(Value):
    """What somebody wrote to one of our senders."""

    #: who wrote: a phone number in E.164, an address of mail, the channel's own id
    sender: str
    #: to which of our senders: number, short code, address
    to: str
    text: str
    #: the provider's id of it, by which a second copy is known
    provider_id: str = ""
    #: what they want, where they have said it by a button and not in words
    wish: Wish | None = None
    #: the service has confirmed the wish already
    confirmed: bool = False
    #: the provider's id of the message of ours that it answers, where the service says so
    answers: str = ""
    #: when it was written, by the provider's clock; None when it does not say
    at: datetime | None = None


class Token(Value):
    """An access token and how long it may be used, in seconds from now."""

    value: str
    expires_in: float

    def __repr__(self) -> str:
        """Without the token, wherever it is logged."""
        return f"Token(expires_in={self.expires_in!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The same for tracebacks in colour, which would show all fields."""
        return [("expires_in", self.expires_in)]

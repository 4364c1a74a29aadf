"""What a caller asks for, read and type-checked but not yet judged, and what it is told."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

from gateway.model.errors import RequestError
from gateway.model.lint import Finding
from gateway.model.message import ChainOrder, MessageId, Mode, OnUnknown, Priority
from gateway.model.recipient import Recipient
from gateway.model.state import State
from gateway.model.values import Value, field


class Scope(StrEnum):
    """What an API key may do."""

    SEND = "send"
    READ = "read"
    RECIPIENTS = "recipients"  # who people are: their addresses and wishes
    ADMIN = "admin"  # webhooks, redrive, providers' health


class Caller(Value):
    """Who is calling: a tenant and what its key allows."""

    tenant: str
    scopes: frozenset[Scope]


class Device(Value):
    """One app installation that takes pushes."""

    app: str
    token: str
    #: when the app got its token; None: the caller does not say
    registered_at: datetime | None = None


class To(Value):
    """The addresses of one person, by channel; empty where unknown."""

    phone: str = ""
    email: str = ""
    push: tuple[Device, ...] = ()
    wechat: str = ""
    wecom: str = ""
    chat: str = ""
    #: webhook channel: URL of the person's own system
    url: str = ""
    recipient: str = ""
    #: IANA name of the person's time zone
    zone: str = ""
    #: BCP 47
    locale: str = ""


class StepRequest(Value):
    """One step as asked for; `until` None means the default."""

    channel: str
    until: State | None = None
    #: seconds
    within: float | None = None


class Dedupe(Value):
    """Send the same thing once within the window, whoever asks. Empty key: by content."""

    key: str = ""
    #: seconds
    window: float = 0.0


class Submission(Value):
    """One message as posted. None and empty mean: as the category says."""

    to: To
    category: str
    priority: Priority | None = None
    chain: tuple[StepRequest, ...] = ()
    #: of the chain; None: as the category says where the chain is its own, else as given
    order: ChainOrder | None = None
    template: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    #: texts for all channels (`text`, `subject`, `html`, `title`) and by channel name those that
    #: differ, as posted
    content: Mapping[str, Any] = field(default_factory=dict)
    dedupe: Dedupe | None = None
    #: what it is the latest word on: earlier ones that have not left are not sent
    replaces: str = ""
    send_at: datetime | None = None
    #: seconds
    expires_in: float | None = None
    on_unknown: OnUnknown | None = None
    mode: Mode = Mode.CHAIN
    metadata: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str = ""
    #: hash of the body as posted, to tell a repeated request from a reused key
    fingerprint: bytes = b""
    #: the one that `to` names, if it is registered; looked up after the body was read
    recipient: Recipient | None = None


class Ticket(Value):
    """The answer to an accepted submission."""

    id: MessageId
    state: State
    #: an earlier message with the same dedupe key stands for it
    duplicate: bool = False
    #: an earlier request with the same idempotency key made it
    repeated: bool = False
    #: what the rules about content found, worst first; a few at most
    warnings: Sequence[Finding] = ()


#: A message of a request as it was read, or why it could not be.
Reading: TypeAlias = Submission | RequestError

Verdict: TypeAlias = Ticket | RequestError


class PreviewStep(Value):
    """What one step of the chain would send."""

    channel: str
    lane: str = ""
    #: in order of preference
    providers: Sequence[str] = ()
    parts: int = 0
    #: rendered content: `text`, `subject`, `title`, `html`, those that are not empty
    content: Mapping[str, str] = field(default_factory=dict)
    #: SMS: `{"alphabet": "gsm7"|"ucs2", "characters": n, "length": n, "segments": n}`
    sms: Mapping[str, Any] | None = None
    #: why the step would be left out; empty when it would not
    skipped: str = ""


class Preview(Value):
    """What would happen to a submission. Nothing is stored or sent."""

    #: `send`, `defer`, `merge` (it waits, and would leave as one with what waits beside it),
    #: `suppress`, or `refuse` for what rules about content found
    decision: str
    reasons: Sequence[str]
    #: when it would start, UTC epoch milliseconds; None: at once, or never
    until_ms: int | None = None
    category: str
    priority: str
    expires_in: float
    chain: Sequence[PreviewStep]
    #: what the rules about content found
    findings: Sequence[Finding] = ()

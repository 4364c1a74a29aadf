"""What a provider is: a pure translation between our messages and one service's wire.

A provider does no I/O, never awaits and keeps nothing between calls but its settings; what time
it is, it asks the clock that it was given. Each file has a frozen dataclass `Settings`, whose
fields are the keys of `[providers.<account>]` that belong to the kind, and a class `Provider`,
built as `Provider(account, settings, clock)`. Settings that cannot work raise `SettingsError`.

A provider must answer anything that a service may send, also nonsense, with a result: `Deferred`
where it is certain that nothing was taken, `Unknown` where it is not.
"""

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import ClassVar, Literal, Protocol, runtime_checkable

from gateway.model import smpp, wire
from gateway.transport.smpp_options import SmppOptions


class Credential(Protocol):
    """How to get an access token that requests need. One refresh at a time is the caller's care."""

    def token_request(self) -> wire.HttpRequest:
        """The request that obtains a fresh token."""
        ...

    def read_token(self, response: wire.HttpResponse) -> wire.Token | wire.Deferred:
        """The token, or why there is none: cause CREDENTIAL when asking again is useless."""
        ...

    def authorise(self, request: wire.HttpRequest, token: str) -> wire.HttpRequest:
        """The request with the token where this service wants it."""
        ...


class Provider(Protocol):
    """What all providers have in common."""

    #: the kind, as configuration names it; equal to the module's name
    name: ClassVar[str]
    #: name of the account, as in `[providers.<account>]`
    account: str
    channel: wire.Channel
    #: messages that one request can carry
    batch_limit: ClassVar[int]
    #: what its receipts can tell: a subset of DELIVERED and READ; empty when it has none
    reports: frozenset[wire.ReceiptEvent]
    #: whether the service knows our reference again and takes a second copy for the first
    drops_repeats: ClassVar[bool] = False
    #: what else its API allows at most, for people
    limits: ClassVar[str] = ""

    def objection(self, content: wire.Content, to: wire.Address) -> str:
        """Why it is certain that this account can never carry this; empty when it may.

        Asked when a message is accepted and before it is sent. Names keys and limits, no values,
        and leaves to the service what only the service knows.
        """
        return ""

    def misfit(self, to: wire.Address) -> str:
        """Why it is certain that this is no address of this account's; empty when it may be one.

        Begins with the address's field and a colon, and repeats nothing of it. Such an address is
        refused when a message is accepted, unless another account of the lane may serve it.
        """
        return ""


@runtime_checkable
class Reporter(Provider, Protocol):
    """What reports to us over HTTP: a service itself, or the mail system that gets bounces."""

    #: whether the service puts a path of its own after the address that it is given
    adds_path: ClassVar[bool] = False

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        """Whether the request proves to come from the service, now and for this account."""
        ...

    def evidence_request(self, request: wire.HttpRequest) -> wire.HttpRequest | None:
        """What must be fetched before the request can be verified, such as a certificate.

        None: `verify_receipt` can tell by itself. Otherwise `verify_with` gets the answer. Nothing
        is proved yet, so this names only addresses that are certain to belong to the service.
        """
        return None

    def verify_with(self, request: wire.HttpRequest, evidence: wire.HttpResponse) -> bool:
        """As `verify_receipt`, with a 200 to what `evidence_request` asked for, perhaps kept."""
        return False

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        """What a verified request reports. Raises UnreadableReceipt."""
        ...

    def follow_up(self, request: wire.HttpRequest) -> wire.HttpRequest | None:
        """What is to be called once a verified request has been stored, such as the address that
        confirms a subscription. It may come twice; None: nothing."""
        return None

    def read_inbound(self, request: wire.HttpRequest) -> Sequence[wire.InboundMessage]:
        """What a verified request brings from recipients; a service that brings receipts and
        messages to one address may mix them. Raises UnreadableReceipt."""
        return ()

    def read_leaving(self, request: wire.HttpRequest) -> Sequence[str]:
        """References of messages whose recipients want no more of their category, in a verified
        request that `read_receipts` can read."""
        return ()

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        """What the service wants to hear when its report has been stored."""
        ...


@runtime_checkable
class HttpProvider(Reporter, Protocol):
    """A service with an HTTP API."""

    #: how its service is reached; over HTTP/2 each account has connections of its own
    http_version: ClassVar[Literal["1.1", "2"]] = "1.1"
    #: whether recipients say where requests go: then only where webhooks may go
    guarded: ClassVar[bool] = False

    def knows(self, url: str) -> bool:
        """Where `guarded`: whether many recipients share this address's host, and it is trusted."""
        return False

    #: for connections of its own, when the usual ones will not do
    tls: ssl.SSLContext | None = None

    credential: Credential | None

    def redirected(
        self, request: wire.HttpRequest, response: wire.HttpResponse
    ) -> wire.HttpRequest | None:
        """The request as the answer says that it must be, such as to a chat's new id; it is made at
        once, and once. None: the answer stands. Never for what may have been taken."""
        return None

    def inquiry(self, message: wire.Message) -> wire.HttpRequest | None:
        """What must be asked before the message may go, such as what a phone can do; without the
        access token. The answer holds for its address for a day. None: nothing."""
        return None

    def read_inquiry(
        self, message: wire.Message, response: wire.HttpResponse
    ) -> wire.Rejected | None:
        """Why the message need not be tried, by an answer to `inquiry`, perhaps an old one."""
        return None

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        """Requests that together carry every message once, `batch_limit` or fewer each."""
        ...

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        """One result for each message of the request, in their order."""
        ...


def can_object(provider: Provider) -> bool:
    """Whether it looks at what it is to carry."""
    return getattr(type(provider), "objection", Provider.objection) is not Provider.objection


def can_redirect(provider: HttpProvider) -> bool:
    """Whether its service tells where else a request must go."""
    return getattr(type(provider), "redirected", None) not in (None, HttpProvider.redirected)


def can_inquire(provider: HttpProvider) -> bool:
    """Whether it may ask about an address before it sends there, one message a call."""
    return getattr(type(provider), "inquiry", None) not in (None, HttpProvider.inquiry)


def brings_inbound(provider: Provider) -> bool:
    """Whether what recipients write can come by this provider."""
    if isinstance(provider, SmppProvider):
        return True
    ours = getattr(type(provider), "read_inbound", Reporter.read_inbound)
    return ours is not Reporter.read_inbound


class RelaySettings(Protocol):
    """What the transport to a relay needs to know."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def security(self) -> Literal["none", "starttls", "tls"]: ...
    @property
    def username(self) -> str: ...
    @property
    def password(self) -> str: ...
    @property
    def local_hostname(self) -> str: ...
    @property
    def messages_per_connection(self) -> int: ...


@runtime_checkable
class SmtpProvider(Reporter, Protocol):
    """A mail relay. One envelope a message. What comes back are mails, posted to us as they are
    by whoever receives them."""

    @property
    def settings(self) -> RelaySettings: ...

    def build_envelopes(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[wire.Message, wire.Envelope]]: ...

    def read_reply(self, message: wire.Message, reply: wire.SmtpReply) -> wire.AttemptResult: ...


@runtime_checkable
class SmppProvider(Provider, Protocol):
    """A message centre of SMPP. A message goes in parts, an answer each; reports come by the same
    connections, and what proves them is the bind."""

    @property
    def options(self) -> SmppOptions: ...

    def build_submits(self, message: wire.Message) -> Sequence[smpp.Submit]:
        """The parts of the message, in their order. Raises ValueError when it cannot be sent."""
        ...

    def read_answer(self, answer: smpp.Answer) -> wire.AttemptResult: ...

    def read_delivery(
        self, delivery: smpp.Delivery
    ) -> wire.DeliveryReceipt | wire.InboundMessage | None:
        """What was brought, None for what means nothing to us. Raises UnreadableReceipt."""
        ...


def read_time(value: object) -> datetime | None:
    """An ISO 8601 time with its zone, as receipts carry it; None when it is none."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
        return at.astimezone(UTC) if at.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def retry_after(response: wire.HttpResponse, *, now_ms: int) -> float | None:
    """Seconds of a Retry-After header in either form (RFC 9110 §10.2.3); None without one."""
    from_header = response.headers.get("retry-after", "").strip()
    if not from_header:
        return None
    if from_header.isdecimal():
        return float(from_header[:9])
    return _until_http_date(from_header, now_ms)


def _until_http_date(value: str, now_ms: int) -> float | None:
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, at.timestamp() - now_ms / 1000)


def result_of_status(response: wire.HttpResponse, *, now_ms: int) -> wire.AttemptResult:
    """What an HTTP status means when the body says nothing better. 2xx is Accepted.

    401 and 403 are about our credential, 408, 425 and 5xx may be repeated, 429 is a limit, other
    4xx are permanent. A redirect is never followed: the address is configured wrongly.
    """
    status = response.status
    if 200 <= status < 300:
        return wire.Accepted()
    code = f"http_{status}"
    wait = retry_after(response, now_ms=now_ms)
    if status == 429:
        return wire.Deferred(code=code, cause=wire.Cause.THROTTLED, retry_after=wait)
    if status in (401, 403):
        return wire.Deferred(code=code, cause=wire.Cause.CREDENTIAL, retry_after=wait)
    if status in (408, 425) or status >= 500:
        return wire.Deferred(code=code, cause=wire.Cause.TEMPORARY, retry_after=wait)
    if 300 <= status < 400:
        return wire.Rejected(code=code, detail="redirected", scope=wire.Scope.PROVIDER)
    return wire.Rejected(code=code)

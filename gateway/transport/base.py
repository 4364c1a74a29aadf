"""What a transport is, whatever carries it.

`admit` is awaited once, when a connection is ready and before the first byte of the message is
written, so that a slow connect cannot bunch sends that the token bucket has spaced.

Cancelling a call closes its connection: a late answer must never be paired with another request.
"""

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from gateway.model import smpp, wire

Admit: TypeAlias = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """How an HTTP transport keeps its connections and bounds what comes."""

    #: connections, 0 for no bound
    limit: int = 1000
    #: the same for each origin
    limit_per_host: int = 0
    #: seconds that a connection may be idle
    keepalive: float = 15.0
    #: seconds for a free place in the pool, the name, TCP and TLS together
    connect_timeout: float = 10.0
    #: of the body, after decompression
    max_answer_bytes: int = 1024 * 1024
    #: for authorities other than the system's; one that does not verify the server is a ValueError
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        tls = self.tls
        if tls is not None and (tls.verify_mode != ssl.CERT_REQUIRED or not tls.check_hostname):
            raise ValueError("tls must verify certificates and host names")


USUAL: Final = HttpOptions()


class HttpTransport(Protocol):
    """Carries requests to any host, pooled by origin."""

    async def send(
        self, request: wire.HttpRequest, *, timeout: float, admit: Admit | None = None
    ) -> wire.HttpResponse:
        """The whole answer, never a redirect followed.

        timeout: seconds for everything from `admit` to the last byte of the answer.
        Raises NotSent when no byte of the request left, AnswerLost after that, also for an
        answer that is too large or not HTTP.
        """
        ...

    async def __aenter__(self) -> "HttpTransport": ...

    async def __aexit__(self, *exc: object) -> None: ...


class SmtpTransport(Protocol):
    """Carries envelopes to the one relay that it was built for."""

    async def send(
        self, envelope: wire.Envelope, *, timeout: float, admit: Admit | None = None
    ) -> wire.SmtpReply:
        """The reply that decided the fate of the envelope's (single) recipient.

        timeout: seconds for each reply but the one to the final dot, which gets the ten minutes
        of RFC 5321 §4.5.3.2.6. Raises NotSent until the content has been written, AnswerLost
        after that.
        """
        ...

    async def __aenter__(self) -> "SmtpTransport": ...

    async def __aexit__(self, *exc: object) -> None: ...


class SmppTransport(Protocol):
    """Carries short messages over binds to the one message centre that it was built for."""

    async def send(
        self, submit: smpp.Submit, *, timeout: float, admit: Admit | None = None
    ) -> smpp.Answer:
        """What the centre said, whatever its status, or said to our bind.

        admit: awaited again when the bind was lost meanwhile and another is found.
        timeout: seconds for a free place in the window of a bind; the answer has a timer of its
        own, as giving up early makes duplicates. Cancelling a call keeps the connection: answers
        carry the number of their request. Raises NotSent until the message has been written, of it
        `smpp_options.WindowFull` when that is a matter of waiting; AnswerLost after that.
        """
        ...

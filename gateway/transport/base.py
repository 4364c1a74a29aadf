"""What a transport is, whatever carries it.

`admit` is awaited once, when a connection is ready and before the first byte of the message is
written, so that a slow connect cannot bunch sends that the token bucket has spaced.

Cancelling a call closes its connection: a late answer must never be paired with another request.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from gateway.model import wire

Admit: TypeAlias = Callable[[], Awaitable[None]]


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

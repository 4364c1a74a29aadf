"""A bounded pool of SMTP connections to one relay.

aiosmtplib connects, starts TLS, greets and logs in (`smtp_connect`); then the connection is handed
over to a `Session`, because the library pairs a late or unasked-for reply with the wrong command.

RFC 5321 §4.5.3.2 (timeouts).
"""

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Collection, Iterator
from typing import cast

import aiosmtplib

from gateway.clock import Clock
from gateway.model import errors, wire
from gateway.transport import base
from gateway.transport.smtp_chunking import ChunkingSession
from gateway.transport.smtp_connect import CONNECT_TIMEOUT, Connector, Security, is_loopback
from gateway.transport.smtp_pipeline import PipeliningSession
from gateway.transport.smtp_session import CONTENT_TIMEOUT, Session, Stale

#: Seconds that connections get to say goodbye when the pool closes.
QUIT_TIMEOUT = 1.0


class PooledSmtpTransport:
    """Connections are lent to one message at a time, the last used first; waiters are served in
    their order."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        clock: Clock,
        security: Security = "starttls",
        username: str = "",
        password: str = "",
        connections: int = 10,
        messages_per_connection: int = 100,
        max_age: float = 300.0,
        max_idle: float = 20.0,
        local_hostname: str = "",
        connect_timeout: float = CONNECT_TIMEOUT,
        content_timeout: float = CONTENT_TIMEOUT,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """security: `starttls` and `tls` never fall back to plain text.

        username: logs in if not empty; over plain text only to a loopback host, else ValueError.
        max_age, max_idle: seconds after which a connection carries nothing more. max_idle must
        be less than the relay's own, or each message after a pause finds a closed connection.
        connect_timeout: for each step until the connection is ready. content_timeout: for the
        reply to the final dot. tls: for authorities other than the system's.
        """
        if username and security == "none" and not is_loopback(host):
            raise ValueError("a password needs TLS")
        self._clock = clock
        self._connector = Connector(
            host=host,
            port=port,
            security=security,
            username=username,
            password=password,
            local_hostname=local_hostname or socket.gethostname(),
            timeout=connect_timeout,
            tls=tls,
        )
        self._messages_per_connection = messages_per_connection
        self._max_age = max_age
        self._max_idle = max_idle
        self._content_timeout = content_timeout
        self._slots = asyncio.Semaphore(connections)
        #: oldest first
        self._idle: deque[Session] = deque()
        self._sessions: set[Session] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._is_open = False

    async def __aenter__(self) -> "PooledSmtpTransport":
        await self._connector.prepare()
        self._is_open = True
        self._sweeper = asyncio.create_task(self._sweep())
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Idle connections say QUIT; those in use are dropped, their sends fail."""
        self._is_open = False
        if self._sweeper is not None:
            self._sweeper.cancel()
        for session in self._sessions - set(self._idle):
            session.abort()
        for session in self._idle:
            session.quit()
        self._idle.clear()
        if self._sessions:
            await asyncio.wait([one.closed for one in self._sessions], timeout=QUIT_TIMEOUT)
        for session in self._sessions:
            session.abort()
        self._sessions.clear()

    async def send(
        self, envelope: wire.Envelope, *, timeout: float, admit: base.Admit | None = None
    ) -> wire.SmtpReply:
        """See `base.SmtpTransport`. What `admit` raises goes through; the connection is kept.

        A message that its relay could not carry is answered by us, without asking `admit`.
        """
        async with self._slots:
            session = self._take_idle() or await self._open()
            if isinstance(session, wire.SmtpReply):
                return session
            with self._lent(session), contextlib.suppress(Stale):
                if (objection := session.objection(envelope)) is not None:
                    return objection
                if admit is not None:
                    await admit()
                return await self._transact(session, envelope, timeout)
            # The relay had closed it, and nothing of this message was taken: once more.
            fresh = await self._open()
            if isinstance(fresh, wire.SmtpReply):
                return fresh
            with self._lent(fresh):
                return await self._transact(fresh, envelope, timeout)

    async def _transact(
        self, session: Session, envelope: wire.Envelope, timeout: float
    ) -> wire.SmtpReply:
        return await session.transact(
            envelope, timeout=timeout, content_timeout=self._content_timeout
        )

    def _take_idle(self) -> Session | None:
        while self._idle:
            session = self._idle.pop()
            if self._is_fit(session):
                return session
            self._discard(session)
        return None

    def _is_fit(self, session: Session) -> bool:
        now = self._clock.monotonic()
        return (
            session.is_usable
            and session.carried < min(self._messages_per_connection, session.most_messages)
            and now - session.opened_at < self._max_age
            and now - session.idle_since < self._max_idle
        )

    def _discard(self, session: Session) -> None:
        self._sessions.discard(session)
        session.quit()

    @contextlib.contextmanager
    def _lent(self, session: Session) -> Iterator[None]:
        """Puts it back afterwards, unless it has broken or has done enough."""
        try:
            yield
        finally:
            session.idle_since = self._clock.monotonic()
            if self._is_open and self._is_fit(session):
                self._idle.append(session)
            else:
                self._discard(session)

    async def _sweep(self) -> None:
        """Closes what nobody asked for in time, rather than let the relay do it."""
        while True:
            await self._clock.sleep(self._max_idle / 2)
            unfit = [session for session in self._idle if not self._is_fit(session)]
            for session in unfit:
                self._idle.remove(session)
                self._discard(session)

    async def _open(self) -> Session | wire.SmtpReply:
        """A connection that is ready for MAIL, or the reply by which the relay declined."""
        if not self._is_open:
            raise errors.NotSent("closed")
        client = await self._connector.connect()
        if isinstance(client, wire.SmtpReply):
            return client
        if not self._is_open:
            client.close()
            raise errors.NotSent("closed")
        return self._take_over(client)

    def _take_over(self, client: aiosmtplib.SMTP) -> Session:
        """From here on the library sees neither data nor the end of the connection."""
        session = _kind(client.esmtp_extensions)(
            cast(asyncio.Transport, client.transport),  # uvloop's are not of that class
            extensions=dict(client.esmtp_extensions),
            opened_at=self._clock.monotonic(),
        )
        self._sessions.add(session)
        return session


def _kind(extensions: Collection[str]) -> type[Session]:
    if "pipelining" not in extensions:
        return Session
    return ChunkingSession if "chunking" in extensions else PipeliningSession

"""HTTP/1.1 for providers' APIs at a fraction of aiohttp's cost: pooled, bounded, and exact.

The same promises as `http.AiohttpTransport`, without its guard: it connects wherever a URL leads,
so it is for addresses that the operator has configured, not for tenants' webhooks.

No redirects, no proxies, no cookies, and no second try of anything that may have left. Names are
resolved for each new connection (RFC 8305 where there are several addresses). A timeout may be
up to `lean_pool.RESOLUTION` seconds late.
"""

import asyncio
import math
import socket
import ssl

import aiohappyeyeballs

from gateway.model import errors, wire
from gateway.transport import base, lean_pool, lean_request
from gateway.transport.lean_connection import Connection

#: Seconds after which the next address is tried beside the last (RFC 8305 §5).
_NEXT_ADDRESS = 0.25


class LeanHttpTransport:
    """Connections of its own to any number of hosts, pooled by origin."""

    def __init__(self, options: base.HttpOptions = base.USUAL) -> None:
        self._options = options
        self._tls = options.tls
        self._pool: lean_pool.Pool | None = None
        self._opening: set[asyncio.Timeout] = set()
        self._heads = lean_request.Heads()

    async def __aenter__(self) -> "LeanHttpTransport":
        options = self._options
        self._pool = lean_pool.Pool(
            limit=options.limit or math.inf,
            limit_per_host=options.limit_per_host or math.inf,
            keepalive=options.keepalive,
            max_answer_bytes=options.max_answer_bytes,
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        for limit in self._opening:
            limit.reschedule(0.0)
        await pool.close()

    async def send(
        self, request: wire.HttpRequest, *, timeout: float, admit: base.Admit | None = None
    ) -> wire.HttpResponse:
        """See `base.HttpTransport`. What `admit` raises goes through; its connection is kept."""
        pool = self._pool
        if pool is None:
            raise errors.NotSent("closed")
        head = self._heads.prepare(request.method, request.url, tuple(request.headers.items()))
        connection = pool.take(head.origin) or await self._acquire(pool, head.origin)
        pool.deadlines.set(connection, asyncio.get_running_loop().time() + timeout)
        if admit is not None:
            await _admit(connection, admit)
        answer = connection.begin(head, request.body)
        try:
            return await answer
        except asyncio.CancelledError:
            connection.abandon(answer)
            raise

    async def _acquire(self, pool: lean_pool.Pool, origin: lean_request.Origin) -> Connection:
        """A connection from the pool or a new one, whichever is to be had first."""
        deadline = asyncio.get_running_loop().time() + self._options.connect_timeout
        connection = None
        while connection is None:
            try:
                async with asyncio.timeout_at(deadline):
                    connection = await pool.wait(origin)
            except TimeoutError:
                raise errors.NotSent("no free connection") from None
            if connection is None:
                return await self._open(pool, origin, deadline)
            if connection.is_closed:  # since it was handed over
                connection = None
        return connection

    def _context(self) -> ssl.SSLContext:
        """Made when the first needs it: reading the system's authorities takes 30 ms."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    async def _open(
        self, pool: lean_pool.Pool, origin: lean_request.Origin, deadline: float
    ) -> Connection:
        if pool.is_closed:  # since the room was given
            raise errors.NotSent("closed")
        connection = pool.create(origin)
        limit = asyncio.timeout_at(deadline)
        self._opening.add(limit)
        try:
            async with limit:
                await connect(connection, origin, self._context() if origin.encrypted else None)
        except TimeoutError:
            connection.close()
            raise errors.NotSent("closed" if pool.is_closed else "connect timeout") from None
        except BaseException:
            connection.close()
            raise
        finally:
            self._opening.discard(limit)
        return connection


async def _admit(connection: Connection, admit: base.Admit) -> None:
    """As `asyncio.timeout` does it, which costs a fifth of a request."""
    task = asyncio.current_task()
    assert task is not None  # there is one wherever something is awaited
    cancelling = task.cancelling()
    connection.admitting = task
    try:
        await admit()
        if connection.admitting is None:  # admit has swallowed the cancellation
            raise asyncio.CancelledError
    except BaseException as error:
        connection.release()  # nothing was written on it: it is as good as before
        overdue = connection.admitting is None and task.uncancel() <= cancelling
        if overdue and isinstance(error, asyncio.CancelledError):
            raise errors.NotSent("timeout") from None
        raise
    finally:
        connection.admitting = None


async def connect(
    protocol: asyncio.Protocol, origin: lean_request.Origin, tls: ssl.SSLContext | None
) -> None:
    """Have the protocol speak on a connection of its own. Raises NotSent, TimeoutError."""
    sock = await _open_socket(origin)
    try:
        await asyncio.get_running_loop().create_connection(
            lambda: protocol,
            sock=sock,
            ssl=tls,
            server_hostname=origin.host if tls is not None else None,
        )
    except ssl.SSLCertVerificationError:
        raise errors.NotSent("tls certificate") from None
    except ssl.SSLError:
        raise errors.NotSent("tls") from None
    except OSError:
        raise errors.NotSent("connect failed") from None


async def _open_socket(origin: lean_request.Origin) -> socket.socket:
    """Raises NotSent."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise errors.NotSent("dns") from None
    try:
        return await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS)
    except ConnectionRefusedError:
        raise errors.NotSent("connect refused") from None
    except (OSError, RuntimeError):  # uvloop raises either
        raise errors.NotSent("connect failed") from None

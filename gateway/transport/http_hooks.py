"""Where we reach into aiohttp: its request and its connector, with ours in their place.

aiohttp tells nobody when a connection is ready or when the first byte leaves. Hooks by its
TraceConfig would cost 40 µs a request more than these subclasses, and know less.
"""

import asyncio
import select
import socket
import ssl
import weakref
from contextvars import ContextVar

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import AddrInfoType, Connection
from aiohttp.tracing import Trace

from gateway.transport import base, guard


class Call:
    """What one `send` knows of its request while aiohttp works on it."""

    __slots__ = ("admit", "begun", "encrypted", "limit", "seconds", "whole", "writer")

    def __init__(self, admit: base.Admit | None, seconds: float, *, encrypted: bool) -> None:
        self.admit = admit
        self.seconds = seconds
        self.encrypted = encrypted
        self.limit = asyncio.timeout(None)
        #: a connection was ready: whatever comes now, there is no second try
        self.begun = False
        #: a request without a body was written at one go
        self.whole = False
        self.writer: AbstractStreamWriter | None = None

    def has_left(self) -> bool:
        """Whether a byte of the request was handed to the socket."""
        return self.whole or (self.writer is not None and self.writer.output_size > 0)


#: aiohttp offers no other way to hand something to its request and connector.
current: ContextVar[Call] = ContextVar("call")


class Request(ClientRequest):
    """Awaits `admit` on a ready connection, then writes, and keeps count of what was written."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        call = current.get()
        call.begun = True
        call.limit.reschedule(asyncio.get_running_loop().time() + call.seconds)
        if call.admit is not None:
            await self._admit(call.admit, conn)
            if conn.transport is None or conn.transport.is_closing():
                raise aiohttp.ServerDisconnectedError  # now, when it is certain that nothing left
        response = await super().send(conn)
        if not self.body:
            call.whole = True
        return response

    async def _admit(self, admit: base.Admit, conn: Connection) -> None:
        try:
            await admit()
        except BaseException:
            conn.release()  # nothing was written on it: it is as good as before
            raise

    async def write_bytes(
        self,
        writer: AbstractStreamWriter,
        conn: Connection,
        content_length: int | None = None,
    ) -> None:
        current.get().writer = writer
        await super().write_bytes(writer, conn, content_length)


class Connector(aiohttp.TCPConnector):
    """Never hands out a pooled connection that has been closed or has something to say."""

    def __init__(
        self,
        *,
        limit: int,
        limit_per_host: int,
        keepalive_timeout: float,
        ssl: ssl.SSLContext | bool,
        guard: guard.AddressGuard | None,
    ) -> None:
        super().__init__(
            limit=limit,
            limit_per_host=limit_per_host,
            keepalive_timeout=keepalive_timeout,
            ssl=ssl,
            socket_factory=None if guard is None else self._open_socket,
        )
        self._guard = guard
        #: connections that have carried a request
        self._used: weakref.WeakSet[ResponseHandler] = weakref.WeakSet()

    def _open_socket(self, info: AddrInfoType) -> socket.socket:
        assert self._guard is not None
        return self._guard.open_socket(info, encrypted=current.get().encrypted)

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        if current.get().begun:  # aiohttp would repeat an idempotent method
            raise aiohttp.ServerDisconnectedError
        while True:
            connection = await super().connect(req, traces, timeout)
            if self._is_usable(connection):
                return connection
            connection.close()

    def _is_usable(self, connection: Connection) -> bool:
        protocol = connection.protocol
        assert protocol is not None
        if protocol in self._used:
            return not protocol.should_close and not _has_input(protocol.transport)
        self._used.add(protocol)
        return True


def _has_input(transport: asyncio.Transport | None) -> bool:
    """Whether an idle connection has received anything: an end, or an answer to nothing.

    The loop may not have read it yet, so the socket is asked. Costs about 2 µs.
    """
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is None or sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))

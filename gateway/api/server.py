"""The listeners: aiohttp's server with the bounds that it lacks.

A connection that says nothing, or half a head, is closed at the head's deadline (aiohttp's own
timer is the one between requests); an address has a bounded number of connections; what is
refused before any handler runs is a problem body too.
"""

import asyncio
import logging
import socket
from collections import Counter
from http import HTTPStatus
from types import TracebackType
from typing import Self

from aiohttp import web

from gateway.api import problems
from gateway.api.bodies import LIMITS
from gateway.api.edge import REQUEST_ID, new_id, sign
from gateway.api.limits import Limits

logger = logging.getLogger(__name__)

#: The rest of a refused body is read and dropped this long, so that the refusal can arrive.
_LINGER_SECONDS = 2.0
#: Connections that the kernel holds until we accept them: a burst of callers must not fail.
_BACKLOG = 1024


class Connection(web.RequestHandler):
    """One connection of a listener."""

    __slots__ = ("_address", "_counts", "_head_timer", "_limits")

    def __init__(self, server: web.Server, *, limits: Limits, counts: Counter[str]) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            # Without an access log there is nothing to pass; aiohttp's annotation lacks None.
            access_log=None,  # type: ignore[arg-type]
            keepalive_timeout=limits.keepalive_seconds,
            lingering_time=_LINGER_SECONDS,
            auto_decompress=False,  # `bodies` does it, with a cap
        )
        self._limits = limits
        self._counts = counts
        self._address = ""
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        self._counts[self._address] += 1
        if 0 < self._limits.connections_per_address < self._counts[self._address]:
            self.force_close()
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        heads = self._request_count
        super().data_received(data)
        if self._request_count != heads:
            self._stop_timer()
        elif self._head_timer is None and self._idle():
            self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()
        self._counts[self._address] -= 1
        if self._counts[self._address] <= 0:
            del self._counts[self._address]
        super().connection_lost(exc)

    def _idle(self) -> bool:
        """No request is being served: what comes in belongs to a head."""
        return self._waiter is not None and not self._waiter.done()

    def _await_head(self) -> None:
        loop = asyncio.get_running_loop()
        self._head_timer = loop.call_later(self._limits.head_seconds, self.force_close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What no handler answered: an unreadable head, or a bug in ours."""
        request_id = request.get(REQUEST_ID) or new_id()
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            refusal = problems.refused(status, "The request is not HTTP as this server reads it.")
            response = problems.response(problems.of_error(refusal), request_id)
        else:
            logger.error("request failed request_id=%s", request_id, exc_info=exc)
            if request.writer.output_size > 0:
                raise ConnectionError("an answer has begun already")
            response = problems.internal(request_id)
        sign(response, request_id)
        response.force_close()
        return response


class Listener:
    """Serves an application on one address while it is entered."""

    def __init__(
        self,
        app: web.Application,
        host: str,
        port: int,
        *,
        reuse_port: bool = False,
        bound: socket.socket | None = None,
        shutdown_timeout: float = 30.0,
    ) -> None:
        """port: 0 takes any free one. bound: a socket to listen on, whatever host and port say; it
        is closed with the listener. shutdown_timeout: seconds that open requests may take."""
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=shutdown_timeout)
        self._host = host
        self._port = port
        self._limits = app[LIMITS]
        self._reuse_port = reuse_port
        self._bound = bound
        self._counts: Counter[str] = Counter()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that is bound."""
        if self._server is None:
            return self._port
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            self._server = await self._listen()
        except OSError:
            await self._runner.cleanup()
            raise
        return self

    async def _listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        if self._bound is not None:
            return await loop.create_server(self._connect, sock=self._bound, backlog=_BACKLOG)
        return await loop.create_server(
            self._connect,
            self._host,
            self._port,
            reuse_port=self._reuse_port or None,
            backlog=_BACKLOG,
        )

    def _connect(self) -> Connection:
        server = self._runner.server
        assert server is not None  # set up before the first connection, gone after the last
        return Connection(server, limits=self._limits, counts=self._counts)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Refuse new connections, let open requests end, close. Again, or too early: harmless."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await self._runner.cleanup()

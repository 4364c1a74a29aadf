"""HTTP/2 over TLS (RFC 9113): few connections to each origin, many requests on each.

The protocol is that of `h2`, a maintained library without sockets of its own (4.4.1, August 2026),
which leaves to us what decides whether a request may be repeated: streams, GOAWAY and resets, one
by one. `httpx[http2]` stands on h2 too, but is slow to release (0.28.1 of December 2024), tells a
GOAWAY from a broken connection by its text alone, and neither shows when a stream was written nor
waits for a server's limits; `aioquic` is for HTTP/3, which these services do not speak;
`niquests` brings a urllib3 of its own; aiohttp has no HTTP/2.

The same promises as `lean.LeanHttpTransport`, and like it without a guard: for addresses that the
operator has configured. A connection is opened when all others are full, one at a time for each
origin, since services take a burst of connections for an attack. It carries nothing before the
server has told its limits, is asked for a sign of life when it is silent, and leaves when it is
old or has long been idle. An answer's body is given as it came, and none is asked to be compressed.
"""

import asyncio
import math
import ssl
from dataclasses import dataclass
from typing import Final

from gateway.model import errors, wire
from gateway.transport import base, http2_request, lean
from gateway.transport.http2_connection import Connection
from gateway.transport.http2_place import Place
from gateway.transport.lean_request import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Http2Rules:
    """How long connections live, and how many requests share one. Times are seconds."""

    #: requests on a connection at a time, or as many as the server allows if that is fewer
    streams: int = 1000
    #: without a request, after which a connection is closed: services want them kept for hours
    idle: float = 3600.0
    #: after which a connection carries nothing new, so that changes of DNS are followed
    max_age: float = 4 * 3600.0
    #: of silence before a PING, and from that to giving the connection up
    ping_after: float = 15.0
    ping_timeout: float = 10.0


USUAL: Final = Http2Rules()


class Http2Transport:
    """Connections to any number of hosts, pooled by origin."""

    def __init__(
        self, options: base.HttpOptions = base.USUAL, *, rules: Http2Rules = USUAL
    ) -> None:
        """options.tls: becomes a context for HTTP/2, to be shared with no other protocol.

        options.keepalive is not used; `rules` say it better.
        """
        self._options = options
        self._rules = rules
        self._tls = options.tls
        self._places: dict[Origin, Place] = {}
        #: all that may have a socket, by where they lead
        self._connections: dict[Connection, Place] = {}
        self._preparer = http2_request.Preparer()
        self._timer: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Future[None] | None = None
        self._is_open = False

    async def __aenter__(self) -> "Http2Transport":
        self._is_open = True
        self._timer = asyncio.get_running_loop().call_later(self._resolution(), self._look_after)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if not self._is_open:
            return
        self._is_open = False
        if self._timer is not None:
            self._timer.cancel()
        openings = [one.opening for one in self._places.values() if one.opening is not None]
        for opening in openings:
            opening.cancel()
        await asyncio.gather(*openings, return_exceptions=True)
        for place in self._places.values():
            place.send_home("closed")
        for connection in tuple(self._connections):
            connection.close("closed")
        if self._connections:
            self._emptied = asyncio.get_running_loop().create_future()
            await self._emptied
        self._places.clear()

    async def send(
        self, request: wire.HttpRequest, *, timeout: float, admit: base.Admit | None = None
    ) -> wire.HttpResponse:
        """See `base.HttpTransport`. What `admit` raises goes through.

        Cancelling a call resets its stream; the connection goes on.
        """
        if not self._is_open:
            raise errors.NotSent("closed")
        origin, fields = self._preparer.prepare(request)
        connection = self._take(origin) or await self._wait(origin)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        if admit is not None:
            await _admit(connection, admit, deadline)
        id, answer = connection.begin(fields, request.body)
        timer = loop.call_at(deadline, connection.abandon, id, "timeout")
        try:
            return await answer
        except asyncio.CancelledError:
            connection.abandon(id, "abandoned")
            raise
        finally:
            timer.cancel()

    def _take(self, origin: Origin) -> Connection | None:
        """A connection with a place reserved, if nobody waits for one."""
        place = self._places.get(origin)
        if place is None or place.line:
            return None
        return place.reserve()

    async def _wait(self, origin: Origin) -> Connection:
        """As `_take`, after waiting in line. Raises NotSent."""
        place = self._places.get(origin)
        if place is None:
            place = self._places[origin] = Place(origin)
        turn = place.line_up()
        self._grow(place)
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                return await turn
        except TimeoutError:
            place.withdraw(turn)
            reason = "no free connection" if place.connections else "connect timeout"
            raise errors.NotSent(reason) from None
        except BaseException:
            place.withdraw(turn)
            raise

    def _grow(self, place: Place) -> None:
        """Open a connection for those in line, unless one is on its way or there may be no more."""
        if not (self._is_open and place.line and place.opening is None):
            return
        if len(place.connections) >= (self._options.limit_per_host or math.inf):
            return
        if len(self._connections) >= (self._options.limit or math.inf):
            self._evict()
            return
        place.opening = asyncio.create_task(self._open(place))

    def _evict(self) -> None:
        """Have the connection leave that has been idle longest: whoever waits goes on when it is
        closed."""
        idle = [one for one in self._connections if one.is_idle and not one.is_leaving]
        if idle:
            min(idle, key=lambda one: one.used_at).leave()

    async def _open(self, place: Place) -> None:
        connection = Connection(
            self,
            max_streams=self._rules.streams,
            max_answer_bytes=self._options.max_answer_bytes,
        )
        self._connections[connection] = place
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                await lean.connect(connection, place.origin, self._context())
                await connection.ready
        except (TimeoutError, errors.NotSent) as error:
            reason = "connect timeout" if isinstance(error, TimeoutError) else error.reason
            connection.close(reason)
            if not place.connections:  # nobody else could serve them
                place.send_home(reason)
        except BaseException:
            connection.close("closed")
            raise
        else:
            if not connection.is_leaving:
                place.connections.append(connection)
        finally:
            place.opening = None
            if not connection.has_socket:
                self.lost(connection)
            self._serve(place)

    def _context(self) -> ssl.SSLContext:
        """Made when the first needs it: reading the system's authorities takes 30 ms."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
        self._tls.set_alpn_protocols(["h2"])
        return self._tls

    def changed(self, connection: Connection) -> None:
        """A connection has a place free, or takes no more."""
        place = self._connections.get(connection)
        if place is None:
            return
        if connection.is_leaving and connection in place.connections:
            place.connections.remove(connection)
        if place.line:
            self._serve(place)

    def lost(self, connection: Connection) -> None:
        """A socket is closed."""
        if self._connections.pop(connection, None) is None:
            return
        if self._emptied is not None and not self._connections and not self._emptied.done():
            self._emptied.set_result(None)
        for place in tuple(self._places.values()):
            self._grow(place)
            if not (place.line or place.connections or place.opening):
                del self._places[place.origin]

    def _serve(self, place: Place) -> None:
        while place.line:
            if place.line[0].done():
                place.line.popleft()
                continue
            connection = place.reserve()
            if connection is None:
                self._grow(place)
                return
            place.line.popleft().set_result(connection)

    def _resolution(self) -> float:
        return min(self._rules.ping_after, self._rules.ping_timeout, self._rules.idle) / 3

    def _look_after(self) -> None:
        """The one timer for all connections: what is silent, idle or old."""
        loop = asyncio.get_running_loop()
        for connection in tuple(self._connections):
            self._judge(connection, loop.time())
        self._timer = loop.call_later(self._resolution(), self._look_after)

    def _judge(self, connection: Connection, now: float) -> None:
        rules = self._rules
        if connection.is_closed or not connection.is_ready:
            return
        if connection.pinged_at is not None:
            if now - connection.pinged_at >= rules.ping_timeout:
                connection.close("ping timeout")
        elif now - connection.heard_at >= rules.ping_after:
            connection.ping(now)
        is_idle = connection.is_idle and now - connection.used_at >= rules.idle
        if not connection.is_leaving and (is_idle or now - connection.made_at >= rules.max_age):
            connection.leave()


async def _admit(connection: Connection, admit: base.Admit, deadline: float) -> None:
    limit = asyncio.timeout_at(deadline)
    try:
        async with limit:
            await admit()
    except BaseException as error:
        connection.give_back()
        if isinstance(error, TimeoutError) and limit.expired():
            raise errors.NotSent("timeout") from None
        raise

"""Connections kept by origin, senders in line for one, and the one timer for all of them.

Nothing here awaits but the line itself: each function changes the books as a whole.
"""

import asyncio
import itertools
import math
from collections import OrderedDict
from typing import TypeAlias

from gateway.model import errors
from gateway.transport.lean_connection import Connection
from gateway.transport.lean_request import Origin

#: Seconds by which something may end too late. Fewer than this apart, timeouts share a timer.
RESOLUTION = 0.05

#: Seconds after which a connection carries nothing new, so that changes of DNS are followed.
MAX_AGE = 300.0

#: A connection that is free, or None for the right to open one.
Turn: TypeAlias = asyncio.Future[Connection | None]


class Deadlines:
    """Ends what takes too long by one timer, set for the earliest end that was ever announced.

    Most ends never come, since answers do. So nothing is cancelled: the timer goes off for
    nothing about once per timeout, not once per request.
    """

    def __init__(self, connections: set[Connection]) -> None:
        self._connections = connections
        self._timer: asyncio.TimerHandle | None = None
        #: when the timer goes off
        self.next = math.inf

    def set(self, connection: Connection, when: float) -> None:
        """`connection.expire()` will be called then, unless it is set again."""
        connection.expires = when
        if when < self.next:
            self._start(when)

    def stop(self) -> None:
        self.next = math.inf
        if self._timer is not None:
            self._timer.cancel()

    def _start(self, when: float) -> None:
        self.stop()
        self.next = when
        self._timer = asyncio.get_running_loop().call_at(when, self._sweep)

    def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        self.next = math.inf
        for connection in tuple(self._connections):
            if connection.expires <= now:
                connection.expire()
        earliest = min((each.expires for each in self._connections), default=math.inf)
        if earliest < self.next:
            self._start(max(earliest, now + RESOLUTION))


class Place:
    """What belongs to one origin."""

    __slots__ = ("_pool", "idle", "line", "open", "origin")

    def __init__(self, pool: "Pool", origin: Origin) -> None:
        self._pool = pool
        self.origin = origin
        #: free connections, the last used at the end
        self.idle: list[Connection] = []
        #: who waits for a turn, with their number, first come first served
        self.line: OrderedDict[Turn, int] = OrderedDict()
        #: connections that exist or are being opened
        self.open = 0

    def first_number(self) -> int:
        return next(iter(self.line.values()))

    def release(self, connection: Connection) -> None:
        self._pool.release(self, connection)

    def forget(self, connection: Connection) -> None:
        if connection in self.idle:
            self.idle.remove(connection)
        self._pool.forget(self, connection)

    def lost(self, connection: Connection) -> None:
        self._pool.lost(connection)


class Pool:
    """At most `limit` connections in all, and `limit_per_host` to an origin.

    Whoever finds none free waits in line. A connection that becomes free goes to the one who has
    waited longest, even if it must be closed for that and another opened elsewhere.
    """

    def __init__(
        self, *, limit: float, limit_per_host: float, keepalive: float, max_answer_bytes: int
    ) -> None:
        self._limit = limit
        self._limit_per_host = limit_per_host
        self._keepalive = keepalive
        self._max_answer_bytes = max_answer_bytes
        self._places: dict[Origin, Place] = {}
        #: those with somebody in line
        self._waiting: dict[Place, None] = {}
        self._numbers = itertools.count()
        self._open = 0
        #: all that may have a socket
        self._connections: set[Connection] = set()
        self._emptied: asyncio.Future[None] | None = None
        self.deadlines = Deadlines(self._connections)
        self.is_closed = False

    def take(self, origin: Origin) -> Connection | None:
        """A free connection, if there is one that is fit for use."""
        place = self._places.get(origin)
        if place is None:
            return None
        while place.idle:
            connection = place.idle.pop()
            now = asyncio.get_running_loop().time()
            idle = now - connection.expires + self._keepalive
            if connection.is_fit(idle):
                connection.expires = math.inf
                return connection
            connection.close()
        return None

    async def wait(self, origin: Origin) -> Connection | None:
        """A connection that has become free, or None: the caller must `create` one now.

        Raises NotSent when the pool is closed.
        """
        if self.is_closed:
            raise errors.NotSent("closed")
        place = self._places.get(origin)
        if place is None:
            place = self._places[origin] = Place(self, origin)
        if self._has_room(place):
            self._reserve(place)
            return None
        turn: Turn = asyncio.get_running_loop().create_future()
        place.line[turn] = next(self._numbers)
        self._waiting[place] = None
        try:
            return await turn
        except BaseException:
            self._withdraw(place, turn)
            raise

    def create(self, origin: Origin) -> Connection:
        """A connection in the room that the caller was given; it gives it back by its `close`."""
        connection = Connection(
            self._places[origin],
            retires=asyncio.get_running_loop().time() + MAX_AGE,
            max_answer_bytes=self._max_answer_bytes,
        )
        self._connections.add(connection)
        return connection

    async def close(self) -> None:
        """Close all connections, send everybody home, and wait for the sockets to be closed."""
        self.is_closed = True
        self.deadlines.stop()
        for place in self._waiting:
            for turn in place.line:
                if not turn.done():
                    turn.set_exception(errors.NotSent("closed"))
            place.line.clear()
        self._waiting.clear()
        for connection in tuple(self._connections):
            connection.close("closed")
        if self._connections:
            self._emptied = asyncio.get_running_loop().create_future()
            await self._emptied

    def release(self, place: Place, connection: Connection) -> None:
        """Take back a connection on which nothing is under way."""
        if connection.is_closed:
            return
        now = asyncio.get_running_loop().time()
        if self.is_closed or now >= connection.retires:
            connection.close()
            return
        while self._waiting and (following := self._next(place)) is not None:
            if following is not place:
                connection.close()  # which gives its room to them
                return
            if (turn := self._call(place)) is not None:
                connection.expires = math.inf
                turn.set_result(connection)
                return
        place.idle.append(connection)
        self.deadlines.set(connection, min(now + self._keepalive, connection.retires))

    def forget(self, place: Place, connection: Connection) -> None:
        """The room of a closed connection is free."""
        if not connection.has_socket:
            self.lost(connection)
        self._free(place)

    def lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if self._emptied is not None and not self._connections and not self._emptied.done():
            self._emptied.set_result(None)

    def _has_room(self, place: Place) -> bool:
        if place.open >= self._limit_per_host:
            return False
        if self._open >= self._limit:
            self._evict()
        return self._open < self._limit

    def _evict(self) -> None:
        """Close the connection that has been idle longest."""
        oldest = (place.idle[0] for place in self._places.values() if place.idle)
        connection = min(oldest, key=lambda each: each.expires, default=None)
        if connection is not None:
            connection.close()

    def _reserve(self, place: Place) -> None:
        place.open += 1
        self._open += 1

    def _free(self, place: Place) -> None:
        place.open -= 1
        self._open -= 1
        while self._open < self._limit and (following := self._next()) is not None:
            turn = self._call(following)
            if turn is not None:
                self._reserve(following)
                turn.set_result(None)
        self._tidy(place)

    def _tidy(self, place: Place) -> None:
        if not place.line:
            self._waiting.pop(place, None)
            if not place.open:
                self._places.pop(place.origin, None)

    def _next(self, own: Place | None = None) -> Place | None:
        """Where somebody has waited longest of those who could have a connection now.

        own: a place that has one to give; others would have to open theirs.
        """
        able = (
            place for place in self._waiting if place is own or place.open < self._limit_per_host
        )
        return min(able, key=Place.first_number, default=None)

    def _call(self, place: Place) -> Turn | None:
        """Whose turn it is there; None if all have been cancelled in this turn of the loop."""
        called = None
        while place.line and called is None:
            turn, _ = place.line.popitem(last=False)
            called = None if turn.done() else turn
        if not place.line:
            self._waiting.pop(place, None)
        return called

    def _withdraw(self, place: Place, turn: Turn) -> None:
        """Somebody stops waiting, perhaps just after having been called."""
        if place.line.pop(turn, None) is not None:
            self._tidy(place)
        elif not turn.cancelled() and turn.exception() is None:
            connection = turn.result()
            if connection is None:
                self._free(place)
            else:
                self.release(place, connection)

"""One kept-alive HTTP/1.1 connection, which carries one request at a time.

A connection is in one of four states: being opened, idle in the pool, held by a sender who awaits
its `admit`, or waiting for an answer. Bytes that come in any but the last are nobody's, and end
it: they must never be taken for the answer to the next request.
"""

import asyncio
import math
import select
from typing import Protocol, cast

from gateway.model import errors, wire
from gateway.transport import lean_answer
from gateway.transport.lean_request import Head

#: Seconds since the last answer, after which a connection is asked before it is used again.
#: Asking is a system call (0.5 to 5 µs, a tenth of a request), so busy ones are trusted.
TRUSTED_FOR = 1.0


class Keeper(Protocol):
    """Whom a connection tells what becomes of it."""

    def release(self, connection: "Connection") -> None:
        """It is free for another request."""

    def forget(self, connection: "Connection") -> None:
        """It will carry nothing more. Called once."""

    def lost(self, connection: "Connection") -> None:
        """Its socket is closed."""


class Connection(asyncio.Protocol):
    """See the module. `close` may be called at any time, more than once."""

    __slots__ = (
        "_answer",
        "_keeper",
        "_poll",
        "_reader",
        "_transport",
        "_uses",
        "admitting",
        "expires",
        "is_closed",
        "retires",
    )

    def __init__(self, keeper: Keeper, *, retires: float, max_answer_bytes: int) -> None:
        """retires: when it should carry nothing new, by the loop's time."""
        self._keeper = keeper
        self._reader = lean_answer.AnswerReader(max_answer_bytes)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[wire.HttpResponse] | None = None
        self._poll: select.poll | None = None
        self._uses = 0
        #: who awaits its `admit`; None again when that has taken too long
        self.admitting: asyncio.Task[object] | None = None
        #: when what it is doing must have ended, by the loop's time
        self.expires = math.inf
        self.retires = retires
        self.is_closed = False

    @property
    def has_socket(self) -> bool:
        return self._transport is not None

    def is_fit(self, idle: float) -> bool:
        """Whether an idle connection can be used, as far as one can know.

        The loop may not have read yet that the server has closed it, or said something that
        nobody asked for. So the socket is asked, unless it has proved itself lately.
        """
        transport = self._transport
        if self.is_closed or transport is None or transport.is_closing():
            return False
        if self._uses > 1 and idle < TRUSTED_FOR:
            return True
        return self._poll is not None and not self._poll.poll(0)

    def begin(self, head: Head, body: bytes) -> "asyncio.Future[wire.HttpResponse]":
        """Write a request; the future ends with its answer or AnswerLost.

        Raises NotSent. Whoever is cancelled while awaiting the future must `abandon` it.
        """
        transport = self._transport
        if self.is_closed or transport is None or transport.is_closing():
            raise errors.NotSent("disconnected")
        self._reader.start(is_head=head.is_head)
        self._uses += 1
        self._answer = answer = asyncio.get_running_loop().create_future()
        first, rest = head.write(body)
        transport.write(first)
        if rest:
            transport.write(rest)
        return answer

    def abandon(self, answer: "asyncio.Future[wire.HttpResponse]") -> None:
        """Nobody waits for this answer any more; a late one must not meet another request."""
        if self._answer is answer:
            self.close()
        elif not answer.cancelled():
            answer.exception()  # else the loop reports that nobody has looked at it

    def release(self) -> None:
        """Give back a connection that was taken and on which nothing was written."""
        self._keeper.release(self)

    def close(self, reason: str = "disconnected") -> None:
        """At once. A request that waits for its answer has lost it."""
        if self.is_closed:
            return
        self.is_closed = True
        self.expires = math.inf
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(errors.AnswerLost(reason))
        if self._transport is not None:
            self._transport.abort()
        self._keeper.forget(self)

    def expire(self) -> None:
        """Its time is over, whatever it is doing."""
        if self.admitting is not None:
            task, self.admitting = self.admitting, None
            self.expires = math.inf
            task.cancel()
        else:
            self.close("timeout")

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of it.
        self._transport = cast(asyncio.Transport, transport)
        if self.is_closed:
            self._transport.abort()
            return
        sock = transport.get_extra_info("socket")
        self._poll = select.poll()
        self._poll.register(sock.fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.close()
            return
        try:
            if self._reader.feed(data):
                self._finish(self._answer, may_go_on=self._reader.may_go_on)
        except lean_answer.Unreadable as fault:
            self.close(str(fault))

    def eof_received(self) -> None:
        answer = self._answer
        if answer is None or not self._reader.feed_eof():
            self.close(self._reader.cut_short("disconnected"))
            return
        try:
            self._finish(answer, may_go_on=False)
        except lean_answer.Unreadable as fault:
            self.close(str(fault))

    def connection_lost(self, exc: Exception | None) -> None:
        self.close(self._reader.cut_short("disconnected"))
        self._keeper.lost(self)

    def _finish(self, answer: "asyncio.Future[wire.HttpResponse]", *, may_go_on: bool) -> None:
        """Raises Unreadable."""
        response = self._reader.read()
        self._answer = None
        if not answer.done():  # its sender may have been cancelled in this turn of the loop
            answer.set_result(response)
        transport = self._transport
        # An answer may come before all of the request has left.
        if may_go_on and transport is not None and not transport.get_write_buffer_size():
            self._keeper.release(self)
        else:
            self.close()

"""The reply stream of an SMTP connection (RFC 5321 §4.2).

Replies are matched to commands by their count alone (RFC 2920 §3.1), so a reply that nobody
waits for, or a wait that is given up, leaves the stream out of step: the connection ends there.
"""

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

#: RFC 5321 §4.5.3.1.5 asks servers for 512 octets a line; this is for all lines of a reply.
MAX_REPLY_BYTES = 64 * 1024

#: The server ends the connection (RFC 5321 §3.8).
CLOSING = 421

_REPLY_LINE = re.compile(rb"([2-5]\d\d)([ -]?)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reply:
    code: int
    text: str


class Cut(ConnectionError):
    """The connection ended before all that was asked for had been answered."""

    def __init__(self, reason: str, replies: Sequence[Reply]) -> None:
        super().__init__(reason)
        #: what was answered before
        self.replies = replies


class Waiter:
    """Who waits for the next replies."""

    __slots__ = ("future", "replies", "wanted")

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.replies: list[Reply] = []
        self.future: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()


class ReplyStream(asyncio.Protocol):
    """Takes over a transport that is connected and secured."""

    def __init__(self, transport: asyncio.Transport) -> None:
        #: set when the socket is gone
        self.closed = asyncio.get_running_loop().create_future()
        #: why it cannot be used any more; empty while it can
        self.broken = ""
        self._transport = transport
        self._buffer = bytearray()
        self._lines: list[str] = []
        self._waiting: deque[Waiter] = deque()
        transport.set_protocol(self)

    @property
    def is_usable(self) -> bool:
        """In step, and not told to go away."""
        return (
            not (self.broken or self._waiting or self._buffer or self._lines)
            and not self._transport.is_closing()
        )

    def quit(self) -> None:
        """Take leave without waiting for the reply; what is written still goes out."""
        if self.is_usable:
            self._transport.write(b"QUIT\r\n")
        self.broken = self.broken or "closed"
        self._transport.close()

    def abort(self, reason: str = "closed") -> None:
        """Drop the connection, and fail whoever waits for a reply."""
        self.broken = self.broken or reason
        with contextlib.suppress(AttributeError):  # Python 3.11.2, when it was closed twice (TLS)
            self._transport.abort()
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.future.done():
                waiter.future.set_exception(Cut(self.broken, waiter.replies))
                waiter.future.exception()  # perhaps nobody is left to hear of it

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) + sum(map(len, self._lines)) > MAX_REPLY_BYTES:
            self.abort("reply too long")
            return
        while not self.broken and (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end]).rstrip(b"\r")
            del self._buffer[: end + 1]
            self._read_line(line)

    def _read_line(self, line: bytes) -> None:
        match = _REPLY_LINE.fullmatch(line)
        if match is None:
            self.abort("malformed reply")
            return
        code, separator, text = match.groups()
        self._lines.append(text.decode("utf-8", "replace"))
        if separator == b"-":
            return
        reply = Reply(int(code), "\n".join(self._lines))
        self._lines.clear()
        self._deliver(reply)

    def _deliver(self, reply: Reply) -> None:
        waiter = self._waiting[0] if self._waiting else None
        if waiter is not None:
            waiter.replies.append(reply)
            if len(waiter.replies) == waiter.wanted or reply.code == CLOSING:
                self._waiting.popleft()
                if not waiter.future.done():
                    waiter.future.set_result(waiter.replies)
        if reply.code == CLOSING:
            self.broken = "closed by relay"
            self._transport.close()
        elif waiter is None:
            self.abort("out of step")

    def eof_received(self) -> bool:
        self.abort("disconnected")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.abort("disconnected")
        if not self.closed.done():
            self.closed.set_result(None)

    async def ask(self, data: bytes, timeout: float) -> Reply:
        """`ask_all` for one reply."""
        (reply,) = await self.ask_all(data, 1, timeout)
        return reply

    async def ask_all(self, data: bytes, wanted: int, timeout: float) -> list[Reply]:
        """Write, and `hear` so many replies."""
        waiter = self.expect(wanted)
        self.write(data)
        return await self.hear(waiter, timeout)

    def expect(self, wanted: int) -> Waiter:
        """The next replies that nobody else expects, to `hear` once the commands are written."""
        waiter = Waiter(wanted)
        self._waiting.append(waiter)
        return waiter

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    async def hear(self, waiter: Waiter, timeout: float) -> list[Reply]:
        """What was expected; a 421 is the last. Raises Cut; `broken` says why.

        Whatever ends the wait but the replies, cancellation included, ends the connection too.
        """
        timer = asyncio.get_running_loop().call_later(timeout, self.abort, "timeout")
        try:
            return await waiter.future
        finally:
            timer.cancel()
            if waiter.future.cancelled():
                self.abort("abandoned")

"""A mail server that takes everything and keeps nothing (RFC 5321, 3030). Prints its host:port.

One protocol class on bare bytes, so that it takes little of the machine that is being measured.
"""

import asyncio
import contextlib

import uvloop

#: What EHLO is answered with.
_OFFERS = (
    b"250-sink.example.com\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
    b"250-CHUNKING\r\n250 SIZE 52428800\r\n"
)
_OK = b"250 2.0.0 Ok\r\n"
_REPLIES = {
    b"EHLO": _OFFERS,
    b"DATA": b"354 End data with <CR><LF>.<CR><LF>\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
}
_END = b"\r\n.\r\n"


class Connection(asyncio.Protocol):
    """Commands one after another, also many at once (RFC 2920)."""

    def __init__(self) -> None:
        self._rest = b""
        self._in_data = False
        #: octets of a chunk that have not come yet
        self._chunk = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._write(b"220 sink.example.com ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._rest += data
        replies = b""
        while (reply := self._next()) is not None:
            replies += reply
        if replies:
            self._write(replies)

    def _next(self) -> bytes | None:
        """The reply to the next command, message or chunk, if it is all here."""
        if self._chunk:
            if len(self._rest) < self._chunk:
                return None
            self._rest, self._chunk = self._rest[self._chunk :], 0
            return _OK
        line, end, rest = self._rest.partition(_END if self._in_data else b"\r\n")
        if not end:
            return None
        self._rest = rest
        if self._in_data:
            self._in_data = False
            return _OK
        verb = line[:4].upper()
        if verb == b"DATA":
            self._in_data = True
            self._rest = b"\r\n" + rest  # a message may be empty: its end begins with this
        if verb == b"BDAT" and (size := int(line.split()[1])):
            self._chunk = size
            return b""
        return _REPLIES.get(verb, _OK)

    def _write(self, data: bytes) -> None:
        self._transport.write(data)  # type: ignore[attr-defined]  # uvloop's is no subclass


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"{host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(main())

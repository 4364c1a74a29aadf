"""A cheap HTTP client: whole requests as bytes, one at a time on each connection.

It takes little of the machine that is being measured, and looks at statuses only.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"


def request(method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """A request as it is sent."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    fields = {"Host": parts.netloc, **headers}
    if body:
        fields["Content-Length"] = str(len(body))
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items())
    return head.encode() + b"\r\n" + body


async def send(url: str, requests: Iterator[bytes], connections: int) -> None:
    """Send all to the host of a URL that names its port. Raises RuntimeError unless all succeed."""
    async with connected(url, connections) as over:
        await over(requests)


@asynccontextmanager
async def connected(
    url: str, connections: int
) -> AsyncIterator[Callable[[Iterator[bytes]], Awaitable[object]]]:
    """The same over connections that are kept: call it with the requests, again and again."""
    loop, (host, port) = asyncio.get_running_loop(), urlsplit(url).netloc.split(":")
    opened = [
        await loop.create_connection(_Connection, host, int(port)) for _ in range(connections)
    ]
    try:
        yield lambda requests: asyncio.gather(*(one.send(requests) for _, one in opened))
    finally:
        for transport, _ in opened:
            transport.close()


class _Connection(asyncio.Protocol):
    """One request after another, until there is none."""

    def __init__(self) -> None:
        self._rest = b""
        self._requests: Iterator[bytes] = iter(())
        self._done: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def send(self, requests: Iterator[bytes]) -> asyncio.Future[None]:
        """Share these with the other connections; done when there is none and all are answered."""
        self._requests = requests
        done = self._done = asyncio.get_running_loop().create_future()
        if self._transport.is_closing():
            self._fail("the connection was closed")
        else:
            self._next()
        return done

    def data_received(self, data: bytes) -> None:
        self._rest += data
        head = self._rest.find(_END)
        if head < 0 or len(self._rest) < head + len(_END) + _length(self._rest[: head + 2]):
            return
        answer, self._rest = self._rest, b""
        if answer[9:10] == b"2":
            self._next()
        else:
            self._fail(f"answered {answer[:500]!r}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the connection was closed")

    def _next(self) -> None:
        following = next(self._requests, None)
        if following is not None:
            self._transport.write(following)  # type: ignore[attr-defined]  # uvloop's is no subclass
        elif self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _fail(self, words: str) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(RuntimeError(words))


def _length(head: bytes) -> int:
    """Of the body that follows."""
    at = head.lower().find(_LENGTH)
    if at < 0:
        raise RuntimeError(f"an answer without a length: {head[:500]!r}")
    start = at + len(_LENGTH)
    return int(head[start : head.index(b"\r\n", start)])

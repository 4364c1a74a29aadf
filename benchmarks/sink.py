"""A provider that notes when each message came. Prints its URL.

A message is known by the number in its recipient (`load.phone`); a request of many is noted by its
first. An answer may have a part for each number, as some services give them. When it is told to
stop it writes the times, seconds of the machine's monotonic clock, to a file: a JSON array of
[number, time].
"""

import argparse
import asyncio
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import uvloop

_PHONE = re.compile(rb'"\+86138(\d{8})"')
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ANSWER = b"HTTP/1.1 %d Answer\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_BODY = '{"id":"0123456789"}'


def answer(status: int = 200, body: str = _BODY) -> bytes:
    """A whole answer. body: JSON."""
    return _ANSWER % (status, len(body), body.encode())


#: Where the parts for each number stand in a body, and the number in such a part.
EACH, NUMBER = "{each}", "{number}"


def answerer(status: int = 200, body: str = _BODY, each: str = "") -> Callable[[bytes], bytes]:
    """What to answer to a request. each: JSON for one of its numbers."""
    if not each:
        whole = answer(status, body)
        return lambda request: whole

    def made(request: bytes) -> bytes:
        numbers = [f"+86138{number.decode()}" for number in _PHONE.findall(request)]
        parts = ",".join(each.replace(NUMBER, number) for number in numbers)
        return answer(status, body.replace(EACH, parts))

    return made


class Connection(asyncio.Protocol):
    """Requests one after another; each is answered as soon as it is whole."""

    def __init__(
        self,
        times: list[tuple[int, float]],
        answer: Callable[[bytes], bytes],
        latency: float = 0.0,
    ) -> None:
        """latency: seconds until each answer."""
        self._times = times
        self._answer = answer
        self._latency = latency
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self._rest += data
        while (end := self._end()) is not None:
            request, self._rest = self._rest[:end], self._rest[end:]
            if found := _PHONE.search(request):
                self._times.append((int(found[1]), now))
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, self._say, request)
            else:
                self._say(request)

    def _say(self, request: bytes) -> None:
        self._transport.write(self._answer(request))  # type: ignore[attr-defined]  # uvloop's is no subclass

    def _end(self) -> int | None:
        """Where the first request ends, if it is all here."""
        head = self._rest.find(b"\r\n\r\n")
        if head < 0:
            return None
        found = _LENGTH.search(self._rest, 0, head)
        end = head + 4 + (int(found[1]) if found else 0)
        return end if len(self._rest) >= end else None


async def serve(
    times: list[tuple[int, float]], answer: Callable[[bytes], bytes], latency: float
) -> None:
    """Until it is told to stop."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(lambda: Connection(times, answer, latency), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=Path, help="where the times go")
    parser.add_argument("--status", type=int, default=200, help="of each answer")
    parser.add_argument("--body", default=_BODY, help="of each answer, JSON")
    parser.add_argument("--each", default="", help=f"for each number, where the body has {EACH}")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds until each answer")
    asked = parser.parse_args()
    times: list[tuple[int, float]] = []
    uvloop.run(serve(times, answerer(asked.status, asked.body, asked.each), asked.latency))
    if asked.times is not None:
        asked.times.write_bytes(orjson.dumps(times))


if __name__ == "__main__":
    main()

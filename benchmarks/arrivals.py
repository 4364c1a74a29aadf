"""When requests reach a server, and whether they keep a limit."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

_ANSWER = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"id": "01"}'
)


def worst_excess(arrivals: Sequence[float], rate: float, burst: float) -> float:
    """How far the worst window is over its bound; negative: by how much all stay below.

    arrivals: times in seconds, in order. The arrivals i to j are j - i + 1 in a window of their
    distance; with f(i) = i - rate·t(i) the excess is the largest rise of f, less the bound.
    """
    slack = burst + rate * 0.02 + 1
    lowest, worst = float("inf"), -float("inf")
    for number, at in enumerate(arrivals):
        height = number - rate * at
        lowest = min(lowest, height)
        worst = max(worst, height - lowest + 1 - slack)
    return worst


@asynccontextmanager
async def clock(arrivals: list[float]) -> AsyncIterator[str]:
    """A server that notes when each request's first byte arrives."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                arrivals.append(time.perf_counter())
                length = next(
                    int(line.split(b":")[1])
                    for line in head.lower().splitlines()
                    if line.startswith(b"content-length")
                )
                await reader.readexactly(length)
                writer.write(_ANSWER)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

"""`rate`: whether a provider account keeps its rate and burst, as a server on loopback sees it.

For every window w: arrivals ≤ burst + rate·(w + 20 ms) + 1; on average at least 0.97 of the rate is
used.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks import load
from benchmarks.processes import gateway
from benchmarks.report import Result

_RATE, _BURST = 50, 10

_ANSWER = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"id": "01"}'
)


async def run(scale: float, progress: load.Progress) -> Result:
    count = max(200, int(1_500 * scale))
    arrivals: list[float] = []
    async with _clock(arrivals) as url:
        config = load.TENANT + load.provider(url, extra=f"rate = {_RATE}\nburst = {_BURST}\n")
        config += '[lanes.sms]\nchannel = "sms"\nproviders = ["acme"]\n'
        with tempfile.TemporaryDirectory() as folder:
            async with gateway(Path(folder), config) as running, load.session() as client:
                await load.post(client, running, count, lambda done, of: None)
                await load.until_sent(client, running, count, progress)
    used = (len(arrivals) - _BURST) / (arrivals[-1] - arrivals[0]) / _RATE
    excess = worst_excess(arrivals, _RATE, _BURST)
    return Result(
        name="rate",
        goal="arrivals ≤ burst + rate·(w + 20 ms) + 1 in any window w; at least 0.97 of the rate",
        reached=excess <= 0 and used >= 0.97 and len(arrivals) == count,
        figures={
            "arrivals": len(arrivals),
            "share of the rate used": used,
            "worst window, arrivals over the bound": excess,
        },
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
async def _clock(arrivals: list[float]) -> AsyncIterator[str]:
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
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

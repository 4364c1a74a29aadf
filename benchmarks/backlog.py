"""`backlog`: what a million waiting messages cost in memory, and in the speed of the next ones."""

import tempfile
import time
from pathlib import Path

import aiohttp

from benchmarks import load
from benchmarks.processes import Running, gateway, simulator, usage
from benchmarks.report import Result

_LANE = '[lanes.sms]\nchannel = "sms"\nproviders = ["acme"]\n'

#: Holds everything back while the backlog is made.
_SLOW = "rate = 0.001\n"


async def run(scale: float, progress: load.Progress) -> Result:
    waiting, sample = int(1_000_000 * scale), max(2_000, int(20_000 * scale))
    async with simulator() as url:
        with tempfile.TemporaryDirectory() as folder:
            empty = await _drain(Path(folder), url, sample, sample, progress)
        with tempfile.TemporaryDirectory() as folder:
            held, peak = await _fill(Path(folder), url, waiting, progress)
            full = await _drain(Path(folder), url, 0, sample, progress)
    return Result(
        name="backlog",
        goal="under 200 MB with 1,000,000 waiting; throughput within 10% of an empty queue's",
        reached=held < 200e6 and full >= 0.9 * empty,
        figures={
            "waiting": waiting,
            "resident MB": held / 1e6,
            "peak MB": peak / 1e6,
            "messages/s, empty queue": empty,
            "messages/s, full queue": full,
            "ratio": full / empty,
        },
    )


async def _fill(folder: Path, url: str, count: int, progress: load.Progress) -> tuple[int, int]:
    """(resident, peak) bytes with `count` messages waiting."""
    config = load.TENANT + load.provider(url, extra=_SLOW) + _LANE
    async with gateway(folder, config) as running, load.session() as client:
        await load.post(client, running, count, progress)
        used = usage(running.pid)
        return used.resident_bytes, used.peak_bytes


async def _drain(folder: Path, url: str, post: int, sample: int, progress: load.Progress) -> float:
    """Messages a second over the first `sample`, of what waits in the folder's store."""
    if post:
        await _fill(folder, url, post, progress)
    config = load.TENANT + load.provider(url) + _LANE
    async with gateway(folder, config) as running, load.session() as client:
        return await _rate(running, client, sample, progress)


async def _rate(
    running: Running, client: aiohttp.ClientSession, sample: int, progress: load.Progress
) -> float:
    labels = ('category="service"', 'state="sent"')
    start = await running.metric_where(client, "gateway_messages_entered_total", labels)
    started = time.perf_counter()
    ended = await load.until_sent(client, running, sample * 0.95, progress)
    return (sample * 0.95 - start) / (ended - started)

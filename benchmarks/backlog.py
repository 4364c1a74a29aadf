"""`backlog`: what a million waiting messages cost in memory, and in the speed of the next ones."""

import tempfile
import time
from pathlib import Path

import aiohttp

from benchmarks import load
from benchmarks.depth import Depths
from benchmarks.processes import Running, gateway, simulator, usage
from benchmarks.report import Chart, Result, least

_LANE = '[lanes.sms]\nchannel = "sms"\nproviders = ["acme"]\n'

#: Holds everything back while the backlog is made.
_SLOW = "rate = 0.001\n"


async def run(scale: float, progress: load.Progress) -> Result:
    sample = max(least(scale, 2_000, 200), int(20_000 * scale))
    waiting = max(sample, int(1_000_000 * scale))
    async with simulator() as url:
        with tempfile.TemporaryDirectory() as folder:
            await _fill(Path(folder), url, sample, progress, Depths())
            empty = await _drain(Path(folder), url, sample, progress, Depths())
        depths = Depths()
        with tempfile.TemporaryDirectory() as folder:
            held, peak = await _fill(Path(folder), url, waiting, progress, depths)
            full = await _drain(Path(folder), url, sample, progress, depths)
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
        charts=[
            Chart(
                title="backlog: messages a second",
                bars={"empty queue": [empty], "full queue": [full]},
            ),
            depths.chart("backlog: rows that wait, as the queue fills and the first are sent"),
        ],
    )


async def _fill(
    folder: Path, url: str, count: int, progress: load.Progress, depths: Depths
) -> tuple[int, int]:
    """(resident, peak) bytes with `count` messages waiting."""
    config = load.TENANT + load.provider(url, extra=_SLOW) + _LANE
    async with gateway(folder, config) as running, load.session() as client:
        async with depths.watch(running):
            await load.post(client, running, count, progress)
        used = usage(running.pid)
        return used.resident_bytes, used.peak_bytes


async def _drain(
    folder: Path, url: str, sample: int, progress: load.Progress, depths: Depths
) -> float:
    """Messages a second over the first `sample`, of what waits in the folder's store."""
    config = load.TENANT + load.provider(url) + _LANE
    async with (
        gateway(folder, config) as running,
        load.session() as client,
        depths.watch(running),
    ):
        return await _rate(running, client, sample, progress)


async def _rate(
    running: Running, client: aiohttp.ClientSession, sample: int, progress: load.Progress
) -> float:
    labels = ('category="service"', 'state="sent"')
    start = await running.metric_where(client, "gateway_messages_entered_total", labels)
    started = time.perf_counter()
    ended = await load.until_sent(client, running, sample * 0.95, progress)
    return (sample * 0.95 - start) / (ended - started)

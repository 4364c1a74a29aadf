"""`http`: one provider call a message, against a bare aiohttp loop that stores nothing.

Every message is durable before its 202 and in its end state on disk before it counts. Both take
turns on the same core, with the same simulator on another; what counts is the ratio.
"""

import statistics
import tempfile
import time
from pathlib import Path

import orjson

from benchmarks import load
from benchmarks.processes import apart, gateway, simulator, started, usage
from benchmarks.report import Chart, Result, spread


async def run(scale: float, progress: load.Progress) -> Result:
    count, repeats = max(1_000, int(20_000 * scale)), 5 if scale >= 1 else 2
    bare: list[float] = []
    ours: list[float] = []
    cpu: list[float] = []
    peak = 0
    with apart() as core:
        async with simulator() as url:
            for _ in range(repeats):
                bare.append(await _bare(url, count, core))
                rate, cpu_us, peak_bytes = await _ours(url, count, core, progress)
                ours.append(rate)
                cpu.append(cpu_us)
                peak = max(peak, peak_bytes)
    ratios = [mine / theirs for mine, theirs in zip(ours, bare, strict=True)]
    return Result(
        name="http",
        goal="at least 0.5 of a bare aiohttp loop",
        reached=statistics.median(ratios) >= 0.5,
        figures={
            "ratio": spread(ratios),
            "gateway messages/s": spread(ours),
            "bare loop messages/s": spread(bare),
            "gateway CPU µs/message": spread(cpu),
            "peak memory MB": peak / 1e6,
        },
        charts=[
            Chart(
                title="http: messages a second on one core",
                bars={"gateway": ours, "bare loop": bare},
            )
        ],
    )


async def _bare(url: str, count: int, core: int | None) -> float:
    words = ("-m", "benchmarks.yardsticks.http_client", f"{url}/v1/send", str(count))
    async with started(*words, core=core, patience=600.0) as line:
        return float(orjson.loads(line)["rate"])


async def _ours(
    url: str, count: int, core: int | None, progress: load.Progress
) -> tuple[float, float, int]:
    config = load.TENANT + load.provider(url)
    config += '[lanes.sms]\nchannel = "sms"\nproviders = ["acme"]\n'
    with tempfile.TemporaryDirectory() as folder:
        async with gateway(Path(folder), config, core=core) as running, load.session() as client:
            warm = max(500, count // 20)
            await load.post(client, running, warm, lambda done, of: None)
            await load.until_sent(client, running, warm, lambda done, of: None)
            before = usage(running.pid)
            begun = time.perf_counter()
            await load.post(client, running, count, lambda done, of: None, first=warm)
            ended = await load.until_sent(client, running, warm + count, progress)
            after = usage(running.pid)
    cpu = (after.cpu_seconds - before.cpu_seconds) / count * 1e6
    return count / (ended - begun), cpu, after.peak_bytes

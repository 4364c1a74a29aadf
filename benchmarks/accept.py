"""`accept`: the API alone, in batches of 500 and one by one, each message durable before its 202.

The yardstick parses the same bodies and answers ids, and stores nothing. Both take turns on the
same core; whoever posts has the others. Nothing is sent meanwhile.
"""

import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson

from benchmarks import load
from benchmarks.processes import Running, apart, simulator, started, usage
from benchmarks.report import Chart, Result, rounds, spread
from benchmarks.variant import USUAL, Variant
from gateway.model import wire
from gateway.transport.lean import LeanHttpTransport

#: Requests under way, in batches and one by one.
_BATCHES_AT_ONCE, _SINGLES_AT_ONCE = 4, 64

_HEADERS = {"content-type": "application/json", "authorization": f"Bearer {load.KEY}"}

#: So little is sent that it does not count.
_SLOW = "rate = 0.1\n"

Shape = Callable[[LeanHttpTransport, str, int], Awaitable[float]]


async def run(scale: float, progress: load.Progress, variant: Variant = USUAL) -> Result:
    counts = {"batch": max(load.BATCH, int(50_000 * scale)), "single": max(100, int(8_000 * scale))}
    shapes: dict[str, Shape] = {"batch": _post_batches, "single": _post_singles}
    rates = defaultdict[tuple[str, str], list[float]](list)
    cpu = defaultdict[str, list[float]](list)
    with apart(variant.processes) as cores, tempfile.TemporaryDirectory() as folder:
        async with LeanHttpTransport() as client, simulator() as url:
            config = load.TENANT + load.provider(url, extra=_SLOW)
            config += '[lanes.sms]\nchannel = "sms"\nproviders = ["acme"]\n'
            async with (
                variant.gateway(Path(folder), config, cores=cores) as ours,
                started("-m", "benchmarks.yardsticks.http_server", cores=cores) as theirs,
            ):
                for number in range(rounds(scale) + 1):
                    for name, post in shapes.items():
                        count = counts[name] if number else counts[name] // 10 or 1
                        took, cpu_us = await _measured(ours, post, client, count)
                        bare = await post(client, theirs, count)
                        if number:  # the first round only warms up
                            rates[name, "gateway"].append(count / took)
                            rates[name, "bare"].append(count / bare)
                            cpu[name].append(cpu_us)
                    progress(number, rounds(scale))
    ratios = {
        name: [
            mine / theirs
            for mine, theirs in zip(rates[name, "gateway"], rates[name, "bare"], strict=True)
        ]
        for name in shapes
    }
    figures: dict[str, float | int | str] = {}
    for name in shapes:
        figures |= {
            f"{name}, ratio": spread(ratios[name]),
            f"{name}, gateway messages/s": spread(rates[name, "gateway"]),
            f"{name}, bare handler messages/s": spread(rates[name, "bare"]),
            f"{name}, gateway CPU µs/message": spread(cpu[name]),
        }
    return Result(
        name="accept",
        goal="at least 0.5 of an aiohttp.web handler that stores nothing, both ways",
        reached=all(statistics.median(one) >= 0.5 for one in ratios.values()),
        figures=figures,
        charts=[
            Chart(
                title=f"accept, {name}: messages a second",
                bars={
                    who: rates[name, key]
                    for who, key in (("gateway", "gateway"), ("bare handler", "bare"))
                },
            )
            for name in shapes
        ],
    )


async def _measured(
    ours: Running, post: Shape, client: LeanHttpTransport, count: int
) -> tuple[float, float]:
    """Seconds, and µs of CPU a message."""
    before = usage(ours.pid)
    took = await post(client, ours.api, count)
    return took, (usage(ours.pid).cpu_seconds - before.cpu_seconds) / count * 1e6


async def _post_batches(client: LeanHttpTransport, url: str, count: int) -> float:
    bodies = [
        orjson.dumps(
            [load.message(number) for number in range(first, min(first + load.BATCH, count))]
        )
        for first in range(0, count, load.BATCH)
    ]
    return await _post(client, f"{url}/v1/messages/batch", bodies, _BATCHES_AT_ONCE)


async def _post_singles(client: LeanHttpTransport, url: str, count: int) -> float:
    bodies = [orjson.dumps(load.message(number)) for number in range(count)]
    return await _post(client, f"{url}/v1/messages", bodies, _SINGLES_AT_ONCE)


async def _post(client: LeanHttpTransport, url: str, bodies: list[bytes], at_once: int) -> float:
    """Seconds until all were taken."""
    left = iter(bodies)

    async def work() -> None:
        for body in left:
            request = wire.HttpRequest(method="POST", url=url, headers=_HEADERS, body=body)
            answer = await client.send(request, timeout=60.0)
            if answer.status != 202:
                raise RuntimeError(f"answered {answer.status}: {answer.body[:500]!r}")

    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(at_once)))
    return time.perf_counter() - begun

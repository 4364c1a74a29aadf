"""`webhooks`: 5,000 receivers, one of them dead, against the same run without the dead one.

Messages are posted at an even pace by many tenants, each with an endpoint of its own; the dead one
accepts connections and never answers, and gets a twentieth of all messages. Lag is from the change
of state, as the report says it, to its arrival.
"""

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import aiohttp
import orjson
from aiohttp import web

from benchmarks import load
from benchmarks.load import phone
from benchmarks.processes import Running, gateway, simulator
from benchmarks.report import Chart, Result, least, rounds, spread

#: Messages a second, well below what the gateway can carry.
_PACE = 100

_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

#: Seconds for what is under way at the end, when all has been measured; the dead one takes them.
_DRAIN = '[dispatch]\ndrain = "1s"\n'

#: Share of all messages that the dead endpoint's tenant sends.
_DEAD_SHARE = 0.05


async def run(scale: float, progress: load.Progress) -> Result:
    endpoints, pairs = max(least(scale, 50, 10), int(5_000 * scale)), rounds(scale)
    count = max(least(scale, 200, 50), int(1_500 * scale))
    ratios: list[float] = []
    well: list[float] = []
    ill: list[float] = []
    async with simulator() as url:
        for pair in range(pairs):
            progress(pair, pairs)
            well.append(await _p99(url, endpoints, count, dead=False))
            ill.append(await _p99(url, endpoints, count, dead=True))
            ratios.append(ill[-1] / well[-1])
    return Result(
        name="webhooks",
        goal="5,000 endpoints: the p99 of the others within 20% with one of them dead",
        reached=statistics.median(ratios) <= 1.2,
        figures={
            "endpoints": endpoints,
            "p99 ratio": spread(ratios),
            "p99 seconds, all well": spread(well),
            "p99 seconds, one dead": spread(ill),
        },
        charts=[
            Chart(
                title="webhooks: p99 in ms from a change of state to its arrival",
                bars={
                    "all well": [one * 1000 for one in well],
                    "one dead": [one * 1000 for one in ill],
                },
            )
        ],
    )


async def _p99(url: str, endpoints: int, count: int, *, dead: bool) -> float:
    lags: list[float] = []
    async with _receiver(lags) as alive, _silence() as silent:
        config = _DRAIN + '[webhooks]\nallow_private = ["127.0.0.0/8"]\n' + load.provider(url)
        config += '[lanes.sms]\nchannel = "sms"\nproviders = ["acme"]\n'
        for number in range(endpoints):
            target = silent if dead and number == 0 else f"{alive}/hooks/{number}"
            config += (
                f'[tenants.t{number}]\nkeys = ["{_key(number)}"]\n'
                f'webhook = {{ url = "{target}", secret = "{_SECRET}" }}\n'
            )
        with tempfile.TemporaryDirectory() as folder:
            async with gateway(Path(folder), config) as running:
                expected = await _post_evenly(running, endpoints, count)
                await _until(lags, expected if dead else count)
    return statistics.quantiles(lags, n=100)[98]


def _key(number: int) -> str:
    return f"benchmark-tenant-key-{number:08d}"


async def _post_evenly(running: Running, endpoints: int, count: int) -> int:
    """Post messages at a pace; how many of them were other tenants' than the first."""
    chance, others = random.Random(1), 0
    started = time.perf_counter()
    async with aiohttp.ClientSession() as client, asyncio.TaskGroup() as group:
        for number in range(count):
            tenant = 0 if chance.random() < _DEAD_SHARE else chance.randrange(1, endpoints)
            others += tenant != 0
            group.create_task(_post(client, running, tenant, number))
            await asyncio.sleep(max(0.0, started + number / _PACE - time.perf_counter()))
    return others


async def _post(client: aiohttp.ClientSession, running: Running, tenant: int, number: int) -> None:
    body = {"to": {"phone": phone(number)}, "content": {"text": "Hello."}}
    headers = {"Authorization": f"Bearer {_key(tenant)}"}
    async with client.post(f"{running.api}/v1/messages", json=body, headers=headers) as answer:
        if answer.status != 202:
            raise RuntimeError(f"the gateway answered {answer.status}")


async def _until(lags: list[float], count: int) -> None:
    for _ in range(600):
        if len(lags) >= count:
            return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"{len(lags)} webhooks of {count} arrived")


@asynccontextmanager
async def _receiver(lags: list[float]) -> AsyncIterator[str]:
    async def take(request: web.BaseRequest) -> web.Response:
        at = datetime.fromisoformat(orjson.loads(await request.read())["timestamp"])
        lags.append(time.time() - at.timestamp())
        return web.Response(status=204)

    runner = web.ServerRunner(web.Server(take))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _silence() -> AsyncIterator[str]:
    """A server that takes connections and never answers."""
    hold: set[asyncio.StreamWriter] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hold.add(writer)
        await reader.read()
        hold.discard(writer)
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/dead"
    finally:
        server.close()
        for writer in hold:
            writer.close()

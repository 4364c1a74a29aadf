"""`push`: pushes a second by Apple's service, over one HTTP/2 connection with TLS.

The other end is a server in a process of its own that takes everything and does next to nothing.
Once through the whole gateway, each push durable before its 202 and in its end state on disk, and
once by the adapter and the connection alone.
"""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import orjson

from benchmarks import load
from benchmarks.processes import Cores, apart, connections_to, on, started, usage
from benchmarks.report import Chart, Result, rounds, spread
from benchmarks.variant import USUAL, Variant

#: Pushes a second that one connection has to carry.
_GOAL = 1_000.0


class _Lap(NamedTuple):
    #: pushes a second
    rate: float
    cpu_us: float
    #: that the other end had at its end
    connections: int = 1


async def run(scale: float, progress: load.Progress, variant: Variant = USUAL) -> Result:
    count = max(100, int(20_000 * scale))
    whole: list[_Lap] = []
    alone: list[_Lap] = []
    with apart(variant.processes) as cores:
        for number in range(rounds(scale)):
            async with started("-m", "benchmarks.push_sink") as keys:
                alone.append(await _alone(keys, count, cores))
            async with started("-m", "benchmarks.push_sink") as keys:
                whole.append(await _whole(keys, count, cores, variant))
            progress(number + 1, rounds(scale))
    connections = max(one.connections for one in whole)
    return Result(
        name="push",
        goal=f"at least {_GOAL:g} pushes/s over one connection, through the whole gateway",
        reached=connections <= variant.processes and min(one.rate for one in whole) >= _GOAL,
        figures={
            "gateway pushes/s": spread([one.rate for one in whole]),
            "gateway CPU µs/push": spread([one.cpu_us for one in whole]),
            "connections": connections,
            "adapter and connection alone, pushes/s": spread([one.rate for one in alone]),
            "adapter and connection alone, CPU µs/push": spread([one.cpu_us for one in alone]),
        },
        charts=[
            Chart(
                title="push: pushes a second over one connection" + on(cores),
                bars={
                    "gateway": [one.rate for one in whole],
                    "adapter and connection alone": [one.rate for one in alone],
                },
            )
        ],
    )


async def _alone(keys: str, count: int, cores: Cores) -> _Lap:
    words = ("-m", "benchmarks.yardsticks.apns_connection", keys, str(count))
    async with started(*words, cores=cores, patience=600.0) as line:
        return _Lap(**orjson.loads(line))


async def _whole(keys: str, count: int, cores: Cores, variant: Variant) -> _Lap:
    account = orjson.loads(keys)
    port = int(account["base_url"].rpartition(":")[2])
    with tempfile.TemporaryDirectory() as folder:
        async with (
            variant.gateway(Path(folder), load.TENANT + _config(account), cores=cores) as running,
            load.session() as client,
        ):
            warm = max(100, count // 20)
            await load.post(client, running, warm, make=_push)
            await load.until_sent(client, running, warm)
            before, begun = usage(running.pid), time.perf_counter()
            await load.post(client, running, count, first=warm, make=_push)
            ended = await load.until_sent(client, running, warm + count)
            after, connections = usage(running.pid), connections_to(port)
    return _Lap(
        rate=count / (ended - begun),
        cpu_us=(after.cpu_seconds - before.cpu_seconds) / count * 1e6,
        connections=connections,
    )


def _config(account: Mapping[str, str]) -> str:
    keys = "".join(f"{name} = '''{value}'''\n" for name, value in account.items())
    return (
        f'[providers.apple]\nkind = "apns"\nconcurrency = {load.PUSHES}\n{keys}'
        '[lanes.push]\nchannel = "push"\nproviders = ["apple"]\n'
    )


def _push(number: int, category: str = "service") -> Mapping[str, object]:
    return {
        "to": {"push": [{"app": "bench", "token": load.device(number)}]},
        "content": {"title": load.SUBJECT, "text": load.TEXT},
        "category": category,
        "chain": [{"channel": "push"}],
    }

"""`nodes`: several processes on one PostgreSQL. What more of them carry, whether they keep a rate
together, also while one of them is killed every second, and how soon a dead one's work moves on.
"""

import asyncio
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks import load
from benchmarks.arrivals import clock, worst_excess
from benchmarks.databases import databases as postgres
from benchmarks.processes import Running, gateway, simulator
from benchmarks.report import Chart, Result, least, spread
from gateway.sandbox.fast import FastHttpSimulator
from tests.store.server import Databases

_RATE, _BURST = 200, 40

#: Fewer cores than this are full with one process, PostgreSQL, simulator and load.
_CORES = 6

#: Seconds that an answer takes when one of two dies.
_SLOW = 0.5

#: What the dead one had in hand is in the books of another by then, in milliseconds of its clock.
_TAKEN_OVER = "SELECT max(ended_ms) FROM attempt WHERE code = 'process_died'"

_LANE = '[lanes.sms]\nchannel = "sms"\nproviders = ["acme"]\n'


class _Size(NamedTuple):
    """How much of what is measured."""

    #: messages for throughput, and before it
    messages: int = 2_000
    warm: int = 500
    #: of the limit
    seconds: float = 8.0
    #: processes on one limit
    many: int = 4
    #: messages that two processes have in hand when one of them dies
    in_hand: int = 1_000
    #: seconds that processes have to get under way
    settle: float = 2.0


_FIGURES, _LOOK = _Size(), _Size(100, 20, seconds=1.0, many=2, in_hand=400, settle=0.0)


async def run(scale: float, progress: load.Progress) -> Result:
    size, pairs = least(scale, _FIGURES, _LOOK), 3 if scale >= 1 else 1
    size = size._replace(
        messages=max(size.messages, int(20_000 * scale)), seconds=max(size.seconds, 30.0 * scale)
    )
    async with postgres() as databases:
        one: list[float] = []
        two: list[float] = []
        for pair in range(pairs):
            progress(pair, pairs)
            one.append(await _throughput(databases, 1, size))
            two.append(await _throughput(databases, 2, size))
        used, excess = await _rate(databases, size, kill=False)
        used_killed, excess_killed = await _rate(databases, size, kill=True)
        moved = [await _takeover(databases, size) for _ in range(pairs)]
    ratios = [more / single for more, single in zip(two, one, strict=True)]
    cores = os.cpu_count() or 1
    scales = statistics.median(ratios) >= 1.6 or cores < _CORES
    kept = excess <= 0 and excess_killed <= 0
    return Result(
        name="nodes",
        goal="2 processes carry 1.6 of one where cores allow; 4 on 200/s keep the limit and use "
        "0.95, 0.9 while one is killed every second; a dead one's work moves on within 10 s",
        reached=scales and kept and used >= 0.95 and used_killed >= 0.9 and max(moved) <= 10.0,
        figures={
            "cores": cores,
            "messages/s, 1 process": spread(one),
            "messages/s, 2 processes": spread(two),
            "ratio": spread(ratios),
            f"share of {_RATE}/s used by {size.many}": used,
            f"worst window of {size.many}, over the bound": excess,
            "share used, one killed every second": used_killed,
            "worst window then": excess_killed,
            "s until work moves on": spread(moved),
        },
        charts=[
            Chart(
                title="nodes: messages a second",
                bars={"1 process": one, "2 processes": two},
            )
        ],
    )


async def _throughput(databases: Databases, processes: int, size: _Size) -> float:
    """Messages a second from the first post to the last end state."""
    name = databases.create()
    async with simulator() as url:
        config = load.TENANT + load.provider(url) + _LANE
        with tempfile.TemporaryDirectory() as folder:
            async with (
                gateway(Path(folder), config, store=databases.at(name), processes=processes) as api,
                load.session() as client,
            ):
                await asyncio.sleep(size.settle / 2)
                warm = max(size.warm, size.messages // 20)
                await load.post(client, api, warm)
                await load.until_sent(client, api, warm)
                started = time.perf_counter()
                await load.post(client, api, size.messages, first=warm)
                ended = await load.until_sent(client, api, warm + size.messages)
    databases.drop(name)
    return size.messages / (ended - started)


async def _rate(databases: Databases, size: _Size, *, kill: bool) -> tuple[float, float]:
    """(share of the rate that several processes use, worst window over the bound)."""
    name = databases.create()
    arrivals: list[float] = []
    async with clock(arrivals) as url:
        limits = f"rate = {_RATE}\nburst = {_BURST}\n"
        config = load.TENANT + load.provider(url, extra=limits) + _LANE
        with tempfile.TemporaryDirectory() as folder:
            async with (
                gateway(
                    Path(folder), config, store=databases.at(name), processes=size.many
                ) as running,
                load.session() as client,
            ):
                await asyncio.sleep(size.settle)
                count = int(_RATE * size.seconds * 1.5)
                await load.post(client, running, count)
                begin = time.perf_counter()
                while (now := time.perf_counter()) < begin + size.seconds:
                    await asyncio.sleep(min(1.0, begin + size.seconds - now))
                    if kill:
                        _kill_newest(running)
                end = time.perf_counter()
    databases.drop(name)
    within = [at for at in arrivals if begin <= at <= end]
    return len(within) / (end - begin) / _RATE, worst_excess(arrivals, _RATE, _BURST)


async def _takeover(databases: Databases, size: _Size) -> float:
    """Seconds from the death of one of two processes until the other has taken over its work."""
    name = databases.create()
    async with FastHttpSimulator() as simulated:
        simulated.knobs.turn({"latency": _SLOW})
        config = load.TENANT + load.provider(simulated.url) + _LANE
        with tempfile.TemporaryDirectory() as folder:
            async with (
                gateway(Path(folder), config, store=databases.at(name), processes=2) as running,
                load.session() as client,
            ):
                await asyncio.sleep(size.settle)
                await load.post(client, running, size.in_hand)
                await asyncio.sleep(2 * _SLOW)
                _kill_newest(running)
                killed = time.time()
                await _until_idle(databases, name)
                taken = databases.run(_TAKEN_OVER, name)
    databases.drop(name)
    if taken is None:
        raise RuntimeError("the process that was killed had no work in hand")
    return float(taken) / 1000 - killed


async def _until_idle(databases: Databases, name: str) -> None:
    for _ in range(600):
        if not databases.run("SELECT count(*) FROM queue", name):
            return
        await asyncio.sleep(0.1)
    raise RuntimeError("there is work left after a minute")


def _kill_newest(running: Running) -> None:
    """The supervisor's youngest child, so that one and the same place is empty most of the time."""
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    if children:
        os.kill(max(map(int, children)), signal.SIGKILL)

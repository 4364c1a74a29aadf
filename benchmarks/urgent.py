"""`urgent`: how soon critical messages are sent, alone and behind a million bulk ones.

They arrive at random moments whatever the gateway does (an open loop), on a lane that the backlog
keeps busy all the time, but for the share of its account's bucket that is kept for critical ones.
What counts is from when each was due to the provider. Both take turns on the same core.
"""

import asyncio
import math
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import aiohttp
import orjson

from benchmarks import load
from benchmarks.latency import percentile
from benchmarks.processes import Cores, Running, apart, gateway, started
from benchmarks.report import Chart, Result, least, rounds, spread

#: Messages a second: what the lane carries, and critical ones.
_RATE, _PACE = 100, 20

#: The first number of the backlog; critical ones count from 0.
_FIRST_BULK = 20_000_000

#: Critical messages in each round whose own timelines are read, one by one after the others.
_TIMELINES = 20

#: Seconds between posts: much less than what is measured, which it would hide.
_TICK = 0.001

#: Seconds until the first arrives, in which the lane gets under way.
_SETTLE = 2.0

#: Holds everything back while the backlog is made.
_SLOW = "rate = 0.001\n"

_LIMITS = f"rate = {_RATE}\nburst = {_RATE // 5}\nreserve = {{ critical = 0.2 }}\n"

#: What the goal asks for.
_UNCHANGED, _SOON = 1.2, 1.0

_SHARES = (0.5, 0.75, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """What one round showed, in seconds."""

    #: from due to the provider
    waits: Sequence[float]
    #: from acceptance to the provider's answer, by messages' own timelines
    timelines: Sequence[float]
    #: bulk messages a second meanwhile
    bulk: float

    @property
    def p99(self) -> float:
        return percentile(self.waits, 0.99)


async def run(scale: float, progress: load.Progress) -> Result:
    seconds = max(least(scale, 15.0, 1.0), 30 * scale)
    bulk = max(_RATE * 20, int(1_000_000 * scale))
    alone: list[_Round] = []
    behind: list[_Round] = []
    with (
        apart() as cores,
        tempfile.TemporaryDirectory() as empty,
        tempfile.TemporaryDirectory() as full,
    ):
        await _fill(Path(full), bulk, progress)
        for _ in range(rounds(scale)):
            for folder, found in ((empty, alone), (full, behind)):
                found.append(await _round(Path(folder), cores, scale, seconds))
    ratio = statistics.median(one.p99 for one in behind) / statistics.median(
        one.p99 for one in alone
    )
    timelines = [wait for one in behind for wait in one.timelines]
    return Result(
        name="urgent",
        goal=f"p99 of critical messages behind 1,000,000 bulk ones on {_RATE}/s within 20% of "
        "that alone; each sent within 1 s of its acceptance",
        reached=ratio <= _UNCHANGED and max(timelines) < _SOON,
        figures={
            "bulk waiting": bulk,
            "p99 ratio": ratio,
            **_figures("alone", alone),
            **_figures("behind", behind),
            "bulk sent meanwhile, messages/s": spread([one.bulk for one in behind]),
            "s from accepted to sent": spread(timelines),
        },
        charts=[_chart({"alone": alone, "behind the backlog": behind})],
    )


def _figures(name: str, found: Sequence[_Round]) -> Mapping[str, str]:
    return {
        f"{name}, {word} in ms": spread([percentile(one.waits, share) * 1000 for one in found])
        for word, share in (("p50", 0.5), ("p99", 0.99), ("longest", 1.0))
    }


def _chart(found: Mapping[str, Sequence[_Round]]) -> Chart:
    return Chart(
        title="urgent: ms from due to the provider, by percentile (median of the rounds)",
        lines={
            name: [
                (
                    -math.log10(1 - share),
                    statistics.median(percentile(one.waits, share) for one in several) * 1000,
                )
                for share in _SHARES
            ]
            for name, several in found.items()
        },
        across="nines: 1 is p90, 2 is p99",
        logarithmic=True,
    )


async def _fill(folder: Path, count: int, progress: load.Progress) -> None:
    # Nobody listens there, and nothing is sent yet.
    config = _config("http://127.0.0.1:9", _SLOW)
    async with gateway(folder, config) as running, load.session() as client:
        await load.post(client, running, count, progress, category="mass", first=_FIRST_BULK)


async def _round(folder: Path, cores: Cores, scale: float, seconds: float) -> _Round:
    times = folder / "times"
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(
            started("-m", "benchmarks.sink", "--times", str(times))
        )
        running = await stack.enter_async_context(
            gateway(folder, _config(url, _LIMITS), cores=cores)
        )
        client = await stack.enter_async_context(load.session())
        await asyncio.sleep(least(scale, _SETTLE, 0.0))
        due = await load.arrive(client, running, _PACE, seconds, category="otp", tick=_TICK)
        await load.until_sent(client, running, len(due), category="otp")
        timelines = [
            await _timeline(client, running, number)
            for number in range(len(due), len(due) + least(scale, _TIMELINES, 3))
        ]
    arrived = dict(orjson.loads(times.read_bytes()))
    meanwhile = sum(
        due[0] <= at <= due[-1] for number, at in arrived.items() if number >= _FIRST_BULK
    )
    return _Round(
        waits=[arrived[number] - at for number, at in enumerate(due)],
        timelines=timelines,
        bulk=meanwhile / (due[-1] - due[0]),
    )


async def _timeline(client: aiohttp.ClientSession, running: Running, number: int) -> float:
    """Seconds from acceptance to the provider's answer, by the message's own timeline."""
    (id_,) = await load.post_batch(client, running, number, 1, "otp")
    await load.until_sent(client, running, number + 1, category="otp")
    async with client.get(f"{running.api}/v1/messages/{id_}") as answer:
        timeline = orjson.loads(await answer.read())["timeline"]
    times = {one["event"]: datetime.fromisoformat(one["at"]) for one in timeline}
    return (times["attempt.accepted"] - times["accepted"]).total_seconds()


def _config(url: str, limits: str) -> str:
    return (
        '[categories.mass]\npriority = "bulk"\nchain = [{ channel = "sms" }]\n'
        '[lanes.sms]\nchannel = "sms"\nproviders = ["acme"]\n'
        + load.TENANT
        + load.provider(url, extra=limits)
    )

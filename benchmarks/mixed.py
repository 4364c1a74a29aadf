"""`mixed`: codes, service messages and a campaign over four lanes, each with a limit of its own.

Codes and service messages arrive at random moments whatever the gateway does, once alone and once
beside a campaign that would fill every lane for the whole time. What counts is how long they take
from when they were due to the provider, and that no lane stands idle.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import orjson

from benchmarks import load
from benchmarks.depth import Depths
from benchmarks.latency import percentile
from benchmarks.processes import Cores, Running, apart, gateway, started
from benchmarks.report import Chart, Result, least, rounds

#: Messages a second that each lane's provider takes.
_RATES: Mapping[str, int] = {"sms": 200, "rcs": 150, "email": 150, "wecom": 100}

#: The lanes that messages of a category go to in turn, and the numbers that they have.
_LANES: Mapping[str, Sequence[str]] = {
    "otp": ("sms",),
    "service": ("sms", "rcs"),
    "campaign": tuple(_RATES),
}
_FIRST = {"otp": 0, "service": 20_000_000, "campaign": 40_000_000}

#: Arrivals a second.
_PACE = {"otp": 30, "service": 100}

#: What the goal asks for: a share of the rate while work waits, and milliseconds.
_USED, _SOON = 0.95, 1000.0


class _Round(NamedTuple):
    """What one round showed."""

    #: milliseconds from due to the provider, by category
    waits: Mapping[str, Sequence[float]]
    #: share of its rate, by lane
    used: Mapping[str, float]


async def run(scale: float, progress: load.Progress) -> Result:
    seconds = max(least(scale, 1.0, 0.3), 20 * scale)
    depths = Depths()
    alone: list[_Round] = []
    beside: list[_Round] = []
    with apart() as cores:
        for number in range(rounds(scale)):
            alone.append(await _round(cores, seconds, Depths(), campaign=False))
            depths = Depths()
            beside.append(await _round(cores, seconds, depths, campaign=True))
            progress(number + 1, rounds(scale))
    used = {lane: statistics.median(one.used[lane] for one in beside) for lane in _RATES}
    return Result(
        name="mixed",
        goal=f"beside a campaign each lane uses {_USED} of its rate, and p99 of codes is under 1 s",
        reached=min(used.values()) >= _USED and statistics.median(_p99(beside)) < _SOON,
        figures={
            f"{category} {name}, p{share * 100:g} in ms": statistics.median(
                percentile(one.waits[category], share) for one in found
            )
            for category in _PACE
            for name, found in (("alone", alone), ("beside a campaign", beside))
            for share in (0.5, 0.99)
        }
        | {f"share of the rate of {lane} used": share for lane, share in used.items()},
        charts=[
            Chart(
                title="mixed: p99 of codes from due to the provider, in ms",
                bars={"alone": _p99(alone), "beside a campaign": _p99(beside)},
            ),
            depths.chart("mixed: rows that wait beside the campaign, by lane"),
        ],
    )


def _p99(found: Sequence[_Round]) -> Sequence[float]:
    return [percentile(one.waits["otp"], 0.99) for one in found]


async def _round(cores: Cores, seconds: float, depths: Depths, *, campaign: bool) -> _Round:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with AsyncExitStack() as stack:
            urls = {
                lane: await stack.enter_async_context(
                    started("-m", "benchmarks.sink", "--times", str(folder / lane))
                )
                for lane in _RATES
            }
            running = await stack.enter_async_context(gateway(folder, _config(urls), cores=cores))
            await stack.enter_async_context(depths.watch(running))
            if campaign:
                await _announce(running, seconds)
            begun = time.monotonic()
            due = await _arrive(running, seconds)
            ended = time.monotonic()
            await _until_sent(running, due)
        arrived = {lane: _moments(folder / lane) for lane in _RATES}
    return _Round(
        waits={
            category: [
                (arrived[_lane(category, number)][number] - at) * 1000
                for number, at in enumerate(moments, _FIRST[category])
            ]
            for category, moments in due.items()
        },
        used={
            lane: sum(begun <= at < ended for at in moments.values())
            / (ended - begun)
            / _RATES[lane]
            for lane, moments in arrived.items()
        },
    )


def _moments(file: Path) -> Mapping[int, float]:
    """When each number came, as the sink wrote it."""
    return dict(orjson.loads(file.read_bytes()))


async def _arrive(running: Running, seconds: float) -> Mapping[str, Sequence[float]]:
    """When messages of each category were due."""
    async with load.session() as client:
        found = await asyncio.gather(
            *(
                load.arrive(
                    client,
                    running,
                    pace,
                    seconds,
                    category=category,
                    first=_FIRST[category],
                    make=_message,
                )
                for category, pace in _PACE.items()
            )
        )
    return dict(zip(_PACE, found, strict=True))


async def _until_sent(running: Running, due: Mapping[str, Sequence[float]]) -> None:
    async with load.session() as client:
        for category, moments in due.items():
            await load.until_sent(client, running, len(moments), category=category)


async def _announce(running: Running, seconds: float) -> None:
    """A campaign with more than every lane can send in this time."""
    count = int(max(_RATES.values()) * (seconds + 5.0)) * len(_RATES)
    async with load.session() as client:
        await load.post(
            client,
            running,
            count,
            category="campaign",
            first=_FIRST["campaign"],
            make=_message,
        )


def _lane(category: str, number: int) -> str:
    lanes = _LANES[category]
    return lanes[number % len(lanes)]


def _message(number: int, category: str) -> Mapping[str, object]:
    return {
        "to": {"phone": load.phone(number), "email": load.email(number), "wecom": "reader"},
        "content": {"text": load.phone(number)},  # by which the other end knows it
        "category": category,
        "chain": [{"channel": _lane(category, number)}],
    }


def _config(urls: Mapping[str, str]) -> str:
    text = load.TENANT + '[categories.campaign]\npriority = "bulk"\nchain = [{ channel = "sms" }]\n'
    for lane, url in urls.items():
        limits = f"rate = {_RATES[lane]}\nburst = {_RATES[lane] // 5}\n"
        limits += "reserve = { critical = 0.2 }\n"
        to = "category" if lane in ("email", "wecom") else "to.phone"
        text += load.provider(url, name=f"{lane}er", channel=lane, to=to, extra=limits)
        text += f'[lanes.{lane}]\nchannel = "{lane}"\nproviders = ["{lane}er"]\n'
    return text

"""Races: messages through the whole gateway against a bare loop that stores nothing.

Every message is durable before its 202 and in its end state on disk before it counts. Both take
turns on the same core, with the same other end on another; what counts is the ratio.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import aiohttp
import orjson

from benchmarks import load
from benchmarks.processes import (
    Cores,
    Running,
    apart,
    find,
    on,
    started,
    usage,
)
from benchmarks.report import Chart, Result, rounds, spread
from benchmarks.variant import USUAL, Variant

#: How the gateway is posted to.
BATCHES, SINGLY = "in batches", "one by one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """Who runs against whom."""

    name: str
    #: by how the gateway is posted to, the least ratio, if one was set
    goals: Mapping[str, float | None]
    #: the yardstick in words, and in few
    against: str
    rival: str = "bare loop"
    messages: int
    #: what is sent to: each gives an address
    ends: Sequence[Callable[[], AbstractAsyncContextManager[str]]]
    #: module of the yardstick; it gets the addresses and how many messages
    yardstick: str
    #: that of a cheap client, which shows what the other end can take
    ceiling: str | None = None
    #: programs and packages that the yardstick needs beside this project's own
    programs: Sequence[str] = ()
    packages: Sequence[str] = ()
    #: who runs has one core and the other end has the others; or all share all
    apart: bool = True
    #: how the gateway runs, unless told otherwise
    usual: Variant = USUAL
    #: addresses to TOML of providers and lanes
    config: Callable[[Sequence[str]], str]
    message: load.Make = load.message

    async def run(
        self, scale: float, progress: load.Progress, variant: Variant | None = None
    ) -> Result:
        return await replace(self, usual=variant or self.usual)._run(scale, progress)

    async def _run(self, scale: float, progress: load.Progress) -> Result:
        if missing := self.missing():
            return Result(
                name=self.name, goal=self._goal(), reached=None, figures={"missing": missing}
            )
        count = max(100, int(self.messages * scale))
        async with AsyncExitStack() as stack:
            cores = stack.enter_context(apart(self.usual.processes)) if self.apart else None
            ends = [await stack.enter_async_context(end()) for end in self.ends]
            times = [await self._round(ends, count, cores, progress) for _ in range(rounds(scale))]
            most = await _yardstick(self.ceiling, ends, count, cores) if self.ceiling else None
        return self._result(times, most, cores)

    def missing(self) -> str:
        """The programs and packages that are not here, in words."""
        return ", ".join(
            [f"the program {one}" for one in self.programs if find(one) is None]
            + [f"the package {one}" for one in self.packages if find_spec(one) is None]
        )

    def _goal(self) -> str:
        goals = [
            f"{goal:g}" + (f" {way}" if len(self.goals) > 1 else "")
            for way, goal in self.goals.items()
            if goal
        ]
        return f"at least {' and '.join(goals)} of {self.against}" if goals else self.against

    async def _round(
        self, ends: Sequence[str], count: int, cores: Cores, progress: load.Progress
    ) -> "_Round":
        return _Round(
            rival=await _yardstick(self.yardstick, ends, count, cores),
            ours={way: await self._ours(way, ends, count, cores, progress) for way in self.goals},
        )

    async def _ours(
        self, way: str, ends: Sequence[str], count: int, cores: Cores, progress: load.Progress
    ) -> "_Lap":
        config = load.TENANT + self.config(ends)
        with tempfile.TemporaryDirectory() as folder:
            async with (
                self.usual.gateway(Path(folder), config, cores=cores) as running,
                load.session() as client,
            ):
                warm = max(100, count // 20)
                await self._post(way, client, running, warm, 0)
                await load.until_sent(client, running, warm)
                before, begun = usage(running.pid), time.perf_counter()
                await self._post(way, client, running, count, warm)
                ended = await load.until_sent(client, running, warm + count, progress)
                after = usage(running.pid)
        return _Lap(
            rate=count / (ended - begun),
            cpu_us=(after.cpu_seconds - before.cpu_seconds) / count * 1e6,
            peak_bytes=after.peak_bytes,
        )

    async def _post(
        self, way: str, client: aiohttp.ClientSession, running: Running, count: int, first: int
    ) -> None:
        if way == SINGLY:
            await load.post_singly(running, count, first=first, make=self.message)
        else:
            await load.post(client, running, count, first=first, make=self.message)

    def _result(self, times: Sequence["_Round"], most: "_Lap | None", cores: Cores) -> Result:
        figures: dict[str, float | int | str] = {}
        reached: bool | None = None
        for way, goal in self.goals.items():
            prefix = f"{way}: " if len(self.goals) > 1 else ""
            ours = [one.ours[way] for one in times]
            ratios = [one.ours[way].rate / one.rival.rate for one in times]
            if goal is not None:
                reached = reached is not False and statistics.median(ratios) >= goal
            figures |= {
                f"{prefix}ratio": spread(ratios),
                f"{prefix}gateway messages/s": spread([one.rate for one in ours]),
                f"{prefix}gateway CPU µs/message": spread([one.cpu_us for one in ours]),
            }
        rivals = [one.rival for one in times]
        figures |= {
            f"{self.rival} messages/s": spread([one.rate for one in rivals]),
            f"{self.rival} CPU µs/message": spread([one.cpu_us for one in rivals]),
            "peak memory MB": max(lap.peak_bytes for one in times for lap in one.ours.values())
            / 1e6,
        }
        if most is not None:
            figures["other end takes at least, messages/s"] = most.rate
        return Result(
            name=self.name,
            goal=self._goal(),
            reached=reached,
            figures=figures,
            charts=[self._chart(times, cores)],
        )

    def _chart(self, times: Sequence["_Round"], cores: Cores) -> Chart:
        bars = {
            "gateway" + (f", {way}" if len(self.goals) > 1 else ""): [
                one.ours[way].rate for one in times
            ]
            for way in self.goals
        }
        return Chart(
            title=f"{self.name}: messages a second{on(cores)}",
            bars={**bars, self.rival: [one.rival.rate for one in times]},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lap:
    """What somebody did once."""

    #: messages a second
    rate: float
    cpu_us: float
    peak_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """What both did in turn."""

    rival: _Lap
    #: by how it was posted to
    ours: Mapping[str, _Lap]


async def _yardstick(module: str, ends: Sequence[str], count: int, cores: Cores) -> _Lap:
    words = ("-m", f"benchmarks.yardsticks.{module}", *ends, str(count))
    async with started(*words, cores=cores, patience=600.0) as line:
        return _Lap(**orjson.loads(line))

"""Races: messages through the whole gateway against a bare loop that stores nothing.

Every message is durable before its 202 and in its end state on disk before it counts. Both take
turns on the same core, with the same other end on another; what counts is the ratio.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks import load
from benchmarks.processes import apart, gateway, simulator, started, usage
from benchmarks.report import Chart, Result, rounds, spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """Who runs against whom."""

    name: str
    #: the least ratio, if one was set, and the yardstick in words
    goal: float | None
    against: str
    messages: int
    #: what is sent to: each gives an address
    ends: Sequence[Callable[[], AbstractAsyncContextManager[str]]]
    #: module of the yardstick; it gets the addresses and how many messages
    yardstick: str
    #: addresses to TOML of providers and lanes
    config: Callable[[Sequence[str]], str]
    message: load.Make = load.message

    async def run(self, scale: float, progress: load.Progress) -> Result:
        count = max(100, int(self.messages * scale))
        bare: list[float] = []
        ours: list[_Lap] = []
        with apart() as core:
            async with AsyncExitStack() as stack:
                ends = [await stack.enter_async_context(end()) for end in self.ends]
                for _ in range(rounds(scale)):
                    bare.append(await self._bare(ends, count, core))
                    ours.append(await self._ours(ends, count, core, progress))
        ratios = [mine.rate / theirs for mine, theirs in zip(ours, bare, strict=True)]
        return Result(
            name=self.name,
            goal=f"at least {self.goal:g} of {self.against}" if self.goal else self.against,
            reached=statistics.median(ratios) >= (self.goal or 0.0),
            figures={
                "ratio": spread(ratios),
                "gateway messages/s": spread([one.rate for one in ours]),
                "bare loop messages/s": spread(bare),
                "gateway CPU µs/message": spread([one.cpu_us for one in ours]),
                "peak memory MB": max(one.peak_bytes for one in ours) / 1e6,
            },
            charts=[
                Chart(
                    title=f"{self.name}: messages a second on one core",
                    bars={"gateway": [one.rate for one in ours], "bare loop": bare},
                )
            ],
        )

    async def _bare(self, ends: Sequence[str], count: int, core: int | None) -> float:
        words = ("-m", f"benchmarks.yardsticks.{self.yardstick}", *ends, str(count))
        async with started(*words, core=core, patience=600.0) as line:
            return float(orjson.loads(line)["rate"])

    async def _ours(
        self, ends: Sequence[str], count: int, core: int | None, progress: load.Progress
    ) -> "_Lap":
        config = load.TENANT + self.config(ends)
        with tempfile.TemporaryDirectory() as folder:
            async with (
                gateway(Path(folder), config, core=core) as running,
                load.session() as client,
            ):
                warm = max(100, count // 20)
                await load.post(client, running, warm, make=self.message)
                await load.until_sent(client, running, warm)
                before, begun = usage(running.pid), time.perf_counter()
                await load.post(client, running, count, first=warm, make=self.message)
                ended = await load.until_sent(client, running, warm + count, progress)
                after = usage(running.pid)
        return _Lap(
            rate=count / (ended - begun),
            cpu_us=(after.cpu_seconds - before.cpu_seconds) / count * 1e6,
            peak_bytes=after.peak_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lap:
    """What the gateway did once."""

    #: messages a second
    rate: float
    cpu_us: float
    peak_bytes: int


def _lane(channel: str, provider: str) -> str:
    return f'[lanes.{channel}]\nchannel = "{channel}"\nproviders = ["{provider}"]\n'


def _http(ends: Sequence[str]) -> str:
    return load.provider(ends[0]) + _lane("sms", "acme")


def _fallback(ends: Sequence[str]) -> str:
    return (
        _http(ends)
        + load.provider(ends[1], name="second", channel="email", to="to.email")
        + _lane("email", "second")
    )


def _fallback_message(number: int, category: str = "service") -> Mapping[str, object]:
    return {
        **load.message(number, category),
        "to": {"phone": load.phone(number), "email": load.email(number)},
        "chain": [{"channel": "sms"}, {"channel": "email"}],
    }


def _smtp(ends: Sequence[str]) -> str:
    host, port = ends[0].split(":")
    return (
        f'[providers.relay]\nkind = "smtp"\nhost = "{host}"\nport = {port}\nsecurity = "none"\n'
        f'from = "Bench <bench@example.com>"\nconcurrency = {load.SMTP_CONNECTIONS}\n'
        "messages_per_connection = 1000\n"
    ) + _lane("email", "relay")


def _smtp_message(number: int, category: str = "service") -> Mapping[str, object]:
    return {
        "to": {"email": load.email(number)},
        "content": {"subject": load.SUBJECT, "text": load.TEXT},
        "category": category,
        "chain": [{"channel": "email"}],
    }


def _refusing() -> AbstractAsyncContextManager[str]:
    """A provider that takes nothing."""
    return started("-m", "benchmarks.sink", "--status", "422")


def _mail() -> AbstractAsyncContextManager[str]:
    """A mail server that takes everything; host:port."""
    return started("-m", "benchmarks.smtp_sink")


RACES = {
    race.name: race
    for race in (
        Race(
            name="http",
            goal=0.5,
            against="a bare aiohttp loop",
            messages=20_000,
            ends=[simulator],
            yardstick="http_client",
            config=_http,
        ),
        Race(
            name="fallback",
            goal=None,
            against="beside a bare aiohttp loop that makes both calls of a message",
            messages=10_000,
            ends=[_refusing, simulator],
            yardstick="http_client",
            config=_fallback,
            message=_fallback_message,
        ),
        Race(
            name="smtp",
            goal=2.0,
            against="a bare aiosmtplib loop",
            messages=5_000,
            ends=[_mail],
            yardstick="smtp_client",
            config=_smtp,
            message=_smtp_message,
        ),
    )
}

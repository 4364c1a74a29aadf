"""How much one connection to a provider carries: through the whole gateway, and by itself.

The other end is a server in a process of its own that takes everything and does next to nothing.
Through the gateway each message is durable before its 202 and in its end state on disk; alone it
goes by the adapter and the connection, without store.
"""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from benchmarks import load
from benchmarks.processes import Cores, apart, connections_to, on, started, usage
from benchmarks.report import Chart, Result, rounds, spread
from benchmarks.variant import USUAL, Variant


@dataclass(frozen=True, kw_only=True)
class Line:
    """What goes over the connection."""

    name: str
    #: of what is counted, one and many
    one: str
    many: str
    #: a second, for messages through the whole gateway
    goal: float
    #: module of the other end; prints the account's keys as JSON
    sink: str
    #: module that sends without the gateway: `… KEYS COUNT`; prints `rate` and `cpu_us` as JSON
    yardstick: str
    #: of the other end, by the account's keys
    port: Callable[[Mapping[str, Any]], int]
    #: tables of account and lane, by the account's keys
    config: Callable[[Mapping[str, Any]], str]
    make: Callable[[int, str], Mapping[str, object]]

    async def run(self, scale: float, progress: load.Progress, variant: Variant = USUAL) -> Result:
        count = max(100, int(20_000 * scale))
        whole: list[_Lap] = []
        alone: list[_Lap] = []
        with apart(variant.processes) as cores:
            for number in range(rounds(scale)):
                async with started("-m", self.sink) as keys:
                    alone.append(await self._alone(keys, count, cores))
                async with started("-m", self.sink) as keys:
                    whole.append(await self._whole(keys, count, cores, variant))
                progress(number + 1, rounds(scale))
        return self._result(whole, alone, cores, variant)

    def _result(
        self, whole: list["_Lap"], alone: list["_Lap"], cores: Cores, variant: Variant
    ) -> Result:
        connections = max(one.connections for one in whole)
        figures: dict[str, float | int | str] = {
            f"gateway {self.many}/s": spread([one.rate for one in whole]),
            f"gateway CPU µs/{self.one}": spread([one.cpu_us for one in whole]),
            "connections": connections,
            f"adapter and connection alone, {self.many}/s": spread([one.rate for one in alone]),
            f"adapter and connection alone, CPU µs/{self.one}": spread(
                [one.cpu_us for one in alone]
            ),
        }
        bars = {
            "gateway": [one.rate for one in whole],
            "adapter and connection alone": [one.rate for one in alone],
        }
        title = f"{self.name}: {self.many} a second over one connection" + on(cores)
        return Result(
            name=self.name,
            goal=f"at least {self.goal:g} {self.many}/s over one connection, through the whole "
            "gateway",
            reached=connections <= variant.processes
            and min(one.rate for one in whole) >= self.goal,
            figures=figures,
            charts=[Chart(title=title, bars=bars)],
        )

    async def _alone(self, keys: str, count: int, cores: Cores) -> "_Lap":
        words = ("-m", self.yardstick, keys, str(count))
        async with started(*words, cores=cores, patience=600.0) as line:
            return _Lap(**orjson.loads(line))

    async def _whole(self, keys: str, count: int, cores: Cores, variant: Variant) -> "_Lap":
        account = orjson.loads(keys)
        config = load.TENANT + self.config(account)
        with tempfile.TemporaryDirectory() as folder:
            async with (
                variant.gateway(Path(folder), config, cores=cores) as running,
                load.session() as client,
            ):
                warm = max(100, count // 20)
                await load.post(client, running, warm, make=self.make)
                await load.until_sent(client, running, warm)
                before, begun = usage(running.pid), time.perf_counter()
                await load.post(client, running, count, first=warm, make=self.make)
                ended = await load.until_sent(client, running, warm + count)
                after, connections = usage(running.pid), connections_to(self.port(account))
        return _Lap(
            rate=count / (ended - begun),
            cpu_us=(after.cpu_seconds - before.cpu_seconds) / count * 1e6,
            connections=connections,
        )


class _Lap(NamedTuple):
    #: messages a second
    rate: float
    cpu_us: float
    #: that the other end had at its end
    connections: int = 1


def keys_of(account: Mapping[str, Any]) -> str:
    """Lines of its table."""
    return "".join(
        f"{name} = '''{value}'''\n" if isinstance(value, str) else f"{name} = {value}\n"
        for name, value in account.items()
    )

"""How many rows wait in a gateway's queue, looked at while something else goes on."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import aiohttp

from benchmarks import load
from benchmarks.processes import Running
from benchmarks.report import Chart

#: Seconds between looks. The gateway counts its queue every five, and less often when that is slow.
_EVERY = 1.0


class Depths:
    """Seconds since the first look, and rows that wait, by lane."""

    def __init__(self) -> None:
        self._lines = defaultdict[str, list[tuple[float, float]]](list)
        self._begun: float | None = None

    @property
    def lines(self) -> Mapping[str, Sequence[tuple[float, float]]]:
        """Of the lanes on which anything waited."""
        return {lane: line for lane, line in self._lines.items() if any(rows for _, rows in line)}

    def chart(self, title: str) -> Chart:
        return Chart(title=title, lines=self.lines or dict(self._lines), across="seconds")

    @asynccontextmanager
    async def watch(self, running: Running) -> AsyncIterator[None]:
        """Look at this gateway meanwhile, and once more at the end."""
        async with load.session() as client:
            looking = asyncio.create_task(self._look_on(client, running))
            try:
                yield
            finally:
                looking.cancel()
                with suppress(asyncio.CancelledError):
                    await looking
            await self._look(client, running)

    async def _look_on(self, client: aiohttp.ClientSession, running: Running) -> None:
        while True:
            await self._look(client, running)
            await asyncio.sleep(_EVERY)

    async def _look(self, client: aiohttp.ClientSession, running: Running) -> None:
        self._begun = self._begun or time.monotonic()
        at = time.monotonic() - self._begun
        for lane, rows in (await running.by_label(client, "gateway_queue_rows", "lane")).items():
            self._lines[lane].append((at, rows))

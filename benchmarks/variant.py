"""Where a gateway stores, and in how many processes it runs: the same benchmark in several ways."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.databases import database
from benchmarks.processes import Cores, Running, gateway
from benchmarks.report import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """How a gateway runs."""

    #: on PostgreSQL, else on a SQLite file
    postgres: bool = False
    #: several share one PostgreSQL
    processes: int = 1

    @property
    def words(self) -> str:
        """What is unusual; nothing if nothing is."""
        words = ["PostgreSQL"] if self.postgres else []
        return ", ".join(words + ([f"{self.processes} processes"] if self.processes > 1 else []))

    @asynccontextmanager
    async def gateway(
        self, folder: Path, config: str, *, cores: Cores = None
    ) -> AsyncIterator[Running]:
        """One that runs so, on a store of its own; otherwise as `processes.gateway`."""
        if not self.postgres:
            async with gateway(folder, config, cores=cores) as running:
                yield running
            return
        async with (
            database() as store,
            gateway(folder, config, store=store, processes=self.processes, cores=cores) as running,
        ):
            yield running

    def tell(self, result: Result) -> Result:
        """The same, called after what was unusual. No goal was set for that."""
        if not self.words:
            return result
        return replace(
            result,
            name=f"{result.name} ({self.words})",
            goal=f"to compare with {result.name}",
            reached=None,
            charts=[
                replace(chart, title=f"{chart.title} ({self.words})") for chart in result.charts
            ],
        )


#: One process on SQLite.
USUAL = Variant()

"""Runs cases, each on a bench of its own unless it brings everything itself."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tests.faults.bench import Bench
from tests.faults.database import CONNECTIONS, Database, Postgres, Sqlite
from tests.faults.namespaces import CannotPlay
from tests.faults.trial import Case, Form, Result, Trial
from tests.nursery import Nursery
from tests.store.server import Databases, Server


class Runner:
    """Runs cases in one form by one seed."""

    def __init__(self, seed: int, form: Form, nursery: Nursery | None = None) -> None:
        """nursery: where gateways are born; None: each start imports everything."""
        self.seed = seed
        self.form = form
        self._nursery = nursery

    async def run(self, case: "AnyCase") -> Result:
        """Whatever breaks is told in the result. Raises CannotPlay."""
        try:
            if isinstance(case, OwnCase):
                return await case.run(self, case)
            async with self.opened(case) as bench:
                return await self.play(case, bench)
        except CannotPlay:
            raise
        except AssertionError as error:
            return self.result(case, broken=[str(error)])

    async def play(self, case: Case, bench: Bench) -> Result:
        return await Trial(case, bench, seed=self.seed, form=self.form).run()

    def result(self, case: "AnyCase", **found: object) -> Result:
        return Result(fault=case.name, seed=self.seed, form=self.form, **found)  # type: ignore[arg-type]

    @asynccontextmanager
    async def opened(self, case: Case, *, store: Path | None = None) -> AsyncIterator[Bench]:
        """A bench for a case, or for several that ask for nothing of their own.

        store: the folder of the database, if it is not to lie with the rest.
        """
        async with AsyncExitStack() as stack:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-faults-"))
            database: Database
            if case.engine == "postgres":
                database = await stack.enter_async_context(_postgres())
            else:
                database = Sqlite((store or Path(name)) / "gateway.db")
            bench = Bench(
                Path(name),
                database,
                seed=self.seed,
                nodes=case.nodes,
                changes=case.changes if case.is_own(self.form) else {},
                reports=case.reports or not case.is_own(self.form),
                node=case.node,
                hosts=case.hosts,
                nursery=self._nursery,
            )
            yield await stack.enter_async_context(bench)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCase:
    """A fault that needs no process of the gateway, or a world of its own."""

    name: str
    what: str
    run: Callable[[Runner, "OwnCase"], Awaitable[Result]]
    forms: frozenset[Form] = frozenset(Form)


AnyCase: TypeAlias = Case | OwnCase


@asynccontextmanager
async def _postgres() -> AsyncIterator[Database]:
    """A database of a server of its own, which keeps what it says it has kept."""
    server = await asyncio.to_thread(_start)
    try:
        databases = Databases(server.url)
        name = await asyncio.to_thread(databases.create)
        yield Postgres(databases.at(name), server)
    finally:
        await asyncio.to_thread(server.remove)


def _start() -> Server:
    settings = {"fsync": "on", "full_page_writes": "on", "autovacuum": "on"}
    server = Server(**settings, max_connections=str(CONNECTIONS))
    server.start()
    return server

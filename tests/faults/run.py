"""Runs a case, on a bench of its own unless it brings everything itself."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

from tests.faults.bench import Bench
from tests.faults.database import CONNECTIONS, Database, Postgres, Sqlite
from tests.faults.nodes import ENVIRON
from tests.faults.nursery import Nursery
from tests.faults.trial import Case, Form, OwnCase, Result, Trial
from tests.store.server import Databases, Server

AnyCase: TypeAlias = Case | OwnCase


async def run(case: AnyCase, *, seed: int, form: Form) -> Result:
    """Whatever breaks is told in the result."""
    try:
        if isinstance(case, OwnCase):
            return await case.run(case, seed, form)
        async with opened(case, seed=seed, form=form) as bench:
            return await Trial(case, bench, seed=seed, form=form).run()
    except AssertionError as error:  # it could not even be played
        return Result(fault=case.name, seed=seed, form=form, broken=[str(error)])


@asynccontextmanager
async def opened(
    case: Case, *, seed: int, form: Form, store: Path | None = None
) -> AsyncIterator[Bench]:
    """A bench for a case, or for several that ask for nothing of their own.

    store: the folder of the database, if it is not to lie with the rest.
    """
    nursery = Nursery() if form is Form.SHORT else None
    async with AsyncExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-faults-"))
        folder = Path(name)
        if case.engine == "postgres":
            database: Database = await stack.enter_async_context(_postgres())
        else:
            database = Sqlite((store or folder) / "gateway.db")
        bench = Bench(
            folder,
            database,
            seed=seed,
            nodes=case.nodes,
            changes=case.changes,
            reports=case.reports,
            node=case.node,
            hosts=case.hosts,
            nursery=nursery,
        )
        if nursery is not None:
            await nursery.open(ENVIRON)
            stack.push_async_callback(nursery.close)
        yield await stack.enter_async_context(bench)


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

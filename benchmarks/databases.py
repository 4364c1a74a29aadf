"""A PostgreSQL for benchmarks. Its data live in memory, and it syncs them all the same."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.store.server import Databases, Server


@asynccontextmanager
async def databases() -> AsyncIterator[Databases]:
    server = Server(shared_buffers="256MB", autovacuum="on", fsync="on", full_page_writes="on")
    server.start()
    try:
        yield Databases(server.url)
    finally:
        server.remove()


@asynccontextmanager
async def database() -> AsyncIterator[str]:
    """The URL of an empty one."""
    async with databases() as made:
        yield made.at(made.create())

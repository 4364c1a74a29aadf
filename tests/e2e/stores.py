"""The same gateway on each engine, and its tables as somebody else reads them."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest

from tests.store.server import Databases

Rows = list[tuple[Any, ...]]
#: Runs a statement beside the gateway.
Sql = Callable[[str], Awaitable[Rows]]

ENGINES = ["sqlite", "postgres"]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def url(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a database of the test's own. Ask for it before the stand, which must close first."""
    if engine == "sqlite":
        yield f"sqlite://{tmp_path}/gateway.db"
        return
    databases: Databases = request.getfixturevalue("databases")
    name = databases.create()
    yield databases.at(name)
    databases.drop(name)


@pytest.fixture
def sql(engine: str, url: str) -> Sql:
    async def on_postgres(query: str) -> Rows:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    async def on_sqlite(query: str) -> Rows:
        connection = apsw.Connection(url.removeprefix("sqlite://"))
        try:
            connection.set_busy_timeout(5_000)
            return list(connection.execute(query))
        finally:
            connection.close()

    return on_postgres if engine == "postgres" else on_sqlite

"""Runs named queries on one connection, lent for the time of a piece of work."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import asyncpg.pool

from gateway.store.postgres.statements import Statement, joined, single

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

#: What to write: rows by the name of the query that takes them, in the order of its parameters.
Batches: TypeAlias = Mapping[str, Sequence[Sequence[Any]]]


class Session:
    """Named queries; their parameters are lists where the SQL says `unnest`."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        #: the transaction, once `write` was called: its number, `/`, and the server's life; without
        #: it, nobody can tell what became of a commit that lost its answer
        self.transaction: str | None = None

    async def rows(self, name: str, **values: Any) -> list[asyncpg.Record]:
        statement = single(name)
        return await self.connection.fetch(statement.sql, *statement.parameters(values))

    async def value(self, name: str, **values: Any) -> Any:
        """The first column of the first row; None without one."""
        statement = single(name)
        return await self.connection.fetchval(statement.sql, *statement.parameters(values))

    async def run(self, name: str, **values: Any) -> int:
        """How many rows it wrote."""
        statement = single(name)
        done = await self.connection.execute(statement.sql, *statement.parameters(values))
        return int(done.rpartition(" ")[2])

    async def over(
        self, name: str, rows: Sequence[Sequence[Any]], **values: Any
    ) -> list[asyncpg.Record]:
        """Run a query over rows, whose columns are its first parameters; what it gives."""
        statement = single(name)
        return await self.connection.fetch(
            statement.sql, *statement.parameters(_columns(statement, rows, values))
        )

    async def run_over(self, name: str, rows: Sequence[Sequence[Any]], **values: Any) -> int:
        """As `over`; how many rows it wrote."""
        return await self.run(name, **_columns(single(name), rows, values))

    async def write(self, batches: Batches, **values: Any) -> None:
        """Run queries over their rows, those that have any, all in one statement."""
        filled = {name: rows for name, rows in batches.items() if rows}
        if not filled:
            return
        parameters: list[Any] = []
        for name, rows in filled.items():
            parameters += single(name).parameters(_columns(single(name), rows, values))
        self.transaction = await self.connection.fetchval(joined(tuple(filled)), *parameters)


def _columns(
    statement: Statement, rows: Sequence[Sequence[Any]], values: Mapping[str, Any]
) -> dict[str, Any]:
    """rows: at least one."""
    return {**dict(zip(statement.columns, zip(*rows, strict=True), strict=True)), **values}

"""Brings a database's schema to the program's, one node at a time, before anything else is done."""

from collections.abc import Mapping
from typing import TypeAlias

import asyncpg

from gateway.model.errors import StoreMismatch
from gateway.store import queries
from gateway.store.postgres import days
from gateway.store.postgres.address import Address

Direct: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

#: Seconds for the first connection.
_CONNECT = 5.0

#: Keeps other nodes waiting while one changes tables: a number of ours, and one by schema. Taken
#: before the transaction begins: one that waits inside it may go on with what it knew before.
_LOCK = "SELECT pg_advisory_lock(7205934, hashtext(current_schema()))"

#: The oldest server that the tests have passed on.
_OLDEST_SERVER = 15


async def prepare(address: Address, settings: Mapping[str, str], *, migrate: bool) -> None:
    """Set up or bring up to date; make the partitions of the coming days.

    migrate: an older schema is brought up to date; an empty database is always set up. Raises
    StoreMismatch, or what the driver raises.
    """
    target = address.target
    # A migration takes as long as it takes, and waits for the node that is at it.
    patient = {**settings, "statement_timeout": "0"}
    connection = await asyncpg.connect(address.url, timeout=_CONNECT, server_settings=patient)
    try:
        if connection.get_server_version().major < _OLDEST_SERVER:
            raise StoreMismatch(f"{target}: PostgreSQL {_OLDEST_SERVER} or newer is needed")
        if await _present(connection) != _newest():
            await connection.execute(_LOCK)  # until the connection ends
            async with connection.transaction():
                await _migrate(connection, target, migrate=migrate)
        now_ms = await connection.fetchval("SELECT (extract(epoch FROM now()) * 1000)::bigint")
        await days.make_ahead(connection, now_ms)
    finally:
        await connection.close(timeout=_CONNECT)


def _newest() -> int:
    return queries.migrations("postgres")[-1][0]


async def _present(connection: Direct) -> int:
    """The schema's number; 0 in an empty database."""
    if await connection.fetchval("SELECT to_regclass('gateway_schema')") is None:
        return 0
    found: int | None = await connection.fetchval("SELECT max(number) FROM gateway_schema")
    return found or 0


async def _migrate(connection: Direct, target: str, *, migrate: bool) -> None:
    present, newest = await _present(connection), _newest()
    if present > newest:
        raise StoreMismatch(
            f"{target} has schema {present}, this program knows {newest}: install a newer gateway"
        )
    if present == newest:  # another node was quicker
        return
    if present == 0:
        await _start(connection, target)
    elif not migrate:
        raise StoreMismatch(f"{target} has schema {present} of {newest}: run `gateway migrate`")
    for number, script in queries.migrations("postgres"):
        if number > present:
            await connection.execute(script)
            await connection.execute("INSERT INTO gateway_schema (number) VALUES ($1)", number)


async def _start(connection: Direct, target: str) -> None:
    taken = await connection.fetchval("SELECT to_regclass('message')")
    if taken is not None:
        raise StoreMismatch(f"{target} holds tables of something else: use a database of its own")
    await connection.execute("CREATE TABLE gateway_schema (number integer PRIMARY KEY)")

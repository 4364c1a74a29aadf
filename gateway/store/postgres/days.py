"""Partitions by day of what is kept about messages: made ahead, and dropped whole when old.

Each table's partition is made and dropped in a transaction of its own: it needs the table for
itself, and waiting for a second one while holding the first would be waiting for transactions that
wait for us.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from gateway.model.values import Value
from gateway.store.pages import first_id

#: Tables by day, with the column of the message's id. The status goes first: without it nobody
#: finds the rest, nor gives the message work again.
TABLES = {
    "status": "message",
    "message": "id",
    "attempt": "message",
    "receipt": "message",
    "event": "message",
}

#: Days that have their partitions before they come.
_AHEAD = 3

_DAY_MS = 86_400_000

#: Nobody waits longer for a partition: the statements behind it would, too. There is a next time.
_PATIENCE = "SET LOCAL lock_timeout = '2s'"

_NOT_NOW = (asyncpg.LockNotAvailableError,)

#: Another node was quicker, and we did not see it.
_MADE = (asyncpg.DuplicateTableError, asyncpg.UniqueViolationError)

#: A status is written anew a few times while its message is on its way.
_OPTIONS = {"status": " WITH (fillfactor = 80)"}

#: What keeps two nodes from making or dropping the same partition.
_LOCK = "SELECT pg_advisory_xact_lock(7205935, hashtext(current_schema()))"

_LISTED = """
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = to_regclass($1)"""

#: Rows of a table, -1 before they were first estimated; to count them would take long.
_ROUGHLY = "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass($1)"

_HAS_WORK = "SELECT EXISTS (SELECT 1 FROM queue WHERE message >= $1 AND message < $2)"


class Day(Value, kw_only=False):
    """A UTC day: the range of ids from `first` on and before `end`."""

    name: str
    first: str
    end: str


def day_of(at_ms: int) -> Day:
    start = at_ms - at_ms % _DAY_MS
    name = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=start)).strftime("%Y%m%d")
    return Day(name, first_id(start), first_id(start + _DAY_MS))


async def make_ahead(connection: Any, now_ms: int) -> None:
    """Make partitions for today and the coming days, where there is none and no stray."""
    for table in TABLES:
        present = await _present(connection, table)
        for number in range(_AHEAD + 1):
            day = day_of(now_ms + number * _DAY_MS)
            if day.name not in present:
                with suppress(*_NOT_NOW, *_MADE):
                    await _make(connection, table, day)


async def older(connection: Any, before_ms: int) -> list[Day]:
    """Days with partitions that ended by then, oldest first."""
    names = {name for table in TABLES for name in await _present(connection, table)}
    days = [day_of(_start_of(name)) for name in sorted(names)]
    return [day for day in days if day.end <= first_id(before_ms)]


async def drop(connection: Any, day: Day) -> int:
    """Drop a day's partitions, unless there is work left of it or others are in the way; about how
    many messages went."""
    messages = await connection.fetchval(_ROUGHLY, f"message_{day.name}")
    for table in TABLES:
        try:
            if not await _drop(connection, table, day):
                return 0
        except _NOT_NOW:
            return 0
    return max(0, messages or 0)


async def _present(connection: Any, table: str) -> set[str]:
    """Names of the days that a table has partitions for."""
    found = [row[0].removeprefix(f"{table}_") for row in await connection.fetch(_LISTED, table)]
    return {name for name in found if name != "other"}


async def _make(connection: Any, table: str, day: Day) -> None:
    column, options = TABLES[table], _OPTIONS.get(table, "")
    async with connection.transaction():
        await connection.execute(_PATIENCE)
        await connection.execute(_LOCK)
        strays = (
            f"SELECT EXISTS (SELECT 1 FROM {table}_other WHERE {column} >= $1 AND {column} < $2)"
        )
        if not await connection.fetchval(strays, day.first, day.end):
            await connection.execute(
                f"CREATE TABLE IF NOT EXISTS {table}_{day.name} PARTITION OF {table} "
                f"FOR VALUES FROM ('{day.first}') TO ('{day.end}'){options}"
            )


async def _drop(connection: Any, table: str, day: Day) -> bool:
    async with connection.transaction():
        await connection.execute(_PATIENCE)
        await connection.execute(_LOCK)
        # from here on nobody writes; who gave work to a message before, has committed it
        await connection.execute(f"LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE")
        if await connection.fetchval(_HAS_WORK, day.first, day.end):
            return False
        await connection.execute(f"DROP TABLE IF EXISTS {table}_{day.name}")
    return True


def _start_of(name: str) -> int:
    return int(datetime.strptime(name, "%Y%m%d").replace(tzinfo=UTC).timestamp() * 1000)

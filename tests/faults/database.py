"""A gateway's database as somebody else reads it. Queries are the same for both engines; what is
not is a method here.
"""

import asyncio
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import apsw
import asyncpg

from tests.store.server import Server

#: As the gateway's own connections say.
_APPLICATION = "gateway"

#: That the server of a fleet takes: no more than it needs.
CONNECTIONS = 40

#: Milliseconds to wait for the gateway's own transactions.
_BUSY_MS = 10_000


class Database(Protocol):
    """One gateway's, or one fleet's."""

    url: str

    async def rows(self, query: str) -> list[tuple[Any, ...]]: ...

    async def rows_at_rest(self, query: str) -> list[tuple[Any, ...]]:
        """While no gateway runs, and without helping the next one to recover; none if there is
        no database yet."""
        ...

    async def faults(self) -> list[str]:
        """Whatever is wrong with its structure, and transactions that were left open."""
        ...

    async def hurry(self) -> None:
        """Let the time pass that our reports wait for their next try: minutes to days."""
        ...


_HURRY = """UPDATE queue SET due_ms = 0 WHERE lane = 'webhook' AND owner IS NULL
    AND rank IS NULL AND due_ms > 0"""


class Sqlite:
    """Reads and checks a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite://{path}"

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(self._rows, self.path, query)

    def _rows(self, path: Path, query: str) -> list[tuple[Any, ...]]:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(_BUSY_MS)
            return list(connection.execute(query))
        finally:
            connection.close()

    async def rows_at_rest(self, query: str) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(self._rows_of_copy, query)

    def _rows_of_copy(self, query: str) -> list[tuple[Any, ...]]:
        if not self.path.exists():
            return []
        with tempfile.TemporaryDirectory() as folder:
            for name in (self.path.name, f"{self.path.name}-wal"):
                with suppress(FileNotFoundError):
                    shutil.copyfile(self.path.with_name(name), Path(folder, name))
            connection = apsw.Connection(str(Path(folder, self.path.name)))
            try:
                has_tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
                return list(connection.execute(query)) if has_tables else []
            finally:
                connection.close()

    async def faults(self) -> list[str]:
        return await asyncio.to_thread(self._faults)

    def _faults(self) -> list[str]:
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            found = [text for (text,) in connection.execute("PRAGMA integrity_check")]
            found += map(str, connection.execute("PRAGMA foreign_key_check"))
            connection.set_busy_timeout(_BUSY_MS)
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            except apsw.BusyError:
                found.append("a transaction was left open")
            return [one for one in found if one != "ok"]
        finally:
            connection.close()

    async def hurry(self) -> None:
        await asyncio.to_thread(self._hurry)

    def _hurry(self) -> None:
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.set_busy_timeout(_BUSY_MS)
            connection.execute(_HURRY)
        finally:
            connection.close()


class Postgres:
    """Reads and checks a database. server: that it is on, to do things to."""

    def __init__(self, url: str, server: Server) -> None:
        self.url = url
        self.server = server

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self.url)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    async def rows_at_rest(self, query: str) -> list[tuple[Any, ...]]:
        try:
            return await self.rows(query)
        except asyncpg.UndefinedTableError:
            return []

    async def faults(self) -> list[str]:
        return [*await self._broken_indexes(), *await self._left_open()]

    async def _broken_indexes(self) -> list[str]:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute("CREATE EXTENSION IF NOT EXISTS amcheck")
            await connection.fetch(
                """SELECT bt_index_check(c.oid, heapallindexed => true)
                FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                JOIN pg_am a ON a.oid = c.relam JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE a.amname = 'btree' AND c.relkind = 'i' AND n.nspname = 'public'
                  AND i.indisready AND i.indisvalid"""
            )
            await connection.fetch(
                """SELECT verify_heapam(c.oid) FROM pg_class c
                JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind = 'r' AND n.nspname = 'public'"""
            )
        except asyncpg.PostgresError as error:
            return [f"amcheck: {error}"]
        finally:
            await connection.close()
        return []

    async def _left_open(self) -> list[str]:
        open_ = await self.rows(
            f"""SELECT pid, state, now() - xact_start FROM pg_stat_activity
            WHERE application_name = '{_APPLICATION}' AND xact_start < now() - interval '5 seconds'
            UNION ALL SELECT 0, gid, now() - prepared FROM pg_prepared_xacts"""
        )
        return [f"a transaction was left open: {one}" for one in open_]

    async def hurry(self) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(_HURRY)
        finally:
            await connection.close()

"""Opens the file, keeps it to one process, and runs work on it: writes in turn, reads aside.

Settings of the connection follow reliability.md: WAL, `synchronous=FULL` (a commit returns when it
is on disk), no memory map, a bounded page cache.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar

import apsw
import orjson

from gateway.model.errors import StoreMismatch, StoreUnavailable
from gateway.store import queries
from gateway.store.sqlite import files
from gateway.store.sqlite.writer import Writer

T = TypeVar("T")

#: Everything a decision about a message needs, as JSON array elements; needs `m` and `s` in scope.
#: The body is spliced in as it is stored, so that one parse reads a whole batch.
_CASE = """json_array(m.id, m.tenant, m.internal, m.created_ms, s.state, s.version, s.redrive,
                      s.ending, s.expires_ms)
    || ',' || m.body
    || ',' || (SELECT json_group_array(json_array(l.step, l.part,
                         json(iif(l.owner IS NULL, 'false', 'true')), l.due_ms, l.epoch))
               FROM queue l WHERE l.message = m.id)
    || ',' || CASE WHEN s.version = 0 THEN '[],[]' ELSE
              (SELECT json_group_array(json_array(a.redrive, a.step, a.part, a.number, a.provider,
                                                  a.outcome, a.segments))
               FROM attempt a WHERE a.message = m.id)
    || ',' || (SELECT json_group_array(json_array(c.redrive, c.step, c.part, nullif(c.number, -1),
                                                  c.provider, c.event, c.segment))
               FROM receipt c WHERE c.message = m.id) END"""

#: Messages as lists show them, of rows of message and status: id, state, category, created_ms,
#: expires_ms, metadata, started, claimed.
_LISTED = """coalesce(json_group_array(json_array(
    id, state, category, created_ms, expires_ms, json(coalesce(body -> '$.metadata', '{}')),
    version > 0
        OR EXISTS (SELECT 1 FROM queue q WHERE q.message = id AND q.rank IS NOT NULL),
    EXISTS (SELECT 1 FROM queue q WHERE q.message = id AND q.owner IS NOT NULL))), '[]')"""

#: Parts of the addresses of recipients, by one look at the first row of each.
_PARTS = """
    WITH RECURSIVE found (part) AS (
        SELECT min(part) FROM recipient_address
        UNION ALL
        SELECT (SELECT min(part) FROM recipient_address WHERE part > found.part) FROM found
        WHERE part IS NOT NULL)
    SELECT part FROM found WHERE part IS NOT NULL"""

QUERIES = queries.load("sqlite", {"case": _CASE, "listed": _LISTED, "parts": _PARTS})

#: Pages of 4 KiB in each connection's cache.
_CACHE_PAGES = 4_000

#: Log pages after which a commit also moves them into the file.
_CHECKPOINT_PAGES = 4_000

_READERS = 2

#: Freed when the disk is full, so that results in flight can still be written.
_BALLAST = 8 * 2**20


class Engine:
    """One SQLite file, used by this process alone (short writes of the command line aside)."""

    def __init__(
        self,
        path: Path,
        *,
        migrate: bool = True,
        exclusive: bool = True,
        on_commit: Callable[[float, int], None] = lambda seconds, works: None,
    ) -> None:
        self._path = path
        self._migrate = migrate
        self._exclusive = exclusive
        self._writer = Writer(self._connect, path, on_commit)
        self._local = threading.local()
        self._reading: list[apsw.Connection] = []
        self._readers: ThreadPoolExecutor | None = None
        self._lock: IO[str] | None = None

    async def open(self) -> None:
        """Raises StoreMismatch when the file cannot be used, StoreUnavailable when not now."""
        await asyncio.to_thread(self._prepare)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")
        self._writer.start()

    async def close(self) -> None:
        """Leaves nothing but the database, unless others have it open."""
        await self._stop_reading()
        await self._writer.stop()
        self._tidy()

    async def _stop_reading(self) -> None:
        """The log goes with the last connection, and only with one that may write."""
        if self._readers is None:
            return
        readers, self._readers = self._readers, None
        await asyncio.to_thread(readers.shutdown)
        for connection in self._reading:
            connection.close()
        self._reading.clear()

    def _tidy(self) -> None:
        if self._lock is not None:
            self._ballast.unlink(missing_ok=True)
            Path(self._lock.name).unlink(missing_ok=True)
        self._unlock()

    async def write(self, call: Callable[[apsw.Connection], T]) -> T:
        """Run in a transaction that is on disk on return."""
        try:
            return await self._writer.run(call)
        except StoreUnavailable:
            self._drop_ballast()
            raise

    async def read(self, call: Callable[[apsw.Connection], T]) -> T:
        """Run on a read-only connection; keep it short, or the log cannot be reset."""
        if self._readers is None:
            raise StoreUnavailable("the store is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._with_reader, call)

    async def check(self) -> None:
        """Raises StoreUnavailable unless there is room and a transaction goes through."""
        self.require_space()
        await self.write(lambda connection: None)

    def require_space(self) -> None:
        """Refuse new messages while there is room to finish those that were accepted."""
        if not self._writer.has_space():
            raise StoreUnavailable("the disk is almost full")

    def _prepare(self) -> None:
        files.make_folder(self._path.absolute().parent)
        if self._exclusive:
            self._lock = files.lock(self._path)
        try:
            self._set_up()
        except BaseException:
            self._unlock()
            raise
        if self._exclusive:
            self._lay_ballast()

    def _set_up(self) -> None:
        try:
            files.make_file(self._path)
            connection = self._connect()
        except (apsw.Error, OSError) as error:
            raise StoreMismatch(f"{self._path}: cannot be opened: {error}") from error
        try:
            _check_schema(connection, self._path, migrate=self._migrate)
        finally:
            connection.close()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(str(self._path), statementcachesize=128)
        connection.set_busy_timeout(5_000)
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "full")
        connection.pragma("mmap_size", 0)
        connection.pragma("cache_size", _CACHE_PAGES)
        connection.pragma("wal_autocheckpoint", _CHECKPOINT_PAGES)
        connection.pragma("journal_size_limit", 64 * 2**20)
        connection.pragma("temp_store", "memory")
        return connection

    def _with_reader(self, call: Callable[[apsw.Connection], T]) -> T:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
            connection.set_busy_timeout(5_000)
            connection.pragma("cache_size", _CACHE_PAGES)
            self._local.connection = connection
            self._reading.append(connection)
        try:
            return call(connection)
        except (apsw.IOError, apsw.BusyError, apsw.FullError) as error:
            raise StoreUnavailable(type(error).__name__) from error

    @property
    def _ballast(self) -> Path:
        return self._path.with_name(self._path.name + "-ballast")

    def _lay_ballast(self) -> None:
        if not self._ballast.exists() and self._writer.has_space():
            with open(self._ballast, "wb", opener=files.private) as file:
                file.write(bytes(_BALLAST))

    def _drop_ballast(self) -> None:
        if self._exclusive and not self._writer.has_space():
            self._ballast.unlink(missing_ok=True)


def _check_schema(connection: apsw.Connection, path: Path, *, migrate: bool) -> None:
    steps = queries.migrations("sqlite")
    present = int(connection.pragma("user_version"))
    newest = steps[-1][0]
    if present > newest:
        raise StoreMismatch(
            f"{path} has schema {present}, this program knows {newest}: install a newer gateway"
        )
    if present == newest:
        return
    if not migrate and present > 0:
        raise StoreMismatch(f"{path} has schema {present} of {newest}: run `gateway migrate`")
    for number, script in steps:
        if number > present:
            with connection:
                connection.execute(script)
                connection.pragma("user_version", number)


def call(connection: apsw.Connection, name: str, **values: Any) -> Any:
    """Run a named query; the first column of its first row, None without one."""
    for row in connection.execute(QUERIES[name], values):
        return row[0]
    return None


def call_json(connection: apsw.Connection, name: str, **values: Any) -> Any:
    """Run a named query that gives one JSON text, and parse it."""
    return orjson.loads(call(connection, name, **values))


def dump(rows: object) -> str:
    """Rows as the queries take them."""
    return orjson.dumps(rows).decode()


def run(connection: apsw.Connection, name: str, rows: Sequence[object], **values: Any) -> None:
    """Run a named query over rows, if there are any."""
    if rows:
        call(connection, name, rows=dump(rows), **values)

"""Runs work on a database server that may go away at any time.

Each piece of work has a connection for as long as it runs, never longer. What the server undid
because of a clash is done again here; everything else that the database cannot do now becomes
StoreUnavailable. When a connection is lost while a transaction ends, the server is asked what
became of it: nothing is reported as failed that was stored.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from typing import Any, TypeVar

import asyncpg
import asyncpg.pool

from gateway.model.errors import StoreError, StoreUnavailable
from gateway.store.postgres import schema, trouble
from gateway.store.postgres.address import Address
from gateway.store.postgres.backoff import Backoff
from gateway.store.postgres.session import Connection, Session

T = TypeVar("T")

#: Connections of one process at the most. PostgreSQL takes 100 by default, and has no use for more
#: than a few for each of its cores.
_CONNECTIONS = 8

#: Seconds to wait for a free connection, a new one included.
_ACQUIRE = 5.0

#: Seconds that a statement may take, here; the server gives up before, so that it tells us why.
_COMMAND = 12.0
STATEMENT = 10.0

#: A closed store gives what is still running so many seconds.
_CLOSE = 15.0

#: How often work is done again that clashed with another's, and the longest pause between.
_TRIES, _PAUSE = 10, 0.05

#: Seconds to find out what became of a transaction.
_DOUBT = 10.0

_SETTINGS = {
    "application_name": "gateway",
    "synchronous_commit": "on",
    "statement_timeout": f"{STATEMENT:.0f}s",
    "idle_in_transaction_session_timeout": "10s",
    # Plans are made for the values at hand: the ids tell the partitions, the limit its size.
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
    # The queue's statistics tell of another hour: an estimate of few rows sorts a million. All that
    # is large is read in the order of an index, or looked up in it row by row.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "enable_mergejoin": "off",
    "random_page_cost": "1.1",
}


#: What a connection may end with.
_LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


class _InDoubt(Exception):
    """The connection was lost while the transaction ended."""

    def __init__(self, transaction: str | None, result: Any) -> None:
        super().__init__()
        self.transaction = transaction
        self.result = result


class Engine:
    """One database, shared with other nodes.

    on_commit: gets (seconds, 1) after each transaction that wrote.
    """

    def __init__(
        self,
        url: str,
        *,
        migrate: bool = True,
        connections: int = _CONNECTIONS,
        on_commit: Callable[[float, int], None] = lambda seconds, works: None,
    ) -> None:
        self._address = Address(url)
        self._migrate = migrate
        self._connections = connections
        self._on_commit = on_commit
        self._backoff = Backoff()
        self._pool: asyncpg.pool.Pool[asyncpg.Record] | None = None
        self._running = 0
        self._idle = asyncio.Event()

    async def open(self) -> None:
        """Raises StoreMismatch when the database cannot be used, StoreUnavailable when not now."""
        try:
            await schema.prepare(self._address, _SETTINGS, migrate=self._migrate)
        except (StoreError, asyncio.CancelledError):
            raise
        except Exception as error:  # which is for `trouble` to tell
            if (known := trouble.at_entering(error, self._address.target)) is None:
                raise
            raise known from error
        self._pool = await asyncpg.create_pool(
            self._address.url,
            min_size=0,
            max_size=self._connections,
            command_timeout=_COMMAND,
            timeout=_ACQUIRE,
            server_settings=_SETTINGS,
            connect=self._connect,
            reset=_leave_as_it_is,
        )

    async def close(self) -> None:
        """Finish what is running; closing twice is harmless."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            with suppress(*_LOST):
                async with asyncio.timeout(_CLOSE):
                    if self._running:
                        self._idle.clear()
                        await self._idle.wait()
                    await pool.close()
        finally:
            pool.terminate()

    async def run(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Run work of which each statement is a transaction of its own."""
        return await self._again(lambda: self._run_once(work))

    async def transact(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Run work in one transaction that is on disk on return."""
        return await self._again(lambda: self._transact_once(work))

    async def _again(self, attempt: Callable[[], Awaitable[T]]) -> T:
        for number in range(1, _TRIES + 1):
            try:
                return await attempt()
            except trouble.CLASHES as error:
                if number == _TRIES:
                    raise StoreUnavailable(trouble.reason_of(error)) from error
            await asyncio.sleep(_PAUSE * number / _TRIES)
        raise AssertionError

    async def _run_once(self, work: Callable[[Session], Awaitable[T]]) -> T:
        async with self._session() as (_, session):
            return await work(session)

    async def _transact_once(self, work: Callable[[Session], Awaitable[T]]) -> T:
        started = perf_counter()
        try:
            async with self._session() as (connection, session):
                result = await _in_transaction(connection, session, work)
        except _InDoubt as doubt:
            if doubt.transaction is None or not await self._committed(doubt.transaction):
                raise StoreUnavailable("the connection was lost") from doubt
            result = doubt.result
        self._on_commit(perf_counter() - started, 1)
        return result

    async def _committed(self, transaction: str) -> bool:
        """Whether it was stored; asked until the server knows. Unknown, or for too long: no.

        transaction: as `Session` has it.
        """
        number, life = transaction.split("/", 1)
        with suppress(TimeoutError):
            async with asyncio.timeout(_DOUBT):
                while True:
                    with suppress(StoreUnavailable):
                        async with self._session() as (_, session):
                            end = await session.value(
                                "transaction_end", transaction=number, life=life
                            )
                            if end != "in progress":
                                return bool(end == "committed")
                    await asyncio.sleep(_PAUSE)
        return False

    async def listen(self, channel: str, heard: Callable[[Any, int, str, object], None]) -> None:
        """Call `heard` with what is notified, on a connection of its own, until cancelled. Raises
        StoreUnavailable when that is lost."""
        lost = asyncio.Event()
        try:
            connection = await asyncpg.connect(
                self._address.url, timeout=_ACQUIRE, server_settings=_SETTINGS
            )
            try:
                connection.add_termination_listener(lambda connection: lost.set())
                await connection.add_listener(channel, heard)
                await lost.wait()
            finally:
                connection.terminate()
        except Exception as error:  # which is for `trouble` to tell
            if (known := trouble.translated(error)) is None:
                raise
            raise known from error
        raise StoreUnavailable("the connection was lost")

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[tuple[Connection, Session]]:
        pool = self._pool
        if pool is None:
            raise StoreUnavailable("the store is closed")
        self._running += 1
        try:
            connection = await pool.acquire(timeout=_ACQUIRE)
            try:
                yield connection, Session(connection)
            finally:
                with suppress(*_LOST):  # what was done, is done
                    await pool.release(connection)
        except (*trouble.CLASHES, StoreError, _InDoubt):
            raise
        except Exception as error:  # which is for `trouble` to tell
            if (known := trouble.translated(error)) is None:
                raise
            raise known from error
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def _connect(self, *args: Any, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
        return await self._backoff.attempt(lambda: asyncpg.connect(*args, **options))


async def _in_transaction(
    connection: Connection, session: Session, work: Callable[[Session], Awaitable[T]]
) -> T:
    transaction = connection.transaction()
    await transaction.start()
    try:
        result = await work(session)
    except BaseException:
        with suppress(*_LOST):
            await transaction.rollback()
        raise
    try:
        await transaction.commit()
    except trouble.CLASHES:
        raise
    except _LOST as error:
        raise _InDoubt(session.transaction, result) from error
    return result


async def _leave_as_it_is(connection: Any) -> None:
    """Work leaves nothing behind on a connection, and to reset it is a round trip each time."""

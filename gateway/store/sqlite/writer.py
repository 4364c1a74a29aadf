"""The one connection that writes: a thread of its own, with group commit.

Work that is waiting when the thread is free shares one transaction and one fsync. If a piece of
work fails, the transaction is rolled back and each piece is tried in a transaction of its own, so
that only the culprit fails.

Each step of a statement gives up the interpreter's lock, and under load it takes milliseconds to
get it back: 500 rows by `executemany` beside a busy event loop took 10 ms a row, by one statement
over `json_each` 0.06 ms. So work is few statements over many rows, also for reading.
"""

import asyncio
import os
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Generic, TypeVar

import apsw

from gateway.model.errors import StoreUnavailable

T = TypeVar("T")

#: Pieces of work that share a transaction at the most, to bound its length.
_LARGEST_GROUP = 256

#: Refuse to write when the disk has less than this left: a full disk wedges SQLite, even DELETE.
_FREE_SPACE_FLOOR = 64 * 2**20


class _Work(Generic[T]):
    __slots__ = ("call", "error", "future", "result")

    def __init__(self, call: Callable[[apsw.Connection], T], future: "asyncio.Future[T]") -> None:
        self.call = call
        self.future = future
        self.result: T | None = None
        self.error: BaseException | None = None


class Writer:
    """Runs work on the writing connection, in order, in shared transactions.

    on_commit: called in the thread with (seconds, pieces of work) after each commit.
    """

    def __init__(
        self,
        connect: Callable[[], apsw.Connection],
        path: Path,
        on_commit: Callable[[float, int], None],
    ) -> None:
        self._connect = connect
        self._folder = path.resolve().parent
        self._on_commit = on_commit
        self._waiting: queue.SimpleQueue[_Work[Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Finish what is waiting, then close. Stopping twice is harmless."""
        if self._thread is None:
            return
        self._closing = True
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)
        self._thread = None

    async def run(self, call: Callable[[apsw.Connection], T]) -> T:
        """The result of `call` once it is on disk. Raises StoreUnavailable when it is not."""
        if self._closing or self._loop is None:
            raise StoreUnavailable("the store is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.put(_Work(call, future))
        return await future

    def has_space(self) -> bool:
        """Whether the disk has room for more than a few transactions."""
        disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize > _FREE_SPACE_FLOOR

    def _run(self) -> None:
        connection = self._connect()
        while group := self._next_group():
            started = perf_counter()
            _commit_group(connection, group)
            self._on_commit(perf_counter() - started, len(group))
            assert self._loop is not None
            self._loop.call_soon_threadsafe(_deliver, group)
        connection.close()

    def _next_group(self) -> list[_Work[Any]]:
        first = self._waiting.get()
        if first is None:
            return []
        group = [first]
        while len(group) < _LARGEST_GROUP:
            try:
                work = self._waiting.get_nowait()
            except queue.Empty:
                break
            if work is None:
                self._waiting.put(None)
                break
            group.append(work)
        return group


def _commit_group(connection: apsw.Connection, group: Sequence[_Work[Any]]) -> None:
    if _commit(connection, group) is None or len(group) == 1:
        return
    for work in group:
        work.error = None
        _commit(connection, [work])


def _commit(connection: apsw.Connection, group: Sequence[_Work[Any]]) -> BaseException | None:
    """Run work in one transaction; on failure everything is undone and each carries the error."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for work in group:
            work.result = work.call(connection)
        connection.execute("COMMIT")
    except Exception as error:  # whatever it is belongs to the caller that is waiting
        _roll_back(connection)
        for work in group:
            work.error = _translate(error)
        return error
    return None


def _roll_back(connection: apsw.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _translate(error: Exception) -> Exception:
    """The database's trouble in our words; faults in the program stay what they are."""
    passing = (apsw.FullError, apsw.IOError, apsw.BusyError, apsw.LockedError, apsw.ReadOnlyError)
    if isinstance(error, (*passing, apsw.CantOpenError, apsw.NoMemError)):
        return StoreUnavailable(type(error).__name__)
    return error


def _deliver(group: Sequence[_Work[Any]]) -> None:
    for work in group:
        if work.future.done():
            continue
        if work.error is not None:
            work.future.set_exception(work.error)
        else:
            work.future.set_result(work.result)

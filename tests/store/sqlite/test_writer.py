"""Group commit: work shares transactions, and only the culprit fails."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from gateway.model.errors import StoreUnavailable
from gateway.store.sqlite.writer import Writer

Insert = Callable[[int], Callable[[apsw.Connection], int]]


class Setup:
    """A writer on a table of numbers, which notes the size of each commit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.groups: list[int] = []
        self.held = threading.Event()
        self.writer = Writer(self._connect, path, lambda seconds, works: self.groups.append(works))

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(str(self.path))
        connection.pragma("journal_mode", "wal")
        connection.execute("CREATE TABLE IF NOT EXISTS t (x INTEGER PRIMARY KEY)")
        return connection

    def hold(self, connection: apsw.Connection) -> None:
        """Work that keeps the writer busy until it is let go."""
        assert self.held.wait(30)

    def numbers(self) -> list[int]:
        connection = apsw.Connection(str(self.path))
        try:
            return [row[0] for row in connection.execute("SELECT x FROM t ORDER BY x")]
        finally:
            connection.close()


def insert(number: int) -> Callable[[apsw.Connection], int]:
    def work(connection: apsw.Connection) -> int:
        connection.execute("INSERT INTO t VALUES (?)", (number,))
        return number

    return work


@pytest.fixture
async def setup(tmp_path: Path) -> AsyncIterator[Setup]:
    setup = Setup(tmp_path / "t.db")
    setup.writer.start()
    yield setup
    setup.held.set()
    await setup.writer.stop()


async def run_together(setup: Setup, *works: Callable[[apsw.Connection], Any]) -> list[Any]:
    """All in one group, behind one that holds the writer up."""
    first = asyncio.ensure_future(setup.writer.run(setup.hold))
    rest = [asyncio.ensure_future(setup.writer.run(work)) for work in works]
    await asyncio.sleep(0)
    setup.held.set()
    await first
    return await asyncio.gather(*rest, return_exceptions=True)


async def test_waiting_work_shares_a_transaction(setup: Setup) -> None:
    results = await run_together(setup, *(insert(number) for number in range(20)))

    assert results == list(range(20))
    assert setup.numbers() == list(range(20))
    assert sum(setup.groups) == 21
    assert len(setup.groups) <= 3


async def test_work_that_fails_takes_nothing_with_it(setup: Setup) -> None:
    def bad(connection: apsw.Connection) -> int:
        connection.execute("INSERT INTO t VALUES (99)")
        raise ValueError("bad")

    results = await run_together(setup, insert(1), bad, insert(2), insert(1), insert(3))

    assert [type(one) for one in results] == [int, ValueError, int, apsw.ConstraintError, int]
    assert setup.numbers() == [1, 2, 3]


async def test_groups_are_bounded(setup: Setup) -> None:
    await run_together(setup, *(insert(number) for number in range(600)))

    assert max(setup.groups) <= 256
    assert len(setup.numbers()) == 600


@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError, apsw.BusyError])
async def test_trouble_of_the_database_is_told_in_our_words(
    setup: Setup, error: type[Exception]
) -> None:
    def bad(connection: apsw.Connection) -> None:
        raise error("/secret/path")

    (result,) = await run_together(setup, bad)

    assert isinstance(result, StoreUnavailable)
    assert "secret" not in str(result)
    assert await setup.writer.run(insert(1)) == 1


async def test_cancelled_caller_does_not_stop_the_writer(setup: Setup) -> None:
    first = asyncio.ensure_future(setup.writer.run(setup.hold))
    gone = asyncio.ensure_future(setup.writer.run(insert(1)))
    await asyncio.sleep(0)
    gone.cancel()
    setup.held.set()
    await first

    assert await setup.writer.run(insert(2)) == 2
    assert setup.numbers() == [1, 2]


async def test_stopping_twice_is_harmless(setup: Setup) -> None:
    await setup.writer.run(insert(1))

    await setup.writer.stop()
    await setup.writer.stop()

    with pytest.raises(StoreUnavailable):
        await setup.writer.run(insert(2))
    assert setup.numbers() == [1]

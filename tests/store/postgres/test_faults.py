"""Connections that break, a server that goes away, and answers that never come."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from gateway.model.errors import StoreUnavailable
from gateway.model.view import MessageFilter
from gateway.store.postgres import claim as claims
from gateway.store.postgres import engine as engines
from gateway.store.postgres.session import Session
from gateway.store.postgres.store import PostgresStore
from tests.store.server import Databases, Server

TERMINATE = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""


@pytest.fixture
async def store(database: str) -> AsyncIterator[PostgresStore]:
    async with PostgresStore(database, owner="n1") as store:
        yield store


@pytest.fixture
async def other(database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Somebody else's connection."""
    connection = await asyncpg.connect(database)
    yield connection
    if not connection.is_closed():
        await connection.close()


async def in_the_end(call: Callable[[], Awaitable[Any]]) -> Any:
    """The result of a call that is repeated while the store is away."""
    async with asyncio.timeout(30.0):
        while True:
            try:
                return await call()
            except StoreUnavailable:
                await asyncio.sleep(0.02)


async def test_connections_that_were_cut_are_replaced(
    store: PostgresStore, other: Any, make: Any
) -> None:
    await store.accept(make.messages(3))

    await other.execute(TERMINATE)

    assert len(await in_the_end(lambda: store.claim(make.request()))) == 3


async def test_nothing_is_told_as_failed_that_was_stored_when_connections_are_cut(
    store: PostgresStore, other: Any, make: Any
) -> None:
    stored, refused = set[str](), set[str]()

    async def accept() -> None:
        for _ in range(40):
            message = make.message()
            try:
                await store.accept([message])
                stored.add(message.id)
            except StoreUnavailable:
                refused.add(message.id)

    async def cut() -> None:
        while True:
            await other.execute(TERMINATE)
            await asyncio.sleep(0.005)

    cutting = asyncio.create_task(cut())
    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(accept())
    cutting.cancel()
    await asyncio.wait([cutting])

    found = set[str]()
    cursor = ""
    while True:
        query = MessageFilter(limit=200, cursor=cursor)
        page = await in_the_end(lambda query=query: store.list("billing", query))  # type: ignore[misc]
        found |= {one.id for one in page.messages}
        cursor = page.next_cursor
        if not cursor:
            break
    assert refused
    assert found == stored


async def test_no_claim_is_lost_when_connections_are_cut(
    store: PostgresStore, other: Any, make: Any
) -> None:
    await store.accept(make.messages(300))
    claimed: list[str] = []

    async def claim() -> None:
        for _ in range(40):
            try:
                claimed.extend(row.case.id for row in await store.claim(make.request(3)))
            except StoreUnavailable:
                await asyncio.sleep(0.01)

    async def cut() -> None:
        while True:
            await other.execute(TERMINATE)
            await asyncio.sleep(0.01)

    cutting = asyncio.create_task(cut())
    await asyncio.gather(*(claim() for _ in range(4)))
    cutting.cancel()
    await asyncio.wait([cutting])

    await in_the_end(store.fleet.beat)
    rest = await in_the_end(lambda: store.claim(make.request(1000)))
    claimed += [row.case.id for row in rest]
    assert len(claimed) == len(set(claimed)) == 300


async def test_server_that_crashed_is_used_again(make: Any) -> None:
    server = Server()
    server.start()
    try:
        async with PostgresStore(Databases(server.url).at("postgres"), owner="n1") as store:
            first = make.message()
            await store.accept([first])
            server.stop()

            with pytest.raises(StoreUnavailable):
                await store.accept([make.message()])
            with pytest.raises(StoreUnavailable):
                await store.check()

            server.start()
            (row,) = await in_the_end(lambda: store.claim(make.request()))
            assert row.case.id == first.id
            assert await store.commit([make.result(row)]) == [None]
    finally:
        server.remove()


async def test_server_that_is_away_is_not_asked_each_time(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    async def refuse(*args: Any, **options: Any) -> Any:
        nonlocal tries
        tries += 1
        raise ConnectionRefusedError

    async with PostgresStore(database, owner="n1") as store:
        with monkeypatch.context() as patch:
            patch.setattr(asyncpg, "connect", refuse)
            await store._engine.run(lambda session: session.connection.close())
            for _ in range(50):
                with pytest.raises(StoreUnavailable):
                    await store.keys()
        await in_the_end(store.keys)

    assert 1 <= tries < 10


async def test_database_that_was_taken_away_is_used_again_when_it_is_back(
    database: str, databases: Databases
) -> None:
    name = urlsplit(database).path.removeprefix("/")

    async with PostgresStore(database, owner="n1") as store:
        databases.run(TERMINATE, name)
        databases.run(f"ALTER DATABASE {name} RENAME TO {name}_aside")
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await store.keys()
        databases.run(f"ALTER DATABASE {name}_aside RENAME TO {name}")

        assert await in_the_end(store.keys) == []


async def test_fault_of_ours_is_not_its_own_cause(store: PostgresStore) -> None:
    with pytest.raises(asyncpg.UndefinedTableError) as caught:
        await store._engine.run(lambda session: session.connection.execute("TABLE nowhere"))

    assert caught.value.__cause__ is None


async def test_waiting_for_a_connection_has_an_end(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_ACQUIRE", 0.2)
    async with PostgresStore(database, owner="n1") as store:
        release = asyncio.Event()
        everybody = asyncio.Barrier(engines._CONNECTIONS + 1)

        async def hold(session: Session) -> None:
            await everybody.wait()
            await release.wait()

        holding = [
            asyncio.create_task(store._engine.run(hold)) for _ in range(engines._CONNECTIONS)
        ]
        await everybody.wait()

        with pytest.raises(StoreUnavailable, match="in time"):
            await store.keys()

        release.set()
        await asyncio.gather(*holding)
        assert await store.keys() == []


async def test_statement_that_takes_too_long_is_given_up(
    database: str, other: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engines._SETTINGS, "statement_timeout", "100ms")
    async with PostgresStore(database, owner="n1") as store:
        message = make.message()
        await store.accept([message])
        (row,) = await store.claim(make.request())
        async with other.transaction():
            await other.execute("UPDATE status SET version = version")

            with pytest.raises(StoreUnavailable, match="timeout"):
                await store.commit([make.result(row)])

        assert await store.commit([make.result(row)]) == [None]


async def test_server_that_only_reads_is_not_ready(
    databases: Databases, database: str, make: Any
) -> None:
    name = database.partition("?")[0].rpartition("/")[2]
    async with PostgresStore(database, owner="n1") as store:
        await store.check()
        databases.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await store._engine.run(lambda session: session.connection.close())

        with pytest.raises(StoreUnavailable, match="read-only"):
            await store.check()
        with pytest.raises(StoreUnavailable, match="read-only"):
            await store.accept([make.message()])

        databases.run(f"ALTER DATABASE {name} RESET default_transaction_read_only")


@pytest.fixture
def end_of_commit(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The next commits end as told: after it was stored, or before, the connection is lost."""
    endings: list[str] = []
    ordinary = asyncpg.transaction.Transaction.commit

    async def commit(self: Any) -> None:
        ending = endings.pop(0) if endings else ""
        if ending == "before":
            await self.rollback()
        else:
            await ordinary(self)
        if ending:
            raise ConnectionResetError

    monkeypatch.setattr(asyncpg.transaction.Transaction, "commit", commit)
    return endings  # type: ignore[return-value]


@pytest.mark.parametrize("keys", [{}, {"key": "k", "dedupe": "d"}])
async def test_commit_without_an_answer_counts_by_what_became_of_it(
    store: PostgresStore, make: Any, end_of_commit: list[str], keys: dict[str, str]
) -> None:
    stored, refused = make.message(**keys), make.message()
    end_of_commit += ["after", "before"]

    await store.accept([stored])
    with pytest.raises(StoreUnavailable, match="lost"):
        await store.accept([refused])

    assert await store.read("billing", stored.id) is not None
    assert await store.read("billing", refused.id) is None


def life_of(transaction: str) -> str:
    """Of the server, from what a session has of its transaction."""
    return transaction.partition("/")[2]


@pytest.mark.parametrize("whole", [True, False], ids=["the server", "one of its processes"])
async def test_number_of_a_transaction_says_nothing_after_a_crash(make: Any, whole: bool) -> None:
    server = Server()
    server.start()
    seen: list[str] = []

    async def work(session: Session) -> None:
        await session.write({"drop_queue": [(make.message().id, 0, 0)]})
        seen.append(session.transaction or "")

    try:
        async with PostgresStore(Databases(server.url).at("postgres"), owner="n1") as store:
            await store._engine.transact(work)
            before = await store._engine._committed(seen[0])
            if whole:
                server.stop()
                server.start()
            else:  # after which the first process starts the others anew
                victim = await asyncpg.connect(server.url)
                os.kill(victim.get_server_pid(), signal.SIGKILL)
                victim.terminate()
            async with asyncio.timeout(30.0):
                while life_of(seen[-1]) == life_of(seen[0]):  # until the crash is noticed
                    await in_the_end(lambda: store._engine.transact(work))
            after = await store._engine._committed(seen[0])

            assert (before, after) == (True, False)
            assert await store._engine._committed(seen[-1])
    finally:
        server.remove()


async def test_quota_is_not_granted_by_a_commit_that_nobody_knows_of(
    store: PostgresStore, end_of_commit: list[str]
) -> None:
    end_of_commit.append("before")

    with pytest.raises(StoreUnavailable, match="lost"):
        await store.take_quota("acme", "2026-11-22", amount=5, limit=8)

    assert await store.take_quota("acme", "2026-11-22", amount=8, limit=8) == 8


async def test_result_without_an_answer_is_written_once(
    store: PostgresStore, make: Any, end_of_commit: list[str]
) -> None:
    await store.accept(make.messages(2))
    first, second = await store.claim(make.request())
    end_of_commit += ["after", "before"]

    written = await store.commit([make.result(first)])
    with pytest.raises(StoreUnavailable, match="lost"):
        await store.commit([make.result(second)])

    assert written == [None]
    assert await store.commit([make.result(second)]) == [None]


async def test_rows_of_a_claim_without_an_answer_are_given_back(
    store: PostgresStore, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.accept(make.messages(3))

    async def lose(session: Any, messages: Any) -> Any:
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(claims, "read_cases", lose)
        with pytest.raises(StoreUnavailable):
            await store.claim(make.request(2))

    rows = await store.claim(make.request())
    assert sorted((row.epoch, row.attempts) for row in rows) == [(1, 1), (2, 1), (2, 1)]


async def test_rows_of_a_claim_that_was_cancelled_are_given_back(
    store: PostgresStore, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.accept([make.message()])
    reading = asyncio.Event()

    async def dawdle(session: Any, messages: Any) -> Any:
        reading.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(claims, "read_cases", dawdle)
        claiming = asyncio.create_task(store.claim(make.request()))
        await reading.wait()
        claiming.cancel()
        await asyncio.wait([claiming])

    await store.fleet.beat()
    (row,) = await store.claim(make.request())
    assert (row.epoch, row.attempts) == (2, 1)


async def test_orphans_whose_heir_lost_the_answer_are_orphans_still(
    database: str, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with PostgresStore(database, owner="dead") as dead:
        await dead.accept([make.message()])
        await dead.claim(make.request())

    async def lose(session: Any, messages: Any) -> Any:
        raise ConnectionResetError

    async with PostgresStore(database, owner="n1") as heir:
        with monkeypatch.context() as patch:
            patch.setattr(claims, "read_cases", lose)
            with pytest.raises(StoreUnavailable):
                await heir.claim_orphans(limit=10)

        assert await heir.claim(make.request()) == []
        (row,) = await heir.claim_orphans(limit=10)

    assert (row.epoch, row.attempts, row.taker) == (1, 1, "acme")

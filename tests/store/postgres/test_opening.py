"""Which databases can be used, and what is said of the others."""

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from gateway.model.errors import StoreMismatch, StoreUnavailable
from gateway.store import queries
from gateway.store.postgres.session import Session
from gateway.store.postgres.store import PostgresStore
from tests.store.server import Databases

NEWEST = queries.migrations("postgres")[-1][0]


@pytest.fixture
def empty(databases: Databases) -> Iterator[str]:
    """The name of a database without tables."""
    name = databases.create()
    yield name
    databases.drop(name)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Adds a migration to those that the program knows."""

    def add(script: str) -> None:
        steps = [*queries.migrations("postgres"), (NEWEST + 1, script)]
        monkeypatch.setattr(queries, "migrations", lambda engine: steps)

    return add


def version(databases: Databases, name: str) -> int:
    return int(databases.run("SELECT max(number) FROM gateway_schema", name))


async def test_empty_database_is_set_up(databases: Databases, empty: str) -> None:
    async with PostgresStore(databases.at(empty), owner="n1", migrate=False) as store:
        await store.check()

    assert version(databases, empty) == NEWEST


async def test_nodes_that_start_at_once_set_up_once(databases: Databases, empty: str) -> None:
    stores = [PostgresStore(databases.at(empty), owner=f"n{number}") for number in range(6)]

    await asyncio.gather(*(store.__aenter__() for store in stores))
    secrets = {await store.secret("s") for store in stores}
    await asyncio.gather(*(store.__aexit__(None, None, None) for store in stores))

    assert len(secrets) == 1
    assert databases.run("SELECT count(*) FROM gateway_schema", empty) == NEWEST


async def test_database_survives_being_opened_again(database: str) -> None:
    async with PostgresStore(database, owner="n1") as store:
        secret = await store.secret("s")

    async with PostgresStore(database, owner="n2") as store:
        assert await store.secret("s") == secret


async def test_newer_schema_is_refused(databases: Databases, empty: str, later: Any) -> None:
    later("CREATE TABLE later (x integer)")
    async with PostgresStore(databases.at(empty), owner="n1"):
        pass
    queries.migrations("postgres").pop()

    with pytest.raises(StoreMismatch, match="newer"):
        await PostgresStore(databases.at(empty), owner="n2").__aenter__()

    assert version(databases, empty) == NEWEST + 1


async def test_older_schema_is_refused_without_migration(
    databases: Databases, empty: str, later: Any
) -> None:
    async with PostgresStore(databases.at(empty), owner="n1"):
        pass
    later("CREATE TABLE later (x integer)")

    with pytest.raises(StoreMismatch, match="gateway migrate"):
        await PostgresStore(databases.at(empty), owner="n2", migrate=False).__aenter__()
    async with PostgresStore(databases.at(empty), owner="n3"):
        pass

    assert version(databases, empty) == NEWEST + 1


async def test_failed_migration_changes_nothing(
    databases: Databases, empty: str, later: Any
) -> None:
    async with PostgresStore(databases.at(empty), owner="n1"):
        pass
    later("CREATE TABLE later (x integer); CREATE TABLE message (y text)")

    with pytest.raises(asyncpg.DuplicateTableError):
        await PostgresStore(databases.at(empty), owner="n2").__aenter__()

    assert version(databases, empty) == NEWEST
    assert databases.run("SELECT to_regclass('later')", empty) is None


async def test_tables_of_something_else_are_left_alone(databases: Databases, empty: str) -> None:
    databases.run("CREATE TABLE message (x integer)", empty)

    with pytest.raises(StoreMismatch, match="something else"):
        await PostgresStore(databases.at(empty), owner="n1").__aenter__()

    assert databases.run("SELECT to_regclass('gateway_schema')", empty) is None


async def test_database_that_does_not_exist_is_refused(databases: Databases) -> None:
    with pytest.raises(StoreMismatch, match=r'nowhere.*"nowhere" does not exist') as caught:
        await PostgresStore(databases.at("nowhere"), owner="n1").__aenter__()

    assert "\n" not in str(caught.value)


async def test_role_that_does_not_exist_is_refused(database: str) -> None:
    stranger = database.replace("postgres@", "stranger:geheim@")

    with pytest.raises(StoreMismatch, match="stranger") as caught:
        await PostgresStore(stranger, owner="n1").__aenter__()

    assert "geheim" not in str(caught.value)


async def test_server_that_is_away_is_told(unused_tcp_port: int) -> None:
    url = f"postgresql://user:geheim@127.0.0.1:{unused_tcp_port}/gateway"

    with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{unused_tcp_port}/gateway") as caught:
        await PostgresStore(url, owner="n1").__aenter__()

    assert "geheim" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["postgresql://user:geheim@host:port/x", "postgresql://user:geheim@[::1/x"]
)
async def test_url_that_cannot_be_read_is_refused(url: str) -> None:
    with pytest.raises(StoreMismatch, match="URL") as caught:
        await PostgresStore(url, owner="n1").__aenter__()

    assert "geheim" not in str(caught.value)


async def test_tables_may_lie_in_a_schema_of_their_own(databases: Databases, empty: str) -> None:
    databases.run("CREATE SCHEMA apart", empty)
    url = f"{databases.at(empty)}&search_path=apart"

    async with PostgresStore(url, owner="n1") as store:
        await store.check()

    assert databases.run("SELECT to_regclass('apart.queue')::text", empty) == "apart.queue"
    assert databases.run("SELECT to_regclass('public.queue')", empty) is None


async def test_sessions_are_durable_bounded_and_named(database: str) -> None:
    names = (
        "application_name",
        "synchronous_commit",
        "statement_timeout",
        "idle_in_transaction_session_timeout",
    )

    async def ask(session: Session) -> dict[str, Any]:
        return {name: await session.connection.fetchval(f"SHOW {name}") for name in names}

    async with PostgresStore(database, owner="n1") as store:
        settings = await store._engine.run(ask)

    assert settings == {
        "application_name": "gateway",
        "synchronous_commit": "on",
        "statement_timeout": "10s",
        "idle_in_transaction_session_timeout": "10s",
    }

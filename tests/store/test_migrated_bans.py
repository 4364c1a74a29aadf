"""Bans and permissions of an older schema are what they were, in the newer one."""

from pathlib import Path
from typing import Any

import apsw
import asyncpg

from gateway.model.permission import Reason
from gateway.store import queries
from gateway.store.postgres.store import PostgresStore
from gateway.store.sqlite.store import SqliteStore
from tests.store.server import Databases

#: The migration that gave bans a tenant, by engine.
NUMBER = {
    engine: next(
        number for number, script in queries.migrations(engine) if "Bans by tenant" in script
    )
    for engine in ("sqlite", "postgres")
}
OLD = """
INSERT INTO suppression (channel, hash, sender, reason, source, created_ms) VALUES
    ('email', 'h1', '', 'bounced', 'relay', 1),
    ('email', 'h5', '', 'complained', 'relay', 2),
    ('sms', 'h2', 'acme', 'opted_out', 'acme', 3),
    ('email category:billing/news', 'h3', '', 'unsubscribed', 'recipient', 4);
INSERT INTO consent (tenant, category, channel, hash, source, created_ms) VALUES
    ('billing', 'news', 'sms', 'h4', 'form', 5);
"""


async def check(store: Any) -> None:
    names = [("email", "h1"), ("email", "h5"), ("sms", "h2"), ("email", "h3")]
    found = await store.suppressed(names, now_ms=10)

    kept = [
        (ban.tenant, ban.category, ban.channel, ban.sender, ban.reason, ban.detail, ban.at_ms)
        for name in names
        for ban in found[name]
    ]
    assert kept == [
        ("", "", "email", "", Reason.HARD_BOUNCE, "bounced", 1),
        ("", "", "email", "", Reason.COMPLAINT, "complained", 2),
        ("", "", "sms", "acme", Reason.OPT_OUT, "opted_out", 3),
        ("billing", "news", "email", "", Reason.OPT_OUT, "unsubscribed", 4),
    ]
    (consent,) = await store.consents("billing", [("sms", "h4")], now_ms=10)
    assert (consent.category, consent.at_ms, consent.proof) == ("news", 5, "")


async def test_on_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    connection = apsw.Connection(str(path))
    for number, script in queries.migrations("sqlite"):
        if number < NUMBER["sqlite"]:
            connection.execute(script)
            connection.pragma("user_version", number)
    connection.execute(OLD)
    connection.close()

    async with SqliteStore(path, owner="n1") as store:
        await check(store)


async def test_on_postgres(databases: Databases) -> None:
    name = databases.create()
    try:
        connection = await asyncpg.connect(databases.at(name))
        await connection.execute("CREATE TABLE gateway_schema (number integer PRIMARY KEY)")
        for number, script in queries.migrations("postgres"):
            if number < NUMBER["postgres"]:
                await connection.execute(script)
                await connection.execute("INSERT INTO gateway_schema VALUES ($1)", number)
        await connection.execute(OLD)
        await connection.close()

        async with PostgresStore(databases.at(name), owner="n1") as store:
            await check(store)
    finally:
        databases.drop(name)

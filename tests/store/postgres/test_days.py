"""Partitions: made before their day comes, opened only when needed, dropped when it is over."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.model.case import EventRecord, ReceiptRecord, Reference
from gateway.model.state import ReceiptEvidence, State
from gateway.model.view import MessageFilter
from gateway.model.wire import ReceiptEvent
from gateway.store.base import Named
from gateway.store.postgres import days
from gateway.store.postgres.session import Session
from gateway.store.postgres.store import PostgresStore

DAY_MS = 86_400_000


@pytest.fixture
async def store(database: str) -> AsyncIterator[PostgresStore]:
    async with PostgresStore(database, owner="n1") as store:
        yield store


async def sql(store: PostgresStore, statement: str, *values: Any) -> Any:
    return await store._engine.run(lambda session: session.connection.fetchval(statement, *values))


async def partitions(store: PostgresStore, table: str) -> set[str]:
    names = await sql(
        store,
        "SELECT array_agg(inhrelid::regclass::text) FROM pg_inherits"
        " WHERE inhparent = to_regclass($1)",
        table,
    )
    return {name.removeprefix(f"{table}_") for name in names}


async def make_days(store: PostgresStore, now_ms: int) -> None:
    await store._engine.run(lambda session: days.make_ahead(session.connection, now_ms))


async def lives(store: PostgresStore, make: Any, name: str) -> str:
    """A message with something in every table, at its end."""
    message = make.message()
    await store.accept([message])
    (row,) = await store.claim(make.request(1))
    await store.commit(
        [
            make.result(
                row,
                references=[
                    Reference(provider="acme", reference=name, redrive=0, step=0, part=0, number=1)
                ],
                receipts=[
                    ReceiptRecord(
                        evidence=ReceiptEvidence(0, 0, 0, 1, "acme", ReceiptEvent.DELIVERED),
                        at_ms=make.now_ms,
                    )
                ],
                events=[EventRecord(at_ms=make.now_ms, event="fallback")],
            )
        ]
    )
    return row.case.id


async def purge(store: PostgresStore, make: Any, *, keep: float, limit: int = 100) -> int:
    return await store.purge(
        before_ms=make.now_ms - int(keep * DAY_MS),
        parked_before_ms=make.now_ms - DAY_MS,
        now_ms=make.now_ms,
        limit=limit,
    )


async def counts(store: PostgresStore) -> dict[str, int]:
    return {
        table: await sql(store, f"SELECT count(*) FROM {table}")
        for table in (*days.TABLES, "reference")
    }


async def until_somebody_waits(store: PostgresStore) -> None:
    """For a lock that another holds."""
    for _ in range(1000):
        if await sql(store, "SELECT count(*) FROM pg_locks WHERE NOT granted"):
            return
        await asyncio.sleep(0.01)
    pytest.fail("nobody waits")


async def test_coming_days_have_partitions_from_the_start(store: PostgresStore) -> None:
    today = await sql(store, "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')")

    for table in days.TABLES:
        found = await partitions(store, table)
        assert {"other", today} < found
        assert len(found) == 5


async def test_message_lies_in_the_partition_of_its_day(store: PostgresStore, make: Any) -> None:
    await make_days(store, make.now_ms)
    start = make.now_ms - make.now_ms % DAY_MS
    for at_ms in (start, start + DAY_MS - 1, start + DAY_MS):
        make.now_ms = at_ms
        await lives(store, make, f"SM{at_ms}")

    for table in days.TABLES:
        first = f"{table}_{days.day_of(start).name}"
        second = f"{table}_{days.day_of(start + DAY_MS).name}"
        assert await sql(store, f"SELECT count(*) FROM {first}") == 2
        assert await sql(store, f"SELECT count(*) FROM {second}") == 1
        assert await sql(store, f"SELECT count(*) FROM {table}_other") == 0


async def test_day_is_dropped_with_all_that_refers_to_it(store: PostgresStore, make: Any) -> None:
    await make_days(store, make.now_ms)
    old = await lives(store, make, "SM1")
    make.now_ms += DAY_MS
    kept = await lives(store, make, "SM2")
    make.now_ms += DAY_MS

    await purge(store, make, keep=1.0)

    assert list(await store.cases([old, kept])) == [kept]  # type: ignore[list-item]
    assert await counts(store) == dict.fromkeys([*days.TABLES, "reference"], 1)
    (gone,) = await store.find_attempts(
        [Named(provider="acme", reference="SM1", parked={})], now_ms=make.now_ms
    )
    assert gone is None
    assert days.day_of(make.now_ms - 2 * DAY_MS).name not in await partitions(store, "event")


async def test_day_that_has_work_left_is_kept_whole(store: PostgresStore, make: Any) -> None:
    await make_days(store, make.now_ms)
    await lives(store, make, "SM1")
    waiting = make.message(start_in=9.0)
    await store.accept([waiting])
    make.now_ms += 10 * DAY_MS

    await purge(store, make, keep=1.0)
    with_work = await counts(store)
    await store.promote("sms", 2, now_ms=make.now_ms, limit=1)
    (row,) = await store.claim(make.request())
    await store.commit([make.result(row)])
    await purge(store, make, keep=1.0)

    assert with_work["message"] == with_work["status"] == 2
    assert row.case.id == waiting.id
    assert (await counts(store))["message"] == 0


async def test_day_whose_end_is_not_yet_old_is_kept(store: PostgresStore, make: Any) -> None:
    make.now_ms -= make.now_ms % DAY_MS
    await make_days(store, make.now_ms)
    await lives(store, make, "SM1")
    make.now_ms += 3 * DAY_MS

    await purge(store, make, keep=2.0 + 1 / DAY_MS)
    before = await counts(store)
    await purge(store, make, keep=2.0)

    assert before["message"] == 1
    assert (await counts(store))["message"] == 0


async def test_references_of_a_day_are_deleted_a_few_at_a_time(
    store: PostgresStore, make: Any
) -> None:
    await make_days(store, make.now_ms)
    for number in range(5):
        await lives(store, make, f"SM{number}")
    make.now_ms += 10 * DAY_MS

    first = await purge(store, make, keep=1.0, limit=2)
    left = await counts(store)
    second = await purge(store, make, keep=1.0, limit=2)
    await purge(store, make, keep=1.0, limit=2)

    assert (first, second) == (2, 2)
    assert left == {**dict.fromkeys(days.TABLES, 5), "reference": 3}
    assert set((await counts(store)).values()) == {0}


async def test_purge_makes_the_days_to_come(store: PostgresStore, make: Any) -> None:
    await purge(store, make, keep=100.0)

    names = {days.day_of(make.now_ms + number * DAY_MS).name for number in range(4)}
    for table in days.TABLES:
        assert names < await partitions(store, table)


async def test_strays_stay_where_they_are_when_their_day_is_made(
    store: PostgresStore, make: Any
) -> None:
    stray = await lives(store, make, "SM1")

    await purge(store, make, keep=100.0)

    assert days.day_of(make.now_ms).name not in await partitions(store, "message")
    assert await store.read("billing", stray) is not None  # type: ignore[arg-type]
    make.now_ms += 1
    await lives(store, make, "SM2")
    assert len((await store.list("billing", MessageFilter())).messages) == 2


async def test_nobody_waits_for_a_day_to_be_dropped_or_made(
    store: PostgresStore, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(days, "_PATIENCE", "SET LOCAL lock_timeout = '50ms'")
    await make_days(store, make.now_ms)
    await lives(store, make, "SM1")
    make.now_ms += 10 * DAY_MS
    reading, goes_on = asyncio.Event(), asyncio.Event()

    async def read_for_long(session: Session) -> None:
        await session.connection.execute("LOCK TABLE status, message IN ACCESS SHARE MODE")
        reading.set()
        await goes_on.wait()

    reader = asyncio.create_task(store._engine.transact(read_for_long))
    await reading.wait()

    await purge(store, make, keep=1.0)

    kept = await counts(store)
    goes_on.set()
    await reader
    await purge(store, make, keep=1.0)
    assert kept["message"] == 1
    assert (await counts(store))["message"] == 0
    assert days.day_of(make.now_ms).name in await partitions(store, "status")


async def test_nodes_that_purge_at_once_do_so_once(nodes: list[PostgresStore], make: Any) -> None:
    await make_days(nodes[0], make.now_ms)
    for number in range(3):
        await lives(nodes[0], make, f"SM{number}")
    make.now_ms += 10 * DAY_MS

    await asyncio.gather(*(purge(node, make, keep=1.0) for node in nodes))

    await purge(nodes[0], make, keep=1.0)
    assert set((await counts(nodes[0])).values()) == {0}


async def test_message_that_is_given_work_while_it_is_purged_is_kept(
    store: PostgresStore, make: Any
) -> None:
    """Of a stray, and of one in a partition."""
    for number in range(2):
        await lives(store, make, f"SM{number}")
        make.now_ms += DAY_MS
        await make_days(store, make.now_ms)
    cases = [
        (await store.cases([one.id]))[one.id]
        for one in (await store.list("billing", MessageFilter())).messages
    ]
    await purge(store, make, keep=5.0)  # of the days that were made by the machine's date
    make.now_ms += 10 * DAY_MS
    await make_days(store, make.now_ms)
    goes_on = asyncio.Event()

    async def redrive(session: Session) -> None:
        for case in cases:
            await session.connection.execute(
                "UPDATE status SET version = version + 1 WHERE message = $1", case.id
            )
            await session.write(
                {"put_queue": [(case.id, 0, 0, "sms", "", 2, 1.0, "f", 1.0, 0, 9, 0, 1, False, 0)]}
            )
        redriven.set()
        await goes_on.wait()

    redriven = asyncio.Event()
    redriving = asyncio.create_task(store._engine.transact(redrive))
    await redriven.wait()
    purging = asyncio.create_task(purge(store, make, keep=1.0))
    await until_somebody_waits(store)
    goes_on.set()
    await asyncio.gather(redriving, purging)
    await purge(store, make, keep=1.0)

    assert set(await store.cases([case.id for case in cases])) == {case.id for case in cases}


async def test_messages_of_many_days_are_read_and_changed_together(
    store: PostgresStore, make: Any
) -> None:
    messages = []
    for _ in range(12):
        await make_days(store, make.now_ms)
        messages.append(make.message())
        make.now_ms += 3 * DAY_MS
    await store.accept(messages)

    rows = await store.claim(make.request())
    verdicts = await store.commit([make.result(row) for row in rows])

    assert [row.case.id for row in rows] == [one.id for one in messages]
    assert verdicts == [None] * 12
    after = await store.cases([one.id for one in messages])
    assert {case.state for case in after.values()} == {State.SENT}
    assert all(len(case.attempts) == 1 for case in after.values())

"""Several processes on one PostgreSQL share ports, work and metrics, and replace each other."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.store.server import Databases, Server

ITEM = {
    "to": {"phone": "+14155550123"},
    "content": {"text": "Your order is on its way"},
    "chain": [{"channel": "sms"}],
}


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    if given := os.environ.get("GATEWAY_TEST_POSTGRES_URL"):
        yield Databases(given)
        return
    server = Server()
    server.start()
    yield Databases(server.url)
    server.remove()


class Shared:
    """A stand whose gateways keep their messages in PostgreSQL."""

    def __init__(self, served: Any, url: str) -> None:
        self.served = served
        self.url = url
        served.stand.acme.knobs.receipt = None
        served.configure(
            {"store": {"url": url}, "lanes": {"sms": {"providers": ["acme"]}}},
        )

    async def post(self, count: int) -> set[str]:
        status, answer = await self.served.api.call("POST", "/v1/messages/batch", [ITEM] * count)
        assert status == 202, answer
        return {one["id"] for one in answer["results"]}

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self.url)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    async def is_idle(self) -> bool:
        return await self.rows("SELECT 1 FROM queue WHERE lane = 'sms' LIMIT 1") == []

    async def metric(self, line: str) -> float:
        """The value of one series."""
        async with self.served.stand.session.get(f"{self.served.internal}/metrics") as answer:
            text = await answer.text()
        found = [one for one in text.splitlines() if one.startswith(line + " ")]
        return float(found[0].rsplit(" ", 1)[1]) if found else 0.0

    @property
    def copies(self) -> dict[str, int]:
        """How often each message reached the provider."""
        return {name[:36]: count for name, count in self.served.stand.acme.log.copies().items()}


@pytest.fixture
def shared(served: Any, databases: Databases) -> Iterator[Shared]:
    name = databases.create()
    yield Shared(served, databases.at(name))
    databases.drop(name)


def children(child: Any) -> list[int]:
    """Process ids of a supervisor's children (proc(5))."""
    pid = child.pid
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def until_gone(pid: int, eventually: Any) -> None:
    await eventually(lambda: not Path(f"/proc/{pid}").exists())


async def until_all_are_there(child: Any, count: int, shared: Shared, eventually: Any) -> None:
    async def there() -> bool:
        return await shared.rows("SELECT count(*) FROM node") == [(count,)]

    await eventually(there)


async def test_processes_share_ports_work_and_metrics(shared: Shared, eventually: Any) -> None:
    child = await shared.served.start("--processes", "2")
    await until_all_are_there(child, 2, shared, eventually)
    shared.served.stand.acme.knobs.latency = 0.05

    ids = set()
    for _ in range(4):
        ids |= await shared.post(50)
    await eventually(shared.is_idle)

    assert shared.copies == dict.fromkeys(ids, 1)
    assert await shared.metric('gateway_messages_accepted_total{category="service"}') == 200
    assert (
        await shared.metric('gateway_messages_entered_total{category="service",state="sent"}')
        == 200
    )
    child.terminate()
    assert await child.ended() == 0, child.stderr
    assert await shared.rows("SELECT * FROM node") == []
    assert "Traceback" not in child.stderr


async def test_killed_process_is_replaced_and_its_work_moves_on(
    shared: Shared, eventually: Any
) -> None:
    stand = shared.served.stand
    stand.acme.knobs.latency = 1.0
    child = await shared.served.start("--processes", "2")
    await until_all_are_there(child, 2, shared, eventually)
    ids = await shared.post(60)
    await eventually(lambda: stand.acme.log.total >= 8)

    before = children(child)
    os.kill(before[0], signal.SIGKILL)
    stand.acme.knobs.latency = 0.0
    await eventually(shared.is_idle)

    after = children(child)
    assert len(after) == 2
    assert before[1] in after
    unknown = await shared.rows("SELECT count(*) FROM attempt WHERE outcome = 'unknown'")
    assert set(shared.copies) == ids
    assert sum(shared.copies.values()) - len(ids) <= unknown[0][0]
    assert await shared.rows(
        "SELECT DISTINCT state FROM status s JOIN message m ON m.id = s.message WHERE NOT internal"
    ) == [("sent",)]


async def test_restart_of_one_after_another_loses_and_repeats_nothing(
    shared: Shared, eventually: Any
) -> None:
    shared.served.stand.acme.knobs.latency = 0.1
    child = await shared.served.start("--processes", "4")
    await until_all_are_there(child, 4, shared, eventually)

    ids: set[str] = set()
    for place in range(4):
        ids |= await shared.post(40)
        old = children(child)[place]
        os.kill(old, signal.SIGTERM)
        await until_gone(old, eventually)
        ids |= await shared.post(40)
        await until_all_are_there(child, 4, shared, eventually)
    await eventually(shared.is_idle)

    assert shared.copies == dict.fromkeys(ids, 1)
    assert await shared.rows("SELECT count(*) FROM attempt WHERE outcome <> 'accepted'") == [(0,)]


async def test_roles_can_be_apart(shared: Shared, eventually: Any) -> None:
    front = await shared.served.start("--role", "api")
    ids = await shared.post(5)
    waiting = await shared.rows("SELECT count(*) FROM queue")
    shared.served.configure({"api": {"internal": "127.0.0.1:0", "listen": "127.0.0.1:1"}})
    back = await shared.served.launch("--role", "dispatch")

    await eventually(shared.is_idle)

    assert waiting == [(5,)]
    assert shared.copies == dict.fromkeys(ids, 1)
    assert (await shared.rows("SELECT count(*) FROM node")) == [(2,)]
    for one in (front, back):
        one.terminate()
        assert await one.ended() == 0, one.stderr


async def test_supervisor_that_is_killed_leaves_nobody_behind(
    shared: Shared, eventually: Any
) -> None:
    child = await shared.served.start("--processes", "2")
    await until_all_are_there(child, 2, shared, eventually)
    orphans = children(child)

    await child.kill()

    for orphan in orphans:
        await until_gone(orphan, eventually)
    assert await shared.rows("SELECT * FROM node") == []


@pytest.mark.parametrize(
    ("change", "code", "line"),
    [
        ({"store": {"url": "postgresql://nobody@127.0.0.1:1/gateway"}}, 75, "127.0.0.1:1"),
        ({"store": {"url": "postgresql://127.0.0.1:notaport/gateway"}}, 78, "store.url"),
        ({"store": {"url": "oracle://db"}}, 78, "store.url"),
    ],
)
async def test_database_that_cannot_be_used_is_said_in_a_line(
    shared: Shared, change: dict[str, Any], code: int, line: str
) -> None:
    shared.served.configure(change)

    for options in ((), ("--processes", "2")):
        child = await shared.served.launch(*options)
        assert await child.ended() == code, child.stderr
        assert line in child.stderr
        assert "Traceback" not in child.stderr


async def test_database_comes_back_and_so_does_the_gateway(served: Any, eventually: Any) -> None:
    server = Server()
    server.start()
    try:
        shared = Shared(served, server.url)
        child = await served.start()
        first = await shared.post(3)
        await asyncio.to_thread(server.stop)

        async def refused() -> bool:
            status, _ = await served.api.call("POST", "/v1/messages", ITEM)
            return bool(status == 503)

        await eventually(refused)
        await asyncio.to_thread(server.start)

        async def accepted() -> bool:
            status, answer = await served.api.call("POST", "/v1/messages", ITEM)
            if status == 202:
                first.add(answer["id"])
            return bool(status == 202)

        await eventually(accepted)
        await eventually(shared.is_idle)
        assert set(shared.copies) >= first
        child.terminate()
        assert await child.ended() == 0, child.stderr
    finally:
        await asyncio.to_thread(server.remove)

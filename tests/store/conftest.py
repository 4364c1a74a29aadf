"""Stores of every engine, and things to put into them."""

import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from gateway.model import wire
from gateway.model.case import (
    AttemptRecord,
    Case,
    Claimed,
    DedupeKey,
    Guard,
    IdempotencyKey,
    NewMessage,
    QueueRow,
    Transition,
)
from gateway.model.message import Message, MessageId, Priority, Step, encode, new_id
from gateway.model.state import AttemptEvidence, Outcome, State
from gateway.store.base import ClaimRequest, Store
from gateway.store.postgres.store import PostgresStore
from gateway.store.sqlite.store import SqliteStore
from tests.store.server import Databases, Server, beside

#: Opens the test's database for a process of this name.
Open = Callable[..., Awaitable[Store]]

#: Makes everybody else believe that the process of a store has died.
Die = Callable[[Store], Awaitable[None]]

ENGINES = ["sqlite", "postgres"]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where that can be had: on a disk each commit costs milliseconds."""
    memory = Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) else None
    with TemporaryDirectory(dir=where, prefix="gateway-") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """Of one server for the run, or for each of its workers."""
    given = os.environ.get("GATEWAY_TEST_POSTGRES_URL")
    if given:
        yield Databases(given)
        return
    server = Server()
    server.start()
    yield Databases(server.url)
    server.remove()


@pytest.fixture(scope="session")
def template(databases: Databases) -> Iterator[str]:
    """A database that is set up and empty."""
    name = databases.create()

    async def set_up() -> None:
        async with PostgresStore(databases.at(name), owner="template"):
            pass

    beside(set_up)
    yield name
    databases.drop(name)


@pytest.fixture
def database(databases: Databases, template: str) -> Iterator[str]:
    """The URL of a database of the test's own."""
    name = databases.create(template)
    yield databases.at(name)
    databases.drop(name)


@pytest.fixture
def place(engine: str, request: pytest.FixtureRequest) -> Callable[..., Store]:
    """Makes stores in the test's own database, not yet entered."""
    if engine == "postgres":
        url = request.getfixturevalue("database")
        return lambda owner, exclusive: PostgresStore(url, owner=owner)
    file = request.getfixturevalue("folder") / "gateway.db"
    return lambda owner, exclusive: SqliteStore(file, owner=owner, exclusive=exclusive)


@pytest.fixture
async def open_store(place: Callable[..., Store]) -> AsyncIterator[Open]:
    """Several at a time share the database as nodes, or a gateway and the command line, would."""
    async with AsyncExitStack() as stack:

        async def open_(owner: str = "n1", *, exclusive: bool = False) -> Store:
            return await stack.enter_async_context(place(owner, exclusive))

        yield open_


@pytest.fixture
def die() -> Die:
    async def stop_beating(store: Store) -> None:
        if isinstance(store, PostgresStore):  # on SQLite, each process replaces the one before
            sql = "UPDATE node SET beat = beat - interval '7 seconds' WHERE id = $1"
            await store._engine.run(lambda session: session.connection.execute(sql, store._owner))

    return stop_beating


@pytest.fixture
async def store(open_store: Open) -> Store:
    return await open_store()


class Make:
    """Things to store, all at one time, which tests may move."""

    def __init__(self) -> None:
        self.now_ms = 1_800_000_000_000
        self._entropy: Iterator[int] = itertools.count()

    def id(self) -> MessageId:
        return new_id(self.now_ms, next(self._entropy).to_bytes(10, "big"))

    def message(
        self,
        *,
        tenant: str = "billing",
        category: str = "service",
        lane: str = "sms",
        priority: Priority = Priority.NORMAL,
        weight: float = 1.0,
        flow: str | None = None,
        steps: int = 1,
        parts: int = 1,
        start_in: float = 0.0,
        life: float = 3600.0,
        pin: str = "",
        once: bool = False,
        key: str = "",
        fingerprint: str = "body",
        dedupe: str = "",
        window: float = 60.0,
        internal: bool = False,
        endpoint: str = "",
        metadata: dict[str, Any] | None = None,
        state: State = State.QUEUED,
    ) -> NewMessage:
        """The rows of its first step wait for `start_in` seconds."""
        id_ = self.id()
        address = wire.Address(phone="+8613800138000", endpoint=endpoint)
        step = Step(channel=wire.Channel.SMS, lane=lane, parts=(address,) * parts)
        body = Message(
            category=category, priority=priority, chain=(step,) * steps, metadata=metadata or {}
        )
        expires_ms = self.now_ms + int(life * 1000)
        return NewMessage(
            id=id_,
            tenant=tenant,
            category=category,
            internal=internal,
            created_ms=self.now_ms,
            expires_ms=expires_ms,
            body=encode(body),
            state=state,
            rows=[
                QueueRow(
                    message=id_,
                    step=0,
                    part=part,
                    lane=lane,
                    priority=priority,
                    flow=flow or tenant,
                    weight=weight,
                    due_ms=self.now_ms + int(start_in * 1000),
                    expires_ms=expires_ms,
                    pin=pin,
                    once=once,
                )
                for part in range(parts)
            ]
            if state is State.QUEUED
            else [],
            idempotency=IdempotencyKey(
                key=key, fingerprint=fingerprint, until_ms=self.now_ms + 86_400_000
            )
            if key
            else None,
            dedupe=DedupeKey(key=dedupe, until_ms=self.now_ms + int(window * 1000))
            if dedupe
            else None,
        )

    def messages(self, count: int, **fields: Any) -> list[NewMessage]:
        return [self.message(**fields) for _ in range(count)]

    def request(self, limit: int = 100, **fields: Any) -> ClaimRequest:
        """By default for account `acme` from lane `sms`, all of which could start now."""
        wanted: dict[str, Any] = {
            "lane": "sms",
            "provider": "acme",
            "limit": limit,
            "startable": limit,
        }
        return ClaimRequest(**{**wanted, **fields})

    def transition(self, case: Case, **fields: Any) -> Transition:
        """One that changes nothing but the version, unless told."""
        same: dict[str, Any] = {
            "message": case.id,
            "at_ms": self.now_ms,
            "version": case.version,
            "state": case.state,
            "redrive": case.redrive,
            "ending": case.ending,
            "expires_ms": case.expires_ms,
        }
        return Transition(**{**same, **fields})

    def result(
        self, row: Claimed, outcome: Outcome = Outcome.ACCEPTED, **fields: Any
    ) -> Transition:
        """The end of a claim, with its attempt."""
        evidence = AttemptEvidence(
            row.case.redrive, row.step, row.part, row.epoch, row.taker or "acme", outcome
        )
        state = State.SENT if outcome is Outcome.ACCEPTED else State.FAILED
        record = AttemptRecord(
            evidence=evidence, code="c", detail="d", started_ms=self.now_ms, ended_ms=self.now_ms
        )
        return self.transition(
            row.case,
            **{
                "state": state,
                "guard": Guard(step=row.step, part=row.part, epoch=row.epoch),
                "attempts": [record],
                **fields,
            },
        )

    def row(self, case: Case, *, step: int = 0, part: int = 0, **fields: Any) -> QueueRow:
        plan = case.message.chain[step]
        usual: dict[str, Any] = {
            "message": case.id,
            "step": step,
            "part": part,
            "lane": plan.lane,
            "priority": case.message.priority,
            "flow": case.tenant,
            "weight": 1.0,
            "due_ms": self.now_ms,
            "expires_ms": case.expires_ms,
        }
        return QueueRow(**{**usual, **fields})


@pytest.fixture
def make() -> Make:
    return Make()


@pytest.fixture
def ids() -> Callable[[Sequence[Any]], list[MessageId]]:
    """The messages of claimed rows, in their order."""
    return lambda rows: [row.case.id for row in rows]

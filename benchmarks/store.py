"""`store`: CPU of this process for storing, claiming and finishing messages, on either engine.

On SQLite that is all there is to it. PostgreSQL's own share is spent in the server, which may be
on another machine: what is compared is what a gateway spends.
"""

import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks import load
from benchmarks.report import Chart, Result, least, spread
from gateway.model import wire
from gateway.model.case import AttemptRecord, Claimed, Guard, NewMessage, QueueRow, Transition
from gateway.model.message import Message, Priority, Step, encode, new_id
from gateway.model.state import AttemptEvidence, Outcome, State
from gateway.store import base
from gateway.store.postgres.store import PostgresStore
from gateway.store.sqlite.store import SqliteStore
from tests.store.server import Databases, Server

_BATCH = 500

#: Engines take turns, so that what else the machine does falls on both.
_ROUNDS = 5

_STEPS = ("accept", "claim", "finish")


async def run(scale: float, progress: load.Progress) -> Result:
    batches, rounds = max(1, int(20 * scale)), least(scale, _ROUNDS, 1)
    costs = defaultdict[str, list[dict[str, float]]](list)
    async with _sqlite() as sqlite, _postgres() as postgres:
        stores: Mapping[str, base.Store] = {"SQLite": sqlite, "PostgreSQL": postgres}
        for number in range(rounds):
            for engine, store in stores.items():
                costs[engine].append(await _round(store, batches))
            progress(number + 1, rounds)
    totals = {engine: [sum(one.values()) for one in found] for engine, found in costs.items()}
    ratio = statistics.median(totals["PostgreSQL"]) / statistics.median(totals["SQLite"])
    return Result(
        name="store",
        goal="PostgreSQL costs a gateway at most twice the CPU of SQLite, in batches of 500",
        reached=ratio <= 2.0,
        figures={
            "messages": batches * _BATCH * rounds,
            **{
                f"{engine} {step}, µs a message": spread([one[step] for one in found])
                for engine, found in costs.items()
                for step in _STEPS
            },
            "PostgreSQL ÷ SQLite": ratio,
        },
        charts=[
            Chart(title="store: µs of a gateway's CPU a message, all three steps", bars=totals)
        ],
    )


async def _round(store: base.Store, batches: int) -> dict[str, float]:
    """Microseconds of CPU a message, by step."""
    spent = dict.fromkeys(_STEPS, 0.0)
    for _ in range(batches):
        messages = [_message() for _ in range(_BATCH)]
        start = time.process_time()
        await store.accept(messages)
        accepted = time.process_time()
        rows = await store.claim(
            base.ClaimRequest(lane="sms", provider="acme", limit=_BATCH, startable=_BATCH)
        )
        claimed = time.process_time()
        results = [_result(row) for row in rows]
        ready = time.process_time()
        verdicts = await store.commit(results)
        finished = time.process_time()
        assert list(verdicts) == [None] * _BATCH
        for step, took in zip(
            _STEPS, (accepted - start, claimed - accepted, finished - ready), strict=True
        ):
            spent[step] += took
    return {step: took / batches / _BATCH * 1e6 for step, took in spent.items()}


@asynccontextmanager
async def _sqlite() -> AsyncIterator[base.Store]:
    with tempfile.TemporaryDirectory() as folder:
        async with SqliteStore(Path(folder) / "gateway.db", owner="bench") as store:
            yield store


@asynccontextmanager
async def _postgres() -> AsyncIterator[base.Store]:
    server = Server(autovacuum="on")
    try:
        server.start()
        async with PostgresStore(Databases(server.url).at("postgres"), owner="bench") as store:
            yield store
    finally:
        server.remove()


def _message() -> NewMessage:
    """As the intake makes it of a text message with metadata."""
    now_ms = time.time_ns() // 1_000_000
    expires_ms, id_ = now_ms + 3_600_000, new_id(now_ms, os.urandom(10))
    address = wire.Address(phone="+8613800138000")
    body = Message(
        category="service",
        priority=Priority.NORMAL,
        chain=(Step(channel=wire.Channel.SMS, lane="sms", parts=(address,)),),
        content={"text": "Your parcel is on its way and will be with you before the evening."},
        metadata={"order": "A17"},
    )
    row = QueueRow(
        message=id_,
        step=0,
        part=0,
        lane="sms",
        priority=Priority.NORMAL,
        flow="billing",
        weight=1.0,
        due_ms=now_ms,
        expires_ms=expires_ms,
    )
    return NewMessage(
        id=id_,
        tenant="billing",
        category="service",
        internal=False,
        created_ms=now_ms,
        expires_ms=expires_ms,
        body=encode(body),
        state=State.QUEUED,
        rows=[row],
    )


def _result(row: Claimed) -> Transition:
    """As the policy makes it of an accepted attempt."""
    evidence = AttemptEvidence(0, row.step, row.part, row.epoch, "acme", Outcome.ACCEPTED)
    attempts: Sequence[AttemptRecord] = [
        AttemptRecord(evidence=evidence, started_ms=row.due_ms, ended_ms=row.due_ms + 20)
    ]
    return Transition(
        message=row.case.id,
        at_ms=row.due_ms + 20,
        version=row.case.version,
        state=State.SENT,
        redrive=0,
        ending=None,
        expires_ms=row.case.expires_ms,
        guard=Guard(step=row.step, part=row.part, epoch=row.epoch),
        attempts=attempts,
    )

"""The queue on SQLite. The writer is alone, so reading first and writing after cannot race."""

from collections.abc import Mapping, Sequence

import apsw

from gateway.model.case import Claimed, NewMessage, Reply, Transition
from gateway.model.message import MessageId
from gateway.store import base
from gateway.store import rows as shapes
from gateway.store.batcher import Batcher
from gateway.store.sqlite import claim as claims
from gateway.store.sqlite.accept import accept
from gateway.store.sqlite.commit import commit
from gateway.store.sqlite.engine import Engine, call, call_json, dump
from gateway.store.sqlite.replies import take

#: Items of one flush at the most (more when one caller brings more).
_LARGEST_FLUSH = 1_000


class SqliteQueue:
    """Implements store.base.Queue. `owner` names this process in claims."""

    def __init__(self, engine: Engine, owner: str) -> None:
        self._engine = engine
        self._owner = owner
        self._acceptor: Batcher[NewMessage, base.Acceptance] = Batcher(
            self._accept, largest=_LARGEST_FLUSH
        )
        self._committer: Batcher[Transition, base.Staleness | None] = Batcher(
            self._commit, largest=_LARGEST_FLUSH
        )

    async def accept(self, messages: Sequence[NewMessage]) -> Sequence[base.Acceptance]:
        return await self._acceptor.submit(messages)

    async def _accept(self, messages: Sequence[NewMessage]) -> Sequence[base.Acceptance]:
        self._engine.require_space()
        return await self._engine.write(lambda connection: accept(connection, messages))

    async def claim(self, request: base.ClaimRequest) -> Sequence[Claimed]:
        return await self._engine.write(
            lambda connection: claims.claim(connection, request, self._owner)
        )

    async def claim_pinned(self, lane: str, wanted: Mapping[str, int]) -> Sequence[Claimed]:
        if not wanted:
            return []
        pins, most = dump(list(wanted)), max(wanted.values())

        def work(connection: apsw.Connection) -> Sequence[Claimed]:
            found = call(connection, "heads_of_pins", lane=lane, pins=pins, most=most)
            left = dict(wanted)
            claimed = []
            for one in shapes.read_claimed(found, taken=True):
                if left[one.pin] > 0:
                    left[one.pin] -= 1
                    claimed.append(one)
            claims.take(connection, claimed, self._owner, taker=lane)
            return claimed

        return await self._engine.write(work)

    async def ready_pins(self, lane: str) -> Sequence[str]:
        found: list[str] = await self._engine.read(
            lambda connection: call_json(connection, "ready_pins", lane=lane)
        )
        return found

    async def give_back(
        self, rows: Sequence[Claimed], *, due_ms: Sequence[int | None] | None = None
    ) -> None:
        times = due_ms if due_ms is not None else [None] * len(rows)
        values = dump(
            [
                (row.case.id, row.step, row.part, row.epoch, due)
                for row, due in zip(rows, times, strict=True)
            ]
        )
        await self._engine.write(
            lambda connection: call(connection, "give_back", rows=values, owner=self._owner)
        )

    async def commit(self, transitions: Sequence[Transition]) -> Sequence[base.Staleness | None]:
        return await self._committer.submit(transitions)

    async def _commit(self, transitions: Sequence[Transition]) -> Sequence[base.Staleness | None]:
        return await self._engine.write(
            lambda connection: commit(connection, transitions, self._owner)
        )

    async def take_replies(self, replies: Sequence[Reply]) -> Sequence[bool]:
        return await self._engine.write(lambda connection: take(connection, replies))

    async def claim_expired(self, *, now_ms: int, limit: int) -> Sequence[Claimed]:
        def work(connection: apsw.Connection) -> Sequence[Claimed]:
            found = call(connection, "expired", now_ms=now_ms, limit=limit)
            claimed = shapes.read_claimed(found, taken=True)
            claims.take(connection, claimed, self._owner, taker="")
            return claimed

        return await self._engine.write(work)

    async def claim_orphans(self, *, limit: int) -> Sequence[Claimed]:
        def work(connection: apsw.Connection) -> Sequence[Claimed]:
            found = call(connection, "orphans", owner=self._owner, limit=limit)
            claimed = shapes.read_claimed(found, taken=False)
            call(connection, "adopt", rows=claims.keys(claimed), owner=self._owner)
            return claimed

        return await self._engine.write(work)

    async def latest(self, keys: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], MessageId]:
        found = await self._engine.read(
            lambda connection: call_json(connection, "latest", rows=dump(list(keys)))
        )
        return {(tenant, key): message for tenant, key, message in found}

    async def promote(self, lane: str, priority: int, *, now_ms: int, limit: int) -> int:
        return await self._engine.write(
            lambda connection: claims.promote(connection, lane, priority, now_ms, limit)
        )

    async def overview(self, lanes: Sequence[str], *, most: int) -> Sequence[base.LaneOverview]:
        found = await self._engine.read(
            lambda connection: call_json(
                connection, "lane_overview", lanes=dump(list(lanes)), most=most
            )
        )
        return [
            base.LaneOverview(lane=lane, priority=priority, next_due_ms=due, ready=ready)
            for lane, priority, due, ready in found
        ]

    async def unpin(self, lane: str, provider: str, *, limit: int) -> int:
        def work(connection: apsw.Connection) -> int:
            call(connection, "unpin", lane=lane, provider=provider, limit=limit)
            return connection.changes()

        return await self._engine.write(work)

    async def unpin_strangers(self, providers: Sequence[str]) -> None:
        await self._engine.write(
            lambda connection: call(connection, "unpin_strangers", providers=dump(list(providers)))
        )

"""The queue on PostgreSQL: what concurrent callers want is written together, and several such
batches are on their way at the same time.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter

from gateway.model.case import Claimed, NewMessage, Reply, Transition
from gateway.model.message import MessageId
from gateway.store import base
from gateway.store.batcher import Batcher
from gateway.store.postgres import ranks
from gateway.store.postgres.accept import accept, turns_of, with_webhooks
from gateway.store.postgres.claim import Claims
from gateway.store.postgres.commit import commit, turns
from gateway.store.postgres.engine import Engine
from gateway.store.postgres.literals import original
from gateway.store.postgres.replies import take
from gateway.store.postgres.session import Session

#: Items of one flush at the most (more when one caller brings more).
_LARGEST_FLUSH = 1_000

#: Flushes of a kind on their way at once: while one waits for the disk, the next is written.
_FLUSHES = 2

#: Seconds without a heartbeat after which a node counts as dead (design §5).
_DEAD_AFTER = 6.0


class PostgresQueue:
    """Implements store.base.Queue. `owner` names this node in claims."""

    def __init__(self, engine: Engine, owner: str) -> None:
        self._engine = engine
        self._owner = owner
        self._claims = Claims(engine, owner)
        self._acceptor: Batcher[NewMessage, base.Acceptance] = Batcher(
            self._accept, largest=_LARGEST_FLUSH, flushes=_FLUSHES
        )
        self._committer: Batcher[Transition, base.Staleness | None] = Batcher(
            self._commit, largest=_LARGEST_FLUSH, flushes=_FLUSHES
        )

    async def accept(self, messages: Sequence[NewMessage]) -> Sequence[base.Acceptance]:
        return await self._acceptor.submit(messages)

    async def _accept(self, messages: Sequence[NewMessage]) -> Sequence[base.Acceptance]:
        if not messages:
            return []
        reserved = await ranks.reserve(self._engine, turns_of(with_webhooks(messages)))
        return await self._engine.transact(
            lambda session: accept(session, messages, reserved.anew())
        )

    async def claim(self, request: base.ClaimRequest) -> Sequence[Claimed]:
        return await self._claims.claim(
            "heads",
            lane=request.lane,
            provider=request.provider,
            lowest=request.lowest,
            highest=request.highest,
            limit=request.limit,
            unpinned=0 if request.pinned_only else request.limit,
            head_due_by_ms=request.head_due_by_ms,
            startable=request.startable,
        )

    async def claim_pinned(self, lane: str, wanted: Mapping[str, int]) -> Sequence[Claimed]:
        if not wanted:
            return []
        return await self._claims.claim(
            "heads_of_pins",
            lane=lane,
            pins=list(wanted),
            wanted=list(wanted.values()),
            taker=lane,
        )

    async def ready_pins(self, lane: str) -> Sequence[str]:
        found = await self._engine.run(lambda session: session.rows("ready_pins", lane=lane))
        return [row[0] for row in found]

    async def give_back(
        self, rows: Sequence[Claimed], *, due_ms: Sequence[int | None] | None = None
    ) -> None:
        if not rows:
            return
        times = due_ms if due_ms is not None else [None] * len(rows)
        values = sorted(
            [
                (row.case.id, row.step, row.part, row.epoch, due)
                for row, due in zip(rows, times, strict=True)
            ],
            key=itemgetter(0, 1, 2),
        )
        await self._engine.run(lambda session: session.over("give_back", values, owner=self._owner))

    async def commit(self, transitions: Sequence[Transition]) -> Sequence[base.Staleness | None]:
        return await self._committer.submit(transitions)

    async def _commit(self, transitions: Sequence[Transition]) -> Sequence[base.Staleness | None]:
        if not transitions:
            return []
        reserved = await ranks.reserve(self._engine, turns(transitions))
        return await self._engine.transact(
            lambda session: commit(session, transitions, reserved.anew(), self._owner)
        )

    async def take_replies(self, replies: Sequence[Reply]) -> Sequence[bool]:
        if not replies:
            return []
        caused = [message for one in replies for message in one.caused]
        reserved = await ranks.reserve(self._engine, turns_of(caused) if caused else [])
        return await self._engine.transact(lambda session: take(session, replies, reserved.anew()))

    async def claim_expired(self, *, now_ms: int, limit: int) -> Sequence[Claimed]:
        return await self._claims.claim("expired", to_send=False, now_ms=now_ms, limit=limit)

    async def claim_orphans(self, *, limit: int) -> Sequence[Claimed]:
        return await self._claims.adopt(limit=limit, dead_after=_DEAD_AFTER)

    async def latest(self, keys: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], MessageId]:
        found = await self._engine.run(lambda session: session.over("latest", list(keys)))
        return {(tenant, original(key)): message for tenant, key, message in found}

    async def promote(self, lane: str, priority: int, *, now_ms: int, limit: int) -> int:
        """Rows tried before go on at the lane's clock, the others at the end of their flow."""
        found = await self._engine.run(
            lambda session: session.rows(
                "due_rows", lane=lane, priority=priority, now_ms=now_ms, limit=limit
            )
        )
        if not found:
            return 0
        places = [
            ranks.Turn(lane, priority, flow, weight, tries > 0)
            for _, _, _, flow, weight, tries in found
        ]
        reserved = await ranks.reserve(self._engine, places)
        values = [
            (*row[:3], reserved.next(place)) for row, place in zip(found, places, strict=True)
        ]
        return await self._engine.run(lambda session: session.run_over("promote", values))

    async def overview(self, lanes: Sequence[str], *, most: int) -> Sequence[base.LaneOverview]:
        found = await self._engine.run(
            lambda session: session.rows("lane_overview", lanes=list(lanes), most=most)
        )
        return [
            base.LaneOverview(lane=lane, priority=priority, next_due_ms=due, ready=ready)
            for lane, priority, due, ready in found
        ]

    async def unpin(self, lane: str, provider: str, *, limit: int) -> int:
        return await self._engine.run(
            lambda session: session.run("unpin", lane=lane, provider=provider, limit=limit)
        )

    async def unpin_strangers(self, providers: Sequence[str]) -> None:
        async def work(session: Session) -> int:
            return await session.run("unpin_strangers", providers=list(providers))

        await self._engine.run(work)

"""What must be done from time to time: due work made ready, expired work ended, claims of dead
processes taken over, old records deleted, and what other processes changed read again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from gateway.clock import Clock
from gateway.dispatch import policy
from gateway.dispatch.change import Change
from gateway.dispatch.consequences import expire
from gateway.dispatch.finisher import Finisher
from gateway.dispatch.lanes import WEBHOOK_LANE, Bells
from gateway.dispatch.webhooks import SCHEDULE
from gateway.metrics import Metrics
from gateway.model.case import WRITTEN_OFF, AttemptRecord, Claimed, Guard
from gateway.model.errors import StoreUnavailable
from gateway.model.state import AttemptEvidence, Outcome
from gateway.model.values import Value
from gateway.store import base

_log = logging.getLogger(__name__)

#: Rows made ready in one commit at the most (design §5).
_PROMOTE = 500

#: Ready rows of a lane beyond which due ones wait: two seconds of its rate, or this without one.
_READY_WITHOUT_RATE = 5_000

#: Webhooks are tried again for days, whatever the gateway itself goes through.
_WEBHOOK_RULES = policy.RetryRules(schedule=SCHEDULE)

#: Rows or messages handled in one go by the other chores.
_CHUNK = 500

#: Seconds between rounds.
_PROMOTE_EVERY = 0.1
_EXPIRE_EVERY = 1.0
_REFRESH_EVERY = 2.0
_PURGE_EVERY = 60.0
_DEPTHS_EVERY = 5.0
_PARKED_EVERY = 0.2
_ADOPT_EVERY = 2.0

#: After counting the queue, rest so many times as long, at most so many seconds.
_PAUSE_AFTER_COUNTING, _LONGEST_PAUSE = 20.0, 60.0


class UpkeepRules(Value):
    """Times in seconds."""

    retention: float
    early_receipts: float
    #: by lane: the tokens a second of its accounts together; None: no limit
    lane_rates: Mapping[str, float | None]


class Upkeep:
    """Chores, each in a task of its own; a fault in one stops the gateway rather than the chore."""

    def __init__(
        self,
        store: base.Store,
        finisher: Finisher,
        bells: Bells,
        clock: Clock,
        metrics: Metrics,
        rules: UpkeepRules,
        *,
        retry_rules: policy.RetryRules,
        random: Callable[[], float],
        refreshers: Sequence[Callable[[], Awaitable[None]]],
        apply_parked: Callable[[], Awaitable[int]],
        has_peers: bool = False,
    ) -> None:
        """has_peers: other nodes share the store, and may die while this one lives."""
        self._store = store
        self._finisher = finisher
        self._bells = bells
        self._clock = clock
        self._metrics = metrics
        self._rules = rules
        self._retry_rules = retry_rules
        self._random = random
        self._refreshers = refreshers
        self._apply_parked = apply_parked
        self._has_peers = has_peers

    async def run(self, *, sends: bool = True) -> None:
        """Until cancelled. sends: whether this process works on the queue at all."""
        chores = [(self.refresh, _REFRESH_EVERY)]
        if sends:
            chores += [
                (self.promote, _PROMOTE_EVERY),
                (self.expire, _EXPIRE_EVERY),
                (self.purge, _PURGE_EVERY),
                (self.measure, _DEPTHS_EVERY),
                (self._apply_early, _PARKED_EVERY),
            ]
        if sends and self._has_peers:
            chores.append((self.adopt_orphans, _ADOPT_EVERY))
        async with asyncio.TaskGroup() as group:
            for chore, seconds in chores:
                group.create_task(self._repeat(chore, seconds))

    async def _repeat(self, chore: Callable[[], Awaitable[None]], seconds: float) -> None:
        while True:
            try:
                await chore()
            except StoreUnavailable as error:
                _log.warning("chore_waits_for_store chore=%s reason=%s", chore.__name__, error)
            await self._clock.sleep(seconds)

    async def promote(self) -> None:
        """Make due work ready, most urgent first, without flooding a lane that is behind."""
        lanes = [*self._rules.lane_rates, WEBHOOK_LANE]
        overview = await self._store.overview(lanes, most=_READY_WITHOUT_RATE)
        now_ms = self._clock.now_ms()
        left = _PROMOTE
        for one in sorted(overview, key=lambda one: one.priority):
            due = one.next_due_ms is not None and one.next_due_ms <= now_ms
            if not due or one.ready >= self._most_ready(one.lane):
                continue
            left -= await self._store.promote(one.lane, one.priority, now_ms=now_ms, limit=left)
            self._bells.ring(one.lane)
            if left <= 0:
                return

    def _most_ready(self, lane: str) -> float:
        rate = self._rules.lane_rates.get(lane)
        return _READY_WITHOUT_RATE if rate is None else max(10.0, 2 * rate)

    async def expire(self) -> None:
        """End messages whose time is over before anything could be done with them."""
        while rows := await self._store.claim_expired(now_ms=self._clock.now_ms(), limit=_CHUNK):
            await asyncio.gather(*map(self._end, rows))

    async def _end(self, row: Claimed) -> None:
        def news(change: Change) -> None:
            change.remove(row.step, row.part)
            expire(change)

        guard = Guard(step=row.step, part=row.part, epoch=row.epoch)
        await self._finisher.record(row.case, news, guard)

    async def adopt_orphans(self) -> None:
        """Take over what dead processes had claimed: nobody knows whether it was sent."""
        total = 0
        while rows := await self._store.claim_orphans(limit=_CHUNK):
            await asyncio.gather(*map(self._write_off, rows))
            total += len(rows)
        if total:
            _log.warning("orphans_adopted rows=%d", total)

    async def _write_off(self, row: Claimed) -> None:
        if not row.taker:  # it had been claimed to be ended, not to be sent
            await self._end(row)
            return
        now_ms = self._clock.now_ms()
        provider = row.taker
        rules = _WEBHOOK_RULES if row.case.internal else self._retry_rules
        record = AttemptRecord(
            evidence=AttemptEvidence(
                row.case.redrive, row.step, row.part, row.epoch, provider, Outcome.UNKNOWN
            ),
            code=WRITTEN_OFF,
            detail="the process that had claimed it ended",
            started_ms=now_ms,
            ended_ms=now_ms,
        )

        def news(change: Change) -> None:
            change.add_attempt(record)
            message = change.case.message
            situation = policy.Situation(
                until=message.chain[row.step].until,
                on_unknown=message.on_unknown,
                attempts=row.attempts,
                provider=provider,
                providers=(),
                tried=frozenset(),
                now_ms=now_ms,
                expires_ms=change.case.expires_ms,
            )
            move = policy.after_unknown(situation, rules, self._random)
            change.follow(row, move)

        guard = Guard(step=row.step, part=row.part, epoch=row.epoch)
        await self._finisher.record(row.case, news, guard)

    async def refresh(self) -> None:
        """Read again what other processes may have changed."""
        for refresh in self._refreshers:
            await refresh()

    async def purge(self) -> None:
        """Delete what is older than it must be kept."""
        now_ms = self._clock.now_ms()
        while (
            await self._store.purge(
                before_ms=now_ms - int(self._rules.retention * 1000),
                parked_before_ms=now_ms - int(self._rules.early_receipts * 1000),
                now_ms=now_ms,
                limit=_CHUNK,
            )
            >= _CHUNK
        ):
            await self._clock.sleep(0.0)

    async def measure(self) -> None:
        """Set the gauges of the queue. The more there is to count, the less often."""
        started = self._clock.monotonic()
        now_ms = self._clock.now_ms()
        lanes: dict[str, dict[str, int]] = {
            lane: {"ready": 0, "waiting": 0} for lane in [*self._rules.lane_rates, WEBHOOK_LANE]
        }
        oldest = dict.fromkeys(lanes, 0.0)
        for (lane, phase), (rows, due_ms) in (await self._store.depths()).items():
            if lane not in lanes:
                continue
            lanes[lane][phase] = rows
            if phase == "ready" and due_ms is not None:
                oldest[lane] = max(0.0, (now_ms - due_ms) / 1000)
        self._metrics.set_queue(lanes, oldest)
        took = self._clock.monotonic() - started
        await self._clock.sleep(min(_LONGEST_PAUSE, took * _PAUSE_AFTER_COUNTING))

    async def _apply_early(self) -> None:
        await self._apply_parked()

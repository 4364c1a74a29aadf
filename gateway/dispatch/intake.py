"""Takes messages in: plans them, asks the gate, and stores them. 202 only after the commit."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from gateway.clock import Clock
from gateway.dispatch import naming
from gateway.dispatch.bans import Bans
from gateway.dispatch.caps import Caps
from gateway.dispatch.channel_choice import Reach
from gateway.dispatch.compose import Composer, Plan
from gateway.dispatch.drafts import Drafter
from gateway.dispatch.habits import Habits
from gateway.dispatch.lanes import Bells
from gateway.dispatch.previews import Previewer
from gateway.dispatch.proofs import Proofreader
from gateway.dispatch.render import Renderer
from gateway.dispatch.replacing import Replacing
from gateway.dispatch.screen import Judged, Screen
from gateway.dispatch.webhooks import Report
from gateway.metrics import Metrics
from gateway.model.case import (
    NewMessage,
)
from gateway.model.errors import (
    KeyConflict,
    RequestError,
    StoreUnavailable,
    TooManyRequests,
)
from gateway.model.state import State
from gateway.model.submission import (
    Caller,
    Preview,
    Reading,
    Submission,
    Ticket,
    Verdict,
)
from gateway.rules.timing import Timetable
from gateway.settings import Settings
from gateway.store import base

#: Submissions planned before others get their turn.
_AT_ONCE = 100


class Intake:
    """What callers may send. Implements the edge's `Intake`."""

    def __init__(
        self,
        settings: Settings,
        composer: Composer,
        renderer: Renderer,
        store: base.Store,
        bans: Bans,
        bells: Bells,
        clock: Clock,
        metrics: Metrics,
        *,
        webhooks: Callable[[Report], Sequence[NewMessage]],
        replacing: Replacing,
        habits: Habits,
        timetable: Timetable,
        proofs: Proofreader,
        caps: Caps,
    ) -> None:
        self._composer = composer
        self._drafter = Drafter(settings, webhooks)
        self._previewer = Previewer(settings, renderer, proofs, caps)
        self._store = store
        self._screen = Screen(bans, timetable)
        self._bells = bells
        self._clock = clock
        self._metrics = metrics
        self._replacing = replacing
        self._habits = habits
        self._proofs = proofs

    async def accept(self, caller: Caller, readings: Sequence[Reading]) -> Sequence[Verdict]:
        """One verdict each, in order. Raises StoreUnavailable."""
        readings = await naming.resolve(self._store, caller.tenant, readings)
        reach = await self._reach(caller.tenant, readings)
        now_ms = self._clock.now_ms()
        plans: list[Plan | RequestError] = []
        for start in range(0, len(readings), _AT_ONCE):
            if start:  # a large batch must not hold up everybody else
                await asyncio.sleep(0)
            some = [self._plan(one, now_ms, reach) for one in readings[start : start + _AT_ONCE]]
            plans += await self._proofs.review(some)
        judged = await self._screen.judge(caller, plans)
        drafts = [
            self._draft(caller, reading, one, now_ms)
            for reading, one in zip(readings, judged, strict=True)
        ]
        stored = iter(await self._store_all(drafts))
        verdicts = [
            self._refused(one)
            if isinstance(one, RequestError)
            else self._verdict(one, next(stored))
            for one in drafts
        ]
        self._count_accepted(drafts, verdicts)
        self._count_deferred(judged, verdicts)
        return self._proofs.tell(verdicts, plans)

    def _count_deferred(
        self, judged: Sequence[Judged | RequestError], verdicts: Sequence[Verdict]
    ) -> None:
        for one, verdict in zip(judged, verdicts, strict=True):
            if isinstance(one, RequestError) or one.hold is None:
                continue
            if isinstance(verdict, Ticket) and not (verdict.duplicate or verdict.repeated):
                self._metrics.deferred.labels(one.plan.message.category, one.hold.kind).inc()

    def _count_accepted(
        self, drafts: Sequence[NewMessage | RequestError], verdicts: Sequence[Verdict]
    ) -> None:
        each = zip(drafts, verdicts, strict=True)
        new = [one for draft, verdict in each if (one := _stored(draft, verdict)) is not None]
        for category, count in Counter(draft.category for draft in new).items():
            self._metrics.accepted.labels(category).inc(count)
        for draft in new:
            if draft.ending is not None:
                self._metrics.count_ends(draft.category, draft.ending)
                for webhook in draft.webhooks:
                    for row in webhook.rows:
                        self._bells.ring(row.lane, row.pin)

    async def preview(self, caller: Caller, submission: Submission) -> Preview:
        """What `accept` would do. Raises the RequestError that it would return."""
        (reading,) = await naming.resolve(self._store, caller.tenant, [submission])
        if isinstance(reading, RequestError):
            raise reading
        reach = await self._reach(caller.tenant, [reading])
        now_ms = self._clock.now_ms()
        plan = self._composer.plan(reading, now_ms, reach.get(reading.to.recipient))
        (judged,) = await self._screen.judge(caller, [plan])
        if isinstance(judged, RequestError):
            raise judged
        return await self._previewer.show(caller.tenant, judged, now_ms)

    async def _reach(
        self, tenant: str, readings: Sequence[Reading]
    ) -> Mapping[str, Mapping[str, Reach]]:
        """By recipient and channel what has reached them, for those whose channels are chosen."""
        wanted = {
            one.to.recipient
            for one in readings
            if isinstance(one, Submission) and one.to.recipient and self._composer.wants_best(one)
        }
        return await self._habits.of(tenant, wanted) if wanted else {}

    def _plan(
        self, reading: Reading, now_ms: int, reach: Mapping[str, Mapping[str, Reach]]
    ) -> Plan | RequestError:
        if isinstance(reading, RequestError):
            return reading
        try:
            return self._composer.plan(reading, now_ms, reach.get(reading.to.recipient))
        except RequestError as error:
            return error

    # What is stored

    def _draft(
        self, caller: Caller, reading: Reading, judged: Judged | RequestError, now_ms: int
    ) -> NewMessage | RequestError:
        if isinstance(reading, RequestError):
            return reading
        if isinstance(judged, RequestError):
            return judged
        return self._drafter.draft(caller, reading, judged, now_ms)

    async def _store_all(
        self, drafts: Sequence[NewMessage | RequestError]
    ) -> Sequence[base.Acceptance]:
        good = [one for one in drafts if isinstance(one, NewMessage)]
        if not good:
            return ()
        try:
            standing = await self._replacing.standing(good)
            stored = await self._store.accept(good)
        except StoreUnavailable:
            self._metrics.refused.labels("unavailable").inc(len(good))
            raise
        for lane in {row.lane for one in good for row in one.rows}:
            self._bells.ring(lane)
        if standing:
            new = [  # not those in whose place their shadow was stored: these say nothing
                one
                for one, verdict in zip(good, stored, strict=True)
                if isinstance(verdict, base.Stored) and verdict.state is one.state
            ]
            await self._replacing.retire(standing, new)
        return stored

    def _verdict(self, draft: NewMessage, acceptance: base.Acceptance) -> Verdict:
        match acceptance:
            case base.Stored(state=state) if state is not draft.state:
                self._metrics.refused.labels("duplicate").inc()
                return Ticket(id=draft.id, state=state, duplicate=True)
            case base.Stored():
                return Ticket(id=draft.id, state=_first_state(draft))
            case base.Existing(id=id_, state=state, by_key=by_key):
                self._metrics.refused.labels("repeated" if by_key else "duplicate").inc()
                return Ticket(id=id_, state=state, duplicate=not by_key, repeated=by_key)
            case base.KeyTaken():
                self._metrics.refused.labels("key_conflict").inc()
                return KeyConflict("this idempotency key was used for another body")

    def _refused(self, error: RequestError) -> RequestError:
        reason = "throttled" if isinstance(error, TooManyRequests) else "invalid"
        self._metrics.refused.labels(reason).inc()
        return error


def _stored(draft: NewMessage | RequestError, verdict: Verdict) -> NewMessage | None:
    """What was stored of it; None when nothing was."""
    if not isinstance(draft, NewMessage) or not isinstance(verdict, Ticket):
        return None
    if verdict.id != draft.id:
        return None
    return draft.dedupe.shadow if verdict.duplicate and draft.dedupe is not None else draft


def _first_state(draft: NewMessage) -> State:
    if draft.state is not State.QUEUED:
        return draft.state
    # the first row is the first step's, and none is due before it
    return State.SCHEDULED if draft.rows[0].due_ms > draft.created_ms else State.QUEUED

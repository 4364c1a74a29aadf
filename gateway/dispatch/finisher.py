"""Writes changes: decides on a case, commits, and decides again when the case was out of date."""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from gateway.clock import Clock
from gateway.dispatch import first_try
from gateway.dispatch.change import Change
from gateway.dispatch.lanes import Bells
from gateway.dispatch.webhooks import Report
from gateway.metrics import Metrics
from gateway.model import wire
from gateway.model.case import (
    WRITTEN_OFF,
    AttemptRecord,
    Case,
    Guard,
    NewMessage,
    ReceiptRecord,
    Transition,
)
from gateway.model.errors import StoreUnavailable
from gateway.model.state import DEAD, REPORTED, SUCCESSES, Outcome, ReceiptEvidence, State
from gateway.model.values import replace
from gateway.store import base

_log = logging.getLogger(__name__)

#: What happened, told to a change; may be told again to a fresh one.
News = Callable[[Change], None]

#: Seconds between tries while the store cannot commit.
_RETRY = 0.5

_EVENT_OF_OUTCOME = {
    Outcome.ACCEPTED: wire.ReceiptEvent.ACCEPTED,
    Outcome.REJECTED: wire.ReceiptEvent.FAILED,
}


class Entry(NamedTuple):
    """A case and what happened to it, as for `Finisher.apply`."""

    case: Case
    news: News
    guard: Guard | None = None
    #: an attempt that is `first_try.is_plain`
    first: first_try.Taken | None = None


class Finisher:
    """The one road by which a message changes after it was accepted."""

    def __init__(
        self,
        store: base.Store,
        clock: Clock,
        metrics: Metrics,
        bells: Bells,
        *,
        webhooks: Callable[[Report], Sequence[NewMessage]],
        weights: Mapping[str, float],
        note: Callable[[Case, Transition], None] | None = None,
        capped: Collection[str] = (),
        yielding: Collection[str] = (),
    ) -> None:
        """note: told each change that has been written, with the case before it. capped: the
        categories whose messages use caps. yielding: those that give way to others."""
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._bells = bells
        self._webhooks = webhooks
        self._weights = weights
        self._note = note
        self._capped = frozenset(capped)
        self._yielding = frozenset(yielding)

    async def record(self, case: Case, news: News, guard: Guard | None = None) -> Transition | None:
        """Write what the news means; None when the message is gone.

        Does not give up while the store is away: a result that a provider gave must not be lost.
        """
        while True:
            try:
                return await self.apply(case, news, guard)
            except StoreUnavailable as error:
                _log.warning("result_waits_for_store reason=%s", error)
                await self._clock.sleep(_RETRY)

    async def try_all(self, entries: Sequence[Entry]) -> Sequence[int]:
        """Write what can be written at the first try, in one commit; the places of the others, for
        each of which `record` is to find out why."""
        try:
            return await self._apply_together(entries)
        except StoreUnavailable as error:
            _log.warning("results_wait_for_store reason=%s", error)
            return range(len(entries))

    async def apply_all(self, entries: Sequence[Entry]) -> None:
        """`apply` for many with one commit. Raises StoreUnavailable: some of it may be written."""
        left = await self._apply_together(entries)
        done = await asyncio.gather(
            *[self.apply(*entries[place][:3]) for place in left], return_exceptions=True
        )
        for error in done:
            if isinstance(error, BaseException):
                raise error

    async def _apply_together(self, entries: Sequence[Entry]) -> Sequence[int]:
        """The places of those that need a look of their own. Raises StoreUnavailable."""
        decided: list[tuple[int, Change | None, Transition]] = []
        now_ms = self._clock.now_ms()
        for place, entry in enumerate(entries):
            try:
                decided.append((place, *self._decide(entry, now_ms)))
            except Exception:  # who looks at it alone meets it again, and says what it is
                continue
        if not decided:
            return range(len(entries))
        try:
            verdicts = await self._store.commit([transition for *_, transition in decided])
        except StoreUnavailable:
            raise
        except Exception:  # of one of them: alone it is found out of which
            return range(len(entries))
        done = [one for one, verdict in zip(decided, verdicts, strict=True) if verdict is None]
        self._after([(entries[place].case, change, end) for place, change, end in done])
        if len(done) == len(entries):
            return ()
        return sorted({*range(len(entries))} - {place for place, *_ in done})

    def _decide(self, entry: Entry, now_ms: int) -> tuple[Change | None, Transition]:
        """What is to be written, and the change that it comes from unless that was plain."""
        if entry.first is not None and entry.guard is not None:
            return None, first_try.transition(
                entry.case,
                entry.first,
                guard=entry.guard,
                now_ms=now_ms,
                webhooks=self._webhooks,
            )
        change = self._change(entry.case, now_ms)
        entry.news(change)
        return change, self._transition(change, entry.guard)

    async def apply(self, case: Case, news: News, guard: Guard | None = None) -> Transition | None:
        """The same for somebody who waits for an answer. Raises StoreUnavailable, and then nothing
        of it was written.
        """
        stale_news = False
        stale: Sequence[AttemptRecord] = ()
        while True:
            change = self._change(case, self._clock.now_ms())
            news(change)
            if stale_news:
                _keep_as_evidence(change)
            transition = self._transition(change, None if stale_news else guard)
            verdict = (await self._store.commit([transition]))[0]
            if verdict is None:
                self._count_stale(stale)
                self._after([(case, change, transition)])
                return transition
            fresh = (await self._store.cases([case.id])).get(case.id)
            if verdict is base.Staleness.EPOCH and fresh is not None and _has(fresh, transition):
                self._after([(case, change, transition)])
                return transition
            if verdict is base.Staleness.EPOCH and not stale_news:
                stale_news, stale = True, transition.attempts
            if fresh is None:
                self._count_stale(stale)
                return None
            case = fresh

    async def merge(self, entries: Sequence[Entry], digest: NewMessage) -> bool:
        """End these in one commit with the message that carries them from now on, which has the
        place of the first. False where one of them has changed, and then nothing is written. Raises
        StoreUnavailable."""
        now_ms = self._clock.now_ms()
        decided = [(entry.case, *self._decide(entry, now_ms)) for entry in entries]
        ends = _bundle([end for *_, end in decided], digest)
        verdicts = await self._store.commit(ends)
        if any(why is not None for why in verdicts):
            return False
        self._after(
            [(case, change, end) for (case, change, _), end in zip(decided, ends, strict=True)]
        )
        return True

    def _transition(self, change: Change, guard: Guard | None) -> Transition:
        """The whole change; what a message uses of caps is given back where nobody can have it."""
        found = change.transition(self._webhooks, guard)
        category = change.case.message.category
        if category in self._capped and (channels := change.unreached):
            found = replace(found, free_caps=channels)
        if change.is_delayed and category in self._yielding:
            found = replace(found, yields=True)
        return found

    def _count_stale(self, records: Sequence[AttemptRecord]) -> None:
        for record in records:
            self._metrics.stale.labels(record.evidence.provider).inc()

    def _change(self, case: Case, now_ms: int) -> Change:
        return Change(case, now_ms=now_ms, weight=self._weights.get(case.tenant, 1.0))

    def _after(self, done: Sequence[tuple[Case, Change | None, Transition]]) -> None:
        """Tell the workers what there is to do, and count."""
        for case, change, transition in done:
            if self._note is not None:
                self._note(case, transition)
            if transition.put or transition.webhooks:
                self._ring(transition)
            if change is not None and change.is_double_success:
                self._metrics.double_successes.labels(case.message.category).inc()
            for event in transition.events:
                if event.event == "fallback":
                    self._metrics.fallbacks.labels(event.channel).inc()
        self._count_ends([(case, end) for case, _, end in done if end.state is not case.state])

    def _count_ends(self, ends: Sequence[tuple[Case, Transition]]) -> None:
        """Cases that have entered another state."""
        entered: Counter[tuple[str, State]] = Counter()
        took: dict[tuple[str, bool], list[float]] = defaultdict(list)
        for case, end in ends:
            if end.state in REPORTED:
                entered[case.message.category, end.state] += 1
            if end.state in SUCCESSES and case.state not in SUCCESSES:
                seconds = (end.at_ms - case.created_ms) / 1000
                took[case.message.category, case.internal].append(seconds)
            if end.state in DEAD:
                _log.info("dead_letter message=%s state=%s", case.id, end.state)
        for (category, state), count in entered.items():
            self._metrics.count_ends(category, state, count)
        for (category, internal), times in took.items():
            self._metrics.note_first_successes(category, times, internal=internal)

    def _ring(self, transition: Transition) -> None:
        for row in transition.put:
            if row.due_ms <= transition.at_ms:
                self._bells.ring(row.lane)
        for webhook in transition.webhooks:
            for row in webhook.rows:
                self._bells.ring(row.lane, row.pin)


def _bundle(ends: Sequence[Transition], digest: NewMessage) -> Sequence[Transition]:
    """What is carried is still going to be said: nobody may say it again."""
    ends = [replace(one, bundle=digest.id, free_dedupe=False) for one in ends]
    first = replace(ends[0], new=(digest,), caps_to=digest.id, free_caps=())
    return [first, *ends[1:]]


def _has(case: Case, transition: Transition) -> bool:
    """Whether it was written before, and only the store's answer was lost.

    An attempt with its answer is nobody else's: who takes over a claim writes it off as unknown,
    and then is the only one who does.
    """
    return bool(transition.attempts) and all(
        one.evidence in case.attempts
        and (one.evidence.outcome is not Outcome.UNKNOWN or one.code == WRITTEN_OFF)
        for one in transition.attempts
    )


def _keep_as_evidence(change: Change) -> None:
    """The claim is not ours any more and its attempt has been written off as unknown: what we know
    of it counts as a receipt would."""
    for record in change.take_attempts():
        one = record.evidence
        event = _EVENT_OF_OUTCOME.get(one.outcome)
        if event is not None:
            evidence = ReceiptEvidence(
                one.redrive, one.step, one.part, one.number, one.provider, event
            )
            change.add_receipt(
                ReceiptRecord(
                    evidence=evidence,
                    code=record.code,
                    detail="late result",
                    at_ms=record.ended_ms,
                )
            )
    change.undo_queue()
    change.react()

"""Messages that have waited for the same cap, and leave as one.

The digest is stored in the commit that ends those which it carries, all of them or none. So a
message is in a digest exactly if it has ended `merged into` it: no crash loses one or sends it
twice, and of two nodes that merge the same one finds them changed and writes nothing.

What this node has claimed it gives back first, so that it is free for whoever is the last to look.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import TypeAlias

from gateway.clock import Clock
from gateway.dispatch import gate
from gateway.dispatch.bans import Ban
from gateway.dispatch.caps import Caps
from gateway.dispatch.change import Change
from gateway.dispatch.digests import Digest, Digests, waits_at
from gateway.dispatch.finisher import Entry, Finisher
from gateway.dispatch.lanes import Bells
from gateway.dispatch.likeness import Likeness
from gateway.dispatch.replacing import Replacing
from gateway.metrics import Metrics
from gateway.model.caps import MOST_MERGED
from gateway.model.case import Case, Claimed
from gateway.model.errors import StoreUnavailable
from gateway.model.message import MessageId
from gateway.model.state import State, state_of
from gateway.model.values import replace
from gateway.store import base

_log = logging.getLogger(__name__)

#: When those are looked at again that were given back and could not be merged, in milliseconds:
#: by then whoever held the others has given them back too, or has merged them.
_AGAIN_MS = 2_000

#: Seconds between tries while the store cannot commit.
_RETRY = 1.0

Pair: TypeAlias = tuple[Claimed, Ban]
Judge: TypeAlias = Callable[[Claimed, Ban], tuple[gate.Decision, gate.Hold | None]]


class Merging:
    """Makes one of many."""

    def __init__(
        self,
        store: base.Store,
        finisher: Finisher,
        replacing: Replacing,
        caps: Caps,
        likeness: Likeness,
        digests: Digests,
        bells: Bells,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._finisher = finisher
        self._replacing = replacing
        self._caps = caps
        self._likeness = likeness
        self._digests = digests
        self._bells = bells
        self._clock = clock
        self._metrics = metrics

    async def merge(self, pairs: Sequence[Pair], judge: Judge) -> Sequence[Pair]:
        """Merge what has mates; those that must go alone, with what the caps say of them. The
        others are not this node's any more. judge: as for `Caps.take`."""
        groups: dict[str, list[Pair]] = defaultdict(list)
        for row, ban in pairs:
            groups[self._name(row.case, row.step)].append((row, ban))
        return [one for name, group in groups.items() for one in await self._go(name, group, judge)]

    async def _go(self, name: str, group: Sequence[Pair], judge: Judge) -> Sequence[Pair]:
        alone: Sequence[Pair] = ()
        returned = [row for row, _ in group]
        digest: Digest | None = None
        try:
            asked = [*dict.fromkeys(chain.from_iterable(ban.mates for _, ban in group))]
            asked = asked[:MOST_MERGED]
            mates = await self._mates(name, asked)
            digest = self._digests.make(mates, self._clock.now_ms())
            unfit = {*asked} - {case.id for case in mates if digest is not None}
            alone = await self._places_of([one for one in group if one[0].case.id in unfit], judge)
            returned = [row for row, _ in group if row.case.id not in unfit]
        except StoreUnavailable as error:
            _log.warning("merge_waits_for_store messages=%d reason=%s", len(group), error)
            digest = None
        await self._give_back(returned)
        if digest is not None:
            await self._write(digest)
        return alone

    async def _mates(self, name: str, asked: Sequence[MessageId]) -> Sequence[Case]:
        """Which of these may leave together now."""
        cases = await self._store.cases(asked)
        now_ms = self._clock.now_ms()
        found = [cases[one] for one in asked if one in cases]
        found = [case for case in found if self._is_waiting(case, name, now_ms)]
        heirs = await self._replacing.heirs(found)
        return [case for case in found if case.id not in heirs]

    def _is_waiting(self, case: Case, name: str, now_ms: int) -> bool:
        """Whether nobody has it, nobody can get it yet, and it may leave under this name."""
        if case.ending is not None or case.message.erased or not case.live:
            return False
        if now_ms >= case.expires_ms or self._name(case, waits_at(case)) != name:
            return False
        left = state_of(case.attempts, case.receipts, ending=State.CANCELLED)
        return left is State.CANCELLED

    def _name(self, case: Case, step: int) -> str:
        return self._likeness.of(case.tenant, case.message, step)

    async def _places_of(self, pairs: Sequence[Pair], judge: Judge) -> Sequence[Pair]:
        if not pairs:
            return ()
        rows, bans = [row for row, _ in pairs], [replace(ban, mates=()) for _, ban in pairs]
        return list(zip(rows, await self._caps.take(rows, bans, judge, alone=True), strict=True))

    async def _give_back(self, rows: Sequence[Claimed]) -> None:
        """Until the store has them, or the next process takes them over."""
        while rows:
            try:
                due_ms = self._clock.now_ms() + _AGAIN_MS
                await self._store.give_back(rows, due_ms=[due_ms] * len(rows))
                return
            except StoreUnavailable as error:
                _log.warning("mates_not_given_back rows=%d reason=%s", len(rows), error)
                await self._clock.sleep(_RETRY)

    async def _write(self, digest: Digest) -> None:
        """What goes wrong here is made good when they come back, which they do soon."""
        new, news = digest.message, partial(merge_into, digest=digest.message.id)
        entries = [Entry(_free(case), news) for case in digest.carried]
        try:
            if not await self._finisher.merge(entries, new):
                return
        except StoreUnavailable as error:
            _log.warning("digest_not_stored messages=%d reason=%s", len(entries), error)
            return
        self._metrics.cap_decisions.labels(digest.cap, "merged").inc(len(entries))
        self._metrics.accepted.labels(new.category).inc()
        for lane in {row.lane for row in new.rows}:
            self._bells.ring(lane)


def merge_into(change: Change, digest: MessageId) -> None:
    """It never leaves by itself: another carries what it says."""
    change.stop_all()
    change.end(State.CANCELLED, f"merged into {digest}", tell=True)


def _free(case: Case) -> Case:
    """As it is when nobody holds any of it; if somebody does, the store refuses the change."""
    return replace(case, live=[replace(row, claimed=False) for row in case.live])

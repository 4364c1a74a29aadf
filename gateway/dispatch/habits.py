"""What has reached people, counted as attempts and receipts come in, and asked for when a chain
says `best`.

Counts are gathered in memory and written every other second: what a process that dies had not
written is lost, as it is statistics and no promise.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping

from gateway.clock import Clock
from gateway.content.addresses import hash_address
from gateway.dispatch.channel_choice import Reach
from gateway.model import wire
from gateway.model.case import Case, Transition, shares
from gateway.model.state import Outcome
from gateway.store import base
from gateway.store.habits import Habit, month_of

#: What an event is worth: read is all that can be wanted.
_WORTH = {wire.ReceiptEvent.DELIVERED: 0.5, wire.ReceiptEvent.READ: 0.5}

#: What it is worth that a message was taken, where nobody tells more.
_TAKEN = 0.5

#: How much a month counts of the one after it.
_FADE = 0.8

#: Places that wait to be written; beyond them nothing new is counted.
_MOST_WAITING = 10_000

#: What could not be written for so long is dropped, in seconds: somebody may have been forgotten.
_LONGEST = 3600.0

#: Milliseconds that somebody stays forgotten, whatever other nodes had counted: twice as long.
_FORGOTTEN_MS = int(2000 * _LONGEST)

#: Places written in one transaction.
_AT_ONCE = 1_000

#: (subject, channel, month)
_Place = tuple[str, str, int]


class Habits:
    """Of the recipients of some categories, where a message names its recipient."""

    def __init__(
        self,
        store: base.Store,
        clock: Clock,
        key: bytes,
        *,
        categories: Collection[str],
        can_tell: Collection[str],
    ) -> None:
        """key: secret, of the store. can_tell: lanes with receipts of what is delivered."""
        self._store = store
        self._clock = clock
        self._key = key
        self._categories = frozenset(categories)
        self._can_tell = frozenset(can_tell)
        self._waiting: dict[_Place, list[float]] = defaultdict(lambda: [0.0, 0.0])
        #: since when something waits, on the monotonic clock
        self._since = 0.0

    @property
    def learns(self) -> bool:
        """Whether anything is to be counted."""
        return bool(self._categories)

    def subject(self, tenant: str, recipient: str) -> str:
        """The store's name for somebody."""
        return hash_address(self._key, "recipient", f"{tenant}/{recipient}")

    def note(self, case: Case, transition: Transition) -> None:
        """Count what is new about a message."""
        if case.message.category not in self._categories or case.internal:
            return
        chain = case.message.chain
        for attempt in transition.attempts:
            if attempt.evidence.outcome is Outcome.ACCEPTED:
                step = chain[attempt.evidence.step]
                worth = 0.0 if step.lane in self._can_tell else _TAKEN
                self._add(case, attempt.evidence.step, tries=1.0, reached=worth)
        for receipt in transition.receipts:
            one = receipt.evidence
            if (worth := _WORTH.get(one.event, 0.0)) and one.step < len(chain):
                self._add(case, one.step, tries=0.0, reached=worth / shares(case, one))

    def _add(self, case: Case, step: int, *, tries: float, reached: float) -> None:
        plan = case.message.chain[step]
        recipient = plan.parts[0].recipient
        if not recipient:
            return
        place = (self.subject(case.tenant, recipient), str(plan.channel), self._month())
        if not self._waiting:
            self._since = self._clock.monotonic()
        if len(self._waiting) < _MOST_WAITING or place in self._waiting:
            counts = self._waiting[place]
            counts[0] += tries
            counts[1] += reached

    async def flush(self) -> None:
        """Write what was counted. Raises StoreUnavailable: it is kept, and tried again."""
        if self._clock.monotonic() - self._since > _LONGEST:
            self._waiting.clear()
        while self._waiting:
            places = list(self._waiting)[:_AT_ONCE]
            batch, since = {place: self._waiting.pop(place) for place in places}, self._since
            try:
                await self._store.add_habits([Habit(*one, *batch[one]) for one in places])
            except BaseException:
                self._since = since
                for place, (tries, reached) in batch.items():
                    self._waiting[place][0] += tries
                    self._waiting[place][1] += reached
                raise

    async def forget(self, tenant: str, recipient: str) -> None:
        """What other nodes have counted is not written any more. Nothing is learnt for some hours
        of whoever gets this name next. Raises StoreUnavailable."""
        subject = self.subject(tenant, recipient)
        for place in [place for place in self._waiting if place[0] == subject]:
            del self._waiting[place]
        until_ms = self._clock.now_ms() + _FORGOTTEN_MS
        await self._store.forget_habits(subject, until_ms=until_ms)

    async def of(
        self, tenant: str, recipients: Collection[str]
    ) -> Mapping[str, Mapping[str, Reach]]:
        """By recipient and channel. Raises StoreUnavailable."""
        names = {self.subject(tenant, one): one for one in recipients}
        now = self._month()
        sums: dict[str, dict[str, Reach]] = defaultdict(dict)
        for one in await self._store.habits(list(names)):
            weight = _FADE ** max(0, now - one.month)
            reach = sums[names[one.subject]]
            before = reach.get(one.channel, Reach())
            reach[one.channel] = Reach(
                tries=before.tries + weight * one.tries,
                reached=before.reached + weight * one.reached,
            )
        return sums

    def _month(self) -> int:
        return month_of(self._clock.now_ms())

"""Uses of caps: what the gateway asks of a store, and how both engines decide it.

A use is taken when a message is about to be sent. A message that finds no room and may wait keeps
the first place that will be free, so that of many that wait each comes back for its own. Those that
may leave as one share a place; whichever comes back first is told of the others.
"""

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from gateway.model.caps import (
    MOST_MERGED,
    Cap,
    CapDemand,
    CapUse,
    Full,
    Mates,
    Place,
    Role,
    counted,
    end_of,
    first_quiet,
    first_room,
)
from gateway.model.message import MessageId


class Caps(Protocol):
    """How often whom has been written to."""

    async def take_caps(
        self, demands: Sequence[CapDemand], *, now_ms: int
    ) -> Sequence[Full | Mates | None]:
        """Use all places of each demand, in order, or say which cap is full. Exact over all nodes.
        Who has a place keeps it, however often it asks. Who has mates takes none: it asks again,
        without a digest, or the one that they leave as does."""
        ...

    async def read_caps(self, places: Sequence[Place], *, now_ms: int) -> Sequence[CapUse]:
        """How each place stands; nothing is taken."""
        ...


#: A place as it is written: (subject, cap, message, channel, at_ms, taken, gone_ms, digest); taken,
#: or kept free until then; when it counts no more; with whom it is shared, '' nobody.
Row: TypeAlias = tuple[str, str, MessageId, str, int, bool, int, str]
#: How long a message has waited, with the message.
_Turn: TypeAlias = tuple[int, MessageId]

#: Who gives way: (subject, cap, message, use_ms, until_ms); the last use that it waits for, and
#: how long it does.
Wait: TypeAlias = tuple[str, str, MessageId, int, int]

#: Messages that one commit wakes at the most; those beyond wait as long as they were told.
MOST_WOKEN = 500


def pages_of(places: Iterable[Place]) -> Sequence[tuple[str, str]]:
    """(subject, cap) of what must be read to judge places, sorted."""
    return _names(places, Role.LIMIT)


def last_of(places: Iterable[Place]) -> Sequence[tuple[str, str]]:
    """(subject, cap) of which the last use is enough, sorted: nothing bounds how many there are.
    To count one more, none is needed."""
    return _names(places, Role.LOOK)


def _names(places: Iterable[Place], role: Role) -> Sequence[tuple[str, str]]:
    return sorted({(one.subject, one.cap.name) for one in places if one.cap.role is role})


class Register:
    """The places of some subjects, as they were read; and those that are to be written."""

    def __init__(self, rows: Iterable[Sequence[Any]]) -> None:
        """rows: (subject, cap, message, channel, at_ms, taken, digest)."""
        self._pages: Mapping[tuple[str, str], _Page] = defaultdict(_Page)
        self._new: dict[tuple[str, str, MessageId, str], Row] = {}
        self._waits: dict[tuple[str, str, MessageId], Wait] = {}
        for subject, cap, message, channel, at_ms, taken, digest in rows:
            page = self._pages[subject, cap]
            page.put((message, channel), at_ms, taken=bool(taken), digest=digest)

    @property
    def new(self) -> Sequence[Row]:
        """What has changed."""
        return list(self._new.values())

    @property
    def waits(self) -> Sequence[Wait]:
        """Who has been told to give way."""
        return list(self._waits.values())

    def take(self, demand: CapDemand, now_ms: int) -> Full | Mates | None:
        """As `Caps.take_caps`."""
        rooms = [(self._room(one, demand, now_ms, now_ms), one.cap) for one in demand.places]
        room_ms, cap = max(rooms, key=lambda pair: pair[0], default=(now_ms, None))
        if cap is None or room_ms <= now_ms:
            if mates := self._mates(demand, now_ms):
                return Mates([message for _, message in mates])
            self._put(demand, demand.places, now_ms, taken=True)
            return None
        for own_ms, one in rooms:
            if own_ms > now_ms and not one.waits:
                return Full(one.name, None)
        while len(rooms) > 1 and (later := self._common(demand, room_ms, now_ms)) > room_ms:
            room_ms = later
        if room_ms < demand.latest_ms:
            waiting = [one for one in demand.places if one.cap.waits]
            merges = any(own_ms > now_ms and one.merges for own_ms, one in rooms)
            self._put(demand, waiting, room_ms, taken=False, unless_at=now_ms, merges=merges)
            self._note_waits(demand, now_ms, room_ms)
        return Full(cap.name, room_ms)

    def _mates(self, demand: CapDemand, now_ms: int) -> Sequence[_Turn]:
        """Who leaves as one with a message that has room, itself among them; nobody if it leaves
        alone, as one does that has a place."""
        found: dict[MessageId, int] = {}
        for one in demand.places:
            if one.cap.role is not Role.LIMIT or not one.digest:
                continue
            page = self._pages[one.subject, one.cap.name]
            if page.counts(one.cap, (demand.message, one.channel), now_ms):
                return ()
            found |= page.waiting_for(one.digest)
        own_ms = found.pop(demand.message, None)
        others = sorted((at_ms, message) for message, at_ms in found.items())[: MOST_MERGED - 1]
        if not others:
            return ()
        if own_ms is None:  # it joins them, so that whoever asks next hears of it
            own_ms = others[0][0]
            waiting = [one for one in demand.places if one.cap.waits]
            self._put(demand, waiting, own_ms, taken=False, merges=True)
        return sorted([*others, (own_ms, demand.message)])

    def read(self, place: Place, now_ms: int) -> CapUse:
        """As `Caps.read_caps`."""
        page, cap = self._pages[place.subject, place.cap.name], place.cap
        if cap.role is Role.LIMIT:
            room_ms = page.room_of_new(cap, now_ms, now_ms, place.digest)
        else:
            room_ms = page.idle_room(cap, now_ms)
        return CapUse(
            used=counted(cap.window, page.taken, now_ms),
            room_ms=room_ms,
            mates=len(page.waiting_for(place.digest)),
        )

    def _note_waits(self, demand: CapDemand, now_ms: int, until_ms: int) -> None:
        """So that it is found when what it gives way to is given back."""
        for one in demand.places:
            page = self._pages[one.subject, one.cap.name]
            if one.cap.role is Role.LOOK and page.idle_room(one.cap, now_ms) > now_ms:
                name = (one.subject, one.cap.name, demand.message)
                self._waits[name] = (*name, page.taken[-1], until_ms)

    def _common(self, demand: CapDemand, start_ms: int, now_ms: int) -> int:
        return max(self._room(one, demand, start_ms, now_ms) for one in demand.places)

    def _room(self, place: Place, demand: CapDemand, start_ms: int, now_ms: int) -> int:
        page = self._pages[place.subject, place.cap.name]
        if place.cap.role is not Role.LIMIT:
            return page.idle_room(place.cap, start_ms)
        key = (demand.message, place.channel)
        return page.room(place.cap, key, start_ms, now_ms, place.digest)

    def _put(
        self,
        demand: CapDemand,
        places: Sequence[Place],
        at_ms: int,
        *,
        taken: bool,
        unless_at: int | None = None,
        merges: bool = False,
    ) -> None:
        """unless_at: leave alone what is taken, and counts then. merges: it is a cap that merges
        for which it waits."""
        for one in places:
            if one.cap.role is Role.LOOK:
                continue
            page, key = self._pages[one.subject, one.cap.name], (demand.message, one.channel)
            if unless_at is not None and page.counts(one.cap, key, unless_at):
                continue
            shared = not taken and (merges or page.is_shared(key))
            digest = one.digest if shared else ""
            at = page.put(key, at_ms, taken=taken, digest=digest)
            gone_ms = end_of(one.cap.window, at)
            if digest:  # a night may be longer than the window: it is still told of its mates
                gone_ms = max(gone_ms, demand.latest_ms)
            name = (one.subject, one.cap.name, *key)
            self._new[name] = (*name, at, taken, gone_ms, digest)


class _Page:
    """The places of one subject under one cap, by message and channel."""

    def __init__(self) -> None:
        #: (at, taken, digest)
        self._of: dict[tuple[MessageId, str], tuple[int, bool, str]] = {}
        #: how many share places at a time, by digest: so many times `MOST_MERGED` each
        self._shared: dict[str, Counter[int]] = defaultdict(Counter)
        #: times of those that are taken, of those that are kept free, and of both; sorted
        self.taken: list[int] = []
        self._waiting: list[int] = []
        self.all: list[int] = []
        #: until then there is no room for another message: of thousands, none looks for it anew
        self._full_until = 0

    def put(self, key: tuple[MessageId, str], at_ms: int, *, taken: bool, digest: str = "") -> int:
        """In place of the one it has, if any; its time, which for one that was taken before is
        never earlier: it may arrive again. digest: with whom it shares its place."""
        before = self._of.pop(key, None)
        if before is not None:
            self._remove(*before)
            if before[1] and taken:
                at_ms = max(at_ms, before[0])
        self._of[key] = (at_ms, taken, digest)
        if digest:
            self._shared[digest][at_ms] += 1
            if self._shared[digest][at_ms] % MOST_MERGED != 1:
                return at_ms  # there is one more in a place that is kept
        for times in (self.taken if taken else self._waiting, self.all):
            insort(times, at_ms)
        return at_ms

    def _remove(self, at_ms: int, taken: bool, digest: str) -> None:
        if digest:
            self._shared[digest][at_ms] -= 1
            if self._shared[digest][at_ms] % MOST_MERGED:
                return  # others keep the place
        self._full_until = 0
        for times in (self.taken if taken else self._waiting, self.all):
            del times[bisect_left(times, at_ms)]

    def is_shared(self, key: tuple[MessageId, str]) -> bool:
        own = self._of.get(key)
        return own is not None and own[2] != ""

    def waiting_for(self, digest: str) -> Mapping[MessageId, int]:
        """When the place of each comes that waits to leave as this."""
        if not self._shared.get(digest):
            return {}
        return {key[0]: at for key, (at, _, shared) in self._of.items() if shared == digest}

    def counts(self, cap: Cap, key: tuple[MessageId, str], now_ms: int) -> bool:
        """Whether it has been taken, and counts now."""
        own = self._of.get(key)
        return own is not None and own[1] and end_of(cap.window, own[0]) > now_ms

    def room(
        self, cap: Cap, key: tuple[MessageId, str], start_ms: int, now_ms: int, digest: str
    ) -> int:
        """When there is room for it, from the start on. digest: with whom it may share a place."""
        if self.counts(cap, key, now_ms):
            return start_ms
        own = self._of.get(key)
        if own is None:
            return self.room_of_new(cap, start_ms, now_ms, digest)
        return first_room(cap.window, cap.most, self._before(*own[:2]), start_ms)

    def idle_room(self, cap: Cap, start_ms: int) -> int:
        """When there is room for one that only counts, which is always, or that only looks."""
        return first_quiet(cap.window, self.taken, start_ms) if cap.role is Role.LOOK else start_ms

    def room_of_new(self, cap: Cap, start_ms: int, now_ms: int, digest: str) -> int:
        """The same for one that has not been here."""
        alone_ms = self._room_behind_all(cap, start_ms, now_ms)
        times = self._shared.get(digest, {}).items()
        open_ms = min((at_ms for at_ms, count in times if count % MOST_MERGED), default=None)
        if alone_ms <= start_ms or open_ms is None:
            return alone_ms
        before = self._before(open_ms, taken=False)
        return min(alone_ms, first_room(cap.window, cap.most, before, start_ms))

    def _room_behind_all(self, cap: Cap, start_ms: int, now_ms: int) -> int:
        from_ms = max(start_ms, self._full_until)
        room_ms = first_room(cap.window, cap.most, self.all, from_ms)
        if start_ms <= max(now_ms, self._full_until):
            self._full_until = room_ms
        return room_ms

    def _before(self, own_ms: int, taken: bool) -> Sequence[int]:
        """What counts against a message that has been here: all that is taken, and what is kept
        for those that have waited for longer."""
        if taken:  # long ago: only its own time does not stand in its way
            place = bisect_left(self.all, own_ms)
            return [*self.all[:place], *self.all[place + 1 :]]
        return sorted([*self.taken, *self._waiting[: bisect_left(self._waiting, own_ms)]])

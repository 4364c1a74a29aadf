"""Forgets a person: the recipient, the addresses, and who messages were for and what they said.

What happened is kept: states, attempts, receipts and their codes. Bans and refusals are kept too,
as hashes: somebody who has left must not be written to again because they were forgotten. What they
agreed to is not. What repeated requests are known by is nobody's by itself, and goes in a day.

Messages are found by the recipient that they name, and by their addresses, for which all messages
of the store are looked through in short reads: erasure is rare, and an index of all addresses would
be paid for by every message. So with our reports to the tenant about these messages: they keep
which message it was and what became of it, and lose what the tenant, providers and the person said
of it. They are delivered, and replayed, as what is left.

Reports go first, as they are found by the messages, and the recipient last, so that what was cut
off can be asked for again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

import msgspec

from gateway.clock import Clock
from gateway.dispatch import telling
from gateway.dispatch.bans import Bans
from gateway.dispatch.change import Change
from gateway.dispatch.finisher import Finisher
from gateway.dispatch.habits import Habits
from gateway.model import wire
from gateway.model.case import Case
from gateway.model.message import Message, MessageId, encode, new_id
from gateway.model.permission import Hashed, by_recipient
from gateway.model.recipient import Erased, Recipient
from gateway.model.state import State
from gateway.model.values import Value, replace
from gateway.store import base

_log = logging.getLogger(__name__)

#: By field, the channels that an address is written to on.
_WRITTEN_ON = {
    "phone": (wire.Channel.SMS, wire.Channel.RCS),
    "email": (wire.Channel.EMAIL,),
    "wechat": (wire.Channel.WECHAT,),
    "wecom": (wire.Channel.WECOM,),
    "chat": (wire.Channel.CHAT,),
    "url": (wire.Channel.WEBHOOK,),
}

#: Messages that are overwritten in one commit, and looked through in one read: a few milliseconds.
_AT_ONCE, _SCANNED = 100, 2_000


class _Person(Value):
    """By what somebody's messages are known."""

    #: the tenant's own
    id: str
    #: of all addresses
    names: frozenset[Hashed] = frozenset()
    #: the addresses as they stand in a stored message, and as words of what reports say
    texts: Sequence[str] = ()
    words: frozenset[str] = frozenset()
    #: to the person
    messages: frozenset[MessageId] = frozenset()


class Eraser:
    """Erases one recipient at a time."""

    def __init__(
        self,
        store: base.Store,
        finisher: Finisher,
        bans: Bans,
        habits: Habits,
        clock: Clock,
    ) -> None:
        self._store = store
        self._finisher = finisher
        self._bans = bans
        self._habits = habits
        self._clock = clock

    async def erase(self, tenant: str, recipient: str) -> Erased | None:
        """None when there is neither such a recipient nor a message that names one. Raises
        StoreUnavailable: some of it may be done, and it may be asked for again."""
        kept = (await self._store.recipients(tenant, [recipient])).get(recipient)
        person = _Person(id=recipient) if kept is None else self._person(kept.recipient)
        begun = new_id(self._clock.now_ms(), bytes(10))
        ids = {*await self._named(tenant, recipient), *await self._written(tenant, person)}
        await self._forget_consents(tenant, person)
        if kept is None and not ids:
            return None
        person = replace(person, messages=frozenset(ids))
        await self._erase_reports(tenant, person)
        done = await self._erase_all(sorted(ids), person)
        await self._habits.forget(tenant, recipient)
        if kept is not None:
            await self._store.erase_recipient(tenant, recipient)
        elif not done.messages:
            return None
        done = _sum(done, await self._erase_late(tenant, person, begun))
        _log.info("recipient_erased tenant=%s messages=%d", tenant, done.messages)
        return done

    def _person(self, recipient: Recipient) -> _Person:
        names: set[Hashed] = set()
        words: list[str] = []
        for name, channels in _WRITTEN_ON.items():
            if value := getattr(recipient, name):
                words.append(value)
                names |= {self._bans.named(one, value) for one in channels}
        for one in recipient.push:
            words.append(one.token)
            address = wire.Address(app=one.app, token=one.token)
            names.add(self._bans.hashed(wire.Channel.PUSH, address))
        return _Person(
            id=recipient.id,
            names=frozenset(names),
            texts=list(map(_as_stored, words)),
            words=frozenset(words),
        )

    async def _forget_consents(self, tenant: str, person: _Person) -> None:
        """Whoever is forgotten has to be asked again; and what proves it may have their name."""
        hash_ = self._bans.hash_recipient(tenant, person.id)
        ids = [(by_recipient(channel), hash_) for channel in ("", *wire.Channel)]
        await self._store.forget_consents(tenant, [*person.names, *ids])

    async def _named(self, tenant: str, recipient: str) -> Sequence[MessageId]:
        found: list[MessageId] = []
        while ids := await self._store.messages_naming(
            tenant, recipient, after=found[-1] if found else "", limit=_SCANNED
        ):
            found += ids
        return found

    async def _written(self, tenant: str, person: _Person) -> Sequence[MessageId]:
        """What went to the addresses, whether or not it names the recipient."""
        if not person.texts:
            return ()
        cases = self._holding(tenant, person.texts)
        return [
            one.id
            async for one in cases
            if not one.internal and not person.names.isdisjoint(self._names_of([one]))
        ]

    def _names_of(self, cases: Sequence[Case]) -> frozenset[Hashed]:
        """Of all addresses that messages of the tenant went to."""
        return frozenset(
            self._bans.hashed(step.channel, part)
            for case in cases
            for step in case.message.chain
            for part in step.parts
        )

    async def _holding(
        self, tenant: str, texts: Sequence[str], about: Sequence[MessageId] = (), after: str = ""
    ) -> AsyncIterator[Case]:
        """Messages that hold one of these texts, and reports about these messages."""
        while True:
            scanned = await self._store.messages_holding(
                tenant, texts, about=about, after=after, limit=_SCANNED
            )
            for ids in _batches(scanned.found):
                for case in (await self._store.cases(ids)).values():
                    yield case
            after = scanned.cursor
            if not after:
                return

    async def _erase_reports(self, tenant: str, person: _Person, *, after: str = "") -> None:
        named = _as_stored(f'"recipient":{_json(person.id)}')
        bodies: dict[MessageId, str] = {}
        cases = self._holding(tenant, [*person.texts, named], sorted(person.messages), after)
        async for case in cases:
            if case.internal and self._is_about(case, person):
                bodies[case.id] = encode(telling.unsaid(case.message))
            if len(bodies) >= _AT_ONCE:
                await self._overwrite(bodies)
                bodies = {}
        await self._overwrite(bodies)

    def _is_about(self, case: Case, person: _Person) -> bool:
        return telling.is_about(
            case.message, recipient=person.id, messages=person.messages, words=person.words
        )

    async def _overwrite(self, reports: Mapping[MessageId, str]) -> None:
        await self._store.erase_messages(reports, hashes=(), now_ms=self._clock.now_ms())

    async def _erase_late(self, tenant: str, person: _Person, begun: MessageId) -> Erased:
        """What was accepted and told while we were at it. begun: ids since then are greater."""
        ids = await self._named(tenant, person.id)
        person = replace(person, messages=person.messages.union(ids))
        await self._erase_reports(tenant, person, after=begun)
        return await self._erase_all(ids, person)

    async def _erase_all(self, ids: Sequence[MessageId], person: _Person) -> Erased:
        done = Erased()
        for some in _batches(ids):
            cases = (await self._store.cases(some)).values()
            done = _sum(done, await self._erase_cases(list(cases), person))
        return done

    async def _erase_cases(self, cases: Sequence[Case], person: _Person) -> Erased:
        """Cancelled before they are overwritten: nobody may claim what has no address."""
        blank = [replace(one, message=_blank(one.message)) for one in cases]
        waiting = [one for one in blank if one.live and one.ending is None]
        states = await asyncio.gather(*map(self._cancel, waiting))
        await self._store.erase_messages(
            {one.id: encode(one.message) for one in blank},
            hashes=sorted({hash_ for _, hash_ in person.names | self._names_of(cases)}),
            words=[(one.tenant, word, one.id) for one in cases if (word := one.message.replaces)],
            now_ms=self._clock.now_ms(),
        )
        return Erased(messages=len(blank), cancelled=states.count(State.CANCELLED))

    async def _cancel(self, case: Case) -> State | None:
        """The state after that."""

        def news(change: Change) -> None:
            if change.case.live and change.ending is None:
                change.stop_all()
                change.end(State.CANCELLED, "erased")

        end = await self._finisher.apply(case, news)
        return None if end is None else end.state


def _blank(message: Message) -> Message:
    """What is left of a message: its way, and nothing of whom it was for or what it said."""
    chain = [replace(step, parts=(wire.Address(),) * len(step.parts)) for step in message.chain]
    return replace(
        message,
        chain=tuple(chain),
        data={},
        content={},
        metadata={},
        replaces="",
        whom=None,
        erased=True,
    )


def _as_stored(value: str) -> str:
    """As it stands between quotes in `message.encode`."""
    return _json(value)[1:-1]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _batches(ids: Sequence[MessageId]) -> Iterator[Sequence[MessageId]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]


def _sum(one: Erased, other: Erased) -> Erased:
    return Erased(messages=one.messages + other.messages, cancelled=one.cancelled + other.cancelled)

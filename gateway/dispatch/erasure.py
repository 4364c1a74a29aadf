"""Forgets a person: the recipient, the addresses, and who messages were for and what they said.

What happened is kept: states, attempts, receipts and their codes. Bans and refusals are kept too,
as hashes: somebody who has left must not be written to again because they were forgotten. What they
agreed to is not. What repeated requests are known by is nobody's by itself, and goes in a day.

Messages are found by the recipient that they name, and by their addresses, for which all messages
of the store are looked through in short reads: erasure is rare, and an index of all addresses would
be paid for by every message. The recipient goes last, so that what was cut off can be asked for
again.
"""

import asyncio
import logging
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from gateway.clock import Clock
from gateway.dispatch.bans import Bans
from gateway.dispatch.change import Change
from gateway.dispatch.finisher import Finisher
from gateway.dispatch.habits import Habits
from gateway.model import wire
from gateway.model.case import Case
from gateway.model.message import Message, MessageId, encode
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

#: Of a report's data: what is not said in words of ours.
_SAID = ("from", "text", "detail", "metadata", "recipient")

#: Messages that are overwritten in one commit, and looked through in one read: a few milliseconds.
_AT_ONCE, _SCANNED = 100, 2_000


class _Person(Value):
    """By what somebody's messages are known."""

    #: of all addresses
    names: frozenset[Hashed] = frozenset()
    #: the addresses as they stand in a stored message, and as words of what reports say
    texts: Sequence[str] = ()
    words: frozenset[str] = frozenset()


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
        person = _Person() if kept is None else self._person(kept.recipient)
        done = await self._erase_named(tenant, recipient, person)
        await self._forget_consents(tenant, recipient, person)
        if kept is not None:
            done = _sum(done, await self._erase_written(tenant, person))
            await self._habits.forget(tenant, recipient)
            await self._store.erase_recipient(tenant, recipient)
            # what was accepted while we were at it
            done = _sum(done, await self._erase_named(tenant, recipient, person))
        elif not done.messages:
            return None
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
            names=frozenset(names), texts=list(map(_as_stored, words)), words=frozenset(words)
        )

    async def _forget_consents(self, tenant: str, recipient: str, person: _Person) -> None:
        """Whoever is forgotten has to be asked again; and what proves it may have their name."""
        hash_ = self._bans.hash_recipient(tenant, recipient)
        ids = [(by_recipient(channel), hash_) for channel in ("", *wire.Channel)]
        await self._store.forget_consents(tenant, [*person.names, *ids])

    async def _erase_named(self, tenant: str, recipient: str, person: _Person) -> Erased:
        done, last = Erased(), ""
        while ids := await self._store.messages_naming(
            tenant, recipient, after=last, limit=_AT_ONCE
        ):
            done = _sum(done, await self._erase_all(await self._cases(ids), person))
            last = ids[-1]
        return done

    async def _erase_written(self, tenant: str, person: _Person) -> Erased:
        """What went to the addresses without naming the recipient, and what came from them."""
        done, cursor = Erased(), ""
        while True:
            scanned = await self._store.messages_holding(
                tenant, person.texts, after=cursor, limit=_SCANNED
            )
            for start in range(0, len(scanned.found), _AT_ONCE):
                cases = await self._cases(scanned.found[start : start + _AT_ONCE])
                about = [one for one in cases if self._is_about(one, person)]
                done = _sum(done, await self._erase_all(about, person))
            cursor = scanned.cursor
            if not cursor:
                return done

    def _is_about(self, case: Case, person: _Person) -> bool:
        """Whether it goes to the person, or tells the tenant what the person wrote."""
        if case.internal:
            return _tells_of(case.message, person.words)
        return any(
            self._bans.hashed(step.channel, part) in person.names
            for step in case.message.chain
            for part in step.parts
        )

    def _names_of(self, cases: Sequence[Case]) -> frozenset[Hashed]:
        """Of all addresses that messages of the tenant went to."""
        return frozenset(
            self._bans.hashed(step.channel, part)
            for case in cases
            if not case.internal
            for step in case.message.chain
            for part in step.parts
        )

    async def _cases(self, ids: Sequence[MessageId]) -> Sequence[Case]:
        return list((await self._store.cases(ids)).values())

    async def _erase_all(self, cases: Sequence[Case], person: _Person) -> Erased:
        """Cancelled before they are overwritten: nobody may claim what has no address."""
        blank = [replace(one, message=_blank(one.message, internal=one.internal)) for one in cases]
        waiting = [one for one in blank if one.live and one.ending is None]
        states = await asyncio.gather(*map(self._cancel, waiting))
        await self._store.erase_messages(
            {one.id: encode(one.message) for one in blank},
            hashes=sorted({hash_ for _, hash_ in person.names | self._names_of(cases)}),
            words=[(one.tenant, word, one.id) for one in cases if (word := one.message.replaces)],
            now_ms=self._clock.now_ms(),
        )
        ours = [one for one in blank if not one.internal]
        return Erased(messages=len(ours), cancelled=states.count(State.CANCELLED))

    async def _cancel(self, case: Case) -> State | None:
        """The state of a tenant's message after that."""

        def news(change: Change) -> None:
            if change.case.live and change.ending is None:
                change.stop_all()
                change.end(State.CANCELLED, "erased")

        end = await self._finisher.apply(case, news)
        return None if end is None or case.internal else end.state


def _blank(message: Message, *, internal: bool) -> Message:
    """What is left of a message: its way, and nothing of whom it was for or what it said. A report
    to the tenant keeps its address, which is the tenant's."""
    parts = [
        step.parts if internal else (wire.Address(),) * len(step.parts) for step in message.chain
    ]
    chain = [replace(step, parts=left) for step, left in zip(message.chain, parts, strict=True)]
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


def _tells_of(report: Message, words: Collection[str]) -> bool:
    """Whether a report has an address among what people, tenants and providers say: an id such as
    `sms` is also a word of ours."""
    said = _texts(msgspec.json.decode(str(report.content.get("text", "")) or "{}"))
    sought = [re.compile(rf"(?<!\w){re.escape(one)}(?!\w)", re.I) for one in words]
    return any(one.search(text) for text in said for one in sought)


def _texts(report: Mapping[str, Any]) -> Sequence[str]:
    told = [report.get("data", {}).get(name) for name in _SAID]
    found: list[str] = []
    while told:
        match told.pop():
            case str(text):
                found.append(text)
            case dict(values):
                told += [*values, *values.values()]
            case list(values):
                told += values
    return found


def _as_stored(value: str) -> str:
    """As it stands between quotes in `message.encode`."""
    return msgspec.json.encode(value).decode()[1:-1]


def _sum(one: Erased, other: Erased) -> Erased:
    return Erased(messages=one.messages + other.messages, cancelled=one.cancelled + other.cancelled)

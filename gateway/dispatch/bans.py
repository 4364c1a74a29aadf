"""Addresses that must not be written to: looked up in batches, added when a provider says so."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from gateway.clock import Clock
from gateway.content.addresses import hash_address
from gateway.model import wire
from gateway.model.case import Claimed
from gateway.store import base

#: (channel, keyed hash of the address), as the store keeps it.
Hashed = tuple[str, str]


#: Why somebody is not written to who has not agreed to it.
NO_CONSENT = "no recorded consent"
#: Why somebody is not written to who has left a tenant's category.
UNSUBSCRIBED = "unsubscribed"


class Bans:
    """Suppression and consent of addresses, by keyed hash: the store never sees who it is about."""

    def __init__(
        self,
        store: base.Store,
        clock: Clock,
        key: bytes,
        *,
        by_consent: Collection[str] = (),
        can_leave: Collection[str] = (),
    ) -> None:
        """by_consent: the categories that nobody gets without a recorded permission. can_leave:
        those that a recipient can refuse and still get others."""
        self._by_consent = frozenset(by_consent)
        self._can_leave = frozenset(can_leave)
        self._store = store
        self._clock = clock
        self._key = key
        self._any: bool | None = None

    def hashed(self, channel: wire.Channel, address: wire.Address) -> Hashed:
        """The store's name for an address on a channel."""
        return channel, hash_address(self._key, channel, _value(channel, address))

    def names(
        self, tenant: str, category: str, channel: wire.Channel, address: wire.Address
    ) -> tuple[Hashed, ...]:
        """All names under which an address may be banned, for messages of this category."""
        name = self.hashed(channel, address)
        return (name, _refusal(tenant, category, name)) if category in self._can_leave else (name,)

    async def refresh(self) -> None:
        """See whether there are any bans at all, which spares the look-up while there are none."""
        self._any = await self._store.has_suppressions()

    async def exist(self) -> bool:
        """Whether any address is banned; what another process added counts after a refresh."""
        if self._any is None:
            await self.refresh()
        return bool(self._any)

    async def of(self, rows: Sequence[Claimed]) -> Sequence[str]:
        """For each row why its address must not be written to now, empty where it may."""
        asking = [row for row in rows if row.case.message.category in self._by_consent]
        if not asking and not await self.exist():
            return [""] * len(rows)
        names = [() if row.case.internal else self._names_of(row) for row in rows]
        wanted = [name for every in names for name in every]
        found = await self._store.suppressed(wanted) if wanted else {}
        refused = await self._refused(asking)
        return [
            _first(found, every) or refused.get((row.case.id, row.step, row.part), "")
            if every
            else ""
            for row, every in zip(rows, names, strict=True)
        ]

    def _names_of(self, row: Claimed) -> tuple[Hashed, ...]:
        return self.names(row.case.tenant, row.case.message.category, *_target(row))

    async def _refused(self, rows: Sequence[Claimed]) -> Mapping[tuple[str, int, int], str]:
        """Of rows that need a permission those that have none any more, by message, step, part."""
        groups: dict[tuple[str, str], list[Claimed]] = defaultdict(list)
        for row in rows:
            groups[row.case.tenant, row.case.message.category].append(row)
        refused: dict[tuple[str, int, int], str] = {}
        for (tenant, category), group in groups.items():
            names = [self.hashed(*_target(row)) for row in group]
            given = await self.consented(tenant, category, names)
            for row, name in zip(group, names, strict=True):
                if name not in given:
                    refused[row.case.id, row.step, row.part] = NO_CONSENT
        return refused

    async def among(self, names: Sequence[Hashed]) -> Mapping[Hashed, str]:
        """Reasons by name, for those that are banned."""
        return await self._store.suppressed(names) if names else {}

    async def consented(
        self, tenant: str, category: str, names: Sequence[Hashed]
    ) -> frozenset[Hashed]:
        """Those with a recorded permission for a category."""
        return await self._store.consented(tenant, category, names)

    async def add(self, row: Claimed, *, reason: str, source: str) -> None:
        """Ban the address of a row."""
        await self.add_address(*_target(row), reason=reason, source=source)

    async def add_address(
        self, channel: wire.Channel, address: wire.Address, *, reason: str, source: str
    ) -> None:
        self._any = True
        await self._store.suppress(
            [self.hashed(channel, address)],
            reason=reason,
            source=source,
            now_ms=self._clock.now_ms(),
        )

    async def refuse(self, tenant: str, category: str, name: Hashed) -> None:
        """Record that somebody wants no more of a tenant's category, and forget a permission.

        The refusal stands until it is lifted: a permission that is recorded later, as by lists
        that are read in again and again, does not undo it.
        """
        self._any = True
        await self._store.suppress(
            [_refusal(tenant, category, name)],
            reason=UNSUBSCRIBED,
            source="recipient",
            now_ms=self._clock.now_ms(),
        )
        await self._store.withdraw_consent(tenant, category, name)


def _refusal(tenant: str, category: str, name: Hashed) -> Hashed:
    """The name of a ban that holds for one category of one tenant."""
    channel, hash_ = name
    return f"{channel} category:{tenant}/{category}", hash_


def _first(found: Mapping[Hashed, str], names: Sequence[Hashed]) -> str:
    """The first reason for which one of the names is banned; empty without one."""
    return next((found[name] for name in names if name in found), "")


def _target(row: Claimed) -> tuple[wire.Channel, wire.Address]:
    step = row.case.message.chain[row.step]
    return step.channel, step.parts[row.part]


def _value(channel: wire.Channel, address: wire.Address) -> str:
    match channel:
        case wire.Channel.SMS | wire.Channel.RCS:
            return address.phone
        case wire.Channel.EMAIL:
            return address.email
        case wire.Channel.PUSH:
            return f"{address.app}:{address.token}"
        case wire.Channel.WECHAT:
            return address.wechat
        case wire.Channel.WECOM:
            return address.wecom
        case wire.Channel.CHAT:
            return address.chat
        case wire.Channel.WEBHOOK:
            return address.url

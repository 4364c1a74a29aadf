"""Addresses that must not be written to: looked up in batches, added when a provider says so."""

from collections.abc import Mapping, Sequence

from gateway.clock import Clock
from gateway.content.addresses import hash_address
from gateway.model import wire
from gateway.model.case import Claimed
from gateway.store import base

#: (channel, keyed hash of the address), as the store keeps it.
Hashed = tuple[str, str]


class Bans:
    """Suppression and consent of addresses, by keyed hash: the store never sees who it is about."""

    def __init__(self, store: base.Store, clock: Clock, key: bytes) -> None:
        self._store = store
        self._clock = clock
        self._key = key
        self._any: bool | None = None

    def hashed(self, channel: wire.Channel, address: wire.Address) -> Hashed:
        """The store's name for an address on a channel."""
        return channel, hash_address(self._key, channel, _value(channel, address))

    async def refresh(self) -> None:
        """See whether there are any bans at all, which spares the look-up while there are none."""
        self._any = await self._store.has_suppressions()

    async def exist(self) -> bool:
        """Whether any address is banned; what another process added counts after a refresh."""
        if self._any is None:
            await self.refresh()
        return bool(self._any)

    async def of(self, rows: Sequence[Claimed]) -> Sequence[str]:
        """For each row why its address is banned, empty where it is not."""
        if not await self.exist():
            return [""] * len(rows)
        names = [None if row.case.internal else self.hashed(*_target(row)) for row in rows]
        wanted = [name for name in names if name is not None]
        found = await self._store.suppressed(wanted) if wanted else {}
        return [found.get(name, "") if name is not None else "" for name in names]

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

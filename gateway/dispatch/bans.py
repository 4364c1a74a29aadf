"""Addresses that must not be written to: looked up in batches, added when a provider or the
recipient says so.

A ban holds for everybody and everything (a dead address, a complaint), or for one account and the
categories that offer a way out (an opt-out).
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence

from gateway.clock import Clock
from gateway.content.addresses import hash_address
from gateway.dispatch.gate import Hold
from gateway.model import wire
from gateway.model.case import Claimed
from gateway.model.recipient import PushDevice
from gateway.model.values import Value
from gateway.store import base
from gateway.store.recipients import DeadDevice

#: (channel, keyed hash of the address), as the store keeps it.
Hashed = tuple[str, str]


#: Why somebody is not written to who has not agreed to it.
NO_CONSENT = "no recorded consent"
#: Why somebody is not written to who has left a tenant's category.
UNSUBSCRIBED = "unsubscribed"


class Ban(Value):
    """Whether an account must not write to an address."""

    #: why; '' when it may
    reason: str = ""
    #: accounts of the lane that may
    others: Sequence[str] = ()
    #: the message that has taken the row's place; '' without one
    heir: str = ""
    #: a rule that holds the row back, which was asked when it was claimed; None without one
    hold: Hold | None = None


FREE = Ban()

#: Reasons by the account that they hold for; '' for all.
Reasons = Mapping[str, str]


class Bans:
    """Suppression and consent of addresses, by keyed hash: the store never sees who it is about."""

    def __init__(
        self,
        store: base.Store,
        clock: Clock,
        key: bytes,
        *,
        by_consent: Collection[str] = (),
        declinable: Collection[str] = (),
        providers_of: Callable[[str], Sequence[str]] = lambda lane: (),
    ) -> None:
        """by_consent: the categories that nobody gets without a recorded permission. declinable:
        those that a recipient can refuse and still get others. providers_of: the accounts of a
        lane."""
        self._by_consent = frozenset(by_consent)
        self._can_leave = frozenset(declinable)
        self._declinable = self._can_leave | self._by_consent
        self._providers_of = providers_of
        self._store = store
        self._clock = clock
        self._key = key
        self._any: bool | None = None

    def hashed(self, channel: wire.Channel, address: wire.Address) -> Hashed:
        """The store's name for an address on a channel."""
        return self.named(channel, _value(channel, address))

    def named(self, channel: wire.Channel, value: str) -> Hashed:
        """The same of an address that is one text; a device is `app:token`."""
        return channel, hash_address(self._key, channel, value)

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

    def note_new(self) -> None:
        """There is a ban now."""
        self._any = True

    async def of(self, rows: Sequence[Claimed], account: str) -> Sequence[Ban]:
        """For each row whether the account must not write to its address now."""
        asking = [row for row in rows if row.case.message.category in self._by_consent]
        if not asking and not await self.exist():
            return [FREE] * len(rows)
        names = [() if row.case.internal else self._names_of(row) for row in rows]
        wanted = [name for every in names for name in every]
        found = await self._store.suppressed(wanted) if wanted else {}
        refused = await self._refused(asking)
        return [
            refused.get((row.case.id, row.step, row.part))
            or self._ban(row.case.message.category, row.lane, account, reasons_of(found, every))
            if every
            else FREE
            for row, every in zip(rows, names, strict=True)
        ]

    def _names_of(self, row: Claimed) -> tuple[Hashed, ...]:
        return self.names(row.case.tenant, row.case.message.category, *target(row))

    def _ban(self, category: str, lane: str, account: str, reasons: Reasons) -> Ban:
        if not reasons:
            return FREE
        if reason := reasons.get(""):
            return Ban(reason=reason)
        if category not in self._declinable or account not in reasons:
            return FREE
        others = [one for one in self._providers_of(lane) if one not in reasons]
        return Ban(reason=reasons[account], others=others)

    def closed(self, category: str, lane: str, reasons: Reasons) -> str:
        """Why no account of a lane may write to an address; '' when one may."""
        if not reasons:
            return ""
        if reason := reasons.get(""):
            return reason
        providers = self._providers_of(lane)
        if category not in self._declinable or not providers:
            return ""
        return reasons[providers[0]] if all(one in reasons for one in providers) else ""

    async def _refused(self, rows: Sequence[Claimed]) -> Mapping[tuple[str, int, int], Ban]:
        """Of rows that need a permission those that have none any more, by message, step, part."""
        groups: dict[tuple[str, str], list[Claimed]] = defaultdict(list)
        for row in rows:
            groups[row.case.tenant, row.case.message.category].append(row)
        refused: dict[tuple[str, int, int], Ban] = {}
        for (tenant, category), group in groups.items():
            names = [self.hashed(*target(row)) for row in group]
            given = await self.consented(tenant, category, names)
            for row, name in zip(group, names, strict=True):
                if name not in given:
                    refused[row.case.id, row.step, row.part] = Ban(reason=NO_CONSENT)
        return refused

    async def among(self, names: Sequence[Hashed]) -> Mapping[Hashed, Reasons]:
        """Reasons by name, for those that are banned."""
        return await self._store.suppressed(names) if names else {}

    async def consented(
        self, tenant: str, category: str, names: Sequence[Hashed]
    ) -> frozenset[Hashed]:
        """Those with a recorded permission for a category."""
        return await self._store.consented(tenant, category, names)

    async def add(self, row: Claimed, *, reason: str, source: str, sender: str = "") -> None:
        """Ban the address of a row."""
        await self.add_address(*target(row), reason=reason, source=source, sender=sender)

    async def add_address(
        self,
        channel: wire.Channel,
        address: wire.Address,
        *,
        reason: str,
        source: str,
        sender: str = "",
    ) -> None:
        """sender: the account that it holds for, with what can be refused; '' all, and all."""
        if not _value(channel, address).strip(":"):
            return  # it was erased
        self._any = True
        name, now_ms = self.hashed(channel, address), self._clock.now_ms()
        await self._store.suppress(
            [name], reason=reason, source=source, now_ms=now_ms, sender=sender
        )
        if channel is wire.Channel.PUSH and not sender:
            device = PushDevice(
                app=address.app, token=address.token, reason=reason, since_ms=now_ms
            )
            await self._store.mark_dead(DeadDevice(hash=name[1], device=device), now_ms=now_ms)

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


def reasons_of(found: Mapping[Hashed, Reasons], names: Sequence[Hashed]) -> Reasons:
    """What is recorded under any of an address's names."""
    reasons: dict[str, str] = {}
    for name in names:
        for account, reason in found.get(name, {}).items():
            reasons.setdefault(account, reason)
    return reasons


def address_of(channel: wire.Channel, name: str) -> wire.Address:
    """Somebody on a channel, as `Bans.hashed` takes it. name: as the channel's services give it."""
    match channel:
        case wire.Channel.SMS | wire.Channel.RCS:
            return wire.Address(phone=name)
        case wire.Channel.EMAIL:
            return wire.Address(email=name)
        case wire.Channel.PUSH:
            return wire.Address(token=name)
        case wire.Channel.WECHAT:
            return wire.Address(wechat=name)
        case wire.Channel.WECOM:
            return wire.Address(wecom=name)
        case wire.Channel.CHAT:
            return wire.Address(chat=name)
        case wire.Channel.WEBHOOK:
            return wire.Address(url=name)


def target(row: Claimed) -> tuple[wire.Channel, wire.Address]:
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

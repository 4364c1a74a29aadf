"""Addresses that must not be written to: looked up in batches, added when a provider or the
recipient says so.

A ban holds for everybody or for one tenant, for all categories or for one, for all accounts or for
one. One for a wish (an opt-out) holds for categories that can be refused and for no other: nobody
misses a code because they wanted no more offers. All else (a dead address, a complaint, somebody's
decision) holds for everything within its scope.

What this process records counts at once; what others do is read with each claim and acceptance once
there is any ban, and that there is a first one by `refresh`, every two seconds. A row waits three
seconds at the most between that question and its call, however slow the store is (`calls.Calls`).
So five seconds after a ban no message starts, on any node.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence

from gateway.clock import Clock
from gateway.content.addresses import hash_address
from gateway.dispatch.addressing import value_of
from gateway.dispatch.gate import Hold
from gateway.model import wire
from gateway.model.case import Claimed
from gateway.model.message import MessageId
from gateway.model.permission import (
    RECIPIENT,
    Consent,
    Hashed,
    Outcome,
    Reason,
    Suppression,
    Wish,
    by_recipient,
)
from gateway.model.recipient import PushDevice
from gateway.model.values import Value
from gateway.store import base
from gateway.store.recipients import DeadDevice

#: Bans by name, as the store gives them.
Found = Mapping[Hashed, Sequence[Suppression]]

#: Why somebody is not written to who has not agreed to it.
NO_CONSENT = "no recorded consent"

#: Reports of providers that are not about an address which does not exist.
_KINDS = {str(wire.ReceiptEvent.COMPLAINED): Reason.COMPLAINT}


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
    #: messages with which it should leave as one, itself among them
    mates: Sequence[MessageId] = ()


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
        self._declinable = frozenset(declinable) | self._by_consent
        self._providers_of = providers_of
        self._store = store
        self._clock = clock
        self._key = key
        self._any: bool | None = None
        #: bans that this process has recorded
        self._news = 0

    def hashed(self, channel: wire.Channel, address: wire.Address) -> Hashed:
        """The store's name for an address on a channel."""
        return self.named(channel, value_of(channel, address))

    def named(self, channel: wire.Channel, value: str) -> Hashed:
        """The same of an address that is one text; of a device, its `device_name`."""
        return channel, hash_address(self._key, channel, value)

    def names(
        self, tenant: str, channel: wire.Channel, address: wire.Address
    ) -> tuple[Hashed, ...]:
        """All names under which it may be banned, or permitted: the address, and somebody's id."""
        name = self.hashed(channel, address)
        if not address.recipient:
            return (name,)
        hash_ = self.hash_recipient(tenant, address.recipient)
        return (name, (by_recipient(), hash_), (by_recipient(channel), hash_))

    def hash_recipient(self, tenant: str, recipient: str) -> str:
        """Of a tenant's own id of somebody; two tenants' ids have nothing to do with each other."""
        return hash_address(self._key, RECIPIENT, f"{tenant}\0{recipient}")

    async def refresh(self) -> None:
        """See whether there are any bans at all, which spares the look-up while there are none."""
        news = self._news
        found = await self._store.has_suppressions()
        if found or news == self._news:  # else one came while we asked
            self._any = found

    async def exist(self) -> bool:
        """Whether any address is banned; what another process added counts after a refresh."""
        if self._any is None:
            await self.refresh()
        return bool(self._any)

    def note_new(self) -> None:
        """There is a ban now."""
        self._any = True
        self._news += 1

    async def of(self, rows: Sequence[Claimed], account: str) -> Sequence[Ban]:
        """For each row whether the account must not write to its address now."""
        asking = [row for row in rows if row.case.message.category in self._by_consent]
        if not asking and not await self.exist():
            return [FREE] * len(rows)
        names = [() if row.case.internal else self._names_of(row) for row in rows]
        found = await self.among([name for every in names for name in every])
        refused = await self._refused(asking)
        return [
            refused.get((row.case.id, row.step, row.part)) or self._ban(row, account, found, every)
            if every
            else FREE
            for row, every in zip(rows, names, strict=True)
        ]

    def _names_of(self, row: Claimed) -> tuple[Hashed, ...]:
        return self.names(row.case.tenant, *target(row))

    def _ban(self, row: Claimed, account: str, found: Found, names: Sequence[Hashed]) -> Ban:
        reasons = self.reasons(found, names, row.case.tenant, row.case.message.category)
        if reason := reasons.get(""):
            return Ban(reason=reason)
        if account not in reasons:
            return FREE
        others = [one for one in self._providers_of(row.lane) if one not in reasons]
        return Ban(reason=reasons[account], others=others)

    def reasons(self, found: Found, names: Sequence[Hashed], tenant: str, category: str) -> Reasons:
        """What of all that is recorded under any of the names holds for a message."""
        reasons: dict[str, str] = {}
        for name in names:
            for ban in found.get(name, ()):
                if self._holds(ban, tenant, category):
                    reasons.setdefault(ban.sender, ban.detail or str(ban.reason))
        return reasons

    def _holds(self, ban: Suppression, tenant: str, category: str) -> bool:
        if ban.tenant not in ("", tenant) or ban.category not in ("", category):
            return False
        return ban.reason is not Reason.OPT_OUT or category in self._declinable

    def closed(self, lane: str, reasons: Reasons) -> str:
        """Why no account of a lane may write to an address; '' when one may."""
        if not reasons:
            return ""
        if reason := reasons.get(""):
            return reason
        providers = self._providers_of(lane)
        all_refused = providers and all(one in reasons for one in providers)
        return reasons[providers[0]] if all_refused else ""

    async def _refused(self, rows: Sequence[Claimed]) -> Mapping[tuple[str, int, int], Ban]:
        """Of rows that need a permission those that have none any more, by message, step, part."""
        groups: dict[tuple[str, str], list[Claimed]] = defaultdict(list)
        for row in rows:
            groups[row.case.tenant, row.case.message.category].append(row)
        refused: dict[tuple[str, int, int], Ban] = {}
        for (tenant, category), group in groups.items():
            names = [self._names_of(row) for row in group]
            given = await self.consented(tenant, category, [one for each in names for one in each])
            for row, every in zip(group, names, strict=True):
                if given.isdisjoint(every):
                    refused[row.case.id, row.step, row.part] = Ban(reason=NO_CONSENT)
        return refused

    async def among(self, names: Sequence[Hashed]) -> Found:
        """What is recorded against any of them."""
        if not names:
            return {}
        return await self._store.suppressed(names, now_ms=self._clock.now_ms())

    async def consents(self, tenant: str, names: Sequence[Hashed]) -> Sequence[Consent]:
        """What a tenant has recorded of any of them."""
        return await self._store.consents(tenant, names, now_ms=self._clock.now_ms())

    async def lift_records(self, tenant: str, ids: Sequence[int]) -> int:
        """Forget bans of a tenant; how many."""
        return await self._store.lift_records(tenant, ids)

    async def consented(
        self, tenant: str, category: str, names: Sequence[Hashed]
    ) -> frozenset[Hashed]:
        """Those with a recorded permission for a category."""
        return await self._store.consented(tenant, category, names, now_ms=self._clock.now_ms())

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
        """reason: a provider's word for it. sender: the account that it holds for, with what can be
        refused; '' all, and all."""
        if not value_of(channel, address).strip(":"):
            return  # it was erased
        (name, hash_), now_ms = self.hashed(channel, address), self._clock.now_ms()
        ban = Suppression(
            channel=name,
            hash=hash_,
            reason=Reason.OPT_OUT if sender else _KINDS.get(reason, Reason.HARD_BOUNCE),
            detail=reason,
            source=source,
            sender=sender,
            at_ms=now_ms,
        )
        await self.put([ban])
        if channel is wire.Channel.PUSH and not sender:
            device = PushDevice(
                app=address.app, token=address.token, reason=reason, since_ms=now_ms
            )
            await self._store.mark_dead(DeadDevice(hash=hash_, device=device), now_ms=now_ms)

    async def put(self, bans: Sequence[Suppression]) -> None:
        """Record bans."""
        await self._store.suppress(bans)
        self.note_new()

    async def take(self, wishes: Sequence[Wish]) -> Sequence[Outcome]:
        """Record what people agree to and refuse; of two wishes the later one holds."""
        outcomes = await self._store.take_wishes(wishes, now_ms=self._clock.now_ms())
        if not all(wish.agrees for wish in wishes):
            self.note_new()
        return outcomes


def target(row: Claimed) -> tuple[wire.Channel, wire.Address]:
    step = row.case.message.chain[row.step]
    return step.channel, step.parts[row.part]

"""What tenants record of consent and suppression. Implements the edge's `Permissions`.

A tenant records for itself, by a key with the scope `send`, as that decides about its own messages
alone; what holds for everybody takes the scope `admin`. A tenant sees its own records and, of an
address that it names, those that hold for everybody, as it would learn of them by writing to it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TypeAlias, TypeVar

from gateway.clock import Clock
from gateway.content import addresses
from gateway.dispatch.addressing import check_addresses, parts_of
from gateway.dispatch.bans import Bans
from gateway.model import wire
from gateway.model.errors import Fault, Forbidden, InvalidMessage, NotFound, RequestError
from gateway.model.permission import (
    Hashed,
    Outcome,
    Reason,
    Suppression,
    SuppressionFilter,
    Wish,
    by_recipient,
)
from gateway.model.recording import (
    Judged,
    Lift,
    NewConsent,
    NewSuppression,
    Recorded,
    Whom,
    Withdrawal,
)
from gateway.model.submission import Caller, Scope
from gateway.settings import Category
from gateway.store import base

#: How far a clock may be off before a time counts as one to come, in milliseconds.
_SKEW_MS = 5_000

#: What names somebody; the rest of `to` says more about them.
_NAMING = (*addresses.CHECKS, "push", "recipient")

#: Lifts that are asked of the store together, so that they share commits.
_AT_ONCE = 20

T = TypeVar("T")

#: What one item comes to: several where an address serves several channels.
Entries: TypeAlias = Sequence[Wish | Suppression]


class Permissions:
    """Judges each item for itself, and stores those of a request together."""

    def __init__(
        self, store: base.Store, bans: Bans, clock: Clock, categories: Mapping[str, Category]
    ) -> None:
        self._store = store
        self._bans = bans
        self._clock = clock
        self._categories = categories

    async def put_consents(
        self, caller: Caller, items: Sequence[NewConsent | RequestError]
    ) -> Sequence[Judged]:
        """Record permissions; one verdict each, in order. Raises StoreUnavailable.

        One that is not later than a recorded refusal of the same changes nothing: lists that are
        read in again and again carry old dates. A later one lifts the refusal.
        """
        return await self._record(items, partial(self._consent, caller))

    async def withdraw(
        self, caller: Caller, items: Sequence[Withdrawal | RequestError]
    ) -> Sequence[Judged]:
        """Record refusals, which take back permissions that are not later than they are."""
        return await self._record(items, partial(self._withdrawal, caller))

    async def suppress(
        self, caller: Caller, items: Sequence[NewSuppression | RequestError]
    ) -> Sequence[Judged]:
        """Record bans. A tenant's opt-out from a category is a refusal, as by `withdraw`."""
        return await self._record(items, partial(self._suppression, caller))

    async def _record(
        self, items: Sequence[T | RequestError], read: Callable[[T], Entries]
    ) -> Sequence[Judged]:
        judged = [_judge(read, item) for item in items]
        good = [entry for one in judged if not isinstance(one, RequestError) for entry in one]
        if bans := [one for one in good if isinstance(one, Suppression)]:
            await self._bans.put(bans)
        wishes = [one for one in good if isinstance(one, Wish)]
        outcomes = iter(await self._bans.take(wishes) if wishes else ())
        return [
            one
            if isinstance(one, RequestError)
            else _together([next(outcomes) for entry in one if isinstance(entry, Wish)])
            for one in judged
        ]

    async def lift(
        self, caller: Caller, items: Sequence[Lift | RequestError]
    ) -> Sequence[int | RequestError]:
        """Forget bans; how many each item took."""
        lifted: list[int | RequestError] = []
        for start in range(0, len(items), _AT_ONCE):
            some = items[start : start + _AT_ONCE]
            lifted += await asyncio.gather(*(self._lift(caller, item) for item in some))
        return lifted

    async def lookup(self, caller: Caller, whom: Whom) -> Recorded:
        """What is recorded of somebody. Raises InvalidMessage."""
        names = self._names(caller.tenant, whom)
        now_ms = self._clock.now_ms()
        found = await self._bans.among(names)
        return Recorded(
            consents=await self._store.consents(caller.tenant, names, now_ms=now_ms),
            suppressions=[
                ban
                for name in names
                for ban in found.get(name, ())
                if ban.tenant in ("", caller.tenant)
            ],
        )

    async def list(self, caller: Caller, wanted: SuppressionFilter) -> Sequence[Suppression]:
        """The tenant's own, or with tenant '' those that hold for everybody. Raises Forbidden."""
        if not wanted.tenant:
            _require_admin(caller)
        return await self._store.list_suppressions(wanted, now_ms=self._clock.now_ms())

    def _consent(self, caller: Caller, item: NewConsent) -> Entries:
        self._check_refusable(item.category)  # a consent lifts an earlier refusal, too
        return [
            Wish(
                tenant=caller.tenant,
                category=item.category,
                name=name,
                agrees=True,
                at_ms=self._past_ms(item.at),
                source=item.source,
                proof=item.proof,
                until_ms=self._end_ms(item.expires_at),
            )
            for name in self._names(caller.tenant, item.whom)
        ]

    def _withdrawal(self, caller: Caller, item: Withdrawal) -> Entries:
        self._check_refusable(item.category)
        return [
            Wish(
                tenant=caller.tenant,
                category=item.category,
                name=name,
                agrees=False,
                at_ms=self._past_ms(item.at),
                source=item.source,
                firm=item.at is None,
            )
            for name in self._names(caller.tenant, item.whom)
        ]

    def _suppression(self, caller: Caller, item: NewSuppression) -> Entries:
        if item.everybody:
            _require_admin(caller)
            if item.whom.to.recipient:
                raise _invalid("to.recipient", "is one tenant's own id")
        if item.reason is Reason.OPT_OUT and item.category:
            self._check_refusable(item.category)
        elif item.category:
            self._category(item.category)
        names = self._names(caller.tenant, item.whom)
        if item.reason is Reason.OPT_OUT and item.category and not item.everybody:
            return [self._refusal(caller, item, name) for name in names]
        return [self._ban(caller, item, name) for name in names]

    def _refusal(self, caller: Caller, item: NewSuppression, name: Hashed) -> Wish:
        return Wish(
            tenant=caller.tenant,
            category=item.category,
            name=name,
            agrees=False,
            at_ms=self._past_ms(item.at),
            source=item.source,
            until_ms=self._end_ms(item.expires_at),
            firm=item.at is None,
        )

    def _ban(self, caller: Caller, item: NewSuppression, name: Hashed) -> Suppression:
        channel, hash_ = name
        return Suppression(
            channel=channel,
            hash=hash_,
            reason=item.reason,
            source=item.source,
            at_ms=self._past_ms(item.at),
            tenant="" if item.everybody else caller.tenant,
            category=item.category,
            until_ms=self._end_ms(item.expires_at),
        )

    async def _lift(self, caller: Caller, item: Lift | RequestError) -> int | RequestError:
        if isinstance(item, RequestError):
            return item
        tenant = "" if item.everybody else caller.tenant
        try:
            if item.everybody:
                _require_admin(caller)
            if item.whom is None:
                found = await self._store.lift_records(tenant, [item.id])
            else:
                found = await self._store.lift(
                    tenant,
                    self._names(caller.tenant, item.whom),
                    category=item.category,
                    reason=item.reason,
                )
        except RequestError as error:
            return error
        return found or NotFound("There is no such suppression.")

    def _category(self, name: str) -> Category:
        found = self._categories.get(name)
        if found is None:
            raise _invalid("category", "there is no category of this name")
        return found

    def _check_refusable(self, name: str) -> None:
        category = self._category(name)
        if not (category.unsubscribe or category.consent):
            raise _invalid("category", "cannot be refused")

    def _names(self, tenant: str, whom: Whom) -> Sequence[Hashed]:
        to = check_addresses(whom.to)
        given = [name for name in _NAMING if getattr(to, name)]
        if len(given) != 1 or len(to.push) > 1:
            raise _invalid("to", "names one address, or one recipient")
        if to.recipient:
            hash_ = self._bans.hash_recipient(tenant, to.recipient)
            return [(by_recipient(whom.channel), hash_)]
        names = [
            self._bans.hashed(channel, part)
            for channel in wire.Channel
            for part in parts_of(to, channel)
            if whom.channel in ("", channel)
        ]
        if not names:
            raise _invalid("channel", f"has no addresses such as {given[0]}")
        return names

    def _past_ms(self, at: datetime | None) -> int:
        now_ms = self._clock.now_ms()
        if at is None:
            return now_ms
        at_ms = int(at.timestamp() * 1000)
        if at_ms > now_ms + _SKEW_MS:
            raise _invalid("at", "lies in the future")
        return min(at_ms, now_ms)

    def _end_ms(self, at: datetime | None) -> int | None:
        if at is None:
            return None
        at_ms = int(at.timestamp() * 1000)
        if at_ms <= self._clock.now_ms():
            raise _invalid("expires_at", "lies in the past")
        return at_ms


def _judge(read: Callable[[T], Entries], item: T | RequestError) -> Entries | RequestError:
    if isinstance(item, RequestError):
        return item
    try:
        return read(item)
    except RequestError as error:
        return error


def _together(outcomes: Sequence[Outcome]) -> Outcome:
    """Of the names of one item, such as those of a phone number: what the caller must know."""
    for outcome in (Outcome.REFUSED, Outcome.SUPERSEDED):
        if outcome in outcomes:
            return outcome
    return Outcome.RECORDED


def _require_admin(caller: Caller) -> None:
    if Scope.ADMIN not in caller.scopes:
        raise Forbidden("What holds for everybody needs a key with the scope admin.")


def _invalid(field: str, detail: str) -> InvalidMessage:
    return InvalidMessage("It cannot be recorded as it is.", [Fault(field, detail)])

"""Delivery receipts: verified, matched to their attempts, and applied; early ones wait.

A receipt that carries our own reference names its message at once. One that names the provider's
id is looked up; if that id is not known yet, because the receipt overtook our own commit, it is
parked in the store, and `apply_parked` sees to it as soon as the attempt has its name.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence

from gateway.clock import Clock
from gateway.dispatch.bans import Bans
from gateway.dispatch.change import Change
from gateway.dispatch.errands import Errands
from gateway.dispatch.finisher import Entry, Finisher, News
from gateway.dispatch.inbound import Inbound
from gateway.dispatch.parking import DETAIL, pack, unpack
from gateway.limits.account import Account
from gateway.metrics import Metrics
from gateway.model import wire
from gateway.model.case import Case, Parked, ReceiptRecord, shares
from gateway.model.errors import BadSignature, NotFound, UnreadableReceipt
from gateway.model.message import MessageId, read_reference
from gateway.model.state import ReceiptEvidence
from gateway.model.values import Value
from gateway.providers import base as providers
from gateway.store import base

_log = logging.getLogger(__name__)

#: Receipts or replies that one request may carry.
_MOST = 10_000

#: Parked receipts looked at in one go.
_PARKED = 500

#: Receipts that share a commit.
_AT_ONCE = 128

#: Events after which the address is never written to again, whatever the provider's file says. An
#: opt-out is about its sender alone, and only about what can be refused.
_BANNING = frozenset({wire.ReceiptEvent.COMPLAINED, wire.ReceiptEvent.OPTED_OUT})


class _Found(Value):
    """A receipt with the part it is about. `number` None: any attempt of the part."""

    account: str
    message: MessageId
    redrive: int
    step: int
    part: int
    number: int | None
    receipt: wire.DeliveryReceipt


class Receipts:
    """Takes what providers report. Implements the edge's `Receipts`."""

    def __init__(
        self,
        reporters: Mapping[str, providers.Reporter],
        store: base.Store,
        finisher: Finisher,
        bans: Bans,
        roster: Mapping[str, Account],
        clock: Clock,
        metrics: Metrics,
        errands: Errands,
        inbound: Inbound,
    ) -> None:
        """reporters: the providers that report over HTTP, by account."""
        self._reporters = reporters
        self._store = store
        self._finisher = finisher
        self._bans = bans
        self._roster = roster
        self._clock = clock
        self._metrics = metrics
        self._errands = errands
        self._inbound = inbound

    async def take(
        self, account: str, request: wire.HttpRequest, *, below: bool = False
    ) -> wire.HttpResponse:
        """Store what a provider reports, then answer it. below: to an address below its own.

        Raises NotFound, BadSignature, UnreadableReceipt, and StoreUnavailable or ErrandFailed: the
        provider is to try again.
        """
        provider = self._reporters.get(account)
        if provider is None or (below and not provider.adds_path):
            raise NotFound("no such provider account")
        if not await self._is_proved(provider, request):
            self._metrics.receipts_refused.labels(account, "signature").inc()
            raise BadSignature("the signature does not match")
        try:
            receipts = provider.read_receipts(request)
            written = provider.read_inbound(request)
            leaving = provider.read_leaving(request)
        except UnreadableReceipt:
            self._metrics.receipts_refused.labels(account, "unreadable").inc()
            raise
        await self._file(account, receipts[:_MOST])
        await self._inbound.take(account, written[:_MOST])
        await self._inbound.leave(account, leaving[:_MOST])
        if (follow_up := provider.follow_up(request)) is not None:
            await self._errands.call(account, follow_up)
        return provider.answer_receipt(request)

    async def take_receipts(self, account: str, receipts: Sequence[wire.DeliveryReceipt]) -> None:
        """Store what came over a connection of ours, whose login proves it.

        Raises StoreUnavailable: the provider is to try again.
        """
        await self._file(account, receipts[:_MOST])

    async def _is_proved(self, provider: providers.Reporter, request: wire.HttpRequest) -> bool:
        """Raises ErrandFailed when the evidence for it is not to be had now."""
        wanted = provider.evidence_request(request)
        if wanted is None:
            return provider.verify_receipt(request)
        evidence = await self._errands.fetch(wanted)
        is_proved = provider.verify_with(request, evidence)
        if is_proved:
            self._errands.keep(wanted, evidence)
        return is_proved

    async def apply_parked(self) -> int:
        """Apply receipts whose attempt has become known; how many attempts they were about."""
        parked = await self._store.parked(limit=_PARKED)
        await self._apply_all(
            [_found(one, unpack(values)) for one in parked for values in one.receipts]
        )
        if parked:
            await self._store.clear_parked(parked)
        return len(parked)

    async def _file(self, account: str, receipts: Sequence[wire.DeliveryReceipt]) -> None:
        for receipt in receipts:
            self._metrics.receipts.labels(account, receipt.event).inc()
        ours = [_ours(account, one) for one in receipts]
        named = [
            receipt
            for receipt, place in zip(receipts, ours, strict=True)
            if place is None and receipt.provider_id
        ]
        found = await self._store.find_attempts(
            [
                base.Named(provider=account, reference=one.provider_id, parked=pack(one))
                for one in named
            ],
            now_ms=self._clock.now_ms(),
        )
        known = [
            _found(place, receipt)
            for place, receipt in zip(found, named, strict=True)
            if place is not None
        ]
        await self._apply_all([*filter(None, ours), *known])

    async def _apply_all(self, found: Sequence[_Found]) -> None:
        for start in range(0, len(found), _AT_ONCE):
            await self._apply_together(found[start : start + _AT_ONCE])

    async def _apply_together(self, found: Sequence[_Found]) -> None:
        """What is about one message is one change, and all changes are one commit."""
        groups: dict[tuple[MessageId, str], list[_Found]] = defaultdict(list)
        for one in found:
            groups[one.message, one.account].append(one)
        cases = await self._store.cases(list({one.message for one in found}))
        believed: list[tuple[Case, Sequence[_Found]]] = []
        for (message, account), group in groups.items():
            case = cases.get(message)
            plausible = [one for one in group if case is not None and _is_plausible(case, one)]
            if strangers := len(group) - len(plausible):
                self._metrics.receipts_refused.labels(account, "stranger").inc(strangers)
            if case is not None and plausible:
                believed.append((case, plausible))
        await self._finisher.apply_all(
            [Entry(case, self._news(case, these)) for case, these in believed]
        )
        for case, these in believed:
            for one in these:
                self._count(case, one)
                if one.receipt.suppress or one.receipt.event in _BANNING:
                    await self._ban(case, one)

    def _news(self, case: Case, group: Sequence[_Found]) -> News:
        records = [self._record(case, one) for one in group]

        def news(change: Change) -> None:
            for record in records:
                change.add_receipt(record)
            change.react()

        return news

    def _record(self, case: Case, one: _Found) -> ReceiptRecord:
        receipt = one.receipt
        evidence = ReceiptEvidence(
            one.redrive,
            one.step,
            one.part,
            one.number,
            one.account,
            receipt.event,
            receipt.provider_id if receipt.of_segment else "",
        )
        total = shares(case, evidence)
        told = [receipt.detail[:DETAIL], f"(one of {total} segments)" if total > 1 else ""]
        return ReceiptRecord(
            evidence=evidence,
            code=receipt.code[:64],
            detail=" ".join(filter(None, told)),
            at_ms=self._clock.now_ms(),
        )

    def _count(self, case: Case, one: _Found) -> None:
        account, receipt, now = one.account, one.receipt, self._clock.monotonic()
        arrived = receipt.event is wire.ReceiptEvent.DELIVERED
        if arrived:
            took = (self._clock.now_ms() - case.created_ms) / 1000
            self._metrics.delivery_seconds.labels(account).observe(took)
        if arrived or receipt.event in wire.FAILURES:
            self._roster[account].note_receipt(arrived=arrived, now=now)

    async def _ban(self, case: Case, one: _Found) -> None:
        step, event = case.message.chain[one.step], one.receipt.event
        await self._bans.add_address(
            step.channel,
            step.parts[one.part],
            reason=str(event),
            source=one.account,
            sender=one.account if event is wire.ReceiptEvent.OPTED_OUT else "",
        )


def _is_plausible(case: Case, one: _Found) -> bool:
    """Whether its account has had this part: a provider may not report on another's work."""
    chain = case.message.chain
    if one.step >= len(chain) or one.part >= len(chain[one.step].parts):
        return False
    where = (one.redrive, one.step, one.part)
    tried = any(
        (a.redrive, a.step, a.part) == where and a.provider == one.account for a in case.attempts
    )
    return tried or any(
        row.claimed and (case.redrive, row.step, row.part) == where for row in case.live
    )


def _ours(account: str, receipt: wire.DeliveryReceipt) -> _Found | None:
    """The part that it names by our own reference, if it does."""
    place = read_reference(receipt.reference) if receipt.reference else None
    if place is None:
        return None
    message, redrive, step, part = place
    return _Found(
        account=account,
        message=message,
        redrive=redrive,
        step=step,
        part=part,
        number=None,
        receipt=receipt,
    )


def _found(place: Parked, receipt: wire.DeliveryReceipt) -> _Found:
    return _Found(
        account=place.provider,
        message=place.message,
        redrive=place.redrive,
        step=place.step,
        part=place.part,
        number=place.number,
        receipt=receipt,
    )

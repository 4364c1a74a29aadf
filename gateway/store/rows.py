"""Values to and from the rows of the queries of either engine; the order of columns is theirs."""

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.model import case
from gateway.model import message as messages
from gateway.model.state import AttemptEvidence, ReceiptEvidence, State
from gateway.model.values import Value


class _Head(Value, kw_only=False, array_like=True):
    """What a case says of its message and status."""

    id: messages.MessageId
    tenant: str
    internal: bool | int
    created_ms: int
    state: State
    version: int
    redrive: int
    ending: State | None
    expires_ms: int


class _Queued(Value, kw_only=False, array_like=True):
    """A queue row beside its case."""

    step: int
    part: int
    lane: str
    pin: str
    priority: int
    rank: float | None
    flow: str
    weight: float
    due_ms: int
    expires_ms: int
    attempts: int
    units: int
    once: bool | int
    epoch: int
    taker: str | None


_Live = list[case.LiveRow]
_Attempts = list[AttemptEvidence]
_Receipts = list[ReceiptEvidence]

_LIVE, _ATTEMPTS, _RECEIPTS = map(msgspec.json.Decoder, (_Live, _Attempts, _Receipts))
_CASES = msgspec.json.Decoder(list[tuple[_Head, messages.Message, _Live, _Attempts, _Receipts]])
_CLAIMED = msgspec.json.Decoder(
    list[tuple[_Queued, _Head, messages.Message, _Live, _Attempts, _Receipts]]
)


def read_cases(text: str) -> Sequence[case.Case]:
    """text: a JSON list of [head, body, live rows, attempts, receipts]."""
    return [_case(*one) for one in _CASES.decode(text)]


def read_claimed(text: str, *, taken: bool) -> Sequence[case.Claimed]:
    """text: a JSON list of [queue row, then as for a case]. taken: the claim came after the reading
    and counts one more."""
    return [_claimed(one[0], _case(*one[1:]), taken) for one in _CLAIMED.decode(text)]


def read_case(
    head: Sequence[Any], body: str, live: str | None, attempts: str | None, receipts: str | None
) -> case.Case:
    """The same from columns of which only the last four are JSON; None for an empty list."""
    return _case(
        msgspec.convert(head, _Head),
        messages.decode(body),
        _LIVE.decode(live) if live is not None else [],
        _ATTEMPTS.decode(attempts) if attempts is not None else [],
        _RECEIPTS.decode(receipts) if receipts is not None else [],
    )


def join_claimed(queued: Sequence[Any], its_case: case.Case) -> case.Claimed:
    """queued: the columns of a row that has been taken."""
    return _claimed(msgspec.convert(queued, _Queued), its_case, taken=False)


def _case(
    head: _Head, message: messages.Message, live: _Live, attempts: _Attempts, receipts: _Receipts
) -> case.Case:
    return case.Case(
        id=head.id,
        tenant=head.tenant,
        internal=bool(head.internal),
        created_ms=head.created_ms,
        state=head.state,
        version=head.version,
        redrive=head.redrive,
        ending=head.ending,
        expires_ms=head.expires_ms,
        message=message,
        live=live,
        attempts=attempts,
        receipts=receipts,
    )


def _claimed(queued: _Queued, its_case: case.Case, taken: bool) -> case.Claimed:
    return case.Claimed(
        case=its_case,
        step=queued.step,
        part=queued.part,
        lane=queued.lane,
        pin=queued.pin,
        priority=queued.priority,
        rank=queued.rank if queued.rank is not None else 0.0,
        flow=queued.flow,
        weight=queued.weight,
        due_ms=queued.due_ms,
        attempts=queued.attempts + taken,
        units=queued.units,
        once=bool(queued.once),
        epoch=queued.epoch + taken,
        taker=queued.taker or "",
    )


def queue_values(row: case.QueueRow, rank: float | None) -> tuple[Any, ...]:
    """As `put_queue` takes it."""
    return (
        row.message,
        row.step,
        row.part,
        row.lane,
        row.pin,
        row.priority,
        rank,
        row.flow,
        row.weight,
        row.due_ms,
        row.expires_ms,
        row.attempts,
        row.units,
        row.once,
        row.epoch,
    )


def attempt_values(message: str, record: case.AttemptRecord) -> tuple[Any, ...]:
    """As `put_attempts` takes it."""
    one = record.evidence
    return (
        message,
        one.redrive,
        one.step,
        one.part,
        one.number,
        one.provider,
        one.outcome,
        record.code,
        record.detail,
        record.started_ms,
        record.ended_ms,
        one.segments,
    )


def receipt_values(message: str, record: case.ReceiptRecord) -> tuple[Any, ...]:
    """As `put_receipts` takes it."""
    one = record.evidence
    return (
        message,
        one.redrive,
        one.step,
        one.part,
        -1 if one.number is None else one.number,
        one.provider,
        one.event,
        record.code,
        record.detail,
        record.at_ms,
        one.segment,
    )


def event_values(message: str, record: case.EventRecord) -> tuple[Any, ...]:
    """As `put_events` takes it."""
    return (message, record.at_ms, record.event, record.channel, record.provider, record.detail)


def contact_values(message: str, one: case.Contact, at_ms: int) -> tuple[Any, ...]:
    """As `put_contacts` takes it."""
    return (one.provider, one.hash, message, at_ms)


def answered(
    replies: Sequence[tuple[case.Contact, str]],
    known: Sequence[Sequence[Any]],
    latest: Sequence[Sequence[Any]],
) -> list[messages.MessageId | None]:
    """known: (provider, reference, message, …); latest: (provider, hash, message)."""
    by_name = {(row[0], row[1]): row[2] for row in known}
    by_person = {(row[0], row[1]): row[2] for row in latest}
    return [
        by_name.get((one.provider, name)) or by_person.get((one.provider, one.hash))
        for one, name in replies
    ]


def reference_values(message: str, one: case.Reference, at_ms: int) -> tuple[Any, ...]:
    """As `put_references` takes it."""
    return (
        one.provider,
        one.reference,
        message,
        one.redrive,
        one.step,
        one.part,
        one.number,
        at_ms,
    )


def latest_values(messages: Sequence[case.NewMessage]) -> list[tuple[Any, ...]]:
    """As `put_latest` takes them: of several with one key the last, sorted by key."""
    last = {
        (one.tenant, one.replaces.key): (one.id, one.created_ms, one.replaces.until_ms)
        for one in messages
        if one.replaces is not None
    }
    return [(*key, *last[key]) for key in sorted(last)]

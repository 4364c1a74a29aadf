"""Values to and from the rows of the queries of either engine; the order of columns is theirs."""

from collections.abc import Sequence
from typing import Any

from gateway.model import case, wire
from gateway.model import message as messages
from gateway.model.state import AttemptEvidence, Outcome, ReceiptEvidence, State

# Enums are looked up, not called: this runs for every claim.
_STATE = {one.value: one for one in State}
_OUTCOME = {one.value: one for one in Outcome}
_EVENT = {one.value: one for one in wire.ReceiptEvent}


def read_case(row: Sequence[Any]) -> case.Case:
    """row: [head, body, live rows, attempts, receipts].

    head: (id, tenant, internal, created_ms, state, version, redrive, ending, expires_ms).
    """
    head, body, live, attempts, receipts = row
    return case.Case(
        id=head[0],
        tenant=head[1],
        internal=bool(head[2]),
        created_ms=head[3],
        state=_STATE[head[4]],
        version=head[5],
        redrive=head[6],
        ending=None if head[7] is None else _STATE[head[7]],
        expires_ms=head[8],
        message=messages.from_json(body),
        live=[case.LiveRow(one[0], one[1], bool(one[2]), one[3], one[4]) for one in live],
        attempts=[
            AttemptEvidence(one[0], one[1], one[2], one[3], one[4], _OUTCOME[one[5]])
            for one in attempts
        ],
        receipts=[
            ReceiptEvidence(
                one[0],
                one[1],
                one[2],
                None if one[3] < 0 else one[3],
                one[4],
                _EVENT[one[5]],
            )
            for one in receipts
        ],
    )


def read_claimed(row: Sequence[Any], *, taken: bool) -> case.Claimed:
    """row: [queue row, *case]. taken: the claim came after the reading and counts one more."""
    return join_claimed(row[0], read_case(row[1:]), taken=taken)


def join_claimed(queued: Sequence[Any], its_case: case.Case, *, taken: bool) -> case.Claimed:
    """queued: (step, part, lane, pin, priority, rank, flow, weight, due_ms, expires_ms, attempts,
    units, once, epoch, taker)."""
    return case.Claimed(
        case=its_case,
        step=queued[0],
        part=queued[1],
        lane=queued[2],
        pin=queued[3],
        priority=queued[4],
        rank=queued[5] if queued[5] is not None else 0.0,
        flow=queued[6],
        weight=queued[7],
        due_ms=queued[8],
        attempts=queued[10] + taken,
        units=queued[11],
        once=bool(queued[12]),
        epoch=queued[13] + taken,
        taker=queued[14] or "",
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
    )


def event_values(message: str, record: case.EventRecord) -> tuple[Any, ...]:
    """As `put_events` takes it."""
    return (message, record.at_ms, record.event, record.channel, record.provider, record.detail)


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

"""The commonest news by far: the only part of a message was taken at its first try.

What `change` works out from all that is known of a message is plain here, and is written down at
once, at a quarter of the cost. A test holds the two against each other.
"""

from collections.abc import Callable, Sequence

from gateway.dispatch.journal import references
from gateway.dispatch.webhooks import Report
from gateway.model import wire
from gateway.model.case import (
    AttemptRecord,
    Case,
    Claimed,
    Contact,
    EventRecord,
    Guard,
    NewMessage,
    Transition,
)
from gateway.model.state import State
from gateway.model.values import Value


class Taken(Value, kw_only=False):
    """An attempt that is the whole of what is known of its message."""

    record: AttemptRecord
    #: by which receipts will name it, if they can
    names: Sequence[str] = ()
    contacts: Sequence[Contact] = ()
    #: what is told of it beside, such as why this account had it
    events: Sequence[EventRecord] = ()


def is_plain(row: Claimed, result: wire.AttemptResult) -> bool:
    """Whether nothing else is known of the row's message than that it was taken now."""
    case = row.case
    chain = case.message.chain
    return (
        type(result) is wire.Accepted
        and case.version == 0
        and len(chain) == 1
        and len(case.live) == 1
        and case.ending is None
    )


def transition(
    case: Case,
    taken: Taken,
    *,
    guard: Guard,
    now_ms: int,
    webhooks: Callable[[Report], Sequence[NewMessage]],
) -> Transition:
    """The end of the message's only row."""
    record = taken.record
    one = record.evidence
    return Transition(
        message=case.id,
        at_ms=now_ms,
        version=0,
        state=State.SENT,
        redrive=case.redrive,
        ending=None,
        expires_ms=case.expires_ms,
        guard=guard,
        attempts=(record,),
        events=taken.events,
        drop=((one.step, one.part),),
        references=references(one, taken.names),
        contacts=taken.contacts,
        webhooks=() if case.internal else webhooks(_report(case, record, now_ms)),
    )


def _report(case: Case, record: AttemptRecord, now_ms: int) -> Report:
    one = record.evidence
    return Report(
        id=case.id,
        tenant=case.tenant,
        category=case.message.category,
        metadata=case.message.metadata,
        state=State.SENT,
        at_ms=now_ms,
        channel=case.message.chain[one.step].channel,
        provider=one.provider,
        detail=record.code,
    )

"""States of a message, and the one function that finds the state from the evidence.

    scheduled ─► queued ─► sending ─► sent ─► delivered ─► read
        │           │          │        ▲ ▲
        └───────────┴────┬─────┘        │ │      later evidence may still raise
                         ▼              │ │      these four
        cancelled  suppressed    unknown┘ └failed, expired

`scheduled`, `queued` and `sending` are what a message is while it has work in the queue and
nothing has been taken yet. The rest follows from the set of attempts and receipts alone: the
order in which evidence came does not matter, nor how often it came (reliability, guarantee 5).
Only decisions to send or to stop are irreversible.
"""

from collections.abc import Iterable
from enum import StrEnum

from gateway.model import wire
from gateway.model.values import Value


class State(StrEnum):
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


#: A webhook goes out for each of these that a message enters.
REPORTED = frozenset(State) - {State.SCHEDULED, State.QUEUED, State.SENDING}

#: Nothing more is going to be sent, and nobody has it for certain: the dead letters.
DEAD = frozenset({State.FAILED, State.EXPIRED, State.UNKNOWN})

SUCCESSES = frozenset({State.SENT, State.DELIVERED, State.READ})


class Outcome(StrEnum):
    """What one attempt came to, as its provider's answer said."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DEFERRED = "deferred"
    UNKNOWN = "unknown"


class AttemptEvidence(Value, kw_only=False, array_like=True):
    """One attempt that has a result."""

    redrive: int
    step: int
    part: int
    number: int
    provider: str
    outcome: Outcome
    #: segments that are reported on one by one, as far as is known
    segments: int = 1


class ReceiptEvidence(Value, kw_only=False, array_like=True):
    """One receipt. `number` is None when it named our reference, which a part's attempts share."""

    redrive: int
    step: int
    part: int
    number: int | None
    provider: str
    event: wire.ReceiptEvent
    #: the provider's id of the only segment that it is about; '' all of it
    segment: str = ""


#: What is known of an attempt, best first: a provider that reports an attempt as sent has it, so
#: that its answer was lost does not matter any more.
_READ, _DELIVERED, _FAILED, _SENT, _UNKNOWN, _NOTHING = 5, 4, 3, 2, 1, 0

_RECEIPT_RANK = {
    wire.ReceiptEvent.READ: _READ,
    wire.ReceiptEvent.DELIVERED: _DELIVERED,
    wire.ReceiptEvent.COMPLAINED: _DELIVERED,
    wire.ReceiptEvent.FAILED: _FAILED,
    wire.ReceiptEvent.EXPIRED: _FAILED,
    wire.ReceiptEvent.OPTED_OUT: _FAILED,
    wire.ReceiptEvent.BOUNCED: _FAILED,
    wire.ReceiptEvent.SENT: _SENT,
    wire.ReceiptEvent.ACCEPTED: _SENT,
    wire.ReceiptEvent.UNKNOWN: _NOTHING,
}

_OUTCOME_RANK = {
    Outcome.ACCEPTED: _SENT,
    Outcome.REJECTED: _FAILED,
    Outcome.DEFERRED: _NOTHING,
    Outcome.UNKNOWN: _UNKNOWN,
}


def attempt_rank(attempt: AttemptEvidence, receipts: Iterable[ReceiptEvidence]) -> int:
    """The best that is known of one attempt, as one of the ranks above."""
    rank = _OUTCOME_RANK[attempt.outcome]
    segments: dict[str, int] = {}
    for receipt in receipts:
        if not _about(receipt, attempt):
            continue
        reported = _RECEIPT_RANK[receipt.event]
        if receipt.segment:
            segments[receipt.segment] = max(reported, segments.get(receipt.segment, _NOTHING))
        else:
            rank = max(rank, reported)
    return max(rank, _rank_together(segments.values(), attempt.segments)) if segments else rank


def _rank_together(segments: Iterable[int], total: int) -> int:
    """What the best of each segment says of all: they have arrived, or one of them never will."""
    ranks = sorted(segments, reverse=True)
    if len(ranks) >= total and ranks[total - 1] >= _DELIVERED:
        return ranks[total - 1]
    return _FAILED if _FAILED in ranks else min(ranks[0], _SENT)


def _about(receipt: ReceiptEvidence, attempt: AttemptEvidence) -> bool:
    return (
        receipt.redrive == attempt.redrive
        and receipt.step == attempt.step
        and receipt.part == attempt.part
        and receipt.provider == attempt.provider
        and receipt.number in (None, attempt.number)
    )


def state_of(
    attempts: Iterable[AttemptEvidence],
    receipts: Iterable[ReceiptEvidence],
    *,
    waiting: State | None = None,
    ending: State | None = None,
) -> State:
    """The state that a set of evidence amounts to.

    waiting: `scheduled`, `queued` or `sending` while the message has work in the queue.
    ending: why it was given up, when it was: `failed`, `expired`, `suppressed`, `cancelled`.
    A receipt for an attempt without a result of its own (a crash, or the answer is on its way)
    counts by itself.
    """
    attempts, receipts = tuple(attempts), tuple(receipts)
    ranks = {attempt_rank(attempt, receipts) for attempt in attempts}
    ranks |= {
        _rank_alone(receipt)
        for receipt in receipts
        if not any(_about(receipt, attempt) for attempt in attempts)
    }
    for rank, state in ((_READ, State.READ), (_DELIVERED, State.DELIVERED), (_SENT, State.SENT)):
        if rank in ranks:
            return state
    if waiting is not None:
        return waiting
    if _UNKNOWN in ranks:
        return State.UNKNOWN
    return ending if ending is not None else State.FAILED


def _rank_alone(receipt: ReceiptEvidence) -> int:
    """What a receipt says by itself: of how many segments it told one, its attempt will say."""
    rank = _RECEIPT_RANK[receipt.event]
    return min(rank, _SENT) if receipt.segment and rank >= _DELIVERED else rank


def is_promising(attempt: AttemptEvidence, receipts: Iterable[ReceiptEvidence]) -> bool:
    """Whether it was taken and has not failed."""
    return attempt_rank(attempt, receipts) in (_SENT, _DELIVERED, _READ)


_NEEDED = {State.SENT: _SENT, State.DELIVERED: _DELIVERED, State.READ: _READ}


def succeeded(
    attempts: Iterable[AttemptEvidence], receipts: Iterable[ReceiptEvidence], *, until: State
) -> bool:
    """Whether some attempt has got as far as `until` (`sent`, `delivered` or `read`)."""
    needed = _NEEDED[until]
    receipts = tuple(receipts)
    for attempt in attempts:
        rank = attempt_rank(attempt, receipts)
        if rank >= needed and rank != _FAILED:
            return True
    return False

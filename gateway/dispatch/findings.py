"""What is known of a message's steps from its attempts and receipts, by its present redrive."""

from collections.abc import Sequence

from gateway.model import wire
from gateway.model.message import Step
from gateway.model.state import (
    AttemptEvidence,
    Outcome,
    ReceiptEvidence,
    State,
    is_promising,
    state_of,
    succeeded,
)

_GOOD_NEWS = {
    State.DELIVERED: frozenset(
        {wire.ReceiptEvent.DELIVERED, wire.ReceiptEvent.READ, wire.ReceiptEvent.COMPLAINED}
    ),
    State.READ: frozenset({wire.ReceiptEvent.READ}),
}


class Findings:
    """The evidence of one message, to ask questions of. `redrive` may be set anew."""

    def __init__(
        self,
        chain: Sequence[Step],
        attempts: Sequence[AttemptEvidence],
        receipts: Sequence[ReceiptEvidence],
        redrive: int,
    ) -> None:
        self.attempts = list(attempts)
        self.receipts = list(receipts)
        self.redrive = redrive
        self._chain = chain

    def tried(self, step: int, part: int) -> frozenset[str]:
        """Accounts that have had a part."""
        return frozenset(one.provider for one in self._of(step) if one.part == part)

    def refused(self, step: int, part: int) -> frozenset[str]:
        """Accounts that have refused a part for good."""
        ours = [one for one in self._of(step) if one.part == part]
        return frozenset(one.provider for one in ours if one.outcome is Outcome.REJECTED)

    def was_tried(self, step: int) -> bool:
        return bool(self._of(step))

    def is_promising(self, step: int) -> bool:
        """Whether some attempt of the step was taken and has not failed."""
        return any(is_promising(one, self.receipts) for one in self._of(step))

    def is_reached(self, step: int) -> bool:
        """Whether the step needs no other beside it any more: delivered, or read if that is asked.

        A receipt that came before its attempt's result counts as well.
        """
        if not self.receipts:
            return False
        until = self._chain[step].until
        wanted = until if until is not State.SENT else State.DELIVERED
        return succeeded(self._of(step), self.receipts, until=wanted) or any(
            one.step == step and one.redrive == self.redrive and self.is_goal(one)
            for one in self.receipts
        )

    def is_goal(self, receipt: ReceiptEvidence) -> bool:
        """Whether a receipt says that its step has got as far as it can be wanted to."""
        until = self._chain[receipt.step].until
        if receipt.segment:  # one may be of many
            return receipt.event in _GOOD_NEWS[State.DELIVERED] and self._has_arrived(receipt)
        return receipt.event in _GOOD_NEWS[until if until is not State.SENT else State.DELIVERED]

    def _has_arrived(self, receipt: ReceiptEvidence) -> bool:
        """Whether what a segment is part of has got as far as it can be wanted to."""
        until = self._chain[receipt.step].until
        ours = [
            one
            for one in self.attempts
            if (one.redrive, one.step, one.part) == (receipt.redrive, receipt.step, receipt.part)
        ]
        wanted = until if until is not State.SENT else State.DELIVERED
        return succeeded(ours, self.receipts, until=wanted)

    def is_done(self, step: int, part: int | None = None) -> bool:
        """Whether a step, or one part of it, is done by its own measure."""
        ours = [one for one in self._of(step) if part is None or one.part == part]
        return succeeded(ours, self.receipts, until=self._chain[step].until)

    def has_failed(self, step: int, part: int) -> bool:
        """Whether it is certain that a part will not arrive by what was tried so far."""
        where = (self.redrive, step, part)
        ours = [one for one in self._of(step) if one.part == part]
        reports = [one for one in self.receipts if (one.redrive, one.step, one.part) == where]
        return bool(ours) and state_of(ours, reports) is State.FAILED

    def successes(self) -> int:
        """Steps that are done by their own measure."""
        return sum(map(self.is_done, range(len(self._chain))))

    def state(self, *, is_waiting: bool, ending: State | None) -> State:
        """What the evidence amounts to. is_waiting: there is work in the queue."""
        return state_of(
            self.attempts,
            self.receipts,
            waiting=State.QUEUED if is_waiting else None,
            ending=ending,
        )

    def _of(self, step: int) -> list[AttemptEvidence]:
        return [one for one in self.attempts if one.step == step and one.redrive == self.redrive]

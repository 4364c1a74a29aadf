"""What a change of a message writes down: evidence, and decisions with their reasons."""

from collections.abc import Sequence

from gateway.dispatch.findings import Findings
from gateway.model.case import (
    AttemptRecord,
    Case,
    Contact,
    EventRecord,
    ReceiptRecord,
    Reference,
)
from gateway.model.state import AttemptEvidence


class Journal:
    """findings: what the evidence amounts to, that of before included."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self.findings = findings_of(case)
        self.attempts: list[AttemptRecord] = []
        self.receipts: list[ReceiptRecord] = []
        self.events: list[EventRecord] = []
        self.references: list[Reference] = []
        self.contacts: list[Contact] = []

    def add_attempt(self, record: AttemptRecord, names: Sequence[str]) -> None:
        """names: by which receipts will name it, if they can."""
        self.attempts.append(record)
        self.findings.attempts.append(record.evidence)
        if names:
            self.references += references(record.evidence, names)

    def take_attempts(self) -> Sequence[AttemptRecord]:
        """The attempts that were added, which then no longer count; their names stay known."""
        taken, self.attempts = self.attempts, []
        self.findings.attempts = list(self._case.attempts)
        return taken

    def add_receipt(self, record: ReceiptRecord) -> None:
        """A repeated one changes nothing."""
        if record.evidence not in self.findings.receipts:
            self.receipts.append(record)
            self.findings.receipts.append(record.evidence)

    @property
    def latest(self) -> AttemptRecord | ReceiptRecord | None:
        """What has brought the change about."""
        news: list[AttemptRecord | ReceiptRecord] = [*self.attempts, *self.receipts]
        return news[-1] if news else None


def findings_of(case: Case) -> Findings:
    """What the evidence of a case amounts to, as it was read."""
    return Findings(case.message.chain, case.attempts, case.receipts, case.redrive)


def references(attempt: AttemptEvidence, names: Sequence[str]) -> list[Reference]:
    """What receipts will call the attempt."""
    return [
        Reference(
            provider=attempt.provider,
            reference=name,
            redrive=attempt.redrive,
            step=attempt.step,
            part=attempt.part,
            number=attempt.number,
        )
        for name in names
    ]

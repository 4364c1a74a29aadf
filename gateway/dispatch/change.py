"""Works out what one piece of news means for a whole message, and makes it one transition.

A `Change` starts from a case and is told what happened. It takes the message's course from there,
and ends as a `Transition`. It decides; it does no I/O.
"""

from collections.abc import Callable, Iterable, Sequence

from gateway.dispatch.agenda import Agenda
from gateway.dispatch.course import Course
from gateway.dispatch.journal import findings_of
from gateway.dispatch.webhooks import Report
from gateway.model.case import (
    AttemptRecord,
    Contact,
    EventRecord,
    Guard,
    NewMessage,
    ReceiptRecord,
    Transition,
)
from gateway.model.message import Mode
from gateway.model.state import (
    REPORTED,
    SUCCESSES,
    Outcome,
    State,
)


class Change(Course):
    """One change of one message. Call what happened, then `transition` once."""

    # What happened

    def add_attempt(self, record: AttemptRecord, names: Sequence[str] = ()) -> None:
        """An attempt has a result. names: by which receipts will name it, if they can."""
        one = record.evidence
        if one.number == 1 and one.part == 0 and self._is_overtime(one.step):
            self._note_overtime(record)
        self._journal.add_attempt(record, names)

    def add_contacts(self, contacts: Sequence[Contact]) -> None:
        """They may have got it, and can answer."""
        self._journal.contacts += contacts

    def take_attempts(self) -> Sequence[AttemptRecord]:
        """The attempts that were added, which then no longer count; their names stay known."""
        return self._journal.take_attempts()

    def undo_queue(self) -> None:
        """Leave the queue as the case has it."""
        self._agenda = Agenda(self.case.live)
        self._journal.events = []
        self.ending = self.case.ending

    def add_receipt(self, record: ReceiptRecord) -> None:
        """A provider reported. What it means for the chain follows from `react`."""
        self._journal.add_receipt(record)

    def add_events(self, events: Iterable[EventRecord]) -> None:
        """They have happened."""
        self._journal.events += events

    def tried(self, step: int, part: int) -> frozenset[str]:
        """Accounts that have had this part."""
        return self._findings.tried(step, part)

    def refused(self, step: int, part: int) -> frozenset[str]:
        """Accounts that have refused this part for good."""
        return self._findings.refused(step, part)

    def _note_overtime(self, record: AttemptRecord) -> None:
        self._journal.events.append(
            EventRecord(
                at_ms=record.started_ms,
                event="fallback",
                channel=self.case.message.chain[record.evidence.step].channel,
                detail="the step before took too long",
            )
        )

    def _is_overtime(self, step: int) -> bool:
        """Whether a step began by the time limit of the one before; a failure has had its event."""
        chained = step > 0 and self.case.message.mode is Mode.CHAIN
        return chained and self._is_alive(step - 1)

    @property
    def is_double_success(self) -> bool:
        """Whether a second step succeeds by this change: two steps were under way at once."""
        if self.case.version == 0 or self.case.message.mode is Mode.ALL:
            return False
        return self._findings.successes() > max(1, findings_of(self.case).successes())

    # What it has come to

    @property
    def was_attempted(self) -> bool:
        """Somebody may have it."""
        return bool(self._findings.attempts)

    @property
    def unreached(self) -> Sequence[str]:
        """Channels by which nobody can have it and nothing of it is on its way; '' if that is true
        of all of them."""
        chain = self.case.message.chain
        busy = {chain[step].channel for step, _ in self._agenda.live} | {
            chain[one.step].channel
            for one in self._findings.attempts
            if one.outcome in (Outcome.ACCEPTED, Outcome.UNKNOWN)
        }
        left = dict.fromkeys(step.channel for step in chain if step.channel not in busy)
        return [*left] if busy else ["", *left]

    def _report(self, state: State) -> Report:
        """What the tenant is told, with the attempt or receipt that brought it about."""
        message = self.case.message
        news = self._journal.latest
        latest = news.evidence if news is not None else None
        return Report(
            id=self.case.id,
            tenant=self.case.tenant,
            category=message.category,
            metadata=message.metadata,
            state=state,
            at_ms=self.now_ms,
            channel=message.chain[latest.step].channel if latest is not None else None,
            provider=latest.provider if latest is not None else None,
            detail=news.code if news is not None else self._told,
        )

    def transition(
        self, webhooks: Callable[[Report], Sequence[NewMessage]], guard: Guard | None = None
    ) -> Transition:
        """The whole change, with the webhooks that it causes."""
        state = self.state
        if state is State.FAILED and self.ending is None:
            self.end(State.FAILED, "the chain is spent")
        is_news = state is not self.case.state and state in REPORTED
        return Transition(
            message=self.case.id,
            at_ms=self.now_ms,
            version=self.case.version,
            state=state,
            redrive=self.redrive,
            ending=self.ending,
            expires_ms=self._expires_ms,
            guard=guard,
            attempts=self._journal.attempts,
            receipts=self._journal.receipts,
            events=self._journal.events,
            drop=self._agenda.dropped,
            put=list(self._agenda.put.values()),
            references=self._journal.references,
            contacts=self._journal.contacts,
            webhooks=webhooks(self._report(state)) if is_news and not self.case.internal else (),
            free_dedupe=is_news and state not in SUCCESSES and state is not State.UNKNOWN,
        )

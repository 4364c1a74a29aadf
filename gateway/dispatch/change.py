"""Works out what one piece of news means for a whole message, and makes it one transition.

A `Change` starts from a case and is told what happened. It keeps the queue rows that the message
ought to have, starts and stops steps, and ends as a `Transition`. It decides; it does no I/O.

How a chain runs: when a step starts, its parts are put into the queue; if it has a time limit,
the next step is put there too, due when the limit passes, and so on down the chain. Success drops
whatever has not been claimed. When the last part of a step fails, the next step is due now.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import assert_never

from gateway.dispatch import policy
from gateway.dispatch.findings import Findings
from gateway.dispatch.rows import RowMaker, flow_of
from gateway.dispatch.webhooks import Report
from gateway.model import wire
from gateway.model.case import (
    AttemptRecord,
    Case,
    Claimed,
    Contact,
    EventRecord,
    Guard,
    LiveRow,
    NewMessage,
    QueueRow,
    ReceiptRecord,
    Reference,
    Transition,
)
from gateway.model.message import Mode
from gateway.model.state import (
    REPORTED,
    SUCCESSES,
    AttemptEvidence,
    Outcome,
    ReceiptEvidence,
    State,
)
from gateway.model.values import replace


class Change:
    """One change of one message. Call what happened, then `transition` once."""

    def __init__(self, case: Case, *, now_ms: int, weight: float) -> None:
        self.case = case
        self.now_ms = now_ms
        self.ending = case.ending
        self.redrive = case.redrive
        self._weight = weight
        self._expires_ms = case.expires_ms
        #: a part waits that the gate has held
        self.is_delayed = False
        self._live = {(row.step, row.part): row for row in case.live}
        self._put: dict[tuple[int, int], QueueRow] = {}
        self._dropped: list[tuple[int, int]] = []
        self._attempts: list[AttemptRecord] = []
        self._receipts: list[ReceiptRecord] = []
        self._events: list[EventRecord] = []
        self._references: list[Reference] = []
        self._contacts: list[Contact] = []
        self._findings = self._findings_before()

    def _findings_before(self) -> Findings:
        case = self.case
        return Findings(case.message.chain, case.attempts, case.receipts, case.redrive)

    # What happened

    def add_attempt(self, record: AttemptRecord, names: Sequence[str] = ()) -> None:
        """An attempt has a result. names: by which receipts will name it, if they can."""
        one = record.evidence
        if one.number == 1 and one.part == 0 and self._is_overtime(one.step):
            self._note_overtime(record)
        self._attempts.append(record)
        self._findings.attempts.append(one)
        if names:
            self._references += references(one, names)

    def add_contacts(self, contacts: Sequence[Contact]) -> None:
        """They may have got it, and can answer."""
        self._contacts += contacts

    def take_attempts(self) -> Sequence[AttemptRecord]:
        """The attempts that were added, which then no longer count; their names stay known."""
        taken, self._attempts = self._attempts, []
        self._findings.attempts = list(self.case.attempts)
        return taken

    def undo_queue(self) -> None:
        """Leave the queue as the case has it."""
        self._live = {(row.step, row.part): row for row in self.case.live}
        self._put = {}
        self._dropped = []
        self._events = []
        self.ending = self.case.ending

    def add_receipt(self, record: ReceiptRecord) -> None:
        """A provider reported. What it means for the chain follows from `react`."""
        if record.evidence not in self._findings.receipts:
            self._receipts.append(record)
            self._findings.receipts.append(record.evidence)

    def add_event(
        self, event: str, detail: str = "", *, channel: str = "", provider: str = ""
    ) -> None:
        """It happens now."""
        self._events.append(
            EventRecord(
                at_ms=self.now_ms, event=event, channel=channel, provider=provider, detail=detail
            )
        )

    def add_events(self, events: Iterable[EventRecord]) -> None:
        """They have happened."""
        self._events += events

    # What follows

    def remove(self, step: int, part: int) -> None:
        """A part is done with, one way or another."""
        self._put.pop((step, part), None)
        if self._live.pop((step, part), None) is not None:
            self._dropped.append((step, part))

    def put(self, row: QueueRow) -> None:
        """A part waits, for its first or another try."""
        self._put[row.step, row.part] = row
        self._live[row.step, row.part] = LiveRow(row.step, row.part, False, row.due_ms, row.epoch)

    def stop_rest(self, step: int) -> None:
        """No other step is needed any more; other parts (devices) of this one still get theirs."""
        if self.case.message.mode is Mode.ALL:
            return
        for key in [key for key, row in self._live.items() if key[0] != step and not row.claimed]:
            self.remove(*key)

    def stop_all(self) -> None:
        """Nothing that has not been claimed is to be sent."""
        for key in [key for key, row in self._live.items() if not row.claimed]:
            self.remove(*key)

    def end(self, ending: State, detail: str = "") -> None:
        """Give the message up, for this reason."""
        self.ending = ending
        self.add_event(str(ending), detail)

    def step_failed(self, step: int) -> None:
        """A part of the step failed: if nothing else of it can still succeed, go on."""
        if self._is_alive(step) or self.case.message.mode is Mode.ALL:
            return
        if self.ending is None and not self._findings.successes():
            self._go_on(step + 1)

    def follow(self, row: Claimed, move: policy.Move) -> None:
        """Do to a claimed part what the policy says."""
        self.remove(row.step, row.part)
        match move:
            case policy.Done() | policy.Await():
                self._look_at(row.step)
            case policy.Retry():
                self._try_again(row, move)
            case policy.GiveUp(late=late):
                self.step_failed(row.step)
                if late and self.state is State.FAILED:
                    self.end(State.EXPIRED, "there was no time left for another try")
            case policy.Stop() if self._findings.has_failed(row.step, row.part):
                self.step_failed(row.step)
            case policy.Stop():
                self.stop_all()
            case _:
                assert_never(move)

    def _try_again(self, row: Claimed, move: policy.Retry) -> None:
        if not self._is_needed(row):
            return
        self.put(
            QueueRow(
                message=self.case.id,
                step=row.step,
                part=row.part,
                lane=row.lane,
                priority=row.priority,
                flow=row.flow,
                weight=row.weight,
                due_ms=move.due_ms,
                expires_ms=self._expires_ms,
                pin=row.pin if self.case.internal else move.pin,
                attempts=row.attempts - (not move.counts),
                units=row.units,
                once=row.once,
                epoch=row.epoch,
                retry=True,
            )
        )

    def delay(self, row: Claimed, due_ms: int) -> None:
        """A claimed part that was not tried waits, and so do the steps whose turn comes by the time
        limit of its own: together they would all go at once when the time has come."""
        self.is_delayed = True
        self._try_again(row, policy.Retry(due_ms=due_ms, pin=row.pin, counts=False))
        if self.case.message.mode is Mode.ALL:
            return
        moved = {(one.step, one.part): one for one in self._maker().starting(row.step, due_ms)}
        for key, live in list(self._live.items()):
            if key[0] <= row.step or live.claimed or self._findings.was_tried(key[0]):
                continue  # the turn of what has been tried has come already
            if key in moved:
                self.put(replace(moved[key], epoch=live.epoch))
            else:  # only a failure starts it now, as no time is left for the limit
                self.remove(*key)

    def _is_needed(self, row: Claimed) -> bool:
        """Whether a part is to be tried again: one device's success does not serve another."""
        if self.ending is not None or self._findings.is_done(row.step, row.part):
            return False
        others = (step for step in range(len(self.case.message.chain)) if step != row.step)
        return self.case.message.mode is Mode.ALL or not any(map(self._findings.is_done, others))

    def _look_at(self, step: int) -> None:
        """A part was taken. Receipts that came before may say that it arrived, or never will."""
        if not self._live and len(self.case.message.chain) == 1:
            return  # there is nothing to stop, and nothing to go on with
        if self._findings.is_reached(step) or self._findings.is_done(step):
            self.stop_rest(step)
        else:
            self.step_failed(step)

    def tried(self, step: int, part: int) -> frozenset[str]:
        """Accounts that have had this part."""
        return self._findings.tried(step, part)

    def refused(self, step: int, part: int) -> frozenset[str]:
        """Accounts that have refused this part for good."""
        return self._findings.refused(step, part)

    def react(self) -> None:
        """Do what the receipts ask for: stop when the goal is reached, go on when a step failed."""
        for receipt in self._receipts:
            step = receipt.evidence.step
            if step >= len(self.case.message.chain):
                continue
            if receipt.evidence.redrive != self.redrive:
                self._react_to_the_past(receipt.evidence)
            elif self._findings.is_reached(step):
                self.stop_rest(step)
            elif receipt.evidence.event in wire.FAILURES and self.now_ms < self._expires_ms:
                self.step_failed(step)

    def _react_to_the_past(self, receipt: ReceiptEvidence) -> None:
        """What was sent before the redrive has arrived after all: once is enough."""
        if self.case.message.mode is not Mode.ALL and self._findings.is_goal(receipt):
            self.stop_all()

    def restart(self) -> None:
        """Send a dead letter again, from its first step, with as long a life as it had at first."""
        self.redrive += 1
        self._expires_ms = self.now_ms + self.case.message.life_ms
        self._findings.redrive = self.redrive
        self.ending = None
        self.add_event("redriven")
        steps = range(len(self.case.message.chain)) if self.case.message.mode is Mode.ALL else [0]
        for step in steps:
            self._start(step)

    def _go_on(self, step: int) -> None:
        """Start a step now, unless it has been started or there is none."""
        if step >= len(self.case.message.chain) or self._findings.was_tried(step):
            return
        waiting = [row for key, row in self._live.items() if key[0] == step]
        if any(row.claimed or row.due_ms <= self.now_ms for row in waiting):
            return
        self.add_event("fallback", channel=self.case.message.chain[step].channel)
        self._start(step)

    def _start(self, step: int) -> None:
        for row in self._maker().starting(step, self.now_ms):
            held = self._live.get((row.step, row.part))
            is_free = held is None or not held.claimed
            if is_free and not self._findings.was_tried(row.step):
                self.put(row)

    def _maker(self) -> RowMaker:
        return RowMaker(
            self.case.message,
            id=self.case.id,
            flow=flow_of(self.case),
            weight=self._weight,
            expires_ms=self._expires_ms,
        )

    def _is_alive(self, step: int) -> bool:
        """Whether a part waits, is being sent, or was taken and has not failed."""
        return any(key[0] == step for key in self._live) or self._findings.is_promising(step)

    def _note_overtime(self, record: AttemptRecord) -> None:
        self._events.append(
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
        return self._findings.successes() > max(1, self._findings_before().successes())

    # The end

    @property
    def state(self) -> State:
        """What the evidence amounts to now."""
        return self._findings.state(is_waiting=bool(self._live), ending=self.ending)

    @property
    def is_idle(self) -> bool:
        """Nothing of the message is in the queue."""
        return not self._live

    @property
    def was_attempted(self) -> bool:
        """Somebody may have it."""
        return bool(self._findings.attempts)

    @property
    def unreached(self) -> Sequence[str]:
        """Channels by which nobody can have it and nothing of it is on its way; '' if that is true
        of all of them."""
        chain = self.case.message.chain
        busy = {chain[step].channel for step, _ in self._live} | {
            chain[one.step].channel
            for one in self._findings.attempts
            if one.outcome in (Outcome.ACCEPTED, Outcome.UNKNOWN)
        }
        left = dict.fromkeys(step.channel for step in chain if step.channel not in busy)
        return [*left] if busy else ["", *left]

    def _report(self, state: State) -> Report:
        """What the tenant is told, with the attempt or receipt that brought it about."""
        message = self.case.message
        news: list[AttemptRecord | ReceiptRecord] = [*self._attempts, *self._receipts]
        latest = news[-1].evidence if news else None
        return Report(
            id=self.case.id,
            tenant=self.case.tenant,
            category=message.category,
            metadata=message.metadata,
            state=state,
            at_ms=self.now_ms,
            channel=message.chain[latest.step].channel if latest is not None else None,
            provider=latest.provider if latest is not None else None,
            detail=news[-1].code if news else "",
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
            attempts=self._attempts,
            receipts=self._receipts,
            events=self._events,
            drop=self._dropped,
            put=list(self._put.values()),
            references=self._references,
            contacts=self._contacts,
            webhooks=webhooks(self._report(state)) if is_news and not self.case.internal else (),
            free_dedupe=is_news and state not in SUCCESSES and state is not State.UNKNOWN,
        )


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


OUTCOMES: dict[type, Outcome] = {
    wire.Accepted: Outcome.ACCEPTED,
    wire.Rejected: Outcome.REJECTED,
    wire.Deferred: Outcome.DEFERRED,
    wire.Unknown: Outcome.UNKNOWN,
}

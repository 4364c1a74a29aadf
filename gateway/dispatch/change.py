"""Works out what one piece of news means for a whole message, and makes it one transition.

A `Change` starts from a case and is told what happened. It keeps the queue rows that the message
ought to have, starts and stops steps, and ends as a `Transition`. It decides; it does no I/O.

How a chain runs: when a step starts, its parts are put into the queue; if it has a time limit,
the next step is put there too, due when the limit passes, and so on down the chain. Success drops
whatever has not been claimed. When the last part of a step fails, the next step is due now.
"""

from collections.abc import Callable, Sequence
from typing import assert_never

from gateway.dispatch import policy
from gateway.dispatch.rows import RowMaker, flow_of
from gateway.model import wire
from gateway.model.case import (
    AttemptRecord,
    Case,
    Claimed,
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
    attempt_rank,
    state_of,
    succeeded,
)

#: What a change of state makes us tell the tenant: (case, new state, channel, provider, detail).
Report = Callable[["Change", State], Sequence[NewMessage]]


class Change:
    """One change of one message. Call what happened, then `transition` once."""

    def __init__(
        self, case: Case, *, now_ms: int, weight: float, expires_ms: int | None = None
    ) -> None:
        self.case = case
        self.now_ms = now_ms
        self.ending = case.ending
        self.redrive = case.redrive
        self._expires_ms = case.expires_ms if expires_ms is None else expires_ms
        self._maker = RowMaker(
            case.message,
            id=case.id,
            flow=flow_of(case),
            weight=weight,
            expires_ms=self._expires_ms,
        )
        self._live = {(row.step, row.part): row for row in case.live}
        self._put: dict[tuple[int, int], QueueRow] = {}
        self._dropped: list[tuple[int, int]] = []
        self._attempts: list[AttemptRecord] = []
        self._receipts: list[ReceiptRecord] = []
        self._events: list[EventRecord] = []
        self._references: list[Reference] = []
        self._evidence = list(case.attempts)
        self._reports = list(case.receipts)

    # What happened

    def add_attempt(self, record: AttemptRecord, provider_id: str = "") -> None:
        """An attempt has a result. provider_id: by which receipts will name it, if they can."""
        one = record.evidence
        self._attempts.append(record)
        self._evidence.append(one)
        if provider_id:
            self._references.append(
                Reference(
                    provider=one.provider,
                    reference=provider_id,
                    redrive=one.redrive,
                    step=one.step,
                    part=one.part,
                    number=one.number,
                )
            )

    def take_attempts(self) -> Sequence[AttemptRecord]:
        """The attempts that were added, which then no longer count."""
        taken, self._attempts = self._attempts, []
        self._evidence = list(self.case.attempts)
        self._references = []
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
        if record.evidence not in self._reports:
            self._receipts.append(record)
            self._reports.append(record.evidence)

    def add_event(
        self, event: str, detail: str = "", *, channel: str = "", provider: str = ""
    ) -> None:
        self._events.append(
            EventRecord(
                at_ms=self.now_ms, event=event, channel=channel, provider=provider, detail=detail
            )
        )

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
        if self.ending is None and not self._has_succeeded():
            self._go_on(step + 1)

    def follow(self, row: Claimed, move: policy.Move) -> None:
        """Do to a claimed part what the policy says."""
        self.remove(row.step, row.part)
        match move:
            case policy.Done():
                self.stop_rest(row.step)
            case policy.Await():
                self._look_at(row.step)
            case policy.Retry():
                self._try_again(row, move)
            case policy.GiveUp():
                self.step_failed(row.step)
            case policy.Stop():
                self.stop_all()
            case _:
                assert_never(move)

    def _try_again(self, row: Claimed, move: policy.Retry) -> None:
        if self.ending is not None or self._has_succeeded():
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

    def _look_at(self, step: int) -> None:
        """A step waits for receipts, some of which may have come before."""
        if self._reached(step):
            self.stop_rest(step)
        elif not self._is_alive(step):
            self.step_failed(step)

    def tried(self, step: int, part: int) -> frozenset[str]:
        """Accounts that have had this part."""
        return frozenset(
            one.provider
            for one in self._evidence
            if (one.redrive, one.step, one.part) == (self.redrive, step, part)
        )

    def react(self) -> None:
        """Do what the receipts ask for: stop when the goal is reached, go on when a step failed."""
        for receipt in self._receipts:
            step = receipt.evidence.step
            if step >= len(self.case.message.chain) or receipt.evidence.redrive != self.redrive:
                continue
            if self._reached(step):
                self.stop_rest(step)
            elif receipt.evidence.event in wire.FAILURES and self.now_ms < self._expires_ms:
                self.step_failed(step)

    def restart(self) -> None:
        """Send a dead letter again, from its first step."""
        self.redrive += 1
        self.ending = None
        self.add_event("redriven")
        steps = range(len(self.case.message.chain)) if self.case.message.mode is Mode.ALL else [0]
        for step in steps:
            self._start(step)

    def _go_on(self, step: int) -> None:
        """Start a step now, unless it has been started or there is none."""
        if step >= len(self.case.message.chain) or self._was_tried(step):
            return
        waiting = [row for key, row in self._live.items() if key[0] == step]
        if any(row.claimed or row.due_ms <= self.now_ms for row in waiting):
            return
        self.add_event("fallback", channel=self.case.message.chain[step].channel)
        self._start(step)

    def _start(self, step: int) -> None:
        for row in self._maker.starting(step, self.now_ms):
            held = self._live.get((row.step, row.part))
            if held is None or not held.claimed:
                self.put(row)

    def _is_alive(self, step: int) -> bool:
        """Whether a part waits, is being sent, or was taken and has not failed."""
        if any(key[0] == step for key in self._live):
            return True
        return any(
            attempt_rank(one, self._reports) in (_SENT, _DELIVERED, _READ)
            for one in self._evidence
            if one.step == step and one.redrive == self.redrive
        )

    def _was_tried(self, step: int) -> bool:
        return any(one.step == step and one.redrive == self.redrive for one in self._evidence)

    def _reached(self, step: int) -> bool:
        until = self.case.message.chain[step].until
        ours = [one for one in self._evidence if one.step == step and one.redrive == self.redrive]
        wanted = until if until is not State.SENT else State.DELIVERED
        return succeeded(ours, self._reports, until=wanted) or self._reported(step, wanted)

    def _reported(self, step: int, until: State) -> bool:
        """A receipt that came before its attempt's result says the same."""
        wanted = {State.DELIVERED: _GOOD_NEWS, State.READ: {wire.ReceiptEvent.READ}}[until]
        return any(
            one.step == step and one.redrive == self.redrive and one.event in wanted
            for one in self._reports
        )

    @property
    def is_double_success(self) -> bool:
        """Whether a second step succeeds by this change: two steps were under way at once."""
        if self.case.version == 0 or self.case.message.mode is Mode.ALL:
            return False
        before = self._successes(self.case.attempts, self.case.receipts)
        after = self._successes(self._evidence, self._reports)
        return after > max(1, before)

    def _successes(
        self, attempts: Sequence[AttemptEvidence], receipts: Sequence[ReceiptEvidence]
    ) -> int:
        return sum(
            succeeded(
                [one for one in attempts if one.step == step and one.redrive == self.redrive],
                receipts,
                until=plan.until,
            )
            for step, plan in enumerate(self.case.message.chain)
        )

    def _has_succeeded(self) -> bool:
        """Whether some step is done by its own measure."""
        return self._successes(self._evidence, self._reports) > 0

    # The end

    @property
    def state(self) -> State:
        """What the evidence amounts to now."""
        return state_of(
            self._evidence,
            self._reports,
            waiting=State.QUEUED if self._live else None,
            ending=self.ending,
        )

    @property
    def is_idle(self) -> bool:
        """Nothing of the message is in the queue."""
        return not self._live

    @property
    def was_attempted(self) -> bool:
        """Somebody may have it."""
        return bool(self._evidence)

    @property
    def latest(self) -> AttemptEvidence | ReceiptEvidence | None:
        """The news that the change is about."""
        if self._receipts:
            return self._receipts[-1].evidence
        return self._attempts[-1].evidence if self._attempts else None

    @property
    def detail(self) -> str:
        """The code that the news came with."""
        if self._receipts:
            return self._receipts[-1].code
        return self._attempts[-1].code if self._attempts else ""

    def transition(self, report: Report, guard: Guard | None = None) -> Transition:
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
            webhooks=report(self, state) if is_news and not self.case.internal else (),
            free_dedupe=is_news and state not in SUCCESSES and state is not State.UNKNOWN,
        )


_SENT, _DELIVERED, _READ = 1, 4, 5

_GOOD_NEWS = frozenset(
    {wire.ReceiptEvent.DELIVERED, wire.ReceiptEvent.READ, wire.ReceiptEvent.COMPLAINED}
)

OUTCOMES: dict[type, Outcome] = {
    wire.Accepted: Outcome.ACCEPTED,
    wire.Rejected: Outcome.REJECTED,
    wire.Deferred: Outcome.DEFERRED,
    wire.Unknown: Outcome.UNKNOWN,
}

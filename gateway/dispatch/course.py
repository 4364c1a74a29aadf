"""The course of one message: which steps start, wait, stop and go on.

How a chain runs: when a step starts, its parts are put into the queue; if it has a time limit,
the next step is put there too, due when the limit passes, and so on down the chain. Success drops
whatever has not been claimed. When the last part of a step fails, the next step is due now.
"""

from typing import assert_never

from gateway.dispatch import policy
from gateway.dispatch.agenda import Agenda
from gateway.dispatch.journal import Journal
from gateway.dispatch.rows import RowMaker, flow_of
from gateway.model import wire
from gateway.model.case import Case, Claimed, EventRecord, QueueRow
from gateway.model.message import Mode
from gateway.model.state import ReceiptEvidence, State
from gateway.model.values import replace


class Course:
    """Begins where the case is. It decides; it does no I/O."""

    def __init__(self, case: Case, *, now_ms: int, weight: float) -> None:
        self.case = case
        self.now_ms = now_ms
        self.ending = case.ending
        self.redrive = case.redrive
        self._weight = weight
        self._expires_ms = case.expires_ms
        #: a part waits that the gate has held
        self.is_delayed = False
        self._told = ""
        self._agenda = Agenda(case.live)
        self._journal = Journal(case)
        self._findings = self._journal.findings

    def add_event(
        self, event: str, detail: str = "", *, channel: str = "", provider: str = ""
    ) -> None:
        """It happens now."""
        self._journal.events.append(
            EventRecord(
                at_ms=self.now_ms, event=event, channel=channel, provider=provider, detail=detail
            )
        )

    def remove(self, step: int, part: int) -> None:
        """A part is done with, one way or another."""
        self._agenda.remove((step, part))

    def stop_rest(self, step: int) -> None:
        """No other step is needed any more; other parts (devices) of this one still get theirs."""
        if self.case.message.mode is Mode.ALL:
            return
        self._agenda.stop(lambda one: one != step)

    def stop_all(self) -> None:
        """Nothing that has not been claimed is to be sent."""
        self._agenda.stop()

    def end(self, ending: State, detail: str = "", *, tell: bool = False) -> None:
        """Give the message up, for this reason. tell: in the report to the tenant too."""
        self.ending = ending
        self._told = detail if tell else ""
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
        self._agenda.add(
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
        for key, live in list(self._agenda.live.items()):
            if key[0] <= row.step or live.claimed or self._findings.was_tried(key[0]):
                continue  # the turn of what has been tried has come already
            if key in moved:
                self._agenda.add(replace(moved[key], epoch=live.epoch))
            else:  # only a failure starts it now, as no time is left for the limit
                self._agenda.remove(key)

    def _is_needed(self, row: Claimed) -> bool:
        """Whether a part is to be tried again: one device's success does not serve another."""
        if self.ending is not None or self._findings.is_done(row.step, row.part):
            return False
        others = (step for step in range(len(self.case.message.chain)) if step != row.step)
        return self.case.message.mode is Mode.ALL or not any(map(self._findings.is_done, others))

    def _look_at(self, step: int) -> None:
        """A part was taken. Receipts that came before may say that it arrived, or never will."""
        if not self._agenda.live and len(self.case.message.chain) == 1:
            return  # there is nothing to stop, and nothing to go on with
        if self._findings.is_reached(step) or self._findings.is_done(step):
            self.stop_rest(step)
        else:
            self.step_failed(step)

    def react(self) -> None:
        """Do what the receipts ask for: stop when the goal is reached, go on when a step failed."""
        for receipt in self._journal.receipts:
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
        if any(row.claimed or row.due_ms <= self.now_ms for row in self._agenda.of(step)):
            return
        self.add_event("fallback", channel=self.case.message.chain[step].channel)
        self._start(step)

    def _start(self, step: int) -> None:
        for row in self._maker().starting(step, self.now_ms):
            held = self._agenda.live.get((row.step, row.part))
            is_free = held is None or not held.claimed
            if is_free and not self._findings.was_tried(row.step):
                self._agenda.add(row)

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
        return bool(self._agenda.of(step)) or self._findings.is_promising(step)

    @property
    def state(self) -> State:
        """What the evidence amounts to now."""
        return self._findings.state(is_waiting=bool(self._agenda.live), ending=self.ending)

    @property
    def is_idle(self) -> bool:
        """Nothing of the message is in the queue."""
        return not self._agenda.live

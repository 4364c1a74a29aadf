"""One attempt: gate, render, send, and what follows from the result."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence

from gateway.clock import Clock
from gateway.dispatch import gate, policy
from gateway.dispatch.bans import Bans
from gateway.dispatch.change import OUTCOMES, Change
from gateway.dispatch.finisher import Entry, Finisher
from gateway.dispatch.render import CannotRender, Renderer
from gateway.dispatch.senders import Sender
from gateway.metrics import Metrics
from gateway.model import wire
from gateway.model.case import AttemptRecord, Claimed, Guard
from gateway.model.errors import StoreUnavailable
from gateway.model.state import AttemptEvidence, Outcome, State
from gateway.model.values import Value
from gateway.transport.base import Admit

_log = logging.getLogger(__name__)

#: What is kept of a provider's words.
_DETAIL = 300


class ClaimLost(Exception):
    """This node may count as dead, and others may have taken over what it claimed: not sent."""


class Ready(Value):
    """A row that may go, as the provider will see it."""

    row: Claimed
    message: wire.Message


class Ended(Value, kw_only=False):
    """An attempt that has a result. Times in UTC epoch milliseconds."""

    row: Claimed
    result: wire.AttemptResult
    started_ms: int
    ended_ms: int


class Attempter:
    """Makes attempts for one provider account."""

    def __init__(
        self,
        sender: Sender,
        *,
        finisher: Finisher,
        renderer: Renderer,
        bans: Bans,
        clock: Clock,
        metrics: Metrics,
        rules: policy.RetryRules,
        lane_providers: Callable[[str], Sequence[str]],
        random: Callable[[], float],
    ) -> None:
        self.account = sender.provider.account
        self._sender = sender
        self._reports = bool(sender.provider.reports)
        self._finisher = finisher
        self._renderer = renderer
        self._bans = bans
        self._clock = clock
        self._metrics = metrics
        self._rules = rules
        self._lane_providers = lane_providers
        self._random = random
        self._seconds = metrics.attempt_seconds.labels(self.account)
        #: of attempts whose results have not been written yet
        self._took: list[float] = []
        self._counts = {
            outcome: metrics.attempts.labels(self.account, outcome) for outcome in Outcome
        }

    async def prepare(self, row: Claimed, ban: str) -> Ready | None:
        """The message to send, or None when the row's end has been written instead."""
        decision = gate.decide(row, now_ms=self._clock.now_ms(), ban=ban)
        if isinstance(decision, gate.Send):
            try:
                return Ready(row=row, message=self._renderer.render(row, self.account))
            except CannotRender as fault:
                await self.finish(row, wire.Rejected(code="template", detail=str(fault)))
                return None
        await self._refrain(row, decision)
        return None

    async def send(
        self, ready: Sequence[Ready], admit: Admit | None
    ) -> Sequence[wire.AttemptResult]:
        """One result each; nothing raised, whatever the provider's file does, but the ClaimLost
        of `admit`."""
        messages = [one.message for one in ready]
        started = self._clock.monotonic()
        try:
            results = await self._sender.send(messages, admit)
        except ClaimLost:
            raise
        except Exception:  # a fault in an adapter must not stop its worker
            _log.exception("adapter_failed provider=%s", self.account)
            results = [wire.Unknown(code="internal_error")] * len(messages)
        self._took.append(self._clock.monotonic() - started)
        return results

    async def finish(
        self, row: Claimed, result: wire.AttemptResult, started_ms: int | None = None
    ) -> None:
        """Write what came of one now. started_ms: None when it was not sent."""
        await self.finish_all([self.ended(row, result, started_ms)])

    def ended(
        self, row: Claimed, result: wire.AttemptResult, started_ms: int | None = None
    ) -> Ended:
        """It has come to this now."""
        now_ms = self._clock.now_ms()
        return Ended(row, result, now_ms if started_ms is None else started_ms, now_ms)

    async def finish_all(self, ended: Sequence[Ended]) -> None:
        """Write what came of attempts, in one commit. Returns when it is on disk.

        A fault of ours in working out what one of them means ends that one as unknown.
        """
        self._count(ended)
        await asyncio.gather(*[self._ban(one) for one in ended if _is_ban(one)])
        faults = await self._finisher.record_all([self._entry(one) for one in ended])
        for one, fault in zip(ended, faults, strict=True):
            if fault is not None:
                _log.error(
                    "attempt_failed provider=%s message=%s",
                    self.account,
                    one.row.case.id,
                    exc_info=fault,
                )
                if not isinstance(one.result, wire.Unknown):
                    await self.finish(one.row, wire.Unknown(code="internal_error"))

    def _count(self, ended: Sequence[Ended]) -> None:
        self._seconds.observe_all(self._took)
        self._took.clear()
        for outcome, count in Counter([OUTCOMES[type(one.result)] for one in ended]).items():
            self._counts[outcome].inc(count)

    def _entry(self, one: Ended) -> Entry:
        row, result = one.row, one.result
        record = AttemptRecord(
            evidence=AttemptEvidence(
                row.case.redrive,
                row.step,
                row.part,
                row.epoch,
                self.account,
                OUTCOMES[type(result)],
            ),
            code=_code(result),
            detail=result.detail[:_DETAIL],
            started_ms=one.started_ms,
            ended_ms=one.ended_ms,
        )
        provider_id = result.provider_id if isinstance(result, wire.Accepted) else ""

        def news(change: Change) -> None:
            tried = change.tried(row.step, row.part)
            change.add_attempt(record, provider_id if self._reports else "")
            change.follow(row, self._move(row, result, tried, one.ended_ms, change))

        return Entry(case=row.case, news=news, guard=_guard(row))

    async def _ban(self, one: Ended) -> None:
        """Before the result is written, so that whoever sees it finds the address banned."""
        try:
            await self._bans.add(one.row, reason=_code(one.result), source=self.account)
        except StoreUnavailable as error:  # the next refusal bans it; the result must not be lost
            _log.warning("ban_not_written provider=%s reason=%s", self.account, error)

    def _move(
        self,
        row: Claimed,
        result: wire.AttemptResult,
        tried: frozenset[str],
        now_ms: int,
        change: Change,
    ) -> policy.Move:
        message = change.case.message
        situation = policy.Situation(
            until=message.chain[row.step].until,
            on_unknown=message.on_unknown,
            attempts=row.attempts,
            provider=self.account,
            providers=self._lane_providers(row.lane),
            tried=tried,
            now_ms=now_ms,
            expires_ms=change.case.expires_ms,
        )
        return policy.next_move(result, situation, self._rules, self._random)

    async def _refrain(self, row: Claimed, decision: gate.Decision) -> None:
        """The gate said no: end the row, and the message if need be."""

        def news(change: Change) -> None:
            refuse(change, row, decision)

        await self._finisher.record(row.case, news, _guard(row))


def refuse(change: Change, row: Claimed, decision: gate.Decision) -> None:
    """What the gate's refusal of a claimed row means for its message."""
    change.remove(row.step, row.part)
    channel = change.case.message.chain[row.step].channel
    match decision:
        case gate.Expire():
            expire(change)
        case gate.Suppress(reason):
            change.add_event("suppressed", reason, channel=channel)
            change.step_failed(row.step)
            if change.is_idle and not change.was_attempted:
                change.end(State.SUPPRESSED, reason)
        case gate.Obsolete() | gate.Send():
            pass


def expire(change: Change) -> None:
    """The message's time is over: what has not started never will."""
    change.stop_all()
    if change.ending is None:
        change.end(State.EXPIRED, "its time was over before it could be sent")


def _guard(row: Claimed) -> Guard:
    return Guard(step=row.step, part=row.part, epoch=row.epoch)


def _is_ban(one: Ended) -> bool:
    """Whether the provider says that the address will never take anything."""
    result = one.result
    return isinstance(result, wire.Rejected) and result.suppress and not one.row.case.internal


def _code(result: wire.AttemptResult) -> str:
    return "" if isinstance(result, wire.Accepted) else result.code[:64]

"""One attempt: gate, render, send. What follows from its result is worked out in `consequences`."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain

from gateway.clock import Clock
from gateway.dispatch import gate, policy
from gateway.dispatch.bans import Ban, Bans
from gateway.dispatch.consequences import Consequences, End, Ended, Refused
from gateway.dispatch.finisher import Finisher
from gateway.dispatch.quota import Allowance
from gateway.dispatch.render import CannotRender, Renderer
from gateway.dispatch.results import OUTCOMES, code_of, sound
from gateway.dispatch.senders import Admit, Call, Sender
from gateway.metrics import Metrics
from gateway.model import wire
from gateway.model.case import Claimed
from gateway.model.state import Outcome
from gateway.model.values import Value

_log = logging.getLogger(__name__)

#: What an attempt comes to by a fault of ours.
_FAULT = wire.Unknown(code="internal_error")


class ClaimLost(Exception):
    """Not sent, and no longer this node's to send: it may count as dead, and others may have taken
    over what it claimed; or an hour has come in which the rows may not go, and their gate must be
    asked again."""


class Ready(Value, kw_only=False):
    """A row that may go, as the provider will see it."""

    row: Claimed
    message: wire.Message


class Shipment(Value, kw_only=False):
    """Rows that share a call to their provider."""

    rows: Sequence[Claimed]
    call: Call


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
        paused_for: Callable[[str], float] = lambda account: 0.0,
        hold_of: Callable[[Claimed, int], gate.Hold | None] = lambda row, now_ms: None,
        preferred_for: Callable[[str], str] = lambda lane: "",
        allowance: Allowance | None = None,
    ) -> None:
        """paused_for: seconds for which another account takes nothing. hold_of: the rule, if any,
        by which a row may not go at a time (UTC epoch milliseconds). preferred_for: why the account
        comes before others in a lane that stand before it in the settings; '' when it does not.
        allowance: what the account has for one message."""
        self.account = sender.provider.account
        self._sender = sender
        self._finisher = finisher
        self._renderer = renderer
        self._bans = bans
        self._clock = clock
        self._metrics = metrics
        self._hold_of = hold_of
        self._consequences = Consequences(
            sender.provider,
            bans=bans,
            clock=clock,
            rules=rules,
            lane_providers=lane_providers,
            random=random,
            paused_for=paused_for,
            preferred_for=preferred_for,
        )
        self._allowance = allowance or Allowance()
        self._seconds = metrics.attempt_seconds.labels(self.account)
        #: of attempts whose results have not been written yet
        self._took: list[float] = []
        #: whether the provider has taken anything from us
        self._works = False
        self._counts = {
            outcome: metrics.attempts.labels(self.account, outcome) for outcome in Outcome
        }

    def judge(self, row: Claimed, ban: Ban) -> tuple[gate.Decision, gate.Hold | None]:
        """Whether the row may go now, and the rule by which not. ban: whether its address must not
        be written to."""
        now_ms = self._clock.now_ms()
        hold = self._hold_of(row, now_ms) or ban.hold
        decision = gate.decide(
            row, now_ms=now_ms, ban=ban.reason, others=ban.others, hold=hold, heir=ban.heir
        )
        return decision, hold

    def prepare(self, row: Claimed, ban: Ban) -> Ready | End:
        """The message to send, or the row's end without. ban: as for `judge`."""
        decision, hold = self.judge(row, ban)
        if not isinstance(decision, gate.Send):
            if isinstance(decision, gate.Defer) and hold is not None:
                self._metrics.deferred.labels(row.case.message.category, hold.kind).inc()
            return Refused(row, decision)
        if objection := self._allowance.objection(row):
            return self.ended(row, _unfit(objection))
        try:
            message = self._renderer.render(row, self.account)
        except CannotRender as fault:
            return self.ended(row, wire.Rejected(code="template", detail=str(fault)))
        if objection := self._sender.provider.objection(message.content, message.to):
            return self.ended(row, _unfit(objection))
        return Ready(row, message)

    def are_held(self, rows: Sequence[Claimed]) -> bool:
        """Whether a rule has come into force since they were prepared, by which one may not go."""
        now_ms = self._clock.now_ms()
        return any(self._hold_of(row, now_ms) is not None for row in rows)

    def plan(self, ready: Sequence[Ready]) -> Sequence[Shipment | Ended]:
        """Calls that together carry these, and the ends of those that no call can carry."""
        try:
            calls = self._sender.plan([one.message for one in ready])
            for call in calls:
                if objection := self._allowance.objection_to_call(call.parts):
                    raise ValueError(objection)
            if len(ready) == 1 and len(calls) == 1:
                return [Shipment([ready[0].row], calls[0])]
            rows = {one.message.reference: one.row for one in ready}
            shipments = [
                Shipment([rows.pop(one.reference) for one in call.messages], call) for call in calls
            ]
            if rows:
                raise LookupError("the adapter has left messages out")
            return shipments
        except Exception as error:
            if len(ready) > 1:  # one of them, which must not hurt the others
                return [*chain.from_iterable(map(self.plan, halves(ready)))]
            return [self.ended(ready[0].row, self._unfit(error))]

    def _unfit(self, error: Exception) -> wire.AttemptResult:
        """What comes of a message that the adapter made no call of: nothing was sent."""
        if isinstance(error, ValueError):
            return _unfit(str(error))
        _log.exception("adapter_failed provider=%s", self.account, exc_info=error)
        return _FAULT

    async def send(self, shipment: Shipment, admit: Admit | None) -> Sequence[wire.AttemptResult]:
        """One result for each row; nothing raised, whatever the provider's file does, but the
        ClaimLost of `admit`."""
        started = self._clock.monotonic()
        try:
            results = [sound(one) for one in await shipment.call.make(admit)]
            if len(results) != len(shipment.rows):
                raise LookupError("the adapter has left results out")
        except ClaimLost:
            raise
        except Exception:  # a fault in an adapter must not stop its worker
            _log.exception("adapter_failed provider=%s", self.account)
            results = [_FAULT] * len(shipment.rows)
        self._took.append(self._clock.monotonic() - started)
        return results

    def ended(
        self, row: Claimed, result: wire.AttemptResult, started_ms: int | None = None
    ) -> Ended:
        """It has come to this now. started_ms: None when it was not sent."""
        now_ms = self._clock.now_ms()
        return Ended(row, result, now_ms if started_ms is None else started_ms, now_ms)

    def failed(self, row: Claimed) -> Ended:
        """A fault of ours has ended it, and nobody knows whether it was sent."""
        return self.ended(row, _FAULT)

    async def try_together(self, ends: Sequence[End]) -> Sequence[End]:
        """Write what came of rows in one commit; those that need `finish_alone`."""
        ended = [one for one in ends if isinstance(one, Ended)]
        self._count(ended)
        for one in filter(self._is_ban, ended):
            await self._ban(one)
        left = await self._finisher.try_all([self._consequences.entry(one) for one in ends])
        return [ends[place] for place in left]

    async def finish_alone(self, one: End) -> None:
        """Write what came of one. Returns when it is on disk.

        A fault of ours in working out what it means ends it as unknown.
        """
        try:
            await self._finisher.record(*self._consequences.entry(one)[:3])
        except Exception:
            _log.exception("attempt_failed provider=%s message=%s", self.account, one.row.case.id)
            if not isinstance(one, Ended) or one.result != _FAULT:
                await self.finish_alone(self.failed(one.row))

    def _count(self, ended: Sequence[Ended]) -> None:
        self._seconds.observe_all(self._took)
        self._took.clear()
        self._works = self._works or any(isinstance(one.result, wire.Accepted) for one in ended)
        for outcome, count in Counter([OUTCOMES[type(one.result)] for one in ended]).items():
            self._counts[outcome].inc(count)

    def _is_ban(self, one: Ended) -> bool:
        """Whether the provider says that the address will never take anything."""
        result = one.result
        if not isinstance(result, wire.Rejected) or not result.suppress or one.row.case.internal:
            return False
        return self._works or not result.doubtful

    async def _ban(self, one: Ended) -> None:
        """Before the result is written, so that whoever sees it finds the address banned."""
        try:
            sender = self.account if _is_wish(one.result) else ""
            await self._bans.add(
                one.row, reason=code_of(one.result), source=self.account, sender=sender
            )
        except Exception as error:  # the next refusal bans it; the result must not be lost
            _log.warning(
                "ban_not_written provider=%s reason=%s", self.account, type(error).__name__
            )


def _unfit(reason: str) -> wire.Rejected:
    """Not by this account; another one of the lane might carry it."""
    return wire.Rejected(code="unfit", detail=reason, scope=wire.Scope.PROVIDER)


def halves(ready: Sequence[Ready]) -> Sequence[Sequence[Ready]]:
    """The same in two, to find out whose fault it is that they cannot go together."""
    middle = len(ready) // 2
    return ready[:middle], ready[middle:]


def _is_wish(result: wire.AttemptResult) -> bool:
    """Whether the recipient has refused this sender, and nothing is said of others."""
    return isinstance(result, wire.Rejected) and result.opted_out

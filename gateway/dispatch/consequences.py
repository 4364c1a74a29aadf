"""What follows from an attempt's result, or from the gate's refusal: what is to be written."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from gateway.clock import Clock
from gateway.dispatch import first_try, gate, policy
from gateway.dispatch.bans import Bans, target
from gateway.dispatch.change import Change
from gateway.dispatch.finisher import Entry
from gateway.dispatch.replacing import replace_by
from gateway.dispatch.results import OUTCOMES, code_of, names_of, segments_of
from gateway.model import wire
from gateway.model.case import AttemptRecord, Claimed, Contact, EventRecord, Guard
from gateway.model.state import AttemptEvidence, State
from gateway.model.values import Value, replace
from gateway.providers import base as providers

#: What is kept of a provider's words.
_DETAIL = 300


class Ended(Value, kw_only=False):
    """An attempt that has a result. Times in UTC epoch milliseconds."""

    row: Claimed
    result: wire.AttemptResult
    started_ms: int
    ended_ms: int


class Refused(Value, kw_only=False):
    """A row that the gate did not let through."""

    row: Claimed
    decision: gate.Decision


#: What is to be written of a row.
End: TypeAlias = Ended | Refused


class Consequences:
    """Of attempts by one provider account."""

    def __init__(
        self,
        provider: providers.Provider,
        *,
        bans: Bans,
        clock: Clock,
        rules: policy.RetryRules,
        lane_providers: Callable[[str], Sequence[str]],
        random: Callable[[], float],
        paused_for: Callable[[str], float],
        preferred_for: Callable[[str], str],
    ) -> None:
        """As for `Attempter`."""
        self._account = provider.account
        self._is_answered = providers.brings_inbound(provider)
        self._reports = bool(provider.reports)
        self._bans = bans
        self._clock = clock
        self._rules = rules
        self._lane_providers = lane_providers
        self._random = random
        self._paused_for = paused_for
        self._preferred_for = preferred_for

    def entry(self, one: End) -> Entry:
        """What the finisher is to write."""
        if isinstance(one, Refused):
            return Entry(one.row.case, partial(self._refuse, one), _guard(one.row))
        row, result = one.row, one.result
        record = AttemptRecord(
            evidence=AttemptEvidence(
                row.case.redrive,
                row.step,
                row.part,
                row.epoch,
                self._account,
                OUTCOMES[type(result)],
                segments_of(result),
            ),
            code=code_of(result),
            detail=result.detail[:_DETAIL],
            started_ms=one.started_ms,
            ended_ms=one.ended_ms,
        )
        names = names_of(result) if self._reports and isinstance(result, wire.Accepted) else ()
        contacts = self._contacts(row, result)

        preferred = self._preferred(one)

        def news(change: Change) -> None:
            tried = change.tried(row.step, row.part)
            if not tried:
                change.add_events(preferred)
            change.add_attempt(record, names)
            change.add_contacts(contacts)
            change.follow(row, self._move(row, result, tried, one.ended_ms, change))

        first = None
        if first_try.is_plain(row, result):
            first = first_try.Taken(record, names, contacts, preferred)
        return Entry(row.case, news, _guard(row), first)

    def _preferred(self, one: Ended) -> Sequence[EventRecord]:
        """Why this account had it before others that stand before it in the settings."""
        reason = self._preferred_for(one.row.lane)
        if not reason:
            return ()
        event = EventRecord(
            at_ms=one.started_ms,
            event="preferred",
            channel=one.row.case.message.chain[one.row.step].channel,
            provider=self._account,
            detail=reason,
        )
        return (event,)

    def _contacts(self, row: Claimed, result: wire.AttemptResult) -> Sequence[Contact]:
        """Whom it may have reached, if they can answer."""
        if not self._is_answered or not isinstance(result, wire.Accepted | wire.Unknown):
            return ()
        return (Contact(provider=self._account, hash=self._bans.hashed(*target(row))[1]),)

    def _refuse(self, refused: Refused, change: Change) -> None:
        """What the gate's refusal of a claimed row means for its message."""
        decision = refused.decision
        if isinstance(decision, gate.PassOn):
            move = self._pass_on(refused.row, decision.accounts, change)
            if isinstance(move, policy.Retry):
                channel = change.case.message.chain[refused.row.step].channel
                reason, account = decision.reason, self._account
                change.add_event("passed_on", reason, channel=channel, provider=account)
                change.follow(refused.row, move)
                return
            refused = replace(refused, decision=gate.Suppress(decision.reason))
        refuse(refused, change)

    def _pass_on(self, row: Claimed, others: Sequence[str], change: Change) -> policy.Move:
        """To one that has not refused it itself; not before it takes anything."""
        now_ms = self._clock.now_ms()
        gone = change.refused(row.step, row.part)
        accounts = [one for one in others if one not in gone]
        tried = change.tried(row.step, row.part)
        situation = self._situation(row, tried, now_ms, change)
        move = policy.pass_on(accounts, situation, self._rules, self._random)
        if isinstance(move, policy.Retry) and (pause := self._paused_for(move.pin)) > 0.0:
            return replace(move, due_ms=max(move.due_ms, now_ms + 1000 * math.ceil(pause)))
        return move

    def _move(
        self,
        row: Claimed,
        result: wire.AttemptResult,
        tried: frozenset[str],
        now_ms: int,
        change: Change,
    ) -> policy.Move:
        situation = self._situation(row, tried, now_ms, change)
        return policy.next_move(result, situation, self._rules, self._random)

    def _situation(
        self, row: Claimed, tried: frozenset[str], now_ms: int, change: Change
    ) -> policy.Situation:
        message = change.case.message
        return policy.Situation(
            until=message.chain[row.step].until,
            on_unknown=message.on_unknown,
            attempts=row.attempts,
            provider=self._account,
            providers=self._lane_providers(row.lane),
            tried=tried,
            now_ms=now_ms,
            expires_ms=change.case.expires_ms,
        )


def refuse(refused: Refused, change: Change) -> None:
    """A claimed row that nobody may send any more."""
    row = refused.row
    change.remove(row.step, row.part)
    channel = change.case.message.chain[row.step].channel
    match refused.decision:
        case gate.Expire():
            expire(change)
        case gate.Defer(until_ms, reason):
            change.add_event("deferred", reason, channel=channel)
            change.delay(row, until_ms)
        case gate.Suppress(reason):
            change.add_event("suppressed", reason, channel=channel)
            change.step_failed(row.step)
            if change.is_idle and not change.was_attempted:
                change.end(State.SUPPRESSED, reason)
        case gate.Replace(by=heir):
            replace_by(change, heir)
        case gate.Obsolete() | gate.Send() | gate.PassOn():
            pass


def expire(change: Change) -> None:
    """The message's time is over: what has not started never will."""
    change.stop_all()
    if change.ending is None:
        change.end(State.EXPIRED, "its time was over before it could be sent")


def _guard(row: Claimed) -> Guard:
    return Guard(step=row.step, part=row.part, epoch=row.epoch)

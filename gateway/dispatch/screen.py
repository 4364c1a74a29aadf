"""The gate at accept: what bans, permissions and hours leave of plans, asked for a whole request at
once.

After claim `gate.decide` asks again, because all change while a message waits.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from gateway.dispatch import gate
from gateway.dispatch.bans import NO_CONSENT, Bans, Found
from gateway.dispatch.compose import Plan
from gateway.model import wire
from gateway.model.case import EventRecord
from gateway.model.errors import Fault, InvalidMessage, RequestError
from gateway.model.hold import Hold
from gateway.model.message import Mode, Skipped, Step
from gateway.model.permission import Hashed
from gateway.model.submission import Caller
from gateway.model.values import Value, replace
from gateway.rules.timing import Timetable

#: Names with a recorded permission.
Given: TypeAlias = frozenset[Hashed]


class Judged(Value):
    """A plan after the gate: what is left of it, and why nothing is if so."""

    plan: Plan
    suppressed: str = ""
    #: the rule by which it starts later than it might
    hold: Hold | None = None

    def events(self, now_ms: int) -> Sequence[EventRecord]:
        """What is to be told of it from the start."""
        if self.hold is None:
            return ()
        message = self.plan.message
        channel = message.chain[0].channel if message.mode is Mode.CHAIN else ""
        rule = self.hold.rule
        return (EventRecord(at_ms=now_ms, event="deferred", channel=channel, detail=rule),)


class Screen:
    """Judges plans by what is recorded about their addresses, and by the hour."""

    def __init__(self, bans: Bans, timetable: Timetable) -> None:
        self._bans = bans
        self._timetable = timetable

    async def judge(
        self, caller: Caller, plans: Sequence[Plan | RequestError]
    ) -> Sequence[Judged | RequestError]:
        """One verdict for each plan, in order; refused ones stay what they are."""
        good = [one for one in plans if isinstance(one, Plan)]
        banned = await self._banned(caller, good)
        agreed = await self._agreed(caller, good)
        return [
            one if isinstance(one, RequestError) else self._judge_one(caller, one, banned, agreed)
            for one in plans
        ]

    async def _banned(self, caller: Caller, plans: Sequence[Plan]) -> Found:
        if not plans or not await self._bans.exist():
            return {}
        return await self._bans.among([name for plan in plans for name in self._all(caller, plan)])

    async def _agreed(self, caller: Caller, plans: Sequence[Plan]) -> Mapping[str, Given]:
        """Names with a permission, by category."""
        asking: dict[str, list[Hashed]] = defaultdict(list)
        for plan in plans:
            if plan.category.consent:
                asking[plan.message.category] += self._all(caller, plan)
        return {
            category: await self._bans.consented(caller.tenant, category, names)
            for category, names in asking.items()
        }

    def _all(self, caller: Caller, plan: Plan) -> Sequence[Hashed]:
        return [
            name
            for step in plan.message.chain
            for part in step.parts
            for name in self._bans.names(caller.tenant, step.channel, part)
        ]

    def _judge_one(
        self, caller: Caller, plan: Plan, banned: Found, agreed: Mapping[str, Given]
    ) -> Judged | RequestError:
        category = plan.message.category
        if plan.category.consent:
            plan = self._with_consent(caller, plan, agreed[category])
            if not plan.message.chain:
                fault = Fault("to", f"no recorded consent for category {category}")
                return InvalidMessage("the recipient has not agreed to this", [fault])
        if not banned:
            return self._timed(plan)

        def why_not(step: Step, part: wire.Address) -> str:
            names = self._bans.names(caller.tenant, step.channel, part)
            reasons = self._bans.reasons(banned, names, caller.tenant, category)
            return self._bans.closed(step.lane, reasons)

        left = _without(plan, why_not)
        if left.message.chain:
            return self._timed(left)
        return Judged(plan=plan, suppressed=left.message.skipped[-1].reason)

    def _timed(self, plan: Plan) -> Judged:
        """The plan less the steps that cannot start in time, from when the first of them may."""
        message = plan.message
        holds = {
            step.channel: hold
            for step in message.chain
            if (hold := self._timetable.hold_of(message, step, 0, plan.start_ms)) is not None
        }
        if not holds:
            return Judged(plan=plan)

        def too_late(step: Step, part: wire.Address) -> str:
            hold = holds.get(step.channel)
            return "" if hold is None or _opens_in_time(hold, plan) else hold.rule

        left = _without(plan, too_late)
        if not left.message.chain:
            return Judged(plan=plan, suppressed=left.message.skipped[-1].reason)
        return _starting(left, [holds.get(step.channel) for step in left.message.chain])

    def _with_consent(self, caller: Caller, plan: Plan, given: Given) -> Plan:
        def why_not(step: Step, part: wire.Address) -> str:
            names = self._bans.names(caller.tenant, step.channel, part)
            return NO_CONSENT if given.isdisjoint(names) else ""

        return _without(plan, why_not)


def _opens_in_time(hold: Hold, plan: Plan) -> bool:
    return isinstance(gate.held(hold, expires_ms=plan.expires_ms), gate.Defer)


def _starting(plan: Plan, holds: Sequence[Hold | None]) -> Judged:
    """The plan from when its first step may go; where all go at once, from when any may. holds: of
    each step, all of which end in time."""
    if plan.message.mode is Mode.CHAIN:
        holds = holds[:1]
    waits = [(one.until_ms or 0, one) for one in holds if one is not None]
    if len(waits) < len(holds):
        return Judged(plan=plan)
    until_ms, hold = min(waits, key=lambda wait: wait[0])
    return Judged(plan=replace(plan, start_ms=until_ms), hold=hold)


def _without(plan: Plan, why_not: Callable[[Step, wire.Address], str]) -> Plan:
    """The plan less the parts that are refused, and the steps that have none left."""
    steps: list[Step] = []
    skipped: list[Skipped] = []
    for step in plan.message.chain:
        reasons = [why_not(step, part) for part in step.parts]
        parts = tuple(part for part, why in zip(step.parts, reasons, strict=True) if not why)
        if parts:
            steps.append(step if len(parts) == len(step.parts) else replace(step, parts=parts))
        else:
            skipped.append(Skipped(channel=step.channel, reason=reasons[0]))
    message = replace(plan.message, chain=tuple(steps), skipped=(*plan.message.skipped, *skipped))
    return replace(plan, message=message)

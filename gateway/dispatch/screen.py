"""The gate at accept: what bans and permissions leave of plans, asked for a whole request at once.

After claim `gate.decide` asks again, because both change while a message waits.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from gateway.dispatch.bans import NO_CONSENT, Bans, Found
from gateway.dispatch.compose import Plan
from gateway.model import wire
from gateway.model.errors import Fault, InvalidMessage, RequestError
from gateway.model.message import Skipped, Step
from gateway.model.permission import Hashed
from gateway.model.submission import Caller
from gateway.model.values import Value, replace

#: Names with a recorded permission.
Given: TypeAlias = frozenset[Hashed]


class Judged(Value):
    """A plan after the gate: what is left of it, and why nothing is if so."""

    plan: Plan
    suppressed: str = ""


class Screen:
    """Judges plans by what is recorded about their addresses."""

    def __init__(self, bans: Bans) -> None:
        self._bans = bans

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
            return Judged(plan=plan)

        def why_not(step: Step, part: wire.Address) -> str:
            names = self._bans.names(caller.tenant, step.channel, part)
            reasons = self._bans.reasons(banned, names, caller.tenant, category)
            return self._bans.closed(step.lane, reasons)

        left = _without(plan, why_not)
        if left.message.chain:
            return Judged(plan=left)
        return Judged(plan=plan, suppressed=left.message.skipped[-1].reason)

    def _with_consent(self, caller: Caller, plan: Plan, given: Given) -> Plan:
        def why_not(step: Step, part: wire.Address) -> str:
            names = self._bans.names(caller.tenant, step.channel, part)
            return NO_CONSENT if given.isdisjoint(names) else ""

        return _without(plan, why_not)


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

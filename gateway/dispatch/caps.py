"""How often recipients are written to: what a claimed row uses of the caps of its category.

Asked when nothing else stands in a row's way, so that what is not sent uses nothing. A place that
was taken stays the message's own, however often it is tried; the finisher gives it back when the
message can have reached nobody. A category that gives way to another looks whether that has been
used, and takes no place itself.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from gateway.clock import Clock
from gateway.content.addresses import hash_address
from gateway.dispatch import gate
from gateway.dispatch.bans import Ban, Bans, target
from gateway.dispatch.compose import Plan
from gateway.dispatch.likeness import Likeness
from gateway.metrics import CAP_DECISIONS, Metrics
from gateway.model import wire
from gateway.model.caps import (
    Calendar,
    Cap,
    CapDemand,
    CapUse,
    Full,
    Mates,
    Place,
    Role,
    Sliding,
)
from gateway.model.case import Claimed
from gateway.model.values import Value, replace
from gateway.settings import CapSettings, Category, Over, Settings, show_duration, yielded_to
from gateway.store.caps import Caps as Store

_PASSED, _DEFERRED, _DROPPED, _ = CAP_DECISIONS
#: Begins the names of uses to which others give way: no cap of the file has a colon in its name.
_YIELDS = "yields:"


def counted(settings: Settings) -> Collection[str]:
    """The categories whose messages use caps."""
    capped = {name for one in settings.caps.values() for name in one.categories}
    return capped | yielded_to(settings.categories).keys()


def yielding(settings: Settings) -> Collection[str]:
    """The categories whose messages give way to others."""
    return {name for name, one in settings.categories.items() if one.yields_to}


def names(settings: Settings) -> Sequence[str]:
    """What metrics tell apart: the caps, and the categories to which others give way."""
    return [*settings.caps, *(_YIELDS + name for name in yielded_to(settings.categories))]


class _Rule(Value):
    """A cap, and what and whom it counts."""

    cap: Cap
    channels: frozenset[wire.Channel]
    shared: bool
    #: for people: `3 within 1d`; of one that looks: `within 2h`
    words: str


class Outlook(Value):
    """What caps would say of a message."""

    decision: gate.Decision = gate.Send()
    #: whether it would leave as one with what waits beside it
    merges: bool = False
    #: how they stand, a line each
    lines: Sequence[str] = ()


class Caps:
    """Asks the store for places."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        bans: Bans,
        key: bytes,
        clock: Clock,
        metrics: Metrics,
        likeness: Likeness,
    ) -> None:
        """key: of the hashes by which recipients are counted, 1 to 64 secret bytes."""
        self._rules: dict[str, list[_Rule]] = defaultdict(list)
        for name, one in settings.caps.items():
            rule = _rule(name, one)
            for category in one.categories:
                self._rules[category].append(rule)
        for category, rule in _yield_rules(settings.categories):
            self._rules[category].append(rule)
        self.categories: Collection[str] = frozenset(self._rules)
        self._store = store
        self._bans = bans
        self._key = key
        self._clock = clock
        self._metrics = metrics
        self._likeness = likeness

    def covers(self, row: Claimed) -> bool:
        """Whether a cap counts it; who is not covered need not ask."""
        case = row.case
        if case.internal or case.message.category not in self.categories:
            return False
        return bool(self._rules_of(case.message.category, case.message.chain[row.step].channel))

    async def take(
        self,
        rows: Sequence[Claimed],
        bans: Sequence[Ban],
        judge: Callable[[Claimed, Ban], tuple[gate.Decision, gate.Hold | None]],
        *,
        alone: bool = False,
    ) -> Sequence[Ban]:
        """The bans of rows that are covered, with the holds of those that find no room, and the
        mates of those that have any. judge: what the gate says of a row, and the rule that holds
        it: those that may not go need no room. alone: they have no mates. Raises
        StoreUnavailable."""
        judged = [judge(row, ban) for row, ban in zip(rows, bans, strict=True)]
        asking = [place for place, (one, _) in enumerate(judged) if isinstance(one, gate.Send)]
        demands = [self._demand(rows[place], alone=alone) for place in asking]
        found = await self._store.take_caps(demands, now_ms=self._clock.now_ms())
        # a rule whose time passes before a row's turn comes holds it all the same: it has no place
        held = [replace(ban, hold=hold) for ban, (_, hold) in zip(bans, judged, strict=True)]
        for place, demand, full in zip(asking, demands, found, strict=True):
            if full is None:
                self._note(_judges(demand.places), _PASSED)
                continue
            if isinstance(full, Mates):
                held[place] = replace(held[place], mates=full.messages)
                continue
            hold = _hold(full)
            waits = isinstance(gate.held(hold, expires_ms=demand.latest_ms), gate.Defer)
            self._note([full.cap], _DEFERRED if waits else _DROPPED)
            held[place] = replace(held[place], hold=hold)
        return held

    async def preview(self, tenant: str, plan: Plan) -> Outlook:
        """What they would say of a message at its start. Nothing is used. Raises
        StoreUnavailable."""
        lines: list[str] = []
        outlook = Outlook()
        for place in range(len(plan.message.chain)):
            outlook = await self._look(tenant, plan, place)
            lines += outlook.lines
            if not isinstance(outlook.decision, gate.Suppress):  # else the next step's turn comes
                break
        return replace(outlook, lines=[*dict.fromkeys(lines)])

    async def _look(self, tenant: str, plan: Plan, place: int) -> Outlook:
        """What they say of a step, by the first of its parts."""
        step = plan.message.chain[place]
        rules = self._rules_of(plan.message.category, step.channel)
        rules = [one for one in rules if one.cap.role is not Role.COUNT]
        if not rules:
            return Outlook()
        digest = self._likeness.of(tenant, plan.message, place)
        places = self._places(rules, tenant, step.channel, step.parts[0], digest)
        uses = await self._store.read_caps(places, now_ms=plan.start_ms)
        lines: list[str] = []
        decision: gate.Decision = gate.Send()
        merges = False
        for rule, use in zip(rules, uses, strict=True):
            lines.append(_line(rule, use))
            if use.room_ms > plan.start_ms:
                full = Full(rule.cap.name, use.room_ms if rule.cap.waits else None)
                found = gate.held(_hold(full), expires_ms=plan.expires_ms)
                decision = max(decision, found, key=_until)
                merges = merges or (rule.cap.merges and digest != "")
        waits = isinstance(decision, gate.Defer)
        return Outlook(decision=decision, merges=merges and waits, lines=lines)

    def _demand(self, row: Claimed, *, alone: bool) -> CapDemand:
        case = row.case
        channel, address = target(row)
        rules = self._rules_of(case.message.category, channel)
        digest = "" if alone else self._likeness.of(case.tenant, case.message, row.step)
        places = self._places(rules, case.tenant, channel, address, digest)
        return CapDemand(message=case.id, places=places, latest_ms=case.expires_ms)

    def _rules_of(self, category: str, channel: wire.Channel) -> Sequence[_Rule]:
        if category not in self.categories:
            return ()
        return [one for one in self._rules[category] if not one.channels or channel in one.channels]

    def _places(
        self,
        rules: Sequence[_Rule],
        tenant: str,
        channel: wire.Channel,
        address: wire.Address,
        digest: str,
    ) -> Sequence[Place]:
        return [
            Place(
                cap=rule.cap,
                subject=self._subject("" if rule.shared else tenant, channel, address),
                # an address that was not reached is free, whatever the next step reaches
                channel="" if _is_person(rule, tenant, address) else channel,
                digest=digest,
            )
            for rule in rules
        ]

    def _subject(self, tenant: str, channel: wire.Channel, address: wire.Address) -> str:
        """Who is counted: the tenant's recipient, on whatever channel, if the message names one;
        else the address. Tenants have their own names for people, so what is counted for all of
        them (tenant '') is the address."""
        if tenant and address.recipient:
            return hash_address(self._key, "recipient", f"{tenant}\0{address.recipient}")
        _, hash_ = self._bans.hashed(channel, address)
        return hash_address(self._key, "address", f"{tenant}\0{hash_}")

    def _note(self, caps: Sequence[str], decision: str) -> None:
        for name in caps:
            self._metrics.cap_decisions.labels(name, decision).inc()


def _is_person(rule: _Rule, tenant: str, address: wire.Address) -> bool:
    """Whether it counts somebody on whatever channel: not each, nor an address."""
    return not rule.channels and not rule.shared and bool(tenant and address.recipient)


def _rule(name: str, one: CapSettings) -> _Rule:
    if one.calendar is not None:
        window: Sliding | Calendar = Calendar(one.calendar, one.zone)
        words = f"{one.most} a {one.calendar}"
    else:
        length = one.within or 0.0
        window, words = Sliding(round(length * 1000)), f"{one.most} within {show_duration(length)}"
    cap = Cap(
        name=name,
        most=one.most,
        window=window,
        waits=one.over is not Over.DROP,
        merges=one.over is Over.MERGE,
    )
    return _Rule(cap=cap, channels=frozenset(one.channels), shared=one.shared, words=words)


def _yield_rules(categories: Mapping[str, Category]) -> Iterator[tuple[str, _Rule]]:
    """(category, rule): those to which others yield are counted, and these look at them. One that
    is counted for several counts for the most patient of them."""
    for name, seconds in yielded_to(categories).items():
        yield name, _yield_rule(name, seconds, Role.COUNT)
    for name, category in categories.items():
        for other in category.yields_to:
            yield name, _yield_rule(other, category.yields_for, Role.LOOK)


def _yield_rule(name: str, seconds: float, role: Role) -> _Rule:
    cap = Cap(
        name=_YIELDS + name,
        most=0,
        window=Sliding(round(seconds * 1000)),
        waits=role is Role.LOOK,
        role=role,
    )
    words = f"within {show_duration(seconds)}"
    return _Rule(cap=cap, channels=frozenset(), shared=False, words=words)


def _until(decision: gate.Decision) -> float:
    """When it goes at last: of several that hold a message, the latest counts."""
    if isinstance(decision, gate.Suppress):
        return math.inf
    return decision.until_ms if isinstance(decision, gate.Defer) else 0.0


def _judges(places: Sequence[Place]) -> Sequence[str]:
    """The caps of these that could have held the message."""
    return [one.cap.name for one in places if one.cap.role is not Role.COUNT]


def _line(rule: _Rule, use: CapUse) -> str:
    title = _title(rule.cap.name)
    if rule.cap.role is Role.LOOK:
        return f"{title}: {'sent' if use.used else 'none'} {rule.words}"
    line = f"{title}: {use.used} of {rule.words} used"
    return f"{line}, {use.mates} wait to be merged" if use.mates and rule.cap.merges else line


def _hold(full: Full) -> gate.Hold:
    kind = "yields" if full.cap.startswith(_YIELDS) else "cap"
    return gate.Hold(_title(full.cap), full.until_ms, kind=kind)


def _title(cap: str) -> str:
    return cap if cap.startswith(_YIELDS) else f"cap:{cap}"

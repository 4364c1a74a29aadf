"""May a message leave now, and if not, when? By its category, channel, and the recipient's clock.

Pure: asked when a message is accepted and again when it has been claimed. What is open is kept for
each rule and zone until the next moment at which it may change, so most answers cost a look-up.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

from gateway.model import wire
from gateway.model.case import Claimed
from gateway.model.hold import Hold
from gateway.model.hours import Window, read_span, read_window
from gateway.model.message import Message, Step
from gateway.rules import presets, zones
from gateway.rules.holidays import Holidays
from gateway.rules.windows import Hours, look, week
from gateway.settings import Category, Settings
from gateway.settings.timing import RECIPIENT, TimingSettings

#: The rule's name where it is the recipient's own wish.
OWN_QUIET = "the recipient's quiet hours"

#: How far ahead an open hour is looked for: longer than any message lives.
_HORIZON_MS = 40 * 86_400_000
#: Looks after which there is none: some 20 ms. With one zone 40 days take a few hundred.
_MOST_LOOKS = 5000
#: What is kept of rules and zones, of some 200 bytes each.
_MOST_KEPT = 10_000
#: Where somebody is of whom nothing is known.
_UNKNOWN_ZONE = "UTC"
_EVERY_DAY = tuple(range(7))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # found by identity, which is quick
class _Rule:
    """One rule set of the settings."""

    name: str
    kind: str
    hours: Hours
    #: empty: all
    channels: frozenset[wire.Channel]
    #: how numbers begin that it holds for; empty: all
    prefixes: tuple[str, ...]
    #: the one that counts for all; '' each recipient's
    zone: str
    default_zone: str

    def covers(self, phone: str) -> bool:
        """Whether it holds for a number; to be safe, it does where there is none."""
        return not self.prefixes or not phone or phone.startswith(self.prefixes)

    def zones(self, places: tuple[str, ...]) -> tuple[str, ...]:
        """Those in which its hours must be open. places: where the recipient may be."""
        return (self.zone,) if self.zone else places or (self.default_zone,)


@dataclass(frozen=True, slots=True, eq=False)
class _Rules:
    """What holds for a category on a channel."""

    rules: tuple[_Rule, ...]
    heeds_quiet: bool

    @property
    def default_zone(self) -> str:
        return self.rules[0].default_zone if self.rules else _UNKNOWN_ZONE


class _Limit(NamedTuple):
    """Hours in one zone."""

    rule: str
    kind: str
    hours: Hours
    zone: ZoneInfo


class _Kept(NamedTuple):
    """An answer, and from when to before when it is good."""

    hold: Hold | None
    from_ms: int
    until_ms: int


#: (from, to) as HH:MM.
_Quiet: TypeAlias = tuple[tuple[str, str], ...]
#: What an answer depends on: the rules of category and channel, those of them that hold for the
#: number, the recipient's own quiet hours, and the zones that the recipient may be in.
_Question: TypeAlias = tuple[_Rules, tuple[_Rule, ...], _Quiet, tuple[str, ...]]


class Timetable:
    """The rules about time of one configuration."""

    def __init__(self, settings: Settings) -> None:
        """Raises ValueError or KeyError for what `check.faults` finds fault with."""
        rules = {name: _rule(name, presets.expand(one)) for name, one in settings.timing.items()}
        self._rules: dict[tuple[str, wire.Channel], _Rules] = {}
        for name, category in settings.categories.items():
            heeds = heeds_quiet(category)
            for channel in wire.Channel:
                each = [rules[one] for one in category.timing]
                on = tuple(one for one in each if not one.channels or channel in one.channels)
                if on or heeds:
                    self._rules[name, channel] = _Rules(on, heeds)
        self._kept: dict[_Question, _Kept] = {}

    def prepare(self, now_ms: int) -> None:
        """Load what the coming days need, calendars above all, before anybody waits for it."""
        used = {rule for one in self._rules.values() for rule in one.rules}
        for rule in used:
            zones.prepare()
            (zone,) = rule.zones(())
            limit = _Limit(rule.name, rule.kind, rule.hours, zones.zone(zone))
            for at_ms in (now_ms, now_ms + _HORIZON_MS):
                _first_open([limit], at_ms)

    def hold_of_row(self, row: Claimed, now_ms: int) -> Hold | None:
        """As `hold_of`, of a row that has been claimed."""
        message = row.case.message
        return self.hold_of(message, message.chain[row.step], row.part, now_ms)

    def hold_of(self, message: Message, step: Step, part: int, now_ms: int) -> Hold | None:
        """The first rule that forbids a part of a message at a moment (UTC epoch milliseconds), and
        when all rules allow it next; None when they do now."""
        found = self._rules.get((message.category, step.channel))
        if found is None:
            return None
        whom = message.whom
        quiet = whom.quiet if whom is not None and found.heeds_quiet else ()
        if not found.rules and not quiet:
            return None
        phone = step.parts[part].phone or _phone_of(message)
        rules = tuple([one for one in found.rules if one.covers(phone)])
        places = zones.of_recipient(whom.zone if whom is not None else "", phone)
        return self._answer((found, rules, quiet, places), now_ms)

    def _answer(self, question: _Question, now_ms: int) -> Hold | None:
        kept = self._kept.get(question)
        if kept is None or not kept.from_ms <= now_ms < kept.until_ms:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            kept = self._kept[question] = _find(_limits(question), now_ms)
        return kept.hold


def heeds_quiet(category: Category) -> bool:
    """Whether the quiet hours that recipients set for themselves hold for a category."""
    if category.respect_quiet is not None:
        return category.respect_quiet
    return category.consent or category.unsubscribe


def hours_of(settings: TimingSettings) -> Hours:
    """Open hours of a rule set without a preset. Raises ValueError for an unknown country."""
    return Hours(
        week([*map(read_window, settings.windows)], [*map(read_window, settings.quiet)]),
        Holidays(settings.holidays) if settings.holidays else None,
        settings.on_holidays,
        settings.make_up_days,
    )


def _rule(name: str, settings: TimingSettings) -> _Rule:
    return _Rule(
        name=name,
        kind=_kind(settings),
        hours=hours_of(settings),
        channels=frozenset(settings.channels),
        prefixes=settings.phone_prefix,
        zone="" if settings.zone == RECIPIENT else settings.zone,
        default_zone=settings.default_zone or _UNKNOWN_ZONE,
    )


def _kind(settings: TimingSettings) -> str:
    if settings.preset:
        return "preset"
    if settings.windows:
        return "windows"
    return "quiet" if settings.quiet else "holidays"


def _phone_of(message: Message) -> str:
    """A number of the recipient's on whatever channel: it tells where an email is read, too."""
    return next((one.phone for step in message.chain for one in step.parts if one.phone), "")


def _limits(question: _Question) -> Sequence[_Limit]:
    found, rules, quiet, places = question
    limits = [
        _Limit(rule.name, rule.kind, rule.hours, zones.zone(zone))
        for rule in rules
        for zone in rule.zones(places)
    ]
    if hours := _own_hours(quiet):
        for zone in places or (found.default_zone,):
            limits.append(_Limit(OWN_QUIET, "recipient", hours, zones.zone(zone)))
    return limits


@lru_cache(1024)
def _own_hours(quiet: _Quiet) -> Hours | None:
    """Open hours of somebody with quiet ones; None without any that can be read."""
    windows = []
    for pair in quiet:
        with suppress(ValueError):
            windows.append(Window(_EVERY_DAY, *read_span(*pair)))
    return Hours(week((), windows)) if windows else None


def _find(limits: Sequence[_Limit], now_ms: int) -> _Kept:
    looks = [look(one.hours, one.zone, now_ms) for one in limits]
    until_ms = min((one.until_ms for one in looks), default=now_ms + _HORIZON_MS)
    for limit, found in zip(limits, looks, strict=True):
        if not found.is_open:
            hold = Hold(limit.rule, _first_open(limits, now_ms), limit.kind)
            return _Kept(hold, now_ms, until_ms)
    return _Kept(None, now_ms, until_ms)


def _first_open(limits: Sequence[_Limit], now_ms: int) -> int | None:
    """The first moment from now on at which all are open; None: not before the horizon."""
    at_ms, place, agreed = now_ms, 0, 0
    for _ in range(_MOST_LOOKS):
        limit = limits[place]
        found = look(limit.hours, limit.zone, at_ms)
        if found.is_open:
            agreed, place = agreed + 1, (place + 1) % len(limits)
            if agreed == len(limits):
                return at_ms
        else:
            agreed, at_ms = 0, found.until_ms
            if at_ms > now_ms + _HORIZON_MS:
                return None
    return None

"""How often somebody may be written to: caps, and when there is room under one. Pure.

A cap allows so many uses in a window, which is every span of a length, or every day, week or month
of a calendar. Times are UTC epoch milliseconds.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TypeAlias
from zoneinfo import ZoneInfo

from gateway.model.message import MessageId
from gateway.model.values import Value


class Sliding(Value, kw_only=False):
    """Every span of this length: a use counts until so long after it."""

    length_ms: int


class Unit(StrEnum):
    """A span of the calendar."""

    DAY = "day"
    WEEK = "week"  # begins on Monday (ISO 8601)
    MONTH = "month"


class Calendar(Value, kw_only=False):
    """Every day, week or month of a time zone: a use counts until its end."""

    unit: Unit
    zone: str


Window: TypeAlias = Sliding | Calendar

#: Messages that leave as one at the most. More than a few screens nobody reads, and each adds to
#: one body and one commit.
MOST_MERGED = 50


class Role(StrEnum):
    """What a cap is to a message."""

    LIMIT = "limit"  # its uses are counted, and there is room for so many
    COUNT = "count"  # its uses are counted, however many there are
    LOOK = "look"  # it uses nothing, and has room while no use of others counts


class Cap(Value):
    """At most so many uses in the window, for each subject."""

    name: str
    #: for a role other than LIMIT: 0
    most: int
    window: Window
    #: whether who finds no room waits for it; else it is turned away
    waits: bool
    role: Role = Role.LIMIT
    #: whether those that wait for the same leave as one
    merges: bool = False


class Place(Value):
    """What a message uses of a cap."""

    cap: Cap
    #: who is counted: a keyed hash
    subject: str
    #: '': the message counts once; else once on each channel that it names
    channel: str = ""
    #: those that have the same may leave as one: a keyed hash; '' it leaves by itself
    digest: str = ""


class CapDemand(Value):
    """A message that needs all of these places, or none."""

    message: MessageId
    places: Sequence[Place]
    #: from then on it needs none any more, so none is kept for it
    latest_ms: int


class Full(Value, kw_only=False):
    """There is no room under a cap."""

    #: its name
    cap: str
    #: when the message's own place is free; None: it must not wait for one
    until_ms: int | None


class Mates(Value, kw_only=False):
    """There is room, and others have waited for it too: they should leave as one."""

    #: who has waited longest first, the one that asks among them; at most `MOST_MERGED`
    messages: Sequence[MessageId]


class CapUse(Value):
    """How a place stands that nobody has asked for."""

    #: uses that count now; of a cap that only looks, the last of them: 0 or 1
    used: int
    #: when there is room for one more; now or before: at once
    room_ms: int
    #: how many wait with which it would leave as one
    mates: int = 0


def first_room(window: Window, most: int, times: Sequence[int], start_ms: int) -> int:
    """The first time from the start on at which one more use leaves no window with too many.

    times: of the other uses, sorted, past and to come.
    """
    if isinstance(window, Sliding):
        return _sliding_room(window.length_ms, most, times, start_ms)
    room = start_ms
    while True:
        begin, end = _span(window, room)
        if bisect_left(times, end) - bisect_left(times, begin) < most:
            return room
        room = end


def _sliding_room(length: int, most: int, times: Sequence[int], start: int) -> int:
    """No time is good that makes, with any so many uses in a row, one too many in one span."""
    room = start
    for place in range(bisect_right(times, start - length), len(times) - most + 1):
        first, last = times[place], times[place + most - 1]
        if last - length >= room:  # and so are those that follow
            break
        if last - first < length:
            room = max(room, first + length)
    return room


def first_quiet(window: Window, times: Sequence[int], start_ms: int) -> int:
    """The first time from the start on at which no use counts. times: sorted; the last will do."""
    return max(start_ms, end_of(window, times[-1])) if times else start_ms


def counted(window: Window, times: Sequence[int], now_ms: int) -> int:
    """How many uses count now. times: sorted."""
    if isinstance(window, Sliding):
        return len(times) - bisect_right(times, now_ms - window.length_ms)
    begin, end = _span(window, now_ms)
    return bisect_left(times, end) - bisect_left(times, begin)


def end_of(window: Window, at_ms: int) -> int:
    """When a use counts no more."""
    return at_ms + window.length_ms if isinstance(window, Sliding) else _span(window, at_ms)[1]


def _span(window: Calendar, at_ms: int) -> tuple[int, int]:
    """(first millisecond, first of the next) of the day, week or month around a time."""
    zone = _zone(window.zone)
    day = datetime.fromtimestamp(at_ms // 1000, zone).date()
    match window.unit:
        case Unit.DAY:
            begin, end = day, day + timedelta(days=1)
        case Unit.WEEK:
            begin = day - timedelta(days=day.weekday())
            end = begin + timedelta(days=7)
        case Unit.MONTH:
            begin = day.replace(day=1)
            end = (begin + timedelta(days=31)).replace(day=1)
    midnights = [datetime(one.year, one.month, one.day, tzinfo=zone) for one in (begin, end)]
    first, after = (int(one.timestamp()) * 1000 for one in midnights)
    return first, after


_zone = lru_cache(64)(ZoneInfo)

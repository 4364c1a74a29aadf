"""Whether hours of the week are open at a moment somewhere, and until when that stays so.

What counts is what the clock on the wall shows: an hour that a spring day skips is never open, one
that comes twice in autumn is open twice, and hours belong to the date on which they are. Moments
are UTC epoch milliseconds.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from gateway.model.hours import DAY, Window
from gateway.rules.holidays import Holidays
from gateway.settings.timing import OnHolidays

_MINUTE = 60_000
#: Minutes of a week.
_WEEK = 7 * DAY

#: (start, end) in minutes of one day, in order, none touching the next.
Spans = tuple[tuple[int, int], ...]

#: Monday to Sunday.
Week = tuple[Spans, ...]

_SUNDAY = 6
#: Whose hours a weekend day has that is worked.
_NEIGHBOUR = {5: 4, _SUNDAY: 0}


class Hours(NamedTuple):
    """Open hours of a week, and what becomes of them on holidays."""

    week: Week
    #: None: no day is one
    holidays: Holidays | None = None
    on_holidays: OnHolidays = OnHolidays.CLOSED
    make_up_days: bool = True

    def on(self, day: date) -> Spans:
        """Open hours of a date."""
        weekday = day.weekday()
        if self.holidays is not None:
            if self.holidays.is_off(day):
                if self.on_holidays is OnHolidays.CLOSED:
                    return ()
                if self.on_holidays is OnHolidays.AS_SUNDAY:
                    weekday = _SUNDAY
            elif self.make_up_days and self.holidays.is_worked(day):
                weekday = _NEIGHBOUR.get(weekday, weekday)
        return self.week[weekday]


class Look(NamedTuple):
    """What is found at a moment."""

    is_open: bool
    #: it stays so until then, and maybe longer
    until_ms: int


def week(windows: Sequence[Window], quiet: Sequence[Window]) -> Week:
    """Open hours: those of the windows, or all without any, less the quiet ones."""
    minutes = bytearray(_WEEK) if windows else bytearray(b"\1" * _WEEK)
    _mark(minutes, windows, b"\1")
    _mark(minutes, quiet, b"\0")
    return tuple(_spans(minutes[day * DAY : (day + 1) * DAY]) for day in range(7))


def _mark(minutes: bytearray, windows: Sequence[Window], mark: bytes) -> None:
    """Note windows in the minutes of a week, whose end joins its start."""
    for window in windows:
        length = (window.end - window.start) % DAY or DAY
        for day in window.days:
            start = day * DAY + window.start
            end = min(start + length, _WEEK)
            minutes[start:end] = mark * (end - start)
            over = start + length - end
            minutes[:over] = mark * over


def _spans(minutes: bytearray) -> Spans:
    found = []
    start = minutes.find(1)
    while start >= 0:
        end = minutes.find(0, start)
        end = DAY if end < 0 else end
        found.append((start, end))
        start = minutes.find(1, end)
    return tuple(found)


def closings(week: Week) -> list[int]:
    """Minutes of each stretch of the week that is closed; one without end where all of it is."""
    spans = [(day * DAY + a, day * DAY + b) for day, each in enumerate(week) for a, b in each]
    if not spans:
        return [_WEEK]
    following = [*spans[1:], (spans[0][0] + _WEEK, 0)]
    gaps = [after[0] - one[1] for one, after in zip(spans, following, strict=True)]
    return [gap for gap in gaps if gap]


def overlap(one: Week, other: Week) -> bool:
    """Whether there is a minute at which both are open."""
    return any(
        max(start, begin) < min(end, stop)
        for spans, others in zip(one, other, strict=True)
        for start, end in spans
        for begin, stop in others
    )


def look(hours: Hours, zone: ZoneInfo, at_ms: int) -> Look:
    """What hours are at a moment in a zone. The answer holds for a day at most."""
    local = datetime.fromtimestamp(at_ms // 1000, zone)
    minute = local.hour * 60 + local.minute
    is_open, end = False, DAY
    for start, stop in hours.on(local.date()):
        if minute < start:
            end = start
            break
        if minute < stop:
            is_open, end = True, stop
            break
    begun_ms = at_ms - at_ms % 1000 - local.second * 1000
    return Look(is_open, _before_shift(zone, local, begun_ms, begun_ms + (end - minute) * _MINUTE))


def _before_shift(zone: ZoneInfo, local: datetime, start_ms: int, end_ms: int) -> int:
    """The end, or when the clocks change if that comes first. start_ms: `local`, in whole minutes.

    Clocks change on whole minutes of UTC, in our time.
    """
    offset = local.utcoffset()
    if _offset(zone, end_ms) == offset:
        return end_ms
    same, other = 0, (end_ms - start_ms) // _MINUTE
    while other - same > 1:
        middle = (same + other) // 2
        if _offset(zone, start_ms + middle * _MINUTE) == offset:
            same = middle
        else:
            other = middle
    return start_ms + other * _MINUTE


def _offset(zone: ZoneInfo, at_ms: int) -> timedelta | None:
    return datetime.fromtimestamp(at_ms // 1000, zone).utcoffset()

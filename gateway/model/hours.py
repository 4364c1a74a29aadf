"""Hours of the day and days of the week as people write them, in settings and about themselves.

Errors are ValueErrors that say what would be right and never repeat the text.
"""

import re

from gateway.model.values import Value

#: Minutes of a day, and the time at which it ends.
DAY = 24 * 60

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])")
_WINDOW = re.compile(r"(?:([A-Za-z,-]+) )?([0-9:]+)-([0-9:]+)")


class Window(Value, kw_only=False):
    """The same hours on some days of the week."""

    #: 0 Monday … 6 Sunday, of the day on which they begin
    days: tuple[int, ...]
    #: minutes from midnight; an end that is not after the start is on the next day
    start: int
    end: int


def read_window(text: str) -> Window:
    """`Mon-Fri 09:00-20:00`, `Sat,Sun 10:00-18:00`, or every day `22:00-08:00`."""
    match = _WINDOW.fullmatch(text)
    if match is None:
        raise ValueError('not hours, such as "Mon-Fri 09:00-20:00" or "22:00-08:00"')
    days, start, end = match.groups()
    return Window(_read_days(days) if days else tuple(range(7)), *read_span(start, end))


def read_span(start: str, end: str) -> tuple[int, int]:
    """Minutes from midnight of two times as HH:MM; a day may end at 24:00."""
    span = _read_time(start), _read_time(end)
    if span[0] == DAY:
        raise ValueError("hours cannot begin at 24:00")
    if span[0] == span[1]:
        raise ValueError("from and to are the same; a whole day is 00:00-24:00")
    return span


def _read_time(text: str) -> int:
    match = _TIME.fullmatch(text)
    minutes = int(match[1]) * 60 + int(match[2]) if match else DAY + 1
    if minutes > DAY:
        raise ValueError("not a time of day, HH:MM from 00:00 to 24:00")
    return minutes


def _read_days(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = part.partition("-")
        if first not in _DAYS or (dash and last not in _DAYS):
            raise ValueError("days of the week are Mon, Tue, Wed, Thu, Fri, Sat and Sun")
        start = _DAYS.index(first)
        length = (_DAYS.index(last) - start) % 7 if dash else 0
        found.update((start + step) % 7 for step in range(length + 1))
    return tuple(sorted(found))

"""Public holidays by country, and weekend days that are worked in exchange.

China's come from the announcements of the State Council (`chinese-calendar`), the others from
`holidays`. A year that China has not announced yet has its holidays by law alone, without the days
around them; a year of which nothing is known has none. Either is told once, in the log.
"""

import logging
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from typing import NamedTuple

_log = logging.getLogger(__name__)

_CHINA = "CN"


class _Year(NamedTuple):
    off: frozenset[date]
    #: days of the weekend
    worked: frozenset[date]


class Holidays:
    """Of one country, or a part of it."""

    def __init__(self, place: str) -> None:
        """place: `CN`, `DE`, `DE-BY`. Raises ValueError when nobody knows it."""
        if not is_place(place):
            raise ValueError(f"no holidays are known of {place}")
        self._place = place
        self._years: dict[int, _Year] = {}

    def is_off(self, day: date) -> bool:
        """Whether it is a holiday; in China, any day of one, be it Saturday."""
        return day in self._year(day.year).off

    def is_worked(self, day: date) -> bool:
        """Whether it is a day of the weekend that is worked in exchange for another."""
        return day in self._year(day.year).worked

    def _year(self, year: int) -> _Year:
        found = self._years.get(year)
        if found is None:  # as many as calendars have, and each is small
            found = self._years[year] = _china(year) if self._place == _CHINA else self._read(year)
        return found

    def _read(self, year: int) -> _Year:
        return _by_law(self._place, year)


def is_place(place: str) -> bool:
    """Whether holidays are known of a country, or of a part of one: `DE`, `DE-BY`."""
    country, _, part = place.partition("-")
    known = _places().get(country)
    return known is not None and (not part or part in known)


@lru_cache(1)
def _places() -> dict[str, list[str]]:
    import holidays  # a tenth of a second, which is for those who use it

    return holidays.list_supported_countries(include_aliases=True)


def places() -> list[str]:
    """The countries that are known."""
    return sorted(_places())


def _china(year: int) -> _Year:
    from chinese_calendar import constants

    # the first day is in every announcement, but its year's may be made at the end of the last one
    if date(year, 10, 1) not in constants.holidays:
        _log.warning("holidays_not_announced place=%s year=%d", _CHINA, year)
        return _by_law(_CHINA, year)
    return _Year(
        frozenset(day for day in constants.holidays if day.year == year),
        frozenset(day for day in constants.workdays if day.year == year),
    )


def _by_law(place: str, year: int) -> _Year:
    import holidays

    country, _, part = place.partition("-")
    found = holidays.country_holidays(country, subdiv=part or None, years=year)
    if not found.start_year <= year <= found.end_year:
        _log.warning("holidays_unknown place=%s year=%d", place, year)
        return _Year(frozenset(), frozenset())
    worked: Iterable[date] = getattr(found, "weekend_workdays", frozenset())
    return _Year(frozenset(found), frozenset(day for day in worked if day.year == year))

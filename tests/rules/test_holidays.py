"""Public holidays of real years, and what hours make of them."""

import logging
from datetime import date, datetime

import pytest

from gateway.model.hours import read_window
from gateway.rules.holidays import Holidays, is_place
from gateway.rules.windows import Hours, week
from gateway.settings.timing import OnHolidays

#: 调休: weekend days that the State Council made workdays.
MADE_UP = {
    2024: ["02-04", "02-18", "04-07", "04-28", "05-11", "09-14", "09-29", "10-12"],
    2025: ["01-26", "02-08", "04-27", "09-28", "10-11"],
    2026: ["01-04", "02-14", "02-28", "05-09", "09-20", "10-10"],
}
#: First and last day off of the Spring Festival.
SPRING = {2024: ("02-10", "02-17"), 2025: ("01-28", "02-04"), 2026: ("02-15", "02-23")}


def days(year: int, texts: list[str]) -> list[date]:
    return [date.fromisoformat(f"{year}-{text}") for text in texts]


@pytest.mark.parametrize("year", MADE_UP)
def test_china_works_on_the_weekend_days_that_were_announced(year: int) -> None:
    china = Holidays("CN")

    every = [date.fromordinal(date(year, 1, 1).toordinal() + day) for day in range(365)]

    assert [day for day in every if china.is_worked(day)] == days(year, MADE_UP[year])
    assert not any(china.is_off(day) for day in days(year, MADE_UP[year]))


@pytest.mark.parametrize("year", SPRING)
def test_spring_festival_is_off_from_its_first_day_to_its_last(year: int) -> None:
    china = Holidays("CN")
    first, last = days(year, list(SPRING[year]))

    off = [date.fromordinal(day) for day in range(first.toordinal() - 1, last.toordinal() + 2)]

    assert [china.is_off(day) for day in off] == [False, *[True] * (len(off) - 2), False]


def test_chinese_year_that_is_not_announced_has_its_holidays_by_law(
    caplog: pytest.LogCaptureFixture,
) -> None:
    china = Holidays("CN")

    with caplog.at_level(logging.WARNING):
        off = [china.is_off(date(2040, 10, day)) for day in (1, 2, 1)]

    assert off == [True, True, True]
    assert not china.is_worked(date(2040, 9, 29))
    assert caplog.messages == ["holidays_not_announced place=CN year=2040"]


def test_year_of_which_nothing_is_known_has_no_holidays(caplog: pytest.LogCaptureFixture) -> None:
    germany = Holidays("DE")

    with caplog.at_level(logging.WARNING):
        assert not germany.is_off(date(2345, 12, 25))
        assert not germany.is_off(date(2345, 1, 1))

    assert caplog.messages == ["holidays_unknown place=DE year=2345"]


def test_parts_of_a_country_have_holidays_of_their_own() -> None:
    epiphany = date(2026, 1, 6)

    assert Holidays("DE-BY").is_off(epiphany)
    assert not Holidays("DE").is_off(epiphany)
    assert Holidays("DE").is_off(date(2026, 10, 3))


def test_other_countries_exchange_days_as_well() -> None:
    hungary = Holidays("HU")

    assert hungary.is_worked(date(2026, 1, 10))
    assert not hungary.is_worked(date(2026, 1, 17))


def test_unknown_places_are_refused() -> None:
    assert is_place("US-CA")
    assert not is_place("XX")
    assert not is_place("DE-XX")
    with pytest.raises(ValueError, match="no holidays are known of XX"):
        Holidays("XX")


OFFICE = week(
    [*map(read_window, ("Mon-Thu 09:00-18:00", "Fri 09:00-16:00", "Sun 10:00-12:00"))], ()
)
NINE, TEN, NOON, FOUR, SIX = (hour * 60 for hour in (9, 10, 12, 16, 18))


def test_closed_on_holidays_and_open_on_days_made_up() -> None:
    office = Hours(OFFICE, Holidays("CN"))

    assert office.on(date(2026, 2, 17)) == ()  # New Year, a Tuesday
    assert office.on(date(2026, 2, 14)) == ((NINE, FOUR),)  # Saturday, as a Friday
    assert office.on(date(2026, 1, 4)) == ((NINE, SIX),)  # Sunday, as a Monday
    assert office.on(date(2026, 2, 7)) == ()  # any Saturday
    assert office.on(date(2026, 2, 11)) == ((NINE, SIX),)


def test_holidays_may_have_the_hours_of_a_sunday() -> None:
    office = Hours(OFFICE, Holidays("CN"), OnHolidays.AS_SUNDAY)

    assert office.on(date(2026, 2, 17)) == ((TEN, NOON),)


def test_holidays_may_be_as_other_days_and_made_up_days_too() -> None:
    office = Hours(OFFICE, Holidays("CN"), OnHolidays.OPEN, make_up_days=False)

    assert office.on(date(2026, 2, 17)) == ((NINE, SIX),)
    assert office.on(date(2026, 2, 14)) == ()


def test_these_dates_are_the_days_of_the_week_that_tests_say() -> None:
    assert [datetime(2026, 2, day).strftime("%a") for day in (17, 14, 7)] == ["Tue", "Sat", "Sat"]

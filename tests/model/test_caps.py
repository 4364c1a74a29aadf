"""Room under a cap, against a model that tries every moment."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.caps import Calendar, Sliding, Unit, counted, end_of, first_quiet, first_room

SLIDING = Sliding(10)
TIMES = st.lists(st.integers(0, 60), max_size=12).map(sorted)


def most_in_one_span(length: int, times: list[int]) -> int:
    """The most uses in any span of a length, of which every use ends one."""
    return max(sum(end - length < one <= end for one in times) for end in times)


def room_of_the_model(length: int, most: int, times: list[int], start: int) -> int:
    at = start
    while any(
        sum(end - length < one <= end for one in [*times, at]) > most
        for end in range(at, at + length)
    ):
        at += 1
    return at


@given(times=TIMES, start=st.integers(0, 80), length=st.integers(1, 20), most=st.integers(1, 4))
def test_first_room_is_the_first_moment_that_fills_no_span(
    times: list[int], start: int, length: int, most: int
) -> None:
    found = first_room(Sliding(length), most, times, start)

    assert found == room_of_the_model(length, most, times, start)


@given(starts=st.lists(st.integers(0, 40), max_size=15), most=st.integers(1, 4))
def test_places_that_are_given_in_any_order_never_fill_a_span(starts: list[int], most: int) -> None:
    times: list[int] = []
    for start in starts:
        times = sorted([*times, first_room(SLIDING, most, times, start)])

    assert not times or most_in_one_span(10, times) <= most


def ms(*moment: int, zone: str = "UTC") -> int:
    return int(datetime(*moment, tzinfo=ZoneInfo(zone)).timestamp() * 1000)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("unit", "ends"),
    [
        (Unit.DAY, (2026, 11, 22)),
        (Unit.WEEK, (2026, 11, 23)),  # a Monday
        (Unit.MONTH, (2026, 12, 1)),
    ],
)
def test_calendar_counts_until_the_end_of_its_span(unit: Unit, ends: tuple[int, ...]) -> None:
    window = Calendar(unit, "Asia/Shanghai")
    noon = ms(2026, 11, 21, 12, zone="Asia/Shanghai")
    end = ms(*ends, zone="Asia/Shanghai")

    assert end_of(window, noon) == end
    assert first_room(window, 1, [noon], noon) == end
    assert first_room(window, 2, [noon, end], noon) == noon
    assert first_room(window, 1, [noon, end], noon) == end_of(window, end)
    assert counted(window, [noon], end - 1) == 1
    assert counted(window, [noon], end) == 0


@given(at=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)), unit=st.sampled_from(Unit))
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "America/Havana", "Asia/Beirut"])
def test_span_of_the_calendar_ends_on_midnight_after_every_moment_of_it(
    zone: str, at: datetime, unit: Unit
) -> None:
    window = Calendar(unit, zone)
    at_ms = int(at.replace(tzinfo=UTC).timestamp() * 1000)

    end = end_of(window, at_ms)

    assert at_ms < end == end_of(window, end - 1) < end_of(window, end)
    local = datetime.fromtimestamp(end / 1000, ZoneInfo(zone))
    assert (local.hour, local.minute) == (0, 0) or local.hour == 1  # a night without a midnight


def test_use_counts_until_its_span_is_over() -> None:
    assert counted(SLIDING, [0, 5], 9) == 2
    assert counted(SLIDING, [0, 5], 10) == 1
    assert end_of(SLIDING, 5) == 15


@given(times=TIMES, start=st.integers(0, 80), length=st.integers(1, 20))
def test_first_quiet_is_the_first_moment_after_which_no_use_counts(
    times: list[int], start: int, length: int
) -> None:
    at = start
    while any(at < one + length for one in times):
        at += 1

    assert first_quiet(Sliding(length), times, start) == at
    assert first_quiet(Sliding(length), times[-1:], start) == at


def test_quiet_of_a_calendar_begins_with_its_next_span() -> None:
    day = Calendar(Unit.DAY, "UTC")

    assert first_quiet(day, [ms(2026, 11, 21, 12)], ms(2026, 11, 21, 13)) == ms(2026, 11, 22)

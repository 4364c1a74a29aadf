"""Open hours of the week on the wall's clock, through every trick that clocks play."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.hours import DAY, Window, read_window
from gateway.rules.windows import Hours, closings, look, overlap, week

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")


def hours(*windows: str, quiet: tuple[str, ...] = ()) -> Hours:
    return Hours(week([*map(read_window, windows)], [*map(read_window, quiet)]))


def ms(text: str) -> int:
    """UTC epoch milliseconds of a time with an offset."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def changes(one: Hours, zone: ZoneInfo, start: str, end: str) -> list[str]:
    """When it opens and closes, in the zone's time with its offset; it is closed at the start."""
    at_ms, was_open, found = ms(start), False, []
    while at_ms < ms(end):
        is_open, until_ms = look(one, zone, at_ms)
        if is_open is not was_open:
            local = datetime.fromtimestamp(at_ms / 1000, zone)
            found.append(f"{local:%a %H:%M%z}")
        at_ms, was_open = until_ms, is_open
    return found


def test_hours_open_and_close_by_the_day_of_the_week() -> None:
    office = hours("Mon-Fri 09:00-20:00", "Sat 10:00-18:00")

    found = changes(office, BERLIN, "2026-11-20T00:00+01:00", "2026-11-24T00:00+01:00")

    assert found == [
        "Fri 09:00+0100",
        "Fri 20:00+0100",
        "Sat 10:00+0100",
        "Sat 18:00+0100",
        "Mon 09:00+0100",
        "Mon 20:00+0100",
    ]


def test_hours_over_midnight_end_on_the_next_day() -> None:
    late = hours("Fri,Sat 22:00-02:30")

    found = changes(late, BERLIN, "2026-11-19T12:00+01:00", "2026-11-23T12:00+01:00")

    assert found == ["Fri 22:00+0100", "Sat 02:30+0100", "Sat 22:00+0100", "Sun 02:30+0100"]


def test_hours_of_sunday_night_go_on_in_the_next_week() -> None:
    assert week([read_window("Sun 22:00-06:00")], ())[0] == ((0, 360),)


def test_quiet_hours_are_taken_from_the_others() -> None:
    assert hours("08:00-20:00", quiet=("12:00-13:00",)).week[0] == ((480, 720), (780, 1200))
    assert hours(quiet=("22:00-08:00",)).week[3] == ((480, 1320),)


def test_day_that_is_open_throughout_passes_midnight_without_closing() -> None:
    weekend = hours("Sat,Sun 00:00-24:00")

    found = changes(weekend, BERLIN, "2026-11-20T00:00+01:00", "2026-11-24T00:00+01:00")

    assert found == ["Sat 00:00+0100", "Mon 00:00+0100"]


def test_hour_that_spring_skips_is_never_open() -> None:
    night = hours("02:00-03:00")

    found = changes(night, BERLIN, "2026-03-28T12:00+01:00", "2026-03-30T12:00+02:00")

    assert found == ["Mon 02:00+0200", "Mon 03:00+0200"]


def test_hours_that_begin_in_the_skipped_hour_begin_after_it() -> None:
    early = hours("02:30-05:00")

    found = changes(early, NEW_YORK, "2026-03-07T12:00-05:00", "2026-03-08T12:00-04:00")

    assert found == ["Sun 03:00-0400", "Sun 05:00-0400"]


def test_hour_that_comes_twice_in_autumn_is_open_twice() -> None:
    night = hours("02:00-02:30")

    found = changes(night, BERLIN, "2026-10-24T12:00+02:00", "2026-10-25T12:00+01:00")

    assert found == ["Sun 02:00+0200", "Sun 02:30+0200", "Sun 02:00+0100", "Sun 02:30+0100"]


def test_hours_around_the_repeated_hour_are_an_hour_longer() -> None:
    morning = hours("00:00-06:00")
    at_ms = ms("2026-11-01T00:00-04:00")

    first = look(morning, NEW_YORK, at_ms)
    second = look(morning, NEW_YORK, first.until_ms)

    assert first == (True, ms("2026-11-01T01:00-05:00"))  # the clocks change: 02:00 is 01:00
    assert second == (True, ms("2026-11-01T06:00-05:00"))
    assert second.until_ms - at_ms == 7 * 3_600_000


def test_lord_howe_changes_by_half_an_hour() -> None:
    lord_howe = ZoneInfo("Australia/Lord_Howe")
    skipped = hours("02:00-02:30")

    spring = changes(skipped, lord_howe, "2026-10-03T12:00+10:30", "2026-10-05T12:00+11:00")
    autumn = changes(
        hours("01:30-02:00"), lord_howe, "2026-04-04T12:00+11:00", "2026-04-05T12:00+10:30"
    )

    assert spring == ["Mon 02:00+1100", "Mon 02:30+1100"]
    # the half hour comes twice without a pause between
    assert autumn == ["Sun 01:30+1100", "Sun 02:00+1030"]


def test_midnight_that_is_skipped_begins_the_day_an_hour_late() -> None:
    beirut = ZoneInfo("Asia/Beirut")

    found = changes(
        hours("Sun 00:00-04:00"), beirut, "2026-03-28T12:00+02:00", "2026-03-29T12:00+03:00"
    )

    assert found == ["Sun 01:00+0300", "Sun 04:00+0300"]


def test_date_line_puts_a_day_between_neighbours() -> None:
    at_ms = ms("2026-11-22T10:30+00:00")  # Monday 00:30 in Kiritimati, Saturday 23:30 in Pago Pago
    monday, saturday = hours("Mon 00:00-24:00"), hours("Sat 00:00-24:00")

    assert look(monday, ZoneInfo("Pacific/Kiritimati"), at_ms).is_open
    assert look(saturday, ZoneInfo("Pacific/Pago_Pago"), at_ms).is_open
    assert not look(saturday, ZoneInfo("Pacific/Kiritimati"), at_ms).is_open


def test_day_that_samoa_left_out_is_not_waited_for() -> None:
    apia = ZoneInfo("Pacific/Apia")

    found = changes(
        hours("Fri,Sat 09:00-10:00"), apia, "2011-12-29T00:00-10:00", "2012-01-01T00:00+14:00"
    )

    assert found == ["Sat 09:00+1400", "Sat 10:00+1400"]


def test_leap_day_is_a_day_of_its_week() -> None:
    assert date(2028, 2, 29).weekday() == 1

    found = changes(
        hours("Tue 09:00-10:00"), BERLIN, "2028-02-28T00:00+01:00", "2028-03-02T00:00+01:00"
    )

    assert found == ["Tue 09:00+0100", "Tue 10:00+0100"]


def test_closings_are_the_pauses_of_a_week() -> None:
    office = week([read_window("Mon-Fri 09:00-20:00")], ())

    assert sorted(closings(office)) == [13 * 60] * 4 + [61 * 60]
    assert closings(week((), ())) == []
    assert closings(week((), [read_window("00:00-24:00")])) == [7 * DAY]
    assert closings(week([read_window("Sun-Mon 12:00-12:30")], ())) == [
        6 * DAY - 30,
        DAY - 30,
    ]


def test_weeks_overlap_where_both_are_open() -> None:
    morning, evening = (
        week([read_window("06:00-12:00")], ()),
        week([read_window("12:00-18:00")], ()),
    )

    assert not overlap(morning, evening)
    assert overlap(morning, week([read_window("Wed 11:59-12:01")], ()))


def by_the_wall(windows: list[Window], zone: ZoneInfo, at: datetime) -> bool:
    """The plain meaning: does one of them have what the clock shows?"""
    local = at.astimezone(zone)
    minute = local.hour * 60 + local.minute
    for window in windows:
        if window.end > window.start:
            if local.weekday() in window.days and window.start <= minute < window.end:
                return True
            continue
        if local.weekday() in window.days and minute >= window.start:
            return True
        if (local.weekday() - 1) % 7 in window.days and minute < window.end:
            return True
    return False


M = timedelta(minutes=1)

WINDOWS = st.builds(
    Window,
    st.lists(st.integers(0, 6), min_size=1, max_size=7, unique=True).map(tuple),
    st.integers(0, DAY - 1),
    st.integers(0, DAY),
).filter(lambda one: one.start != one.end)

ZONES = st.sampled_from(
    [
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Pacific/Kiritimati",
        "Pacific/Pago_Pago",
        "Asia/Kathmandu",
        "Africa/Casablanca",
        "Asia/Beirut",
        "America/St_Johns",
        "Antarctica/Troll",
    ]
).map(ZoneInfo)

#: Around the days on which clocks change, and in between.
MOMENTS = st.one_of(
    st.integers(0, 365 * DAY).map(lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + minutes * M),
    st.builds(
        lambda day, minutes: datetime(2026, day[0], day[1], tzinfo=UTC) + minutes * M,
        st.sampled_from([(3, 7), (3, 28), (4, 4), (10, 3), (10, 24), (10, 31), (2, 14), (3, 21)]),
        st.integers(0, 2 * DAY),
    ),
)


@given(windows=st.lists(WINDOWS, min_size=1, max_size=3), zone=ZONES, at=MOMENTS)
def test_look_says_what_the_wall_shows_until_it_says_it_ends(
    windows: list[Window], zone: ZoneInfo, at: datetime
) -> None:
    found = look(Hours(week(windows, ())), zone, int(at.timestamp() * 1000))

    end = datetime.fromtimestamp(found.until_ms / 1000, UTC)
    assert at < end <= at + timedelta(days=1, minutes=1)
    steps = [at + minute * M for minute in range(0, int((end - at) / M), 7)]
    for moment in [*steps, end - M]:
        if moment >= at:
            assert by_the_wall(windows, zone, moment) == found.is_open, moment


@pytest.mark.parametrize("offset_ms", [0, 1, 999, 59_999])
def test_a_part_of_a_minute_belongs_to_it(offset_ms: int) -> None:
    found = look(hours("09:00-20:00"), BERLIN, ms("2026-11-23T08:59+01:00") + offset_ms)

    assert found == (False, ms("2026-11-23T09:00+01:00"))

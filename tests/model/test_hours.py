"""Hours as people write them."""

import pytest

from gateway.model.hours import Window, read_span, read_window

ALL = (0, 1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("09:00-20:00", Window(ALL, 540, 1200)),
        ("22:00-08:00", Window(ALL, 1320, 480)),
        ("Mon-Fri 09:00-20:00", Window((0, 1, 2, 3, 4), 540, 1200)),
        ("Sat,Sun 10:30-18:00", Window((5, 6), 630, 1080)),
        ("Fri-Mon 00:00-24:00", Window((0, 4, 5, 6), 0, 1440)),
        ("mon,wed-thu 08:00-08:01", Window((0, 2, 3), 480, 481)),
        ("Tue 23:00-00:00", Window((1,), 1380, 0)),
    ],
)
def test_hours_are_read(text: str, window: Window) -> None:
    assert read_window(text) == window


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not hours"),
        ("9-20", "not a time of day"),
        ("9:00-20:00", "not a time of day"),
        ("09:00\u201320:00", "not hours"),
        ("09:00-20:60", "not a time of day"),
        ("09:00-24:01", "not a time of day"),
        ("24:00-08:00", "cannot begin"),
        ("10:00-10:00", "the same"),
        ("Mo-Fr 09:00-20:00", "days of the week"),
        ("Mon- 09:00-20:00", "days of the week"),
        ("Mon, 09:00-20:00", "days of the week"),
        ("Mon 09:00-20:00 ", "not hours"),
    ],
)
def test_what_are_no_hours_is_said(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_window(text)


def test_span_is_in_minutes() -> None:
    assert read_span("22:00", "07:30") == (1320, 450)

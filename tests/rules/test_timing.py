"""When a message may leave, by category, channel and the recipient's clock."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import settings
from gateway.model import wire
from gateway.model.hold import Hold
from gateway.model.hours import read_window
from gateway.model.message import Message, Priority, Step, Whom
from gateway.rules.timing import OWN_QUIET, Timetable
from gateway.rules.windows import week

CHINA, NEW_YORK, HONOLULU = "+8613800138000", "+12125550123", "+18085550123"


def timetable(
    *rules: str, category: Mapping[str, Any] | None = None, **timing: Mapping[str, Any]
) -> Timetable:
    """Category x has these rule sets; without any, all."""
    own = {"timing": rules or tuple(timing), "expires_in": "5d", **(category or {})}
    return Timetable(settings.parse({"timing": timing, "categories": {"x": own}}, environ={}))


def message(
    phone: str = "",
    *,
    email: str = "",
    category: str = "x",
    whom: Whom | None = None,
    channel: wire.Channel | None = None,
) -> Message:
    steps = []
    if phone:
        parts = (wire.Address(phone=phone),)
        steps.append(Step(channel=channel or wire.Channel.SMS, lane="sms", parts=parts))
    if email or not phone:
        parts = (wire.Address(email=email or "li@example.com"),)
        steps.append(Step(channel=wire.Channel.EMAIL, lane="email", parts=parts))
    return Message(category=category, priority=Priority.NORMAL, chain=tuple(steps), whom=whom)


def ask(table: Timetable, about: Message, at: str, step: int = 0) -> str:
    """`rule until time` in UTC, `rule never`, or nothing."""
    now_ms = int(datetime.fromisoformat(at).timestamp() * 1000)
    hold = table.hold_of(about, about.chain[step], 0, now_ms)
    if hold is None:
        return ""
    if hold.until_ms is None:
        return f"{hold.rule} never"
    return f"{hold.rule} until {datetime.fromtimestamp(hold.until_ms / 1000, UTC):%m-%d %H:%M}"


OFFICE = {"windows": ["Mon-Fri 09:00-20:00", "Sat 10:00-18:00"]}


def test_clock_of_the_recipients_number_counts() -> None:
    table = timetable(office=OFFICE)
    monday = "2026-11-23T02:00+00:00"  # 10:00 in China, 21:00 of Sunday in New York

    assert ask(table, message(CHINA), monday) == ""
    assert ask(table, message(NEW_YORK), monday) == "office until 11-23 14:00"


def test_zone_that_is_known_counts_more_than_the_number() -> None:
    table = timetable(office=OFFICE)

    found = ask(table, message(CHINA, whom=Whom(zone="Europe/Berlin")), "2026-11-23T02:00+00:00")

    assert found == "office until 11-23 08:00"


def test_one_zone_may_count_for_all() -> None:
    table = timetable(office={**OFFICE, "zone": "Europe/Berlin"})

    assert ask(table, message(CHINA), "2026-11-23T02:00+00:00") == "office until 11-23 08:00"


def test_email_is_read_where_the_phone_is() -> None:
    table = timetable(office=OFFICE)

    both = message(NEW_YORK, email="li@example.com")

    assert ask(table, both, "2026-11-23T02:00+00:00", step=1) == "office until 11-23 14:00"


def test_default_zone_is_for_those_of_whom_nothing_is_known() -> None:
    table = timetable(office={**OFFICE, "default_zone": "Asia/Shanghai"})
    plain = timetable(office=OFFICE)

    assert ask(table, message(), "2026-11-23T00:30+00:00") == "office until 11-23 01:00"
    assert ask(plain, message(), "2026-11-23T00:30+00:00") == "office until 11-23 09:00"


def test_hour_must_be_fine_wherever_the_phone_may_be() -> None:
    table = timetable(day={"windows": ["09:00-20:00"]})
    australian = message("+61412345678")

    # 09:00 in Sydney and 06:00 in Perth; the last to open are the Cocos Islands
    assert ask(table, australian, "2026-11-22T22:00+00:00") == "day until 11-23 02:30"
    # 20:00 in Sydney, 17:00 in Perth
    assert ask(table, australian, "2026-11-23T09:00+00:00") == "day until 11-24 02:30"


def test_hours_that_are_never_open_everywhere_never_let_it_pass() -> None:
    table = timetable(short={"windows": ["09:00-10:00"]})

    assert ask(table, message("+79161234567"), "2026-11-23T09:00+00:00") == "short never"


def test_all_rules_must_let_it_pass_and_the_first_that_does_not_is_named() -> None:
    table = timetable("office", "lunch", office=OFFICE, lunch={"quiet": ["12:00-14:00"]})

    assert ask(table, message(CHINA), "2026-11-23T03:59+00:00") == ""
    assert ask(table, message(CHINA), "2026-11-23T04:00+00:00") == "lunch until 11-23 06:00"
    assert ask(table, message(CHINA), "2026-11-23T12:00+00:00") == "office until 11-24 01:00"


def test_opening_of_one_rule_in_the_pause_of_another_is_no_opening() -> None:
    table = timetable(
        "a", "b", a={"windows": ["08:00-09:00", "18:00-19:00"]}, b={"windows": ["09:00-18:30"]}
    )

    assert ask(table, message(CHINA), "2026-11-22T22:00+00:00") == "a until 11-23 10:00"


def test_rule_holds_for_its_channels_alone() -> None:
    table = timetable(night={"quiet": ["22:00-08:00"], "channels": ["sms", "push"]})
    midnight = "2026-11-22T16:00+00:00"

    assert ask(table, message(CHINA), midnight) == "night until 11-23 00:00"
    assert ask(table, message(CHINA, channel=wire.Channel.RCS), midnight) == ""


def test_rule_holds_for_its_numbers_and_where_there_is_none() -> None:
    table = timetable(night={"quiet": ["22:00-08:00"], "phone_prefix": ["+86", "+852"]})
    midnight = "2026-11-22T16:00+00:00"

    assert ask(table, message(CHINA), midnight) == "night until 11-23 00:00"
    assert ask(table, message("+819012345678"), midnight) == ""
    assert ask(table, message(), "2026-11-22T23:00+00:00") == "night until 11-23 08:00"


def test_other_categories_have_no_rules() -> None:
    table = timetable(office=OFFICE)

    assert ask(table, message(CHINA, category="otp"), "2026-11-22T16:00+00:00") == ""


def test_holidays_move_the_opening_past_them() -> None:
    table = timetable(office={**OFFICE, "holidays": "CN"})

    # Saturday 14 February is worked, then the Spring Festival is until Monday 23
    assert ask(table, message(CHINA), "2026-02-14T10:59+00:00") == ""
    assert ask(table, message(CHINA), "2026-02-14T12:00+00:00") == "office until 02-24 01:00"


def test_closed_for_longer_than_the_horizon_is_never() -> None:
    table = timetable(
        "tuesdays",
        "wednesdays",
        tuesdays={"windows": ["Tue 09:00-10:00"]},
        wednesdays={"windows": ["Wed 09:00-10:00"], "zone": "UTC"},
    )

    assert ask(table, message(CHINA), "2026-11-22T16:00+00:00") == "tuesdays never"


# Own quiet hours

QUIET = Whom(quiet=(("21:30", "07:00"),), zone="Asia/Shanghai")


def test_own_quiet_hours_are_kept_where_somebody_can_leave() -> None:
    table = timetable(category={"unsubscribe": True})

    found = ask(table, message(whom=QUIET), "2026-11-22T14:00+00:00")

    assert found == f"{OWN_QUIET} until 11-22 23:00"


@pytest.mark.parametrize(
    ("category", "heeds"),
    [
        ({}, False),
        ({"respect_quiet": True}, True),
        ({"consent": True}, True),
        ({"consent": True, "respect_quiet": False}, False),
    ],
)
def test_category_says_whether_own_quiet_hours_count(
    category: Mapping[str, Any], heeds: bool
) -> None:
    table = timetable(category=category)

    assert bool(ask(table, message(whom=QUIET), "2026-11-22T14:00+00:00")) is heeds


def test_codes_do_not_wait_for_the_morning() -> None:
    found = ask(timetable(), message(category="otp", whom=QUIET), "2026-11-22T14:00+00:00")

    assert found == ""


def test_own_quiet_hours_come_on_top_of_the_rules() -> None:
    table = timetable(category={"consent": True}, office=OFFICE)
    late = Whom(quiet=(("20:00", "11:00"),), zone="Asia/Shanghai")

    assert ask(table, message(whom=late), "2026-11-23T02:00+00:00") == (
        f"{OWN_QUIET} until 11-23 03:00"
    )
    assert ask(table, message(whom=late), "2026-11-23T00:00+00:00") == "office until 11-23 03:00"


def test_own_quiet_hours_that_nobody_can_read_do_not_count() -> None:
    table = timetable(category={"consent": True})
    odd = Whom(quiet=(("x", "y"), ("08:00", "08:00")))

    assert ask(table, message(whom=odd), "2026-11-22T14:00+00:00") == ""


# Presets


@pytest.mark.parametrize(
    ("preset", "phone", "open_at", "closed_at", "found"),
    [
        ("tcpa", NEW_YORK, "08:00-05:00", "21:00-05:00", "11-24 13:00"),
        ("tcpa", HONOLULU, "08:00-10:00", "07:59-10:00", "11-23 18:00"),
        ("cn-marketing", CHINA, "20:59+08:00", "21:00+08:00", "11-24 00:00"),
        ("fr-marketing", "+33612345678", "08:00+01:00", "20:00+01:00", "11-24 07:00"),
    ],
)
def test_presets_are_known_rules(
    preset: str, phone: str, open_at: str, closed_at: str, found: str
) -> None:
    table = timetable(law={"preset": preset})

    assert ask(table, message(phone), f"2026-11-23T{open_at}") == ""
    assert ask(table, message(phone), f"2026-11-23T{closed_at}") == f"law until {found}"


def test_french_holidays_are_closed() -> None:
    table = timetable(law={"preset": "fr-marketing"})

    # Friday 1 May is a holiday; Saturdays begin at ten
    found = ask(table, message("+33612345678"), "2026-05-01T10:00+02:00")

    assert found == "law until 05-02 08:00"


def test_presets_leave_other_countries_and_channels_alone() -> None:
    table = timetable(law={"preset": "tcpa"})
    night = "2026-11-23T03:00-05:00"

    assert ask(table, message(CHINA), "2026-11-23T03:00+08:00") == ""
    assert ask(table, message(NEW_YORK, email="a@example.com"), night, step=1) == ""


def test_preset_may_be_widened_to_other_channels() -> None:
    table = timetable(law={"preset": "tcpa", "channels": ["sms", "email"]})
    both = message(NEW_YORK, email="a@example.com")

    assert ask(table, both, "2026-11-23T03:00-05:00", step=1) == "law until 11-23 13:00"


# What holds of all


def test_sort_of_rule_is_told_apart() -> None:
    kinds: dict[str, Mapping[str, Any]] = {
        "windows": {"windows": ["09:00-10:00"], "quiet": ["09:30-09:45"]},
        "quiet": {"quiet": ["00:00-09:00"]},
        "preset": {"preset": "cn-marketing"},
        "holidays": {"holidays": "CN"},
    }
    new_year = int(datetime(2026, 2, 16, 19, tzinfo=UTC).timestamp() * 1000)

    about = message(CHINA)
    for kind, rule in kinds.items():
        hold = timetable(one=rule).hold_of(about, about.chain[0], 0, new_year)
        assert hold is not None
        assert hold.kind == kind

    quiet = message(whom=QUIET)
    hold = timetable(category={"consent": True}).hold_of(quiet, quiet.chain[0], 0, new_year)
    assert isinstance(hold, Hold)
    assert hold.kind == "recipient"


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.rules.timing._MOST_KEPT", 5)
    table = timetable(category={"consent": True})

    for minute in range(12):
        whom = Whom(quiet=(("21:30", f"07:{minute:02}"),), zone="Asia/Shanghai")
        assert ask(table, message(whom=whom), "2026-11-22T14:00+00:00").endswith(f"23:{minute:02}")

    assert len(table._kept) <= 5


def test_clock_that_goes_back_is_not_answered_from_the_future() -> None:
    table = timetable(office=OFFICE)

    answers = [
        ask(table, message(CHINA), at)
        for at in ("2026-11-23T02:00+00:00", "2026-11-22T16:00+00:00", "2026-11-23T02:00+00:00")
    ]

    assert answers == ["", "office until 11-23 01:00", ""]


HOURS = st.builds(
    lambda start, length: (
        f"{start // 60:02}:{start % 60:02}-"
        f"{(start + length) % 1440 // 60:02}:{(start + length) % 60:02}"
    ),
    st.integers(0, 1439),
    st.integers(1, 1439),
)
DAYS = st.sampled_from(["", "Mon-Fri ", "Sat,Sun ", "Wed ", "Sun-Thu "])
RULES = st.fixed_dictionaries(
    {},
    optional={
        "windows": st.lists(st.builds(str.__add__, DAYS, HOURS), min_size=1, max_size=2),
        "quiet": st.lists(st.builds(str.__add__, DAYS, HOURS), min_size=1, max_size=2),
    },
).filter(bool)
PLACES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Kiritimati"]


@hypothesis.settings(deadline=None, max_examples=40)
@given(
    rules=st.lists(RULES, min_size=1, max_size=2),
    zone=st.sampled_from(PLACES),
    start=st.sampled_from(["2026-03-07", "2026-03-28", "2026-04-04", "2026-10-03", "2026-10-31"]),
    minutes=st.integers(0, 2880),
)
def test_until_is_the_first_minute_at_which_all_rules_let_it_pass(
    rules: list[dict[str, list[str]]], zone: str, start: str, minutes: int
) -> None:
    timing = {f"r{place}": rule for place, rule in enumerate(rules)}
    table = timetable(**timing)
    about = message(CHINA, whom=Whom(zone=zone))
    now = datetime.fromisoformat(start).replace(tzinfo=UTC) + timedelta(minutes=minutes)
    now_ms = int(now.timestamp() * 1000)
    weeks = [
        week(
            [*map(read_window, rule.get("windows", ()))],
            [*map(read_window, rule.get("quiet", ()))],
        )
        for rule in rules
    ]

    def shows_open(at_ms: int) -> bool:
        local = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone))
        minute = local.hour * 60 + local.minute
        return all(any(a <= minute < b for a, b in one[local.weekday()]) for one in weeks)

    hold = table.hold_of(about, about.chain[0], 0, now_ms)

    if hold is None:
        assert shows_open(now_ms)
        return
    end_ms = hold.until_ms or now_ms + 40 * 86_400_000
    if hold.until_ms is not None:
        assert table.hold_of(about, about.chain[0], 0, end_ms) is None
        assert shows_open(end_ms)
    # every minute of the first day and of the last two hours, and some of those between
    near_ms = min(end_ms, now_ms + 86_400_000)
    for at_ms in (
        *range(now_ms, near_ms, 60_000),
        *range(near_ms, end_ms, 11 * 60_000),
        *range(end_ms - 60_000, now_ms, -60_000)[:120],
    ):
        assert not shows_open(at_ms), at_ms

"""Rules about time that nothing could pass, or that name what nobody knows."""

from collections.abc import Mapping
from typing import Any

import pytest

from gateway import settings
from gateway.rules import check
from gateway.settings.faults import show_path


def parse(timing: Mapping[str, Any], **category: Any) -> settings.Settings:
    tables = {"timing": timing, "categories": {"x": {"timing": list(timing), **category}}}
    return settings.parse(tables, environ={})


def faults(timing: Mapping[str, Any], **category: Any) -> list[str]:
    found = check.faults(parse(timing, **category))
    return [f"{show_path(one.path)}: {one.text}" for one in found]


def test_rules_that_let_something_pass_have_no_faults() -> None:
    office = {"windows": ["Mon-Fri 09:00-20:00"], "holidays": "CN"}
    quiet = {"quiet": ["22:00-07:00"], "channels": ["sms"]}

    found = faults({"office": office, "night": quiet, "law": {"preset": "tcpa"}}, expires_in="5d")

    assert found == []


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({"preset": "tpca"}, 'timing.x.preset: unknown preset "tpca", did you mean "tcpa"?'),
        ({"holidays": "XX"}, 'timing.x.holidays: unknown country "XX"'),
        ({"holidays": "DE-XX"}, 'timing.x.holidays: unknown country "DE-XX"'),
        ({"quiet": ["00:00-24:00"]}, "timing.x.quiet: it is never open"),
        (
            {"windows": ["Sat 09:00-12:00"], "quiet": ["Sat,Sun 00:00-24:00"]},
            "timing.x.quiet: it is never open",
        ),
        ({"quiet": ["08:00-20:00", "20:00-08:00"]}, "timing.x.quiet: it is never open"),
    ],
)
def test_what_cannot_be_met_is_told_with_its_key(rule: Mapping[str, Any], fault: str) -> None:
    (found,) = faults({"x": rule})

    assert found.startswith(fault)


def test_rules_that_are_never_open_together_are_told() -> None:
    morning, evening = {"windows": ["06:00-12:00"]}, {"windows": ["12:00-18:00"]}

    found = faults({"a": morning, "b": evening})

    assert found == ['categories.x.timing[1]: "b" is never open when "a" is']


@pytest.mark.parametrize(
    "evening",
    [
        {"zone": "Asia/Shanghai"},
        {"channels": ["email"]},
        {"phone_prefix": ["+33"]},
    ],
)
def test_rules_for_others_or_by_another_clock_need_not_be_open_together(
    evening: Mapping[str, Any],
) -> None:
    morning = {"windows": ["06:00-12:00"], "channels": ["sms"], "phone_prefix": ["+86"]}

    assert faults({"a": morning, "b": {"windows": ["12:00-18:00"], **evening}}) == []


def test_closing_that_no_message_outlives_is_a_fault() -> None:
    found = faults({"night": {"quiet": ["22:00-08:00"]}}, expires_in="10h")

    assert found == [
        "categories.x.timing[0]: closes for 10h or longer, which no message outlives: "
        "expires_in 10h"
    ]
    assert faults({"night": {"quiet": ["22:00-08:00"]}}, expires_in="601m") == []


def test_closing_that_some_messages_do_not_outlive_is_worth_a_word() -> None:
    office = {"office": {"windows": ["Mon-Fri 09:00-20:00"]}}

    short, long = parse(office, expires_in="1d"), parse(office, expires_in="62h")

    assert list(check.warnings(short)) == [
        "categories.x.timing[0]: closes for up to 61h, longer than expires_in (1d)"
    ]
    assert list(check.warnings(long)) == []
    assert list(check.faults(short)) == []


def test_rules_at_fault_are_not_blamed_for_more() -> None:
    found = faults({"x": {"preset": "tpca"}, "y": {"quiet": ["00:00-24:00"]}}, expires_in="1m")

    assert len(found) == 2

"""What recipients may say of themselves, for any value of it."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.content.recipients import canonical_locale, check, check_recipient_id
from gateway.model.errors import InvalidMessage
from gateway.model.recipient import PushDevice, Recipient, decode, encode
from gateway.model.values import replace

LI = Recipient(id="li", phone="+8613800138000")

minutes = st.integers(0, 24 * 60 - 1)
windows = st.lists(st.tuples(minutes, minutes), max_size=5)


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def fields(recipient: Recipient) -> list[str]:
    """Of the faults; empty for a good one."""
    try:
        check(recipient, {"marketing"})
    except InvalidMessage as refused:
        return [one.field for one in refused.faults]
    return []


@given(windows)
def test_quiet_hours_leave_a_minute_of_the_day(found: list[tuple[int, int]]) -> None:
    quiet = {
        minute
        for start, end in found
        for minute in range(24 * 60)
        if (start <= minute < end if start < end else minute >= start or minute < end)
    }
    impossible = len(quiet) == 24 * 60 or any(start == end for start, end in found)
    recipient = replace(LI, quiet=tuple((clock(start), clock(end)) for start, end in found))

    assert bool(fields(recipient)) == impossible


@pytest.mark.parametrize("time", ["24:00", "7:00", "07:60", "0700", ""])
def test_what_is_no_time_of_the_day(time: str) -> None:
    assert fields(replace(LI, quiet=((time, "08:00"),))) == ["quiet_hours[0].from"]
    assert fields(replace(LI, quiet=(("08:00", time),))) == ["quiet_hours[0].to"]


@pytest.mark.parametrize(
    "zone", ["Asia", "../../etc/passwd", "/etc/localtime", "asia/shanghai", "+08:00", "x" * 64]
)
def test_what_is_no_zone(zone: str) -> None:
    assert fields(replace(LI, zone=zone)) == ["zone"]


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("ZH-cn", "zh-CN"),
        ("zh-hans-cn", "zh-Hans-CN"),
        ("es-419", "es-419"),
        ("de", "de"),
        ("ca-es-VALENCIA", "ca-ES-valencia"),
        ("zh_CN", ""),
        ("english", ""),
        ("e", ""),
        ("en-US-", ""),
    ],
)
def test_locales_have_one_form(given: str, canonical: str) -> None:
    assert canonical_locale(given) == canonical


@given(st.text(max_size=140))
@example(".")
@example("..")
@example("...")
@example(".a")
def test_ids_are_kept_as_they_are_or_refused(value: str) -> None:
    good = 1 <= len(value) <= 200 and value.isprintable() and value == value.strip()
    good = good and value not in (".", "..")

    assert (fields(replace(LI, id=value)) == []) == good
    if good:
        assert check_recipient_id(value) == value


def test_every_fault_is_named_at_once() -> None:
    bad = Recipient(id=" ", phone="1", email="x", zone="Mars", locale="?", preferences={"x": ()})

    assert fields(bad) == ["phone", "email", "id", "locale", "zone", "preferences"]


def test_values_are_not_repeated() -> None:
    bad = Recipient(id="secret ", phone="secret", url="secret", zone="secret", locale="secret?")

    with pytest.raises(InvalidMessage) as refused:
        check(bad, ())

    assert "secret" not in str([refused.value.detail, refused.value.faults])


def test_a_device_that_is_given_twice_is_one() -> None:
    devices = tuple(PushDevice(app=app, token=token) for app, token in ("ax", "ay", "ax", "bx"))

    checked = check(replace(LI, push=devices), ())

    assert [(one.app, one.token) for one in checked.push] == [("a", "x"), ("a", "y"), ("b", "x")]


@pytest.mark.parametrize(
    "person",
    [
        Recipient(id="x"),
        Recipient(id="x", phone=LI.phone, invalid=("phone",)),
        Recipient(id="x", push=(PushDevice(app="a", token="t", reason="gone", since_ms=1),)),
    ],
)
def test_somebody_can_be_reached(person: Recipient) -> None:
    assert fields(person) == [""]
    assert fields(replace(person, wecom="LiLei")) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4), st.text(min_size=1))
def test_a_recipient_survives_the_store(attributes: dict[str, Any], tier: str) -> None:
    recipient = replace(
        LI, attributes=attributes, tier=tier, quiet=(("22:00", "08:00"),), verified=("phone",)
    )
    again = dict(reversed(attributes.items()))

    assert decode(encode(recipient)) == recipient
    assert encode(replace(recipient, attributes=again)) == encode(recipient)

"""What services of mainland China have in common: templates, numbers, hours, addresses."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.model import errors, wire
from gateway.providers import base, mainland

Message = Callable[..., wire.Message]
HOME = "+8615300000001"


def content(table: Any) -> wire.Content:
    return wire.Content(provider_templates={"kind": table})


@pytest.mark.parametrize(
    ("table", "filled"),
    [
        (
            {"template": "T1", "params": {"code": "1", "minutes": 5}},
            ("T1", "ours", {"code": "1", "minutes": "5"}),
        ),
        ({"template": "T1", "sign": "theirs"}, ("T1", "theirs", {})),
        ({"template": 1110, "params": ["a", 1.5]}, ("1110", "ours", {"1": "a", "2": "1.5"})),
        ({"template": "T1", "params": {"code": "\ud800"}}, ("T1", "ours", {"code": "?"})),
    ],
)
def test_template_is_filled_in(
    message: Message, table: Any, filled: tuple[str, str, dict[str, str]]
) -> None:
    found = mainland.fill(message(content=content(table)), "kind", "ours")

    assert (found.template, found.sign, dict(found.params)) == filled


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (None, "the content has no template of kind"),
        ({}, "kind.template: not the id of a template"),
        ({"template": ""}, "kind.template: not the id of a template"),
        ({"template": True}, "kind.template: not the id of a template"),
        ({"template": "T1", "sign": 7}, "kind.sign: not a text"),
        ({"template": "T1", "params": "4711"}, "kind.params: neither values by name nor"),
        ({"template": "T1", "params": {"code": None}}, "kind.params.code: neither a text nor"),
        ({"template": "T1", "params": {"code": {"a": "4711"}}}, "kind.params.code: neither"),
    ],
)
def test_what_cannot_be_filled_in_is_told_without_values(
    message: Message, table: Any, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason) as error:
        mainland.fill(message(content=content(table)), "kind", "ours")

    assert "4711" not in str(error.value)


def test_signature_may_be_missing_abroad_only(message: Message) -> None:
    home = message(content=content({"template": "T1"}), to=wire.Address(phone=HOME))
    abroad = message(content=content({"template": "T1"}), to=wire.Address(phone="+4915112345678"))

    assert mainland.fill(abroad, "kind", "").sign == ""
    with pytest.raises(ValueError, match=r"kind\.sign: missing"):
        mainland.fill(home, "kind", "")


def test_one_unfit_message_does_not_hurt_the_others_and_goes_alone(message: Message) -> None:
    good = [
        message(to=wire.Address(phone=f"+861530000000{at}"), content=content({"template": "T"}))
        for at in (1, 2)
    ]
    bad = message(content=content({}), reference="bad")

    filled = mainland.fill_all([good[0], bad, good[1]], "kind", "ours")
    calls = mainland.group(filled, lambda one: one.template, limit=9)

    assert [[one for one, _ in call] for call in calls] == [good, [bad]]
    assert calls[1][0][1].template == ""


def test_nothing_that_fits_is_an_error(message: Message) -> None:
    with pytest.raises(ValueError, match="no template of kind"):
        mainland.fill_all([message(content=content(None))] * 2, "kind", "ours")


def test_calls_have_one_key_one_region_no_number_twice_and_a_limit(message: Message) -> None:
    own = content({"template": "T"})
    phones = [f"+861530000000{at}" for at in (1, 1, 2, 3)] + ["+4915112345678"]
    messages = [message(to=wire.Address(phone=one), content=own) for one in phones]
    filled = mainland.fill_all(messages, "kind", "ours")

    calls = mainland.group(filled, lambda one: one.template, limit=2)

    numbers = [[one.to.phone[-1] for one, _ in call] for call in calls]
    assert numbers == [["1", "2"], ["1", "3"], ["8"]]


@pytest.mark.parametrize(
    ("number", "digits"),
    [
        (HOME, "15300000001"),
        ("8615300000001", "15300000001"),
        ("008615300000001", "15300000001"),
        ("15300000001", "15300000001"),
        ("+861012345678", "861012345678"),
        ("+85251234567", "85251234567"),
        ("0015005550009", "15005550009"),
    ],
)
def test_numbers_have_one_spelling(number: str, digits: str) -> None:
    assert mainland.digits_of(number) == digits


def ms(*at: int) -> int:
    """Milliseconds of a time in Beijing."""
    return int(datetime(*at, tzinfo=timezone(timedelta(hours=8))).timestamp() * 1000)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("hour", "now", "seconds"),
    [
        (0, ms(2026, 3, 1, 23, 59, 30), 30),
        (0, ms(2026, 3, 1, 0, 0, 0), 86_400),
        (8, ms(2026, 3, 1, 7, 0, 0), 3600),
        (8, ms(2026, 3, 1, 22, 30, 0), 34_200),
    ],
)
def test_hours_are_those_of_beijing(hour: int, now: int, seconds: float) -> None:
    assert mainland.until_hour(hour, now_ms=now) == seconds


@pytest.mark.parametrize(
    ("now", "seconds"),
    [(ms(2026, 12, 31, 23, 59, 0), 60), (ms(2026, 2, 28, 0, 0, 0), 86_400)],
)
def test_months_are_those_of_beijing(now: int, seconds: float) -> None:
    assert mainland.until_next_month(now_ms=now) == seconds


def test_times_are_read_as_beijing_time() -> None:
    assert mainland.read_time("2026-01-02 11:04:09") == datetime(2026, 1, 2, 3, 4, 9, tzinfo=UTC)
    assert mainland.read_time("yesterday") is None
    assert mainland.read_time(None) is None


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://sms.example.com", "sms.example.com"),
        ("https://SMS.example.com:443/", "sms.example.com"),
        ("http://127.0.0.1:8081/path", "127.0.0.1:8081"),
        ("http://[::1]:80", "[::1]"),
        ("https://a:b@example.com:80", "example.com:80"),
    ],
)
def test_host_is_what_the_transport_sends(url: str, host: str) -> None:
    assert mainland.host_of(url) == host


@pytest.mark.parametrize("url", ["", "example.com", "ftp://example.com", "http://[", "http://a:b"])
def test_address_without_host_is_a_fault(url: str) -> None:
    with pytest.raises(errors.SettingsError, match="base_url"):
        mainland.host_of(url)


SECRET = "a long secret & more"
GOOD = "https://gw.example.com/r?key=a+long+secret+%26+more"


@pytest.mark.parametrize(
    ("url", "secret", "proven"),
    [
        (GOOD, SECRET, True),
        (f"{GOOD}&x=1#y", SECRET, True),
        (GOOD, SECRET + "!", False),
        (f"{GOOD}&key=other", SECRET, False),
        ("https://gw.example.com/r", SECRET, False),
        ("https://gw.example.com/r", "", False),
        ("https://gw.example.com/r?key=", "", False),
        ("https://gw.example.com/r?" + "&".join("abcdefghijklmnopqrstuvwxyz"), SECRET, False),
    ],
)
def test_only_an_address_with_the_secret_is_believed(url: str, secret: str, proven: bool) -> None:
    assert mainland.is_proven(wire.HttpRequest(method="POST", url=url), secret) is proven


@pytest.mark.parametrize("value", ["", None, 7, "13800138000", "x" * 65, "a b", "+1"])
def test_code_that_may_be_a_text_or_a_number_is_none(value: object) -> None:
    assert mainland.code_of(value) == ""


#: Names that the services use, in any nesting, with values of any type.
NAMES = [
    "Code",
    "BizId",
    "Message",
    "Response",
    "SendStatusSet",
    "SerialNo",
    "PhoneNumber",
    "Error",
    "biz_id",
    "phone_number",
    "success",
    "err_code",
    "out_id",
    "report_time",
    "content",
    "sequence_id",
    "To",
    "MessageId",
    "Status",
    "ReceiveDate",
    "sid",
    "report_status",
    "errmsg",
    "mobile",
    "nationcode",
    "text",
    "time",
    "user_receive_time",
]
WORDS = [
    "OK",
    "Ok",
    "isv.X",
    "LimitExceeded.X",
    "FAIL",
    "SUCCESS",
    "15300000001",
    "+8618501234444",
    "1^0",
    "R",
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("kind", ["aliyun", "tencent"])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=VALUES, status=st.sampled_from([200, 400, 403, 500]), count=st.integers(1, 2))
def test_odd_answers_and_pushes_are_results_or_unreadable(
    make: Callable[..., base.HttpProvider],
    message: Message,
    kind: str,
    value: Any,
    status: int,
    count: int,
) -> None:
    provider, body = make(kind), orjson.dumps(value)
    messages = [message(to=wire.Address(phone=f"+8618501234{at:03d}")) for at in range(count)]

    results = provider.read_response(messages, wire.HttpResponse(status=status, body=body))

    assert len(results) == count
    for read in (provider.read_receipts, provider.read_inbound):
        try:
            read(wire.HttpRequest(method="POST", url="https://gw.example.com/r", body=body))
        except errors.UnreadableReceipt:
            continue

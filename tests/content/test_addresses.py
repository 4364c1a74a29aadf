"""Addresses: what is accepted, checked against phonenumbers and email-validator themselves."""

import hashlib
from collections.abc import Callable, Iterator

import email_validator
import phonenumbers
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.content import addresses

KEY = b"k" * 32


def _canonical_phone(value: str) -> str:
    number = phonenumbers.parse(value, None)
    assert phonenumbers.is_possible_number(number)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@given(st.from_regex(r"\+861[3-9][0-9]{9}|\+1[2-9][0-9]{2}[2-9][0-9]{6}", fullmatch=True))
@settings(max_examples=500)
def test_common_numbers_are_what_phonenumbers_makes_of_them(value: str) -> None:
    assert addresses.check_phone(value) == _canonical_phone(value)


def test_every_mainland_mobile_prefix_is_canonical_as_it_stands() -> None:
    numbers = [f"+861{prefix}1234567" for prefix in range(300, 1000)]

    assert [addresses.check_phone(number) for number in numbers] == [
        _canonical_phone(number) for number in numbers
    ]


@pytest.mark.parametrize(
    ("given_form", "canonical"),
    [
        ("+15005550006", "+15005550006"),
        ("+44 (0)7911-123.456", "+447911123456"),
        ("+86 138 0013 8000", "+8613800138000"),
        ("+49 30 901820", "+4930901820"),
    ],
)
def test_numbers_are_brought_to_e164(given_form: str, canonical: str) -> None:
    assert addresses.check_phone(given_form) == canonical


@pytest.mark.parametrize(
    "value",
    [
        "",
        "+",
        "13800138000",
        "008613800138000",
        "+1500555000",
        "+8613800138000123",
        "+12530000",
        "+999123456789",
        "+1800FLOWERS",
        "+15005550006;ext=4",
        "tel:+15005550006",
        "+15005550006\n",
        "+8613800138000\n",
        "+1500555\x000006",
        "+86138001380\u0660\u0660",
        "+" + "1" * 40,
    ],
)
def test_other_numbers_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="not a phone number"):
        addresses.check_phone(value)


@pytest.fixture
def every_domain_allowed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The oracle without its list of special-use names, which we allow."""
    names = list(email_validator.SPECIAL_USE_DOMAIN_NAMES)
    email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()
    yield
    email_validator.SPECIAL_USE_DOMAIN_NAMES.extend(names)


_LOCAL = st.text("abZ09_+-.", min_size=1, max_size=66)
_DOMAIN = st.text("abZ09-.", min_size=1, max_size=66)


@given(_LOCAL, _DOMAIN)
@settings(max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("every_domain_allowed")
def test_emails_are_what_email_validator_makes_of_them(local: str, domain: str) -> None:
    value = f"{local}@{domain}"
    try:
        expected = email_validator.validate_email(
            value, check_deliverability=False, globally_deliverable=False, strict=True
        ).ascii_email
    except email_validator.EmailNotValidError:
        expected = None

    try:
        checked: str | None = addresses.check_email(value)
    except ValueError:
        checked = None

    assert checked == expected


@pytest.mark.parametrize(
    ("given_form", "canonical"),
    [
        ("li@example.com", "li@example.com"),
        ("Li.Lei+tag@Example.COM", "Li.Lei+tag@example.com"),
        ("root@localhost", "root@localhost"),
        ("Ops@Mail.Corp.TEST", "Ops@mail.corp.test"),
        ("a@host.local", "a@host.local"),
        ("a@bücher.example", "a@xn--bcher-kva.example"),
        ("jürgen@bücher.example", "jürgen@bücher.example"),
        ("o'neil@example.com", "o'neil@example.com"),
    ],
)
def test_emails_are_normalised(given_form: str, canonical: str) -> None:
    assert addresses.check_email(given_form) == canonical


@pytest.mark.parametrize(
    "value",
    [
        "",
        "@",
        "a@",
        "@b.example",
        "a b@example.com",
        "a@example.com\r\nBcc: b@example.com",
        "a@example.com\n",
        "a\x00@example.com",
        "Li <li@example.com>",
        '"a b"@example.com',
        "a@[127.0.0.1]",
        "a..b@example.com",
        ".a@example.com",
        "a@-b.example",
        "a@b..example",
        "a@" + "b" * 64 + ".example",
        "a" * 65 + "@example.com",
        "a@" + "b." * 130 + "example",
        "a@b@localhost",
    ],
)
def test_other_emails_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="not an email address"):
        addresses.check_email(value)


def test_checking_leaves_the_validators_own_list_alone() -> None:
    before = list(email_validator.SPECIAL_USE_DOMAIN_NAMES)

    addresses.check_email("A@x.TEST")

    assert before == email_validator.SPECIAL_USE_DOMAIN_NAMES


@pytest.mark.parametrize("value", ["abc:DEF_-123", '{"endpoint": "https://push.example/x"}', "x"])
def test_push_tokens_are_printable_ascii(value: str) -> None:
    assert addresses.check_token(value) == value


@pytest.mark.parametrize("value", ["", " a", "a ", "a\nb", "a\x00", "ключ", "a" * 4097, "a\n"])
def test_other_tokens_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="not a push token"):
        addresses.check_token(value)


@pytest.mark.parametrize("value", ["LiLei", "oABC-_123", "李雷", "-1001234", "@news"])
def test_ids_are_short_and_printable(value: str) -> None:
    assert addresses.check_id(value) == value


@pytest.mark.parametrize("value", ["", "a b", "a\n", "a\x00", "a" * 129, "a|b", "@all", "@ALL"])
def test_ids_that_name_nobody_or_many_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="not an id"):
        addresses.check_id(value)


@pytest.mark.parametrize(
    "value", ["https://a.example/x?y=1", "http://10.0.0.1:8080", "HTTPS://[::1]/"]
)
def test_urls_have_a_scheme_and_a_host(value: str) -> None:
    assert addresses.check_url(value) == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        "ftp://a.example",
        "https://",
        "https:///x",
        "https://a.example:0/",
        "https://a.example:99999/",
        "https://[::1/",
        "https://user:pw@a.example",
        "https://a.example/#x",
        "https://a.example\\@b.example",
        "https://a.example/\r\nx",
        "https://a.example/ x",
        "https://a.example/" + "x" * 2048,
        "javascript:alert(1)",
    ],
)
def test_other_urls_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        addresses.check_url(value)


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (addresses.check_phone, "+999123456789"),
        (addresses.check_phone, "13800138000"),
        (addresses.check_email, "secret.person@@example.com"),
        (addresses.check_token, "secret\ntoken"),
        (addresses.check_id, "secret id"),
        (addresses.check_url, "https://user:pw@a.example"),
    ],
)
def test_refusals_do_not_repeat_the_address(check: Callable[[str], str], value: str) -> None:
    with pytest.raises(ValueError, match=r"not|no") as refusal:
        check(value)

    assert value not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


def test_hashes_are_keyed_blake2b() -> None:
    expected = hashlib.blake2b(b"sms\x00+8613800138000", digest_size=16, key=KEY).hexdigest()

    assert addresses.hash_address(KEY, "sms", "+8613800138000") == expected


def test_hashes_differ_by_key_channel_and_address() -> None:
    hashes = {
        addresses.hash_address(key, channel, value)
        for key in (KEY, b"other")
        for channel in ("wechat", "wecom")
        for value in ("a", "A")
    }

    assert len(hashes) == 8


def test_capitals_do_not_change_who_an_email_belongs_to() -> None:
    hashes = {addresses.hash_address(KEY, "email", v) for v in ("Li@x.test", "li@x.test")}

    assert len(hashes) == 1


def test_an_empty_key_is_refused() -> None:
    with pytest.raises(ValueError, match="key"):
        addresses.hash_address(b"", "sms", "+8613800138000")


_MOBILE = phonenumbers.PhoneNumberType.MOBILE


_EXAMPLES = {
    country: example
    for country in sorted(phonenumbers.SUPPORTED_REGIONS)
    if (example := phonenumbers.example_number_for_type(country, _MOBILE)) is not None
}


@pytest.mark.parametrize("country", _EXAMPLES)
def test_national_numbers_of_every_country_are_completed(country: str) -> None:
    example = _EXAMPLES[country]
    full = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    national = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.NATIONAL)
    digits = "".join(filter(str.isdecimal, national))

    assert addresses.complete_phone(digits, country, is_national=True) == full
    assert addresses.check_phone(full) == full


def test_what_is_no_number_of_the_country_is_not_completed() -> None:
    for digits in ("10086", "1", "9" * 40):
        assert addresses.complete_phone(digits, "CN", is_national=False) == ""


@pytest.mark.parametrize(
    ("code", "is_one"), [("CN", True), ("cn", False), ("", False), ("EU", False)]
)
def test_countries_are_those_with_numbers(code: str, is_one: bool) -> None:
    assert addresses.is_country(code) is is_one

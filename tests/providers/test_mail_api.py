"""What providers of mail over HTTP share."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import wire
from gateway.providers import ecdsa, mail_api

Message = Callable[..., wire.Message]


@pytest.mark.parametrize(
    ("given_uris", "category", "headers"),
    [
        (None, "otp", {"Auto-Submitted": "auto-generated"}),
        (None, "marketing", {}),
        ([], "otp", {"Auto-Submitted": "auto-generated"}),
        (
            "https://u.org/1",
            "otp",
            {
                "List-Unsubscribe": "<https://u.org/1>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            },
        ),
        ("mailto:u@u.org", "marketing", {"List-Unsubscribe": "<mailto:u@u.org>"}),
        (
            ["https://u.org/1", "https://u.org/2"],
            "marketing",
            {"List-Unsubscribe": "<https://u.org/1>, <https://u.org/2>"},
        ),
    ],
)
def test_one_click_needs_exactly_one_https_uri(
    message: Message, given_uris: object, category: str, headers: dict[str, str]
) -> None:
    content = wire.Content(text="x", extra={"list_unsubscribe": given_uris})

    found = mail_api.letter(message(content=content, category=category)).headers()

    assert found == headers


@given(subject=st.text(), uri=st.text())
def test_headers_are_single_lines(subject: str, uri: str, message: Message) -> None:
    content = wire.Content(text="x", subject=subject, extra={"list_unsubscribe": uri})

    letter = mail_api.letter(message(content=content))

    for value in (letter.subject, *letter.headers().values()):
        assert not set(value) & {"\r", "\n", "\0"}


def test_name_of_a_message_does_not_depend_on_how_its_address_is_spelt() -> None:
    names = {
        mail_api.provider_id("call", address)
        for address in ("li@bücher.example", "LI@xn--bcher-kva.example", " li@BÜCHER.example")
    }

    assert len(names) == 1
    assert mail_api.provider_id("call", "other@example.com") not in names
    assert mail_api.provider_id("", "li@example.com") == ""


@pytest.mark.parametrize(
    ("value", "at"),
    [
        (1_767_225_601, datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)),
        (1.5, datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)),
        (None, None),
        (True, None),
        ("1767225601", None),
        (0, None),
        (-1, None),
        (1e300, None),
        (10**30, None),
        ([], None),
    ],
)
def test_moments(value: Any, at: datetime | None) -> None:
    assert mail_api.moment(value) == at


@pytest.mark.parametrize(
    "text", ["", "5.1", "5.1.1 x", "6.1.1", "5.1.1111", "5.1.\uff11", 5.1, None]
)
def test_what_is_no_status_code(text: object) -> None:
    assert mail_api.status_code(text) == ""
    assert mail_api.status_code(" 4.4.7 ") == "4.4.7"


@pytest.mark.parametrize(
    "text", ["", "1e9", "-5", "²", "1" * 13, "1772366399 ", " 1772366399", "\ud800"]
)
def test_odd_timestamps_are_not_recent(text: str) -> None:
    assert not mail_api.is_recent(text, now_ms=1_772_366_400_000, max_age=60)
    assert mail_api.is_recent("1772366399", now_ms=1_772_366_400_000, max_age=60)


@pytest.mark.parametrize("text", ["", "AAAA", "ü", "not base64"])
def test_what_is_no_public_key(text: str) -> None:
    with pytest.raises(ValueError, match="not a P-256 public key"):
        ecdsa.public_key(text)

"""Mails to the address in List-Unsubscribe: whose wish they are, and which are nobody's."""

import re
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import wire
from gateway.providers import leaving, smtp, verp

Make = Callable[..., smtp.Provider]
Message = Callable[..., wire.Message]

REFERENCE = "0195500a-5c00-7000-8000-000000000001-0-1-2"
SECRET = "a secret of the mail system"
PATTERN = "unsubscribe+{reference}@example.com"
EXITS = verp.Addresses(PATTERN, [SECRET], account="main", purpose="unsubscribe")
EXIT = EXITS.make(REFERENCE)
BOUNCES = verp.Addresses(PATTERN, [SECRET], account="main")


def mail(**fields: str) -> bytes:
    fields = {"From": "li@example.net", **fields}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", "unsubscribe", ""]).encode()


def read(raw: bytes, *, to: str = "") -> str:
    return leaving.read(raw, envelope_to=to, addresses=EXITS)


@pytest.mark.parametrize(
    ("raw", "to"),
    [
        (mail(Subject="unsubscribe"), EXIT),
        (mail(), f"<{EXIT.upper()}>"),
        (mail(Delivered_To=EXIT), ""),
        (mail(To=f"Leave <{EXIT}>", Auto_Submitted="auto-generated"), ""),
    ],
)
def test_address_says_of_which_message_whoever_writes(raw: bytes, to: str) -> None:
    assert read(raw, to=to) == REFERENCE


@pytest.mark.parametrize(
    ("raw", "to"),
    [
        (mail(Subject="unsubscribe"), "unsubscribe@example.com"),
        (mail(Subject=EXIT), ""),
        (mail(), EXIT.replace(EXIT[14], "2" if EXIT[14] != "2" else "3")),
        (mail(), BOUNCES.make(REFERENCE)),
        (mail(To=EXIT), BOUNCES.make(REFERENCE)),
        (mail(Auto_Submitted="auto-replied (vacation)"), EXIT),
        (mail(Content_Type="multipart/report; report-type=delivery-status; boundary=b"), EXIT),
        (b"", EXIT),
    ],
)
def test_what_is_forged_or_of_a_machine_is_nobodys_wish(raw: bytes, to: str) -> None:
    assert read(raw, to=to) == ""


@given(raw=st.binary(max_size=300), to=st.text(max_size=100))
def test_any_mail_is_a_wish_or_none(raw: bytes, to: str) -> None:
    assert read(raw, to=to) == ""


@pytest.mark.parametrize(
    ("address", "uri"),
    [
        ("u+a2@example.com", "mailto:u+a2@example.com?subject=unsubscribe"),
        ("u&v?%+a2@example.com", "mailto:u%26v%3F%25+a2@example.com?subject=unsubscribe"),
    ],
)
def test_address_is_whole_in_its_uri(address: str, uri: str) -> None:
    assert leaving.uri(address) == uri


def posted(raw: bytes, headers: Mapping[str, str]) -> wire.HttpRequest:
    return wire.HttpRequest(
        method="POST",
        url="https://gw.example.com/v1/receipts/main",
        headers={"content-type": "message/rfc822", "x-receipt-secret": SECRET, **headers},
        body=raw,
    )


def test_account_knows_its_own_address_and_is_told_no_receipt_by_it(
    make: Make, message: Message
) -> None:
    provider = make("smtp", unsubscribe=PATTERN, receipt_secret=SECRET)
    content = wire.Content(text="news", extra={"can_leave": True})
    ((_, envelope),) = provider.build_envelopes([message(reference=REFERENCE, content=content)])
    found = re.search(rb"<mailto:([^?]+)", envelope.content)
    assert found is not None

    request = posted(mail(), {"x-envelope-to": found[1].decode()})

    assert provider.verify_receipt(request)
    assert provider.read_leaving(request) == [REFERENCE]
    assert provider.read_receipts(request) == ()


def test_account_without_the_setting_takes_no_such_mail(make: Make) -> None:
    provider = make("smtp", receipt_secret=SECRET)

    assert provider.read_leaving(posted(mail(), {"x-envelope-to": EXIT})) == ()


def test_renewed_secret_still_proves_old_addresses(make: Make) -> None:
    provider = make(
        "smtp",
        unsubscribe=PATTERN,
        receipt_secret="a newer secret of it",
        receipt_secret_previous=SECRET,
    )

    assert provider.read_leaving(posted(mail(), {"x-envelope-to": EXIT})) == [REFERENCE]

"""Mails that come back, of every form, and by which name they are believed."""

import email
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest
from flufl.bounce import scan_message
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import errors, wire
from gateway.model.wire import ReceiptEvent
from gateway.providers import bounces, smtp, verp

Make = Callable[..., smtp.Provider]
Message = Callable[..., wire.Message]

HERE = Path(__file__).parent / "smtp"
REFERENCE = "0195500a-5c00-7000-8000-000000000001-0-0-0"
OTHER = "0195500a-5c00-7000-8000-000000000002-0-1-0"
SECRET = "a secret of the mail system"
ADDRESSES = verp.Addresses("bounces+{reference}@example.com", [SECRET], account="main")
TAGGED = ADDRESSES.make(REFERENCE)


def recorded(name: str) -> bytes:
    return (HERE / f"{name}.eml").read_bytes().replace(b"@VERP@", TAGGED.encode())


def read(raw: bytes, *, to: str = "", tags: bool = True) -> list[wire.DeliveryReceipt]:
    return list(bounces.read(raw, envelope_to=to, addresses=ADDRESSES if tags else None))


def dsn(
    *,
    action: str = "failed",
    status: str = "5.1.1",
    diagnostic: str = "",
    envelope_id: str = REFERENCE,
    returned: str = "",
    more: str = "",
) -> bytes:
    lines = [
        "From: MAILER-DAEMON@mx.example.net",
        "Auto-Submitted: auto-replied",
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"',
        *("", "--b", "", "It did not go.", "--b", "Content-Type: message/delivery-status", ""),
        "Reporting-MTA: dns; mx.example.net",
        *([f"Original-Envelope-Id: {envelope_id}"] if envelope_id else []),
        *("", "Final-Recipient: rfc822; li@example.net", f"Action: {action}", f"Status: {status}"),
        *([f"Diagnostic-Code: {diagnostic}"] if diagnostic else []),
        *([more] if more else []),
        *(["--b", "Content-Type: text/rfc822-headers", "", returned] if returned else []),
        "--b--",
        "",
    ]
    return "\r\n".join(lines).encode()


BOUNCED, EXPIRED = ReceiptEvent.BOUNCED, ReceiptEvent.EXPIRED


@pytest.mark.parametrize(
    ("name", "event", "code", "suppress"),
    [
        ("dsn_unknown_user", BOUNCED, "550 5.1.1", True),
        ("dsn_mailbox_full", BOUNCED, "552 5.2.2", False),
        ("dsn_expired", EXPIRED, "450 4.4.1", False),
        ("dsn_delayed", ReceiptEvent.ACCEPTED, "4.4.1", False),
        ("dsn_delivered", ReceiptEvent.DELIVERED, "2.0.0", False),
        ("dsn_utf8", BOUNCED, "550 5.1.1", True),
        ("arf_abuse", ReceiptEvent.COMPLAINED, "abuse", True),
        ("arf_not_spam", ReceiptEvent.UNKNOWN, "not-spam", False),
        ("qmail", BOUNCED, "550 5.1.1", True),
        ("exim", BOUNCED, "550", True),
    ],
)
def test_recorded_mail_says_what_happened(
    name: str, event: ReceiptEvent, code: str, suppress: bool
) -> None:
    (receipt,) = read(recorded(name))

    assert receipt.reference == REFERENCE
    assert (receipt.event, receipt.code, receipt.suppress) == (event, code, suppress)
    assert "@" not in receipt.detail


@pytest.mark.parametrize("name", ["vacation", "letter", "list_post"])
def test_mail_that_is_no_bounce_says_nothing(name: str) -> None:
    assert read(recorded(name)) == []


@pytest.mark.parametrize(
    "name", ["dsn_unknown_user", "dsn_mailbox_full", "dsn_expired", "qmail", "exim"]
)
def test_another_reader_takes_the_recordings_for_bounces_as_well(name: str) -> None:
    assert scan_message(email.message_from_bytes(recorded(name))) == {b"li@example.net"}


@pytest.mark.parametrize("name", ["dsn_unknown_user", "arf_abuse", "qmail", "dsn_utf8"])
def test_line_ends_and_what_pipes_add_make_no_difference(name: str) -> None:
    raw = recorded(name).replace(b"\r\n", b"\n")

    expected = read(raw)

    assert read(raw.replace(b"\n", b"\r\n")) == expected
    assert read(b"From MAILER-DAEMON  Thu Jan  1 00:00:00 2026\n" + raw) == expected


@pytest.mark.parametrize("name", ["dsn_unknown_user", "arf_abuse", "dsn_utf8"])
def test_report_without_its_end_is_read(name: str) -> None:
    raw = recorded(name)

    assert read(raw.rpartition(b"\n--")[0]) == read(raw)


@pytest.mark.parametrize(
    ("status", "diagnostic", "event", "suppress"),
    [
        ("5.1.1", "", BOUNCED, True),
        ("5.1.10", "smtp; 556 5.1.10 null MX", BOUNCED, True),
        ("5.2.1", "smtp; 550-5.2.1 The account is disabled", BOUNCED, True),
        ("5.0.0", "smtp; 550 No such user here", BOUNCED, True),
        ("5.1.1", "smtp; 550 refused", BOUNCED, True),
        ("5.1.1", "X-Postfix; unknown user: nobody", BOUNCED, True),
        ("5.1.1 (bad mailbox)", "", BOUNCED, True),
        ("4.0.0", "", EXPIRED, False),
        ("4.0.0", "smtp; 550 5.1.1 unknown user", BOUNCED, False),
        ("5.0.0", "smtp; 451 4.3.0 try later", EXPIRED, False),
        ("5.4.7", "smtp; 554 5.4.7 message expired", EXPIRED, False),
        ("4.4.7", "", EXPIRED, False),
        ("4.2.2", "smtp; 452 4.2.2 full", BOUNCED, False),
        ("5.2.2", "", BOUNCED, False),
        ("5.7.1", "smtp; 550 5.7.1 blocked for spam", BOUNCED, False),
        ("5.7.26", "smtp; 550 5.7.26 unauthenticated", BOUNCED, False),
        ("5.3.4", "smtp; 552 5.3.4 too big", BOUNCED, False),
        ("5.4.4", "X-Postfix; host not found", BOUNCED, False),
        ("5.6.7", "smtp; 553 5.6.7 SMTPUTF8 needed", BOUNCED, False),
        ("nonsense", "nonsense", BOUNCED, False),
        ("2.0.0", "smtp; 250 ok", BOUNCED, False),
    ],
)
def test_only_what_is_permanent_about_the_address_bans_it(
    status: str, diagnostic: str, event: ReceiptEvent, suppress: bool
) -> None:
    (receipt,) = read(dsn(status=status, diagnostic=diagnostic))

    assert (receipt.event, receipt.suppress) == (event, suppress)


@pytest.mark.parametrize(
    ("action", "event"),
    [
        ("delivered", ReceiptEvent.DELIVERED),
        ("Relayed (to another system)", ReceiptEvent.SENT),
        ("expanded", ReceiptEvent.SENT),
        ("delayed", ReceiptEvent.ACCEPTED),
        ("vanished", ReceiptEvent.UNKNOWN),
    ],
)
def test_what_is_no_failure_never_bans(action: str, event: ReceiptEvent) -> None:
    (receipt,) = read(dsn(action=action, status="5.1.1"))

    assert (receipt.event, receipt.suppress) == (event, False)


def test_one_of_several_recipients_is_no_reason_to_ban_our_address() -> None:
    delivered = "\r\nFinal-Recipient: rfc822; b@example.net\r\nAction: delivered\r\nStatus: 2.0.0"
    full = delivered.replace("delivered", "failed").replace("2.0.0", "5.2.2")

    (first,) = read(dsn(more=delivered))
    (second,) = read(dsn(more=full))

    assert (first.event, first.suppress) == (ReceiptEvent.DELIVERED, False)
    assert (second.event, second.suppress) == (BOUNCED, False)


def test_time_of_the_attempt_is_kept() -> None:
    at = "Last-Attempt-Date: Sun, 1 Mar 2026 13:00:00 +0100"

    assert read(dsn(more=at))[0].at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert read(dsn(more="Last-Attempt-Date: tomorrow"))[0].at is None


FORGED = TAGGED.replace("@", "a@")
HEADER = f"Message-ID: <{OTHER}@example.com>"


@pytest.mark.parametrize(
    ("to", "envelope_id", "returned", "reference"),
    [
        (TAGGED, OTHER, HEADER, REFERENCE),
        (TAGGED.upper(), OTHER, HEADER, REFERENCE),
        ("", OTHER, f"Return-Path: <{TAGGED}>", REFERENCE),
        ("", OTHER, "", OTHER),
        ("", REFERENCE, HEADER, REFERENCE),
        ("", "", HEADER, OTHER),
        ("", "", f"Message-ID: <1@ses.example>\r\nX-Gateway-Reference: {OTHER}", OTHER),
        ("", "not-ours", "Message-ID: <1@ses.example>", None),
        (FORGED, OTHER, HEADER, None),
        ("bounces+aaaaaaaa@example.com", OTHER, HEADER, None),
        ("", OTHER, f"Return-Path: <{FORGED}>", None),
    ],
)
def test_names_are_believed_in_order_and_none_beside_a_forged_tag(
    to: str, envelope_id: str, returned: str, reference: str | None
) -> None:
    receipts = read(dsn(envelope_id=envelope_id, returned=returned), to=to)

    assert [one.reference for one in receipts] == ([reference] if reference else [])


def test_tag_of_one_message_account_or_secret_is_good_for_no_other() -> None:
    other = verp.Addresses("bounces+{reference}@example.com", [SECRET], account="second")
    renewed = verp.Addresses("bounces+{reference}@example.com", ["new", SECRET], account="main")
    start = len("bounces+")
    swapped = ADDRESSES.make(OTHER)[: start + 31] + TAGGED[start + 31 :]

    assert ADDRESSES.read(TAGGED) == renewed.read(TAGGED) == REFERENCE
    for text in (other.make(REFERENCE), renewed.make(REFERENCE), swapped):
        with pytest.raises(verp.Forged):
            ADDRESSES.read(text)


@given(
    id_=st.uuids(),
    numbers=st.tuples(*[st.integers(0, 0xFFFFFFF)] * 3) | st.tuples(*[st.integers(0, 127)] * 3),
)
def test_address_comes_back_as_its_reference_or_is_not_made(
    id_: object, numbers: tuple[int, int, int]
) -> None:
    reference = "-".join([str(id_), *(f"{number:x}" for number in numbers)])

    address = ADDRESSES.make(reference)

    assert not address or ADDRESSES.read(f"<{address}>") == reference
    assert len(address.partition("@")[0]) <= 64
    assert address or max(numbers) > 127


@given(st.text(max_size=90))
@settings(deadline=None, max_examples=50)
def test_no_text_passes_for_an_address_of_ours(text: str) -> None:
    assert TAGGED not in text
    try:
        assert ADDRESSES.read(f"bounces+{text}@example.com") == ""
    except verp.Forged:
        return


MULTIPART = b'Content-Type: multipart/mixed; boundary="b"\n\n'
NESTED = b"".join(
    b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(20_000)
)


@pytest.mark.parametrize(
    "raw",
    [
        NESTED,
        b"From: a\n" + b"x" * 4_000_000,
        b"From: a\n" + b" fold\n" * 500_000,
        b"A: b\n" * 500_000,
        MULTIPART + b"--b\n" * 500_000,
        MULTIPART + b"--b" + b" " * 1_000_000,
        MULTIPART + b"\n--b\nContent-Type: message/delivery-status\n\n" * 20_000,
        b"From: mailer-daemon@x\n\n" + b"550 5.1.1 " * 200_000,
        b"From: mailer-daemon@x\n\n" + b"5.5." * 500_000,
        b"From: mailer-daemon@x\n\n" + b"-" * 2_000_000,
        b"Content-Type: " + b"; boundary=" * 100_000 + b"\n\nx",
        b'Content-Type: multipart/report; boundary="\xff\xfe"\n\n--\xff\xfe\n\nx',
        b"Content-Type: message/delivery-status\n\n" + b"A: b\n\n" * 300_000,
        b"Content-Type: message/delivery-status\n\n" + (b"\n" + b" " * 1000) * 1000,
        b"Content-Type: message/delivery-status\nContent-Transfer-Encoding: base64\n\n=A=" * 9,
        b"Content-Type: text/plain; charset=nonsense\nReturn-Path: <>\n\n\xff\xfe\x00",
        b"",
        b"\n\n\n",
        b"no field at all",
        b"\x00" * 1000,
        b"From: a\n\n" + b"\r" * 1_000_000,
    ],
    ids=range(21),
)
def test_hostile_mail_is_nothing_or_unreadable_and_takes_no_time(raw: bytes) -> None:
    try:
        assert read(raw, to="x" * 100_000) == []
    except errors.UnreadableReceipt:
        return


PIECES = st.sampled_from(
    [
        *(recorded("dsn_unknown_user").split(b"\n") + recorded("arf_abuse").split(b"\n")),
        *(b"", b"--b", b"--b--", b"\xff", b"Action: failed", b"Status: 5.1.1", MULTIPART),
        b"Content-Type: message/delivery-status",
        b"Content-Transfer-Encoding: base64",
        b"Content-Type: message/feedback-report",
    ]
)


@given(st.binary(max_size=200) | st.lists(PIECES, max_size=60).map(b"\n".join))
@settings(deadline=None, max_examples=300)
def test_any_mail_gives_receipts_with_a_name_or_is_unreadable(raw: bytes) -> None:
    try:
        receipts = read(raw)
    except errors.UnreadableReceipt:
        return
    assert all(one.reference == REFERENCE for one in receipts)
    assert len(receipts) <= 1


@given(data=st.data())
@settings(deadline=None, max_examples=100)
def test_damaged_report_names_our_message_or_none(data: st.DataObject) -> None:
    raw = bytearray(recorded("dsn_unknown_user"))
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        receipts = read(bytes(raw), tags=True)
    except errors.UnreadableReceipt:
        return
    assert all(one.reference == REFERENCE for one in receipts)


def test_report_in_an_encoding_is_read() -> None:
    report = EmailMessage()
    report["From"] = "postmaster@example.net"
    report.add_attachment(
        f"Original-Envelope-Id: {REFERENCE}\n\nFinal-Recipient: utf-8; 李@example.net\n"
        "Action: failed\nStatus: 5.1.1\n".encode(),
        maintype="application",
        subtype="octet-stream",
    )
    raw = report.as_bytes().replace(b"application/octet-stream", b"message/global-delivery-status")

    (receipt,) = read(raw)

    assert b"base64" in raw
    assert (receipt.event, receipt.suppress) == (BOUNCED, True)


@pytest.mark.parametrize("part", [b"message/delivery-status", b"message/feedback-report"])
def test_report_without_what_its_form_requires_is_unreadable(part: bytes) -> None:
    raw = b"From: a@b\nContent-Type: " + part + b"\n\nReporting-MTA: dns; x\n\n"

    with pytest.raises(errors.UnreadableReceipt):
        read(raw)


def post(body: bytes, **headers: str) -> wire.HttpRequest:
    given = {"content-type": "message/rfc822", "x-receipt-secret": SECRET}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    url = "https://gw.example.com/v1/receipts/main"
    return wire.HttpRequest(method="POST", url=url, headers=given, body=body)


def test_posted_mail_is_believed_with_the_secret_alone(make: Make) -> None:
    provider = make("smtp", receipt_secret=SECRET, receipt_secret_previous="old")
    request = post(dsn())

    assert provider.verify_receipt(request)
    assert provider.verify_receipt(post(b"", x_receipt_secret="old"))
    assert [one.reference for one in provider.read_receipts(request)] == [REFERENCE]
    assert provider.answer_receipt(request).status == 204
    for wrong in ("", "wrong", "ü\udcff"):
        assert not provider.verify_receipt(post(b"", x_receipt_secret=wrong))
        assert not make("smtp").verify_receipt(post(b"", x_receipt_secret=wrong))


def test_what_is_not_posted_as_a_mail_is_unreadable(make: Make) -> None:
    with pytest.raises(errors.UnreadableReceipt):
        make("smtp").read_receipts(post(dsn(), content_type="application/json"))


def test_bounce_to_its_own_address_needs_no_other_name(make: Make, message: Message) -> None:
    provider = make(
        "smtp", receipt_secret=SECRET, bounce="bounces+{reference}@b.例え.jp", dsn=False
    )

    ((_, envelope),) = provider.build_envelopes([message()])
    raw = dsn(envelope_id="")

    assert envelope.sender.endswith("@b.xn--r8jz45g.jp")
    (receipt,) = provider.read_receipts(post(raw, x_envelope_to=envelope.sender))
    assert receipt.reference == message().reference

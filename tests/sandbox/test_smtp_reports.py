"""Mails that come back from the simulated relay, read by the standard library."""

import email
import email.policy
from email.message import EmailMessage
from typing import Any

import pytest

from gateway.model.wire import ReceiptEvent
from gateway.sandbox import smtp_reports

CONTENT = b"From: a@example.com\r\nMessage-ID: <1@example.com>\r\n\r\nsecret\r\n"


def sent(**changes: str) -> smtp_reports.Sent:
    fields = {"sender": "bounces@example.com", "recipient": "li@example.net", **changes}
    return smtp_reports.Sent(content=CONTENT, **fields)


def parts(event: ReceiptEvent, **changes: str) -> list[EmailMessage]:
    raw = smtp_reports.compose(sent(**changes), event)
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    assert not mail.defects
    assert mail["Return-Path"] == "<>"
    return list(mail.iter_parts())  # type: ignore[arg-type]


def test_failure_is_told_in_groups_of_fields() -> None:
    words, machine, returned = parts(
        ReceiptEvent.BOUNCED, envelope_id="a+2Bb", original="rfc822;li+2Bx@example.net"
    )

    groups: Any = machine.get_payload()
    about, recipient = groups
    assert words.get_content_type() == "text/plain"
    assert machine.get_content_type() == "message/delivery-status"
    assert about["Original-Envelope-Id"] == "a+b"
    assert recipient["Original-Recipient"] == "rfc822;li+x@example.net"
    assert (recipient["Action"], recipient["Status"]) == ("failed", "5.1.1")
    assert "Message-ID: <1@example.com>" in returned.get_content()
    assert "secret" not in returned.get_content()


def test_complaint_names_where_the_mail_came_from() -> None:
    _, machine, returned = parts(ReceiptEvent.COMPLAINED)

    assert machine.get_content_type() == "message/feedback-report"
    assert "Feedback-Type: abuse" in machine.as_string()
    assert returned.get_content_type() == "message/rfc822"


@pytest.mark.parametrize(
    ("notify", "told"),
    [
        ("", {ReceiptEvent.BOUNCED, ReceiptEvent.EXPIRED, ReceiptEvent.ACCEPTED}),
        ("FAILURE", {ReceiptEvent.BOUNCED, ReceiptEvent.EXPIRED}),
        (
            "SUCCESS,FAILURE",
            {
                *(ReceiptEvent.DELIVERED, ReceiptEvent.SENT),
                *(ReceiptEvent.BOUNCED, ReceiptEvent.EXPIRED),
            },
        ),
        ("NEVER", set()),
    ],
)
def test_only_what_was_asked_for_is_told(notify: str, told: set[ReceiptEvent]) -> None:
    events = set(ReceiptEvent) - {ReceiptEvent.COMPLAINED, ReceiptEvent.FAILED}

    found = {one for one in events if smtp_reports.compose(sent(notify=notify), one)}

    assert found == told


def test_nothing_comes_back_to_an_empty_sender() -> None:
    assert not smtp_reports.compose(sent(sender=""), ReceiptEvent.BOUNCED)

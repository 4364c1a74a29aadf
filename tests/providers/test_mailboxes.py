"""Mailboxes of settings, and headers of lists."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.content import mime
from gateway.model import wire
from gateway.providers import base, mailboxes


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("a@example.com", "", "a@example.com"),
        (" Example <a@example.com> ", "Example", "a@example.com"),
        ('"Ex, Ample" <a@example.com>', "Ex, Ample", "a@example.com"),
        (r'"E \"x\"" <a@example.com>', 'E "x"', "a@example.com"),
        ("Müller <a@müller.example>", "Müller", "a@xn--mller-kva.example"),
    ],
)
def test_mailboxes_are_read(text: str, name: str, address: str) -> None:
    assert mailboxes.read(text) == mime.Mailbox(name=name, address=address)


@pytest.mark.parametrize(
    "text",
    ["", "a", "a@", "<>", "a b@example.com", "x <a@b.c> y", "x\r\nBcc: y <a@b.c>", "a@\ud800"],
)
def test_what_is_no_mailbox_is_told_by_its_key(text: str) -> None:
    assert mailboxes.read(text) is None
    assert mailboxes.faults(required={"from": text}, optional={})[0].startswith("from: ")


def test_reply_to_may_be_missing_and_from_may_not() -> None:
    assert mailboxes.faults(required={"from": "a@example.com"}, optional={"reply_to": ""}) == []
    assert len(mailboxes.faults(required={"from": ""}, optional={"reply_to": "x"})) == 2


def test_unfit_uris_cannot_end_their_header() -> None:
    uris = ["https://u.example.com/a\r\nBcc: x@y.org", 7, "<x>", None]

    headers = mailboxes.list_headers(wire.Content(extra={"list_unsubscribe": uris}))

    assert headers == [
        ("List-Unsubscribe", "<https://u.example.com/a%0D%0ABcc:%20x@y.org>, <%3Cx%3E>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    ]


@pytest.mark.parametrize("kind", ["mailgun", "postmark", "sendgrid", "ses", "smtp"])
@pytest.mark.parametrize(
    ("category", "uri", "automatic"),
    [
        ("otp", "", True),
        ("marketing", "", False),
        ("digest", "https://u.example.com/1", False),
    ],
)
def test_only_what_is_no_post_of_a_list_is_marked_as_automatic(
    make: Callable[..., Any],
    message: Callable[..., wire.Message],
    kind: str,
    category: str,
    uri: str,
    automatic: bool,
) -> None:
    content = wire.Content(subject="x", text="x", extra={"list_unsubscribe": uri})
    one = message(category=category, content=content, channel=wire.Channel.EMAIL)
    provider = make(kind)

    if isinstance(provider, base.SmtpProvider):
        [(_, envelope)] = provider.build_envelopes([one])
        mail = envelope.content
    else:
        [(_, request)] = provider.build_requests([one])
        mail = request.body

    assert (b"Auto-Submitted" in mail) is automatic
    assert (b"List-Unsubscribe-Post" in mail) is bool(uri)

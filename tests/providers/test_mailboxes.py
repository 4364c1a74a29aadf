"""Mailboxes of settings, and headers of lists."""

import pytest

from gateway.content import mime
from gateway.model import wire
from gateway.providers import mailboxes


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

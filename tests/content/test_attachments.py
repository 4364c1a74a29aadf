"""Files of an email: what may be attached, and which field is named when it may not."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api import limits
from gateway.content import attachments, templates
from gateway.model import wire

PDF: dict[str, Any] = {
    "name": "invoice.pdf",
    "type": "application/pdf",
    "data": base64.b64encode(b"%PDF-1.7").decode(),
}
LOGO: dict[str, Any] = {"name": "a.png", "type": "image/png", "data": "AAAA", "inline": "logo"}


def posted(*files: Any, channel: str = "email") -> dict[str, Any]:
    return {"text": "hello", channel: {"attachments": list(files)}}


def fault(*files: Any, channel: str = "email") -> tuple[str, str]:
    """(field, reason) of a content that is refused."""
    with pytest.raises(templates.ContentFault) as caught:
        templates.from_content(posted(*files, channel=channel), wire.Channel(channel))
    return caught.value.field, caught.value.reason


def test_files_reach_the_provider_as_posted() -> None:
    content = templates.from_content(posted(PDF, LOGO), wire.Channel.EMAIL)

    assert [(one.name, one.type, one.inline) for one in attachments.of(content)] == [
        ("invoice.pdf", "application/pdf", ""),
        ("a.png", "image/png", "logo"),
    ]


def test_other_channels_of_the_message_do_without_files() -> None:
    content = templates.from_content(posted(PDF), wire.Channel.SMS)

    assert content.extra == {}


def test_files_alone_are_something_to_send() -> None:
    content = templates.from_content({"email": {"attachments": [PDF]}}, wire.Channel.EMAIL)

    assert not templates.is_empty(content)


def test_no_other_channel_carries_files() -> None:
    assert fault(PDF, channel="sms") == ("sms.attachments", "only email carries files")


@pytest.mark.parametrize(
    ("changed", "field", "reason"),
    [
        ({"name": "setup.exe"}, "name", "a program"),
        ({"name": "SETUP.EXE"}, "name", "a program"),
        ({"name": "setup.exe. ."}, "name", "a program"),
        ({"name": " a.pdf"}, "name", "begins or ends with a blank"),
        ({"name": "a.exe "}, "name", "begins or ends with a blank"),
        ({"name": "invoice.pdf.js"}, "name", "a script"),
        ({"name": "a.lnk"}, "name", "a shortcut"),
        ({"name": "a.iso"}, "name", "a disk image"),
        ({"name": ".bat"}, "name", "a script"),
        ({"name": ""}, "name", "not a file name"),
        ({"name": ".."}, "name", "not a file name"),
        ({"name": "../etc/passwd"}, "name", "not a file name"),
        ({"name": "a\\b.pdf"}, "name", "not a file name"),
        ({"name": "a\r\nBcc: x@example.com"}, "name", "not a file name"),
        ({"name": "a\ud800.pdf"}, "name", "not a file name"),
        ({"name": "x" * 201}, "name", "not a file name"),
        ({"name": 7}, "name", "not a text"),
        ({"type": "pdf"}, "type", "not a media type"),
        ({"type": "text/plain; charset=utf-8"}, "type", "not a media type"),
        ({"type": "text/plain\r\nX: y"}, "type", "not a media type"),
        ({"type": "message/rfc822"}, "type", "cannot be attached"),
        ({"type": "Multipart/mixed"}, "type", "cannot be attached"),
        ({"data": ""}, "data", "not base64"),
        ({"data": "===="}, "data", "not base64"),
        ({"data": "A==="}, "data", "not base64"),
        ({"data": "AAA"}, "data", "not base64"),
        ({"data": "AA=A"}, "data", "not base64"),
        ({"data": "AA\r\n"}, "data", "not base64"),
        ({"data": "AA-_"}, "data", "not base64"),
        ({"data": "éééé"}, "data", "not base64"),
        ({"inline": "a b"}, "inline", "not an id"),
        ({"inline": "<logo>"}, "inline", "not an id"),
        ({"inline": "a@b@c"}, "inline", "not an id"),
        ({"inline": "x" * 79}, "inline", "not an id"),
    ],
)
def test_file_that_cannot_go_is_refused_by_its_field(
    changed: dict[str, Any], field: str, reason: str
) -> None:
    found = fault(PDF, {**PDF, **changed})

    assert found[0] == f"email.attachments[1].{field}"
    assert reason in found[1]


def test_reason_repeats_nothing_that_was_posted() -> None:
    assert "Li Lei" not in fault({**PDF, "name": "Li Lei/secret.pdf"})[1]


@pytest.mark.parametrize("files", ["text", {"name": "x"}, 7], ids=type)
def test_files_are_a_list(files: Any) -> None:
    with pytest.raises(templates.ContentFault) as caught:
        templates.from_content({"email": {"attachments": files}}, wire.Channel.EMAIL)

    assert caught.value.field == "email.attachments"


def test_file_is_a_table_of_known_fields() -> None:
    assert fault("x")[0] == "email.attachments[0]"
    assert fault({**PDF, "url": "https://example.com"})[0] == "email.attachments[0]"


def test_two_pictures_with_one_id_are_refused() -> None:
    assert fault(LOGO, PDF, LOGO) == ("email.attachments[0].inline", "another file has this id")


def test_count_is_bounded() -> None:
    field, reason = fault(*[PDF] * (attachments.MAX_COUNT + 1))

    assert (field, reason) == ("email.attachments", "more than 20 files")


def test_bytes_of_all_together_are_bounded() -> None:
    half = {**PDF, "data": "A" * (attachments.MAX_BYTES // 2 // 3 * 4)}

    templates.from_content(posted(half, half), wire.Channel.EMAIL)
    together = fault(half, half, PDF)
    alone = fault({**PDF, "data": "A" * (attachments.MAX_BYTES // 3 * 4 + 8)})

    assert together == ("email.attachments", "more than 10485760 bytes together")
    assert alone == ("email.attachments[0].data", "more than 10485760 bytes")


@given(data=st.binary(min_size=1, max_size=100))
def test_size_is_that_of_the_file(data: bytes) -> None:
    (one,) = attachments.read([{**PDF, "data": base64.b64encode(data).decode()}])

    assert one.size_bytes == len(data)


def test_edge_has_the_same_bounds() -> None:
    assert limits.MAX_FILES == attachments.MAX_COUNT
    assert limits.MAX_FILE_NAME == attachments.MAX_NAME
    assert limits.MAX_FILE_TYPE == attachments.MAX_TYPE
    assert limits.MAX_FILE_ID == attachments.MAX_CID
    assert limits.MAX_FILE == attachments.MAX_BYTES // 3 * 4 + 4

"""Messages built by joining bytes, read back by the standard library's parser."""

import base64
import email
import email.policy
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.headerregistry import AddressHeader
from email.message import EmailMessage, MIMEPart

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.content import mime
from gateway.content.attachments import Attachment

REFERENCE = "0190a000-0000-7000-8000-000000000000-0-0-0"
SENDER = mime.Mailbox(name="Example", address="no-reply@example.com")
NOW_MS = 1_767_225_600_123

#: What a header may hold: no control characters, no halves of characters.
WORDS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[*map(chr, range(32)), "\x7f"]),
    max_size=200,
)
#: Bodies: anything that is Unicode.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=3000)
#: Mostly ASCII with long lines, as HTML is.
MARKUP = st.lists(
    st.sampled_from(["<p>", "x" * 500, "x" * 997, " ", "=", ".", "\n", "\r\n", "é", "码", "\t"])
).map("".join)


def build(
    *,
    sender: mime.Mailbox = SENDER,
    to: str = "li@example.com",
    subject: str = "Hello",
    text: str = "",
    html: str = "",
    reply_to: mime.Mailbox | None = None,
    unsubscribe: list[str] | None = None,
    automatic: bool = True,
    feedback_id: str = "",
    files: Sequence[Attachment] = (),
) -> bytes:
    return mime.build(
        sender=sender,
        to=to,
        reference=REFERENCE,
        now_ms=NOW_MS,
        subject=subject,
        text=text,
        html=html,
        reply_to=reply_to,
        unsubscribe=unsubscribe or [],
        automatic=automatic,
        feedback_id=feedback_id,
        attachments=files,
    )


def parse(message: bytes) -> EmailMessage:
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    defects = [*parsed.defects]
    for part in parsed.walk():
        defects += part.defects
        for value in part.values():
            defects += value.defects
    assert not defects
    return parsed


def payload(part: MIMEPart) -> str:
    """Text of a part with line ends as `\\n`, without those at its end."""
    raw = part.get_payload(decode=True)
    assert isinstance(raw, bytes)
    return raw.decode().replace("\r\n", "\n").rstrip("\n")


def lines_of(text: str) -> str:
    """A text as `payload` gives it."""
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")


def check_lines(message: bytes) -> None:
    assert message.endswith(b"\r\n")
    lines = message.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert not any(b"\r" in line or b"\n" in line for line in lines)


def test_ordinary_message_has_the_headers_it_needs() -> None:
    parsed = parse(build(text="Your code is 1.", html="<p>Your code is <b>1</b>.</p>"))

    assert parsed["From"] == "Example <no-reply@example.com>"
    assert parsed["To"] == "li@example.com"
    assert parsed["Subject"] == "Hello"
    assert parsed["Message-ID"] == f"<{REFERENCE}@example.com>"
    assert parsed["MIME-Version"] == "1.0"
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert parsed["Date"].datetime == datetime.fromtimestamp(NOW_MS // 1000, UTC)
    assert parsed["Reply-To"] is None
    assert parsed["List-Unsubscribe"] is None
    assert {name: len(parsed.get_all(name, [])) for name in set(parsed.keys())} == dict.fromkeys(
        parsed.keys(), 1
    )


def test_text_comes_before_html() -> None:
    parsed = parse(build(text="text", html="<p>html</p>"))

    plain, html = parsed.iter_parts()
    assert parsed.get_content_type() == "multipart/alternative"
    assert (plain.get_content_type(), payload(plain)) == ("text/plain", "text")
    assert (html.get_content_type(), payload(html)) == ("text/html", "<p>html</p>")


@pytest.mark.parametrize(
    ("text", "html", "kind"),
    [("a", "", "text/plain"), ("", "<p>", "text/html"), ("", "", "text/plain")],
)
def test_single_text_is_a_single_part(text: str, html: str, kind: str) -> None:
    parsed = parse(build(text=text, html=html))

    assert parsed.get_content_type() == kind
    assert payload(parsed) == text or html


@given(subject=WORDS)
@example("=?utf-8?B?aGFja2Vk?=")
@example("  spaces  in  odd places ")
@example("x" * 2000)
@example("word " * 400)
@example("验" * 300)
@example("👩‍👩‍👧‍👦" * 40)
@example("\u2028\u0085 separators")
def test_subject_comes_back_as_it_was(subject: str) -> None:
    message = build(subject=subject)

    check_lines(message)
    head = message.partition(b"\r\n\r\n")[0]
    assert head.isascii()
    assert all(len(line) <= 78 for line in head.split(b"\r\n"))
    assert decode_words(raw_header(message, "Subject")) == subject


def raw_header(message: bytes, name: str) -> str:
    """The body of a header, unfolded."""
    header = re.search(rb"\r\n%s: ([^\r]*(?:\r\n [^\r]*)*)" % name.encode(), message)
    assert header is not None
    return header[1].replace(b"\r\n", b"").decode("ascii")


def decode_words(value: str) -> str:
    """RFC 2047 §6.2 by the older of the standard library's decoders.

    The newer one leaves a space between the encoded words of a phrase.
    """
    return str(make_header(decode_header(value)))


@given(name=WORDS)
@example('Say "hi" \\ now')
@example("Doe, John <x@evil.example>")
@example("J. Doe (sales)")
@example("=?utf-8?B?aGFja2Vk?=")
@example("名" * 100)
@example("A" * 300)
@example(" x ")
def test_display_name_comes_back_as_it_was_and_adds_no_address(name: str) -> None:
    sender = mime.Mailbox(name=name, address="a@example.com")

    message = build(sender=sender, reply_to=sender)

    check_lines(message)
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    for header in ("From", "Reply-To"):
        value = parsed[header]
        assert isinstance(value, AddressHeader)
        (address,) = value.addresses
        assert address.addr_spec == "a@example.com"
        phrase = raw_header(message, header).rpartition("<")[0].rstrip(" ")
        if phrase.startswith('"'):
            phrase = re.sub(r"\\(.)", r"\1", phrase[1:-1])
        assert decode_words(phrase) == name


@given(text=TEXT | MARKUP, html=TEXT | MARKUP)
@example(text="a\r\nb\rc\nd", html="x" * 5000)
@example(text=".\n..\n.", html="From me\n\nFrom you")
@example(text="trailing  \n \t\n\n\n", html="é = =3D =\n")
@example(text="\x00\x1a\x0b\x0c\x1c", html="\x85\u2028")
@example(text=f"--=_{REFERENCE}", html=f"\n--=_{REFERENCE}--\n")
def test_texts_come_back_as_they_were(text: str, html: str) -> None:
    message = build(text=text, html=html)

    check_lines(message)
    assert message.isascii()
    assert not re.search(rb"[^\t\r\n -~]", message)
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    found = [payload(part) for part in parsed.walk() if not part.is_multipart()]
    assert found == [lines_of(one) for one in (text, html) if one] or not (text or html)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain", "7bit"),
        ("x" * 998, "7bit"),
        ("y\n" + "x" * 998 + "\nz", "7bit"),
        ("x" * 999, "quoted-printable"),
        ("y\n" * 999 + "x" * 999, "quoted-printable"),
        ("mostly ascii, with one é in it", "quoted-printable"),
        ("a\x00b and more than six octets", "quoted-printable"),
        ("您的验证码是 123456", "base64"),
    ],
)
def test_encoding_fits_the_text(text: str, encoding: str) -> None:
    parsed = parse(build(text=text))

    assert parsed["Content-Transfer-Encoding"] == encoding
    assert payload(parsed) == text


@pytest.mark.parametrize("bad", [chr(code) for code in (*range(32), 127)])
def test_control_character_in_a_header_is_refused(bad: str) -> None:
    evil = f"a{bad}Bcc: x@evil.example"
    uri = f"https://u.example/{bad}"
    attempts: list[Callable[[], bytes]] = [
        lambda: build(subject=evil),
        lambda: build(sender=mime.Mailbox(name=evil, address="a@example.com")),
        lambda: build(reply_to=mime.Mailbox(name=evil, address="a@example.com")),
        lambda: build(to=f"a{bad}@example.com"),
        lambda: build(to=f"a@example.com{bad}"),
        lambda: build(to=f'"a{bad}"@example.com'),
        lambda: build(sender=mime.Mailbox(address=f"a{bad}@example.com")),
        lambda: build(unsubscribe=[uri]),
    ]

    for refused in attempts:
        with pytest.raises(ValueError, match=r"control|address|URI"):
            refused()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "a@",
        "@b",
        "a b@c.d",
        "a@b, c@d",
        "a,b@c.d",
        "a@b>",
        "<a@b>",
        "a@b (c)",
        "a..b@c",
        ".a@b",
    ],
)
def test_address_that_a_header_could_misread_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="not an email address"):
        build(to=address)


@pytest.mark.parametrize(
    "address", ["a@b", "a.b+c@d.example", '"a b, c"@d.example', "o'x@d.example"]
)
def test_address_comes_back_as_one(address: str) -> None:
    parsed = parse(build(to=address))

    (found,) = parsed["To"].addresses
    assert found.addr_spec == address


def test_address_outside_ascii_is_written_in_utf_8() -> None:
    assert "\r\nTo: 李@example.com\r\n".encode() in build(to="李@example.com")


def test_unsubscription_is_one_click_with_exactly_one_https_uri() -> None:
    https, mail = "https://u.example.com/u/8f3c?x=1,2", "mailto:unsub@example.com?subject=8f3c"

    both = parse(build(unsubscribe=[https, mail], automatic=False))
    only_mail = parse(build(unsubscribe=[mail]))
    two = parse(build(unsubscribe=[https, https + "0"]))
    insecure = parse(build(unsubscribe=[https, "http://u.example.com/"]))

    assert both["List-Unsubscribe"] == f"<{https}>, <{mail}>"
    assert both["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert both["Auto-Submitted"] is None
    assert only_mail["List-Unsubscribe-Post"] is None
    assert two["List-Unsubscribe-Post"] is None
    assert insecure["List-Unsubscribe-Post"] is None


@pytest.mark.parametrize("uri", ["https://a b", "<https://a>", "https://ü", "", "x" * 1000])
def test_uri_that_a_header_cannot_hold_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="URI"):
        build(unsubscribe=[uri])


def test_half_a_character_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        build(text="\ud800")
    with pytest.raises(ValueError, match="surrogates"):
        build(subject="\ud800")


def test_same_arguments_give_the_same_bytes() -> None:
    assert build(text="a", html="b") == build(text="a", html="b")


def file(name: str = "a.pdf", data: bytes = b"%PDF-1.7", *, inline: str = "") -> Attachment:
    kind = "image/png" if inline else "application/pdf"
    return Attachment(
        name=name, type=kind, data=base64.b64encode(data).decode("ascii"), inline=inline
    )


def tree(part: MIMEPart) -> object:
    """Media types, nested as the parts are."""
    if part.is_multipart():
        return [part.get_content_type(), *(tree(one) for one in part.iter_parts())]
    return part.get_content_type()


TEXTS = ["multipart/alternative", "text/plain", "text/html"]


@pytest.mark.parametrize(
    ("text", "html", "files", "expected"),
    [
        ("t", "", [file()], ["multipart/mixed", "text/plain", "application/pdf"]),
        ("", "<p>", [file()], ["multipart/mixed", "text/html", "application/pdf"]),
        ("", "", [file()], ["multipart/mixed", "text/plain", "application/pdf"]),
        ("t", "<p>", [file()], ["multipart/mixed", TEXTS, "application/pdf"]),
        ("t", "<p>", [file(inline="logo")], ["multipart/related", TEXTS, "image/png"]),
        ("", "<p>", [file(inline="logo")], ["multipart/related", "text/html", "image/png"]),
        ("t", "", [file(inline="logo")], ["multipart/mixed", "text/plain", "image/png"]),
        (
            "t",
            "<p>",
            [file(), file(inline="logo"), file("b.pdf")],
            [
                "multipart/mixed",
                ["multipart/related", TEXTS, "image/png"],
                "application/pdf",
                "application/pdf",
            ],
        ),
    ],
)
def test_parts_are_nested_from_the_texts_outwards(
    text: str, html: str, files: list[Attachment], expected: object
) -> None:
    parsed = parse(build(text=text, html=html, files=files))

    assert tree(parsed) == expected


def test_pictures_are_found_by_their_ids_and_files_by_their_names() -> None:
    parsed = parse(build(text="t", html="<img src='cid:logo@x'>", files=[file(inline="logo@x")]))
    picture = list(parsed.iter_parts())[1]

    assert picture["Content-ID"] == "<logo@x>"
    assert picture.get_content_disposition() == "inline"
    assert picture.get_filename() == "a.pdf"
    assert parsed.get_param("type") == "multipart/alternative"  # RFC 2387 §3.1


@given(data=st.binary(min_size=1, max_size=5000))
def test_file_arrives_as_it_was(data: bytes) -> None:
    message = build(text="t", files=[file(data=data)])

    (attached,) = parse(message).iter_attachments()
    assert attached.get_payload(decode=True) == data
    assert attached.get_content_disposition() == "attachment"
    assert all(len(line) <= 78 for line in message.split(b"\r\n"))


@given(
    name=st.text(
        st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters=["/", "\\"]),
        min_size=1,
        max_size=200,
    ).filter(lambda name: name == name.strip())
)
@example("发票.pdf")
@example("x" * 200)
@example("€" * 200)
@example('quoted "name".pdf')
@example("100%.pdf")
@example("it's.pdf")
@example("=?utf-8?Q?x?=")
@example("utf-8''x")
def test_name_of_a_file_arrives_as_it_was(name: str) -> None:
    message = build(text="t", files=[file(name)])

    (attached,) = parse(message).iter_attachments()
    assert attached.get_filename() == name
    assert message.isascii()
    assert all(len(line) <= 78 for line in message.split(b"\r\n"))


def test_boundaries_differ_at_each_level() -> None:
    parsed = parse(build(text="t", html="<p>", files=[file(), file(inline="logo")]))

    boundaries = [part.get_boundary() or "" for part in parsed.walk() if part.is_multipart()]

    assert len(boundaries) == 3
    assert not any(
        a.startswith(b) for a in boundaries for b in boundaries if a is not b
    )  # RFC 2046 §5.1.2


def test_text_that_looks_like_a_boundary_is_only_text() -> None:
    for letter in "arm":
        text = f"--=_{letter}{REFERENCE}\n--=_{letter}{REFERENCE}--\n"
        parsed = parse(build(text=text, html="<p>", files=[file(), file(inline="logo")]))

        body = parsed.get_body(preferencelist=("plain",))
        assert body is not None
        assert payload(body) == text.rstrip("\n")


def test_feedback_id_is_one_header() -> None:
    parsed = parse(build(text="t", feedback_id="news:shop:gateway"))

    assert parsed.get_all("Feedback-ID") == ["news:shop:gateway"]
    assert "Feedback-ID" not in parse(build(text="t"))


@pytest.mark.parametrize("value", ["a\r\nBcc: x", "é", "x" * 200])
def test_feedback_id_that_no_header_holds_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="Feedback-ID"):
        build(text="t", feedback_id=value)

"""What an email holds, below its headers: texts, pictures and files, each encoded to travel safely.

RFC 2045 §6 (encodings), RFC 2046 §5.1 (multipart), RFC 2183 and RFC 2231 (files and their names),
RFC 2387 (pictures in the HTML). Each part is a list of its lines, canonical, without the last CRLF.
"""

import binascii
import re
from collections.abc import Sequence
from urllib.parse import quote

from gateway.content.attachments import Attachment

#: RFC 5322 §2.1.1: octets of a line that no relay may refuse, without CRLF.
MAX_LINE = 998

#: Octets of a name's piece, so that its line is no longer than 78 with what stands around it.
_NAME_PIECE = 60
#: A file name that can stand between quotes as it is.
_PLAIN_NAME = re.compile(rf"(?! )(?!.*=\?)[ !#-[\]-~]{{1,{_NAME_PIECE}}}(?<! )")

#: Octets that travel as they are in 7bit (RFC 2045 §2.7), line ends apart.
_PLAIN = bytes(range(0x20, 0x7F)) + b"\t\r\n"


def build(text: str, html: str, attachments: Sequence[Attachment], reference: str) -> list[bytes]:
    """Header lines, the empty line and the content, the last ending with CRLF.

    From inside out: the texts, pictures that the HTML shows, files beside it.
    """
    body = _texts(text, html, reference)
    pictures = [one for one in attachments if one.inline and html]
    files = [one for one in attachments if not (one.inline and html)]
    if pictures:
        kind = b"multipart/alternative" if text else b"text/html"
        parts = [body, *map(_file, pictures)]
        body = _multipart(b"related", parts, reference, b'; type="' + kind + b'"')
    if files:
        body = _multipart(b"mixed", [body, *map(_file, files)], reference)
    return [*body, b""]


def _texts(text: str, html: str, reference: str) -> list[bytes]:
    if not html:
        return _part(text, b"plain")
    if not text:
        return _part(html, b"html")
    return _multipart(b"alternative", [_part(text, b"plain"), _part(html, b"html")], reference)


def _multipart(
    subtype: bytes, parts: Sequence[list[bytes]], reference: str, more: bytes = b""
) -> list[bytes]:
    """As `_part`, of parts."""
    boundary = b"=_" + subtype[:1] + reference.encode("ascii")[:50]
    while any(boundary in line for part in parts for line in part):
        boundary += b"_"
    delimiter = b"--" + boundary
    return [
        b"Content-Type: multipart/" + subtype + more + b';\r\n boundary="' + boundary + b'"',
        b"",
        *(line for part in parts for line in (delimiter, *part)),
        delimiter + b"--",
    ]


def _file(one: Attachment) -> list[bytes]:
    """As `_part`, of a file."""
    disposition = b"inline" if one.inline else b"attachment"
    lines = [
        b"Content-Type: " + one.type.encode("ascii"),
        b"Content-Transfer-Encoding: base64",
        b"Content-Disposition: " + disposition + _file_name(one.name),
    ]
    if one.inline:
        lines.append(b"Content-ID: <" + one.inline.encode("ascii") + b">")
    return [*lines, b"", _lines_of(one.data.encode("ascii"))]


def _file_name(name: str) -> bytes:
    """As a parameter on lines of its own: plain, or encoded and in pieces (RFC 2231 §3, §4)."""
    if _PLAIN_NAME.fullmatch(name):
        return b';\r\n filename="' + name.encode("ascii") + b'"'
    encoded = "utf-8''" + quote(name, safe="")
    if len(encoded) <= _NAME_PIECE:
        return b";\r\n filename*=" + encoded.encode("ascii")
    return b"".join(
        f";\r\n filename*{place}*={piece}".encode("ascii")
        for place, piece in enumerate(_pieces(name))
    )


def _pieces(name: str) -> Sequence[str]:
    """Encoded, none with half a character: some parsers decode each by itself."""
    pieces = ["utf-8''"]
    for character in name:
        encoded = quote(character, safe="")
        if len(pieces[-1]) + len(encoded) > _NAME_PIECE:
            pieces.append("")
        pieces[-1] += encoded
    return pieces


def _part(text: str, subtype: bytes) -> list[bytes]:
    """Header lines, the empty line and the content without its last CRLF."""
    encoding, content = _encode(text)
    return [
        b"Content-Type: text/" + subtype + b"; charset=utf-8",
        b"Content-Transfer-Encoding: " + encoding,
        b"",
        content,
    ]


def _encode(text: str) -> tuple[bytes, bytes]:
    """The cheapest encoding that every relay leaves alone: 7bit, quoted-printable or base64."""
    raw = _canonical(text).encode("utf-8")
    special = len(raw.translate(None, _PLAIN))
    if not special and _is_short(raw):
        return b"7bit", raw.removesuffix(b"\r\n")
    # Quoted-printable takes three octets for a special one, base64 four for any three.
    if special * 6 < len(raw):
        return b"quoted-printable", binascii.b2a_qp(raw).removesuffix(b"\r\n")
    return b"base64", _base64_lines(raw)


def _canonical(text: str) -> str:
    """All line ends CRLF, the last one too (RFC 2046 §4.1.1)."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.endswith("\n"):
        text += "\n"
    return text.replace("\n", "\r\n")


def _is_short(raw: bytes) -> bool:
    """Whether no line exceeds the limit. Looks at every thousandth octet or so, not at lines."""
    at, window = 0, MAX_LINE + len("\r\n")
    while at + window <= len(raw):
        at = raw.rfind(b"\n", at, at + window) + 1
        if not at:
            return False
    return True


def _base64_lines(raw: bytes) -> bytes:
    return _lines_of(binascii.b2a_base64(raw, newline=False))


def _lines_of(encoded: bytes) -> bytes:
    return b"\r\n".join([encoded[at : at + 76] for at in range(0, len(encoded), 76)])

"""Reads mails of strangers as far as reports need it: header fields and parts, within bounds.

RFC 5322 §2.2 (fields), RFC 2045 §5, §6 and RFC 2046 §5.1 (parts). It never fails for what a
mail holds, only for what is no mail; work grows with the size, which is cut off at `MAX_SIZE`.
The standard library's parser goes as deep as a mail is nested.
"""

import binascii
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

#: Octets looked at. A report and the header of what it returns are at its beginning.
MAX_SIZE = 1024 * 1024

_MAX_HEAD = 64 * 1024
_MAX_FIELDS = 1000
_MAX_PARTS = 32
_MAX_DEPTH = 4

_FOLD = re.compile(rb"\n[ \t]+")
_NAME = re.compile(r"[!-9;-~]{1,100}")
_PARAMETER = re.compile(
    r';\s{0,20}([\w-]{1,40})\s{0,20}=\s{0,20}(?:"([^"]{0,200})"|([^\s;"]{1,200}))'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A mail, or one part of it."""

    #: by lower-case name, unfolded, blanks collapsed; the first of each name
    headers: Mapping[str, str]
    #: with LF line ends, in its transfer encoding
    body: bytes

    @property
    def type(self) -> str:
        """Such as `text/plain`, in lower case."""
        kind = self.headers.get("content-type", "text/plain").partition(";")[0]
        return kind.strip().lower()

    def parameter(self, name: str) -> str:
        """Of its Content-Type; empty when it has none such."""
        value = self.headers.get("content-type", "")[:2000]
        for key, quoted, plain in _PARAMETER.findall(value):
            if key.lower() == name:
                return str(quoted or plain)
        return ""

    def content(self) -> bytes:
        """The body without its transfer encoding, LF line ends; as it is if that is broken."""
        encoding = self.headers.get("content-transfer-encoding", "").strip().lower()
        try:
            if encoding == "base64":
                return _plain_ends(binascii.a2b_base64(self.body))
        except binascii.Error:
            return self.body
        if encoding == "quoted-printable":
            return _plain_ends(binascii.a2b_qp(self.body))
        return self.body

    def text(self, limit: int) -> str:
        """The beginning of the content. Charsets that are no UTF-8 leave only ASCII readable."""
        return self.content()[:limit].decode("utf-8", "replace")


def read(raw: bytes) -> Part:
    """The mail. Raises ValueError where there is not one header field."""
    whole = _plain_ends(raw[:MAX_SIZE]).lstrip(b"\n")
    if whole.startswith((b"From ", b">From ")):  # of a mailbox file, or added for a pipe
        whole = whole.partition(b"\n")[2]
    mail = _part(whole)
    if not mail.headers:
        raise ValueError("not a mail")
    return mail


def leaves(mail: Part) -> list[Part]:
    """Parts that are no multipart, in their order; returned messages are not taken apart."""
    return list(itertools.islice(_leaves(mail, 0), _MAX_PARTS))


def _leaves(part: Part, depth: int) -> Iterator[Part]:
    if not part.type.startswith("multipart/"):
        yield part
    elif depth < _MAX_DEPTH:
        for inner in _split(part.body, part.parameter("boundary")):
            yield from _leaves(_part(inner), depth + 1)


def groups(content: bytes) -> Sequence[Mapping[str, str]]:
    """Groups of header fields with empty lines between them (RFC 3464 §2.1)."""
    blocks = re.split(rb"\n[ \t]*\n+", content[:_MAX_HEAD].strip(b"\n"), maxsplit=_MAX_PARTS)
    return [found for block in blocks[:_MAX_PARTS] if (found := fields(block))]


def fields(head: bytes) -> Mapping[str, str]:
    """Header fields as `Part.headers` has them. Stops at an empty line."""
    head = b"\n" + head[:_MAX_HEAD]
    head = head.partition(b"\n\n")[0] if not head.startswith(b"\n\n") else b""
    found: dict[str, str] = {}
    lines = _FOLD.sub(b" ", head).decode("utf-8", "replace").split("\n", _MAX_FIELDS)
    for line in lines[:_MAX_FIELDS]:
        name, colon, value = line.partition(":")
        name = name.rstrip()
        if colon and _NAME.fullmatch(name):
            found.setdefault(name.lower(), " ".join(value.split()))
    return found


def _part(raw: bytes) -> Part:
    if raw.startswith(b"\n"):
        return Part(headers={}, body=raw[1:])
    head, _, body = raw.partition(b"\n\n")
    return Part(headers=fields(head), body=body)


def _split(body: bytes, boundary: str) -> Iterator[bytes]:
    """Parts between delimiter lines; the last may lack its end, as what is cut off does."""
    if not boundary:
        return
    delimiter = re.compile(
        rb"^--" + re.escape(boundary.encode("utf-8")) + rb"(--)?[ \t]*(?:\n|\Z)", re.MULTILINE
    )
    start = -1
    for found in itertools.islice(delimiter.finditer(body), _MAX_PARTS + 1):
        if start >= 0:
            yield body[start : max(start, found.start() - 1)]
        if found[1]:
            return
        start = found.end()
    if start >= 0:
        yield body[start:]


def _plain_ends(raw: bytes) -> bytes:
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

"""Bodies of HTML forms: `application/x-www-form-urlencoded`, or with files `multipart/form-data`.

RFC 7578 (multipart/form-data), RFC 2046 §5.1 (boundaries), and the HTML standard on how names are
quoted: https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
"""

import hashlib
from collections.abc import Sequence
from urllib.parse import urlencode

from gateway.model.values import Value

_ESCAPES = {"\n": "%0A", "\r": "%0D", '"': "%22"}


class File(Value):
    """A file of a form."""

    field: str
    name: str
    type: str
    data: bytes


def encode(fields: Sequence[tuple[str, str]], files: Sequence[File]) -> tuple[str, bytes]:
    """(content type, body), the same for the same form. Raises ValueError for lone surrogates."""
    if not files:
        return "application/x-www-form-urlencoded", urlencode(fields).encode("ascii")
    parts = [(_disposition(name), value.encode()) for name, value in fields]
    for one in files:
        head = _disposition(one.field) + f'; filename="{_quoted(one.name)}"'.encode()
        parts.append((head + b"\r\nContent-Type: " + one.type.encode("ascii"), one.data))
    boundary = _boundary([content for _, content in parts])
    lines = [
        line
        for head, content in parts
        for line in (b"--" + boundary, b"Content-Disposition: form-data; " + head, b"", content)
    ]
    body = b"\r\n".join([*lines, b"--" + boundary + b"--", b""])
    return f"multipart/form-data; boundary={boundary.decode('ascii')}", body


def _disposition(name: str) -> bytes:
    return f'name="{_quoted(name)}"'.encode()


def _quoted(text: str) -> str:
    for special, escape in _ESCAPES.items():
        text = text.replace(special, escape)
    return text


def _boundary(contents: Sequence[bytes]) -> bytes:
    """By what it holds apart, so that none of it can have been written to hold it too."""
    digest = hashlib.sha256()
    for one in contents:
        digest.update(one)
    return b"form-" + digest.hexdigest()[:40].encode("ascii")

"""Requests as bytes: where they go, and the head that stays the same from one to the next.

What could break the framing of a request is refused here (RFC 9112 §2, §3, §5): line ends and
NUL in headers, blanks in the request line, and lengths other than the body's own.
"""

import base64
import re
from dataclasses import dataclass
from typing import NamedTuple

from yarl import URL

from gateway import __version__
from gateway.model import errors

#: RFC 9110 §5.6.2
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Line ends, NUL, and what UTF-8 cannot say.
_UNFIT = re.compile(r"[\r\n\0\ud800-\udfff]")

#: A request without a body says so, where its method expects one (RFC 9110 §8.6).
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

#: Head and body are one write up to this size; above it copying the body costs more.
_JOINED_BODY = 64 * 1024

_DEFAULTS = (
    ("accept", "*/*"),
    # Decompression costs more than the bytes that it saves on answers as short as these.
    ("accept-encoding", "identity"),
    ("user-agent", f"gateway/{__version__}"),
)


class Origin(NamedTuple):
    """Whom a connection leads to."""

    encrypted: bool
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The part of a request that does not depend on its body."""

    origin: Origin
    #: request line and headers, each with its line end, all but Content-Length
    start: bytes
    #: whether a length of 0 is stated
    always_length: bool
    #: the answer has no body, whatever its headers say
    is_head: bool

    def write(self, body: bytes) -> tuple[bytes, bytes]:
        """What to write first, and the rest of it, empty for all but long bodies."""
        size = len(body)
        if size > _JOINED_BODY:
            return b"%bContent-Length: %d\r\n\r\n" % (self.start, size), body
        if size or self.always_length:
            return b"%bContent-Length: %d\r\n\r\n%b" % (self.start, size, body), b""
        return self.start + b"\r\n", b""


def prepare(method: str, url: str, headers: tuple[tuple[str, str], ...]) -> Head:
    """Raises NotSent for what cannot be sent."""
    target = _parse(url)
    if not _TOKEN.fullmatch(method):
        raise errors.NotSent("invalid request")
    lines = [f"{method} {target.raw_path_qs} HTTP/1.1\r\n", *_header_lines(target, headers)]
    return Head(
        origin=Origin(
            target.scheme == "https", (target.raw_host or "").rstrip("."), target.port or 0
        ),
        start="".join(lines).encode(),
        always_length=method in _WITH_BODY,
        is_head=method == "HEAD",
    )


def _parse(url: str) -> URL:
    """The URL exactly as given, if it is one; only what is not ASCII gets quoted."""
    try:
        # Requoting may break what a provider has signed.
        target = URL(url, encoded=url.isascii() and url.isprintable() and " " not in url)
        if target.scheme in ("http", "https") and target.raw_host and target.port:
            return target
    except ValueError:
        raise errors.NotSent("invalid url") from None
    raise errors.NotSent("invalid url")


def _header_lines(target: URL, headers: tuple[tuple[str, str], ...]) -> list[str]:
    given = {name.lower() for name, _ in headers}
    if "transfer-encoding" in given:  # we send a length, and both would be ambiguous
        raise errors.NotSent("invalid request")
    lines = [] if "host" in given else [_line("Host", target.host_port_subcomponent or "")]
    lines += [_line(name, value) for name, value in headers if name.lower() != "content-length"]
    lines += [_line(name, value) for name, value in _DEFAULTS if name not in given]
    if target.user is not None and "authorization" not in given:
        lines.append(_line("authorization", _basic(target)))
    return lines


def _line(name: str, value: str) -> str:
    if not _TOKEN.fullmatch(name) or _UNFIT.search(value):
        raise errors.NotSent("invalid request")
    return f"{name}: {value}\r\n"


def _basic(target: URL) -> str:
    """RFC 7617 §2."""
    pair = f"{target.user or ''}:{target.password or ''}".encode()
    return "Basic " + base64.b64encode(pair).decode("ascii")

"""Requests as bytes: where they go, and the head that stays the same from one to the next.

What could break the framing of a request is refused here (RFC 9112 §2, §3, §5): line ends and
NUL in headers, blanks in the request line, and lengths other than the body's own.
"""

import base64
import functools
import re
from collections.abc import Iterator
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """What a URL comes to."""

    origin: Origin
    path: str
    host: str
    #: what its credentials come to, or ""
    authorization: str


class Heads:
    """Makes heads, and keeps those of late: few change from one request to the next.

    Where a header does, such as a signature, the rest is still kept. What is kept holds
    credentials, and goes with this object.
    """

    def __init__(self, size: int = 1024) -> None:
        """size: heads to keep."""
        self._target = functools.lru_cache(size)(_parse)
        self._line = functools.lru_cache(4 * size)(_line)
        self.prepare = functools.lru_cache(size)(self._prepare)

    def _prepare(self, method: str, url: str, headers: tuple[tuple[str, str], ...]) -> Head:
        """Raises NotSent for what cannot be sent."""
        if not _TOKEN.fullmatch(method):
            raise errors.NotSent("invalid request")
        target = self._target(url)
        lines = [f"{method} {target.path} HTTP/1.1\r\n", *self._lines(target, headers)]
        return Head(
            origin=target.origin,
            start="".join(lines).encode(),
            always_length=method in _WITH_BODY,
            is_head=method == "HEAD",
        )

    def _lines(self, target: _Target, headers: tuple[tuple[str, str], ...]) -> Iterator[str]:
        given = {name.lower() for name, _ in headers}
        if "transfer-encoding" in given:  # we send a length, and both would be ambiguous
            raise errors.NotSent("invalid request")
        if "host" not in given:
            yield self._line("Host", target.host)
        for name, value in headers:
            if name.lower() != "content-length":
                yield self._line(name, value)
        for name, value in _DEFAULTS:
            if name not in given:
                yield self._line(name, value)
        if target.authorization and "authorization" not in given:
            yield self._line("authorization", target.authorization)


def _parse(url: str) -> _Target:
    """The URL exactly as given, if it is one; only what is not ASCII gets quoted."""
    try:
        # Requoting may break what a provider has signed.
        parsed = URL(url, encoded=url.isascii() and url.isprintable() and " " not in url)
        if parsed.scheme in ("http", "https") and parsed.raw_host and parsed.port:
            return _Target(
                origin=Origin(parsed.scheme == "https", parsed.raw_host.rstrip("."), parsed.port),
                path=parsed.raw_path_qs,
                host=parsed.host_port_subcomponent or "",
                authorization="" if parsed.user is None else _basic(parsed),
            )
    except ValueError:
        raise errors.NotSent("invalid url") from None
    raise errors.NotSent("invalid url")


def _line(name: str, value: str) -> str:
    if not _TOKEN.fullmatch(name) or _UNFIT.search(value):
        raise errors.NotSent("invalid request")
    return f"{name}: {value}\r\n"


def _basic(url: URL) -> str:
    """RFC 7617 §2."""
    pair = f"{url.user or ''}:{url.password or ''}".encode()
    return "Basic " + base64.b64encode(pair).decode("ascii")

"""Requests as HTTP/2 header lists (RFC 9113 §8.3), with what could not be carried refused here."""

import re
from collections.abc import Iterator
from functools import lru_cache

from hpack import HeaderTuple, NeverIndexedHeaderTuple
from yarl import URL

from gateway import __version__
from gateway.model import errors, wire
from gateway.transport.lean_request import Origin

#: RFC 9110 §5.6.2
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Line ends, NUL, and what UTF-8 cannot say (RFC 9113 §8.2.1).
_UNFIT = re.compile(r"[\r\n\0\ud800-\udfff]")

#: What stays as it is: a path and a query of visible ASCII, and no fragment.
_PLAIN_PATH = re.compile(r"/[!\"$-~]*")

#: Of one connection, which HTTP/2 has no words for (RFC 9113 §8.2.2), or said otherwise.
_LEFT_OUT = frozenset({"connection", "keep-alive", "proxy-connection", "upgrade", "host", "te"})

#: Of one request only, or short enough to be guessed bit by bit (RFC 7541 §7.1): kept out of the
#: tables that both ends remember. Tokens are too long for that, and cost most where they are new.
_APART = frozenset({":path", "cookie"})

#: Fields that are remembered; the tables of HPACK hold some fifty of them (4,096 bytes).
_KNOWN = 256


class Preparer:
    """Makes header lists. What comes again goes into the tables of HPACK, ids and the like do not:
    they would drive out what is worth its place."""

    def __init__(self) -> None:
        self._once: set[tuple[str, str]] = set()
        self._often: dict[tuple[str, str], HeaderTuple] = {}
        #: by the beginning of a URL
        self._origins: dict[str, tuple[Origin, str]] = {}

    def prepare(self, request: wire.HttpRequest) -> tuple[Origin, list[HeaderTuple]]:
        """Where the request goes, and its header list. Raises NotSent."""
        if not _is_token(request.method):
            raise errors.NotSent("invalid request")
        origin, authority, path = self._place(request.url)
        pseudo = (
            (":method", request.method),
            (":scheme", "https"),
            (":authority", authority),
            (":path", path),
        )
        return origin, [self._field(pair) for pair in (*pseudo, *_named(request))]

    def _place(self, text: str) -> tuple[Origin, str, str]:
        """(origin, authority, path) of a URL. Nearly all begin as one before them did."""
        end = text.find("/", 8)  # behind `https://`
        known = self._origins.get(text[:end]) if end > 0 else None
        if known is not None and _PLAIN_PATH.fullmatch(text, end):
            return *known, text[end:]
        url = _url(text)
        origin = Origin(True, (url.raw_host or "").rstrip("."), url.port or 443)
        authority = url.host_port_subcomponent or ""
        if end > 0 and url.raw_path_qs == text[end:]:  # what comes before is the host and no query
            if len(self._origins) >= _KNOWN:
                self._origins.clear()
            self._origins[text[:end]] = origin, authority
        return origin, authority, url.raw_path_qs or "/"

    def _field(self, pair: tuple[str, str]) -> HeaderTuple:
        if (known := self._often.get(pair)) is not None:
            return known
        name, value = pair
        encoded = name.encode("ascii"), value.encode("utf-8")
        if name in _APART or pair not in self._once:
            if len(self._once) >= _KNOWN:
                self._once.clear()
            self._once.add(pair)
            return NeverIndexedHeaderTuple(*encoded)
        if len(self._often) >= _KNOWN:
            self._often.clear()
        field = self._often[pair] = HeaderTuple(*encoded)
        return field


def _url(text: str) -> URL:
    """The URL exactly as given; only what is not ASCII gets quoted. HTTP/2 here is TLS only."""
    try:
        url = URL(text, encoded=text.isascii() and text.isprintable() and " " not in text)
        if url.scheme == "https" and url.raw_host and url.port and url.raw_user is None:
            return url
    except ValueError:
        raise errors.NotSent("invalid url") from None
    raise errors.NotSent("invalid url")


def _named(request: wire.HttpRequest) -> Iterator[tuple[str, str]]:
    given = {name.lower(): value for name, value in request.headers.items()}
    if "transfer-encoding" in given:
        raise errors.NotSent("invalid request")
    for name, value in given.items():
        if not _is_token(name) or _UNFIT.search(value):
            raise errors.NotSent("invalid request")
        if name not in _LEFT_OUT and name != "content-length":
            yield name, value.strip(" \t")
    yield from (one for one in _DEFAULTS if one[0] not in given)
    if request.body:
        yield "content-length", str(len(request.body))


@lru_cache(_KNOWN)
def _is_token(name: str) -> bool:
    return _TOKEN.fullmatch(name) is not None


_DEFAULTS = (("accept-encoding", "identity"), ("user-agent", f"gateway/{__version__}"))

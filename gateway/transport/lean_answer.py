"""One HTTP/1.1 answer after another, read from bytes with bounds on all that is kept.

httptools parses strictly: no bare line feeds, no second length, no folded lines.
"""

import functools
import zlib

import httptools

from gateway.model import wire

#: Of everything in front of the body. Servers themselves rarely take more than 16 KiB.
MAX_HEAD_BYTES = 64 * 1024

#: What one-byte chunks make of a body; beyond this the rest is padding.
_CHUNK_OVERHEAD = 8

_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS


class Unreadable(Exception):
    """This is no answer; the text says why, and can be shown."""


class AnswerReader:
    """The answers of one connection, one at a time: `start`, then `feed` until it is whole."""

    __slots__ = (
        "_chunks",
        "_fields",
        "_in_body",
        "_is_head",
        "_keep",
        "_max_bytes",
        "_parser",
        "_received",
        "_size",
        "_status",
        "_stray",
        "_whole",
    )

    def __init__(self, max_bytes: int) -> None:
        """max_bytes: of the body, before and after decompression."""
        self._max_bytes = max_bytes
        self.start(is_head=False)
        self._parser = httptools.HttpResponseParser(self)

    def start(self, *, is_head: bool) -> None:
        """Get ready for the answer to a request; `is_head`: it has no body (RFC 9112 §6.3)."""
        self._is_head = is_head
        self._fields: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._received = self._size = self._status = 0
        self._in_body = self._whole = self._keep = self._stray = False

    @property
    def may_go_on(self) -> bool:
        """After a whole answer: the connection is fit for another request."""
        return self._keep and not self._stray

    def feed(self, data: bytes) -> bool:
        """Whether the answer is whole now. Raises Unreadable."""
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._whole:
                raise Unreadable(self.cut_short("not http")) from None
            self._stray = True
        if self._whole:
            return True
        self._check_bounds()
        return False

    def _check_bounds(self) -> None:
        if not self._in_body and self._received > MAX_HEAD_BYTES:
            raise Unreadable("answer too large")
        if self._size > self._max_bytes:
            raise Unreadable("answer too large")
        if self._received > MAX_HEAD_BYTES + _CHUNK_OVERHEAD * self._max_bytes:
            raise Unreadable("answer too large")

    def feed_eof(self) -> bool:
        """Whether the end of the stream makes the answer whole, as nothing else would."""
        fields = self._fields
        codings = fields.get("transfer-encoding", "").lower()
        return self._in_body and "content-length" not in fields and "chunked" not in codings

    def cut_short(self, otherwise: str) -> str:
        """Why there is no answer, when the stream ends or breaks here."""
        return "answer cut short" if self._in_body else otherwise

    def read(self) -> wire.HttpResponse:
        """The answer, which is whole. Raises Unreadable."""
        if self._size > self._max_bytes:
            raise Unreadable("answer too large")
        body = b"".join(self._chunks)
        if body and "content-encoding" in self._fields:
            body = self._decode(body)
        return wire.HttpResponse(status=self._status, headers=self._fields, body=body)

    def _decode(self, body: bytes) -> bytes:
        coding = self._fields["content-encoding"].lower()
        if coding == "identity":
            return body
        if coding not in ("gzip", "x-gzip", "deflate"):
            raise Unreadable("answer encoding")
        raw = coding == "deflate" and body[0] & 0x0F != zlib.DEFLATED  # without zlib's header
        try:
            return _inflate(body, -zlib.MAX_WBITS if raw else _ZLIB_OR_GZIP, self._max_bytes)
        except zlib.error:
            raise Unreadable("answer cut short") from None

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._whole:  # nobody asked for a second one
            self._stray = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body or self._stray:  # a trailer (RFC 9110 §6.5) may not pass for a header
            return
        key = _lower(name)
        text = value.decode("utf-8", "surrogateescape").strip(" \t")
        fields = self._fields
        if key in fields:  # RFC 9110 §5.3
            text = f"{fields[key]}, {text}"
        fields[key] = text

    def on_headers_complete(self) -> None:
        if self._stray:
            return
        self._status = status = self._parser.get_status_code()
        if status >= 200:
            self._in_body = True
            # The parser cannot be told; what it takes for a body now may be anything.
            self._whole = self._is_head

    def on_body(self, body: bytes) -> None:
        if self._whole:
            return
        self._size += len(body)
        if self._size <= self._max_bytes:
            self._chunks.append(body)
        else:
            self._chunks.clear()

    def on_message_complete(self) -> None:
        if self._stray:
            return
        if self._status >= 200:
            self._whole = True
            self._keep = not self._is_head and self._parser.should_keep_alive()
        else:  # an interim answer (RFC 9110 §15.2)
            self._fields.clear()


@functools.lru_cache(512)  # the same few names come with every answer
def _lower(name: bytes) -> str:
    return name.decode("latin-1").lower()


def _inflate(body: bytes, window_bits: int, max_bytes: int) -> bytes:
    """Raises Unreadable, zlib.error."""
    parts: list[bytes] = []
    size = 0
    while body:  # gzip may have several members (RFC 1952 §2.2)
        inflater = zlib.decompressobj(window_bits)
        part = inflater.decompress(body, max_bytes - size + 1)
        size += len(part)
        if size > max_bytes:
            raise Unreadable("answer too large")
        if not inflater.eof:
            raise Unreadable("answer cut short")
        parts.append(part)
        body = inflater.unused_data
    return b"".join(parts)

"""Bytes to JSON values, with every bound that must hold before anything looks at them."""

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import orjson
from aiohttp import web

from gateway.api import problems
from gateway.api.limits import MAX_DEPTH, MAX_FIELDS, MAX_STREAM, Limits
from gateway.model.errors import Fault

LIMITS = web.AppKey("limits", Limits)

JSON = frozenset({"application/json"})
FORM = frozenset({"application/x-www-form-urlencoded"})
NDJSON = frozenset({"application/x-ndjson", "application/ndjson"})

#: 16 for the gzip wrapper, 15 for the largest window (zlib.h, inflateInit2).
_GZIP_WINDOW = 16 + 15
#: Bytes that are decompressed at once.
_PIECE = 256 * 1024


class Parsed(NamedTuple):
    """A JSON value as posted."""

    value: Any
    #: its bytes look as if it were too deep or held NUL: `inspect` must have a look
    suspect: bool


async def read_json(request: web.Request) -> Parsed:
    """The body of a request that takes one JSON document."""
    return parse(await read(request, JSON))


async def read(request: web.Request, accepted: Collection[str]) -> bytes:
    """The body, decompressed. `accepted`: content types, in lower case."""
    if request.content_type not in accepted or not _is_utf8(request):
        raise problems.UnsupportedBody(f"Send {' or '.join(sorted(accepted))} in UTF-8.")
    return await read_raw(request)


async def read_form(request: web.Request) -> Mapping[str, Sequence[str]]:
    """The fields of a form as browsers post it, each with all its values."""
    raw = await read(request, FORM)
    try:
        return parse_qs(raw.decode(), errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise problems.BadBody("The form cannot be read.") from None


def _is_utf8(request: web.Request) -> bool:
    charset = request.charset
    return charset is None or charset.lower() in ("utf-8", "utf8", "us-ascii")


async def read_raw(request: web.Request) -> bytes:
    """The body of any type, decompressed, within the cap and the deadline."""
    limits = request.app[LIMITS]
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise problems.UnsupportedBody("Content-Encoding may be gzip or identity.")
    if (request.content_length or 0) > limits.max_body:
        raise problems.BodyTooLarge(_too_large(limits))
    await _continue(request)
    body = await _receive(request, limits)
    return body if encoding == "identity" else _gunzip(body, limits)


async def stream(request: web.Request, accepted: Collection[str]) -> AsyncIterator[bytes]:
    """The body in pieces, decompressed; each has the deadline that a whole body has elsewhere, and
    all together that and a second for each `body_rate` bytes. Only our waiting counts, so whoever
    sends at least so much has all the time that storing it takes."""
    if request.content_type not in accepted or not _is_utf8(request):
        raise problems.UnsupportedBody(f"Send {' or '.join(sorted(accepted))} in UTF-8.")
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise problems.UnsupportedBody("Content-Encoding may be gzip or identity.")
    await _continue(request)
    inflate = zlib.decompressobj(wbits=_GZIP_WINDOW) if encoding == "gzip" else None
    total = 0
    async for raw in _received(request):
        for piece in [raw] if inflate is None else _inflated(inflate, raw):
            total += len(piece)
            if total > MAX_STREAM:
                raise problems.BodyTooLarge(f"A list may have {MAX_STREAM} bytes, decompressed.")
            yield piece
            await asyncio.sleep(0)  # others get their turn
    if inflate is not None and not inflate.eof:
        raise problems.BadBody("The body is not one whole gzip member.")


async def _received(request: web.Request) -> AsyncIterator[bytes]:
    """The body in pieces as they come. Raises SlowBody, BadBody."""
    limits, time = request.app[LIMITS], asyncio.get_running_loop().time
    left = limits.body_seconds
    while True:
        began = time()
        raw = await _receive_piece(request, min(left, limits.body_seconds))
        if not raw:
            return
        left += len(raw) / limits.body_rate - (time() - began)
        yield raw


async def _receive_piece(request: web.Request, seconds: float) -> bytes:
    """b'' at the end."""
    limits = request.app[LIMITS]
    try:
        async with asyncio.timeout(seconds):
            return await request.content.readany()
    except TimeoutError as error:
        if seconds < limits.body_seconds:
            detail = f"The body comes too slowly: send {limits.body_rate:.0f} bytes a second."
            raise problems.SlowBody(detail) from error
        raise problems.SlowBody("The body was not complete in time.") from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise problems.BadBody("The body ended early or is wrongly framed.") from error


def _inflated(inflate: "zlib._Decompress", raw: bytes) -> Iterator[bytes]:
    """In pieces, whatever has been made small (RFC 1952)."""
    try:
        piece = inflate.decompress(raw, _PIECE)
        yield piece
        while not inflate.eof and (inflate.unconsumed_tail or len(piece) == _PIECE):
            piece = inflate.decompress(inflate.unconsumed_tail, _PIECE)
            yield piece
    except zlib.error as error:
        raise problems.BadBody("The body is not gzip.") from error
    if inflate.unused_data or (inflate.eof and inflate.unconsumed_tail):
        raise problems.BadBody("The body is not one whole gzip member.")


async def _continue(request: web.Request) -> None:
    """Ask for the body only now, when nothing speaks against it (RFC 9110 §10.1.1)."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # else a later error could not be answered


async def _receive(request: web.Request, limits: Limits) -> bytes:
    if request.content.is_eof():  # it came with the head, as most do: no timer needed
        return await _read_capped(request, limits)
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await _read_capped(request, limits)
    except TimeoutError as error:
        raise problems.SlowBody("The body was not complete in time.") from error


async def _read_capped(request: web.Request, limits: Limits) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise problems.BodyTooLarge(_too_large(limits)) from error
    except web.RequestPayloadError as error:
        raise problems.BadBody("The body ended early or is wrongly framed.") from error


def _too_large(limits: Limits) -> str:
    return f"A body may have {limits.max_body} bytes, decompressed."


def _gunzip(body: bytes, limits: Limits) -> bytes:
    """One gzip member; never inflates further than the cap (RFC 1952)."""
    stream = zlib.decompressobj(wbits=_GZIP_WINDOW)
    try:
        out = stream.decompress(body, limits.max_body + 1)
    except zlib.error as error:
        raise problems.BadBody("The body is not gzip.") from error
    if len(out) > limits.max_body:
        raise problems.BodyTooLarge(_too_large(limits))
    if not stream.eof or stream.unused_data:
        raise problems.BadBody("The body is not one whole gzip member.")
    return out


def parse(raw: bytes) -> Parsed:
    """One JSON document (RFC 8259). Raises BadBody, which tells where but repeats nothing."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise problems.BadBody(f"Not JSON: line {error.lineno}, column {error.colno}.") from None
    return Parsed(value, _may_hold_nul(raw) or nests_deeper(raw, MAX_DEPTH))


def _may_hold_nul(raw: bytes) -> bool:
    return b"\\u0000" in raw


_ESCAPE = re.compile(rb"\\.", re.DOTALL)
#: all bytes but brackets and quotes
_ORDINARY = bytes(byte for byte in range(256) if byte not in b'[]{}"')


def nests_deeper(raw: bytes, limit: int) -> bool:
    """Whether a valid document has more than `limit` containers in one another.

    Works on bytes with a handful of passes in C, each of which takes off the innermost level:
    walking the parsed values would cost more than parsing them.
    """
    if raw.count(b"[") + raw.count(b"{") <= limit:
        return False
    if b"\\" in raw:
        raw = _ESCAPE.sub(b"", raw)
    # Strings without brackets go first, as there are many. Where that joins the ends of two
    # neighbours, they become one string, with nothing lost between them.
    raw = raw.translate(None, _ORDINARY).replace(b'""', b"")
    raw = b"".join(raw.split(b'"')[::2])
    for _ in range(limit):
        raw = raw.replace(b"[]", b"").replace(b"{}", b"")
        if not raw:
            return False
    return True


def parse_lines(raw: bytes) -> Iterator[Parsed | problems.BadBody]:
    """The documents of an NDJSON body, one a line; empty lines do not count."""
    for line in raw.split(b"\n"):
        if line and not line.isspace():
            try:
                yield parse(line)
            except problems.BadBody:
                yield problems.BadBody("This line is not JSON.")


def inspect(value: Any) -> list[Fault]:
    """What is wrong with a suspect value: nesting beyond the limit, NUL in a string.

    NUL is legal in JSON and of use to nobody; PostgreSQL cannot store it.
    """
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        if any(_has_nul(one) for one in level):
            return [Fault("", "the character U+0000 is not allowed")]
        level = [child for one in level for child in _children(one)]
        if not level:
            return []
    return [Fault("", f"nested deeper than {MAX_DEPTH} levels")]


def _children(value: Any) -> Collection[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any("\0" in key for key in value)
    return isinstance(value, str) and "\0" in value

"""A long list of recipients to a gateway, in pieces that are sent one after another.

Memory does not grow with the file, but for the report of rows that were refused.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from gateway.cli.client import Client, Refused
from gateway.model.errors import TransportError

CSV, NDJSON = "text/csv", "application/x-ndjson"

#: Of a piece; a tenth of that is what the gateway names of refused rows in one answer.
_LINES, _NAMED = 1_000, 100
_SIZE = 4 * 2**20
#: Bytes of a line that are sent: more than the gateway takes, so that it says so.
_LINE = 64 * 1024 + 1

#: Tries of a piece while the gateway is away or busy, and seconds before the next, doubled each
#: time: to send a piece twice is harmless.
_TRIES, _PAUSE = 6, 0.5
#: Statuses of a gateway that may take it later.
_LATER = frozenset({408, 429, 503})


@dataclass
class Report:
    """What became of the rows so far."""

    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("rows", "new", "changed", "unchanged", "refused"), 0)
    )
    #: `{"row", "field", "reason"}` of each refused row; row: its line in the file
    faults: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Piece:
    #: of the header, if there is one, and of the lines
    header: bytes
    lines: Sequence[bytes]
    #: number of the first line
    first: int
    #: in the file
    size: int


async def upload(
    client: Client, file: Path, type_: str, advance: Callable[[int, Report], None]
) -> Report:
    """Send a file. advance: told how many bytes of it were taken. Raises Refused, TransportError,
    OSError."""
    report = Report()
    with file.open("rb") as stream:
        for piece in _pieces(stream, with_header=type_ == CSV):
            answer = await _send(client, piece, type_)
            for name in report.counts:
                report.counts[name] += answer[name]
            report.faults += await _all_faults(client, piece, type_, answer)
            advance(piece.size, report)
    return report


def _pieces(stream: BinaryIO, *, with_header: bool) -> Iterator[_Piece]:
    """At least one, so that an empty file is the gateway's to judge."""
    header, size = _read_line(stream) if with_header else (b"", 0)
    first = 2 if with_header else 1
    while True:
        lines: list[bytes] = []
        while len(lines) < _LINES and size < _SIZE:
            line, length = _read_line(stream)
            if not length:
                break
            lines.append(line)
            size += length
        if lines or size or first == 1 + with_header:
            yield _Piece(header, lines, first, size)
        if not lines:
            return
        first, size = first + len(lines), 0


def _read_line(stream: BinaryIO) -> tuple[bytes, int]:
    """A line, of which no more than counts, and how long it was."""
    line = stream.readline(_LINE + 1)
    length = len(line)
    rest = line
    while rest and not rest.endswith(b"\n"):
        rest = stream.readline(_LINE)
        length += len(rest)
    return line.rstrip(b"\r\n")[:_LINE] + b"\n" if length else b"", length


async def _send(client: Client, piece: _Piece, type_: str) -> Mapping[str, Any]:
    body = piece.header + b"".join(piece.lines)
    for number in range(1, _TRIES + 1):
        try:
            return await client.put_recipients(body, type_)
        except Refused as error:
            if error.status not in _LATER or number == _TRIES:
                raise
        except TransportError:
            if number == _TRIES:
                raise
        await asyncio.sleep(_PAUSE * 2 ** (number - 1))
    raise AssertionError


async def _all_faults(
    client: Client, piece: _Piece, type_: str, answer: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """By lines of the file. What one answer cannot name is asked for again in smaller pieces."""
    if answer["refused"] > len(answer["faults"]):
        found = []
        for start in range(0, len(piece.lines), _NAMED):
            lines = piece.lines[start : start + _NAMED]
            part = _Piece(piece.header, lines, piece.first + start, 0)
            found += _numbered(part, await _send(client, part, type_))
        return found
    return _numbered(piece, answer)


def _numbered(piece: _Piece, answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    before = piece.first - 1 - bool(piece.header)
    return [{**fault, "row": fault["row"] + before} for fault in answer["faults"]]

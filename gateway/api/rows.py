"""Lists of recipients, line by line: NDJSON, and CSV whose header names the columns.

A row is one line: CSV fields with line breaks in them are refused, for nothing that a recipient
has may hold one, and so a stray quote spoils its own row and no other. RFC 4180 otherwise.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gateway.api import bodies, problems
from gateway.model.errors import Fault, InvalidMessage

#: How spreadsheets begin UTF-8, and what others say that they are.
BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")

_FIELD = r'(?:"(?:[^"]|"")*"|[^",]*)'
_RECORD = re.compile(rf"{_FIELD}(?:,{_FIELD})*")
_HARMLESS = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,79}", re.ASCII)

#: What a row may be read as. Raises InvalidMessage.
ReadRow = Callable[[bytes], bodies.Parsed]


class Lines:
    """Cuts a stream of bytes into lines without their ends."""

    def __init__(self, most: int) -> None:
        """most: bytes of a line; None stands for a longer one."""
        self._most = most
        self._rest = b""
        self._skipping = False
        self._begun = False

    def feed(self, chunk: bytes) -> list[bytes | None]:
        """The lines that end in the chunk. Raises UnsupportedBody for UTF-16."""
        text = self._rest + chunk
        if not self._begun:
            if len(text) < len(BOM):
                self._rest = text
                return []
            text, self._begun = _begin(text), True
        *whole, rest = text.split(b"\n")
        found: list[bytes | None] = [one if len(one) <= self._most else None for one in whole]
        if found and self._skipping:
            found[0], self._skipping = None, False
        self._skipping = self._skipping or len(rest) > self._most
        self._rest = b"" if self._skipping else rest
        return found

    def end(self) -> list[bytes | None]:
        """The line that nothing ends, if there is one."""
        if self._skipping:
            return [None]
        rest = self._rest if self._begun else _begin(self._rest)
        return [rest] if rest else []


def _begin(text: bytes) -> bytes:
    if text.startswith(_UTF_16) or b"\0" in text[:2]:  # without a mark, half of it is zeros
        raise problems.UnsupportedBody("This is UTF-16: save the file as UTF-8.")
    return text.removeprefix(BOM)


def refuse(field: str, reason: str) -> InvalidMessage:
    return InvalidMessage("The row cannot be used.", [Fault(field, reason)])


def read_json(line: bytes) -> bodies.Parsed:
    """A line of NDJSON. Raises InvalidMessage."""
    try:
        return bodies.parse(line)
    except problems.BadBody:
        raise refuse("", "is not JSON in UTF-8") from None


def csv_reader(header: bytes) -> ReadRow:
    """Reads the rows below a header. Raises InvalidMessage for a header that cannot be used."""
    try:
        names = [one.strip() for one in _cells(header)]
    except InvalidMessage as error:
        raise refuse("header", error.faults[0].detail) from None
    if "id" not in names:
        raise refuse("header", "has no column `id`; columns are separated by commas")
    counts = Counter(names)
    for name in names:
        shown = name if _HARMLESS.fullmatch(name) else "?"
        if counts[name] > 1:
            raise refuse(f"header.{shown}", "is there twice")
        if _cell_reader(name) is None:
            raise refuse(f"header.{shown}", "is no column of a recipient")

    def read(line: bytes) -> bodies.Parsed:
        cells = _cells(line)
        if len(cells) != len(names):
            raise refuse("", f"has {len(cells)} fields, and the header has {len(names)}")
        return bodies.Parsed(_body(names, cells), suspect=b"\0" in line)

    return read


def _cells(line: bytes) -> Sequence[str]:
    try:
        text = line.removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError:
        raise refuse("", "is not UTF-8") from None
    if "\r" in text:  # which the reader takes for an end of the line
        raise refuse("", "has a line break within; lines end with LF or CR LF")
    if '"' not in text:
        return text.split(",")
    if not _RECORD.fullmatch(text):
        raise refuse("", "has a quote that does not begin or end a field, or is not doubled")
    found: list[str] = next(csv.reader([text]))
    return found


def _body(names: Sequence[str], cells: Sequence[str]) -> Mapping[str, Any]:
    """As a line of NDJSON would have it; an empty cell is an absent field."""
    body: dict[str, Any] = {}
    for name, cell in zip(names, cells, strict=True):
        cell = cell.strip(" \t")
        read = _cell_reader(name)
        if not cell or read is None:
            continue
        table, _, key = name.partition(".")
        value = read(cell)
        if key:
            body.setdefault(table, {})[key] = value
        else:
            body[name] = value
    return body


def _devices(cell: str) -> Sequence[Mapping[str, str]]:
    """`app:token`, separated by blanks."""
    pairs = [one.partition(":") for one in cell.split()]
    for place, (app, _, token) in enumerate(pairs):
        if not app or not token:
            raise refuse(f"push[{place}]", "is app:token")
    return [{"app": app, "token": token} for app, _, token in pairs]


def _windows(cell: str) -> Sequence[Mapping[str, str]]:
    """`22:00-08:00`, separated by blanks."""
    return [
        {"from": start, "to": end} for start, _, end in (one.partition("-") for one in cell.split())
    ]


_CELLS: Mapping[str, Callable[[str], Any]] = {
    "id": str,
    "phone": str,
    "email": str,
    "push": _devices,
    "wechat": str,
    "wecom": str,
    "chat": str,
    "url": str,
    "verified": str.split,
    "invalid": str.split,
    "locale": str,
    "zone": str,
    "tier": str,
    "quiet_hours": _windows,
    "updated_at": str,
}
#: Columns such as `attributes.city` and `preferences.marketing`.
_TABLES: Mapping[str, Callable[[str], Any]] = {"attributes": str, "preferences": str.split}


def _cell_reader(column: str) -> Callable[[str], Any] | None:
    table, dot, key = column.partition(".")
    return _TABLES.get(table) if dot and key else _CELLS.get(column)


def numbered(lines: Sequence[bytes | None], before: int) -> Iterator[tuple[int, bytes | None]]:
    """Lines with something on them, by their numbers. before: lines that have gone before."""
    for number, line in enumerate(lines, before + 1):
        if line is None or (line and not line.isspace()):
            yield number, line

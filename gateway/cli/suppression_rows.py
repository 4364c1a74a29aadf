"""Lists of suppressions in files: rows of CSV or NDJSON to items as the API takes them.

Read as they are wanted, so that a file may be larger than memory. A row that cannot be read is an
error in its place; the rows after it count.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import orjson

from gateway.api import bodies, problems
from gateway.model.errors import RequestError, SettingsError

#: Columns that are addresses, columns of a push address, and those of the item itself.
_ADDRESSES = ("phone", "email", "wechat", "wecom", "chat", "url", "recipient")
_PUSH = ("app", "token")
_OWN = ("channel", "reason", "category", "source", "at", "expires_at")

#: Characters of a line; the longest address has 4,096.
_LINE = 64 * 1024
#: Refused rows that are remembered.
_KEPT = 1_000

#: (number of the line, what it says or why it says nothing)
Row = tuple[int, bodies.Parsed | problems.BadBody]


def read_csv(file: IO[str]) -> Iterator[Row]:
    """The first line names the columns. Raises SettingsError when it does not.

    A row is one line, so that a stray quote spoils its own row and no other.
    """
    columns = [name.strip().lower() for name in _cells(file.readline(_LINE)) or ()]
    known = {*_ADDRESSES, *_PUSH, *_OWN}
    if not columns or set(columns) - known or len(set(columns)) < len(columns):
        raise SettingsError(
            [f"the first line names columns, each once, of {', '.join(sorted(known))}"]
        )
    for number, line in _lines(file, 2):
        values = None if line is None else _cells(line)
        if values is None:
            yield number, problems.BadBody("This line is not CSV.")
        elif not any(value.strip() for value in values):
            continue
        elif len(values) != len(columns):
            yield number, problems.BadBody(f"This line has not {len(columns)} fields.")
        else:
            cells = zip(columns, (value.strip() for value in values), strict=True)
            yield number, _item({name: value for name, value in cells if value})


def _cells(line: str) -> Sequence[str] | None:
    """None for what is not one record."""
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error:
        return None


def _item(cells: Mapping[str, str]) -> bodies.Parsed:
    to: dict[str, Any] = {name: cells[name] for name in _ADDRESSES if name in cells}
    if device := {name: cells[name] for name in _PUSH if name in cells}:
        to["push"] = [device]
    own = {name: cells[name] for name in _OWN if name in cells}
    # a file may hold anything, so that NUL must be looked for
    return bodies.Parsed({"to": to, **own}, suspect=True)


def read_ndjson(file: IO[str]) -> Iterator[Row]:
    """One item a line."""
    for number, line in _lines(file, 1):
        if line is None:
            yield number, problems.BadBody("This line is too long.")
        elif not line.isspace():
            yield number, _parse(line)


def _lines(file: IO[str], first: int) -> Iterator[tuple[int, str | None]]:
    """Lines with their numbers; None for one that is too long."""
    number = first
    while line := file.readline(_LINE):
        is_cut = len(line) == _LINE and not line.endswith(("\n", "\r"))
        if is_cut:
            _skip_line(file)
        yield number, None if is_cut else line
        number += 1


def _parse(line: str) -> bodies.Parsed | problems.BadBody:
    try:
        return bodies.Parsed(orjson.loads(line), suspect=True)
    except orjson.JSONDecodeError:
        return problems.BadBody("This line is not JSON.")


def _skip_line(file: IO[str]) -> None:
    while (rest := file.readline(_LINE)) and not rest.endswith(("\n", "\r")):
        pass


@dataclass
class Tally:
    """What became of the rows of a file."""

    read: int = 0
    recorded: int = 0
    #: line, field, what is wrong; the first ones
    faults: list[dict[str, Any]] = field(default_factory=list)
    refused: int = 0

    def refuse(self, line: int, error: RequestError) -> None:
        """Count a row, and remember what is wrong with it."""
        self.refused += 1
        if len(self.faults) < _KEPT:
            first = error.faults[0] if error.faults else None
            detail = first.detail if first is not None else error.detail
            self.faults.append(
                {"line": line, "field": first.field if first is not None else "", "detail": detail}
            )

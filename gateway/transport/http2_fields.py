"""Header fields of requests to octets: HPACK (RFC 7541), as much of it as pays.

hpack's own encoder takes three quarters of what a push costs: it looks for each field in a list and
squeezes each value by Huffman's code. Here a field that comes again is one octet, any other goes
out as it is, and a table that is full is emptied rather than worn out entry by entry.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from hpack import Encoder, NeverIndexedHeaderTuple
from hpack.table import HeaderTable

_STATIC: tuple[tuple[bytes, bytes], ...] = HeaderTable.STATIC_TABLE
#: Index of the newest entry (§2.3.3): those before it are the static table's.
_FIRST = len(_STATIC) + 1
#: What an entry takes beside its octets (§4.1), and the table's size where nothing else is said.
_OVERHEAD, _USUAL_SIZE = 32, 4096
#: First octets (§6): an index; a literal that is remembered, is not, is never; a new table size.
_INDEXED, _REMEMBERED, _PLAIN, _NEVER, _SIZE = 0x80, 0x40, 0x00, 0x10, 0x20
#: Beginnings of literals that are kept; names come from code, not from callers.
_KEPT = 512


def _integer(first: int, bits: int, value: int) -> bytes:
    """A number behind the flags of an octet (§5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes((first | value,))
    octets = bytearray((first | most,))
    value -= most
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def _text(value: bytes) -> bytes:
    """§5.2, without Huffman's code."""
    return _integer(0, 7, len(value)) + value


#: Fields that both ends know from the beginning, and places of their names.
_KNOWN: Mapping[tuple[bytes, bytes], bytes] = {
    pair: _integer(_INDEXED, 7, place) for place, pair in reversed([*enumerate(_STATIC, 1)])
}
_NAMES: Mapping[bytes, int] = {
    name: place for place, (name, _) in reversed([*enumerate(_STATIC, 1)])
}


class FieldEncoder(Encoder):
    """Of one connection, in the place of hpack's."""

    def __init__(self) -> None:
        super().__init__()
        self._size = _USUAL_SIZE
        self._used = 0
        #: entries that have been made, and by field the number of its own
        self._made = 0
        self._numbers: dict[tuple[bytes, bytes], int] = {}
        self._starts: dict[tuple[int, bytes], bytes] = {}
        self._must_empty = False

    @property
    def header_table_size(self) -> int:
        """Octets that the peer lets the table have (§4.2)."""
        return self._size

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        if value != self._size:
            self._size = min(value, _USUAL_SIZE)
            self._must_empty = True

    def encode(self, headers: Iterable[Any], huffman: bool = False) -> bytes:
        """A header block of pairs of octets; `NeverIndexedHeaderTuple`s stay out of the table."""
        block = bytearray(self._empty() if self._must_empty else b"")
        numbers, made = self._numbers, self._made
        for field in headers:
            if (known := _KNOWN.get(field)) is not None:
                block += known
            elif isinstance(field, NeverIndexedHeaderTuple):
                block += self._literal(_NEVER, *field)
            elif (number := numbers.get(field)) is not None:
                block += _integer(_INDEXED, 7, _FIRST + made - number)
            else:
                block += self._remember(field)
                made = self._made
        return bytes(block)

    def _remember(self, field: tuple[bytes, bytes]) -> bytes:
        name, value = field
        size = len(name) + len(value) + _OVERHEAD
        if self._used + size > self._size:
            self._must_empty = size <= self._size
            return self._literal(_PLAIN, name, value)
        self._used += size
        self._made += 1
        self._numbers[name, value] = self._made
        return self._literal(_REMEMBERED, name, value)

    def _literal(self, kind: int, name: bytes, value: bytes) -> bytes:
        start = self._starts.get((kind, name))
        if start is None:
            bits = 6 if kind == _REMEMBERED else 4
            place = _NAMES.get(name, 0)
            start = _integer(kind, bits, place) + (b"" if place else _text(name))
            if len(self._starts) >= _KEPT:
                self._starts.clear()
            self._starts[kind, name] = start
        return start + _text(value)

    def _empty(self) -> bytes:
        """A size of nothing drives everything out (§4.3); then the size that there may be."""
        self._numbers.clear()
        self._used = self._made = 0
        self._must_empty = False
        return _integer(_SIZE, 5, 0) + _integer(_SIZE, 5, self._size)

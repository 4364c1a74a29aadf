"""What h2 cannot be left alone with: GOAWAY (RFC 9113 §6.8), taken out of the frames that come.

h2 calls a connection closed at the first GOAWAY and refuses the answers to requests that the
server has promised to finish. So this reads the frame headers (§4.1), keeps GOAWAY to itself and
passes on everything else as it comes.
"""

from typing import NamedTuple

_HEADER_BYTES = 9
_GOAWAY = 0x7
#: Last stream, error and debug data, which is nobody's: SETTINGS_MAX_FRAME_SIZE as we leave it.
_MAX_GOAWAY = 16_384


class GoAway(NamedTuple):
    """The server takes no more streams."""

    #: streams of ours above this one were not and will not be acted on
    last_stream: int
    error: int


class Malformed(Exception):
    """A GOAWAY that is none."""


class Sieve:
    """Feed it what comes; it gives back what is for h2, and the GOAWAYs in between."""

    def __init__(self) -> None:
        self._header = bytearray()
        #: bytes of the current frame's payload that are still to come
        self._left = 0
        self._kept: bytearray | None = None

    def feed(self, data: bytes) -> tuple[bytes, list[GoAway]]:
        """Raises Malformed. Costs a look at each frame's header, and no copy of whole reads."""
        passed: list[bytes | memoryview] = []
        found: list[GoAway] = []
        view, at = memoryview(data), 0
        while at < len(view):
            if self._left == 0:
                at = self._read_header(view, at, passed, found)
                continue
            taken = view[at : at + self._left]
            at += len(taken)
            self._left -= len(taken)
            self._take(taken, passed, found)
        return b"".join(passed), found

    def _read_header(
        self,
        view: memoryview,
        at: int,
        passed: list[bytes | memoryview],
        found: list[GoAway],
    ) -> int:
        end = at + _HEADER_BYTES - len(self._header)
        self._header += view[at:end]
        if len(self._header) < _HEADER_BYTES:
            return len(view)
        header = bytes(self._header)
        self._header.clear()
        self._left = int.from_bytes(header[:3], "big")
        if header[3] != _GOAWAY:
            passed.append(header)
            return end
        if not 8 <= self._left <= _MAX_GOAWAY or any(header[5:]):
            raise Malformed
        self._kept = bytearray()
        return end

    def _take(
        self, taken: memoryview, passed: list[bytes | memoryview], found: list[GoAway]
    ) -> None:
        if self._kept is None:
            passed.append(taken)
            return
        self._kept += taken
        if self._left == 0:
            last = int.from_bytes(self._kept[:4], "big") & 0x7FFF_FFFF
            found.append(GoAway(last, int.from_bytes(self._kept[4:8], "big")))
            self._kept = None

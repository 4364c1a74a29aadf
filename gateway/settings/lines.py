"""Where keys stand in a TOML file, which the parser of the standard library does not tell.

Best effort, by table headers and the keys that begin a line: what stands inside an inline table or
an array counts as its key's line. Only files that parse are scanned.
"""

import re

from gateway.settings.faults import KeyPath

_KEY = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*""")
#: What decides whether a value goes on in the next line.
_TOKEN = re.compile(r'"""|\'\'\'|"(?:[^"\\]|\\.)*"|\'[^\']*\'|#.*|[\[{]|[\]}]')


def scan(text: str) -> dict[KeyPath, int]:
    """Line of each key and table, the first being 1."""
    scanner = _Scanner()
    for number, line in enumerate(text.splitlines(), 1):
        scanner.line(number, line)
    return scanner.found


class _Scanner:
    def __init__(self) -> None:
        self.found: dict[KeyPath, int] = {}
        self._table: KeyPath = ()
        self._depth = 0
        self._quote = ""  # the closing quotes of an open multi-line string

    def line(self, number: int, line: str) -> None:
        inside = bool(self._depth or self._quote)
        if not inside and line.lstrip().startswith("["):
            self._header(number, line.strip())
            return
        start = 0 if inside else self._key(number, line)
        self._value(line, start)

    def _header(self, number: int, line: str) -> None:
        array = line.startswith("[[")
        path, _ = _dotted(line, 2 if array else 1)
        if array:
            place = sum(known[:-1] == path and isinstance(known[-1], int) for known in self.found)
            path = (*path, place)
        self._table = path
        self._note(path, number)

    def _key(self, number: int, line: str) -> int:
        path, end = _dotted(line, 0)
        if path:
            self._note((*self._table, *path), number)
        return end

    def _note(self, path: KeyPath, number: int) -> None:
        for length in range(1, len(path) + 1):
            self.found.setdefault(path[:length], number)

    def _value(self, line: str, start: int) -> None:
        while start < len(line):
            if self._quote:
                start = self._close(line, start)
                continue
            match = _TOKEN.search(line, start)
            if match is None:
                return
            start = match.end()
            self._take(match.group())

    def _close(self, line: str, start: int) -> int:
        end = line.find(self._quote, start)
        if end < 0:
            return len(line)
        self._quote = ""
        return end + 3

    def _take(self, token: str) -> None:
        if token in ('"""', "'''"):
            self._quote = token
        elif token in "[{":
            self._depth += 1
        elif token in "]}":
            self._depth -= 1


def _dotted(line: str, start: int) -> tuple[KeyPath, int]:
    """The dotted key that begins at `start`, and where it ends."""
    path: list[str | int] = []
    while match := _KEY.match(line, start):
        path.append(next(group for group in match.groups() if group is not None))
        start = match.end()
        if line[start : start + 1] != ".":
            break
        start += 1
    return tuple(path), start

"""Secrets in the file are references: `${ENV_NAME}` inside a string, or `file:/path` as a whole.

Templates are left alone: what they say is not secret, and it goes to recipients.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.settings.faults import Fault, KeyPath

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_FILE = "file:"
#: Enough for any key file; more is a mistake such as a device or a log.
_FILE_LIMIT_BYTES = 1 << 20


@dataclass(slots=True)
class Resolver:
    """Fills in references, and remembers what went wrong and what must never be shown."""

    environ: Mapping[str, str]
    #: relative `file:` paths start here
    folder: Path
    faults: list[Fault] = field(default_factory=list)
    values: set[str] = field(default_factory=set, repr=False)

    def resolve(self, tables: Mapping[str, Any]) -> dict[str, Any]:
        """A copy with every reference filled in; one that cannot be is left as it stands."""
        return {
            key: value if key == "templates" else self._walk(value, (key,))
            for key, value in tables.items()
        }

    def _walk(self, value: Any, path: KeyPath) -> Any:
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, Mapping):
            return {key: self._walk(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._walk(item, (*path, place)) for place, item in enumerate(value)]
        return value

    def _text(self, value: str, path: KeyPath) -> str:
        if value.startswith(_FILE):
            return self._file(value, path)
        for name in _REFERENCE.findall(value):
            if not self.environ.get(name):
                state = "is empty" if name in self.environ else "is not set"
                self.faults.append(Fault(path, f"environment variable {name} {state}"))
                return value
            self.values.add(self.environ[name])
        return _REFERENCE.sub(lambda match: self.environ[match[1]], value)

    def _file(self, value: str, path: KeyPath) -> str:
        name = value.removeprefix(_FILE)
        try:
            content = _read_limited(self.folder / name).strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a small text file"
            self.faults.append(Fault(path, f"cannot read {os.fspath(name)}: {reason}"))
            return value
        if not content:
            self.faults.append(Fault(path, f"{name} is empty"))
        self.values.update(_shown_forms(content))
        return content


def _read_limited(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_FILE_LIMIT_BYTES + 1)
    if len(content) > _FILE_LIMIT_BYTES:
        raise ValueError("too large")
    return content.decode()


def _shown_forms(content: str) -> Iterator[str]:
    """The whole and its lines: an error may quote a part of a key file."""
    yield content
    yield from (line.strip() for line in content.splitlines())

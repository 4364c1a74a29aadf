"""What is wrong with a file, where it says so, and how that is shown."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

#: Keys and list positions from the root, such as ("lanes", "sms", "providers", 1).
KeyPath: TypeAlias = tuple[str | int, ...]


class Fault(NamedTuple):
    path: KeyPath
    text: str


_BARE = re.compile(r"[A-Za-z0-9_-]+")
#: Shorter values are not replaced: they would tear holes in the words around them.
_SCRUB_FROM = 4


def show_path(path: KeyPath) -> str:
    """As TOML writes it: `lanes."sms.cn".providers[1]`."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            name = part if _BARE.fullmatch(part) else f'"{part}"'
            shown += f".{name}" if shown else name
    return shown


def show(
    faults: Iterable[Fault],
    *,
    file: str = "",
    lines: Mapping[KeyPath, int] | None = None,
    secrets: Iterable[str] = (),
) -> tuple[str, ...]:
    """One line for each fault, in the order of the file. No line holds one of the secrets."""
    once = dict.fromkeys(faults)
    ordered = sorted(once, key=lambda fault: find_line(fault.path, lines or {}) or 0)
    hidden = sorted((one for one in secrets if len(one) >= _SCRUB_FROM), key=len, reverse=True)
    return tuple(
        _show(fault, file, find_line(fault.path, lines or {}), hidden) for fault in ordered
    )


def _show(fault: Fault, file: str, line: int | None, hidden: Iterable[str]) -> str:
    place = "" if not file else f"{file}:{line} " if line else f"{file} "
    text = fault.text
    for secret in hidden:
        text = text.replace(secret, "…")
    return f"{place}{show_path(fault.path)}: {text}" if fault.path else f"{place}{text}"


def find_line(path: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    """The line of the key, or of the nearest one around it that has a line of its own."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """`unknown provider "tencnet", did you mean "tencent"?`"""
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f'unknown {what} "{name}"' + (f', did you mean "{near[0]}"?' if near else "")

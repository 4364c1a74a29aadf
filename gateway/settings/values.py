"""Kinds of values that several settings share, and how their text is read.

Errors are ValueErrors that say what would be right; they never repeat the value, which may have
come from a secret.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.model.message import Priority
from gateway.model.state import State


@dataclass(frozen=True, slots=True)
class Kind:
    """How the settings table names a type."""

    name: str


#: Longest first, as they are tried when a duration is shown.
_MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")

_BYTES = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_SIZE = re.compile(r"([0-9]{1,15}) ?(B|kB|MB|GB|KiB|MiB|GiB)")


def read_duration(value: object) -> object:
    """Seconds of `250ms`, `20s`, `5m`, `2h`, `180d`; a plain number is seconds already."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('not a duration, such as "250ms", "20s", "5m", "2h" or "180d"')
    number, unit = match.groups()
    return float(number) * _MILLISECONDS[unit] / 1000


def show_duration(seconds: float) -> str:
    """A text that `read_duration` reads back, to the millisecond."""
    milliseconds = round(seconds * 1000)
    for unit, size in _MILLISECONDS.items():
        if milliseconds >= size and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return "0s"


def read_size(value: object) -> object:
    """Bytes of `512KiB`, `4MiB`, `10MB`; a plain number is bytes already."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('not a size, such as "512KiB" or "4MiB"')
    return int(match.group(1)) * _BYTES[match.group(2)]


def show_size(size_bytes: int) -> str:
    """The shortest text in binary units that `read_size` reads back."""
    for unit in ("GiB", "MiB", "KiB"):
        if size_bytes >= _BYTES[unit] and size_bytes % _BYTES[unit] == 0:
            return f"{size_bytes // _BYTES[unit]}{unit}"
    return f"{size_bytes}B"


def read_address(value: object) -> object:
    """(host, port) of `127.0.0.1:8080` or `[::1]:8080`; port 0 lets the system choose one."""
    if isinstance(value, tuple):
        return value
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not host or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError('not an address to listen on, such as "127.0.0.1:8080" or "[::1]:8080"')
    return host, int(port)


_UNTIL = {"accepted": State.SENT, "delivered": State.DELIVERED, "read": State.READ}


def read_until(value: object) -> object:
    """How far an attempt must get; `accepted` is the state `sent`."""
    if isinstance(value, State) and value in _UNTIL.values():
        return value
    if not isinstance(value, str) or value not in _UNTIL:
        raise ValueError("not one of accepted, delivered, read")
    return _UNTIL[value]


def read_priority(value: object) -> object:
    """A priority by name, as configuration and API write it."""
    if isinstance(value, Priority):
        return value
    try:
        return Priority[value.upper()] if isinstance(value, str) and value.islower() else _fail()
    except KeyError:
        return _fail()


def _fail() -> object:
    raise ValueError("not one of " + ", ".join(one.name.lower() for one in Priority))


def check_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError('not a time zone, such as "UTC" or "Asia/Shanghai"') from None
    return value


#: Names appear in URLs, file names, metrics and logs.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            "a name is up to 64 letters, digits, dots, dashes and underscores, "
            "of which the first is a letter or digit"
        )
    return value


_DOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+")


def check_domain(value: str) -> str:
    """A host name in lower case."""
    if not _DOMAIN.fullmatch(value.lower()):
        raise ValueError('not a domain, such as "example.com"; others than ASCII as xn--…')
    return value.lower()


Duration: TypeAlias = Annotated[
    float,
    BeforeValidator(read_duration),
    Field(ge=0, le=10 * 365 * 86400, allow_inf_nan=False),
    Kind("duration"),
]
#: A duration that cannot be zero.
Period: TypeAlias = Annotated[
    float,
    BeforeValidator(read_duration),
    Field(gt=0, le=10 * 365 * 86400, allow_inf_nan=False),
    Kind("duration"),
]
Size: TypeAlias = Annotated[int, BeforeValidator(read_size), Field(gt=0), Kind("size")]
Listen: TypeAlias = Annotated[tuple[str, int], BeforeValidator(read_address), Kind("host:port")]
Until: TypeAlias = Annotated[
    State, BeforeValidator(read_until), Kind("accepted, delivered or read")
]
PriorityName: TypeAlias = Annotated[
    Priority, BeforeValidator(read_priority), Kind("critical, high, normal or bulk")
]
Zone: TypeAlias = Annotated[str, AfterValidator(check_zone), Kind("time zone")]
Name: TypeAlias = Annotated[str, AfterValidator(check_name), Kind("name")]
Domain: TypeAlias = Annotated[str, AfterValidator(check_domain), Kind("text")]
Rate: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False), Kind("number")]
#: Whatever TOML can hold; only the provider kind knows more.
Table: TypeAlias = dict[str, Any]

"""The tables of gateway/providers/README.md: what each kind can do, and its keys, from the code.

What a key means is the `#:` comment above it, its type and default are the settings class's.
"""

import inspect
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from gateway.providers import base, registry

_FIELD = re.compile(r"    ([a-z]\w*): ")
_DEFAULT = re.compile(r"[;,]? ?\bdefault:? [^;]*$")
_WORDS: Mapping[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    Any: "any",
}


class KeyRow(NamedTuple):
    """One key of an account."""

    key: str
    type: str
    #: `required`, or empty where absence means something of its own
    default: str
    meaning: str


def tables() -> str:
    """Everything between the marks."""
    kinds = [kind for kind in registry.kinds() if fields(registry.load(kind).Settings)]
    return "\n".join(
        [*_overview(registry.kinds()), *(line for kind in kinds for line in _of(kind))]
    )


def keys(kind: str) -> Sequence[KeyRow]:
    """The kind's own keys of `[providers.<account>]`, in the order of its file."""
    return tuple(_rows(registry.load(kind).Settings, ""))


def _overview(kinds: Sequence[str]) -> Iterator[str]:
    yield "| Kind | Channel | Messages a call | Receipts | Replies | Drops repeats | Limits |"
    yield "|---|---|---|---|---|---|---|"
    for kind in kinds:
        cls: Any = registry.load(kind).Provider
        cells = (
            f"`{kind}`",
            _channel(cls, kind),
            str(cls.batch_limit),
            _receipts(cls),
            _yes("read_inbound" in vars(cls) or base.SmppProvider in cls.__mro__),
            _yes(cls.drops_repeats),
            cls.limits,
        )
        yield _line(cells)


def _channel(cls: Any, kind: str) -> str:
    if any(one.name == "channel" for one in fields(registry.load(kind).Settings)):
        return "as `channel` says"
    if base.SmtpProvider in cls.__mro__:
        return "email"
    return "sms" if base.SmppProvider in cls.__mro__ else str(cls.channel)


def _receipts(cls: Any) -> str:
    if base.SmtpProvider in cls.__mro__:
        return "no"
    if base.HttpProvider not in cls.__mro__:
        return "yes"
    told = getattr(cls, "reports", None)
    if told is None or "self.reports" in inspect.getsource(cls):
        return "as set up"
    return ", ".join(sorted(told)) or "no"


def _yes(value: object) -> str:
    return "yes" if value else "no"


def _of(kind: str) -> Iterator[str]:
    module = registry.load(kind)
    summary = (inspect.getdoc(inspect.getmodule(module.Provider)) or "").split("\n\n")[0]
    yield from ("", f"### `{kind}`", "", " ".join(summary.split()), "")
    yield from ("| Key | Type | Default | Meaning |", "|---|---|---|---|")
    for one in keys(kind):
        default = f"`{one.default}`" if one.default not in ("", "required") else one.default
        yield _line((f"`{one.key}`", one.type, default, one.meaning))


def _line(cells: Sequence[str]) -> str:
    shown = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(shown)} |".replace("  |", " |")


def _rows(cls: type[Any], prefix: str) -> Iterator[KeyRow]:
    said, hints = _comments(cls), get_type_hints(cls)
    for one in fields(cls):
        key = prefix + one.name.rstrip("_")
        kind, default = _type(hints[one.name]), _default(one)
        meaning = said.get(one.name, "")
        if default and default != "required":
            meaning = _DEFAULT.sub("", meaning)
        yield KeyRow(key, kind, default, meaning)
        for nested in _nested(hints[one.name]):
            yield from _rows(nested, f"{key}.")


def _comments(cls: type[Any]) -> Mapping[str, str]:
    """By field: the `#:` lines above it, with their continuations."""
    found: dict[str, str] = {}
    lines: list[str] = []
    for line in inspect.getsource(cls).splitlines():
        if line.strip().startswith("#"):
            lines.append(line.strip().lstrip("#:").strip())
        elif match := _FIELD.match(line):
            found[match[1]] = " ".join(lines)
            lines = []
        else:
            lines = []
    return found


def _nested(hint: Any) -> Iterator[type[Any]]:
    for one in (hint, *get_args(hint)):
        if isinstance(one, type) and is_dataclass(one):
            yield one


def _type(hint: Any) -> str:
    if hint in _WORDS:
        return _WORDS[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return _choice([str(one) for one in arguments])
    if origin in (Union, types.UnionType):
        return " or ".join(_type(one) for one in arguments if one is not type(None))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _choice([str(one.value) for one in hint])
    if origin is not None and issubclass(origin, Sequence | frozenset):
        return f"list of {_type(arguments[0])}"
    return "table"


def _choice(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def _default(one: Field[Any]) -> str:
    if one.default is MISSING:
        return "required" if one.default_factory is MISSING else ""
    value = one.default
    if value is None or value in ("", ()):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | frozenset):
        return ", ".join(sorted(str(each) for each in value))
    return f"{value:g}" if isinstance(value, float) else str(value)

"""Templates as files, for texts that are too long for the configuration file.

    <folder>/<template>/<channel>.<field>.j2    email.html.j2, sms.text.j2, push.link.j2
    <folder>/<template>/template.toml           optional: any key of [templates.<name>]

What else lies there is left alone, so that editors and people can keep notes.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway import settings
from gateway.model.errors import SettingsError
from gateway.model.wire import Channel

_SUFFIX = ".j2"
_TABLE = "template.toml"
_CHANNELS = frozenset(Channel)


def read(folder: Path, categories: Iterable[str]) -> Mapping[str, settings.Template]:
    """Templates by name. categories: those that they may name.

    Raises SettingsError with every fault, as the configuration file's templates would have it.
    """
    faults: list[str] = []
    tables = {place.name: _table(place, faults) for place in _directories(folder)}
    try:
        parsed = settings.parse(
            {"templates": tables, "categories": {name: {} for name in categories}}, environ={}
        )
    except SettingsError as error:
        faults += error.faults
    if faults:
        raise SettingsError(faults)
    return parsed.templates


def _directories(folder: Path) -> list[Path]:
    try:
        return sorted(
            place for place in folder.iterdir() if place.is_dir() and place.name[0] not in "._"
        )
    except OSError as error:
        raise SettingsError([f"content.folder: {folder}: {error.strerror}"]) from None


def _table(place: Path, faults: list[str]) -> dict[str, Any]:
    table = _declared(place / _TABLE, faults)
    for file in sorted(place.glob(f"*{_SUFFIX}")):
        channel, dot, field = file.name.removesuffix(_SUFFIX).partition(".")
        entry = table.setdefault(channel, {})
        if channel not in _CHANNELS or not dot or not field.isidentifier():
            faults.append(f"{file}: not <channel>.<field>.j2, such as email.html.j2")
            table.pop(channel)
        elif not isinstance(entry, dict) or field in entry:
            faults.append(f"{file}: {_TABLE} says {channel}.{field} as well")
        else:
            entry[field] = "".join(_text(file, faults))
    return table


def _declared(file: Path, faults: list[str]) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        return tomllib.loads("".join(_text(file, faults)))
    except tomllib.TOMLDecodeError as error:
        faults.append(f"{file}: {error}")
        return {}


def _text(file: Path, faults: list[str]) -> Iterator[str]:
    try:
        yield file.read_text(encoding="utf-8-sig")
    except OSError as error:
        faults.append(f"{file}: {error.strerror}")
    except UnicodeDecodeError:
        faults.append(f"{file}: not UTF-8")

"""Reads a configuration file and finds everything that is wrong with it.

A section or entry that does not fit its model is reported and left out, so that what others say
about the rest can be checked as well; what merely refers to it is not blamed.
"""

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError

from gateway.model.errors import SettingsError
from gateway.settings import check, faults, lines, secrets, shape
from gateway.settings.faults import Fault, KeyPath
from gateway.settings.models import Settings
from gateway.settings.reference import model_at

#: (account, kind, options) to faults, each a text that may begin with a key and a colon.
CheckProvider: TypeAlias = Callable[[str, str, Mapping[str, Any]], Sequence[str]]

#: What the layers above find wrong with settings from which entries at fault have been left out.
CheckWhole: TypeAlias = Callable[[Settings], Iterable[Fault]]


def load(
    path: str | os.PathLike[str],
    environ: Mapping[str, str] = os.environ,
    check_provider: CheckProvider | None = None,
    check_whole: CheckWhole | None = None,
) -> Settings:
    """The settings of a TOML file. Raises SettingsError with every fault, by file and line.

    Relative paths in the file start at its folder. check_provider judges what only the provider's
    kind understands; check_whole, called last, what only the layers above know.
    """
    file = Path(path)
    text = _read(file)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([_syntax_fault(file, str(error))]) from None
    reading = _Reading(tables, environ, file.parent, check_provider, check_whole)
    if reading.faults:
        raise SettingsError(reading.show(str(file), lines.scan(text)))
    return reading.settings


def parse(
    tables: Mapping[str, Any],
    *,
    environ: Mapping[str, str] = os.environ,
    check_provider: CheckProvider | None = None,
    folder: Path = Path(),
) -> Settings:
    """As `load`, of tables as `tomllib` gives them. folder: where relative paths start."""
    reading = _Reading(tables, environ, folder, check_provider)
    if reading.faults:
        raise SettingsError(reading.show())
    return reading.settings


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise SettingsError([f"{file} cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise SettingsError([f"{file} is not UTF-8, see byte {error.start}"]) from None


def _syntax_fault(file: Path, text: str) -> str:
    match = re.search(r" \(at line (\d+), column (\d+)\)$", text)
    if match is None:
        return f"{file} {text}"
    return f"{file}:{match[1]} column {match[2]}: {text[: match.start()]}"


class _Reading:
    """One pass over the tables: settings without what is wrong, and what that was."""

    def __init__(
        self,
        tables: Mapping[str, Any],
        environ: Mapping[str, str],
        folder: Path,
        check_provider: CheckProvider | None,
        check_whole: CheckWhole | None = None,
    ) -> None:
        self._resolver = secrets.Resolver(environ, folder)
        shaped = shape.shape(self._resolver.resolve(tables), folder=folder)
        names = check.Names.of(shaped)
        self.settings, found = _validate(shaped)
        found += check.faults(self.settings, names)
        if check_provider is not None:
            found += _provider_faults(self.settings, check_provider)
        if check_whole is not None:
            found += check_whole(self.settings)
        self.faults = [*self._resolver.faults, *(one for one in found if not self._explained(one))]

    def _explained(self, fault: Fault) -> bool:
        """Whether it is about a value that could not be read in the first place."""
        missing = (one.path for one in self._resolver.faults)
        return any(fault.path[: len(path)] == path for path in missing)

    def show(
        self, file: str = "", lines_of: Mapping[KeyPath, int] | None = None
    ) -> tuple[str, ...]:
        return faults.show(self.faults, file=file, lines=lines_of, secrets=self._resolver.values)


def _validate(shaped: dict[str, Any]) -> tuple[Settings, list[Fault]]:
    found: list[Fault] = []
    while True:
        try:
            return Settings.model_validate(shaped), found
        except ValidationError as error:
            for one in error.errors(include_url=False, include_input=False):
                shaped = _without(shaped, one["loc"])
                if one["type"] != _CONSEQUENCE:
                    found.append(_fault(one["loc"], one["type"], one["msg"]))


#: A default could not be worked out because another field is at fault.
_CONSEQUENCE = "default_factory_not_called"


def _without(shaped: dict[str, Any], place: KeyPath) -> dict[str, Any]:
    """The tables less the entry, or in other sections the key, at fault."""
    section = place[0]
    table = shaped.get(str(section))
    if len(place) == 1 or not isinstance(table, Mapping):
        return {key: value for key, value in shaped.items() if key != section}
    return {**shaped, str(section): {k: v for k, v in table.items() if k != place[1]}}


#: pydantic's words that can be said better.
_WORDS = {"missing": "is missing", "too_short": "is empty"}


def _fault(place: KeyPath, kind: str, message: str) -> Fault:
    path = shape.file_path(place)
    if kind == "extra_forbidden":
        known = model_at(place[:-1])
        return Fault(path, _unknown_key(str(place[-1]), known))
    message = message.removeprefix("Value error, ").replace("Input should be", "should be")
    return Fault(path, _WORDS.get(kind, message))


def _unknown_key(name: str, model: type[BaseModel] | None) -> str:
    return faults.unknown("key", name, model.model_fields if model else ())


_KEY = re.compile(r"([A-Za-z_][\w-]*(?:\.[\w-]+|\[\d+\])*): ")


def _provider_faults(settings: Settings, check_provider: CheckProvider) -> Iterator[Fault]:
    for name, account in settings.providers.items():
        for text in check_provider(name, account.kind, account.options):
            yield _provider_fault(name, text)


def _provider_fault(account: str, text: str) -> Fault:
    """The text begins with a key of the account, with its whole path, or with neither."""
    for start in (f"providers.{account}", faults.show_path(("providers", account))):
        text = text.removeprefix(f"{start}.").removeprefix(f"{start}: ")
    path: KeyPath = ("providers", account)
    if match := _KEY.match(text):
        parts = re.findall(r"[^.\[\]]+", match[1])
        path = (*path, *(int(part) if part.isdecimal() else part for part in parts))
        text = text[match.end() :]
    return Fault(path, text)

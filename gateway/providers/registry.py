"""Finds providers by the `kind` of an account, and builds them from its settings.

A kind is a module of this package that has `Settings` and `Provider`; there is no list to edit.
Faults say which key and what would be right, and never repeat a value: it may be a secret.
"""

import difflib
import functools
import importlib
import pkgutil
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, Protocol, Union, cast, get_args, get_origin, get_type_hints

from gateway import providers
from gateway.clock import Clock
from gateway.model import errors
from gateway.providers import base

_KIND = re.compile(r"[a-z][a-z0-9_]*")
_WORDS = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


class Build(Protocol):
    """The class `Provider` of a kind."""

    def __call__(self, account: str, settings: Any, clock: Clock) -> base.Provider: ...


class Kind(Protocol):
    """What a provider's module has."""

    Settings: type[Any]
    Provider: Build


def kinds() -> list[str]:
    """Every kind, sorted."""
    return sorted(name for name in _modules() if _import(name) is not None)


def known(kind: str) -> bool:
    """Whether accounts may be of this kind."""
    return _KIND.fullmatch(kind) is not None and kind in _modules() and _import(kind) is not None


def load(kind: str) -> Kind:
    """The module of a kind. Raises SettingsError when there is none."""
    module = _import(kind) if known(kind) else None
    if module is None:
        raise errors.SettingsError([f"kind: no such kind{_hint(kind, kinds())}"])
    return module


def build(account: str, kind: str, options: Mapping[str, Any], clock: Clock) -> base.Provider:
    """The provider of an account.

    options: the keys of `[providers.<account>]` that belong to the kind, as TOML gives them, with
    references to secrets resolved. Raises SettingsError with every fault that can be seen, each
    as `providers.<account>.<key>: …`.
    """
    reader = Reader()
    try:
        module = load(kind)
        settings = reader.read_table("", module.Settings, options)
        if not reader.faults:
            return module.Provider(account, settings, clock)
    except errors.SettingsError as error:
        reader.faults += error.faults
    raise errors.SettingsError([f"providers.{account}.{fault}" for fault in reader.faults])


@functools.cache
def _modules() -> frozenset[str]:
    """Read from disk once: `known` is asked for each message with a provider's own template."""
    return frozenset(module.name for module in pkgutil.iter_modules(providers.__path__))


def _import(name: str) -> Kind | None:
    module = importlib.import_module(f"{providers.__name__}.{name}")
    if hasattr(module, "Settings") and hasattr(module, "Provider"):
        return cast(Kind, module)
    return None


def _hint(word: str, words: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, words, n=1)
    return f'; did you mean "{near[0]}"?' if near else f"; there are: {', '.join(words)}"


class Reader:
    """Turns TOML values into the types that a settings class declares, and collects faults."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def read_table(self, path: str, cls: type[Any], options: Mapping[str, Any]) -> Any:
        """An instance of the dataclass; None after a fault that prevents it."""
        known_fields = {one.name.rstrip("_"): one for one in fields(cls)}
        types = get_type_hints(cls)
        for key in options:
            if key not in known_fields:
                hint = _hint(key, sorted(known_fields))
                self._fault(path, key, f"unknown key{hint}")
        before = len(self.faults)
        values = {}
        for key, one in known_fields.items():
            if key in options:
                values[one.name] = self.read(_join(path, key), types[one.name], options[key])
            elif _is_required(one):
                self._fault(path, key, "missing")
        return self._make(path, cls, values) if len(self.faults) == before else None

    def _make(self, path: str, cls: type[Any], values: Mapping[str, Any]) -> Any:
        try:
            return cls(**values)
        except errors.SettingsError as error:
            self.faults += [_join(path, fault) for fault in error.faults]
        except ValueError as error:
            self.faults.append(_join(path, str(error)))
        return None

    def read(self, path: str, kind: Any, value: Any) -> Any:
        """The value as `kind`, an annotation of a settings class."""
        origin, args = get_origin(kind), get_args(kind)
        if kind is Any or kind is object:
            return value
        if origin in (Union, UnionType):
            return self._read_union(path, args, value)
        if origin is Literal:
            return self._read_word(path, {str(word): word for word in args}, value)
        if origin is not None and issubclass(origin, Mapping):
            return self._read_mapping(path, args[1], value)
        if origin is not None and issubclass(origin, Sequence | frozenset):
            return self._read_list(path, origin, args[0], value)
        if is_dataclass(kind):
            return self._read_nested(path, kind, value)
        if issubclass(kind, Enum):
            return self._read_word(path, {str(one.value): one for one in kind}, value)
        return self._read_scalar(path, kind, value)

    def _read_union(self, path: str, kinds: Sequence[Any], value: Any) -> Any:
        """The first that fits; the faults of the last alternative when none does."""
        if value is None and NoneType in kinds:
            return None
        faults: list[str] = []
        for kind in kinds:
            if kind is NoneType:
                continue
            trial = Reader()
            read = trial.read(path, kind, value)
            if not trial.faults:
                return read
            faults = trial.faults
        self.faults += faults
        return None

    def _read_word(self, path: str, words: Mapping[str, Any], value: Any) -> Any:
        if not isinstance(value, str) or value not in words:
            self.faults.append(f"{path}: not one of {', '.join(words)}")
            return None
        return words[value]

    def _read_mapping(self, path: str, kind: Any, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return self._wrong(path, "a table")
        return {str(key): self.read(f"{path}.{key}", kind, item) for key, item in value.items()}

    def _read_list(self, path: str, origin: Any, kind: Any, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return self._wrong(path, "a list")
        items = [self.read(f"{path}[{at}]", kind, item) for at, item in enumerate(value)]
        return frozenset(items) if origin is frozenset else tuple(items)

    def _read_nested(self, path: str, kind: Any, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return self._wrong(path, "a table")
        return self.read_table(path, kind, value)

    def _read_scalar(self, path: str, kind: Any, value: Any) -> Any:
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if type(value) is kind:
            return value
        return self._wrong(path, _WORDS.get(kind, kind.__name__))

    def _wrong(self, path: str, wanted: str) -> None:
        self.faults.append(f"{path}: not {wanted}")

    def _fault(self, path: str, key: str, text: str) -> None:
        self.faults.append(f"{_join(path, key)}: {text}")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _is_required(one: Field[Any]) -> bool:
    return one.default is MISSING and one.default_factory is MISSING

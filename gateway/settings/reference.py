"""The table of settings for people, derived from the models."""

import types
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum, StrEnum
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic.networks import IPvAnyNetwork

from gateway.model.state import State
from gateway.settings.faults import KeyPath
from gateway.settings.models import Settings
from gateway.settings.values import Kind, show_duration, show_size


class ReferenceRow(NamedTuple):
    #: `lanes.<name>.spill_after`, `categories.<name>.chain[].until`
    key: str
    type: str
    #: as the file would say it; `required`, or empty where absence means something of its own
    default: str
    description: str


def reference() -> Sequence[ReferenceRow]:
    """Every key of the file, in the order of its sections."""
    return tuple(_rows(Settings, ""))


def _rows(model: type[BaseModel], prefix: str) -> Iterator[ReferenceRow]:
    for name, field in model.model_fields.items():
        key = prefix + _key(name, field)
        inner, mark = _model_in(field.annotation)
        if field.description:
            kind = _type(field.annotation, field.metadata)
            yield ReferenceRow(key, kind, _default(field), field.description)
        if inner is not None:
            yield from _rows(inner, f"{key}{mark}.")


def _key(name: str, field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra["key"]) if isinstance(extra, dict) and "key" in extra else name


def model_at(path: KeyPath) -> type[BaseModel] | None:
    """The model that holds the keys at a place of the settings; None where there is none."""
    model: type[BaseModel] = Settings
    parts = iter(path)
    for part in parts:
        field = model.model_fields.get(str(part))
        inner, mark = _model_in(field.annotation) if field else (None, "")
        if inner is None:
            return None
        if mark:
            next(parts, None)
        model = inner
    return model


def _model_in(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """The model behind an annotation, and how its place is written: `.<name>`, `[]` or nothing."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    origin, arguments = get_origin(annotation), get_args(annotation)
    mark = {dict: ".<name>", tuple: "[]"}.get(origin, "") if origin else ""
    for argument in arguments:
        inner, _ = _model_in(argument)
        if inner is not None:
            return inner, mark
    return None, ""


_NAMES: Mapping[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    SecretStr: "secret",
    IPvAnyNetwork: "network",
    Any: "any",
}


def _type(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    for mark in metadata:
        if isinstance(mark, Kind):
            return mark.name
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0], arguments[1:])
    if origin in (Union, types.UnionType):
        return _type(next(one for one in arguments if one is not type(None)))
    if origin in (tuple, frozenset):
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return "table"
    return _plain_type(annotation)


def _plain_type(annotation: Any) -> str:
    if annotation in _NAMES:
        return _NAMES[annotation]
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        *others, last = (one.value for one in annotation)
        return f"{', '.join(others)} or {last}"
    return "table"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if field.default_factory is not None or value is None or value in ((), "", {}):
        return ""
    return _show(value, _type(field.annotation, field.metadata))


def _show(value: Any, kind: str) -> str:
    shown = {"duration": show_duration, "size": show_size}.get(kind)
    if shown is not None:
        return shown(value)
    if kind == "host:port":
        return f"{value[0]}:{value[1]}"
    if isinstance(value, frozenset | tuple):
        return ", ".join(sorted(str(one) for one in value))
    if isinstance(value, BaseModel):
        return ""
    return _show_plain(value)


def _show_plain(value: Any) -> str:
    if value is State.SENT:
        return "accepted"
    if isinstance(value, IntEnum):
        return value.name.lower()
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)

"""Parsed JSON to validated bodies, and pydantic's complaints to faults that name fields."""

import re
from typing import Any, Generic, TypeVar

import pydantic

from gateway.api import bodies, fields
from gateway.model.errors import Fault, InvalidMessage

T = TypeVar("T")

#: More do not help anybody, and the answer must stay smaller than the question.
_MOST_FAULTS = 20

_WORDS = {
    "extra_forbidden": "unknown field",
    "missing": "is required",
    "string_pattern_mismatch": "has characters that are not allowed here",
}
#: Names of fields come from the caller when they are unknown ones: only harmless ones are repeated.
_HARMLESS = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}", re.ASCII)


class Reader(Generic[T]):
    """Validates one kind of body. Built once; reads many."""

    def __init__(self, body: type[T]) -> None:
        self._validate = pydantic.TypeAdapter(body).validator.validate_python

    def read(self, parsed: bodies.Parsed) -> T:
        """Raises InvalidMessage with every fault, up to twenty."""
        if parsed.suspect and (faults := bodies.inspect(parsed.value)):
            raise InvalidMessage("The body cannot be used.", faults)
        try:
            body: T = self._validate(parsed.value)
        except pydantic.ValidationError as error:
            faults = faults_of(error)
            raise InvalidMessage("The body does not fit; see faults.", faults) from None
        return body


def faults_of(error: pydantic.ValidationError) -> list[Fault]:
    """One fault for each complaint, none of which repeats the value."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return [Fault(_path(one["loc"]), _words(one)) for one in found[:_MOST_FAULTS]]


def _words(complaint: Any) -> str:
    text: str = complaint["msg"]
    return _WORDS.get(complaint["type"], text[:1].lower() + text[1:])


def _path(location: tuple[int | str, ...]) -> str:
    """`("chain", 1, "channel")` as `chain[1].channel`."""
    out = ""
    for part in location:
        if isinstance(part, int):
            out += f"[{part}]"
        elif part not in (fields.TEXTS, fields.OWN):
            out += ("." if out else "") + (part if _HARMLESS.fullmatch(part) else "?")
    return out

"""The kinds of value that bodies and queries are made of, each with its bound and its schema."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from gateway.api.limits import MAX_SECONDS
from gateway.content import recipients
from gateway.content.recipients import MAX_ID

#: No C0 or C1 control and no other line break: such a value may go into a header.
LINE_PATTERN = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
#: Names of alternatives; pydantic puts them into the place of a fault, where they mean nothing.
TEXTS, OWN = "<texts>", "<own>"
#: RFC 3339 §5.6; the offset may not be left out.
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


#: A line that is neither `.` nor `..`, as no address can name those (RFC 3986 §5.2.4); pydantic's
#: own expressions would take it, and the fault would not say why.
_ID_PATTERN = r"^(\.{0,2}[^.{0}][^{0}]*|\.{3}[^{0}]*)$".replace(
    "{0}", r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
)
#: The same where it is part of an address.
PATH_ID_PATTERN = r"^(\.{0,2}[!-,0-~-][!-.0-~]*|\.{3}[!-.0-~]*)$"


def line(most: int, description: str = "", examples: list[str] | None = None) -> Any:
    """A field for a string of 1 to `most` characters on one line."""
    return Field(
        min_length=1,
        max_length=most,
        pattern=LINE_PATTERN,
        description=description or None,
        examples=examples,
    )


def recipient_id(description: str) -> Any:
    """A field for a tenant's own id of somebody; beside it stands `NAMEABLE`."""
    return Field(
        min_length=1,
        max_length=MAX_ID,
        pattern=LINE_PATTERN,
        description=description,
        examples=["user-42"],
        json_schema_extra={"pattern": _ID_PATTERN},
    )


def _nameable(value: str) -> str:
    if value in (".", ".."):
        raise PydanticCustomError("dots", recipients.DOTS)
    return value


NAMEABLE = AfterValidator(_nameable)


def name(description: str) -> Any:
    """A field for a name from the configuration."""
    return Field(min_length=1, max_length=64, pattern=NAME_PATTERN, description=description)


def read_instant(value: object) -> datetime:
    """RFC 3339 with an offset, to UTC. Raises ValueError."""
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise ValueError
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except OverflowError as error:  # the first and last day of the calendar
        raise ValueError from error


def read_seconds(value: object) -> float:
    """Seconds of `20s`, `5m`, `250ms`, `24h`, `2d` or a number. Raises ValueError."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        seconds = float(match[1]) * _UNITS[match[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        raise ValueError
    if not 0 < seconds <= MAX_SECONDS:
        raise ValueError
    return seconds


def _instant(value: object) -> datetime:
    try:
        return read_instant(value)
    except ValueError:
        raise PydanticCustomError(
            "instant", "should be a date and time with an offset, as RFC 3339 has it"
        ) from None


def _seconds(value: object) -> float:
    try:
        return read_seconds(value)
    except ValueError:
        raise PydanticCustomError(
            "duration", "should be seconds or a duration such as 20s, 5m or 24h, up to 366 days"
        ) from None


Instant = Annotated[
    datetime,
    PlainValidator(_instant),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2030-11-21T20:00:00+08:00"]}
    ),
]

Duration = Annotated[
    float,
    PlainValidator(_seconds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^\d{1,9}(\.\d{1,9})?(ms|s|m|h|d)$"},
                {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_SECONDS},
            ],
            "examples": ["20s"],
        }
    ),
]


def at_most(size_bytes: int) -> AfterValidator:
    """A bound on the serialised size of a JSON object."""
    return AfterValidator(_size_check(size_bytes))


def _size_check(size_bytes: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def check(value: dict[str, Any]) -> dict[str, Any]:
        if len(orjson.dumps(value)) > size_bytes:
            raise PydanticCustomError(
                "size", "should be at most {most} bytes", {"most": size_bytes}
            )
        return value

    return check

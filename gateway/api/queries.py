"""What stands in addresses and query strings, to model values."""

import re
from datetime import datetime

from aiohttp import web

from gateway.api import fields
from gateway.api.limits import MAX_PAGE
from gateway.api.problems import InvalidRequest
from gateway.api.spec import Query
from gateway.content.recipients import check_recipient_id
from gateway.model import errors
from gateway.model.state import State
from gateway.model.view import MessageFilter

_MESSAGE = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_NAME = re.compile(r"[\x21-\x7e]{1,100}")
_INSTANT = {"type": "string", "format": "date-time"}

FILTERS = (
    Query(name="state", description="In this state", schema={"enum": [str(s) for s in State]}),
    Query(
        name="category",
        description="Of this category",
        schema={"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$", "maxLength": 64},
    ),
    Query(name="since", description="Created at this time or later", schema=_INSTANT),
    Query(name="until", description="Created before this time", schema=_INSTANT),
    Query(
        name="cursor",
        description="`next_cursor` of the page before",
        schema={"type": "string", "format": "uuid"},
    ),
    Query(
        name="limit",
        description="Messages in a page",
        schema={"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 50},
    ),
)
PAGE = (
    Query(
        name="cursor",
        description="`next_cursor` of the page before",
        schema={"type": "string", "minLength": 1, "maxLength": 128},
    ),
    Query(
        name="limit",
        description="Recipients in a page",
        schema={"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 50},
    ),
)
_NAMES = frozenset(one.name for one in FILTERS)


def message_id(request: web.Request) -> str:
    """The id of the address. What cannot be one is NotFound, as an unknown one is."""
    value = request.match_info["id"]
    if not _MESSAGE.fullmatch(value):
        raise errors.NotFound("There is no such message.")
    return value.lower()


def name(request: web.Request, key: str) -> str:
    """The name of an endpoint or account in the address; NotFound when it cannot be one."""
    value = request.match_info[key]
    if not _NAME.fullmatch(value):
        raise errors.NotFound("There is nothing of this name.")
    return value


def message_filter(request: web.Request) -> MessageFilter:
    """The filters of a list. Raises InvalidRequest, also for unknown and repeated parameters."""
    query = request.query
    if set(query) - _NAMES or len(query) != len(set(query)):
        raise _invalid("query", f"takes each of {', '.join(sorted(_NAMES))} once")
    return MessageFilter(
        state=_state(query.get("state")),
        category=_category(query.get("category")),
        since_ms=_instant_ms("since", query.get("since")),
        until_ms=_instant_ms("until", query.get("until")),
        cursor=_cursor(query.get("cursor")),
        limit=_limit(query.get("limit", "50")),
    )


def recipient_page(request: web.Request) -> tuple[str, int]:
    """(id to go on after, '' from the start; how many). Raises InvalidRequest."""
    query = request.query
    names = {one.name for one in PAGE}
    if set(query) - names or len(query) != len(set(query)):
        raise _invalid("query", f"takes each of {', '.join(sorted(names))} once")
    cursor = query.get("cursor", "")
    try:
        after = check_recipient_id(cursor) if "cursor" in query else ""
    except ValueError:
        raise _invalid("cursor", "is the next_cursor of an earlier page") from None
    return after, _limit(query.get("limit", "50"))


def _invalid(field: str, detail: str) -> InvalidRequest:
    return InvalidRequest("The query cannot be used; see faults.", [errors.Fault(field, detail)])


def _state(value: str | None) -> State | None:
    if value is None:
        return None
    try:
        return State(value)
    except ValueError:
        raise _invalid("state", f"is one of {', '.join(State)}") from None


def _category(value: str | None) -> str:
    if value is None:
        return ""
    if len(value) > 64 or not re.fullmatch(fields.NAME_PATTERN, value):
        raise _invalid("category", "is the name of a category")
    return value


def _instant_ms(field: str, value: str | None) -> int | None:
    if value is None:
        return None
    try:
        # A plus sign that nobody escaped has become a space.
        at: datetime = fields.read_instant(value.replace(" ", "+"))
    except ValueError:
        raise _invalid(field, "is a date and time with an offset (RFC 3339)") from None
    return int(at.timestamp() * 1000)


def _cursor(value: str | None) -> str:
    if value is None:
        return ""
    if not _MESSAGE.fullmatch(value):
        raise _invalid("cursor", "is the next_cursor of an earlier page")
    return value.lower()


def _limit(value: str) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) <= 4):
        raise _invalid("limit", f"is a number from 1 to {MAX_PAGE}")
    limit = int(value)
    if not 1 <= limit <= MAX_PAGE:
        raise _invalid("limit", f"is a number from 1 to {MAX_PAGE}")
    return limit

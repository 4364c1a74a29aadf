"""What stands in addresses and query strings, to model values."""

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from aiohttp import web

from gateway.api import fields
from gateway.api.limits import MAX_PAGE
from gateway.api.problems import InvalidRequest
from gateway.api.spec import Query
from gateway.content.recipients import MAX_ID, check_recipient_id
from gateway.model import errors
from gateway.model.permission import Reason, SuppressionFilter
from gateway.model.state import State
from gateway.model.view import MessageFilter
from gateway.model.wire import Channel

_MESSAGE = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_NAME = re.compile(r"[\x21-\x7e]{1,100}")
_RECORD = re.compile(r"^[1-9][0-9]{0,17}$", re.ASCII)
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
        schema={"type": "string", "minLength": 1, "maxLength": MAX_ID},
    ),
    Query(
        name="limit",
        description="Recipients in a page",
        schema={"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 50},
    ),
)
_NAMES = frozenset(one.name for one in FILTERS)

SUPPRESSIONS = (
    Query(
        name="channel", description="On this channel", schema={"enum": [str(c) for c in Channel]}
    ),
    Query(name="reason", description="For this reason", schema={"enum": [str(r) for r in Reason]}),
    next(one for one in FILTERS if one.name == "category"),
    Query(
        name="everybody",
        description="Those that hold for all tenants; needs the scope admin",
        schema={"enum": ["true", "false"], "default": "false"},
    ),
    Query(
        name="cursor",
        description="`next_cursor` of the page before",
        schema={"type": "string", "pattern": _RECORD.pattern},
    ),
    Query(
        name="limit",
        description="Suppressions in a page",
        schema={"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 50},
    ),
)
_SUPPRESSION_NAMES = frozenset(one.name for one in SUPPRESSIONS)


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
    _check_names(request, _NAMES)
    return MessageFilter(
        state=_state(query.get("state")),
        category=_category(query.get("category")),
        since_ms=_instant_ms("since", query.get("since")),
        until_ms=_instant_ms("until", query.get("until")),
        cursor=_cursor(query.get("cursor")),
        limit=_limit(query.get("limit", "50")),
    )


def suppression_filter(request: web.Request, tenant: str) -> SuppressionFilter:
    """The same for suppressions."""
    query = request.query
    _check_names(request, _SUPPRESSION_NAMES)
    return SuppressionFilter(
        tenant="" if _one_of("everybody", query, ("true", "false")) == "true" else tenant,
        channel=_one_of("channel", query, Channel),
        reason=_one_of("reason", query, Reason),
        category=_category(query.get("category")),
        cursor=_record(query.get("cursor")),
        limit=_limit(query.get("limit", "50")),
    )


def _check_names(request: web.Request, known: Collection[str]) -> None:
    query = request.query
    if set(query).difference(known) or len(query) != len(set(query)):
        raise _invalid("query", f"takes each of {', '.join(sorted(known))} once")


def _one_of(field: str, query: Mapping[str, str], known: Iterable[str]) -> str:
    value = query.get(field, "")
    if field in query and value not in {str(one) for one in known}:
        raise _invalid(field, f"is one of {', '.join(known)}")
    return value


def _record(value: str | None) -> int:
    if value is None:
        return 0
    if not _RECORD.fullmatch(value):
        raise _invalid("cursor", "is the next_cursor of an earlier page")
    return int(value)


def recipient_page(request: web.Request) -> tuple[str, int]:
    """(id to go on after, '' from the start; how many). Raises InvalidRequest."""
    query = request.query
    _check_names(request, {one.name for one in PAGE})
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

"""Bodies that carry many items, each judged for itself."""

from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

from aiohttp import web

from gateway.api import bodies, problems
from gateway.api.limits import MAX_BATCH
from gateway.model import errors

#: One item as it came, or why it is none.
Item: TypeAlias = bodies.Parsed | problems.BadBody

T = TypeVar("T")


async def read(request: web.Request, what: str) -> Sequence[Item]:
    """The items of a JSON array or of NDJSON, none of them looked at. what: their name, plural.
    Raises RequestError for the whole."""
    raw = await bodies.read(request, bodies.JSON | bodies.NDJSON)
    if request.content_type in bodies.NDJSON:
        items: Sequence[Item] = _bounded_lines(raw)
    else:
        parsed = bodies.parse(raw)
        if not isinstance(parsed.value, list):
            raise errors.InvalidMessage(f"A batch is a JSON array of {what}.")
        items = [bodies.Parsed(one, parsed.suspect) for one in parsed.value]
    if not 1 <= len(items) <= MAX_BATCH:
        raise errors.InvalidMessage(f"A batch has 1 to {MAX_BATCH} {what}.")
    return items


def _bounded_lines(raw: bytes) -> Sequence[Item]:
    """One more than allowed at most: the rest need not be read to refuse them."""
    lines = bodies.parse_lines(raw)
    return [line for line, _ in zip(lines, range(MAX_BATCH + 1), strict=False)]


def read_item(item: Item, read_one: Callable[[bodies.Parsed], T]) -> T | errors.RequestError:
    """What an item says, or what is wrong with it."""
    if isinstance(item, problems.BadBody):
        return item
    try:
        return read_one(item)
    except errors.RequestError as error:
        return error

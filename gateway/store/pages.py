"""Ids as times, and what a page of messages asks for."""

from typing import Any

from gateway.model.state import State
from gateway.model.view import MessageFilter

#: Later than any time that a message can have.
_FOREVER_MS = 2**48 - 1

#: States that the store keeps as one, and tells apart by the queue.
_PHASES = frozenset({State.SCHEDULED, State.QUEUED, State.SENDING})

#: As in index `status_rare`.
_RARE = frozenset({State.FAILED, State.EXPIRED, State.UNKNOWN, State.SUPPRESSED, State.CANCELLED})


def first_id(at_ms: int) -> str:
    """The smallest UUIDv7 of a time: ids are ordered by it (RFC 9562 §5.7)."""
    digits = f"{min(max(0, at_ms), _FOREVER_MS):012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"


def time_of(message: str) -> int:
    """The time that an id begins with, UTC epoch milliseconds."""
    return int(message[:8] + message[9:13], 16)


def query_of(query: MessageFilter) -> str:
    """Rows of a rare state are found without reading past all the others."""
    if query.state in _PHASES:
        return "list_phase"
    return "list_rare" if query.state in _RARE else "list_messages"


def parameters(tenant: str, query: MessageFilter) -> dict[str, Any]:
    """What these queries take; one more than the page holds tells whether there is a next."""
    before = first_id(_FOREVER_MS if query.until_ms is None else query.until_ms)
    return {
        "tenant": tenant,
        "first": first_id(query.since_ms or 0),
        "before": min(query.cursor, before) if query.cursor else before,
        "category": query.category,
        "state": query.state or "",
        "phase": query.state or "",
        "limit": query.limit + 1,
    }

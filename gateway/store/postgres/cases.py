"""Reading messages with everything that a decision about them needs."""

from collections.abc import Sequence

import asyncpg

from gateway.model.case import Case
from gateway.model.message import MessageId
from gateway.store import rows as shapes
from gateway.store.pages import time_of
from gateway.store.postgres.session import Session

#: Messages that are further apart are read apart: days without any need not be opened then.
_FAR_MS = 2 * 86_400_000

#: Beyond so many groups it is cheaper to open what lies between.
_MOST_GROUPS = 10


async def read_cases(session: Session, messages: Sequence[str]) -> dict[MessageId, Case]:
    """Those that exist, by id."""
    found: dict[MessageId, Case] = {}
    for group in _groups(messages):
        rows = await session.rows("cases", messages=group, first=min(group), last=max(group))
        found.update((case.id, case) for case in map(_case, rows))
    return found


def _groups(messages: Sequence[str]) -> Sequence[Sequence[str]]:
    """Messages of about the same time together."""
    if not messages:
        return []
    if time_of(max(messages)) - time_of(min(messages)) <= _FAR_MS:
        return [messages]
    groups: list[list[str]] = []
    latest = -_FAR_MS
    for message in sorted(messages):
        if time_of(message) - latest >= _FAR_MS:
            groups.append([])
        groups[-1].append(message)
        latest = time_of(message)
    return groups if len(groups) <= _MOST_GROUPS else [messages]


def _case(row: asyncpg.Record) -> Case:
    """row: as `cases` gives it; begins with the head."""
    return shapes.read_case(row[:9], *row[9:13])

"""Reading messages with everything that a decision about them needs."""

from collections.abc import Sequence

import asyncpg
import orjson

from gateway.model.case import Case
from gateway.model.message import MessageId
from gateway.store import rows as shapes
from gateway.store.postgres.session import Session


async def read_cases(session: Session, messages: Sequence[str]) -> dict[MessageId, Case]:
    """Those that exist, by id."""
    if not messages:
        return {}
    found = await session.rows("cases", messages=messages)
    return {case.id: case for case in map(_case, found)}


def _case(row: asyncpg.Record) -> Case:
    """row: as `cases` gives it; begins with the head."""
    lists = [() if text is None else orjson.loads(text) for text in row[10:13]]
    return shapes.read_case((row, orjson.loads(row[9]), *lists))

"""What is stored of each message, page by page, so that a million take no more room than a few."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.model import wire
from gateway.model.state import AttemptEvidence, Outcome, ReceiptEvidence, State
from tests.faults.database import Database

#: Messages in a page.
_PAGE = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One message with its evidence."""

    id: str
    #: a report of ours to the tenant
    is_report: bool
    #: of the caller; None for reports
    number: int | None
    on_unknown: str
    state: State
    ending: State | None
    attempts: Sequence[AttemptEvidence]
    receipts: Sequence[ReceiptEvidence]


async def read(database: Database) -> AsyncIterator[Record]:
    """All messages, in the order of their ids."""
    last = "00000000-0000-0000-0000-000000000000"
    while page := await _messages(database, last):
        first, last = page[0][0], page[-1][0]
        attempts = await _evidence(
            database,
            "redrive, step, part, number, provider, outcome, segments FROM attempt",
            first,
            last,
        )
        receipts = await _evidence(
            database,
            "redrive, step, part, number, provider, event, segment FROM receipt",
            first,
            last,
        )
        for row in page:
            yield _record(row, attempts.get(row[0], ()), receipts.get(row[0], ()))


async def _messages(database: Database, last: str) -> list[tuple[Any, ...]]:
    return await database.rows(
        f"""SELECT CAST(m.id AS text), m.internal, m.body, s.state, s.ending
        FROM message m LEFT JOIN status s ON s.message = m.id
        WHERE m.id > '{last}' ORDER BY m.id LIMIT {_PAGE}"""
    )


async def _evidence(
    database: Database, what: str, first: str, last: str
) -> dict[str, list[tuple[Any, ...]]]:
    rows = await database.rows(
        f"SELECT CAST(message AS text), {what} WHERE message BETWEEN '{first}' AND '{last}'"
    )
    found = defaultdict(list)
    for row in rows:
        found[row[0]].append(row[1:])
    return found


def _record(
    row: Sequence[Any], attempts: Sequence[Sequence[Any]], receipts: Sequence[Sequence[Any]]
) -> Record:
    body = json.loads(row[2])
    return Record(
        id=row[0],
        is_report=bool(row[1]),
        number=body.get("metadata", {}).get("n"),
        on_unknown=body.get("on_unknown", "resend"),
        state=State(row[3]),
        ending=None if row[4] is None else State(row[4]),
        attempts=[
            AttemptEvidence(one[0], one[1], one[2], one[3], one[4], Outcome(one[5]), one[6])
            for one in attempts
        ],
        receipts=[
            ReceiptEvidence(
                one[0],
                one[1],
                one[2],
                None if one[3] < 0 else one[3],
                one[4],
                wire.ReceiptEvent(one[5]),
                one[6],
            )
            for one in receipts
        ],
    )

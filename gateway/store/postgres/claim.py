"""Claims of this node, among others that claim at the same time.

Between a claim and us lies a network: when the answer to one is lost, its rows may be ours without
our knowing. So each claim has a number, its ticket, and rows of lost tickets are given back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any

import asyncpg

from gateway.model.case import Case, Claimed
from gateway.model.message import MessageId
from gateway.store import rows as shapes
from gateway.store.postgres.cases import read_cases
from gateway.store.postgres.engine import STATEMENT, Engine
from gateway.store.postgres.ranks import advance_clocks
from gateway.store.postgres.session import Session

#: Seconds for which the server might still be at a statement that we have given up.
_LINGER = 3 * STATEMENT


class Claims:
    """Claims rows for one owner."""

    def __init__(self, engine: Engine, owner: str) -> None:
        self._engine = engine
        self._owner = owner
        self._tickets = count(1)
        #: lost tickets, and until when rows may turn up under them
        self._lost: dict[int, float] = {}
        self._unsettled = False

    async def claim(self, query: str, *, to_send: bool = True, **values: Any) -> Sequence[Claimed]:
        """Run a query that claims; its rows, with their cases.

        to_send: their lane's clock goes on.
        """
        return await self._take(next(self._tickets), query, to_send=to_send, **values)

    async def adopt(self, *, limit: int, dead_after: float) -> Sequence[Claimed]:
        """Take over the claims of nodes without a heartbeat for `dead_after` seconds."""
        ticket = -next(self._tickets)
        return await self._take(ticket, "orphans", limit=limit, dead_after=dead_after)

    async def _take(
        self, ticket: int, query: str, *, to_send: bool = False, **values: Any
    ) -> Sequence[Claimed]:
        if self._unsettled:
            await self.settle()

        async def work(session: Session) -> Sequence[Claimed]:
            found = await session.rows(query, owner=self._owner, ticket=ticket, **values)
            claimed = _joined(found, await read_cases(session, [row[1] for row in found]))
            if to_send:
                await advance_clocks(session, claimed)
            return claimed

        return await self._watched(ticket, lambda: self._engine.run(work))

    async def _watched(
        self, ticket: int, attempt: Callable[[], Awaitable[Sequence[Claimed]]]
    ) -> Sequence[Claimed]:
        try:
            return await attempt()
        except BaseException:  # cancelled or failed: nobody is going to work on the rows
            self._lost[ticket] = asyncio.get_running_loop().time() + _LINGER
            self._unsettled = True
            raise

    async def settle(self) -> None:
        """Give back the rows of lost claims; again while some may still turn up.

        Several may do so at once, and more be lost meanwhile.
        """
        if not self._lost:
            return
        now, tickets = asyncio.get_running_loop().time(), list(self._lost)
        self._unsettled = False
        try:
            await self._engine.run(
                lambda session: session.run("undo_claims", owner=self._owner, tickets=tickets)
            )
        except BaseException:
            self._unsettled = True
            raise
        for ticket in tickets:
            if self._lost.get(ticket, now) < now:
                del self._lost[ticket]


def _joined(found: Sequence[asyncpg.Record], cases: dict[MessageId, Case]) -> list[Claimed]:
    """found: (place, message, then as `rows.join_claimed` takes it)."""
    return [shapes.join_claimed(row[2:], cases[row[1]]) for row in found if row[1] in cases]

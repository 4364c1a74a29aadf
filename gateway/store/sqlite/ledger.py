"""What became of messages, on SQLite."""

from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from gateway.model import view
from gateway.model.case import Case, Contact, Parked
from gateway.model.message import MessageId
from gateway.model.state import State
from gateway.store import base, pages
from gateway.store import rows as shapes
from gateway.store.batcher import Batcher
from gateway.store.habits import month_of
from gateway.store.sqlite import timeline
from gateway.store.sqlite.engine import Engine, call, call_json, dump, run
from gateway.store.timeline import listed

#: Messages or receipts that share a look at the most (more when one caller brings more), and looks
#: for messages at once.
_LARGEST_FLUSH, _READS = 500, 2


class SqliteLedger:
    """Implements store.base.Ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader: Batcher[MessageId, Case | None] = Batcher(
            self._cases, largest=_LARGEST_FLUSH, flushes=_READS
        )
        self._finder: Batcher[tuple[base.Named, int], Parked | None] = Batcher(
            self._find_attempts, largest=_LARGEST_FLUSH
        )

    async def cases(self, messages: Sequence[MessageId]) -> Mapping[MessageId, Case]:
        found = await self._reader.submit(messages) if messages else ()
        return {one.id: one for one in found if one is not None}

    async def _cases(self, messages: Sequence[MessageId]) -> Sequence[Case | None]:
        found = await self._engine.read(
            lambda connection: call(connection, "cases", rows=dump(messages))
        )
        by_id = {one.id: one for one in shapes.read_cases(found)}
        return [by_id.get(one) for one in messages]

    async def find_attempts(
        self, receipts: Sequence[base.Named], *, now_ms: int
    ) -> Sequence[Parked | None]:
        return await self._finder.submit([(one, now_ms) for one in receipts]) if receipts else ()

    async def _find_attempts(
        self, receipts: Sequence[tuple[base.Named, int]]
    ) -> Sequence[Parked | None]:
        named, now_ms = [one for one, _ in receipts], max(at_ms for _, at_ms in receipts)
        return await self._engine.write(
            lambda connection: _find_attempts(connection, named, now_ms)
        )

    async def find_answered(
        self, replies: Sequence[tuple[Contact, str]]
    ) -> Sequence[MessageId | None]:
        names = [(one.provider, answers) for one, answers in replies if answers]
        people = [(one.provider, one.hash) for one, _ in replies]

        def work(connection: apsw.Connection) -> Sequence[MessageId | None]:
            known = call_json(connection, "known_references", rows=dump(names)) if names else []
            latest = call_json(connection, "contacts", rows=dump(people)) if people else []
            return shapes.answered(replies, known, latest)

        return await self._engine.read(work)

    async def parked(self, *, limit: int) -> Sequence[Parked]:
        found = await self._engine.read(
            lambda connection: call_json(connection, "parked", limit=limit)
        )
        return [_parked(row[0], row[1:7], row[7]) for row in found]

    async def clear_parked(self, receipts: Sequence[Parked]) -> None:
        names = [(one.provider, one.reference) for one in receipts]
        await self._engine.write(lambda connection: run(connection, "clear_parked", names))

    async def read(self, tenant: str, message: MessageId) -> view.MessageView | None:
        return await self._engine.read(
            lambda connection: timeline.read(connection, tenant, message)
        )

    async def list(self, tenant: str, query: view.MessageFilter) -> view.MessagePage:
        name, values = pages.query_of(query), pages.parameters(tenant, query)
        found = await self._engine.read(lambda connection: call_json(connection, name, **values))
        messages = [listed(row) for row in found[: query.limit]]
        more = len(found) > query.limit
        return view.MessagePage(messages=messages, next_cursor=messages[-1].id if more else "")

    async def dead(
        self, *, tenant: str | None, cursor: str, limit: int
    ) -> Sequence[tuple[str, view.MessageView]]:
        found = await self._engine.read(
            lambda connection: call_json(
                connection, "dead_messages", tenant=tenant or "", cursor=cursor, limit=limit
            )
        )
        return [
            (
                row[0],
                view.MessageView(
                    id=row[1],
                    state=State(row[2]),
                    category=row[3],
                    created_ms=row[4],
                    expires_ms=row[5],
                    metadata=row[6],
                ),
            )
            for row in found
        ]

    async def webhooks_of(
        self, endpoint: str, *, since_ms: int, only_failed: bool, limit: int
    ) -> Sequence[MessageId]:
        found: list[MessageId] = await self._engine.read(
            lambda connection: call_json(
                connection,
                "webhooks_of",
                endpoint=endpoint,
                first=pages.first_id(since_ms),
                only_failed=int(only_failed),
                limit=limit,
            )
        )
        return found

    async def depths(self) -> Mapping[tuple[str, str], tuple[int, int | None]]:
        found = await self._engine.read(lambda connection: call_json(connection, "depths"))
        return {(lane, phase): (count, due_ms) for lane, phase, count, due_ms in found}

    async def purge(self, *, before_ms: int, parked_before_ms: int, now_ms: int, limit: int) -> int:
        def work(connection: apsw.Connection) -> int:
            before = connection.total_changes()
            call(connection, "purge_parked", before_ms=parked_before_ms, limit=limit)
            call(connection, "purge_keys", now_ms=now_ms, limit=limit)
            call(connection, "purge_dedupe", now_ms=now_ms, limit=limit)
            call(connection, "purge_latest", now_ms=now_ms, limit=limit)
            call(connection, "purge_habits", month=month_of(before_ms), limit=limit)
            call(connection, "purge_forgotten_habits", now_ms=now_ms, limit=limit)
            call(connection, "purge_forgotten", now_ms=now_ms, limit=limit)
            call(connection, "purge_contacts", before_ms=before_ms, limit=limit)
            call(connection, "purge_inbound", now_ms=now_ms, limit=limit)
            call(connection, "purge_suppressions", now_ms=now_ms, limit=limit)
            call(connection, "purge_consents", before_ms=before_ms, limit=limit)
            call(connection, "purge_named", before=pages.first_id(before_ms), limit=limit)
            call(connection, "purge_caps", now_ms=now_ms, limit=limit)
            call(connection, "purge_waits", now_ms=now_ms, limit=limit)
            keys = connection.total_changes() - before
            old = call_json(
                connection, "old_messages", before=pages.first_id(before_ms), limit=limit
            )
            for table in ("reference", "event", "receipt", "attempt", "status", "message"):
                run(connection, f"purge_{table}", old)
            return keys + len(old)

        return await self._engine.write(work)


def _find_attempts(
    connection: apsw.Connection, receipts: Sequence[base.Named], now_ms: int
) -> Sequence[Parked | None]:
    names = [(one.provider, one.reference) for one in receipts]
    found = {
        (row[0], row[1]): row[1:]
        for row in call_json(connection, "known_references", rows=dump(names))
    }
    early = [
        (*name, one.parked) for name, one in zip(names, receipts, strict=True) if name not in found
    ]
    if early:
        call(connection, "park", rows=dump(early), now_ms=now_ms)
    return [
        _parked(name[0], found[name], [one.parked]) if name in found else None
        for name, one in zip(names, receipts, strict=True)
    ]


def _parked(provider: str, attempt: Sequence[Any], receipts: Sequence[Mapping[str, str]]) -> Parked:
    """attempt: (reference, message, redrive, step, part, number)."""
    reference, message, redrive, step, part, number = attempt
    return Parked(provider, reference, message, redrive, step, part, number, receipts)

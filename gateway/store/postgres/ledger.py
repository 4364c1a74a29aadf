"""What became of messages, on PostgreSQL."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from gateway.model import view
from gateway.model.case import Case, Contact, Parked
from gateway.model.message import MessageId
from gateway.store import base, pages
from gateway.store.habits import month_of
from gateway.store.postgres import days
from gateway.store.postgres.cases import read_cases
from gateway.store.postgres.engine import Engine
from gateway.store.postgres.literals import original
from gateway.store.postgres.session import Session
from gateway.store.rows import answered
from gateway.store.timeline import Records, listed, message_view

#: What providers return as ours may be anything; the driver refuses what is no UUID.
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class PostgresLedger:
    """Implements store.base.Ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def cases(self, messages: Sequence[MessageId]) -> Mapping[MessageId, Case]:
        ids = [one for one in messages if _ID.fullmatch(one)]
        return await self._engine.run(lambda session: read_cases(session, ids))

    async def find_attempts(
        self, receipts: Sequence[base.Named], *, now_ms: int
    ) -> Sequence[Parked | None]:
        if not receipts:
            return []
        return await self._engine.run(lambda session: _find_attempts(session, receipts, now_ms))

    async def find_answered(
        self, replies: Sequence[tuple[Contact, str]]
    ) -> Sequence[MessageId | None]:
        if not replies:
            return []
        names = [(one.provider, answers) for one, answers in replies]
        people = [(one.provider, one.hash) for one, _ in replies]

        async def work(session: Session) -> Sequence[MessageId | None]:
            known = await session.over("known_references", names)
            latest = await session.over("contacts", people)
            return answered(
                replies,
                [(*names[row[0]], row[1]) for row in known],
                [(*people[row[0]], row[1]) for row in latest],
            )

        return await self._engine.run(work)

    async def parked(self, *, limit: int) -> Sequence[Parked]:
        found = await self._engine.run(lambda session: session.rows("parked", limit=limit))
        return [
            _parked(row[0], (original(row[1]), *row[2:7]), map(orjson.loads, row[7]))
            for row in found
        ]

    async def clear_parked(self, receipts: Sequence[Parked]) -> None:
        if not receipts:
            return
        values = [
            (one.provider, one.reference, len(one.receipts), "\n".join(map(_text, one.receipts)))
            for one in receipts
        ]
        await self._engine.run(lambda session: session.run_over("clear_parked", values))

    async def read(self, tenant: str, message: MessageId) -> view.MessageView | None:
        return await self._engine.run(lambda session: _read(session, tenant, message))

    async def list(self, tenant: str, query: view.MessageFilter) -> view.MessagePage:
        name, values = pages.query_of(query), pages.parameters(tenant, query)
        found = await self._engine.run(lambda session: session.rows(name, **values))
        messages = [_listed(row) for row in found[: query.limit]]
        more = len(found) > query.limit
        return view.MessagePage(messages=messages, next_cursor=messages[-1].id if more else "")

    async def dead(
        self, *, tenant: str | None, cursor: str, limit: int
    ) -> Sequence[tuple[str, view.MessageView]]:
        after = cursor or pages.first_id(0)
        found = await self._engine.run(
            lambda session: session.rows(
                "dead_messages", tenant=tenant or "", cursor=after, limit=limit
            )
        )
        return [(row[0], _listed(row[1:])) for row in found]

    async def webhooks_of(
        self, endpoint: str, *, since_ms: int, only_failed: bool, limit: int
    ) -> Sequence[MessageId]:
        found = await self._engine.run(
            lambda session: session.rows(
                "webhooks_of",
                endpoint=endpoint,
                first=pages.first_id(since_ms),
                only_failed=only_failed,
                limit=limit,
            )
        )
        return [row[0] for row in found]

    async def depths(self) -> Mapping[tuple[str, str], tuple[int, int | None]]:
        found = await self._engine.run(lambda session: session.rows("depths"))
        return {(lane, phase): (count, due_ms) for lane, phase, count, due_ms in found}

    async def purge(self, *, before_ms: int, parked_before_ms: int, now_ms: int, limit: int) -> int:
        """Several transactions. Days are dropped whole, their messages counted roughly; those of
        the days to come are made."""

        async def keys(session: Session) -> int:
            await days.make_ahead(session.connection, now_ms)
            await session.run("purge_nodes")
            return (
                await session.run("purge_parked", before_ms=parked_before_ms, limit=limit)
                + await session.run("purge_keys", now_ms=now_ms, limit=limit)
                + await session.run("purge_dedupe", now_ms=now_ms, limit=limit)
                + await session.run("purge_latest", now_ms=now_ms, limit=limit)
                + await session.run("purge_habits", month=month_of(before_ms), limit=limit)
                + await session.run("purge_forgotten_habits", now_ms=now_ms, limit=limit)
                + await session.run("purge_forgotten", now_ms=now_ms, limit=limit)
                + await session.run("purge_contacts", before_ms=before_ms, limit=limit)
                + await session.run("purge_inbound", now_ms=now_ms, limit=limit)
                + await session.run("purge_suppressions", now_ms=now_ms, limit=limit)
                + await session.run("purge_consents", before_ms=before_ms, limit=limit)
                + await session.run("purge_named", before=pages.first_id(before_ms), limit=limit)
                + await session.run("purge_caps", now_ms=now_ms, limit=limit)
                + await session.run("purge_waits", now_ms=now_ms, limit=limit)
            )

        return (
            await self._engine.run(keys)
            + await self._engine.transact(lambda session: _strays(session, before_ms, limit))
            + await self._engine.run(lambda session: _days(session, before_ms, limit))
        )


async def _find_attempts(
    session: Session, receipts: Sequence[base.Named], now_ms: int
) -> Sequence[Parked | None]:
    names = [(one.provider, one.reference) for one in receipts]
    known = {
        row[0]: (receipts[row[0]].reference, *row[1:])
        for row in await session.over("known_references", names)
    }
    early = [
        (one.provider, one.reference, _text(one.parked))
        for place, one in enumerate(receipts)
        if place not in known
    ]
    if early:
        await session.run_over("park", early, now_ms=now_ms)
    return [
        _parked(one.provider, known[place], [one.parked]) if place in known else None
        for place, one in enumerate(receipts)
    ]


async def _read(session: Session, tenant: str, message: str) -> view.MessageView | None:
    found = await session.rows("message_head", message=message, tenant=tenant)
    if not found:
        return None
    head = list(found[0])
    head[5] = orjson.loads(head[5])
    attempts, receipts, events = map(_happened, head[8:])
    return message_view(Records(head=head[:8], attempts=attempts, receipts=receipts, events=events))


async def _strays(session: Session, before_ms: int, limit: int) -> int:
    """Delete old messages that are in no day's partition."""
    held = await session.rows("old_messages", before=pages.first_id(before_ms), limit=limit)
    if not held:
        return 0
    free = await session.rows("without_work", messages=[row[0] for row in held])
    tables = ("reference", "event", "receipt", "attempt", "status", "message")
    await session.write({f"purge_{table}": [(row[0],) for row in free] for table in tables})
    return len(free)


async def _days(session: Session, before_ms: int, limit: int) -> int:
    """Drop days that are over and have no work left, after what refers to them."""
    deleted = 0
    for day in await days.older(session.connection, before_ms):
        references = await session.run(
            "purge_references_of_day", first=day.first, before=day.end, limit=limit
        )
        deleted += references
        if references >= limit:
            break
        deleted += await days.drop(session.connection, day)
    return deleted


def _parked(provider: str, attempt: Sequence[Any], receipts: Iterable[Mapping[str, str]]) -> Parked:
    """attempt: (reference, message, redrive, step, part, number)."""
    reference, message, redrive, step, part, number = attempt
    return Parked(provider, reference, message, redrive, step, part, number, list(receipts))


def _listed(row: Any) -> view.MessageView:
    """row: as `list_messages` gives it."""
    *head, metadata, body, started, claimed = row
    found = orjson.loads(metadata) if body is None else orjson.loads(body).get("metadata", {})
    return listed([*head, found, started, claimed])


def _happened(text: str | None) -> Sequence[Sequence[Any]]:
    """text: JSON rows, null where there are none."""
    rows = [] if text is None else orjson.loads(text)
    return [[original(one) if isinstance(one, str) else one for one in row] for row in rows]


def _text(receipt: Mapping[str, str]) -> str:
    return orjson.dumps(receipt).decode()

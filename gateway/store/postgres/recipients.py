"""Recipients on PostgreSQL."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.model.message import MessageId
from gateway.model.recipient import Kept, Upserted, decode, encode, without_device
from gateway.store import pages
from gateway.store import recipients as base
from gateway.store.people import by_address, erased_events, like, put_apart, scanned
from gateway.store.postgres.engine import Engine
from gateway.store.postgres.literals import original
from gateway.store.postgres.session import Session


class PostgresRecipients:
    """Implements store.recipients.Recipients."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def upsert_recipients(
        self, tenant: str, rows: Sequence[base.RecipientRow], *, now_ms: int
    ) -> Sequence[Upserted]:
        if not rows:
            return ()
        bodies = [(one.recipient.id, encode(one.recipient)) for one in rows]
        return await self._engine.transact(
            lambda session: _upsert(session, tenant, rows, bodies, now_ms)
        )

    async def recipients(self, tenant: str, ids: Sequence[str]) -> Mapping[str, Kept]:
        if not ids:
            return {}
        found = await self._kept("read_recipients", tenant=tenant, id=ids)
        return {one.recipient.id: one for one in found}

    async def list_recipients(self, tenant: str, *, after: str, limit: int) -> Sequence[Kept]:
        return await self._kept("list_recipients", tenant=tenant, after=after, limit=limit)

    async def _kept(self, query: str, **values: Any) -> Sequence[Kept]:
        found = await self._engine.run(lambda session: session.rows(query, **values))
        return [
            Kept(recipient=decode(original(body)), updated_ms=updated_ms)
            for body, updated_ms in found
        ]

    async def find_recipients(
        self, tenant: str, addresses: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Sequence[str]]:
        if not addresses:
            return {}
        found = await self._engine.run(
            lambda session: session.over("find_recipients", addresses, tenant=tenant)
        )
        return by_address((channel, hash_, original(id_)) for channel, hash_, id_ in found)

    async def mark_dead(self, dead: base.DeadDevice, *, now_ms: int) -> int:
        return await self._engine.transact(lambda session: _mark_dead(session, dead, now_ms))

    async def erase_recipient(self, tenant: str, recipient: str) -> bool:
        async def work(session: Session) -> bool:
            erased = await session.run("erase_recipient", tenant=tenant, id=recipient)
            await session.run("drop_addresses", tenant=tenant, id=[recipient])
            return erased > 0

        return await self._engine.transact(work)

    async def messages_naming(
        self, tenant: str, recipient: str, *, after: str = "", limit: int
    ) -> Sequence[MessageId]:
        values = {"tenant": tenant, "recipient": recipient, "after": after or pages.first_id(0)}
        found = await self._engine.run(lambda session: session.rows("named", **values, limit=limit))
        return [row[0] for row in found]

    async def messages_holding(
        self,
        tenant: str,
        texts: Sequence[str],
        *,
        about: Sequence[MessageId] = (),
        after: str,
        limit: int,
    ) -> base.Scanned:
        found = await self._engine.run(
            lambda session: session.rows(
                "messages_holding",
                tenant=tenant,
                patterns=[like(one) for one in texts],
                about=about,
                after=after or pages.first_id(0),
                limit=limit,
            )
        )
        return scanned([(id_, held) for id_, held in found], limit)

    async def erase_messages(
        self,
        bodies: Mapping[MessageId, str],
        *,
        hashes: Sequence[str],
        words: Sequence[tuple[str, str, MessageId]] = (),
        now_ms: int,
    ) -> None:
        ids = list(bodies)
        if not ids:
            return
        # each day has a partition of its own, and these are found without a look into all others
        days = {"first": min(ids), "last": max(ids)}

        async def work(session: Session) -> None:
            await session.run_over("erase_bodies", list(bodies.items()), **days)
            if hashes:
                await session.run("erase_contacts", message=ids, hashes=hashes, **days)
            for query in ("erase_attempts", "erase_receipts"):
                await session.run(query, message=ids, **days)
            for query in ("erase_named", "erase_caps", "erase_waits", "free_dedupe"):
                await session.run_over(query, [(id_,) for id_ in ids])
            if words:
                await session.run_over("erase_words", words)
            await session.run_over("put_events", erased_events(ids, now_ms))

        await self._engine.transact(work)


async def _upsert(
    session: Session,
    tenant: str,
    rows: Sequence[base.RecipientRow],
    bodies: Sequence[tuple[str, str]],
    now_ms: int,
) -> Sequence[Upserted]:
    """Recipients are written before their addresses: who writes the same one waits for us."""
    known = await session.over("known_recipients", bodies, tenant=tenant)
    verdicts, others = put_apart([(row[0], row[1]) for row in known], len(rows))
    if not others:
        return verdicts
    put = [bodies[place] for place in others]
    addresses = [
        (rows[place].recipient.id, one.channel, one.hash, one.reason)
        for place in others
        for one in rows[place].addresses
    ]
    await session.run_over("put_recipients", put, tenant=tenant, now_ms=now_ms)
    if addresses:
        await session.run_over("lift_deaths", addresses, tenant=tenant)
    await session.run("drop_addresses", tenant=tenant, id=[id_ for id_, _ in put])
    if addresses:
        await session.run_over("put_addresses", addresses, tenant=tenant)
    return verdicts


async def _mark_dead(session: Session, dead: base.DeadDevice, now_ms: int) -> int:
    owners: list[tuple[str, str]] = []
    for tenant, body in await session.rows("owners", hash=dead.hash):
        marked = without_device(decode(original(body)), dead.device)
        put = [(marked.id, encode(marked))]
        await session.run_over("put_recipients", put, tenant=tenant, now_ms=now_ms)
        owners.append((tenant, marked.id))
    if owners:
        await session.run_over("note_death", owners, hash=dead.hash, reason=dead.device.reason)
    return len(owners)

"""Recipients on SQLite."""

from collections.abc import Mapping, Sequence
from typing import Any

import apsw
import msgspec

from gateway.model.message import MessageId
from gateway.model.recipient import Kept, Recipient, Upserted, decode, encode, without_device
from gateway.store import recipients as base
from gateway.store.people import by_address, erased_events, like, put_apart, scanned
from gateway.store.sqlite.engine import Engine, call, call_json, dump, run

_KEPT = msgspec.json.Decoder(list[tuple[Recipient, int]])


class SqliteRecipients:
    """Implements store.recipients.Recipients."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def upsert_recipients(
        self, tenant: str, rows: Sequence[base.RecipientRow], *, now_ms: int
    ) -> Sequence[Upserted]:
        if not rows:
            return ()
        known = [
            (one.recipient.id, encode(one.recipient), _addresses(one.addresses)) for one in rows
        ]
        packed = dump(known)
        return await self._engine.write(
            lambda connection: _upsert(connection, tenant, known, packed, now_ms)
        )

    async def recipients(self, tenant: str, ids: Sequence[str]) -> Mapping[str, Kept]:
        in_order = sorted(ids)  # as their pages are
        found = await self._kept("read_recipients", tenant=tenant, rows=dump(in_order))
        return {one.recipient.id: one for one in found}

    async def list_recipients(self, tenant: str, *, after: str, limit: int) -> Sequence[Kept]:
        return await self._kept("list_recipients", tenant=tenant, after=after, limit=limit)

    async def _kept(self, query: str, **values: Any) -> Sequence[Kept]:
        text = await self._engine.read(lambda connection: call(connection, query, **values))
        return [
            Kept(recipient=recipient, updated_ms=updated_ms)
            for recipient, updated_ms in _KEPT.decode(text)
        ]

    async def find_recipients(
        self, tenant: str, addresses: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Sequence[str]]:
        found = await self._engine.read(
            lambda connection: call_json(
                connection, "find_recipients", tenant=tenant, rows=dump(addresses)
            )
        )
        return by_address(found)

    async def mark_dead(self, dead: base.DeadDevice, *, now_ms: int) -> int:
        return await self._engine.write(lambda connection: _mark_dead(connection, dead, now_ms))

    async def erase_recipient(self, tenant: str, recipient: str) -> bool:
        def work(connection: apsw.Connection) -> bool:
            call(connection, "drop_addresses", tenant=tenant, rows=dump([[recipient]]))
            call(connection, "erase_recipient", tenant=tenant, id=recipient)
            return connection.changes() > 0

        return await self._engine.write(work)

    async def messages_naming(
        self, tenant: str, recipient: str, *, after: str = "", limit: int
    ) -> Sequence[MessageId]:
        found: list[MessageId] = await self._engine.read(
            lambda connection: call_json(
                connection, "named", tenant=tenant, recipient=recipient, after=after, limit=limit
            )
        )
        return found

    async def messages_holding(
        self,
        tenant: str,
        texts: Sequence[str],
        *,
        about: Sequence[MessageId] = (),
        after: str,
        limit: int,
    ) -> base.Scanned:
        found = await self._engine.read(
            lambda connection: call_json(
                connection,
                "messages_holding",
                tenant=tenant,
                patterns=dump([like(one) for one in texts]),
                about=dump(about),
                after=after,
                limit=limit,
            )
        )
        return scanned(found, limit)

    async def erase_messages(
        self,
        bodies: Mapping[MessageId, str],
        *,
        hashes: Sequence[str],
        words: Sequence[tuple[str, str, MessageId]] = (),
        now_ms: int,
    ) -> None:
        ids = list(bodies)

        def work(connection: apsw.Connection) -> None:
            run(connection, "erase_bodies", list(bodies.items()))
            if ids:
                call(connection, "erase_contacts", rows=dump(ids), hashes=dump(hashes))
            for query in ("erase_attempts", "erase_receipts", "erase_named", "erase_caps"):
                run(connection, query, ids)
            for query in ("erase_waits", "free_dedupe"):
                run(connection, query, ids)
            run(connection, "erase_words", words)
            run(connection, "put_events", erased_events(ids, now_ms))

        await self._engine.write(work)


#: As the queries take a recipient: id, body, and [[channel, hash, reason], …].
_Row = tuple[str, str, list[tuple[str, str, str]]]


def _addresses(addresses: Sequence[base.Hashed]) -> list[tuple[str, str, str]]:
    return [(one.channel, one.hash, one.reason) for one in addresses]


def _upsert(
    connection: apsw.Connection, tenant: str, rows: Sequence[_Row], packed: str, now_ms: int
) -> Sequence[Upserted]:
    """packed: the rows as the queries take them."""
    known = call_json(connection, "known_recipients", tenant=tenant, rows=packed)
    verdicts, others = put_apart(known, len(rows))
    if not others:
        return verdicts
    if len(others) < len(rows):
        packed = dump([rows[place] for place in others])
    if Upserted.CHANGED in verdicts:
        call(connection, "lift_deaths", tenant=tenant, rows=packed)
        call(connection, "drop_addresses", tenant=tenant, rows=packed)
    part = call(connection, "latest_part", rows=sum(len(rows[place][2]) for place in others))
    values = {"tenant": tenant, "rows": packed, "part": part}
    call(connection, "put_recipients", **values, now_ms=now_ms)
    call(connection, "put_addresses", **values)
    return verdicts


def _mark_dead(connection: apsw.Connection, dead: base.DeadDevice, now_ms: int) -> int:
    owners = call_json(connection, "owners", hash=dead.hash)
    for tenant, body in owners:
        marked = without_device(decode(body), dead.device)
        values = {"tenant": tenant, "id": marked.id, "body": encode(marked), "now_ms": now_ms}
        call(connection, "note_body", **values)
    call(connection, "note_death", hash=dead.hash, reason=dead.device.reason)
    return len(owners)

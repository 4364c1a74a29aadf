"""Whom not to write to and what people agreed to, on SQLite."""

from collections.abc import Mapping, Sequence

import apsw

from gateway.model import permission
from gateway.model.permission import (
    Consent,
    Hashed,
    Outcome,
    Suppression,
    SuppressionFilter,
    Wish,
)
from gateway.store import permissions as rows
from gateway.store.sqlite.accept import insert
from gateway.store.sqlite.engine import Engine, call, call_json, dump, run


class SqlitePermissions:
    """Implements store.permissions.Permissions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def has_suppressions(self) -> bool:
        return bool(
            await self._engine.read(lambda connection: call(connection, "has_suppressions"))
        )

    async def suppressed(
        self, names: Sequence[Hashed], *, now_ms: int
    ) -> Mapping[Hashed, Sequence[Suppression]]:
        found = await self._engine.read(
            lambda connection: call_json(connection, "suppressed", rows=dump(names), now_ms=now_ms)
        )
        return rows.bans_by_name([rows.ban_of(row) for row in found])

    async def suppress(self, bans: Sequence[Suppression]) -> None:
        put = [rows.row_of_ban(ban) for ban in rows.latest(bans)]
        await self._engine.write(lambda connection: run(connection, "put_suppressions", put))

    async def lift(
        self, tenant: str, names: Sequence[Hashed], *, category: str = "", reason: str = ""
    ) -> int:
        def work(connection: apsw.Connection) -> int:
            call(
                connection,
                "lift",
                rows=dump(names),
                tenant=tenant,
                category=category,
                reason=reason,
            )
            return connection.changes()

        return await self._engine.write(work)

    async def lift_records(self, tenant: str, ids: Sequence[int]) -> int:
        def work(connection: apsw.Connection) -> int:
            call(connection, "lift_records", rows=dump(ids), tenant=tenant)
            return connection.changes()

        return await self._engine.write(work)

    async def list_suppressions(
        self, wanted: SuppressionFilter, *, now_ms: int
    ) -> Sequence[Suppression]:
        found = await self._engine.read(
            lambda connection: call_json(
                connection,
                "list_suppressions",
                tenant=wanted.tenant,
                of=wanted.channel,
                category=wanted.category,
                reason=wanted.reason,
                cursor=wanted.cursor,
                limit=wanted.limit,
                now_ms=now_ms,
            )
        )
        return [rows.ban_of(row) for row in found]

    async def consented(
        self, tenant: str, category: str, names: Sequence[Hashed], *, now_ms: int
    ) -> frozenset[Hashed]:
        found = await self._engine.read(
            lambda connection: call_json(
                connection,
                "consented",
                tenant=tenant,
                category=category,
                rows=dump(names),
                now_ms=now_ms,
            )
        )
        return frozenset((channel, hash_) for channel, hash_ in found)

    async def consents(
        self, tenant: str, names: Sequence[Hashed], *, now_ms: int
    ) -> Sequence[Consent]:
        found = await self._engine.read(
            lambda connection: call_json(
                connection, "consents", tenant=tenant, rows=dump(names), now_ms=now_ms
            )
        )
        return [rows.consent_of(row) for row in found]

    async def forget_consents(self, tenant: str, names: Sequence[Hashed]) -> None:
        await self._engine.write(
            lambda connection: call(connection, "forget_consents", tenant=tenant, rows=dump(names))
        )

    async def take_wishes(self, wishes: Sequence[Wish], *, now_ms: int) -> Sequence[Outcome]:
        return await self._engine.write(lambda connection: _take(connection, wishes, now_ms))


def _take(connection: apsw.Connection, wishes: Sequence[Wish], now_ms: int) -> Sequence[Outcome]:
    keys = dump(list({wish.key for wish in wishes}))
    found = call_json(connection, "standings", rows=keys, now_ms=now_ms)
    settled = permission.settle_all(wishes, rows.standings_of(found))
    for query, values in rows.writes_of(settled):
        run(connection, query, values)
    insert(connection, settled.webhooks)
    return settled.outcomes

"""Whom not to write to and what people agreed to, on PostgreSQL."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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
from gateway.store.postgres import ranks
from gateway.store.postgres.accept import stored, turns_of
from gateway.store.postgres.engine import Engine
from gateway.store.postgres.literals import original
from gateway.store.postgres.session import Session


class PostgresPermissions:
    """Implements store.permissions.Permissions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def has_suppressions(self) -> bool:
        found: bool = await self._engine.run(lambda session: session.value("has_suppressions"))
        return found

    async def suppressed(
        self, names: Sequence[Hashed], *, now_ms: int
    ) -> Mapping[Hashed, Sequence[Suppression]]:
        if not names:
            return {}
        found = await self._engine.run(
            lambda session: session.over("suppressed", names, now_ms=now_ms)
        )
        return rows.bans_by_name([rows.ban_of(_original(row)) for row in found])

    async def suppress(self, bans: Sequence[Suppression]) -> None:
        put = [rows.row_of_ban(ban) for ban in rows.latest(bans)]
        if put:
            await self._engine.run(lambda session: session.run_over("put_suppressions", put))

    async def lift(
        self, tenant: str, names: Sequence[Hashed], *, category: str = "", reason: str = ""
    ) -> int:
        if not names:
            return 0
        return await self._engine.run(
            lambda session: session.run_over(
                "lift", names, tenant=tenant, category=category, reason=reason
            )
        )

    async def lift_records(self, tenant: str, ids: Sequence[int]) -> int:
        if not ids:
            return 0
        return await self._engine.run(
            lambda session: session.run("lift_records", id=ids, tenant=tenant)
        )

    async def list_suppressions(
        self, wanted: SuppressionFilter, *, now_ms: int
    ) -> Sequence[Suppression]:
        found = await self._engine.run(
            lambda session: session.rows(
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
        return [rows.ban_of(_original(row)) for row in found]

    async def consented(
        self, tenant: str, category: str, names: Sequence[Hashed], *, now_ms: int
    ) -> frozenset[Hashed]:
        if not names:
            return frozenset()
        found = await self._engine.run(
            lambda session: session.over(
                "consented", names, tenant=tenant, category=category, now_ms=now_ms
            )
        )
        return frozenset((channel, hash_) for channel, hash_ in found)

    async def consents(
        self, tenant: str, names: Sequence[Hashed], *, now_ms: int
    ) -> Sequence[Consent]:
        if not names:
            return []
        found = await self._engine.run(
            lambda session: session.over("consents", names, tenant=tenant, now_ms=now_ms)
        )
        return [rows.consent_of(_original(row)) for row in found]

    async def forget_consents(self, tenant: str, names: Sequence[Hashed]) -> None:
        if names:
            await self._engine.run(
                lambda session: session.run_over("forget_consents", names, tenant=tenant)
            )

    async def take_wishes(self, wishes: Sequence[Wish], *, now_ms: int) -> Sequence[Outcome]:
        if not wishes:
            return []
        webhooks = [webhook for one in wishes for webhook in one.webhooks]
        reserved = await ranks.reserve(self._engine, turns_of(webhooks) if webhooks else [])

        async def work(session: Session) -> Sequence[Outcome]:
            return await _take(session, wishes, reserved.anew(), now_ms)

        return await self._engine.transact(work)


async def _take(
    session: Session, wishes: Sequence[Wish], reserved: ranks.Ranks, now_ms: int
) -> Sequence[Outcome]:
    await session.value("lock_wishes")
    keys = sorted({wish.key for wish in wishes})
    found = await session.over("standings", keys, now_ms=now_ms)
    settled = permission.settle_all(wishes, rows.standings_of([tuple(row) for row in found]))
    for query, values in rows.writes_of(settled):
        if values:
            await session.run_over(query, values)
    await session.write(stored(settled.webhooks, reserved))
    return settled.outcomes


def _original(row: Iterable[Any]) -> Sequence[Any]:
    """Texts as they came to us."""
    return [original(one) if isinstance(one, str) else one for one in row]

"""Tenants' settings on PostgreSQL. Small tables, read whole or by a handful of keys."""

import secrets
from collections.abc import Mapping, Sequence

from gateway.model import view
from gateway.store import base
from gateway.store.postgres.engine import Engine
from gateway.store.postgres.literals import original
from gateway.store.postgres.session import Session


class PostgresDirectory:
    """Implements store.base.Directory."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def keys(self) -> Sequence[base.TenantKey]:
        found = await self._engine.run(lambda session: session.rows("list_keys"))
        return [
            base.TenantKey(
                id=id_,
                tenant=tenant,
                hash=hash_,
                scopes=frozenset(scopes),
                created_ms=created_ms,
                revoked_ms=revoked_ms,
            )
            for id_, tenant, hash_, scopes, created_ms, revoked_ms in found
        ]

    async def put_key(self, key: base.TenantKey) -> None:
        await self._changed(
            "put_key",
            bump=True,
            id=key.id,
            tenant=key.tenant,
            hash=key.hash,
            scopes=sorted(key.scopes),
            created_ms=key.created_ms,
        )

    async def revoke_key(self, key: str, *, now_ms: int) -> bool:
        return await self._changed("revoke_key", bump=True, id=key, now_ms=now_ms)

    async def endpoints(self) -> Sequence[base.EndpointRecord]:
        found = await self._engine.run(lambda session: session.rows("list_endpoints"))
        return [
            base.EndpointRecord(
                endpoint=view.Endpoint(
                    id=row[0],
                    tenant=row[1],
                    url=row[2],
                    secrets=tuple(row[3]),
                    events=tuple(row[4]),
                    created_ms=row[5],
                    disabled_ms=row[7],
                    reason=original(row[8]),
                    configured=row[9],
                ),
                failing_ms=row[6],
            )
            for row in found
        ]

    async def put_endpoint(self, record: base.EndpointRecord) -> None:
        one = record.endpoint
        await self._changed(
            "put_endpoint",
            bump=True,
            id=one.id,
            tenant=one.tenant,
            url=one.url,
            secrets=list(one.secrets),
            events=list(one.events),
            created_ms=one.created_ms,
            failing_ms=record.failing_ms,
            disabled_ms=one.disabled_ms,
            reason=one.reason,
            configured=one.configured,
        )

    async def delete_endpoint(self, endpoint: str) -> None:
        await self._changed("delete_endpoint", bump=True, id=endpoint)

    async def directory_version(self) -> str:
        version: str = await self._engine.run(lambda session: session.value("directory_version"))
        return version

    async def has_suppressions(self) -> bool:
        found: bool = await self._engine.run(lambda session: session.value("has_suppressions"))
        return found

    async def suppressed(
        self, addresses: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], str]:
        if not addresses:
            return {}
        found = await self._engine.run(lambda session: session.over("suppressed", addresses))
        return {(channel, hash_): original(reason) for channel, hash_, reason in found}

    async def suppress(
        self, addresses: Sequence[tuple[str, str]], *, reason: str, source: str, now_ms: int
    ) -> None:
        if not addresses:
            return

        async def work(session: Session) -> None:
            await session.run_over(
                "suppress", addresses, reason=reason, source=source, now_ms=now_ms
            )

        await self._engine.run(work)

    async def unsuppress(self, channel: str, address: str) -> bool:
        return await self._changed("unsuppress", channel=channel, hash=address)

    async def consented(
        self, tenant: str, category: str, addresses: Sequence[tuple[str, str]]
    ) -> frozenset[tuple[str, str]]:
        if not addresses:
            return frozenset()
        found = await self._engine.run(
            lambda session: session.over("consented", addresses, tenant=tenant, category=category)
        )
        return frozenset((channel, hash_) for channel, hash_ in found)

    async def put_consent(
        self,
        tenant: str,
        category: str,
        address: tuple[str, str],
        *,
        source: str,
        now_ms: int,
    ) -> None:
        await self._changed(
            "put_consent",
            tenant=tenant,
            category=category,
            channel=address[0],
            hash=address[1],
            source=source,
            now_ms=now_ms,
        )

    async def withdraw_consent(self, tenant: str, category: str, address: tuple[str, str]) -> bool:
        return await self._changed(
            "withdraw_consent",
            tenant=tenant,
            category=category,
            channel=address[0],
            hash=address[1],
        )

    async def take_quota(self, provider: str, day: str, *, amount: int, limit: int) -> int:
        async def work(session: Session) -> int:
            used: int = await session.value("used_quota", provider=provider, day=day)
            granted = min(amount, max(0, limit - used))
            await session.run("put_quota", provider=provider, day=day, used=used + granted)
            await session.run("purge_quota", provider=provider, day=day)
            return granted

        return await self._engine.transact(work)

    async def secret(self, name: str) -> bytes:
        async def work(session: Session) -> str:
            made = secrets.token_hex(32)
            await session.run("put_meta", key=f"secret.{name}", value=made)
            return str(await session.value("get_meta", key=f"secret.{name}"))

        return bytes.fromhex(await self._engine.transact(work))

    async def _changed(self, query: str, *, bump: bool = False, **values: object) -> bool:
        """Run a query; whether it changed anything. bump: others must read the directory again."""

        async def work(session: Session) -> bool:
            changed = await session.run(query, **values) > 0
            if bump:
                await session.run("bump_directory")
            return changed

        return await self._engine.transact(work)

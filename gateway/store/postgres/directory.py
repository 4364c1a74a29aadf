"""Tenants' settings on PostgreSQL. Small tables, read whole or by a handful of keys."""

import secrets
from collections.abc import Sequence

from gateway.store import base
from gateway.store.entries import Entries, endpoint_of
from gateway.store.postgres.engine import Engine
from gateway.store.postgres.literals import original
from gateway.store.postgres.session import Session


class PostgresDirectory(Entries):
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

    async def endpoints(self) -> Sequence[base.EndpointRecord]:
        found = await self._engine.run(lambda session: session.rows("list_endpoints"))
        return [endpoint_of(tuple(row), reason=original(row[8])) for row in found]

    async def directory_version(self) -> str:
        version: str = await self._engine.run(lambda session: session.value("directory_version"))
        return version

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

    def _list(self, values: Sequence[str]) -> object:
        return list(values)

    async def _changed(self, query: str, *, bump: bool = False, **values: object) -> bool:
        async def work(session: Session) -> bool:
            changed = await session.run(query, **values) > 0
            if bump:
                await session.run("bump_directory")
            return changed

        return await self._engine.transact(work)

"""Tenants' settings on SQLite. Small tables, read whole or by a handful of keys."""

import secrets
from collections.abc import Sequence

import apsw

from gateway.store import base
from gateway.store.entries import Entries, endpoint_of
from gateway.store.sqlite.engine import Engine, call, call_json, dump


class SqliteDirectory(Entries):
    """Implements store.base.Directory."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def keys(self) -> Sequence[base.TenantKey]:
        found = await self._engine.read(lambda connection: call_json(connection, "list_keys"))
        return [
            base.TenantKey(
                id=id_,
                tenant=tenant,
                hash=hash_,
                scopes=frozenset(filter(None, scopes.split(","))),
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
            scopes=",".join(sorted(key.scopes)),
            created_ms=key.created_ms,
        )

    async def endpoints(self) -> Sequence[base.EndpointRecord]:
        found = await self._engine.read(lambda connection: call_json(connection, "list_endpoints"))
        return [endpoint_of(row, reason=row[8]) for row in found]

    async def directory_version(self) -> str:
        version: str = await self._engine.read(
            lambda connection: call(connection, "directory_version")
        )
        return version

    async def take_quota(self, provider: str, day: str, *, amount: int, limit: int) -> int:
        def work(connection: apsw.Connection) -> int:
            used = call(connection, "used_quota", provider=provider, day=day) or 0
            granted = min(amount, max(0, limit - used))
            call(connection, "put_quota", provider=provider, day=day, used=used + granted)
            call(connection, "purge_quota", provider=provider, day=day)
            return granted

        return await self._engine.write(work)

    async def secret(self, name: str) -> bytes:
        def work(connection: apsw.Connection) -> str:
            call(connection, "put_meta", key=f"secret.{name}", value=secrets.token_hex(32))
            return str(call(connection, "get_meta", key=f"secret.{name}"))

        return bytes.fromhex(await self._engine.write(work))

    def _list(self, values: Sequence[str]) -> object:
        return dump(list(values))

    async def _changed(self, query: str, *, bump: bool = False, **values: object) -> bool:
        def work(connection: apsw.Connection) -> bool:
            call(connection, query, **values)
            changed = connection.changes() > 0
            if bump:
                call(connection, "bump_directory")
            return changed

        return await self._engine.write(work)

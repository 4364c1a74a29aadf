"""Entries of a directory, as both engines read and write them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from gateway.model import view
from gateway.store import base


def endpoint_of(row: Sequence[Any], *, reason: str) -> base.EndpointRecord:
    """row: as `list_endpoints` gives it; reason: its ninth column as text."""
    return base.EndpointRecord(
        endpoint=view.Endpoint(
            id=row[0],
            tenant=row[1],
            url=row[2],
            secrets=tuple(row[3]),
            events=tuple(row[4]),
            created_ms=row[5],
            disabled_ms=row[7],
            reason=reason,
            configured=bool(row[9]),
        ),
        failing_ms=row[6],
    )


class Entries(ABC):
    """The part of `base.Directory` that runs one named query with the same values everywhere."""

    @abstractmethod
    async def _changed(self, query: str, *, bump: bool = False, **values: object) -> bool:
        """Run a query; whether it changed anything. bump: others must read the directory again."""

    @abstractmethod
    def _list(self, values: Sequence[str]) -> object:
        """A list as the engine's queries take it."""

    async def revoke_key(self, key: str, *, now_ms: int) -> bool:
        return await self._changed("revoke_key", bump=True, id=key, now_ms=now_ms)

    async def put_endpoint(self, record: base.EndpointRecord) -> None:
        one = record.endpoint
        await self._changed(
            "put_endpoint",
            bump=True,
            id=one.id,
            tenant=one.tenant,
            url=one.url,
            secrets=self._list(one.secrets),
            events=self._list(one.events),
            created_ms=one.created_ms,
            failing_ms=record.failing_ms,
            disabled_ms=one.disabled_ms,
            reason=one.reason,
            configured=one.configured,
        )

    async def delete_endpoint(self, endpoint: str) -> None:
        await self._changed("delete_endpoint", bump=True, id=endpoint)

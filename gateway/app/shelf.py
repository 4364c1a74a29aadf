"""Access tokens that the nodes of a fleet share, sealed."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from gateway.dispatch.tokens import Shelved
from gateway.model import wire
from gateway.model.errors import StoreUnavailable
from gateway.providers.seal import Seal
from gateway.store.fleet import Fleet


class FleetShelf:
    """Implements dispatch.tokens.Shelf."""

    def __init__(self, fleet: Fleet, account: str, options: Mapping[str, Any]) -> None:
        self._fleet = fleet
        self._account = account
        self._seal = Seal(account, options)

    async def look(self) -> Shelved | None:
        found = await self._fleet.read_access_token(self._account)
        if found is None:
            return None
        sealed, left, life = found
        token = self._seal.open(sealed)
        return Shelved(token=token, left=left, life=life) if token else None

    async def begin(self, seconds: float) -> bool:
        return await self._fleet.begin_refresh(self._account, seconds=seconds)

    async def put(self, token: wire.Token) -> None:
        with suppress(StoreUnavailable):  # the others then fetch one of their own
            await self._fleet.put_access_token(
                self._account, self._seal.close(token.value), life=token.expires_in
            )

    async def end(self) -> None:
        with suppress(StoreUnavailable):  # it ends by itself
            await self._fleet.end_refresh(self._account)

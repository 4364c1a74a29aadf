"""Access tokens: one refresh at a time over all nodes, ahead of the old one's end.

Some services drop the former token when they give out another (WeChat does), so nodes that share an
account must share its token, too.
"""

import asyncio
import logging
from typing import Protocol

from gateway.clock import Clock
from gateway.model import wire
from gateway.model.errors import AnswerLost, NotSent, StoreUnavailable
from gateway.model.values import Value
from gateway.providers import base as providers
from gateway.transport import base as transports

_log = logging.getLogger(__name__)

#: A token is renewed when it has less than this left, in seconds: as Google's own client does.
_RENEW_BEFORE = 225.0
#: Seconds between tries to renew a token that is still good.
_AGAIN = 5.0
#: Seconds between looks while another node renews it.
_LOOK = 0.5
#: What a refresh may take beyond its request, in seconds, before another node takes it over.
_LEASE_MARGIN = 5.0


class Shelved(Value):
    """A token that some node has put there. Times in seconds."""

    token: str
    left: float
    #: what was left when it was new
    life: float


class Shelf(Protocol):
    """Where the nodes that share an account keep its token."""

    async def look(self) -> Shelved | None:
        """Raises StoreUnavailable."""
        ...

    async def begin(self, seconds: float) -> bool:
        """Whether this node may refresh it now; nobody else may for so long, or until `end`.
        Raises StoreUnavailable."""
        ...

    async def put(self, token: wire.Token) -> None:
        """For the others; may be lost."""
        ...

    async def end(self) -> None:
        """This node does not refresh it any more; may be lost."""
        ...


class TokenKeeper:
    """Keeps one access token fresh; concurrent callers share a refresh."""

    def __init__(
        self,
        credential: providers.Credential,
        transport: transports.HttpTransport,
        clock: Clock,
        *,
        timeout: float,
        shelf: Shelf | None = None,
    ) -> None:
        self.credential = credential
        self._transport = transport
        self._clock = clock
        self._timeout = timeout
        self._shelf = shelf
        self._token = ""
        self._renew_at = 0.0
        self._ends_at = 0.0
        #: the last one that the provider refused
        self._refused = ""
        self._refresh: asyncio.Task[wire.Deferred | None] | None = None

    async def get(self) -> str | wire.Deferred:
        """A token that is good for a while, or why there is none.

        While the old one is good nobody waits for its successor.
        """
        if self._is_good() and self._clock.monotonic() < self._renew_at:
            return self._token
        if self._refresh is None:
            self._refresh = asyncio.create_task(self._renew())
        if self._is_good():
            return self._token
        trouble = await asyncio.shield(self._refresh)
        return self._token if trouble is None else trouble

    def forget(self, token: str) -> None:
        """The provider refuses this token: get another next time."""
        self._refused = token
        if token == self._token:
            self._token = ""

    def _is_good(self) -> bool:
        return bool(self._token) and self._clock.monotonic() < self._ends_at

    async def _renew(self) -> wire.Deferred | None:
        trouble: wire.Deferred | None
        try:
            trouble = await (self._fetch() if self._shelf is None else self._share(self._shelf))
        except (NotSent, AnswerLost) as error:
            trouble = wire.Deferred(code=error.reason, cause=wire.Cause.CONNECT)
        except StoreUnavailable:
            trouble = wire.Deferred(code="store_unavailable")
        finally:
            self._refresh = None
        if trouble is not None:
            _log.error("token_refused code=%s", trouble.code)
            self._renew_at = self._clock.monotonic() + _AGAIN
        return trouble

    async def _share(self, shelf: Shelf) -> wire.Deferred | None:
        """The token of another node where there is a good one, else a fresh one for all."""
        while not self._adopt(await shelf.look()):
            if await shelf.begin(self._timeout + _LEASE_MARGIN):
                try:
                    # whoever had the lease before may have put one there since we looked
                    return None if self._adopt(await shelf.look()) else await self._fetch()
                finally:
                    await shelf.end()
            await self._clock.sleep(_LOOK)
        return None

    def _adopt(self, found: Shelved | None) -> bool:
        if found is None or found.token == self._refused or found.left <= _margin(found.life):
            return False
        self._take(found)
        return True

    async def _fetch(self) -> wire.Deferred | None:
        request = self.credential.token_request()
        response = await self._transport.send(request, timeout=self._timeout)
        answer = self.credential.read_token(response)
        if isinstance(answer, wire.Deferred):
            return answer
        life = answer.expires_in
        self._take(Shelved(token=answer.value, left=life, life=life))
        if self._shelf is not None:
            await self._shelf.put(answer)
        return None

    def _take(self, one: Shelved) -> None:
        now, margin = self._clock.monotonic(), _margin(one.life)
        self._token = one.token
        self._renew_at = now + one.left - margin
        # a request that leaves now must find it good when it arrives
        self._ends_at = now + one.left - margin / 10


def _margin(life: float) -> float:
    return min(_RENEW_BEFORE, life / 4)

"""What a node owes the others: proof that it lives, and word of providers to be left alone."""

import asyncio
import logging
from collections.abc import Mapping

from gateway.clock import Clock
from gateway.dispatch.lanes import Bells
from gateway.limits.account import Account
from gateway.model.errors import StoreUnavailable
from gateway.store.fleet import Fleet

_log = logging.getLogger(__name__)

#: Seconds between heartbeats; a node that missed three counts as dead (design §5).
_BEAT_EVERY = 2.0

#: A node that could not write its heartbeat for so long stops sending before others take its work.
_PROOF = 4.0

#: Seconds after which a heartbeat that failed is tried again.
_RETRY = 0.5

#: Seconds between hints, and until a lost line to hear them is opened again.
_HINT_EVERY, _LISTEN_AGAIN = 0.1, 1.0

#: Seconds between looks at what other nodes say of providers.
_GOSSIP_EVERY = 0.4


class Pulse:
    """This node's heartbeat."""

    def __init__(self, fleet: Fleet, clock: Clock) -> None:
        self._fleet = fleet
        self._clock = clock
        self._proved = clock.monotonic()

    @property
    def is_proved(self) -> bool:
        """Whether the others know that we live, so that what we have claimed is still ours."""
        return self._clock.monotonic() - self._proved < _PROOF

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(await self._beat())

    async def _beat(self) -> float:
        """Seconds until the next one. It counts from before it was written."""
        began = self._clock.monotonic()
        try:
            await self._fleet.beat()
        except StoreUnavailable as error:
            _log.warning("heartbeat_failed reason=%s", error)
            return _RETRY
        self._proved = began
        return _BEAT_EVERY


class Hints:
    """Tells other nodes that lanes have work, and hears it from them: they need not find it by
    looking. Hints are merged, and may be lost."""

    def __init__(self, fleet: Fleet, bells: Bells, clock: Clock) -> None:
        self._fleet = fleet
        self._bells = bells
        self._clock = clock
        self._lanes: set[str] = set()
        self._rang = asyncio.Event()
        bells.on_ring = self._note

    def _note(self, lane: str) -> None:
        self._lanes.add(lane)
        self._rang.set()

    async def tell(self) -> None:
        """Until cancelled."""
        while True:
            await self._rang.wait()
            self._rang.clear()
            lanes, self._lanes = self._lanes, set()
            try:
                await self._fleet.hint(lanes)
            except StoreUnavailable as error:
                _log.debug("hint_lost reason=%s", error)
            await self._clock.sleep(_HINT_EVERY)

    async def hear(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._fleet.listen(self._bells.echo)
            except StoreUnavailable as error:
                _log.warning("hints_not_heard reason=%s", error)
            await self._clock.sleep(_LISTEN_AGAIN)


class Gossip:
    """Tells other nodes which accounts are paused or broken, and hears it from them."""

    def __init__(self, fleet: Fleet, accounts: Mapping[str, Account], clock: Clock) -> None:
        self._fleet = fleet
        self._accounts = accounts
        self._clock = clock
        self._told: dict[str, float] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._tell()
                await self._hear()
            except StoreUnavailable as error:
                _log.warning("gossip_waits_for_store reason=%s", error)
            await self._clock.sleep(_GOSSIP_EVERY)

    async def _tell(self) -> None:
        now = self._clock.monotonic()
        for name, account in self._accounts.items():
            seconds, reason = account.own_pause()
            until = now + seconds
            if seconds > 0.0 and until > self._told.get(name, 0.0) + _GOSSIP_EVERY:
                await self._fleet.pause_account(name, seconds=seconds, reason=reason)
                self._told[name] = until

    async def _hear(self) -> None:
        for name, (seconds, _) in (await self._fleet.paused_accounts()).items():
            if (account := self._accounts.get(name)) is not None:
                account.heed(seconds)

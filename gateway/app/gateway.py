"""One process of the gateway: run until it is told to stop, then drained."""

import asyncio
import logging
import signal
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from gateway.api.services import Services
from gateway.app.assembly import Assembly, Sockets, assemble
from gateway.clock import Clock, SystemClock
from gateway.dispatch.node import Gossip, Hints
from gateway.model.roles import Role
from gateway.settings import Settings

_log = logging.getLogger(__name__)


class Gateway:
    """One process of the gateway. Enter it, then `run` until it is told to stop.

    clock: what everything goes by. sockets: that listen already, in place of the settings' two
    addresses; closed with the gateway. providers and store are opened on entering; listeners as
    well, so that `port` and `internal_port` are known then.
    """

    _parts: Assembly

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        *,
        role: Role = Role.ALL,
        shares_ports: bool = False,
        sockets: Sockets = (None, None),
    ) -> None:
        self.settings = settings
        self._clock = clock if clock is not None else SystemClock()
        self._role = role
        self._shares_ports = shares_ports
        self._sockets = sockets
        self._stack = AsyncExitStack()
        self._is_draining = False
        self._stop_serving = asyncio.Event()

    async def __aenter__(self) -> Self:
        try:
            self._parts = await assemble(
                self.settings,
                self._clock,
                self._stack,
                role=self._role,
                shares_ports=self._shares_ports,
                sockets=self._sockets,
                is_draining=lambda: self._is_draining,
            )
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def port(self) -> int:
        """The public port that is bound."""
        return self._parts.public.port

    @property
    def internal_port(self) -> int:
        return self._parts.internal.port

    @property
    def services(self) -> Services:
        """What the edge calls, for callers in the same process."""
        return self._parts.edge.services

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then drain: no new work, finish what is in flight."""
        if self._role.sends:
            await self._parts.edge.upkeep.adopt_orphans()
        background = asyncio.create_task(self._background())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([background, stopping], return_when=asyncio.FIRST_COMPLETED)
            await self._drain(background)
        finally:
            stopping.cancel()
        if background.done() and not background.cancelled() and (error := background.exception()):
            raise error

    async def _background(self) -> None:
        async with asyncio.TaskGroup() as group:
            upkeep = group.create_task(self._parts.edge.upkeep.run(sends=self._role.sends))
            checks = group.create_task(self._check_store())
            fleet = [group.create_task(work) for work in self._fleet_work()]
            await asyncio.gather(*(group.create_task(work) for work in self._serving()))
            for task in (upkeep, checks, *fleet):
                task.cancel()

    def _serving(self) -> Sequence[Coroutine[Any, Any, object]]:
        """What ends when it is told to stop."""
        if not self._role.sends:
            return [self._stop_serving.wait()]
        return [member.run() for member in self._parts.crew.members]

    def _fleet_work(self) -> Sequence[Coroutine[Any, Any, None]]:
        """What goes on beside, where other nodes share the store."""
        ground = self._parts.ground
        if ground.fleet is None or ground.pulse is None:
            return ()
        gossip = Gossip(ground.fleet, self._parts.carriers.accounts, self._clock)
        hints = Hints(ground.fleet, ground.bells, self._clock)
        return ground.pulse.run(), gossip.run(), hints.tell(), hints.hear()

    async def _check_store(self) -> None:
        while True:
            await self._parts.edge.operations.check_store()
            await self._clock.sleep(1.0)

    async def _drain(self, background: "asyncio.Task[None]") -> None:
        """Give back what has not started; what is in flight gets until the deadline."""
        self._is_draining = True
        deadline = self.settings.dispatch.drain
        _log.info("draining deadline=%ss", deadline)
        for member in self._parts.crew.members:
            member.stop()
        self._stop_serving.set()
        closing = asyncio.create_task(self._parts.public.stop())
        await asyncio.wait([background, closing], timeout=deadline)
        closing.cancel()
        if background.done():
            return
        _log.warning("drain_deadline_passed")
        for member in self._parts.crew.members:
            member.cancel()
        await asyncio.wait([background], timeout=5.0)
        background.cancel()
        await asyncio.wait([background], timeout=5.0)


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` on SIGTERM and SIGINT."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

"""What everything else of a process stands on: its store, and its place among other nodes."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.dispatch.lanes import Bells
from gateway.dispatch.node import Pulse
from gateway.metrics import Metrics
from gateway.settings import Settings
from gateway.store import base
from gateway.store.fleet import Fleet
from gateway.store.registry import open_store


@dataclass(frozen=True, slots=True)
class Ground:
    """stack: closes, in reverse, what was opened. fleet and pulse: None where no other node can
    share the store."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    stack: AsyncExitStack
    store: base.Store
    fleet: Fleet | None
    pulse: Pulse | None
    bells: Bells

    def may_send(self) -> bool:
        """Whether others still take this node for alive, and so leave its work alone."""
        return self.pulse is None or self.pulse.is_proved


async def lay(settings: Settings, clock: Clock, metrics: Metrics, stack: AsyncExitStack) -> Ground:
    """Open the store."""

    def note(seconds: float, works: int) -> None:
        metrics.commit_seconds.observe(seconds)

    store = await stack.enter_async_context(open_store(settings, clock, on_commit=note))
    return Ground(
        settings=settings,
        clock=clock,
        metrics=metrics,
        stack=stack,
        store=store,
        fleet=store.fleet,
        pulse=Pulse(store.fleet, clock) if store.fleet is not None else None,
        bells=Bells(),
    )

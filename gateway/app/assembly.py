"""Builds a gateway bottom up: ground, carriers, road, crew, edge, listeners."""

import gc
import socket
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeAlias

from gateway.api.limits import Limits
from gateway.api.routes import internal_app, public_app
from gateway.api.server import Listener
from gateway.api.services import Services
from gateway.app.carriers import Carriers, build_carriers
from gateway.app.crew import Crew, build_crew
from gateway.app.edge import Edge, build_edge
from gateway.app.ground import Ground, lay
from gateway.app.road import build_road
from gateway.clock import Clock
from gateway.dispatch import caps, webhooks
from gateway.dispatch.lanes import WEBHOOK_LANE
from gateway.metrics import Metrics
from gateway.model.lint import Mode as LintMode
from gateway.model.roles import Role
from gateway.providers import base as providers
from gateway.settings import ApiSettings, Settings

#: Longest wait of the loop's thread for the store's writer to let go of the interpreter, and the
#: other way round, in seconds. The default of 5 ms makes each commit wait on a busy loop.
_SWITCH_INTERVAL = 0.001

#: Allocations between collections. A message makes no cycles, and Python's 700 would look for some
#: after every fifth of them.
_GC_THRESHOLD = (20_000, 20, 20)


#: That listen already, for the public and the internal port; None: bind as the settings say.
Sockets: TypeAlias = tuple[socket.socket, socket.socket] | tuple[None, None]


@dataclass(frozen=True, slots=True)
class Assembly:
    """What a gateway is made of. public listens only where the role has an API."""

    ground: Ground
    carriers: Carriers
    crew: Crew
    edge: Edge
    public: Listener
    internal: Listener


async def assemble(
    settings: Settings,
    clock: Clock,
    stack: AsyncExitStack,
    *,
    role: Role,
    shares_ports: bool,
    sockets: Sockets,
    is_draining: Callable[[], bool],
) -> Assembly:
    """Open the store and the listeners, and everything between them. stack: takes it apart in
    reverse."""
    sys.setswitchinterval(_SWITCH_INTERVAL)
    gc.set_threshold(*_GC_THRESHOLD)
    ground = await lay(settings, clock, Metrics(), stack)
    carriers = await build_carriers(ground)
    road = await build_road(ground, carriers)
    crew = build_crew(ground, carriers, road)
    edge = await build_edge(ground, carriers, road, is_draining=is_draining, sends=role.sends)
    _begin_metrics(ground.metrics, settings, carriers)
    # the public port first: who asks the other whether we are ready may send at once
    bound, bound_internal = sockets
    public = _public(settings.api, edge.services, shares_ports=shares_ports, bound=bound)
    if role.has_api:
        await stack.enter_async_context(public)
    internal = internal_app(edge.services)
    return Assembly(
        ground=ground,
        carriers=carriers,
        crew=crew,
        edge=edge,
        public=public,
        internal=await stack.enter_async_context(
            Listener(
                internal, *settings.api.internal, reuse_port=shares_ports, bound=bound_internal
            )
        ),
    )


def _begin_metrics(metrics: Metrics, settings: Settings, carriers: Carriers) -> None:
    """Each that may ever be counted stands at nought from the start."""
    metrics.begin(
        categories=settings.categories,
        channels={lane.channel for lane in settings.lanes.values()},
        accounts=[*settings.providers, WEBHOOK_LANE],
        reporters=[
            name
            for name, sender in carriers.senders.items()
            if isinstance(sender.provider, providers.Reporter | providers.SmppProvider)
        ],
        answered=[
            name
            for name, sender in carriers.senders.items()
            if providers.brings_inbound(sender.provider)
        ],
        internal=webhooks.CATEGORY,
        caps=caps.names(settings),
    )
    if any(one.lint is not LintMode.OFF for one in settings.categories.values()):
        metrics.begin_lint()


def _public(
    api: ApiSettings, services: Services, *, shares_ports: bool, bound: socket.socket | None
) -> Listener:
    limits = Limits(
        max_body=api.max_body,
        head_seconds=api.head_timeout,
        body_seconds=api.body_timeout,
        connections_per_address=api.connections_per_address,
    )
    return Listener(public_app(services, limits), *api.listen, reuse_port=shares_ports, bound=bound)

"""What is called from outside, and what keeps a process in order: services and upkeep."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from gateway.api.services import Services
from gateway.app import choices
from gateway.app.carriers import Carriers
from gateway.app.ground import Ground
from gateway.app.road import Road
from gateway.dispatch.answers import Answers
from gateway.dispatch.desk import Desk
from gateway.dispatch.endpoints import Endpoints
from gateway.dispatch.erasure import Eraser
from gateway.dispatch.errands import Errands
from gateway.dispatch.inbound import Inbound
from gateway.dispatch.intake import Intake
from gateway.dispatch.keys import Keys
from gateway.dispatch.operations import Known, Operations
from gateway.dispatch.permissions import Permissions
from gateway.dispatch.proofs import Proofreader
from gateway.dispatch.receipts import Receipts
from gateway.dispatch.recipients import Recipients
from gateway.dispatch.smpp_sender import SmppSender
from gateway.dispatch.upkeep import Upkeep, UpkeepRules


@dataclass(frozen=True, slots=True)
class Edge:
    services: Services
    operations: Operations
    upkeep: Upkeep


async def build_edge(
    ground: Ground,
    carriers: Carriers,
    road: Road,
    *,
    is_draining: Callable[[], bool],
    sends: bool,
) -> Edge:
    """sends: whether this process sends, and so has the connections by which receipts come in."""
    keys = Keys(ground.settings.tenants, ground.store, ground.clock)
    inbound = _inbound(ground, carriers, road)
    receipts = _receipts(ground, carriers, road, inbound)
    for sender in carriers.senders.values():
        if isinstance(sender, SmppSender) and sends:
            sender.begin(receipts.take_receipts, inbound.take)
    operations = _operations(ground, carriers, is_draining)
    await keys.refresh()
    await ground.store.unpin_strangers(list(ground.settings.providers))
    return Edge(
        services=_services(ground, carriers, road, keys, receipts, operations),
        operations=operations,
        upkeep=_upkeep(ground, road, keys, receipts),
    )


def _services(
    ground: Ground,
    carriers: Carriers,
    road: Road,
    keys: Keys,
    receipts: Receipts,
    operations: Operations,
) -> Services:
    settings, store, clock = ground.settings, ground.store, ground.clock
    bans = road.rules.bans
    return Services(
        intake=_intake(ground, road),
        desk=Desk(store, road.finisher, clock),
        endpoints=Endpoints(road.book, store, road.finisher, clock, carriers.guard.check_url),
        receipts=receipts,
        recipients=Recipients(
            store,
            bans,
            Eraser(store, road.finisher, bans, road.habits, clock),
            clock,
            categories=settings.categories,
        ),
        subscriptions=road.rules.subscriptions,
        permissions=Permissions(store, bans, clock, settings.categories),
        keys=keys,
        operations=operations,
        clock=clock,
        public_url=settings.api.public_url,
        only_loopback=settings.webhooks.only_loopback,
    )


def _intake(ground: Ground, road: Road) -> Intake:
    settings, words, rules = ground.settings, road.words, road.rules
    return Intake(
        settings,
        words.composer,
        words.renderer,
        ground.store,
        rules.bans,
        ground.bells,
        ground.clock,
        ground.metrics,
        webhooks=road.reporter,
        replacing=road.replacing,
        habits=road.habits,
        timetable=rules.timetable,
        proofs=Proofreader(settings, words.renderer, ground.metrics.count_finding),
        caps=rules.caps,
    )


def _inbound(ground: Ground, carriers: Carriers, road: Road) -> Inbound:
    return Inbound(
        {name: sender.provider.channel for name, sender in carriers.senders.items()},
        ground.store,
        road.rules.bans,
        ground.bells,
        ground.clock,
        ground.metrics,
        webhooks=road.reporter.received,
        answers=Answers(ground.settings, road.words.wordings, carriers.objections),
        leave=road.rules.subscriptions.leave_part,
    )


def _receipts(ground: Ground, carriers: Carriers, road: Road, inbound: Inbound) -> Receipts:
    return Receipts(
        carriers.reporters,
        ground.store,
        road.finisher,
        road.rules.bans,
        carriers.accounts,
        ground.clock,
        ground.metrics,
        Errands(carriers.http, ground.clock),
        inbound,
    )


def _operations(ground: Ground, carriers: Carriers, is_draining: Callable[[], bool]) -> Operations:
    settings = ground.settings
    known = {
        name: Known(
            account=account,
            kind=settings.providers[name].kind,
            channel=carriers.senders[name].provider.channel,
            lanes=[lane.name for lane in choices.served_lanes(settings, name)],
        )
        for name, account in carriers.accounts.items()
    }
    return Operations(ground.store, known, ground.clock, ground.metrics, is_draining)


def _upkeep(ground: Ground, road: Road, keys: Keys, receipts: Receipts) -> Upkeep:
    settings = ground.settings
    return Upkeep(
        ground.store,
        road.finisher,
        ground.bells,
        ground.clock,
        ground.metrics,
        UpkeepRules(
            retention=settings.store.retention,
            early_receipts=settings.store.early_receipts,
            lane_rates=choices.lane_rates(settings),
        ),
        retry_rules=choices.retry_rules(settings),
        random=random.random,
        refreshers=[
            keys.refresh,
            road.book.refresh,
            road.rules.bans.refresh,
            road.habits.flush,
        ],
        apply_parked=receipts.apply_parked,
        has_peers=ground.fleet is not None,
    )

"""Who takes work from the queue: a worker for each provider account, and the postman."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.app import choices
from gateway.app.carriers import Carriers
from gateway.app.ground import Ground
from gateway.app.road import Road
from gateway.dispatch import webhooks
from gateway.dispatch.attempt import Attempter
from gateway.dispatch.lanes import WEBHOOK_LANE
from gateway.dispatch.policy import RetryRules
from gateway.dispatch.postman import Postman
from gateway.dispatch.quota import Allowance
from gateway.dispatch.senders import HttpSender, Sender
from gateway.dispatch.worker import Worker
from gateway.providers import webhook


@dataclass(frozen=True, slots=True)
class Crew:
    """postman: sends tenants their webhooks."""

    workers: Sequence[Worker]
    postman: Postman

    @property
    def members(self) -> Sequence[Worker | Postman]:
        return [*self.workers, self.postman]


def build_crew(ground: Ground, carriers: Carriers, road: Road) -> Crew:
    """They begin when they are run."""
    workers = [
        _worker(name, ground, carriers, road)
        for name in ground.settings.providers
        # an account that no lane names has nothing to do
        if choices.served_lanes(ground.settings, name)
    ]
    return Crew(workers, _postman(ground, carriers, road))


def _worker(name: str, ground: Ground, carriers: Carriers, road: Road) -> Worker:
    settings, store, clock = ground.settings, ground.store, ground.clock
    account = settings.providers[name]
    rules = choices.retry_rules(settings)
    return Worker(
        carriers.accounts[name],
        _attempter(
            carriers.senders[name], rules, ground, carriers, road, choices.allowance(account)
        ),
        choices.served_lanes(settings, name),
        store=store,
        bells=ground.bells,
        bans=road.rules.bans,
        replacing=road.replacing,
        caps=road.rules.caps,
        merging=road.merging,
        clock=clock,
        metrics=ground.metrics,
        roster=carriers.accounts,
        before=lambda lane: carriers.orders.before(lane, name),
        quota=choices.daily_quota(store, clock, name, account),
        tokens_of=choices.tokens_of(account.rate_unit),
        may_send=ground.may_send if ground.pulse is not None else None,
    )


def _postman(ground: Ground, carriers: Carriers, road: Road) -> Postman:
    settings = ground.settings.webhooks
    provider = webhook.Provider(WEBHOOK_LANE, webhook.Settings(), ground.clock)
    sender = HttpSender(provider, carriers.guarded, ground.clock, timeout=settings.timeout)
    rules = RetryRules(schedule=webhooks.SCHEDULE)
    return Postman(
        _attempter(sender, rules, ground, carriers, road),
        road.book,
        store=ground.store,
        bells=ground.bells,
        clock=ground.clock,
        slots=settings.in_flight,
        may_send=ground.may_send,
    )


def _attempter(
    sender: Sender,
    rules: RetryRules,
    ground: Ground,
    carriers: Carriers,
    road: Road,
    allowance: Allowance | None = None,
) -> Attempter:
    account = sender.provider.account
    return Attempter(
        sender,
        finisher=road.finisher,
        renderer=road.words.renderer,
        bans=road.rules.bans,
        clock=ground.clock,
        metrics=ground.metrics,
        rules=rules,
        lane_providers=carriers.providers_of,
        random=random.random,
        paused_for=carriers.paused_for,
        preferred_for=lambda lane: carriers.orders.reason(lane, account),
        hold_of=road.rules.timetable.hold_of_row,
        allowance=allowance,
    )

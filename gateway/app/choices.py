"""What follows from the settings alone: which lanes, which limits and rules."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from gateway.clock import Clock
from gateway.dispatch.claims import ServedLane
from gateway.dispatch.policy import RetryRules
from gateway.dispatch.quota import Allowance, DailyQuota
from gateway.limits.account import AccountLimits
from gateway.limits.breaker import BreakerRules
from gateway.model.case import Claimed
from gateway.model.errors import StoreUnavailable
from gateway.model.message import ChainOrder
from gateway.model.tokens import Demand, Grant
from gateway.settings import LaneOrder, ProviderAccount, RateUnit, Settings
from gateway.store import base
from gateway.store.fleet import Fleet


def served_lanes(settings: Settings, account: str) -> Sequence[ServedLane]:
    """The lanes that an account serves."""
    return [
        ServedLane(
            name=name,
            spill_after=lane.spill_after,
            shared=len(lane.providers) > 1,
        )
        for name, lane in settings.lanes.items()
        if account in lane.providers
    ]


def best_categories(settings: Settings) -> Sequence[str]:
    """Categories whose channels are chosen for each recipient."""
    return [name for name, one in settings.categories.items() if one.order is ChainOrder.BEST]


def lane_rates(settings: Settings) -> Mapping[str, float | None]:
    """Tokens a second of each lane's accounts together; None where one has no limit."""
    rates: dict[str, float | None] = {}
    for name, lane in settings.lanes.items():
        each = [settings.providers[one].rate for one in lane.providers]
        rates[name] = None if None in each else sum(rate or 0.0 for rate in each)
    return rates


def tokens_of(unit: RateUnit) -> Callable[[Claimed], int]:
    """What a row costs an account's bucket and its daily quota."""
    if unit is RateUnit.PART:
        return lambda row: row.units
    return lambda row: 1


def allowance(account: ProviderAccount) -> Allowance:
    """What an account has for one message."""
    return Allowance(
        a_day=account.daily_quota,
        tokens_of=tokens_of(account.rate_unit),
        by_call=account.rate_unit is RateUnit.REQUEST,
    )


class SharedRow:
    """An account's bucket in a store that other nodes use, too. Implements limits.shared.Row."""

    def __init__(self, fleet: Fleet, account: str) -> None:
        self._fleet = fleet
        self._account = account

    async def take(self, demand: Demand) -> Grant | None:
        try:
            return await self._fleet.take_tokens(self._account, demand)
        except StoreUnavailable:
            return None

    async def give_back(self, tokens: int, capacity: float) -> None:
        with suppress(StoreUnavailable):  # then they are lost, as they may be
            await self._fleet.give_tokens_back(self._account, tokens, capacity=capacity)


def daily_quota(
    store: base.Store, clock: Clock, name: str, account: ProviderAccount
) -> DailyQuota | None:
    """What an account may use a day; None: no bound."""
    if account.daily_quota is None:
        return None
    return DailyQuota(
        store, clock, account=name, limit=account.daily_quota, zone=account.daily_zone
    )


#: Rows that are made a call in one go, while which nothing else runs: some 50 ms of work.
_MOST_AT_ONCE = 250


def account_limits(settings: Settings, name: str, *, batch: int) -> AccountLimits:
    """Limits of the account of this name, with the breaker's rules, which are the same for all.

    batch: messages that one call to its provider can carry.
    """
    account = settings.providers[name]
    return AccountLimits(
        rate=account.rate,
        burst=account.burst or 1.0,
        concurrency=account.concurrency,
        batch=min(batch, _MOST_AT_ONCE),
        token_per_call=account.rate_unit is RateUnit.REQUEST,
        token_per_part=account.rate_unit is RateUnit.PART,
        compared=any(
            lane.order is LaneOrder.BEST and name in lane.providers
            for lane in settings.lanes.values()
        ),
        reserve={int(level): share for level, share in account.reserve.items()},
        breaker=breaker_rules(settings),
    )


def breaker_rules(settings: Settings) -> BreakerRules:
    """The same for every account, and every host that recipients name."""
    rules = settings.breaker
    return BreakerRules(
        window=rules.window,
        least=rules.minimum,
        share=rules.failures,
        connects=rules.connects,
        first_probe=rules.probe_after,
        last_probe=rules.probe_cap,
    )


def retry_rules(settings: Settings) -> RetryRules:
    """How steps are repeated; webhooks have a schedule of their own."""
    retry = settings.retry
    return RetryRules(attempts=retry.attempts, base=retry.base, factor=retry.factor, cap=retry.cap)

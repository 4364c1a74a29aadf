"""The provider accounts of a process, and the transports by which it speaks to them."""

import logging
from collections.abc import Mapping, Sequence

from gateway.app import choices
from gateway.app.ground import Ground
from gateway.app.senders import build_sender
from gateway.dispatch import devices
from gateway.dispatch.lane_order import LaneOrders
from gateway.dispatch.senders import Sender
from gateway.dispatch.steps import Objection
from gateway.limits.account import Account
from gateway.model import wire
from gateway.providers import base as providers
from gateway.providers import registry
from gateway.settings import ProviderAccount
from gateway.transport.base import HttpOptions, HttpTransport
from gateway.transport.guard import AddressGuard
from gateway.transport.http import AiohttpTransport
from gateway.transport.lean import LeanHttpTransport

_log = logging.getLogger(__name__)

#: Accounts and endpoints have bounds of their own.
_UNBOUNDED = HttpOptions(limit=0)


class Carriers:
    """Accounts by name, each with its sender and its limits. `build_carriers` makes it."""

    def __init__(
        self,
        ground: Ground,
        senders: Mapping[str, Sender],
        *,
        http: HttpTransport,
        guarded: HttpTransport,
        guard: AddressGuard,
    ) -> None:
        """http: to providers. guarded: to addresses that others name, which guard judges."""
        self.senders = senders
        self.http = http
        self.guarded = guarded
        self.guard = guard
        self.orders = LaneOrders(ground.settings, lambda: self.accounts, ground.clock)
        self.accounts: Mapping[str, Account] = {
            name: _account(ground, name, sender.provider.batch_limit)
            for name, sender in senders.items()
        }
        self._lanes = ground.settings.lanes

    def providers_of(self, lane: str) -> Sequence[str]:
        """In the order in which they are preferred now."""
        return self.orders.of(lane)

    def paused_for(self, account: str) -> float:
        """Seconds until an account may be called again."""
        found = self.accounts.get(account)
        return found.paused_for() if found is not None else 0.0

    @property
    def reports(self) -> Mapping[str, frozenset[wire.ReceiptEvent]]:
        """What each account's receipts can say."""
        return {name: sender.provider.reports for name, sender in self.senders.items()}

    @property
    def reporters(self) -> Mapping[str, providers.Reporter]:
        """Those whose receipts come by HTTP."""
        return {
            name: sender.provider
            for name, sender in self.senders.items()
            if isinstance(sender.provider, providers.Reporter)
        }

    @property
    def telling_lanes(self) -> Sequence[str]:
        """Lanes whose receipts say what was delivered."""
        return [
            name
            for name, lane in self._lanes.items()
            if all(wire.ReceiptEvent.DELIVERED in self.reports[one] for one in lane.providers)
        ]

    @property
    def objections(self) -> Mapping[str, Objection]:
        """What is asked before a message is taken that an account may be unable to carry."""
        return {
            name: sender.provider.objection
            for name, sender in self.senders.items()
            if providers.can_object(sender.provider)
        }

    @property
    def misfits(self) -> Mapping[str, devices.Misfit]:
        """What is asked of the addresses that a message names."""
        return {name: self._misfit(sender.provider) for name, sender in self.senders.items()}

    def _misfit(self, provider: providers.Provider) -> devices.Misfit:
        is_guarded = isinstance(provider, providers.HttpProvider) and provider.guarded
        if is_guarded and provider.channel is wire.Channel.WEBHOOK:
            return devices.of_urls(self.guard.check_url)
        return provider.misfit


async def build_carriers(ground: Ground) -> Carriers:
    """Open the transports."""
    settings = ground.settings
    http = await ground.stack.enter_async_context(LeanHttpTransport(_UNBOUNDED))
    guard = AddressGuard(
        [str(network) for network in settings.webhooks.allow_private],
        only_loopback=settings.webhooks.only_loopback,
    )
    guarded = await ground.stack.enter_async_context(AiohttpTransport(_UNBOUNDED, guard=guard))
    senders = {
        name: await _sender(ground, name, account, http=http, guarded=guarded)
        for name, account in settings.providers.items()
    }
    return Carriers(ground, senders, http=http, guarded=guarded, guard=guard)


async def _sender(
    ground: Ground,
    name: str,
    account: ProviderAccount,
    *,
    http: HttpTransport,
    guarded: HttpTransport,
) -> Sender:
    return await build_sender(
        registry.build(name, account.kind, account.options, ground.clock),
        account,
        http=http,
        guarded=guarded,
        stack=ground.stack,
        clock=ground.clock,
        metrics=ground.metrics,
        fleet=ground.fleet,
        breaker=choices.breaker_rules(ground.settings),
    )


def _account(ground: Ground, name: str, batch: int) -> Account:
    """batch: messages that one call to its provider can carry."""
    metrics = ground.metrics
    metrics.set_breaker(name, "closed")

    def on_breaker(state: str) -> None:
        metrics.set_breaker(name, state)
        _log.warning("breaker provider=%s state=%s", name, state)

    row = None if ground.fleet is None else choices.SharedRow(ground.fleet, name)
    limits = choices.account_limits(ground.settings, name, batch=batch)
    return Account(limits, ground.clock, on_breaker, row=row)

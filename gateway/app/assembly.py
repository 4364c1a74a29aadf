"""Builds a gateway bottom up: store, senders, dispatch, edge."""

import asyncio
import gc
import logging
import random
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from gateway.api.limits import Limits
from gateway.api.routes import internal_app, public_app
from gateway.api.server import Listener
from gateway.api.services import Services
from gateway.app import choices
from gateway.app.senders import build_sender
from gateway.clock import Clock, SystemClock
from gateway.content import templates as content
from gateway.dispatch import caps, devices, webhooks
from gateway.dispatch.attempt import Attempter
from gateway.dispatch.bans import Bans
from gateway.dispatch.compose import Composer
from gateway.dispatch.desk import Desk
from gateway.dispatch.endpoints import EndpointBook, Endpoints
from gateway.dispatch.erasure import Eraser
from gateway.dispatch.errands import Errands
from gateway.dispatch.finisher import Finisher
from gateway.dispatch.habits import Habits
from gateway.dispatch.inbound import Inbound
from gateway.dispatch.intake import Intake
from gateway.dispatch.keys import Keys
from gateway.dispatch.lane_order import LaneOrders
from gateway.dispatch.lanes import WEBHOOK_LANE, Bells
from gateway.dispatch.node import Pulse
from gateway.dispatch.operations import Known, Operations
from gateway.dispatch.permissions import Permissions
from gateway.dispatch.policy import RetryRules
from gateway.dispatch.postman import Postman
from gateway.dispatch.proofs import Proofreader
from gateway.dispatch.receipts import Receipts
from gateway.dispatch.recipients import Recipients
from gateway.dispatch.render import Renderer
from gateway.dispatch.replacing import Replacing
from gateway.dispatch.senders import HttpSender, Sender
from gateway.dispatch.smpp_sender import SmppSender
from gateway.dispatch.subscriptions import Subscriptions
from gateway.dispatch.upkeep import Upkeep, UpkeepRules
from gateway.dispatch.wordings import Wordings
from gateway.dispatch.worker import Worker
from gateway.limits.account import Account
from gateway.metrics import Metrics
from gateway.model import wire
from gateway.model.lint import Mode as LintMode
from gateway.model.roles import Role
from gateway.providers import base as providers
from gateway.providers import registry, webhook
from gateway.rules.timing import Timetable
from gateway.settings import ProviderAccount, Settings
from gateway.store.registry import open_store
from gateway.transport.base import HttpOptions
from gateway.transport.guard import AddressGuard
from gateway.transport.http import AiohttpTransport
from gateway.transport.lean import LeanHttpTransport

_log = logging.getLogger(__name__)

#: Longest wait of the loop's thread for the store's writer to let go of the interpreter, and the
#: other way round, in seconds. The default of 5 ms makes each commit wait on a busy loop.
_SWITCH_INTERVAL = 0.001

#: Allocations between collections. A message makes no cycles, and Python's 700 would look for some
#: after every fifth of them.
_GC_THRESHOLD = (20_000, 20, 20)

#: Accounts and endpoints have bounds of their own.
_UNBOUNDED = HttpOptions(limit=0)


class Assembly:
    """What a gateway is made of. `build` makes it; leaving `_stack` takes it apart in reverse."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        *,
        role: Role = Role.ALL,
        shares_ports: bool = False,
    ) -> None:
        self.settings = settings
        self._role = role
        self._shares_ports = shares_ports
        self.clock = clock if clock is not None else SystemClock()
        self.metrics = Metrics()
        self._stack = AsyncExitStack()
        self._workers: list[Worker] = []
        self._draining = False
        self._stop_serving = asyncio.Event()

    async def build(self) -> None:
        """Open the store and the listeners, and everything between them."""
        sys.setswitchinterval(_SWITCH_INTERVAL)
        gc.set_threshold(*_GC_THRESHOLD)
        settings, clock = self.settings, self.clock
        self.store = await self._stack.enter_async_context(
            open_store(settings, clock, on_commit=self._note_commit)
        )
        self._bells = Bells()
        self._fleet = self.store.fleet
        self._pulse = Pulse(self._fleet, clock) if self._fleet is not None else None
        self._templates = content.load(settings)
        self._senders = await self._build_senders()
        self._orders = LaneOrders(settings, lambda: self._accounts, clock)
        self._accounts = {
            name: self._build_account(name, account) for name, account in settings.providers.items()
        }
        await self._build_road()
        # an account that no lane names has nothing to do
        self._workers = [
            self._build_worker(name)
            for name in settings.providers
            if choices.served_lanes(settings, name)
        ]
        self._postman = await self._build_postman()
        self._services = await self._build_services()
        self._begin_metrics()
        await self._listen()

    def _begin_metrics(self) -> None:
        self.metrics.begin(
            categories=self.settings.categories,
            channels={lane.channel for lane in self.settings.lanes.values()},
            accounts=[*self.settings.providers, WEBHOOK_LANE],
            reporters=[
                name
                for name, sender in self._senders.items()
                if isinstance(sender.provider, providers.Reporter | providers.SmppProvider)
            ],
            answered=[
                name
                for name, sender in self._senders.items()
                if providers.brings_inbound(sender.provider)
            ],
            internal=webhooks.CATEGORY,
            caps=caps.names(self.settings),
        )
        if any(one.lint is not LintMode.OFF for one in self.settings.categories.values()):
            self.metrics.begin_lint()

    async def _build_road(self) -> None:
        """What every message goes through, whoever sends it."""
        settings, clock = self.settings, self.clock
        self._book = EndpointBook(
            self.store, clock, self.metrics, disable_after=settings.webhooks.disable_after
        )
        await self._book.configure(settings.tenants)
        self._reporter = webhooks.Reporter(self._book.of)
        await self._build_finisher()
        await self._build_rules()
        self._wordings = Wordings(settings)
        self._renderer = Renderer(
            self._templates,
            settings.api.public_url,
            {
                name: frozenset(settings.providers[one].kind for one in lane.providers)
                for name, lane in settings.lanes.items()
            },
            self._wordings,
            self._subscriptions,
        )

    async def _build_finisher(self) -> None:
        """What writes down what becomes of messages, and what is learnt of it."""
        settings, clock = self.settings, self.clock
        self._habits = Habits(
            self.store,
            clock,
            await self.store.secret("addresses"),
            categories=choices.best_categories(settings),
            can_tell=self._can_tell_delivery(),
        )
        self._finisher = Finisher(
            self.store,
            clock,
            self.metrics,
            self._bells,
            webhooks=self._reporter,
            weights={name: tenant.weight for name, tenant in settings.tenants.items()},
            note=self._habits.note if self._habits.learns else None,
            capped=caps.counted(settings),
            yielding=caps.yielding(settings),
        )
        self._replacing = Replacing(self.store, self._finisher)

    async def _build_rules(self) -> None:
        """What decides whether a message may go, and when."""
        settings, clock = self.settings, self.clock
        self._bans = Bans(
            self.store,
            clock,
            await self.store.secret("addresses"),
            by_consent=[name for name, one in settings.categories.items() if one.consent],
            declinable=[name for name, one in settings.categories.items() if one.unsubscribe],
            providers_of=self._providers_of,
        )
        self._caps = caps.Caps(
            settings,
            self.store,
            self._bans,
            await self.store.secret("caps"),
            clock,
            self.metrics,
        )
        self._subscriptions = Subscriptions(
            self._bans,
            self._bells,
            clock,
            await self.store.secret("unsubscribe"),
            public_url=settings.api.public_url,
            categories=settings.categories,
            webhooks=self._reporter.moved,
        )
        self._timetable = Timetable(settings)
        self._timetable.prepare(clock.now_ms())

    def _note_commit(self, seconds: float, works: int) -> None:
        self.metrics.commit_seconds.observe(seconds)

    async def _build_senders(self) -> Mapping[str, Sender]:
        http = await self._stack.enter_async_context(LeanHttpTransport(_UNBOUNDED))
        webhooks = self.settings.webhooks
        self._guard = AddressGuard(
            [str(network) for network in webhooks.allow_private],
            only_loopback=webhooks.only_loopback,
        )
        self._guarded = await self._stack.enter_async_context(
            AiohttpTransport(_UNBOUNDED, guard=self._guard)
        )
        self._errands = Errands(http, self.clock)
        senders: dict[str, Sender] = {}
        for name, account in self.settings.providers.items():
            provider = registry.build(name, account.kind, account.options, self.clock)
            senders[name] = await build_sender(
                provider,
                account,
                http=http,
                guarded=self._guarded,
                stack=self._stack,
                clock=self.clock,
                metrics=self.metrics,
                fleet=self._fleet,
                breaker=choices.breaker_rules(self.settings),
            )
        return senders

    def _build_account(self, name: str, account: ProviderAccount) -> Account:
        batch = self._senders[name].provider.batch_limit
        limits = choices.account_limits(self.settings, name, batch=batch)
        metrics = self.metrics
        metrics.set_breaker(name, "closed")

        def on_breaker(state: str) -> None:
            metrics.set_breaker(name, state)
            _log.warning("breaker provider=%s state=%s", name, state)

        fleet = self._fleet
        row = None if fleet is None else choices.SharedRow(fleet, name)
        return Account(limits, self.clock, on_breaker, row=row)

    def _build_worker(self, name: str) -> Worker:
        account = self.settings.providers[name]
        return Worker(
            self._accounts[name],
            self._build_attempter(self._senders[name], choices.retry_rules(self.settings)),
            choices.served_lanes(self.settings, name),
            store=self.store,
            bells=self._bells,
            bans=self._bans,
            replacing=self._replacing,
            caps=self._caps,
            clock=self.clock,
            metrics=self.metrics,
            roster=self._accounts,
            before=lambda lane: self._orders.before(lane, name),
            quota=choices.daily_quota(self.store, self.clock, name, account),
            tokens_of=choices.tokens_of(account.rate_unit),
            may_send=self._may_send if self._pulse is not None else None,
        )

    def _may_send(self) -> bool:
        return self._pulse is None or self._pulse.is_proved

    def _build_attempter(self, sender: Sender, rules: RetryRules) -> Attempter:
        return Attempter(
            sender,
            finisher=self._finisher,
            renderer=self._renderer,
            bans=self._bans,
            clock=self.clock,
            metrics=self.metrics,
            rules=rules,
            lane_providers=self._providers_of,
            random=random.random,
            paused_for=self._paused_for,
            preferred_for=lambda lane: self._orders.reason(lane, sender.provider.account),
            hold_of=self._timetable.hold_of_row,
        )

    def _paused_for(self, account: str) -> float:
        found = self._accounts.get(account)
        return found.paused_for() if found is not None else 0.0

    def _providers_of(self, lane: str) -> Sequence[str]:
        return self._orders.of(lane)

    async def _build_postman(self) -> Postman:
        settings = self.settings.webhooks
        provider = webhook.Provider(WEBHOOK_LANE, webhook.Settings(), self.clock)
        sender = HttpSender(provider, self._guarded, self.clock, timeout=settings.timeout)
        return Postman(
            self._build_attempter(sender, RetryRules(schedule=webhooks.SCHEDULE)),
            self._book,
            store=self.store,
            bells=self._bells,
            clock=self.clock,
            slots=settings.in_flight,
            may_send=self._may_send,
        )

    def _build_inbound(self) -> Inbound:
        return Inbound(
            {name: sender.provider.channel for name, sender in self._senders.items()},
            self.store,
            self._bans,
            self._bells,
            self.clock,
            self.metrics,
            webhooks=self._reporter.received,
        )

    def _build_receipts(self, inbound: Inbound) -> Receipts:
        return Receipts(
            {
                name: sender.provider
                for name, sender in self._senders.items()
                if isinstance(sender.provider, providers.Reporter)
            },
            self.store,
            self._finisher,
            self._bans,
            self._accounts,
            self.clock,
            self.metrics,
            self._errands,
            inbound,
        )

    async def _build_services(self) -> Services:
        settings, clock = self.settings, self.clock
        keys = Keys(settings.tenants, self.store, clock)
        inbound = self._build_inbound()
        receipts = self._build_receipts(inbound)
        for sender in self._senders.values():
            if isinstance(sender, SmppSender) and self._role.sends:
                sender.begin(receipts.take_receipts, inbound.take)
        self._operations = self._build_operations()
        self._upkeep = self._build_upkeep(keys, receipts)
        await keys.refresh()
        await self.store.unpin_strangers(list(settings.providers))
        return Services(
            intake=self._build_intake(),
            desk=Desk(self.store, self._finisher, clock),
            endpoints=Endpoints(
                self._book, self.store, self._finisher, clock, self._guard.check_url
            ),
            receipts=receipts,
            recipients=Recipients(
                self.store,
                self._bans,
                Eraser(self.store, self._finisher, self._bans, self._habits, clock),
                clock,
                categories=settings.categories,
            ),
            subscriptions=self._subscriptions,
            permissions=Permissions(self.store, self._bans, clock, settings.categories),
            keys=keys,
            operations=self._operations,
            clock=clock,
            public_url=settings.api.public_url,
            only_loopback=settings.webhooks.only_loopback,
        )

    def _build_intake(self) -> Intake:
        settings = self.settings
        composer = Composer(
            settings,
            self._templates,
            self._reports(),
            registry.known,
            self._wordings,
            {
                name: sender.provider.objection
                for name, sender in self._senders.items()
                if providers.can_object(sender.provider)
            },
            {name: self._misfit(sender.provider) for name, sender in self._senders.items()},
        )
        return Intake(
            settings,
            composer,
            self._renderer,
            self.store,
            self._bans,
            self._bells,
            self.clock,
            self.metrics,
            webhooks=self._reporter,
            replacing=self._replacing,
            habits=self._habits,
            timetable=self._timetable,
            proofs=Proofreader(settings, self._renderer, self.metrics.count_finding),
            caps=self._caps,
        )

    def _can_tell_delivery(self) -> Sequence[str]:
        """Lanes whose receipts say what was delivered."""
        return [
            name
            for name, lane in self.settings.lanes.items()
            if all(
                wire.ReceiptEvent.DELIVERED in self._senders[one].provider.reports
                for one in lane.providers
            )
        ]

    def _misfit(self, provider: providers.Provider) -> devices.Misfit:
        is_guarded = isinstance(provider, providers.HttpProvider) and provider.guarded
        if is_guarded and provider.channel is wire.Channel.WEBHOOK:
            return devices.of_urls(self._guard.check_url)
        return provider.misfit

    def _reports(self) -> Mapping[str, frozenset[wire.ReceiptEvent]]:
        return {name: sender.provider.reports for name, sender in self._senders.items()}

    def _build_operations(self) -> Operations:
        known = {
            name: Known(
                account=account,
                kind=self.settings.providers[name].kind,
                channel=self._senders[name].provider.channel,
                lanes=[lane.name for lane in choices.served_lanes(self.settings, name)],
            )
            for name, account in self._accounts.items()
        }
        return Operations(self.store, known, self.clock, self.metrics, lambda: self._draining)

    def _build_upkeep(self, keys: Keys, receipts: Receipts) -> Upkeep:
        settings = self.settings
        return Upkeep(
            self.store,
            self._finisher,
            self._bells,
            self.clock,
            self.metrics,
            UpkeepRules(
                retention=settings.store.retention,
                early_receipts=settings.store.early_receipts,
                lane_rates=choices.lane_rates(settings),
            ),
            retry_rules=choices.retry_rules(settings),
            random=random.random,
            refreshers=[
                keys.refresh,
                self._book.refresh,
                self._bans.refresh,
                self._habits.flush,
            ],
            apply_parked=receipts.apply_parked,
            has_peers=self._fleet is not None,
        )

    async def _listen(self) -> None:
        api = self.settings.api
        limits = Limits(
            max_body=api.max_body,
            head_seconds=api.head_timeout,
            body_seconds=api.body_timeout,
            connections_per_address=api.connections_per_address,
        )
        # the public port first: who asks the other whether we are ready may send at once
        public = public_app(self._services, limits)
        self._public = Listener(public, *api.listen, reuse_port=self._shares_ports)
        if self._role.has_api:
            await self._stack.enter_async_context(self._public)
        internal = internal_app(self._services)
        self._internal = await self._stack.enter_async_context(
            Listener(internal, *api.internal, reuse_port=self._shares_ports)
        )

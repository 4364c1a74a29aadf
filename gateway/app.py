"""The composition root: the only place that builds concrete classes and says who knows whom."""

import asyncio
import gc
import logging
import os
import random
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.api.limits import Limits
from gateway.api.routes import internal_app, public_app
from gateway.api.server import Listener
from gateway.api.services import Services
from gateway.clock import Clock, SystemClock
from gateway.content import templates as content
from gateway.dispatch import webhooks
from gateway.dispatch.attempt import Attempter
from gateway.dispatch.bans import Bans
from gateway.dispatch.compose import Composer
from gateway.dispatch.desk import Desk
from gateway.dispatch.endpoints import EndpointBook, Endpoints
from gateway.dispatch.finisher import Finisher
from gateway.dispatch.intake import Intake
from gateway.dispatch.keys import Keys
from gateway.dispatch.lanes import WEBHOOK_LANE, Bells
from gateway.dispatch.operations import Known, Operations
from gateway.dispatch.policy import RetryRules
from gateway.dispatch.postman import Postman
from gateway.dispatch.quota import DailyQuota
from gateway.dispatch.receipts import Receipts
from gateway.dispatch.render import Renderer
from gateway.dispatch.senders import HttpSender, Sender, SmtpSender
from gateway.dispatch.upkeep import Upkeep, UpkeepRules
from gateway.dispatch.worker import ServedLane, Worker
from gateway.limits.account import Account, AccountLimits
from gateway.limits.breaker import BreakerRules
from gateway.metrics import Metrics
from gateway.model import wire
from gateway.model.errors import SettingsError
from gateway.model.message import new_id
from gateway.providers import base as providers
from gateway.providers import registry, webhook
from gateway.settings import ProviderAccount, RateUnit, Settings
from gateway.store.sqlite.store import SqliteStore
from gateway.transport.guard import AddressGuard
from gateway.transport.http import AiohttpTransport
from gateway.transport.lean import LeanHttpTransport
from gateway.transport.smtp import PooledSmtpTransport

_log = logging.getLogger(__name__)

#: Longest wait of the loop's thread for the store's writer to let go of the interpreter, and the
#: other way round, in seconds. The default of 5 ms makes each commit wait on a busy loop.
_SWITCH_INTERVAL = 0.001

#: Allocations between collections. A message makes no cycles, and Python's 700 would look for some
#: after every fifth of them.
_GC_THRESHOLD = (20_000, 20, 20)


class Gateway:
    """One process of the gateway. Enter it, then `run` until it is told to stop.

    clock: what everything goes by. providers and store are opened on entering; listeners as well,
    so that `port` and `internal_port` are known then.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock if clock is not None else SystemClock()
        self.metrics = Metrics()
        self._stack = AsyncExitStack()
        self._workers: list[Worker] = []
        self._draining = False

    async def __aenter__(self) -> Self:
        try:
            await self._build()
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
        return self._public.port

    @property
    def internal_port(self) -> int:
        return self._internal.port

    @property
    def services(self) -> Services:
        """What the edge calls, for callers in the same process."""
        return self._services

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then drain: no new work, finish what is in flight."""
        await self._upkeep.adopt_orphans()
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
            upkeep = group.create_task(self._upkeep.run())
            checks = group.create_task(self._check_store())
            serving = [group.create_task(worker.run()) for worker in self._workers]
            serving.append(group.create_task(self._postman.run()))
            await asyncio.gather(*serving)
            upkeep.cancel()
            checks.cancel()

    async def _check_store(self) -> None:
        while True:
            await self._operations.check_store()
            await self.clock.sleep(1.0)

    async def _drain(self, background: "asyncio.Task[None]") -> None:
        """Give back what has not started; what is in flight gets until the deadline."""
        self._draining = True
        _log.info("draining deadline=%ss", self.settings.dispatch.drain)
        servers: list[Worker | Postman] = [*self._workers, self._postman]
        for server in servers:
            server.stop()
        await self._public.stop()
        await asyncio.wait([background], timeout=self.settings.dispatch.drain)
        if not background.done():
            _log.warning("drain_deadline_passed")
            for server in servers:
                server.cancel()
            await asyncio.wait([background], timeout=5.0)
            background.cancel()
            await asyncio.wait([background], timeout=5.0)

    # Building, bottom up

    async def _build(self) -> None:
        sys.setswitchinterval(_SWITCH_INTERVAL)
        gc.set_threshold(*_GC_THRESHOLD)
        settings, clock = self.settings, self.clock
        self.store = await self._stack.enter_async_context(
            open_store(settings, clock, on_commit=self._note_commit)
        )
        self._bells = Bells()
        self._templates = content.load(settings)
        self._senders = await self._build_senders()
        self._accounts = {
            name: self._build_account(name, account) for name, account in settings.providers.items()
        }
        self._book = EndpointBook(
            self.store, clock, self.metrics, disable_after=settings.webhooks.disable_after
        )
        await self._book.configure(settings.tenants)
        self._finisher = Finisher(
            self.store,
            clock,
            self.metrics,
            self._bells,
            report=webhooks.Reporter(self._book.of),
            weights={name: tenant.weight for name, tenant in settings.tenants.items()},
        )
        self._bans = Bans(self.store, clock, await self.store.secret("addresses"))
        self._renderer = Renderer(
            self._templates,
            settings.api.public_url,
            {
                name: frozenset(settings.providers[one].kind for one in lane.providers)
                for name, lane in settings.lanes.items()
            },
        )
        # an account that no lane names has nothing to do
        self._workers = [
            self._build_worker(name) for name in settings.providers if served_lanes(settings, name)
        ]
        self._postman = await self._build_postman()
        self._services = await self._build_services()
        await self._listen()

    def _note_commit(self, seconds: float, works: int) -> None:
        self.metrics.commit_seconds.observe(seconds)

    async def _build_senders(self) -> Mapping[str, Sender]:
        http = await self._stack.enter_async_context(LeanHttpTransport(limit=0))
        senders: dict[str, Sender] = {}
        for name, account in self.settings.providers.items():
            provider = registry.build(name, account.kind, account.options, self.clock)
            senders[name] = await self._build_sender(provider, account, http)
        return senders

    async def _build_sender(
        self, provider: providers.Provider, account: ProviderAccount, http: LeanHttpTransport
    ) -> Sender:
        if isinstance(provider, providers.HttpProvider):
            return HttpSender(provider, http, self.clock, timeout=account.timeout)
        if isinstance(provider, providers.SmtpProvider):
            relay = provider.settings
            smtp = await self._stack.enter_async_context(
                PooledSmtpTransport(
                    host=relay.host,
                    port=relay.port,
                    clock=self.clock,
                    security=relay.security,
                    username=relay.username,
                    password=relay.password,
                    connections=account.concurrency,
                    messages_per_connection=relay.messages_per_connection,
                    local_hostname=relay.local_hostname,
                )
            )
            return SmtpSender(provider, smtp, timeout=account.timeout)
        raise SettingsError([f"providers.{provider.account}.kind: has no transport"])

    def _build_account(self, name: str, account: ProviderAccount) -> Account:
        rules = self.settings.breaker
        limits = AccountLimits(
            rate=account.rate,
            burst=account.burst or 1.0,
            concurrency=account.concurrency,
            reserve={int(level): share for level, share in account.reserve.items()},
            breaker=BreakerRules(
                window=rules.window,
                least=rules.minimum,
                share=rules.failures,
                connects=rules.connects,
                first_probe=rules.probe_after,
                last_probe=rules.probe_cap,
            ),
        )
        metrics = self.metrics
        metrics.set_breaker(name, "closed")

        def on_breaker(state: str) -> None:
            metrics.set_breaker(name, state)
            _log.warning("breaker provider=%s state=%s", name, state)

        return Account(limits, self.clock, on_breaker)

    def _build_worker(self, name: str) -> Worker:
        account = self.settings.providers[name]
        quota = None
        if account.daily_quota is not None:
            quota = DailyQuota(
                self.store,
                self.clock,
                account=name,
                limit=account.daily_quota,
                zone=account.daily_zone,
            )
        retry = self.settings.retry
        rules = RetryRules(
            attempts=retry.attempts, base=retry.base, factor=retry.factor, cap=retry.cap
        )
        return Worker(
            self._accounts[name],
            self._build_attempter(self._senders[name], rules),
            served_lanes(self.settings, name),
            store=self.store,
            bells=self._bells,
            bans=self._bans,
            clock=self.clock,
            metrics=self.metrics,
            roster=self._accounts,
            quota=quota,
            tokens_of=_tokens_of(account.rate_unit),
        )

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
        )

    def _providers_of(self, lane: str) -> Sequence[str]:
        found = self.settings.lanes.get(lane)
        return found.providers if found is not None else ()

    async def _build_postman(self) -> Postman:
        settings = self.settings.webhooks
        self._guard = AddressGuard([str(network) for network in settings.allow_private])
        transport = await self._stack.enter_async_context(
            AiohttpTransport(limit=0, guard=self._guard)
        )
        provider = webhook.Provider(WEBHOOK_LANE, webhook.Settings(), self.clock)
        sender = HttpSender(provider, transport, self.clock, timeout=settings.timeout)
        return Postman(
            self._build_attempter(sender, RetryRules(schedule=webhooks.SCHEDULE)),
            self._book,
            store=self.store,
            bells=self._bells,
            clock=self.clock,
            slots=settings.in_flight,
        )

    async def _build_services(self) -> Services:
        settings, clock = self.settings, self.clock
        keys = Keys(settings.tenants, self.store, clock)
        receipts = Receipts(
            {
                name: sender.provider
                for name, sender in self._senders.items()
                if isinstance(sender.provider, providers.HttpProvider)
            },
            self.store,
            self._finisher,
            self._bans,
            self._accounts,
            clock,
            self.metrics,
        )
        self._operations = self._build_operations()
        self._upkeep = self._build_upkeep(keys, receipts)
        await keys.refresh()
        await self.store.unpin_strangers(list(settings.providers))
        composer = Composer(settings, self._templates, self._reports())
        return Services(
            intake=Intake(
                settings, composer, self.store, self._bans, self._bells, clock, self.metrics
            ),
            desk=Desk(self.store, self._finisher, clock),
            endpoints=Endpoints(
                self._book, self.store, self._finisher, clock, self._guard.check_url
            ),
            receipts=receipts,
            keys=keys,
            operations=self._operations,
            clock=clock,
            public_url=settings.api.public_url,
        )

    def _reports(self) -> Mapping[str, frozenset[wire.ReceiptEvent]]:
        return {name: sender.provider.reports for name, sender in self._senders.items()}

    def _build_operations(self) -> Operations:
        known = {
            name: Known(
                account=account,
                kind=self.settings.providers[name].kind,
                channel=self._senders[name].provider.channel,
                lanes=[lane.name for lane in served_lanes(self.settings, name)],
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
                lane_rates=_lane_rates(settings),
            ),
            retry_rules=RetryRules(),
            random=random.random,
            refreshers=[keys.refresh, self._book.refresh, self._bans.refresh],
            apply_parked=receipts.apply_parked,
        )

    async def _listen(self) -> None:
        api = self.settings.api
        limits = Limits(
            max_body=api.max_body,
            head_seconds=api.head_timeout,
            body_seconds=api.body_timeout,
            connections_per_address=api.connections_per_address,
        )
        self._internal = await self._stack.enter_async_context(
            Listener(internal_app(self._services), *api.internal)
        )
        self._public = await self._stack.enter_async_context(
            Listener(public_app(self._services, limits), *api.listen)
        )


def open_store(
    settings: Settings,
    clock: Clock,
    *,
    exclusive: bool = True,
    migrate: bool = True,
    on_commit: Callable[[float, int], None] = lambda seconds, works: None,
) -> SqliteStore:
    """The configured store, not yet entered. Raises SettingsError for a URL that nothing serves."""
    scheme, _, rest = settings.store.url.partition(":")
    if scheme != "sqlite":
        raise SettingsError([f"store.url: {scheme} is not served by this version; use sqlite:///"])
    return SqliteStore(
        Path(rest.removeprefix("//")),
        owner=new_id(clock.now_ms(), os.urandom(10)),
        exclusive=exclusive,
        migrate=migrate,
        on_commit=on_commit,
    )


def served_lanes(settings: Settings, account: str) -> Sequence[ServedLane]:
    """The lanes that an account serves, and where it stands in each."""
    return [
        ServedLane(
            name=name,
            before=lane.providers[: lane.providers.index(account)],
            spill_after=lane.spill_after,
            shared=len(lane.providers) > 1,
        )
        for name, lane in settings.lanes.items()
        if account in lane.providers
    ]


def _lane_rates(settings: Settings) -> Mapping[str, float | None]:
    """Tokens a second of each lane's accounts together; None where one has no limit."""
    rates: dict[str, float | None] = {}
    for name, lane in settings.lanes.items():
        each = [settings.providers[one].rate for one in lane.providers]
        rates[name] = None if None in each else sum(rate or 0.0 for rate in each)
    return rates


def _tokens_of(unit: RateUnit) -> Callable[[wire.Message], float]:
    """What a message costs an account's bucket."""
    if unit is RateUnit.PART:
        return lambda message: float(message.units)
    return lambda message: 1.0


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` on SIGTERM and SIGINT."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

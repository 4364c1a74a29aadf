"""A whole gateway but for its edge and its providers' wires, on virtual time and a real store."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from gateway import settings
from gateway.app import choices, served_lanes
from gateway.clock import LoopClock
from gateway.content import templates
from gateway.dispatch import gate, senders, webhooks
from gateway.dispatch.answers import Answers
from gateway.dispatch.attempt import Attempter
from gateway.dispatch.bans import Bans
from gateway.dispatch.caps import Caps, counted, yielding
from gateway.dispatch.compose import Composer
from gateway.dispatch.desk import Desk
from gateway.dispatch.digests import Digests
from gateway.dispatch.endpoints import EndpointBook, Endpoints
from gateway.dispatch.erasure import Eraser
from gateway.dispatch.errands import Errands
from gateway.dispatch.finisher import Finisher
from gateway.dispatch.habits import Habits
from gateway.dispatch.inbound import Inbound
from gateway.dispatch.intake import Intake
from gateway.dispatch.lane_order import LaneOrders
from gateway.dispatch.lanes import WEBHOOK_LANE, Bells
from gateway.dispatch.likeness import Likeness
from gateway.dispatch.merging import Merging
from gateway.dispatch.policy import RetryRules
from gateway.dispatch.postman import Postman
from gateway.dispatch.proofs import Proofreader
from gateway.dispatch.quota import Allowance
from gateway.dispatch.receipts import Receipts
from gateway.dispatch.recipients import Recipients
from gateway.dispatch.render import Renderer
from gateway.dispatch.replacing import Replacing
from gateway.dispatch.steps import units_of
from gateway.dispatch.subscriptions import Subscriptions
from gateway.dispatch.upkeep import Upkeep, UpkeepRules
from gateway.dispatch.wordings import Wordings
from gateway.dispatch.worker import Worker
from gateway.limits.account import Account
from gateway.metrics import Metrics
from gateway.model import wire
from gateway.model.case import Claimed
from gateway.model.errors import TransportError, UnreadableReceipt
from gateway.model.message import MessageId
from gateway.model.permission import Hashed, Wish
from gateway.model.submission import Caller, Scope, Submission, Ticket, To
from gateway.providers import base as providers
from gateway.rules.timing import Timetable
from gateway.store.sqlite.store import SqliteStore
from gateway.transport.base import Admit
from tests.virtual import VirtualLoop

CERTIFICATE_URL = "https://service.example.com/certificate"
CONFIRM_URL = "https://service.example.com/confirm"


class FakeProvider(providers.HttpProvider):
    """Speaks no wire. Its receipts are whatever lies in `receipts` when it is asked.

    Requests that begin with `signed` need a certificate; `signed subscribe` is to be confirmed.
    """

    name: ClassVar[str] = "fake"
    batch_limit: ClassVar[int] = 1
    credential: providers.Credential | None = None

    def __init__(
        self, account: str, channel: wire.Channel, reports: frozenset[wire.ReceiptEvent]
    ) -> None:
        self.account = account
        self.channel = channel
        self.reports = reports
        self.receipts: list[wire.DeliveryReceipt] = []
        self.inbound: list[wire.InboundMessage] = []
        self.leaving: list[str] = []
        #: says why it cannot carry something
        self.object: Callable[[wire.Content, wire.Address], str] = lambda content, to: ""
        #: says why an address is none of its
        self.disown: Callable[[wire.Address], str] = lambda to: ""

    def misfit(self, to: wire.Address) -> str:
        return self.disown(to)

    def objection(self, content: wire.Content, to: wire.Address) -> str:
        return self.object(content, to)

    def build_requests(
        self, messages: Sequence[wire.Message]
    ) -> Sequence[tuple[Sequence[wire.Message], wire.HttpRequest]]:
        return [([one], wire.HttpRequest(method="POST", url="https://x")) for one in messages]

    def read_response(
        self, messages: Sequence[wire.Message], response: wire.HttpResponse
    ) -> Sequence[wire.AttemptResult]:
        return [wire.Accepted() for _ in messages]

    def verify_receipt(self, request: wire.HttpRequest) -> bool:
        return request.body != b"forged"

    def evidence_request(self, request: wire.HttpRequest) -> wire.HttpRequest | None:
        if not request.body.startswith(b"signed"):
            return None
        return wire.HttpRequest(method="GET", url=CERTIFICATE_URL)

    def verify_with(self, request: wire.HttpRequest, evidence: wire.HttpResponse) -> bool:
        return evidence.body == b"certificate" and request.body != b"signed by another"

    def read_receipts(self, request: wire.HttpRequest) -> Sequence[wire.DeliveryReceipt]:
        if request.body == b"garbled":
            raise UnreadableReceipt
        return self.receipts

    def follow_up(self, request: wire.HttpRequest) -> wire.HttpRequest | None:
        if request.body != b"signed subscribe":
            return None
        return wire.HttpRequest(method="GET", url=CONFIRM_URL)

    def read_inbound(self, request: wire.HttpRequest) -> Sequence[wire.InboundMessage]:
        return self.inbound

    def read_leaving(self, request: wire.HttpRequest) -> Sequence[str]:
        return self.leaving

    def answer_receipt(self, request: wire.HttpRequest) -> wire.HttpResponse:
        return wire.HttpResponse(status=204)


class FakeWeb:
    """What can be fetched, by URL: an answer, or an error to raise. Everything else is a 404."""

    def __init__(self, clock: LoopClock) -> None:
        self.answers: dict[str, wire.HttpResponse | TransportError] = {}
        #: URLs that were asked for, in order
        self.asked: list[str] = []
        self.latency = 0.0
        self._clock = clock

    async def send(
        self, request: wire.HttpRequest, *, timeout: float, admit: Admit | None = None
    ) -> wire.HttpResponse:
        self.asked.append(request.url)
        if self.latency:
            await self._clock.sleep(self.latency)
        answer = self.answers.get(request.url, wire.HttpResponse(status=404))
        if isinstance(answer, TransportError):
            raise answer
        return answer

    async def __aenter__(self) -> "FakeWeb":
        return self

    async def __aexit__(self, *exc: object) -> None: ...


@dataclass(frozen=True)
class Call:
    """A message that reached a provider."""

    at: float
    message: wire.Message

    @property
    def id(self) -> str:
        return self.message.id


#: (message, how often its reference has come, this time included) to a result
Answer = Callable[[wire.Message, int], wire.AttemptResult]


class FakeSender:
    """Answers as it is told, after `latency` seconds."""

    def __init__(self, provider: FakeProvider, clock: LoopClock, batch: int = 1) -> None:
        self.provider = provider
        #: messages that a call can carry
        self.batch = batch
        self.calls: list[Call] = []
        #: ids of the messages of each call
        self.groups: list[list[str]] = []
        #: ids of messages that no call can carry
        self.unfit: set[str] = set()
        self.latency = 0.01
        self.answer: Answer = lambda message, time: wire.Accepted(
            provider_id=f"{provider.account}:{message.reference}"
        )
        #: awaited between the request and its answer
        self.meanwhile: Callable[[wire.Message], Awaitable[None]] | None = None
        self.in_flight = 0
        self.most_in_flight = 0
        self._clock = clock
        self._times: Counter[str] = Counter()

    @property
    def sent(self) -> list[str]:
        """Ids in the order of sending."""
        return [call.id for call in self.calls]

    @property
    def times(self) -> list[float]:
        return [call.at for call in self.calls]

    def script(self, *results: wire.AttemptResult) -> None:
        """These for each message in turn; the last for all that follow."""
        self.answer = lambda message, time: results[min(time, len(results)) - 1]

    def plan(self, messages: Sequence[wire.Message]) -> Sequence[senders.Call]:
        if self.unfit & {one.id for one in messages}:
            raise ValueError("no text")
        groups = [messages[at : at + self.batch] for at in range(0, len(messages), self.batch)]
        return [senders.Call(group, partial(self._make, group)) for group in groups]

    async def _make(
        self, group: Sequence[wire.Message], admit: Admit | None
    ) -> Sequence[wire.AttemptResult]:
        if admit is not None:
            await admit()
        self._times.update(message.reference for message in group)
        times = [self._times[message.reference] for message in group]
        self.calls += [Call(self._clock.monotonic(), message) for message in group]
        self.groups.append([message.id for message in group])
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.meanwhile is not None:
                await self.meanwhile(group[0])
            if self.latency:
                await self._clock.sleep(self.latency)
        finally:
            self.in_flight -= 1
        return [self.answer(message, time) for message, time in zip(group, times, strict=True)]


#: Two accounts for SMS, of which `a` comes first; one each for push and email.
TABLES: dict[str, Any] = {
    "tenants": {"billing": {}, "shop": {}},
    "categories": {
        "otp": {"priority": "critical", "chain": [{"channel": "sms"}, {"channel": "email"}]},
        "service": {"chain": [{"channel": "sms"}, {"channel": "email"}]},
        "marketing": {
            "priority": "bulk",
            "chain": [{"channel": "sms"}],
            "on_unknown": "stop",
            "consent": False,
        },
        "agreed": {"chain": [{"channel": "sms"}], "consent": True},
        "news": {"chain": [{"channel": "email"}], "unsubscribe": True},
    },
    "lanes": {
        "sms": {"channel": "sms", "providers": ["a", "b"]},
        "push": {"channel": "push", "providers": ["p"]},
        "email": {"channel": "email", "providers": ["m"]},
    },
    "providers": {
        "a": {"kind": "http", "channel": "sms", "url": "https://a.example.com"},
        "b": {"kind": "http", "channel": "sms", "url": "https://b.example.com"},
        "p": {"kind": "http", "channel": "push", "url": "https://p.example.com"},
        "m": {"kind": "http", "channel": "email", "url": "https://m.example.com"},
    },
}

REPORTS = frozenset({wire.ReceiptEvent.DELIVERED, wire.ReceiptEvent.READ})

TO = To(phone="+8613800138000", email="li@example.com")


class World:
    """Everything between intake and the providers, wired as the composition root does it."""

    def __init__(
        self,
        configured: settings.Settings,
        folder: Path,
        clock: LoopClock,
        owner: str,
        may_send: Callable[[], bool] | None = None,
        batches: Mapping[str, int] | None = None,
    ) -> None:
        """batches: by account, messages that a call can carry; else one."""
        self._batches = batches or {}
        self.timetable = Timetable(configured)
        self.hold_of: Callable[[Claimed, int], gate.Hold | None] = self.timetable.hold_of_row
        self.settings = configured
        self._may_send = may_send
        self.clock = clock
        self.metrics = Metrics()
        self.bells = Bells()
        self.chance = random.Random(7)
        self.store = SqliteStore(folder / "gateway.db", owner=owner, exclusive=False)
        self.templates = templates.load(configured)
        self.senders = {name: self._sender(name) for name in configured.providers}
        self.accounts = {name: self._account(name) for name in configured.providers}
        self.orders = LaneOrders(configured, lambda: self.accounts, clock)
        hook = FakeProvider(WEBHOOK_LANE, wire.Channel.WEBHOOK, frozenset())
        self.receiver = FakeSender(hook, clock)
        self.book = EndpointBook(
            self.store,
            clock,
            self.metrics,
            disable_after=configured.webhooks.disable_after,
        )
        self.reporter = reporter = webhooks.Reporter(self.book.of)
        self.habits = Habits(
            self.store,
            clock,
            b"k" * 32,
            categories=choices.best_categories(configured),
            can_tell=["sms", "push"],
        )
        self.finisher = Finisher(
            self.store,
            clock,
            self.metrics,
            self.bells,
            webhooks=reporter,
            weights={name: tenant.weight for name, tenant in configured.tenants.items()},
            note=self.habits.note if self.habits.learns else None,
            capped=counted(configured),
            yielding=yielding(configured),
        )
        self.bans = Bans(
            self.store,
            clock,
            b"k" * 32,
            by_consent=[name for name, one in configured.categories.items() if one.consent],
            declinable=[name for name, one in configured.categories.items() if one.unsubscribe],
            providers_of=self._providers_of,
        )
        self.likeness = Likeness(configured, self.templates, b"c" * 32)
        self.caps = Caps(
            configured, self.store, self.bans, b"c" * 32, clock, self.metrics, self.likeness
        )
        self.subscriptions = self.subscriptions_at("https://gw.example.com")
        self.replacing = Replacing(self.store, self.finisher)
        self.wordings = Wordings(configured)
        kinds = {
            name: frozenset(configured.providers[one].kind for one in lane.providers)
            for name, lane in configured.lanes.items()
        }
        self.renderer = Renderer(self.templates, "", kinds, self.wordings, self.subscriptions)
        self.composer = Composer(
            configured,
            self.templates,
            {name: sender.provider.reports for name, sender in self.senders.items()},
            {"http", "aliyun"}.__contains__,
            self.wordings,
            {name: sender.provider.objection for name, sender in self.senders.items()},
            {name: sender.provider.misfit for name, sender in self.senders.items()},
        )
        self.merging = self._merging()
        self.intake = Intake(
            configured,
            self.composer,
            self.renderer,
            self.store,
            self.bans,
            self.bells,
            clock,
            self.metrics,
            webhooks=reporter,
            replacing=self.replacing,
            habits=self.habits,
            timetable=self.timetable,
            proofs=Proofreader(configured, self.renderer, self.metrics.count_finding),
            caps=self.caps,
        )
        self.desk = Desk(self.store, self.finisher, clock)
        self.recipients = Recipients(
            self.store,
            self.bans,
            Eraser(self.store, self.finisher, self.bans, self.habits, clock),
            clock,
            categories=configured.categories,
        )
        self.endpoints = Endpoints(
            self.book, self.store, self.finisher, clock, lambda url: "" if "good" in url else "bad"
        )
        self.web = FakeWeb(clock)
        self.inbound = Inbound(
            {name: sender.provider.channel for name, sender in self.senders.items()},
            self.store,
            self.bans,
            self.bells,
            clock,
            self.metrics,
            webhooks=reporter.received,
            answers=Answers(
                configured,
                self.wordings,
                {name: sender.provider.objection for name, sender in self.senders.items()},
            ),
            leave=self.subscriptions.leave_part,
        )
        self.receipts = Receipts(
            {name: sender.provider for name, sender in self.senders.items()},
            self.store,
            self.finisher,
            self.bans,
            self.accounts,
            clock,
            self.metrics,
            Errands(self.web, clock),
            self.inbound,
        )
        self.workers = {
            name: self._worker(name)
            for name in configured.providers
            if served_lanes(configured, name)
        }
        self.postman = Postman(
            self._attempter(self.receiver, RetryRules(schedule=webhooks.SCHEDULE)),
            self.book,
            store=self.store,
            bells=self.bells,
            clock=clock,
            slots=configured.webhooks.in_flight,
        )
        self.upkeep = Upkeep(
            self.store,
            self.finisher,
            self.bells,
            clock,
            self.metrics,
            UpkeepRules(
                retention=configured.store.retention,
                early_receipts=configured.store.early_receipts,
                lane_rates=choices.lane_rates(self.settings),
            ),
            retry_rules=RetryRules(),
            random=self.chance.random,
            refreshers=[self.book.refresh, self.bans.refresh, self.habits.flush],
            apply_parked=self.receipts.apply_parked,
        )
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._beside: list[asyncio.Task[None]] = []

    # Building

    def subscriptions_at(self, public_url: str) -> Subscriptions:
        """Links that lead to a gateway at this address."""
        return Subscriptions(
            self.bans,
            self.bells,
            self.clock,
            b"u" * 32,
            public_url=public_url,
            categories=self.settings.categories,
            webhooks=self.reporter.moved,
        )

    def _merging(self) -> Merging:
        digests = Digests(
            self.settings,
            self.renderer,
            self.likeness,
            objection=self.composer.steps.objection,
            units_of=units_of,
        )
        return Merging(
            self.store,
            self.finisher,
            self.replacing,
            self.caps,
            self.likeness,
            digests,
            self.bells,
            self.clock,
            self.metrics,
        )

    def _sender(self, name: str) -> FakeSender:
        lanes = [one for one in self.settings.lanes.values() if name in one.providers]
        channel = lanes[0].channel if lanes else wire.Channel.SMS
        return FakeSender(
            FakeProvider(name, channel, REPORTS), self.clock, self._batches.get(name, 1)
        )

    def _account(self, name: str) -> Account:
        limits = choices.account_limits(self.settings, name, batch=self.senders[name].batch)
        account = Account(limits, self.clock, lambda state: None)
        account.note_plan(limits.batch, calls=1)  # as if rows had shared calls of late
        return account

    def _attempter(
        self, sender: FakeSender, rules: RetryRules, allowance: Allowance | None = None
    ) -> Attempter:
        return Attempter(
            sender,
            finisher=self.finisher,
            renderer=self.renderer,
            bans=self.bans,
            clock=self.clock,
            metrics=self.metrics,
            rules=rules,
            lane_providers=self._providers_of,
            random=self.chance.random,
            paused_for=lambda name: self.accounts[name].paused_for(),
            preferred_for=lambda lane: self.orders.reason(lane, sender.provider.account),
            hold_of=lambda row, now_ms: self.hold_of(row, now_ms),
            allowance=allowance,
        )

    def _providers_of(self, lane: str) -> Sequence[str]:
        return self.orders.of(lane)

    def _worker(self, name: str) -> Worker:
        account = self.settings.providers[name]
        return Worker(
            self.accounts[name],
            self._attempter(
                self.senders[name],
                choices.retry_rules(self.settings),
                choices.allowance(account),
            ),
            served_lanes(self.settings, name),
            store=self.store,
            bells=self.bells,
            bans=self.bans,
            replacing=self.replacing,
            caps=self.caps,
            merging=self.merging,
            clock=self.clock,
            metrics=self.metrics,
            roster=self.accounts,
            before=lambda lane: self.orders.before(lane, name),
            quota=choices.daily_quota(self.store, self.clock, name, account),
            tokens_of=choices.tokens_of(account.rate_unit),
            may_send=self._may_send,
        )

    # Running

    def start(self, *names: str) -> None:
        """Workers by account, `postman` and `upkeep`; all without names."""
        runners: dict[str, Callable[[], Any]] = {
            "postman": self.postman.run,
            "upkeep": self.upkeep.run,
            **{name: worker.run for name, worker in self.workers.items()},
        }
        for name in names or runners:
            self._tasks[name] = asyncio.create_task(runners[name]())

    @property
    def is_started(self) -> bool:
        return bool(self._tasks)

    def also(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run something beside the rest until the test ends."""
        task = asyncio.create_task(work)
        self._beside.append(task)
        return task

    async def crash(self) -> None:
        """End at once: claims stay, and what is in flight is never written."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        for worker in self.workers.values():
            worker.cancel()
            tasks += [*worker._slots._tasks, *worker._slots._settler.tasks]
        self.postman.cancel()
        tasks += [*self.postman._tasks, *self.postman._settler.tasks]
        await asyncio.wait(tasks)

    async def stop(self) -> None:
        """Drain, and raise what any part of it died of."""
        for worker in self.workers.values():
            worker.stop()
        self.postman.stop()
        for task in self._beside:
            task.cancel()
        if "upkeep" in self._tasks:
            self._tasks["upkeep"].cancel()
        tasks, self._tasks = self._tasks, {}
        for task in tasks.values():
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()):
                raise error

    async def sleep(self, seconds: float) -> None:
        await self.clock.sleep(seconds)
        for task in self._tasks.values():
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise error

    async def jump(self, seconds: float) -> None:
        """Let time pass in which nobody does anything."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.now += seconds

    async def settle(self, seconds: float = 600.0) -> None:
        """Wait until the queue is empty, at most so long."""
        end, pause = self.clock.monotonic() + seconds, 0.25
        while self.clock.monotonic() < end:
            await self.sleep(pause)
            pause = min(5.0, pause * 1.1)
            if not await self.rows():
                return
        raise AssertionError(f"not settled: {await self.rows()}")

    # Asking

    async def post(self, *, tenant: str = "billing", **fields: Any) -> MessageId:
        """Accept one message; its id."""
        (ticket,) = await self.post_all([fields], tenant=tenant)
        return ticket

    async def post_all(
        self, messages: Sequence[Mapping[str, Any]], *, tenant: str = "billing"
    ) -> list[MessageId]:
        usual: dict[str, Any] = {"to": TO, "category": "service", "content": {"text": "hello"}}
        verdicts = await self.intake.accept(
            self.caller(tenant), [Submission(**{**usual, **fields}) for fields in messages]
        )
        ids = []
        for verdict in verdicts:
            if not isinstance(verdict, Ticket):
                raise verdict
            ids.append(verdict.id)
        return ids

    def caller(self, tenant: str = "billing") -> Caller:
        return Caller(tenant=tenant, scopes=frozenset(Scope))

    async def agree(self, category: str, name: Hashed, *, tenant: str = "billing") -> None:
        """Somebody has agreed to a category, now."""
        await self._wish(tenant, category, name, agrees=True)

    async def refuse(self, category: str, name: Hashed, *, tenant: str = "billing") -> None:
        await self._wish(tenant, category, name, agrees=False)

    async def _wish(self, tenant: str, category: str, name: Hashed, *, agrees: bool) -> None:
        now_ms = self.clock.now_ms()
        wish = Wish(
            tenant=tenant,
            category=category,
            name=name,
            agrees=agrees,
            at_ms=now_ms,
            source="form",
            firm=True,
        )
        await self.store.take_wishes([wish], now_ms=now_ms)

    async def state(self, message: str) -> str:
        return (await self.desk.read(self.caller(await self._tenant(message)), message)).state

    async def timeline(self, message: str) -> list[str]:
        """Events without the first, `accepted`."""
        found = await self.desk.read(self.caller(await self._tenant(message)), message)
        return [one.event for one in found.timeline][1:]

    async def _tenant(self, message: str) -> str:
        return str((await self.case(message)).tenant)

    async def case(self, message: str) -> Any:
        return (await self.store.cases([MessageId(message)]))[MessageId(message)]

    async def report(self, account: str, *receipts: wire.DeliveryReceipt) -> None:
        """The provider posts receipts."""
        self.senders[account].provider.receipts = list(receipts)
        request = wire.HttpRequest(method="POST", url="https://gw/v1/receipts")
        await self.receipts.take(account, request)

    async def hear_leaving(self, account: str, *references: str) -> None:
        """The provider posts mails to addresses that name these messages."""
        provider = self.senders[account].provider
        provider.receipts, provider.inbound, provider.leaving = [], [], list(references)
        request = wire.HttpRequest(method="POST", url="https://gw/v1/receipts")
        await self.receipts.take(account, request)

    async def hear(self, account: str, *messages: wire.InboundMessage) -> wire.HttpResponse:
        """The provider posts what recipients wrote; what it is answered."""
        provider = self.senders[account].provider
        provider.receipts, provider.inbound = [], list(messages)
        request = wire.HttpRequest(method="POST", url="https://gw/v1/receipts")
        try:
            return await self.receipts.take(account, request)
        finally:
            provider.inbound = []

    async def rows(self) -> list[tuple[str, int, int, str, str | None]]:
        """(message, step, part, lane, owner) of the queue."""
        return await self.sql("SELECT message, step, part, lane, owner FROM queue ORDER BY 1, 2, 3")

    async def sql(self, query: str) -> list[Any]:
        found: list[Any] = await self.store._engine.read(
            lambda connection: list(connection.execute(query))
        )
        return found

    def attempts(self) -> dict[str, list[str]]:
        """Accounts that had each message, in order of time."""
        calls = sorted(
            (call.at, name, call.id) for name, one in self.senders.items() for call in one.calls
        )
        by_message: dict[str, list[str]] = defaultdict(list)
        for _, name, id_ in calls:
            by_message[id_].append(name)
        return by_message

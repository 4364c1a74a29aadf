"""The edge on a real socket, with services that only remember what they were asked."""

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from gateway.api import limits, routes, server, services
from gateway.clock import SystemClock
from gateway.content import recipients as rules
from gateway.model import errors, view, wire
from gateway.model.lint import Finding
from gateway.model.message import MessageId
from gateway.model.permission import (
    Choice,
    Consent,
    Outcome,
    Reason,
    Suppression,
    SuppressionFilter,
)
from gateway.model.recipient import Erased, Kept, Recipient, Upserted
from gateway.model.recording import Recorded, Whom
from gateway.model.state import State
from gateway.model.submission import (
    Caller,
    Preview,
    PreviewStep,
    Reading,
    Scope,
    Submission,
    Ticket,
    Verdict,
)
from gateway.model.values import replace

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KNOWN = "01989f3c-7b1e-7a52-9d0f-3c1d5f6b8a21"


def message_view(id: str, state: State = State.DELIVERED) -> view.MessageView:
    return view.MessageView(
        id=MessageId(id),
        state=state,
        category="otp",
        created_ms=1_900_000_000_000,
        expires_ms=1_900_000_300_000,
        metadata={"order": "A17"},
        timeline=(
            view.TimelineEntry(
                at_ms=1_900_000_000_480, event="receipt.delivered", channel="sms", provider="acme"
            ),
        ),
    )


@dataclass
class FakeIntake:
    accepted: list[Submission] = field(default_factory=list)
    #: what came to be counted
    unread: list[errors.RequestError] = field(default_factory=list)
    #: raised by every call, when set
    failure: Exception | None = None
    #: when previewed messages would start
    until_ms: int | None = None
    #: category of messages that are refused
    refused: str = "refused"
    #: in the content of every message
    findings: Sequence[Finding] = ()

    async def accept(self, caller: Caller, readings: Sequence[Reading]) -> Sequence[Verdict]:
        if self.failure:
            raise self.failure
        return [self._verdict(one) for one in readings]

    def _verdict(self, submission: Reading) -> Verdict:
        if isinstance(submission, errors.RequestError):
            self.unread.append(submission)
            return submission
        self.accepted.append(submission)
        if submission.category == self.refused:
            fault = errors.Fault("category", "is not configured")
            return errors.InvalidMessage("It cannot be sent.", [fault])
        return Ticket(
            id=MessageId(str(uuid.uuid4())),
            state=State.QUEUED,
            duplicate=submission.dedupe is not None,
            warnings=self.findings,
        )

    async def preview(self, caller: Caller, submission: Submission) -> Preview:
        if self.failure:
            raise self.failure
        return Preview(
            decision="send",
            reasons=(),
            until_ms=self.until_ms,
            category=submission.category or "service",
            priority="normal",
            expires_in=300.0,
            chain=(
                PreviewStep(
                    channel="sms",
                    lane="sms.cn",
                    providers=("aliyun",),
                    parts=1,
                    content={"text": "hello"},
                    sms={"alphabet": "gsm7", "length": 5, "segments": 1},
                ),
                PreviewStep(channel="push", skipped="no address"),
            ),
            findings=self.findings,
        )


@dataclass
class FakeDesk:
    filters: list[view.MessageFilter] = field(default_factory=list)

    async def read(self, caller: Caller, message: str) -> view.MessageView:
        if message != KNOWN:
            raise errors.NotFound("There is no such message.")
        return message_view(message)

    async def list(self, caller: Caller, filter: view.MessageFilter) -> view.MessagePage:
        self.filters.append(filter)
        return view.MessagePage(messages=[message_view(KNOWN)], next_cursor=KNOWN)

    async def cancel(self, caller: Caller, message: str) -> view.MessageView:
        found = await self.read(caller, message)
        return replace(found, state=State.CANCELLED)

    async def redrive(self, caller: Caller, message: str) -> view.MessageView:
        await self.read(caller, message)
        raise errors.StateConflict("Only a dead letter can be sent again.")


@dataclass
class FakeEndpoints:
    replayed: list[tuple[str, int, bool]] = field(default_factory=list)

    async def list(self, caller: Caller) -> Sequence[view.Endpoint]:
        return [
            view.Endpoint(
                id="default",
                tenant=caller.tenant,
                url="https://example.com/hooks",
                secrets=(SECRET,),
                configured=True,
            ),
            view.Endpoint(
                id="off",
                tenant=caller.tenant,
                url="https://example.com/off",
                secrets=(SECRET,),
                disabled_ms=1_900_000_000_000,
                reason="failed for five days",
            ),
        ]

    async def put(
        self,
        caller: Caller,
        *,
        url: str,
        events: Sequence[str],
        secret: str | None,
        endpoint: str | None,
    ) -> view.Endpoint:
        return view.Endpoint(
            id=endpoint or "made",
            tenant=caller.tenant,
            url=url,
            events=tuple(events),
            secrets=(secret or SECRET,),
        )

    async def delete(self, caller: Caller, endpoint: str) -> None:
        if endpoint == "default":
            raise errors.StateConflict("It is set in the configuration.")

    async def replay(
        self, caller: Caller, endpoint: str, *, since_ms: int, only_failed: bool
    ) -> int:
        self.replayed.append((endpoint, since_ms, only_failed))
        return 3


@dataclass
class FakeReceipts:
    taken: list[tuple[str, wire.HttpRequest]] = field(default_factory=list)

    async def take(
        self, account: str, request: wire.HttpRequest, *, below: bool = False
    ) -> wire.HttpResponse:
        if below and account != "platform":
            raise errors.NotFound("There is no such provider account.")
        if account == "forged":
            raise errors.BadSignature
        if account == "garbled":
            raise errors.UnreadableReceipt
        if account == "unprovable":
            raise errors.ErrandFailed
        if account not in ("acme", "platform"):
            raise errors.NotFound("There is no such provider account.")
        self.taken.append((account, request))
        return wire.HttpResponse(
            status=200, headers={"content-type": "text/xml"}, body=b"<Response/>"
        )


@dataclass
class FakeRecipients:
    """Keeps one tenant's people in memory, by the real rules."""

    kept: dict[str, Recipient] = field(default_factory=dict)
    #: sizes of the batches that were put
    batches: list[int] = field(default_factory=list)
    was_put: asyncio.Event = field(default_factory=asyncio.Event)
    #: puts that succeed
    failing_after: int | None = None

    def check(self, recipient: Recipient) -> Recipient:
        return rules.check(recipient, {"otp", "marketing"})

    async def put(self, caller: Caller, recipients: Sequence[Recipient]) -> Sequence[Upserted]:
        if len(self.batches) == self.failing_after:
            raise errors.StoreUnavailable("away")
        self.batches.append(len(recipients))
        self.was_put.set()
        return [self._put(one) for one in recipients]

    def _put(self, recipient: Recipient) -> Upserted:
        before = self.kept.get(recipient.id)
        self.kept[recipient.id] = recipient
        if before is None:
            return Upserted.NEW
        return Upserted.UNCHANGED if before == recipient else Upserted.CHANGED

    async def read(self, caller: Caller, recipient: str) -> Kept:
        if recipient not in self.kept:
            raise errors.NotFound("There is no such recipient.")
        return Kept(recipient=self.kept[recipient], updated_ms=1_900_000_000_000)

    async def list(self, caller: Caller, *, after: str, limit: int) -> Sequence[Kept]:
        ids = sorted(id_ for id_ in self.kept if id_ > after)
        return [await self.read(caller, id_) for id_ in ids[:limit]]

    async def erase(self, caller: Caller, recipient: str) -> Erased:
        await self.read(caller, recipient)
        del self.kept[recipient]
        return Erased(messages=3, cancelled=1)


@dataclass
class FakeSubscriptions:
    #: tokens that were used
    left: list[str] = field(default_factory=list)
    #: what the page has
    offered: list[Choice] = field(
        default_factory=lambda: [
            Choice(category="news", title="News", wanted=True),
            Choice(category="tips", title='Tips & "tricks" <b>', wanted=False),
        ]
    )
    failure: Exception | None = None

    def known(self, token: str) -> bool:
        return token.startswith("good")

    async def leave(self, token: str) -> bool:
        if self.failure:
            raise self.failure
        if self.known(token):
            self.left.append(token)
        return self.known(token)

    async def choices(self, token: str) -> Sequence[Choice] | None:
        if self.failure:
            raise self.failure
        return self.offered if self.known(token) else None

    async def choose(self, token: str, wanted: Collection[str]) -> bool:
        if self.failure:
            raise self.failure
        if self.known(token):
            self.offered = [replace(one, wanted=one.category in wanted) for one in self.offered]
        return self.known(token)


@dataclass
class FakePermissions:
    #: (what was asked for, items that could be read)
    taken: list[tuple[str, list[Any]]] = field(default_factory=list)
    filters: list[SuppressionFilter] = field(default_factory=list)
    outcome: Outcome = Outcome.RECORDED
    failure: Exception | None = None

    def _take(self, what: str, items: Sequence[Any]) -> Sequence[Any]:
        if self.failure:
            raise self.failure
        self.taken.append((what, [one for one in items if not isinstance(one, Exception)]))
        return [one if isinstance(one, Exception) else self.outcome for one in items]

    async def put_consents(self, caller: Caller, items: Sequence[Any]) -> Sequence[Any]:
        return self._take("consents", items)

    async def withdraw(self, caller: Caller, items: Sequence[Any]) -> Sequence[Any]:
        return self._take("withdrawals", items)

    async def suppress(self, caller: Caller, items: Sequence[Any]) -> Sequence[Any]:
        return self._take("suppressions", items)

    async def lift(self, caller: Caller, items: Sequence[Any]) -> Sequence[Any]:
        return [2 if one is self.outcome else one for one in self._take("lifts", items)]

    async def lookup(self, caller: Caller, whom: Whom) -> Recorded:
        self._take("lookup", [whom])
        return Recorded(consents=[CONSENT], suppressions=[BAN])

    async def list(self, caller: Caller, wanted: SuppressionFilter) -> Sequence[Suppression]:
        self.filters.append(wanted)
        if not wanted.tenant and Scope.ADMIN not in caller.scopes:
            raise errors.Forbidden("It needs the scope admin.")
        return [BAN, replace(BAN, id=6, channel="recipient:sms", until_ms=1_900_000_000_000)]


CONSENT = Consent(
    tenant="billing",
    category="news",
    channel="recipient",
    hash="00" * 16,
    source="form",
    proof="form-8812",
    at_ms=1_800_000_000_000,
)
BAN = Suppression(
    id=7,
    tenant="billing",
    channel="email",
    hash="0123456789abcdef0123456789abcdef",
    reason=Reason.HARD_BOUNCE,
    detail="550",
    source="acme",
    at_ms=1_800_000_000_000,
)


@dataclass
class FakeKeys:
    admitted: list[int] = field(default_factory=list)
    asked: int = 0
    #: seconds, when the tenant is over its rate
    retry_after: float | None = None
    #: the same, once each, before it is asked for
    waits: list[float] = field(default_factory=list)

    async def authenticate(self, token: str) -> Caller:
        """Tokens name their scopes: `gw_send_read`."""
        self.asked += 1
        prefix, *scopes = token.split("_")
        if prefix != "gw":
            raise errors.Unauthorised("There is no such key.")
        return Caller(tenant="billing", scopes=frozenset(Scope(one) for one in scopes))

    async def admit(self, caller: Caller, messages: int) -> None:
        if self.waits:
            raise errors.TooManyRequests("Over the tenant's rate.", self.waits.pop(0))
        if self.retry_after is not None:
            raise errors.TooManyRequests("Over the tenant's rate.", self.retry_after)
        self.admitted.append(messages)


@dataclass
class FakeOperations:
    reason: str = ""

    def ready(self) -> str:
        return self.reason

    async def health(self) -> Sequence[view.ProviderHealth]:
        return [
            view.ProviderHealth(
                account="acme",
                kind="http",
                channel="sms",
                lanes=("sms.world",),
                breaker="closed",
                paused_for=0.0,
                tokens=12.123456,
                burst=200.0,
                rate=1000.0,
                factor=1.0,
                in_flight=3,
                concurrency=64,
                attempts={"accepted": 10},
                acceptance=0.912345,
                delivery=None,
            )
        ]

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        return b"up 1\n", "text/plain; version=0.0.4; charset=utf-8"


@dataclass
class Clock(SystemClock):
    """Monotonic time that tests move."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now


@dataclass
class Fakes:
    intake: FakeIntake = field(default_factory=FakeIntake)
    desk: FakeDesk = field(default_factory=FakeDesk)
    endpoints: FakeEndpoints = field(default_factory=FakeEndpoints)
    receipts: FakeReceipts = field(default_factory=FakeReceipts)
    recipients: FakeRecipients = field(default_factory=FakeRecipients)
    subscriptions: FakeSubscriptions = field(default_factory=FakeSubscriptions)
    permissions: FakePermissions = field(default_factory=FakePermissions)
    keys: FakeKeys = field(default_factory=FakeKeys)
    operations: FakeOperations = field(default_factory=FakeOperations)
    clock: Clock = field(default_factory=Clock)
    public_url: str = "https://gw.example.com"

    def services(self) -> services.Services:
        return services.Services(
            intake=self.intake,
            desk=self.desk,
            endpoints=self.endpoints,
            receipts=self.receipts,
            recipients=self.recipients,
            subscriptions=self.subscriptions,
            permissions=self.permissions,
            keys=self.keys,
            operations=self.operations,
            clock=self.clock,
            public_url=self.public_url,
        )


@pytest.fixture
def fakes() -> Fakes:
    return Fakes()


@pytest.fixture
def bounds() -> limits.Limits:
    """Override to start the edge with other limits."""
    return limits.Limits()


@dataclass(frozen=True)
class Edge:
    """Both listeners and a client that speaks to them."""

    public: server.Listener
    internal: server.Listener
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.public.port}"

    @property
    def internal_url(self) -> str:
        return f"http://127.0.0.1:{self.internal.port}"

    async def raw(self, data: bytes) -> bytes:
        """Everything that the public listener says to these bytes, until it closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.public.port)
        try:
            writer.write(data)
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


@pytest.fixture
async def edge(fakes: Fakes, bounds: limits.Limits) -> AsyncIterator[Edge]:
    async with AsyncExitStack() as stack:
        made = fakes.services()
        public = await stack.enter_async_context(
            server.Listener(routes.public_app(made, bounds), "127.0.0.1", 0, shutdown_timeout=1.0)
        )
        internal = await stack.enter_async_context(
            server.Listener(routes.internal_app(made), "127.0.0.1", 0, shutdown_timeout=1.0)
        )
        session = await stack.enter_async_context(
            aiohttp.ClientSession(headers={"Authorization": "Bearer gw_send_read_recipients_admin"})
        )
        yield Edge(public, internal, session)


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """Address of an edge in a thread of its own, for clients that block."""
    made = Fakes().services()
    app = routes.public_app(made, limits.Limits(failure_burst=1_000_000))
    listener = server.Listener(app, "127.0.0.1", 0, shutdown_timeout=1.0)
    with asyncio.Runner() as runner:
        runner.run(listener.__aenter__())
        thread = threading.Thread(target=runner.get_loop().run_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.port}"
        finally:
            runner.get_loop().call_soon_threadsafe(runner.get_loop().stop)
            thread.join()
            runner.run(listener.stop())

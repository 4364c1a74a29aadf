"""What the edge needs from the layers below, as protocols: it knows no concrete class."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from gateway.clock import Clock
from gateway.model import view, wire
from gateway.model.errors import RequestError
from gateway.model.permission import Choice, Suppression, SuppressionFilter
from gateway.model.recipient import Erased, Kept, Recipient, Upserted
from gateway.model.recording import (
    Judged,
    Lift,
    NewConsent,
    NewSuppression,
    Recorded,
    Whom,
    Withdrawal,
)
from gateway.model.submission import Caller, Preview, Reading, Submission, Verdict


class Intake(Protocol):
    """Takes messages in. Every call may raise StoreUnavailable."""

    async def accept(self, caller: Caller, readings: Sequence[Reading]) -> Sequence[Verdict]:
        """One verdict per reading, in order; refusals are values, not raised.

        What could not be read is its own verdict: it comes here to be counted.
        """
        ...

    async def preview(self, caller: Caller, submission: Submission) -> Preview:
        """Raises RequestError for what `accept` would refuse, except for its words."""
        ...


class Desk(Protocol):
    """Messages after acceptance. Another tenant's message is NotFound."""

    async def read(self, caller: Caller, message: str) -> view.MessageView:
        """With its timeline. Raises NotFound."""
        ...

    async def list(self, caller: Caller, filter: view.MessageFilter) -> view.MessagePage: ...

    async def cancel(self, caller: Caller, message: str) -> view.MessageView:
        """Raises NotFound, and StateConflict once it is being sent."""
        ...

    async def redrive(self, caller: Caller, message: str) -> view.MessageView:
        """Raises NotFound, and StateConflict unless it is a dead letter."""
        ...


class Endpoints(Protocol):
    """The webhook endpoints of a tenant."""

    async def list(self, caller: Caller) -> Sequence[view.Endpoint]: ...

    async def put(
        self,
        caller: Caller,
        *,
        url: str,
        events: Sequence[str],
        secret: str | None,
        endpoint: str | None,
    ) -> view.Endpoint:
        """Make one (endpoint None) or replace one. Secret None: the gateway makes one.

        Raises InvalidMessage for a target that is not allowed, NotFound, and StateConflict for
        the configured endpoint.
        """
        ...

    async def delete(self, caller: Caller, endpoint: str) -> None:
        """Raises NotFound, and StateConflict for the configured endpoint."""
        ...

    async def replay(
        self, caller: Caller, endpoint: str, *, since_ms: int, only_failed: bool
    ) -> int:
        """How many webhooks were queued again. Raises NotFound."""
        ...


class Receipts(Protocol):
    """Delivery receipts, as providers post them."""

    async def take(
        self, account: str, request: wire.HttpRequest, *, below: bool = False
    ) -> wire.HttpResponse:
        """What the provider wants to hear. below: it came to an address below the account's.

        Raises NotFound, BadSignature, UnreadableReceipt.
        """
        ...


class Recipients(Protocol):
    """Who a tenant's people are. Another tenant's recipient is NotFound."""

    def check(self, recipient: Recipient) -> Recipient:
        """As it would be kept. Raises InvalidMessage."""
        ...

    async def put(self, caller: Caller, recipients: Sequence[Recipient]) -> Sequence[Upserted]:
        """Keep recipients that were checked, each id once. Raises StoreUnavailable."""
        ...

    async def read(self, caller: Caller, recipient: str) -> Kept:
        """Raises NotFound."""
        ...

    async def list(self, caller: Caller, *, after: str, limit: int) -> Sequence[Kept]:
        """By id, those after one."""
        ...

    async def erase(self, caller: Caller, recipient: str) -> Erased:
        """Forget the person, messages included. Raises NotFound, StoreUnavailable."""
        ...


class Subscriptions(Protocol):
    """How recipients leave categories and come back, by the link in a mail."""

    def known(self, token: str) -> bool:
        """Whether the link is one of ours. Changes nothing."""
        ...

    async def leave(self, token: str) -> bool:
        """False for a link of nobody's. Raises StoreUnavailable."""
        ...

    async def choices(self, token: str) -> Sequence[Choice] | None:
        """What they can choose; None for a link of nobody's. Raises StoreUnavailable."""
        ...

    async def choose(self, token: str, wanted: Collection[str]) -> bool:
        """These categories and no others; False as above. Raises StoreUnavailable."""
        ...


class Permissions(Protocol):
    """What tenants record of consent and suppression. Every call may raise StoreUnavailable."""

    async def put_consents(
        self, caller: Caller, items: Sequence[NewConsent | RequestError]
    ) -> Sequence[Judged]:
        """One verdict each, in order; refusals are values, not raised. So with the others."""
        ...

    async def withdraw(
        self, caller: Caller, items: Sequence[Withdrawal | RequestError]
    ) -> Sequence[Judged]: ...

    async def suppress(
        self, caller: Caller, items: Sequence[NewSuppression | RequestError]
    ) -> Sequence[Judged]: ...

    async def lift(
        self, caller: Caller, items: Sequence[Lift | RequestError]
    ) -> Sequence[int | RequestError]:
        """How many records each item took."""
        ...

    async def lookup(self, caller: Caller, whom: Whom) -> Recorded:
        """Raises InvalidMessage."""
        ...

    async def list(self, caller: Caller, wanted: SuppressionFilter) -> Sequence[Suppression]:
        """Raises Forbidden."""
        ...


class Keys(Protocol):
    """API keys and what they may submit."""

    async def authenticate(self, token: str) -> Caller:
        """Raises Unauthorised."""
        ...

    async def admit(self, caller: Caller, messages: int) -> None:
        """Count them against the tenant's rate. Raises TooManyRequests."""
        ...


class Operations(Protocol):
    """What operators look at."""

    def ready(self) -> str:
        """Empty when ready, else why not."""
        ...

    async def health(self) -> Sequence[view.ProviderHealth]: ...

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """Body and content type, as the Accept header prefers."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that the edge calls."""

    intake: Intake
    desk: Desk
    endpoints: Endpoints
    receipts: Receipts
    recipients: Recipients
    subscriptions: Subscriptions
    permissions: Permissions
    keys: Keys
    operations: Operations
    clock: Clock
    #: scheme and host by which providers reach this gateway, such as `https://gw.example.com`;
    #: empty: as each request says
    public_url: str = ""
    #: reports stay on this machine, as in sandbox mode
    only_loopback: bool = False


SERVICES = web.AppKey("services", Services)

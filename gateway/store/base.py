"""What the rest of the gateway asks of a store: narrow protocols, batch-shaped.

`Queue` moves messages, `Ledger` reads what became of them and keeps what providers reported,
`Directory` keeps tenants' settings, `Permissions` what people agreed to, `Recipients` who they are,
`Habits` what has reached them, `Caps` how often, `Fleet` what nodes share. Every method is one
transaction; StoreUnavailable means that nothing of it was stored and that it may be tried again.
Times are UTC epoch milliseconds.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol, TypeAlias

from gateway.model import view
from gateway.model.case import Case, Claimed, Contact, NewMessage, Parked, Reply, Transition
from gateway.model.message import MessageId
from gateway.model.state import State
from gateway.model.values import Value
from gateway.store.caps import Caps
from gateway.store.fleet import Fleet
from gateway.store.habits import Habits
from gateway.store.permissions import Permissions
from gateway.store.recipients import Recipients


class Stored(Value):
    """The message is on disk."""

    id: MessageId
    state: State


class Existing(Value):
    """An earlier message stands for it; nothing was stored."""

    id: MessageId
    state: State
    #: by idempotency key (the caller repeated itself), else by dedupe key
    by_key: bool


class KeyTaken(Value, kw_only=False):
    """The idempotency key belongs to a request with another body."""


Acceptance: TypeAlias = Stored | Existing | KeyTaken


class ClaimRequest(Value):
    """What a provider account can take from one lane."""

    lane: str
    provider: str
    limit: int
    #: how many can start at once; `once` rows beyond them stay in the queue
    startable: int
    #: take what anyone may have only if the lane's head was due by then; None: at once
    head_due_by_ms: int | None = None
    #: rows that anyone could take are out of bounds (the account helps out nowhere)
    pinned_only: bool = False
    #: priorities from this number on, to give lower ones their share
    lowest: int = 0
    #: and up to this one, where only tokens are left that are kept for urgent ones
    highest: int = 3


class Staleness(StrEnum):
    """Why a transition was refused."""

    VERSION = "version"  # the message changed: read the case again and decide again
    EPOCH = "epoch"  # the claim is no longer ours: keep the result as evidence


class LaneOverview(Value):
    """How a lane stands at one priority."""

    lane: str
    priority: int
    #: when the earliest row that waits for its time is due; None without one
    next_due_ms: int | None
    #: rows ready to be claimed by anyone, counted up to the limit asked for
    ready: int


class Queue(Protocol):
    """Messages on their way."""

    async def accept(self, messages: Sequence[NewMessage]) -> Sequence[Acceptance]:
        """Store messages, or find the earlier ones that stand for them. Durable on return."""
        ...

    async def claim(self, request: ClaimRequest) -> Sequence[Claimed]:
        """Take rows for this node, in the order to send them. Attempt numbers are durable."""
        ...

    async def claim_pinned(self, lane: str, wanted: Mapping[str, int]) -> Sequence[Claimed]:
        """Take the first rows of each pin, as many as wanted: webhooks, by endpoint."""
        ...

    async def ready_pins(self, lane: str) -> Sequence[str]:
        """Pins of a lane that have ready rows."""
        ...

    async def give_back(
        self, rows: Sequence[Claimed], *, due_ms: Sequence[int | None] | None = None
    ) -> None:
        """Return rows untried; those with a due time wait for it. Costs them no attempt."""
        ...

    async def commit(self, transitions: Sequence[Transition]) -> Sequence[Staleness | None]:
        """Write each transition or say why not; refused ones leave no trace."""
        ...

    async def take_replies(self, replies: Sequence[Reply]) -> Sequence[bool]:
        """Store what each causes, in order, all in one transaction; whether it is the first copy.
        Of a second one nothing is stored."""
        ...

    async def claim_expired(self, *, now_ms: int, limit: int) -> Sequence[Claimed]:
        """Take unclaimed rows past their time, to end them."""
        ...

    async def claim_orphans(self, *, limit: int) -> Sequence[Claimed]:
        """Take rows whose owner is dead, under the epoch of its attempt."""
        ...

    async def latest(self, keys: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], MessageId]:
        """By (tenant, key) the message that was accepted last with it as `replaces`."""
        ...

    async def promote(self, lane: str, priority: int, *, now_ms: int, limit: int) -> int:
        """Make due rows ready, oldest first; how many."""
        ...

    async def overview(self, lanes: Sequence[str], *, most: int) -> Sequence[LaneOverview]: ...

    async def unpin(self, lane: str, provider: str, *, limit: int) -> int:
        """Let others take ready rows that were kept for a provider; how many."""
        ...

    async def unpin_strangers(self, providers: Sequence[str]) -> None:
        """Let others take rows kept for providers that are not in the list."""
        ...


class Named(Value):
    """A receipt with the provider account that it came from."""

    provider: str
    #: the provider's id of the attempt
    reference: str
    #: the receipt as it is parked when the id is not known yet
    parked: Mapping[str, str]


class Ledger(Protocol):
    """What became of messages."""

    async def cases(self, messages: Sequence[MessageId]) -> Mapping[MessageId, Case]: ...

    async def find_attempts(
        self, receipts: Sequence[Named], *, now_ms: int
    ) -> Sequence[Parked | None]:
        """The attempts that receipts speak of; None: unknown as yet, and the receipt is parked."""
        ...

    async def parked(self, *, limit: int) -> Sequence[Parked]:
        """Parked receipts whose attempt is known by now."""
        ...

    async def clear_parked(self, receipts: Sequence[Parked]) -> None:
        """They have been applied."""
        ...

    async def find_answered(
        self, replies: Sequence[tuple[Contact, str]]
    ) -> Sequence[MessageId | None]:
        """The messages of ours that are answered: by the provider's id of it, where that is given
        and known, else the latest that the account sent to the address."""
        ...

    async def read(self, tenant: str, message: MessageId) -> view.MessageView | None: ...

    async def list(self, tenant: str, query: view.MessageFilter) -> view.MessagePage: ...

    async def dead(
        self, *, tenant: str | None, cursor: str, limit: int
    ) -> Sequence[tuple[str, view.MessageView]]:
        """Dead letters as (tenant, message), oldest first, after the cursor."""
        ...

    async def webhooks_of(
        self, endpoint: str, *, since_ms: int, only_failed: bool, limit: int
    ) -> Sequence[MessageId]:
        """Ids of webhook messages for an endpoint, oldest first."""
        ...

    async def depths(self) -> Mapping[tuple[str, str], tuple[int, int | None]]:
        """(rows, due_ms of the oldest head) by (lane, `ready` or `waiting`); claimed ones not."""
        ...

    async def purge(self, *, before_ms: int, parked_before_ms: int, now_ms: int, limit: int) -> int:
        """Delete old messages that have no work left, contacts as old, permissions that ended as
        long ago, and keys, bans, parked receipts and places under caps whose time is over, at most
        `limit` of each kind; how many in all."""
        ...


class TenantKey(Value):
    """An API key as it is kept: never the key itself."""

    id: str
    tenant: str
    hash: str
    scopes: frozenset[str]
    created_ms: int
    revoked_ms: int | None = None


class EndpointRecord(Value):
    """A webhook endpoint with its health."""

    endpoint: view.Endpoint
    #: first failure since the last success
    failing_ms: int | None = None


class Directory(Protocol):
    """Tenants' keys and endpoints; providers' daily use."""

    async def directory_version(self) -> str:
        """Differs after keys or endpoints have changed, in whichever process."""
        ...

    async def keys(self) -> Sequence[TenantKey]: ...

    async def put_key(self, key: TenantKey) -> None: ...

    async def revoke_key(self, key: str, *, now_ms: int) -> bool: ...

    async def endpoints(self) -> Sequence[EndpointRecord]: ...

    async def put_endpoint(self, record: EndpointRecord) -> None: ...

    async def delete_endpoint(self, endpoint: str) -> None: ...

    async def take_quota(self, provider: str, day: str, *, amount: int, limit: int) -> int:
        """Reserve up to `amount` of a day's quota; how much was left to give. Below 0: give so
        much back."""
        ...

    async def secret(self, name: str) -> bytes:
        """A random key of this store's own (32 bytes), made when first asked for."""
        ...


class Store(Queue, Ledger, Directory, Permissions, Recipients, Habits, Caps, Protocol):
    """An opened store."""

    @property
    def fleet(self) -> Fleet | None:
        """What is shared with other nodes; None where this process is the only one."""
        ...

    #: raises StoreMismatch when the file or schema cannot be used
    async def __aenter__(self) -> "Store": ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def check(self) -> None:
        """Raises StoreUnavailable unless the store could commit now."""
        ...

"""What the rest of the gateway asks of a store about recipients: see `store.base`.

An address is found by its keyed hash; (channel, hash) is what `Bans.hashed` makes of it.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.model.message import MessageId
from gateway.model.recipient import Kept, PushDevice, Recipient, Upserted
from gateway.model.values import Value


class Hashed(Value, kw_only=False, array_like=True):
    """An address of a recipient, as it is found."""

    channel: str
    #: keyed
    hash: str
    #: why the device is dead; '' it lives, or it is no device
    reason: str = ""


class RecipientRow(Value):
    """A recipient to keep, in place of the one with its id."""

    recipient: Recipient
    addresses: Sequence[Hashed]


class DeadDevice(Value):
    """A device that a provider knows no more."""

    #: of the address, keyed
    hash: str
    #: with reason and time
    device: PushDevice


class Scanned(Value):
    """A part of all messages that was looked through."""

    found: Sequence[MessageId]
    #: where to go on; '' at the end
    cursor: str


class Recipients(Protocol):
    """Who a tenant's people are, and which messages went to them."""

    async def upsert_recipients(
        self, tenant: str, rows: Sequence[RecipientRow], *, now_ms: int
    ) -> Sequence[Upserted]:
        """Keep them, each id once, in one transaction. A dead device that is given as a living one
        lives again, and the ban that its death brought is lifted."""
        ...

    async def recipients(self, tenant: str, ids: Sequence[str]) -> Mapping[str, Kept]:
        """Those of these that are kept."""
        ...

    async def list_recipients(self, tenant: str, *, after: str, limit: int) -> Sequence[Kept]:
        """By id, those after one; '' from the first on."""
        ...

    async def find_recipients(
        self, tenant: str, addresses: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Sequence[str]]:
        """Ids by (channel, address hash), of those addresses that somebody has."""
        ...

    async def mark_dead(self, dead: DeadDevice, *, now_ms: int) -> int:
        """A device, whoever has it; how many recipients of all tenants were changed."""
        ...

    async def erase_recipient(self, tenant: str, recipient: str) -> bool:
        """Forget the recipient and the addresses; whether there was one."""
        ...

    async def messages_naming(
        self, tenant: str, recipient: str, *, after: str = "", limit: int
    ) -> Sequence[MessageId]:
        """Messages that name a recipient and have not been erased, oldest first, after one. Some
        may be gone by now."""
        ...

    async def messages_holding(
        self,
        tenant: str,
        texts: Sequence[str],
        *,
        about: Sequence[MessageId] = (),
        after: str,
        limit: int,
    ) -> Scanned:
        """Of the next `limit` messages in the store, the tenant's (reports to it included) whose
        body holds one of these texts, ASCII letters of either case counting as the same, and
        reports to it about these messages, or about answers to them."""
        ...

    async def erase_messages(
        self,
        bodies: Mapping[MessageId, str],
        *,
        hashes: Sequence[str],
        words: Sequence[tuple[str, str, MessageId]] = (),
        now_ms: int,
    ) -> None:
        """Put these bodies in place of the old ones, and forget what else says whom they were for:
        providers' words, that these address hashes were written to, and the words by which they
        took the place of others. words: (tenant, word, message)."""
        ...

"""Who a tenant's people are: kept as the tenant says, read, and forgotten when it says so.

What a message takes from the recipient that it names is in `naming`.
"""

from collections.abc import Collection, Mapping, Sequence

from gateway.clock import Clock
from gateway.content import recipients as rules
from gateway.dispatch.addressing import device_name
from gateway.dispatch.bans import Bans
from gateway.dispatch.erasure import Eraser
from gateway.model import wire
from gateway.model.errors import NotFound
from gateway.model.recipient import Erased, Kept, Recipient, Upserted
from gateway.model.submission import Caller
from gateway.store import base
from gateway.store.recipients import Hashed, RecipientRow

#: By field, the channel that an address is looked for on. One number does for SMS and RCS.
CHANNELS: Mapping[str, wire.Channel] = {
    "phone": wire.Channel.SMS,
    "email": wire.Channel.EMAIL,
    "wechat": wire.Channel.WECHAT,
    "wecom": wire.Channel.WECOM,
    "chat": wire.Channel.CHAT,
    "url": wire.Channel.WEBHOOK,
}


class Recipients:
    """Implements the edge's `Recipients`. Another tenant's recipient is NotFound."""

    def __init__(
        self,
        store: base.Store,
        bans: Bans,
        eraser: Eraser,
        clock: Clock,
        *,
        categories: Collection[str],
    ) -> None:
        self._store = store
        self._bans = bans
        self._eraser = eraser
        self._clock = clock
        self._categories = frozenset(categories)

    def check(self, recipient: Recipient) -> Recipient:
        """As it would be kept. Raises InvalidMessage with every fault."""
        return rules.check(recipient, self._categories)

    async def put(self, caller: Caller, recipients: Sequence[Recipient]) -> Sequence[Upserted]:
        """Keep recipients that were checked, each id once. Raises StoreUnavailable."""
        rows = [
            RecipientRow(recipient=one, addresses=addresses_of(one, self._bans))
            for one in recipients
        ]
        return await self._store.upsert_recipients(caller.tenant, rows, now_ms=self._clock.now_ms())

    async def read(self, caller: Caller, recipient: str) -> Kept:
        """Raises NotFound."""
        found = (await self._store.recipients(caller.tenant, [recipient])).get(recipient)
        if found is None:
            raise NotFound("There is no such recipient.")
        return found

    async def list(self, caller: Caller, *, after: str, limit: int) -> Sequence[Kept]:
        return await self._store.list_recipients(caller.tenant, after=after, limit=limit)

    async def erase(self, caller: Caller, recipient: str) -> Erased:
        """Raises NotFound when there is nothing of it."""
        erased = await self._eraser.erase(caller.tenant, recipient)
        if erased is None:
            raise NotFound("There is no such recipient.")
        return erased


def addresses_of(recipient: Recipient, bans: Bans) -> Sequence[Hashed]:
    """All addresses, as they are found: those that are not used as well."""
    found = [
        Hashed(*bans.named(channel, value))
        for name, channel in CHANNELS.items()
        if (value := getattr(recipient, name))
    ]
    for one in recipient.push:
        name = bans.named(wire.Channel.PUSH, device_name(one.app, one.token))
        found.append(Hashed(*name, one.reason))
    return found

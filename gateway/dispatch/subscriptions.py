"""How recipients leave a category of a tenant: the link in each mail, and what its use does.

A link holds who leaves what, signed, and no address in clear: the store's hash of it. It does not
run out, as people open old mail. RFC 8058 (one click), RFC 2369 (List-Unsubscribe).
"""

import base64
import binascii
import hmac
import logging
from collections.abc import Collection

from gateway.dispatch.bans import Bans
from gateway.model import wire
from gateway.model.case import Claimed
from gateway.model.values import Value, replace

_log = logging.getLogger(__name__)

#: Octets of a signature: half of SHA-256, which nobody can guess either (RFC 2104 §5).
_MAC = 16
#: Octets of an address's hash, see `addresses.hash_address`.
_HASH = 16
#: Before what is signed, so that a later form can be told apart.
_VERSION = b"\x01"
#: Ends a feedback id: names the sender, in 5 to 15 characters, the same in all mail.
_SENDER = "gateway"


class Place(Value):
    """Who is to leave what."""

    tenant: str
    category: str
    channel: str
    #: of the address
    hash: str


class Subscriptions:
    """Makes links and honours them. Implements the edge's `Subscriptions`."""

    def __init__(
        self, bans: Bans, key: bytes, *, public_url: str, categories: Collection[str]
    ) -> None:
        """key: secret, of the store. categories: those that can be left."""
        self._bans = bans
        self._key = key
        self._categories = frozenset(categories)
        # one click needs https (RFC 8058 §3.1)
        self._links = f"{public_url}/u/" if public_url.startswith("https://") else ""

    def prepare(self, row: Claimed, content: wire.Content) -> wire.Content:
        """The content with the headers that its category asks for; the caller's own link stays."""
        step = row.case.message.chain[row.step]
        category = row.case.message.category
        if step.channel is not wire.Channel.EMAIL or category not in self._categories:
            return content
        extra: dict[str, object] = {"feedback_id": _feedback_id(row.case.tenant, category)}
        if self._links and not content.extra.get("list_unsubscribe"):
            channel, hash_ = self._bans.hashed(step.channel, step.parts[row.part])
            place = Place(tenant=row.case.tenant, category=category, channel=channel, hash=hash_)
            extra["list_unsubscribe"] = self._links + self.token(place)
        return replace(content, extra={**content.extra, **extra})

    def token(self, place: Place) -> str:
        """The last part of a link: the same each time for the same place."""
        names = "\0".join((place.channel, place.tenant, place.category)).encode()
        signed = _VERSION + bytes.fromhex(place.hash) + names
        raw = signed + self._mac(signed)
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")

    def read(self, token: str) -> Place | None:
        """What a token stands for; None unless we made it."""
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            return None
        signed, mac = raw[:-_MAC], raw[-_MAC:]
        if not signed.startswith(_VERSION) or not hmac.compare_digest(mac, self._mac(signed)):
            return None
        start = len(_VERSION) + _HASH
        channel, tenant, category = signed[start:].decode().split("\0")
        hash_ = signed[len(_VERSION) : start].hex()
        return Place(tenant=tenant, category=category, channel=channel, hash=hash_)

    def known(self, token: str) -> bool:
        """Whether the token is one of ours. Changes nothing."""
        return self.read(token) is not None

    async def leave(self, token: str) -> bool:
        """Nothing more of that tenant's category to that address; False for a token of nobody's.

        Again: harmless. Raises StoreUnavailable.
        """
        place = self.read(token)
        if place is None:
            return False
        await self._bans.refuse(place.tenant, place.category, (place.channel, place.hash))
        _log.info("recipient_left tenant=%s category=%s", place.tenant, place.category)
        return True

    def _mac(self, signed: bytes) -> bytes:
        return hmac.digest(self._key, signed, "sha256")[:_MAC]


def _feedback_id(tenant: str, category: str) -> str:
    """`category:tenant:sender`, as Gmail's feedback loop counts complaints by.

    No name may be in two fields. https://support.google.com/mail/answer/6254652
    """
    return ":".join(dict.fromkeys((category, tenant, _SENDER)))

"""A recipient as a tenant describes it: addresses by channel, and how the person wants to be met.

Its JSON form (`encode`, `decode`) is what the store keeps as `body`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from gateway.model.message import Whom
from gateway.model.values import Value, field, replace

#: Fields that hold one address each; `push` holds a list.
SINGLE = ("phone", "email", "wechat", "wecom", "chat", "url")


class PushDevice(Value):
    """One app installation that takes pushes, or took them."""

    app: str
    token: str
    #: why nothing is sent to it any more, '' while it lives; and since when, UTC epoch milliseconds
    reason: str = ""
    since_ms: int = 0
    #: when the app got its token, UTC epoch milliseconds; 0: nobody has said
    registered_ms: int = 0


class Recipient(Value):
    """One person of one tenant; empty where unknown."""

    #: the tenant's own
    id: str
    phone: str = ""
    email: str = ""
    wechat: str = ""
    wecom: str = ""
    chat: str = ""
    #: webhook channel: URL of the person's own system
    url: str = ""
    push: tuple[PushDevice, ...] = ()
    #: of `SINGLE`, those that the person has proved to have, and those known to be wrong; the
    #: others are unverified
    verified: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()
    #: BCP 47
    locale: str = ""
    #: IANA name
    zone: str = ""
    tier: str = ""
    #: (from, to) in the person's zone, each HH:MM; one that ends before it begins ends next day
    quiet: tuple[tuple[str, str], ...] = ()
    #: by category, the channels that the person wants it on, best first
    preferences: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def usable(self, name: str) -> str:
        """The address in a field of `SINGLE`; '' without one, or where it is known to be wrong."""
        return "" if name in self.invalid else getattr(self, name)

    @property
    def devices(self) -> tuple[PushDevice, ...]:
        """Those that live."""
        return tuple([one for one in self.push if not one.reason])

    @property
    def is_reachable(self) -> bool:
        if not self.invalid and (self.phone or self.email):
            return True
        return any(map(self.usable, SINGLE)) or bool(self.devices)

    def whom(self, category: str) -> Whom:
        """What rules about a message of this category need to know."""
        return Whom(
            recipient=self.id,
            zone=self.zone,
            quiet=self.quiet,
            locale=self.locale,
            tier=self.tier,
            channels=self.preferences.get(category, ()),
        )


class Upserted(StrEnum):
    """What a recipient was to the store."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


class Kept(Value):
    """A recipient as it is kept."""

    recipient: Recipient
    updated_ms: int


class Erased(Value):
    """What was done to messages."""

    messages: int = 0
    #: of these, those that were still waiting
    cancelled: int = 0


def without_device(recipient: Recipient, dead: PushDevice) -> Recipient:
    """The recipient with a device marked dead; the first reason stays."""
    push = tuple(
        replace(one, reason=dead.reason, since_ms=dead.since_ms)
        if (one.app, one.token, one.reason) == (dead.app, dead.token, "")
        else one
        for one in recipient.push
    )
    return recipient if push == recipient.push else replace(recipient, push=push)


_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER = msgspec.json.Decoder(Recipient)


def encode(recipient: Recipient) -> str:
    """As the store keeps it: the same recipient is the same text."""
    return _ENCODER.encode(recipient).decode()


def decode(body: str | bytes) -> Recipient:
    """The inverse of `encode`."""
    return _DECODER.decode(body)

"""A message as it was accepted: checked, complete, and never changed after that.

Its JSON form (`encode`, `decode`) is what the store keeps as `body`.
"""

import re
from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Any, NewType

import msgspec

from gateway.model import wire
from gateway.model.state import State
from gateway.model.values import Value, field

MessageId = NewType("MessageId", str)


class Priority(IntEnum):
    """Served in this order; the number is what the store keeps."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    BULK = 3


class OnUnknown(StrEnum):
    """What to do when an attempt's outcome is unknown."""

    RESEND = "resend"  # again, same reference, same channel
    FALLBACK = "fallback"  # the next step
    STOP = "stop"  # nothing; a receipt may resolve it


DAY_MS = 86_400_000


class Mode(StrEnum):
    CHAIN = "chain"  # steps one after another
    ALL = "all"  # every step at once


class ChainOrder(StrEnum):
    """In which order the steps of a chain are tried."""

    GIVEN = "given"
    BEST = "best"  # by the recipient's wish, then by what has reached them before, then by cost


class Step(Value):
    """One channel of a chain, with where it goes."""

    channel: wire.Channel
    lane: str
    #: one per device; never empty
    parts: tuple[wire.Address, ...]
    #: SENT, DELIVERED or READ: how far an attempt must get for the chain to end here
    until: State = State.SENT
    #: seconds from the start of the step after which the next one starts as well; None: no limit
    within: float | None = None
    #: what each part counts for in limits (SMS segments)
    units: int = 1


class Skipped(Value, array_like=True):
    """A step of the chain that this message cannot take, and why."""

    channel: str
    reason: str


class Whom(Value):
    """What is known of the recipient, as rules about it need it; empty where unknown."""

    #: the tenant's own id
    recipient: str = ""
    #: IANA name of the person's time zone
    zone: str = ""
    #: the person's own quiet hours: (from, to) as HH:MM in that zone
    quiet: tuple[tuple[str, str], ...] = ()
    #: BCP 47
    locale: str = ""
    tier: str = ""
    #: those that the person wants this category on, best first; empty: no wish
    channels: tuple[str, ...] = ()


class Message(Value):
    """What was asked for, after the gate: steps that cannot be taken are gone from `chain`."""

    category: str
    priority: Priority
    chain: tuple[Step, ...]
    skipped: tuple[Skipped, ...] = ()
    mode: Mode = Mode.CHAIN
    on_unknown: OnUnknown = OnUnknown.RESEND
    #: how long after its start, or its redrive, it may still be sent
    life_ms: int = DAY_MS
    #: name of a configured template, with `data` its variables; else `content`
    template: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    #: the content as posted: texts for all channels, and by channel name those that differ
    content: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    #: what it is the latest word on: of those with the same, only the last is sent; '' none
    replaces: str = ""
    #: None: nothing is known beside the addresses
    whom: Whom | None = None
    #: it carries others, whose content is its `data`
    digest: bool = False
    #: addresses and content have been overwritten at the person's wish: it can never be sent again
    erased: bool = False


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Message)


def encode(message: Message) -> str:
    """As the store keeps it: JSON without the fields that are at their defaults."""
    return _ENCODER.encode(message).decode()


def decode(body: str | bytes) -> Message:
    """The inverse of `encode`."""
    return _DECODER.decode(body)


def reference(message: str, *, redrive: int, step: int, part: int) -> str:
    """Our name for a part in the provider's world, the same each time it is sent.

    Receipts that carry it find their message without a look-up: see `read_reference`.
    """
    return f"{message}-{redrive:x}-{step:x}-{part:x}"


def read_reference(value: str) -> tuple[MessageId, int, int, int] | None:
    """(message, redrive, step, part) of a `reference`; None when it is not one of ours."""
    found = _REFERENCE.fullmatch(value)
    if found is None:
        return None
    message, redrive, step, part = found.groups()
    return MessageId(message), int(redrive, 16), int(step, 16), int(part, 16)


_REFERENCE = re.compile(r"([0-9a-f-]{36})-([0-9a-f]{1,7})-([0-9a-f]{1,7})-([0-9a-f]{1,7})")


def new_id(now_ms: int, entropy: bytes) -> MessageId:
    """A UUIDv7 (RFC 9562 §5.7): ordered by time, so that indexes stay local.

    entropy: ten random bytes.
    """
    time, rest = f"{now_ms & (2**48 - 1):012x}", entropy.hex()
    variant = _VARIANT[rest[4]]
    return MessageId(f"{time[:8]}-{time[8:]}-7{rest[1:4]}-{variant}{rest[5:8]}-{rest[8:20]}")


#: By hexadecimal digit: the same with its upper two bits 1 and 0 (RFC 9562 §4.1).
_VARIANT = {digit: f"{int(digit, 16) & 0x3 | 0x8:x}" for digit in "0123456789abcdef"}

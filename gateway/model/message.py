"""A message as it was accepted: checked, complete, and never changed after that.

Its JSON form (`to_json`, `from_json` work on plain dicts) is what the store keeps as `body`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import IntEnum, StrEnum
from operator import attrgetter
from typing import Any, NewType

from gateway.model import wire
from gateway.model.state import State
from gateway.model.values import value

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


@value()
class Step:
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


@value()
class Skipped:
    """A step of the chain that this message cannot take, and why."""

    channel: str
    reason: str


@value()
class Message:
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


def to_json(message: Message) -> dict[str, Any]:
    """A dict of JSON values; fields at their default are left out to keep rows small."""
    out: dict[str, Any] = {
        "category": message.category,
        "priority": int(message.priority),
        "chain": [_step_to_json(step) for step in message.chain],
    }
    if message.skipped:
        out["skipped"] = [[one.channel, one.reason] for one in message.skipped]
    if message.mode is not Mode.CHAIN:
        out["mode"] = message.mode
    if message.on_unknown is not OnUnknown.RESEND:
        out["on_unknown"] = message.on_unknown
    if message.life_ms != DAY_MS:
        out["life_ms"] = message.life_ms
    for name in ("template", "data", "content", "metadata"):
        if value := getattr(message, name):
            out[name] = value
    return out


_ADDRESS_FIELDS = tuple(wire.Address.__dataclass_fields__)
_address = attrgetter(*_ADDRESS_FIELDS)


def _step_to_json(step: Step) -> dict[str, Any]:
    out: dict[str, Any] = {
        "channel": step.channel,
        "lane": step.lane,
        "parts": [
            {
                name: value
                for name, value in zip(_ADDRESS_FIELDS, _address(part), strict=True)
                if value
            }
            for part in step.parts
        ],
    }
    if step.until is not State.SENT:
        out["until"] = step.until
    if step.within is not None:
        out["within"] = step.within
    if step.units != 1:
        out["units"] = step.units
    return out


# Enums are looked up, not called: a call costs three times as much, and this runs for every claim.
_PRIORITY = {int(one): one for one in Priority}
_MODE = {one.value: one for one in Mode}
_ON_UNKNOWN = {one.value: one for one in OnUnknown}
_CHANNEL = {one.value: one for one in wire.Channel}
_STATE = {one.value: one for one in State}


def from_json(value: Mapping[str, Any]) -> Message:
    """The inverse of `to_json`."""
    return Message(
        category=value["category"],
        priority=_PRIORITY[value["priority"]],
        chain=tuple([_step_from_json(step) for step in value["chain"]]),
        skipped=_skipped_from_json(value["skipped"]) if "skipped" in value else (),
        mode=_MODE[value["mode"]] if "mode" in value else Mode.CHAIN,
        on_unknown=_ON_UNKNOWN[value["on_unknown"]] if "on_unknown" in value else OnUnknown.RESEND,
        life_ms=value.get("life_ms", DAY_MS),
        template=value.get("template", ""),
        data=value.get("data", {}),
        content=value.get("content", {}),
        metadata=value.get("metadata", {}),
    )


def _step_from_json(value: Mapping[str, Any]) -> Step:
    return Step(
        channel=_CHANNEL[value["channel"]],
        lane=value["lane"],
        parts=tuple([wire.Address(**part) for part in value["parts"]]),
        until=_STATE[value["until"]] if "until" in value else State.SENT,
        within=value.get("within"),
        units=value.get("units", 1),
    )


def _skipped_from_json(values: Sequence[Sequence[str]]) -> tuple[Skipped, ...]:
    return tuple(Skipped(channel=channel, reason=reason) for channel, reason in values)


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

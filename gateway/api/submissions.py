"""A posted message to `Submission`. On the hot path: a batch does this a thousand times."""

import hashlib
from typing import Any

import orjson

from gateway.api import bodies, reading, schema
from gateway.model.errors import Fault, InvalidMessage
from gateway.model.message import ChainOrder, Mode, OnUnknown, Priority
from gateway.model.state import State
from gateway.model.submission import Dedupe, Device, StepRequest, Submission, To

_PRIORITIES = {one.name.lower(): one for one in Priority}
_ON_UNKNOWN = {str(one): one for one in OnUnknown}
_MODES = {str(one): one for one in Mode}
#: `accepted` is what callers know of; the state that it leads to is `sent`.
_UNTIL = {"accepted": State.SENT, "delivered": State.DELIVERED, "read": State.READ}

_message = reading.Reader(schema.NewMessage)
_batch_message = reading.Reader(schema.NewBatchMessage)


def read_message(parsed: bodies.Parsed, key: str) -> Submission:
    """A message posted alone, with the key of its header. Raises InvalidMessage."""
    return _submission(_message.read(parsed), key, parsed.value)


def read_batch_message(parsed: bodies.Parsed) -> Submission:
    """A message of a batch, which may carry its key. Raises InvalidMessage."""
    body = _batch_message.read(parsed)
    return _submission(body, body.get("idempotency_key", ""), parsed.value)


def _submission(body: schema.NewMessage, key: str, posted: dict[str, Any]) -> Submission:
    if ("template" in body) == ("content" in body):
        fault = Fault("template", "give either template or content, and not both")
        raise InvalidMessage("The body does not fit; see faults.", [fault])
    # One call with all fields: building a frozen value twice would cost more than reading it.
    return Submission(
        to=read_to(body["to"]),
        category=body.get("category", ""),
        priority=_PRIORITIES[body["priority"]] if "priority" in body else None,
        chain=tuple(map(_step, body["chain"])) if "chain" in body else (),
        order=ChainOrder(body["order"]) if "order" in body else None,
        template=body.get("template", ""),
        data=body.get("data", {}),
        content=body.get("content", {}),
        dedupe=_dedupe(body["dedupe"]) if "dedupe" in body else None,
        replaces=body.get("replaces", ""),
        send_at=body.get("send_at"),
        expires_in=body.get("expires_in"),
        on_unknown=_ON_UNKNOWN[body["on_unknown"]] if "on_unknown" in body else None,
        mode=_MODES[body["mode"]] if "mode" in body else Mode.CHAIN,
        metadata=body.get("metadata", {}),
        idempotency_key=key,
        fingerprint=fingerprint(posted) if key else b"",
    )


def read_to(body: schema.Addresses) -> To:
    """The addresses of one person, as posted."""
    addresses: dict[str, Any] = {**body}
    if "push" in body:
        addresses["push"] = tuple(Device(**one) for one in body["push"])
    return To(**addresses)


def _step(body: schema.ChainStep) -> StepRequest:
    return StepRequest(
        channel=body["channel"],
        until=_UNTIL[body["until"]] if "until" in body else None,
        within=body.get("within"),
    )


def _dedupe(body: schema.DedupeRule) -> Dedupe:
    return Dedupe(key=body.get("key", ""), window=body["window"])


def fingerprint(posted: dict[str, Any]) -> bytes:
    """16 bytes that differ when the message does; the key and the order of fields do not count."""
    message = posted.copy()
    message.pop("idempotency_key", None)
    canonical = orjson.dumps(message, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(canonical, digest_size=16).digest()

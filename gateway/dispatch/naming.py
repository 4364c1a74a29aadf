"""Gives messages that name a recipient the addresses that they do not bring themselves.

Asked for a whole request at once, and only when one of its messages names somebody.
"""

from collections.abc import Mapping, Sequence

from gateway.clock import to_datetime
from gateway.model.errors import Fault, InvalidMessage
from gateway.model.recipient import SINGLE, PushDevice, Recipient
from gateway.model.submission import Device, Reading, Submission, To
from gateway.model.values import replace
from gateway.store import base


async def resolve(store: base.Store, tenant: str, readings: Sequence[Reading]) -> Sequence[Reading]:
    """The same messages with all that is known of whom they name. Raises StoreUnavailable."""
    names = {
        one.to.recipient for one in readings if isinstance(one, Submission) and one.to.recipient
    }
    if not names:
        return readings
    kept = await store.recipients(tenant, list(names))
    known = {id_: one.recipient for id_, one in kept.items()}
    return [
        _filled(one, known) if isinstance(one, Submission) and one.to.recipient else one
        for one in readings
    ]


def _filled(submission: Submission, known: Mapping[str, Recipient]) -> Reading:
    to = submission.to
    recipient = known.get(to.recipient)
    if recipient is not None:
        return replace(submission, to=fill(to, recipient), recipient=recipient)
    if to.push or any(getattr(to, name) for name in SINGLE):
        return submission
    fault = Fault("to.recipient", "there is no such recipient, and `to` has no address")
    return InvalidMessage("the message cannot be sent as it is", [fault])


def fill(to: To, recipient: Recipient) -> To:
    """Its own addresses, and the recipient's on channels where it has none."""
    more: dict[str, object] = {
        name: value
        for name in SINGLE  # of which most people have few
        if getattr(recipient, name) and not getattr(to, name) and (value := recipient.usable(name))
    }
    if not to.push and recipient.push:
        more["push"] = tuple([_device(one) for one in recipient.push if not one.reason])
    return replace(to, **more) if more else to


def _device(one: PushDevice) -> Device:
    at = to_datetime(one.registered_ms) if one.registered_ms else None
    return Device(app=one.app, token=one.token, registered_at=at)

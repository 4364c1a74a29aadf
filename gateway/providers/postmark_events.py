"""What a webhook of Postmark says about a message.

https://postmarkapp.com/developer/webhooks/webhooks-overview, with a page for each `RecordType`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from gateway.model import errors, wire
from gateway.providers import base

#: The key of Metadata that carries our reference, and comes back here.
REFERENCE = "gw_id"

_EVENT = wire.ReceiptEvent
#: `Type` of developer/webhooks/bounce-webhook; None: says nothing about the delivery.
BOUNCES: Mapping[str, wire.ReceiptEvent | None] = {
    "HardBounce": _EVENT.BOUNCED,
    "BadEmailAddress": _EVENT.BOUNCED,
    "SoftBounce": _EVENT.BOUNCED,
    "Blocked": _EVENT.BOUNCED,
    "VirusNotification": _EVENT.BOUNCED,
    "DMARCPolicy": _EVENT.BOUNCED,
    "SpamNotification": _EVENT.BOUNCED,
    "Transient": _EVENT.ACCEPTED,
    "DnsError": _EVENT.ACCEPTED,
    "SpamComplaint": _EVENT.COMPLAINED,
    "ManuallyDeactivated": _EVENT.FAILED,
    "Unconfirmed": _EVENT.FAILED,
    "SMTPApiError": _EVENT.FAILED,
    "TemplateRenderingFailed": _EVENT.FAILED,
    "Unsubscribe": _EVENT.OPTED_OUT,
    "AutoResponder": None,
    "AddressChange": None,
    "ChallengeVerification": None,
    "OpenRelayTest": None,
    "Subscribe": None,
    "Unknown": None,
}
#: `SuppressionReason`; the first two are told by a webhook of their own as well.
SUPPRESSIONS = {
    "HardBounce": _EVENT.BOUNCED,
    "SpamComplaint": _EVENT.COMPLAINED,
    "ManualSuppression": _EVENT.OPTED_OUT,
}
OTHERS = {"Delivery": _EVENT.DELIVERED, "Open": _EVENT.READ, "Click": _EVENT.READ}
#: Bounces after which the address is dead.
_DEAD = frozenset({"HardBounce", "BadEmailAddress"})
_TIMES = ("DeliveredAt", "BouncedAt", "ReceivedAt", "ChangedAt")
#: The MessageID of what is about no message, such as an address that was suppressed by hand.
_NOBODY = "00000000-0000-0000-0000-000000000000"

#: What happened, the code that says so, and whether never to write there again.
_Told: TypeAlias = tuple[wire.ReceiptEvent, str, bool]


def read(body: Mapping[str, Any]) -> Sequence[wire.DeliveryReceipt]:
    """Its receipts; none for what says nothing about a message. Raises UnreadableReceipt."""
    kind = _text(body, "RecordType")
    if not kind:
        raise errors.UnreadableReceipt("no RecordType")
    id, metadata = _text(body, "MessageID"), body.get("Metadata")
    id = "" if id == _NOBODY else id
    reference = _text(metadata, REFERENCE) if isinstance(metadata, dict) else ""
    told = _told(kind, body)
    if not (id or reference):
        if kind == "SubscriptionChange" or not told:
            return []
        raise errors.UnreadableReceipt("no MessageID")
    at = next((at for name in _TIMES if (at := base.read_time(body.get(name)))), None)
    return [
        wire.DeliveryReceipt(
            event=event,
            provider_id=id,
            reference=reference,
            code=code[:60],
            at=at,
            suppress=suppress,
        )
        for event, code, suppress in told
    ]


def _told(kind: str, body: Mapping[str, Any]) -> Sequence[_Told]:
    if kind in ("Bounce", "SpamComplaint"):
        return _bounce(_text(body, "Type") or kind)
    if kind == "SubscriptionChange":
        return _change(body)
    return [(OTHERS.get(kind, _EVENT.UNKNOWN), kind, False)]


def _bounce(kind: str) -> Sequence[_Told]:
    event = BOUNCES.get(kind, _EVENT.UNKNOWN)
    if event is None:
        return []
    if event is _EVENT.OPTED_OUT:
        return _left(kind)
    return [(event, kind, kind in _DEAD or event is _EVENT.COMPLAINED)]


def _change(body: Mapping[str, Any]) -> Sequence[_Told]:
    if body.get("SuppressSending") is not True:
        return []
    reason = _text(body, "SuppressionReason")
    event = SUPPRESSIONS.get(reason, _EVENT.UNKNOWN)
    if event is _EVENT.OPTED_OUT and _text(body, "Origin") == "Recipient":
        return _left(reason)
    return [(event, reason or "SubscriptionChange", event is not _EVENT.UNKNOWN)]


def _left(code: str) -> Sequence[_Told]:
    """Who unsubscribes by a mail has got it, so that opting out is no failure of that one."""
    return [(_EVENT.DELIVERED, code, False), (_EVENT.OPTED_OUT, code, True)]


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""

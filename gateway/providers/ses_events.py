"""What an event of Amazon SES says about a message.

https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html

Notifications of an identity have the same shape, with `notificationType` and without tags. An
event may list several recipients; ours are about one, since each mail of ours has one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from gateway.model import errors, wire
from gateway.providers import base

#: The tag that carries our reference, and comes back in events.
TAG = "gw_id"

_EVENT = wire.ReceiptEvent
#: Bounces, complaints and subscriptions need a closer look.
EVENTS = {
    "Send": _EVENT.SENT,
    "Delivery": _EVENT.DELIVERED,
    "DeliveryDelay": _EVENT.ACCEPTED,
    "Reject": _EVENT.FAILED,
    "Rendering Failure": _EVENT.FAILED,
    "Open": _EVENT.READ,
    "Click": _EVENT.READ,
}
#: Where an event keeps what it tells, unless under its name in lower case.
_KEYS = {"DeliveryDelay": "deliveryDelay", "Rendering Failure": "failure"}
#: Sub-types of permanent bounces: there is no such mailbox; SES did not even send.
_DEAD = frozenset({"General", "NoEmail"})
_UNSENT = frozenset({"Suppressed", "OnAccountSuppressionList"})

#: What happened, the code that says so, and whether never to write there again.
_Told: TypeAlias = tuple[wire.ReceiptEvent, str, bool]


def read(event: Mapping[str, Any]) -> Sequence[wire.DeliveryReceipt]:
    """Its receipts; none for what says nothing about a delivery. Raises UnreadableReceipt."""
    kind = _text(event, "eventType") or _text(event, "notificationType")
    mail = _object(event, "mail")
    id = _text(mail, "messageId")
    if not kind or not id:
        raise errors.UnreadableReceipt("neither an event nor the id of a message")
    about = _object(event, _KEYS.get(kind, kind.lower()))
    at = base.read_time(about.get("timestamp")) or base.read_time(mail.get("timestamp"))
    return [
        wire.DeliveryReceipt(
            event=what,
            provider_id=id,
            reference=_reference(mail),
            code=code[:60],
            at=at,
            suppress=suppress,
        )
        for what, code, suppress in _told(kind, about)
    ]


def _reference(mail: Mapping[str, Any]) -> str:
    tagged = _object(mail, "tags").get(TAG)
    first = tagged[0] if isinstance(tagged, list) and tagged else ""
    return first if isinstance(first, str) else ""


def _told(kind: str, about: Mapping[str, Any]) -> Sequence[_Told]:
    if kind == "Bounce":
        return [_bounce(about)]
    if kind == "Complaint":
        return _complaint(about)
    if kind == "Subscription":
        return _subscription(about)
    return [(EVENTS.get(kind, _EVENT.UNKNOWN), kind, False)]


def _bounce(about: Mapping[str, Any]) -> _Told:
    kind, sub = _text(about, "bounceType"), _text(about, "bounceSubType")
    code = f"{kind}/{sub}"
    if kind == "Permanent" and sub in _UNSENT:
        return _EVENT.FAILED, code, False
    return _EVENT.BOUNCED, code, kind == "Permanent" and sub in _DEAD


def _complaint(about: Mapping[str, Any]) -> Sequence[_Told]:
    sub, feedback = _text(about, "complaintSubType"), _text(about, "complaintFeedbackType")
    if sub == "OnAccountSuppressionList":  # SES did not send it
        return [(_EVENT.FAILED, sub, False)]
    if feedback == "not-spam":
        return []
    return [(_EVENT.COMPLAINED, feedback or "Complaint", True)]


def _subscription(about: Mapping[str, Any]) -> Sequence[_Told]:
    """Who unsubscribes by a mail has got it, so that opting out is no failure of that one."""
    wishes = _object(about, "newTopicPreferences")
    topics = wishes.get("topicSubscriptionStatus")
    left = wishes.get("unsubscribeAll") is True or any(
        isinstance(one, dict) and one.get("subscriptionStatus") == "OptOut"
        for one in (topics if isinstance(topics, list) else ())
    )
    if not left:
        return []
    return [(_EVENT.DELIVERED, "Subscription", False), (_EVENT.OPTED_OUT, "Subscription", True)]


def _object(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = values.get(name)
    return value if isinstance(value, dict) else {}


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""

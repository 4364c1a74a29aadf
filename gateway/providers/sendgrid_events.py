"""What SendGrid's event webhook says, in our words.

Events: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from gateway.model import wire
from gateway.providers import mail_api

Json: TypeAlias = Mapping[str, Any]

#: Our reference among the custom arguments, which events give back beside their own fields.
REFERENCE = "gw_id"

_EVENT = wire.ReceiptEvent
#: docs: tracking-events/event. Bounces, drops and opens are told apart below.
EVENTS = {
    "processed": _EVENT.SENT,
    "deferred": _EVENT.ACCEPTED,
    "delivered": _EVENT.DELIVERED,
    "click": _EVENT.READ,
    "spamreport": _EVENT.COMPLAINED,
    "unsubscribe": _EVENT.OPTED_OUT,
    "group_unsubscribe": _EVENT.OPTED_OUT,
}
#: `type` of a bounce that was not for good.
SOFT_BOUNCES = {"blocked": _EVENT.BOUNCED, "expired": _EVENT.EXPIRED}
#: `reason` of a drop: what it says of the address, which SendGrid will not write to any more.
DROPS = {
    "Unsubscribed Address": _EVENT.OPTED_OUT,
    "Spam Reporting Address": _EVENT.OPTED_OUT,
    "Bounced Address": _EVENT.FAILED,
    "Invalid": _EVENT.FAILED,
}
#: They are not about a message of ours.
IGNORED = frozenset({"group_resubscribe"})
SUPPRESSING = frozenset({_EVENT.COMPLAINED, _EVENT.OPTED_OUT})


def read(rows: Sequence[Json]) -> Sequence[wire.DeliveryReceipt]:
    """What they report, each with an `event`; those that name no message are left out."""
    receipts = [_receipt(row) for row in rows if row["event"] not in IGNORED]
    return [one for one in receipts if one.provider_id or one.reference]


def _receipt(row: Json) -> wire.DeliveryReceipt:
    event, code, suppress = _meaning(row)
    return wire.DeliveryReceipt(
        event=event,
        provider_id=mail_api.provider_id(_call(row), mail_api.text_of(row, "email")),
        reference=mail_api.text_of(row, REFERENCE),
        code=code,
        at=mail_api.moment(row.get("timestamp")),
        suppress=suppress,
    )


def _meaning(row: Json) -> tuple[wire.ReceiptEvent, str, bool]:
    """(event, code, whether the address is done for)"""
    name = row["event"]
    status = mail_api.status_code(row.get("status"))
    if name == "bounce":
        kind = mail_api.text_of(row, "type")
        hard = kind == "bounce" and not status.endswith(".2.2")
        return SOFT_BOUNCES.get(kind, _EVENT.BOUNCED), status or kind[:30] or name, hard
    if name == "dropped":
        reason = mail_api.text_of(row, "reason")
        known = reason in DROPS
        return DROPS.get(reason, _EVENT.FAILED), reason if known else name, known
    if name == "open":
        by_machine = row.get("sg_machine_open") is True
        return _EVENT.DELIVERED if by_machine else _EVENT.READ, name, False
    event = EVENTS.get(name, _EVENT.UNKNOWN)
    return event, status or name[:30], event in SUPPRESSING


def _call(row: Json) -> str:
    """X-Message-Id of the call: what stands before SendGrid's own data in `sg_message_id`.

    It may hold dots itself, so that `smtp-id`, which begins with it too, tells where it ends.
    """
    whole = mail_api.text_of(row, "sg_message_id")
    local = mail_api.text_of(row, "smtp-id").strip("<> ").partition("@")[0]
    return local if local and whole.startswith(f"{local}.") else whole.partition(".")[0]

"""What Postmark checks in a mail, how it words refusals, and what its webhooks look like.

https://postmarkapp.com/developer/api/email-api and
https://postmarkapp.com/developer/webhooks/webhooks-overview
"""

import base64
import binascii
import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from email.utils import getaddresses, parseaddr
from typing import Any, TypeAlias

from gateway.model import wire

#: (ErrorCode, Message) of a refusal.
Fault: TypeAlias = tuple[int, str]

_ADDRESS = re.compile(r"[^@\s<>]+@[^@\s<>.]+(?:\.[^@\s<>.]+)*")
_MOST_RECIPIENTS, _MOST_METADATA = 50, 10
_LINKS = {"None", "HtmlAndText", "HtmlOnly", "TextOnly"}
#: Extensions of attachments that are refused; the service's list is longer.
_FORBIDDEN = (".exe", ".bat", ".cmd", ".vbs", ".scr")


def fault(mail: object) -> Fault | None:
    """The first thing wrong with a mail; None when nothing is."""
    if not isinstance(mail, dict):
        return 403, "Incompatible JSON."
    wrong = _addresses(mail) or _texts(mail) or _metadata(mail.get("Metadata"))
    if wrong:
        return 300, wrong
    return _attachments(mail.get("Attachments"))


def _addresses(mail: Mapping[str, Any]) -> str:
    if not _ADDRESS.fullmatch(parseaddr(str(mail.get("From", "")))[1]):
        return f"Invalid 'From' address: '{mail.get('From', '')}'."
    count = 0
    for name in ("To", "Cc", "Bcc"):
        given = str(mail.get(name) or "")
        addresses = getaddresses([given]) if given else []
        count += len(addresses)
        if not all(_ADDRESS.fullmatch(address) for _, address in addresses):
            return f"Invalid '{name}' address: '{given}'."
    if not count:
        return "Zero recipients specified"
    return "" if count <= _MOST_RECIPIENTS else "More than 50 recipients."


def _texts(mail: Mapping[str, Any]) -> str:
    if not (mail.get("TextBody") or mail.get("HtmlBody")):
        return "Provide either email TextBody or HtmlBody or both."
    if mail.get("TrackLinks", "None") not in _LINKS:
        return "Invalid TrackLinks."
    headers = mail.get("Headers") or []
    good = isinstance(headers, list) and all(
        isinstance(one, dict) and one.get("Name") and isinstance(one.get("Value"), str)
        for one in headers
    )
    return "" if good else "Invalid header."


def _metadata(metadata: object) -> str:
    if metadata is None:
        return ""
    if not isinstance(metadata, dict) or len(metadata) > _MOST_METADATA:
        return "Invalid metadata."
    good = all(
        len(name) <= 20 and isinstance(value, str) and len(value) <= 80
        for name, value in metadata.items()
    )
    return "" if good else "Invalid metadata."


def _attachments(attachments: object) -> Fault | None:
    for one in attachments if isinstance(attachments, list) else ():
        try:
            name = str(one["Name"])
            base64.b64decode(one["Content"], validate=True)
        except (KeyError, TypeError, ValueError, binascii.Error):
            return 300, "Invalid attachment."
        if name.lower().endswith(_FORBIDDEN):
            return 411, f"Forbidden file extension: '{name}'."
    return None


_HARD = {"Type": "HardBounce", "TypeCode": 1, "Name": "Hard bounce", "Inactive": True}
_SOFT = {"Type": "SoftBounce", "TypeCode": 4096, "Name": "Soft bounce", "Inactive": False}
_SLOW = {"Type": "Transient", "TypeCode": 2, "Name": "Message delayed", "Inactive": False}
_TOLD = {"Type": "SpamComplaint", "TypeCode": 512, "Name": "Spam complaint", "Inactive": True}
_OFF = {"Type": "ManuallyDeactivated", "TypeCode": 16, "Name": "Deactivated", "Inactive": True}
_LEFT = {"Origin": "Recipient", "SuppressSending": True, "SuppressionReason": "ManualSuppression"}
_DELIVERY: tuple[str, dict[str, Any]] = ("Delivery", {"Details": "smtp;250 2.0.0 OK"})
#: (RecordType, what it tells) of each course that a mail can take.
COURSES: Mapping[wire.ReceiptEvent, Sequence[tuple[str, dict[str, Any]]]] = {
    wire.ReceiptEvent.ACCEPTED: [("Bounce", _SLOW)],
    wire.ReceiptEvent.SENT: [],
    wire.ReceiptEvent.DELIVERED: [_DELIVERY],
    wire.ReceiptEvent.READ: [_DELIVERY, ("Open", {"FirstOpen": True, "UserAgent": "Sandbox"})],
    wire.ReceiptEvent.FAILED: [("Bounce", _OFF)],
    wire.ReceiptEvent.EXPIRED: [("Bounce", _SOFT)],
    wire.ReceiptEvent.OPTED_OUT: [_DELIVERY, ("SubscriptionChange", _LEFT)],
    wire.ReceiptEvent.BOUNCED: [("Bounce", _HARD)],
    wire.ReceiptEvent.COMPLAINED: [_DELIVERY, ("SpamComplaint", _TOLD)],
    wire.ReceiptEvent.UNKNOWN: [("SandboxUnheardOf", {})],
}
#: Under which names a webhook has its time and its recipient.
_NAMES = {
    "Delivery": ("DeliveredAt", "Recipient"),
    "Bounce": ("BouncedAt", "Email"),
    "SpamComplaint": ("BouncedAt", "Email"),
    "SubscriptionChange": ("ChangedAt", "Recipient"),
}


def webhooks(
    mail: Mapping[str, Any], id: str, event: wire.ReceiptEvent
) -> Iterator[dict[str, Any]]:
    """What is posted about a mail, in order."""
    now = datetime.datetime.now(datetime.UTC)
    for number, (kind, told) in enumerate(COURSES[event]):
        at, recipient = _NAMES.get(kind, ("ReceivedAt", "Recipient"))
        yield {
            "RecordType": kind,
            "ID": now.microsecond * 10 + number,
            "ServerID": 23,
            "MessageStream": mail.get("MessageStream", "outbound"),
            "MessageID": id,
            "Tag": mail.get("Tag", ""),
            "Metadata": mail.get("Metadata") or {},
            recipient: parseaddr(str(mail["To"]))[1],
            # seven digits, as the service has them
            at: now.strftime("%Y-%m-%dT%H:%M:%S.%f0Z"),
            **told,
        }

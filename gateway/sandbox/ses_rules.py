"""What Amazon SES checks in a SendEmail, how it words refusals, and what its events look like.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html,
https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
"""

import base64
import binascii
import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parseaddr
from typing import Any, TypeAlias

from gateway.model import wire

#: By code: HTTP status and text.
ERRORS: Mapping[str, tuple[int, str]] = {
    "TooManyRequestsException": (429, "Maximum sending rate exceeded."),
    "InternalFailure": (500, "The request processing has failed."),
    "MessageRejected": (400, "Email was refused because of its content."),
    "MailFromDomainNotVerifiedException": (400, "The MAIL FROM domain is not verified."),
    "BadRequestException": (400, "Bad request."),
    "NotFoundException": (404, "The configuration set or template does not exist."),
    "MissingAuthenticationTokenException": (403, "Missing Authentication Token"),
    "IncompleteSignature": (403, "Authorization header is not complete."),
    "UnrecognizedClientException": (403, "The security token in the request is invalid."),
    "InvalidSignatureException": (403, "The signature does not match, or has expired."),
}

#: (code, text) of a refusal.
Fault: TypeAlias = tuple[str, str]

_HEADER = re.compile(r"[!-9;-@A-~]{1,126}")
_VALUE = re.compile(r"[ -~]{1,995}")
_TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")
_ADDRESS = re.compile(r"[!-?A-~]+@[a-z0-9-]+(?:\.[a-z0-9-]+)*", re.IGNORECASE)
_MOST_RECIPIENTS, _MOST_HEADERS = 50, 15


def recipients(mail: Mapping[str, Any]) -> list[str]:
    """All addresses that the mail is for."""
    destination = mail.get("Destination")
    lists = destination.values() if isinstance(destination, dict) else ()
    return [str(one) for some in lists if isinstance(some, list) for one in some]


def fault(mail: object) -> Fault | None:
    """The first thing wrong with a request; None when nothing is."""
    if not isinstance(mail, dict):
        return "BadRequestException", "The body is not a JSON object."
    wrong = _addresses(mail) or _content(mail.get("Content")) or _tags(mail.get("EmailTags", []))
    if wrong:
        return "BadRequestException", wrong
    if not re.fullmatch(r"[A-Za-z0-9_-]{0,64}", str(mail.get("ConfigurationSetName", ""))):
        return "BadRequestException", "Invalid configuration set name."
    return None


def _addresses(mail: Mapping[str, Any]) -> str:
    to, sender = recipients(mail), str(mail.get("FromEmailAddress", ""))
    if not to or len(to) > _MOST_RECIPIENTS:
        return "Recipient count is not between 1 and 50."
    if not sender.isascii() or not _ADDRESS.fullmatch(parseaddr(sender)[1]):
        return "Invalid From address."
    if not all(_ADDRESS.fullmatch(parseaddr(one)[1]) for one in to):
        return "Illegal address"
    return ""


def _content(content: object) -> str:
    if not isinstance(content, dict) or len(content) != 1:
        return "Content must be one of Simple, Raw or Template."
    if "Raw" in content:
        return _raw(content["Raw"])
    simple = content.get("Simple")
    if not isinstance(simple, dict):
        return "Template is not in the sandbox."
    body, subject = simple.get("Body"), simple.get("Subject")
    texts = [subject, *body.values()] if isinstance(body, dict) and body else [None]
    if not all(isinstance(one, dict) and isinstance(one.get("Data"), str) for one in texts):
        return "Subject and Body need Data."
    return _headers(simple.get("Headers", [])) or _attachments(simple.get("Attachments", []))


def _attachments(attachments: Any) -> str:
    """API_Attachment: a name and base64 are needed, the rest is bounded."""
    try:
        good = all(
            base64.b64decode(one["RawContent"], validate=True)
            and 0 < len(one["FileName"]) <= 255
            and all(0 < len(one.get(name, "x")) <= 78 for name in ("ContentType", "ContentId"))
            and one.get("ContentDisposition", "INLINE") in ("ATTACHMENT", "INLINE")
            for one in attachments
        )
    except (AttributeError, KeyError, TypeError, ValueError, binascii.Error):
        good = False
    return "" if good else "Attachment is not valid."


def _raw(raw: object) -> str:
    try:
        base64.b64decode(raw["Data"], validate=True)  # type: ignore[index]
    except (KeyError, TypeError, ValueError, binascii.Error):
        return "Raw needs Data in base64."
    return ""


def _headers(headers: object) -> str:
    if not isinstance(headers, list) or len(headers) > _MOST_HEADERS:
        return "More than 15 headers."
    good = all(
        isinstance(one, dict)
        and _HEADER.fullmatch(str(one.get("Name")))
        and _VALUE.fullmatch(str(one.get("Value")))
        for one in headers
    )
    return "" if good else "Invalid header."


def _tags(tags: object) -> str:
    good = isinstance(tags, list) and all(
        isinstance(one, dict)
        and _TAG.fullmatch(str(one.get("Name")))
        and _TAG.fullmatch(str(one.get("Value")))
        for one in tags
    )
    return "" if good else "Invalid message tag."


def _bounce(kind: str, sub: str, status: str) -> tuple[str, str, dict[str, Any]]:
    one = {"action": "failed", "status": status, "diagnosticCode": f"smtp; 550 {status} refused"}
    told = {"bounceType": kind, "bounceSubType": sub, "bouncedRecipients": [one]}
    return "Bounce", "bounce", told


_SEND: tuple[str, str, dict[str, Any]] = ("Send", "send", {})
_DELIVERY: tuple[str, str, dict[str, Any]] = (
    "Delivery",
    "delivery",
    {"smtpResponse": "250 2.6.0 Message received", "processingTimeMillis": 546},
)
_LEFT = {"newTopicPreferences": {"unsubscribeAll": True}, "source": "UnsubscribeHeader"}
#: (eventType, key, what it tells) of each course that a mail can take.
COURSES: Mapping[wire.ReceiptEvent, Sequence[tuple[str, str, dict[str, Any]]]] = {
    wire.ReceiptEvent.ACCEPTED: [
        ("DeliveryDelay", "deliveryDelay", {"delayType": "TransientCommunicationFailure"})
    ],
    wire.ReceiptEvent.SENT: [_SEND],
    wire.ReceiptEvent.DELIVERED: [_SEND, _DELIVERY],
    wire.ReceiptEvent.READ: [_SEND, _DELIVERY, ("Open", "open", {"ipAddress": "192.0.2.1"})],
    wire.ReceiptEvent.FAILED: [("Reject", "reject", {"reason": "Bad content"})],
    wire.ReceiptEvent.EXPIRED: [_SEND, _bounce("Transient", "General", "4.4.7")],
    wire.ReceiptEvent.OPTED_OUT: [_SEND, _DELIVERY, ("Subscription", "subscription", _LEFT)],
    wire.ReceiptEvent.BOUNCED: [_SEND, _bounce("Permanent", "General", "5.1.1")],
    wire.ReceiptEvent.COMPLAINED: [
        _SEND,
        _DELIVERY,
        ("Complaint", "complaint", {"complaintFeedbackType": "abuse", "complaintSubType": None}),
    ],
    wire.ReceiptEvent.UNKNOWN: [("SandboxUnheardOf", "sandboxunheardof", {})],
}
SUPPRESSED = [_SEND, _bounce("Permanent", "OnAccountSuppressionList", "5.1.1")]


def events(
    mail: Mapping[str, Any],
    id: str,
    course: Sequence[tuple[str, str, dict[str, Any]]],
) -> Iterator[dict[str, Any]]:
    """What is published about a mail, in order."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    now = now.replace("+00:00", "Z")
    tags = {"ses:configuration-set": [mail["ConfigurationSetName"]]}
    for tag in mail.get("EmailTags", []):
        tags.setdefault(tag["Name"], []).append(tag["Value"])
    about = {
        "timestamp": now,
        "messageId": id,
        "source": mail["FromEmailAddress"],
        "sendingAccountId": "123456789012",
        "destination": recipients(mail),
        "headersTruncated": False,
        "tags": tags,
    }
    for kind, key, told in course:
        yield {"eventType": kind, "mail": about, key: {"timestamp": now, **told} if told else {}}

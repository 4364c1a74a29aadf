"""What Twilio checks in a request to create a message, and how it words refusals."""

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

#: By code: HTTP status and text (https://www.twilio.com/docs/api/errors).
ERRORS: Mapping[int, tuple[int, str]] = {
    20003: (401, "Authenticate"),
    20404: (404, "The requested resource was not found"),
    20429: (429, "Too many requests"),
    20500: (500, "Internal server error"),
    21211: (400, "The 'To' number is not a valid phone number."),
    21212: (400, "The 'From' number is not a valid phone number, shortcode or sender ID."),
    21266: (400, "'To' and 'From' number cannot be the same"),
    21408: (
        403,
        "Permission to send an SMS has not been enabled for the region of the 'To' number",
    ),
    21602: (400, "Message body is required."),
    21603: (400, "A 'From' phone number is required."),
    21604: (400, "A 'To' phone number is required."),
    21606: (400, "The 'From' phone number cannot send messages to this destination."),
    21609: (400, "The 'StatusCallback' URL is not a valid URL."),
    21610: (400, "Attempt to send to unsubscribed recipient"),
    21611: (429, "This 'From' number has exceeded the maximum number of queued messages"),
    21612: (400, "The 'To' number is not reachable by the 'From' number"),
    21614: (400, "'To' number is not a valid mobile number"),
    21617: (400, "The concatenated message body exceeds the 1600 character limit"),
    21618: (400, "The message body cannot be sent"),
    21623: (400, "Number of media files exceeds allowed limit"),
    21624: (400, "Invalid validity period value"),
    21701: (404, "The Messaging Service does not exist"),
}

#: Magic senders of the test credentials.
_SENDERS: Mapping[str, int] = {
    "+15005550001": 21212,
    "+15005550007": 21606,
    "+15005550008": 21611,
}

_NUMBER = re.compile(r"\+[1-9]\d{6,14}")
#: E.164, a short code, or an alphanumeric sender of at most 11 characters.
_SENDER = re.compile(r"\+[1-9]\d{6,14}|\d{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}")
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
_CHANNEL = re.compile(r"^(?:rcs|whatsapp):")

_BODY_LIMIT = 1600
_MEDIA_LIMIT = 10
_VALIDITY = range(1, 36_001)


def fault(fields: Mapping[str, str], *, media: int) -> int:
    """The code of the first thing wrong with the fields; 0 when nothing is."""
    for check in _CHECKS:
        if code := check(fields):
            return code
    if not (fields.get("Body") or fields.get("ContentSid") or media):
        return 21602
    return 21623 if media > _MEDIA_LIMIT else 0


def _to(fields: Mapping[str, str]) -> int:
    if not (to := fields.get("To", "")):
        return 21604
    if not _NUMBER.fullmatch(_CHANNEL.sub("", to)):
        return 21211
    return 21266 if to == fields.get("From") else 0


def _from(fields: Mapping[str, str]) -> int:
    sender, service = fields.get("From", ""), fields.get("MessagingServiceSid", "")
    if not sender and not service:
        return 21603
    if service and not _SERVICE.fullmatch(service):
        return 21701
    if sender and not _SENDER.fullmatch(_CHANNEL.sub("", sender)):
        return 21212
    return _SENDERS.get(sender, 0)


def _body(fields: Mapping[str, str]) -> int:
    return 21617 if len(fields.get("Body", "")) > _BODY_LIMIT else 0


def _callback(fields: Mapping[str, str]) -> int:
    url = fields.get("StatusCallback")
    if not url:
        return 0
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return 21609
    good = parts.scheme in ("http", "https") and host and "_" not in host
    return 0 if good else 21609


def _validity(fields: Mapping[str, str]) -> int:
    value = fields.get("ValidityPeriod")
    if not value:
        return 0
    return 0 if value.isascii() and value.isdecimal() and int(value) in _VALIDITY else 21624


_CHECKS: tuple[Callable[[Mapping[str, str]], int], ...] = (_to, _from, _body, _callback, _validity)


def first_status(fields: Mapping[str, str]) -> str:
    """The status of a message that was just created."""
    if fields.get("ScheduleType") == "fixed" and fields.get("SendAt"):
        return "scheduled"
    return "accepted" if fields.get("MessagingServiceSid") else "queued"


#: 3GPP TS 23.038 §6.2.1: the characters of one septet beyond ASCII, those of ASCII that are not
#: among them, and those that take two.
_BEYOND_ASCII = set("£¥èéùìòÇØøÅåΔΦΓΛΩΠΨΣΘΞÆæßÉ¤¡ÄÖÑÜ§¿äöñüà")
_NO_SEPTET = set("`")
_TWO_SEPTETS = set("^{}\\[~]|€")


def segments(body: str) -> int:
    """SMS segments that a text takes."""
    septets = 0
    for character in body:
        if character in _TWO_SEPTETS:
            septets += 2
        elif character in _BEYOND_ASCII or (character.isascii() and character not in _NO_SEPTET):
            septets += 1
        else:
            return _parts(len(body.encode("utf-16-be")) // 2, single=70, several=67)
    return _parts(septets, single=160, several=153)


def _parts(length: int, *, single: int, several: int) -> int:
    return 1 if length <= single else -(-length // several)

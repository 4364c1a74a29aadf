"""What Vonage's SMS API checks in a message, and how it words refusals.

https://developer.vonage.com/messaging/sms/guides/troubleshooting-sms
"""

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from gateway.sandbox import twilio_rules

#: By status.
TEXTS: Mapping[str, str] = {
    "1": "Throttled",
    "2": "Missing parameter",
    "3": "Invalid parameter",
    "4": "Bad Credentials",
    "5": "Internal Error",
    "6": "Invalid Message",
    "12": "Message too long",
    "14": "Invalid Signature",
    "15": "Invalid Sender Address",
    "23": "Invalid callback URL",
    "32": "Signature And API Secret Disallowed",
    "33": "Number De-activated",
}

_NUMBER = re.compile(r"[1-9]\d{6,14}", re.ASCII)
_SENDER = re.compile(r"\+?\d{3,15}|[A-Za-z0-9 ]{1,11}", re.ASCII)
_TTL = range(20_000, 604_800_001)
_REFERENCE, _CALLBACK = 100, 100
#: Segments of one message: those that one octet of the header can number.
_SEGMENTS = 255


def fault(fields: Mapping[str, str]) -> str:
    """The status of the first thing wrong with a message; empty when nothing is."""
    kind = fields.get("type", "text")
    content = ("body", "udh") if kind == "binary" else ("text",)
    if any(not fields.get(name) for name in ("from", "to", *content)):
        return "2"
    for code, is_good in _CHECKS:
        if not is_good(fields):
            return code
    return "12" if segments(fields) > _SEGMENTS else ""


def segments(fields: Mapping[str, str]) -> int:
    """SMS segments of a message; as `unicode` each takes 70 units, or 67 of several."""
    text = fields.get("text", "")
    if fields.get("type") != "unicode":
        return twilio_rules.segments(text)
    units = len(text.encode("utf-16-be")) // 2
    return 1 if units <= 70 else -(-units // 67)


def _callback(fields: Mapping[str, str]) -> bool:
    url = fields.get("callback", "")
    try:
        good = urlsplit(url).scheme in ("http", "https")
    except ValueError:
        good = False
    return not url or (good and len(url) <= _CALLBACK)


def _ttl(fields: Mapping[str, str]) -> bool:
    value = fields.get("ttl", "259200000")
    return value.isascii() and value.isdecimal() and int(value[:12]) in _TTL


_CHECKS: tuple[tuple[str, Callable[[Mapping[str, str]], bool]], ...] = (
    ("3", lambda fields: fields.get("type", "text") in ("text", "unicode", "binary")),
    ("3", lambda fields: _NUMBER.fullmatch(fields["to"]) is not None),
    ("15", lambda fields: _SENDER.fullmatch(fields["from"]) is not None),
    ("3", _ttl),
    ("3", lambda fields: len(fields.get("client-ref", "")) <= _REFERENCE),
    ("23", _callback),
)

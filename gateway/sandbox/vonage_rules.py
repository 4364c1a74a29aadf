"""What Vonage's Messages API checks in a request, and how it words refusals.

Requests: https://developer.vonage.com/api/messages. Problems:
https://developer.vonage.com/api-errors/messages.
"""

import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

Body: TypeAlias = Mapping[str, Any]

#: By code: HTTP status and title. Those that are no numbers are of all of Vonage's APIs.
_PROBLEMS: Mapping[str, tuple[int, str]] = {
    "unauthorized": (401, "Unauthorized"),
    "low-balance": (402, "Low balance"),
    "rate-limit": (429, "Rate Limit Hit"),
    "1020": (422, "Invalid params"),
    "1030": (500, "Internal error"),
    "1040": (422, "Invalid message"),
    "1120": (422, "Invalid sender"),
    "1130": (422, "Invalid ttl"),
    "1170": (422, "Invalid recipient"),
    "1240": (422, "Illegal number"),
}

_DOCUMENTS = "https://developer.vonage.com/api-errors"
_NUMBER = re.compile(r"[1-9]\d{6,14}", re.ASCII)
#: A number, a short code, or a name of at most 11 letters and digits; RCS agents may be longer.
_SENDERS = {
    "sms": re.compile(r"\+?\d{3,15}|[A-Za-z0-9 ]{1,11}", re.ASCII),
    "rcs": re.compile(r"[\w .-]{1,60}"),
}
_TEXT = {"sms": 1000, "rcs": 3072}
#: Seconds.
_TTL = {"sms": range(20, 604_801), "rcs": range(300, 259_201)}
_REFERENCE = 100
_ENCODINGS = frozenset({"auto", "text", "unicode"})


def problem(code: str, parameter: str = "") -> tuple[int, dict[str, Any]]:
    """HTTP status and body of a refusal."""
    status, title = _PROBLEMS[code]
    where = "/messages" if code.isdecimal() else ""
    body: dict[str, Any] = {
        "type": f"{_DOCUMENTS}{where}#{code}",
        "title": title,
        "detail": f"The request was refused: {title}",
        "instance": secrets.token_hex(16),
    }
    if parameter:
        body["invalid_parameters"] = [{"name": parameter, "reason": "The value is not valid"}]
    return status, body


def fault(body: Body) -> tuple[str, str]:
    """(code, parameter) of the first thing wrong with a message; empty when nothing is."""
    for code, parameter, is_good in _CHECKS:
        if not is_good(body):
            return code, parameter
    return "", ""


def _sender(body: Body) -> bool:
    sender = body.get("from")
    return isinstance(sender, str) and _SENDERS[body["channel"]].fullmatch(sender) is not None


def _recipient(body: Body) -> bool:
    to = body.get("to")
    return isinstance(to, str) and _NUMBER.fullmatch(to) is not None


def _text(body: Body) -> bool:
    text = body.get("text")
    return isinstance(text, str) and 0 < len(text) <= _TEXT[body["channel"]]


def _ttl(body: Body) -> bool:
    ttl = body.get("ttl")
    whole = isinstance(ttl, int) and not isinstance(ttl, bool)
    return ttl is None or (whole and ttl in _TTL[body["channel"]])


def _reference(body: Body) -> bool:
    given = body.get("client_ref", "")
    return isinstance(given, str) and len(given) <= _REFERENCE


def _webhook(body: Body) -> bool:
    url = body.get("webhook_url")
    if url is None:
        return True
    try:
        return isinstance(url, str) and urlsplit(url).scheme in ("http", "https")
    except ValueError:
        return False


def _options(body: Body) -> bool:
    options = body.get("sms", {})
    if not isinstance(options, dict) or (options and body["channel"] != "sms"):
        return False
    named = [options.get(name, "") for name in ("content_id", "entity_id")]
    return options.get("encoding_type", "auto") in _ENCODINGS and all(
        isinstance(one, str) for one in named
    )


_CHECKS: tuple[tuple[str, str, Callable[[Body], bool]], ...] = (
    ("1020", "channel", lambda body: body.get("channel") in ("sms", "rcs")),
    ("1020", "message_type", lambda body: body.get("message_type") == "text"),
    ("1170", "to", _recipient),
    ("1120", "from", _sender),
    ("1020", "text", _text),
    ("1130", "ttl", _ttl),
    ("1020", "client_ref", _reference),
    ("1020", "webhook_url", _webhook),
    ("1020", "webhook_version", lambda body: body.get("webhook_version", "v1") in ("v0.1", "v1")),
    ("1020", "sms", _options),
)

"""What Google's RCS for Business checks in a request to send.

https://developers.google.com/business-communications/rcs-business-messaging/reference/rest/v1/phones.agentMessages
"""

import re
import uuid
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import orjson

_PHONE = re.compile(r"\+[1-9][0-9]{5,14}")
_TTL = re.compile(r"([0-9]{1,9})(?:\.[0-9]{1,9})?s")
_FIFTEEN_DAYS = 15 * 24 * 3600
_FIELDS = frozenset({"contentMessage", "messageTrafficType", "ttl", "expireTime"})
_CONTENTS = ("text", "fileName", "richCard", "contentInfo")
_TRAFFIC = frozenset(
    {"TRANSACTION", "PROMOTION", "AUTHENTICATION", "SERVICEREQUEST", "ACKNOWLEDGEMENT"}
)
_NEEDS = {"openUrlAction": "ACTION_OPEN_URL", "dialAction": "ACTION_DIAL"}
_MAX_TEXT, _MAX_BYTES, _MAX_SUGGESTIONS = 3072, 250 * 1024, 11


def is_phone(text: str) -> bool:
    return _PHONE.fullmatch(text) is not None


def is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def fault(id: str, body: bytes, features: Collection[str]) -> str:
    """What is wrong with a request, in words; empty when nothing is."""
    if not is_id(id):
        return "messageId must be a UUID."
    if len(body) > _MAX_BYTES:
        return "Message is too large."
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "Invalid JSON payload received."
    if not isinstance(value, dict) or not isinstance(value.get("contentMessage"), dict):
        return "contentMessage is required."
    return next(_faults(value, value["contentMessage"], features), "")


def _faults(
    value: Mapping[str, Any], said: Mapping[str, Any], features: Collection[str]
) -> Iterator[str]:
    yield from (f'Unknown name "{name}".' for name in value if name not in _FIELDS)
    if value.get("messageTrafficType", "TRANSACTION") not in _TRAFFIC:
        yield "Invalid messageTrafficType."
    if "ttl" in value:
        found = _TTL.fullmatch(str(value["ttl"]))
        if not found or not 0 < int(found[1]) <= _FIFTEEN_DAYS:
            yield "Invalid ttl."
    given = [name for name in _CONTENTS if said.get(name)]
    if len(given) != 1:
        yield "Exactly one content is required."
    if len(str(said.get("text", ""))) > _MAX_TEXT:
        yield "Text is too long."
    if "richCard" in said and "RICHCARD_STANDALONE" not in features:
        yield "The user's device does not support rich cards."
    yield from _suggestions(said.get("suggestions", []), features)


def _suggestions(given: Any, features: Collection[str]) -> Iterator[str]:
    if not isinstance(given, list) or len(given) > _MAX_SUGGESTIONS:
        yield "Too many suggestions."
        return
    for one in given:
        shown = one.get("reply") or one.get("action") if isinstance(one, dict) else None
        if not isinstance(shown, dict) or not shown.get("text") or not shown.get("postbackData"):
            yield "A suggestion needs text and postbackData."
            return
        lacking = [need for name, need in _NEEDS.items() if name in shown and need not in features]
        yield from (f"The user's device lacks {need}." for need in lacking)

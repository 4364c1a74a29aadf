"""What a MaaP platform checks in a 5G message.

https://support.huaweicloud.com/api-messageover5g/messageover5g_05_0006.html
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

_NUMBER = re.compile(r"tel:\+[1-9][0-9]{6,14}")
_NUMBER_LIMIT = 100
_TYPES = re.compile(
    r"text/plain|application/vnd\.gsma\.rcs-ft-http\+xml"
    r"|application/vnd\.gsma\.botmessage\.v1\.0\+json|multipart/mixed; boundary=\"[^\"]+\""
)
_REPORTS = frozenset({"Delivered", "Displayed", "Failed", "SMS"})
#: Which `reportRequest` asks for a status; the others come anyway.
_WANTED: Mapping[str, str] = {
    "DeliveredToTerminal": "Delivered",
    "MessageDisplayed": "Displayed",
    "DeliveryImpossible": "Failed",
    "DeliveredToNetwork": "SMS",
}


def pair(username: str, password: str) -> str:
    """Value of an Authorization header, either way."""
    return f'Username="{username}",Password="{password}"'


def phones(found: Mapping[str, Any]) -> Sequence[str]:
    """The numbers of a call, in E.164."""
    given = found["destinationAddress"]
    rows = given.split(",") if isinstance(given, str) else given
    return [str(one).removeprefix("tel:") for one in rows]


def wants(found: Mapping[str, Any], status: str) -> bool:
    """Whether the client asked for this status."""
    asked = found["outboundIMMessage"].get("reportRequest", [])
    return status not in _WANTED or _WANTED[status] in asked


def read(body: bytes, chatbot: str) -> dict[str, Any] | str:
    """The call, or what is wrong with it."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "not JSON"
    if not isinstance(found, dict):
        return "not an object"
    return _address_fault(found, chatbot) or _message_fault(found) or found


def _address_fault(found: Mapping[str, Any], chatbot: str) -> str:
    if found.get("senderAddress") != chatbot:
        return "senderAddress"
    if found.get("productType", 1) not in (1, 2):
        return "productType"
    if not isinstance(found.get("destinationAddress"), str | list):
        return "destinationAddress"
    numbers = [f"tel:{one}" for one in phones(found)]
    if not 1 <= len(numbers) <= _NUMBER_LIMIT or len(set(numbers)) < len(numbers):
        return "destinationAddress"
    if not all(_NUMBER.fullmatch(one) for one in numbers):
        return "destinationAddress"
    return "" if found.get("address") in numbers else "address"


def _message_fault(found: Mapping[str, Any]) -> str:
    message = found.get("outboundIMMessage")
    if not isinstance(message, dict):
        return "outboundIMMessage"
    if not _TYPES.fullmatch(str(message.get("contentType"))):
        return "contentType"
    if message.get("contentEncoding") not in ("utf8", "base64"):
        return "contentEncoding"
    if not isinstance(message.get("bodyText"), str) or not message["bodyText"]:
        return "bodyText"
    for name in ("conversationID", "contributionID"):
        if not _is_uuid(message.get(name)):
            return name
    if not set(message.get("reportRequest", [])) <= _REPORTS:
        return "reportRequest"
    for name in ("storeSupported", "shortMessageSupported"):
        if message.get(name, "true") not in ("true", "false"):
            return name
    return ""


def _is_uuid(value: object) -> bool:
    try:
        uuid.UUID(str(value))
    except ValueError:
        return False
    return True

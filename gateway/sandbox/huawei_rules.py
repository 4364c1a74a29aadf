"""What Huawei Push Kit checks in a message.

https://developer.huawei.com/consumer/en/doc/HMSCore-References/https-send-api-0000001050986197
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

SUCCESS, PARTIAL, NO_TOKEN = "80000000", "80100000", "80300007"
BAD_STRUCTURE, TOO_MANY, TOO_LONG = "80100003", "80300010", "80300008"
TEXTS: Mapping[str, str] = {
    SUCCESS: "Success",
    NO_TOKEN: "All the tokens are invalid",
    BAD_STRUCTURE: "Illegal payload",
    TOO_MANY: "The number of tokens in the message body exceeds the default value",
    TOO_LONG: "The message body is too big",
    "80100016": "The message contains sensitive information",
    "80200001": "Authentication error",
    "80200003": "Authentication token expired",
    "80300002": "The app has no permission",
    "81000001": "System inner error",
}
_TOKEN_LIMIT, _BODY_LIMIT = 1000, 4096
_TTL = re.compile(r"[0-9]{1,7}(\.[0-9]{1,9})?s")
_TOKEN = re.compile(r"[!-~]{1,300}")
_TARGETS = ("token", "topic", "condition")


def is_token(text: str) -> bool:
    """Whether it looks like a token at all."""
    return _TOKEN.fullmatch(text) is not None


def verdict(good: Sequence[str], bad: Sequence[str]) -> str:
    """The code of a call with these tokens."""
    if not good:
        return NO_TOKEN
    return PARTIAL if bad else SUCCESS


def read(body: bytes) -> dict[str, Any] | str:
    """The request, or the code of what is wrong with it."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return BAD_STRUCTURE
    message = value.get("message") if isinstance(value, dict) else None
    if not isinstance(message, dict):
        return BAD_STRUCTURE
    return _target_fault(message) or _content_fault(message) or value


def _target_fault(message: Mapping[str, Any]) -> str:
    if sum(name in message for name in _TARGETS) != 1 or "token" not in message:
        return BAD_STRUCTURE  # topics and conditions are not simulated
    tokens = message["token"]
    if not isinstance(tokens, list) or not all(isinstance(one, str) for one in tokens):
        return BAD_STRUCTURE
    if not 1 <= len(tokens) <= _TOKEN_LIMIT:
        return TOO_MANY
    return BAD_STRUCTURE if len(set(tokens)) < len(tokens) else ""


def _content_fault(message: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in message.items() if name != "token"}
    if len(orjson.dumps(rest)) > _BODY_LIMIT:
        return TOO_LONG
    android = message.get("android", {})
    notification = message.get("notification")
    if not isinstance(message.get("data", ""), str) or not isinstance(android, dict):
        return BAD_STRUCTURE
    if notification is None and "data" not in message:
        return BAD_STRUCTURE
    if notification is not None and not isinstance(notification, dict):
        return BAD_STRUCTURE
    return "" if _is_android(android) else BAD_STRUCTURE


def _is_android(android: Mapping[str, Any]) -> bool:
    key, shown = android.get("collapse_key", -1), android.get("notification")
    if isinstance(key, bool) or not isinstance(key, int) or not -1 <= key <= 100:
        return False
    if android.get("urgency", "NORMAL") not in ("HIGH", "NORMAL"):
        return False
    ttl = android.get("ttl", "86400s")
    if not isinstance(ttl, str) or not _TTL.fullmatch(ttl):
        return False
    return shown is None or (isinstance(shown, dict) and _is_click(shown.get("click_action")))


def _is_click(action: object) -> bool:
    """A notification says what a tap does."""
    if not isinstance(action, dict):
        return False
    kind = action.get("type")
    if kind == 1:
        return bool(action.get("intent") or action.get("action"))
    if kind == 2:
        return str(action.get("url", "")).startswith("https://")
    return kind == 3

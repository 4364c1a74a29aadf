"""What JPush checks in a push.

https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson

TEXTS: Mapping[int, str] = {
    1000: "Server error",
    1002: "Missing parameter",
    1003: "Parameter is invalid",
    1004: "Basic authentication failed",
    1005: "Message body is too large",
    1011: "cannot find user by this audience or has been inactive for more than 255 days",
    1012: "push has been stopped",
    2002: "rate limit exceeded",
}
_PLATFORMS = frozenset({"android", "ios", "hmos", "quickapp"})
_DEVICE_LIMIT, _MAX_TTL, _BODY_LIMIT = 1000, 864_000, 4096
_DEVICE = re.compile(r"[!-~]{1,64}")
_CID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_BADGE = re.compile(r"[+-]?[0-9]+")


def read(body: bytes) -> dict[str, Any] | int:
    """The push, or the code of what is wrong with it."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return 1003
    if not isinstance(found, dict):
        return 1003
    return _audience_fault(found) or _content_fault(found) or _options_fault(found) or found


def _audience_fault(found: Mapping[str, Any]) -> int:
    platform, audience = found.get("platform"), found.get("audience")
    if platform is None or audience is None:
        return 1002
    if platform != "all" and not (isinstance(platform, list) and _PLATFORMS.issuperset(platform)):
        return 1003
    devices = audience.get("registration_id") if isinstance(audience, dict) else None
    if not isinstance(devices, list) or not 1 <= len(devices) <= _DEVICE_LIMIT:
        return 1003  # other audiences are not simulated
    good = all(isinstance(one, str) and _DEVICE.fullmatch(one) for one in devices)
    return 0 if good and len(set(devices)) == len(devices) else 1003


def _content_fault(found: Mapping[str, Any]) -> int:
    notification, message = found.get("notification"), found.get("message")
    if notification is None and message is None:
        return 1002
    if len(orjson.dumps([notification, message])) > _BODY_LIMIT:
        return 1005
    if message is not None:
        text = message.get("msg_content") if isinstance(message, dict) else None
        return 0 if isinstance(text, str) and text else 1003
    if not isinstance(notification, dict):
        return 1003
    parts = [notification[name] for name in _PLATFORMS if name in notification]
    if not all(isinstance(one, dict) for one in parts):
        return 1003
    if not all(isinstance(one.get("extras", {}), dict) for one in parts):
        return 1003
    return 0 if _is_apple(notification.get("ios", {"alert": ""})) else 1003


def _is_apple(ios: Mapping[str, Any]) -> bool:
    alert, badge = ios.get("alert"), ios.get("badge", 0)
    if not isinstance(alert, str | dict) or isinstance(badge, bool):
        return False
    return isinstance(badge, int) or bool(_BADGE.fullmatch(str(badge)))


def _options_fault(found: Mapping[str, Any]) -> int:
    options, cid = found.get("options", {}), found.get("cid", "0")
    if not isinstance(options, dict) or not isinstance(cid, str) or not _CID.fullmatch(cid):
        return 1003
    ttl = options.get("time_to_live", 86_400)
    if isinstance(ttl, bool) or not isinstance(ttl, int) or not 0 <= ttl <= _MAX_TTL:
        return 1003
    return 0 if isinstance(options.get("apns_production", True), bool) else 1003

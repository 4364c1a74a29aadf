"""What Getui checks in requests.

https://docs.getui.com/getui/server/rest_v2/push/
https://docs.getui.com/getui/server/rest_v2/token/
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

#: Seconds by which a timestamp may be off, either way; how many is not documented.
_TOLERANCE = 600
_BATCH_LIMIT, _MAX_TTL = 200, 259_200_000
_CLICKS = frozenset({"none", "url", "intent", "payload", "payload_custom", "startapp"})


def sign_fault(body: bytes, *, key: str, secret: str, now: float) -> int:
    """The code of what is wrong with a request for a token; 0 when nothing is."""
    fields = _object(body)
    timestamp, sign = str(fields.get("timestamp", "")), str(fields.get("sign", ""))
    if not timestamp.isdecimal() or abs(int(timestamp) / 1000 - now) > _TOLERANCE:
        return 10004
    expected = hashlib.sha256(f"{key}{timestamp}{secret}".encode()).hexdigest()
    same = hmac.compare_digest(expected.encode(), sign.encode("utf-8", "replace"))
    return 0 if same and fields.get("appkey") == key else 10004


def read_single(body: bytes) -> Sequence[Mapping[str, Any]] | str:
    """The one message, or what is wrong with it."""
    row = _object(body)
    return _fault(row) or [row]


def read_batch(body: bytes) -> Sequence[Mapping[str, Any]] | str:
    """The messages of a call, or what is wrong with them."""
    whole = _object(body)
    rows = whole.get("msg_list")
    if whole.get("is_async", False) is not False:
        return "is_async"  # whose answers say nothing, so they are not simulated
    if not isinstance(rows, list) or not 1 <= len(rows) <= _BATCH_LIMIT:
        return "msg_list"
    faults = [_fault(row if isinstance(row, dict) else {}) for row in rows]
    return next((fault for fault in faults if fault), "") or rows


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _fault(row: Mapping[str, Any]) -> str:
    request_id, audience = row.get("request_id"), row.get("audience")
    if not isinstance(request_id, str) or not 10 <= len(request_id) <= 32:
        return "request_id"
    ids = audience.get("cid") if isinstance(audience, dict) else None
    if not isinstance(ids, list) or len(ids) != 1 or not isinstance(ids[0], str):
        return "audience"
    if not ids[0] or " " in ids[0]:
        return "target user is invalid"
    return _settings_fault(row.get("settings", {})) or _message_fault(row.get("push_message"))


def _settings_fault(settings: object) -> str:
    ttl = settings.get("ttl", 3_600_000) if isinstance(settings, dict) else None
    if isinstance(ttl, bool) or not isinstance(ttl, int) or not -1 <= ttl <= _MAX_TTL:
        return "ttl"
    return ""


def _message_fault(message: object) -> str:
    kinds = ("notification", "transmission", "revoke")
    if not isinstance(message, dict) or sum(kind in message for kind in kinds) != 1:
        return "push_message"
    shown = message.get("notification")
    if shown is None:
        return "" if message.get("transmission") or message.get("revoke") else "push_message"
    if not isinstance(shown, dict) or not (shown.get("title") and shown.get("body")):
        return "notification"
    click = shown.get("click_type")
    if click not in _CLICKS or (click in ("url", "intent", "payload") and not shown.get(click)):
        return "click_type"
    return ""

"""Vonage's error codes and statuses of the Messages API, and what they mean to us.

Codes: https://developer.vonage.com/api-errors/messages
Statuses: https://developer.vonage.com/messages/concepts/messages-status-callbacks

The same codes come in answers and in status webhooks.
"""

import re

from gateway.model import wire
from gateway.model.values import replace

_EVENTS = {
    "submitted": wire.ReceiptEvent.SENT,
    "delivered": wire.ReceiptEvent.DELIVERED,
    "read": wire.ReceiptEvent.READ,
    "rejected": wire.ReceiptEvent.FAILED,
    "undeliverable": wire.ReceiptEvent.FAILED,
}
#: Failures that have an event of their own.
_ENDS = {"1360": wire.ReceiptEvent.EXPIRED, "1240": wire.ReceiptEvent.OPTED_OUT}

_RECIPIENT, _PROVIDER = wire.Scope.RECIPIENT, wire.Scope.PROVIDER
# api-errors/messages: codes of answers and of webhooks, by what they mean to us.
_GROUPS: tuple[tuple[wire.Rejected | wire.Deferred, str], ...] = (
    (wire.Deferred(code="", detail="over a limit", cause=wire.Cause.THROTTLED), "1000 1241"),
    (
        wire.Deferred(
            code="", detail="account barred, empty or not enabled", cause=wire.Cause.CREDENTIAL
        ),
        "1060 1070 1080",
    ),
    (
        wire.Deferred(code="", detail="trouble at Vonage or the carrier"),
        "1030 1100 1230 1260 1330 1331",
    ),
    (wire.Deferred(code="", detail="handset off or busy", cause=wire.Cause.RECIPIENT), "1180 1220"),
    (wire.Rejected(code="", detail="time to live ended"), "1360"),
    (
        wire.Rejected(code="", detail="opted out", scope=_RECIPIENT, suppress=True, opted_out=True),
        "1240",
    ),
    (
        wire.Rejected(code="", detail="no such number", scope=_RECIPIENT, suppress=True),
        "1170 1190",
    ),
    (
        wire.Rejected(code="", detail="number cannot be reached", scope=_RECIPIENT),
        "1050 1200 1270 1280 1290 1300 1310",
    ),
    (
        wire.Rejected(code="", detail="message refused"),
        "1010 1020 1022 1040 1090 1130 1210 1320 1340",
    ),
    (wire.Rejected(code="", detail="sender not usable", scope=_PROVIDER), "1120 1140 1160 1250"),
)
RESULTS = {code: replace(result, code=code) for result, codes in _GROUPS for code in codes.split()}


def event(status: str, code: str) -> wire.ReceiptEvent:
    """What a status reports, with the code of its error or an empty one."""
    found = _EVENTS.get(status, wire.ReceiptEvent.UNKNOWN)
    return _ENDS.get(code, found) if found is wire.ReceiptEvent.FAILED else found


def read(error: object) -> str:
    """Of a problem: its `title` where that is a number, else the fragment of its `type`."""
    if not isinstance(error, dict):
        return ""
    title, kind = str(error.get("title", "")), str(error.get("type", ""))
    found = re.fullmatch(r"(\d{3,5})", title) or re.search(r"#([\w-]{1,40})$", kind, re.ASCII)
    return found[1] if found else ""

"""What Getui answers and reports, and what it means.

Codes: https://docs.getui.com/getui/server/rest_v2/code/
Receipts: https://docs.getui.com/getui/server/receipt/
"""

import re
from collections.abc import Mapping

from gateway.model import wire
from gateway.model.values import replace
from gateway.providers import auth, base, mail_api, push_api

_GONE = wire.Rejected(code="", detail="no such device", scope=wire.Scope.RECIPIENT, suppress=True)
#: What became of one client id; others are in no table.
TAKEN, IGNORED = frozenset({"successed_online", "successed_offline"}), "successed_ignore"
_SETUP = wire.Deferred(code="", cause=wire.Cause.CREDENTIAL)
_THROTTLED = wire.Deferred(code="", cause=wire.Cause.THROTTLED)
#: By code, other than 0 and 20001 (rest_v2/code). 10001 is our token, renewed once.
RESULTS: Mapping[str, wire.Rejected | wire.Deferred] = {
    "10001": replace(_SETUP, code="access_token"),
    **dict.fromkeys(("10002", "10004"), _SETUP),
    **dict.fromkeys(("10003", "10005"), _THROTTLED),
    "301": wire.Rejected(code="", detail="another data centre", scope=wire.Scope.PROVIDER),
    "1": wire.Rejected(code=""),
    "2": wire.Deferred(code="", detail="starting up"),
}
#: The code of a wrong parameter, and its words when that is the client id.
WRONG, _NOBODY = "20001", "target user is invalid"

#: By code of a receipt: the event, and whether the device is gone.
EVENTS: Mapping[str, tuple[wire.ReceiptEvent, bool]] = {
    "200": (wire.ReceiptEvent.DELIVERED, False),
    "400": (wire.ReceiptEvent.FAILED, False),
    "401": (wire.ReceiptEvent.FAILED, True),
    "402": (wire.ReceiptEvent.FAILED, True),
    "500": (wire.ReceiptEvent.FAILED, False),
}
_CODE = re.compile(r"[0-9]{1,12}")


def by_device(data: Mapping[str, object]) -> dict[str, tuple[str, str]]:
    """(task, status) by client id."""
    return {
        device: (task, status)
        for task, devices in data.items()
        if isinstance(devices, dict)
        for device, status in devices.items()
        if isinstance(status, str)
    }


def of_device(told: tuple[str, str] | None, token: str) -> wire.AttemptResult:
    """What became of one client id."""
    if told is None:
        return wire.Unknown(code="no_status", detail="answer without this device")
    task, status = told
    if status in TAKEN:
        return wire.Accepted(provider_id=push_api.name(task, token), detail=status)
    if status == IGNORED:
        return replace(_GONE, code=status)
    return wire.Unknown(code="other_status", detail="a status in no table")


def of_call(response: wire.HttpResponse, *, now_ms: int) -> wire.AttemptResult:
    """What became of a whole call that was not taken: by its code, else by its status.

    The service's words are not passed on: they may name devices.
    """
    answer = auth.json_object(response.body)
    code = read(answer.get("code"))
    if code == WRONG:
        words = mail_api.text_of(answer, "msg").lower()
        return replace(_GONE, code=code) if _NOBODY in words else wire.Rejected(code=code)
    wait = base.retry_after(response, now_ms=now_ms)
    known = RESULTS.get(code)
    if isinstance(known, wire.Deferred):
        return replace(known, code=known.code or code, retry_after=wait)
    if known is not None:
        return replace(known, code=code)
    by_status = base.result_of_status(response, now_ms=now_ms)
    if not isinstance(by_status, wire.Accepted):
        return replace(by_status, code=code or by_status.code)
    if code not in ("", "0"):
        return wire.Rejected(code=code, scope=wire.Scope.PROVIDER)
    return wire.Unknown(code=f"http_{response.status}", detail="answer without code")


def read(value: object) -> str:
    """A code, which comes as a number or a text; empty when it is something else."""
    text = str(value) if isinstance(value, str | int) else ""
    return text if _CODE.fullmatch(text) else ""

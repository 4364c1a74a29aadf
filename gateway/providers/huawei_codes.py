"""What Huawei Push Kit answers and reports, and what it means.

Codes: https://developer.huawei.com/consumer/en/doc/HMSCore-References/https-send-api-0000001050986197
Receipts: https://developer.huawei.com/consumer/en/doc/HMSCore-Guides/msg-receipt-guide-0000001050040176
"""

import re
from collections.abc import Mapping

from gateway.model import wire
from gateway.model.values import replace
from gateway.providers import base

SUCCESS, PARTIAL = "80000000", "80100000"
GONE = wire.Rejected(
    code=PARTIAL, detail="token refused", scope=wire.Scope.RECIPIENT, suppress=True
)
#: Our access token, which the dispatcher renews once before it takes this for an answer.
_TOKEN = wire.Deferred(code="access_token", cause=wire.Cause.CREDENTIAL)
_SETUP = wire.Deferred(code="", detail="app not permitted", cause=wire.Cause.CREDENTIAL)
_BUSY = wire.Deferred(code="http_503", detail="flow control", cause=wire.Cause.THROTTLED)
#: push-api error codes, other than those that are told apart by token
RESULTS: Mapping[str, wire.Rejected | wire.Deferred] = {
    "80300007": replace(
        GONE, detail="no token is valid, unless the app id is wrong", doubtful=True
    ),
    **dict.fromkeys(
        (
            *("80100001", "80100002", "80100003", "80100004", "80100013", "80100016", "80100017"),
            *("80100018", "80300008", "80300010"),
        ),
        wire.Rejected(code=""),
    ),
    **dict.fromkeys(("80200001", "80200003", "80200005"), _TOKEN),
    **dict.fromkeys(("80300002", "80300011"), _SETUP),
    **dict.fromkeys(("80600003", "81000001"), wire.Deferred(code="")),
}
_CODE = re.compile(r"[0-9]{1,12}")

_DELIVERED, _FAILED = wire.ReceiptEvent.DELIVERED, wire.ReceiptEvent.FAILED
#: By a receipt's result; any other number is FAILED.
EVENTS: Mapping[int, wire.ReceiptEvent] = {
    0: _DELIVERED,
    15: wire.ReceiptEvent.EXPIRED,  # replaced by another, or too many were waiting
    27: wire.ReceiptEvent.SENT,  # the app does not run: kept for it
    51: wire.ReceiptEvent.SENT,  # not unlocked since it was switched on
}
#: The app is gone, or the token is not the user's.
DEAD = frozenset({2, 5})


def read(value: object) -> str:
    """Huawei's code, a number in a text; empty when it is something else."""
    text = str(value) if isinstance(value, str | int) else ""
    return text if _CODE.fullmatch(text) else ""


def of_call(code: str, response: wire.HttpResponse, *, now_ms: int) -> wire.AttemptResult:
    """What became of the whole call. The service's words are not passed on: they name tokens."""
    wait = base.retry_after(response, now_ms=now_ms)
    known = RESULTS.get(code)
    if known is _TOKEN or (response.status == 401 and known is None):
        return replace(_TOKEN, detail=code)
    if response.status == 503:  # whatever the body says
        return replace(_BUSY, code=code or _BUSY.code, retry_after=wait)
    if isinstance(known, wire.Deferred):
        return replace(known, code=code, retry_after=wait)
    if known is not None:
        return replace(known, code=code)
    if response.status == 404:
        return wire.Rejected(code=code or "http_404", scope=wire.Scope.PROVIDER)
    by_status = base.result_of_status(response, now_ms=now_ms)
    if not isinstance(by_status, wire.Accepted):
        return replace(by_status, code=code or by_status.code)
    if code:
        return wire.Rejected(code=code, scope=wire.Scope.PROVIDER)
    return wire.Unknown(code=f"http_{response.status}", detail="answer without code")

"""What the statuses and codes of Vonage's SMS API mean.

Answers: https://developer.vonage.com/messaging/sms/guides/troubleshooting-sms
Receipts: https://developer.vonage.com/messaging/sms/guides/delivery-receipts
"""

from gateway.model import wire
from gateway.model.values import replace

EVENTS = {
    "accepted": wire.ReceiptEvent.SENT,
    "buffered": wire.ReceiptEvent.SENT,
    "delivered": wire.ReceiptEvent.DELIVERED,
    "failed": wire.ReceiptEvent.FAILED,
    "expired": wire.ReceiptEvent.EXPIRED,
    "rejected": wire.ReceiptEvent.FAILED,
}

_RECIPIENT, _PROVIDER = wire.Scope.RECIPIENT, wire.Scope.PROVIDER
_LATER = wire.Deferred(code="")
_HANDSET = wire.Deferred(code="", detail="handset off or busy", cause=wire.Cause.RECIPIENT)
_REFUSED = wire.Rejected(code="")
_SENDER = wire.Rejected(code="", detail="sender not usable", scope=_PROVIDER)
_BARRED = wire.Rejected(code="", detail="number cannot be reached", scope=_RECIPIENT)
_DEAD = replace(_BARRED, detail="no such number", suppress=True)
_OPTED_OUT = replace(_BARRED, detail="opted out", suppress=True, opted_out=True)


def _table(
    *groups: tuple[wire.Rejected | wire.Deferred, str],
) -> dict[str, wire.Rejected | wire.Deferred]:
    return {code: replace(one, code=code) for one, codes in groups for code in codes.split()}


#: `status` of a segment in an answer; 0 is taken.
RESULTS = _table(
    (wire.Deferred(code="", detail="over a limit", cause=wire.Cause.THROTTLED), "1 10"),
    (wire.Deferred(code="", detail="account or secret", cause=wire.Cause.CREDENTIAL), "4 14 32"),
    (wire.Deferred(code="", detail="account", cause=wire.Cause.CREDENTIAL), "8 9 11"),
    (_LATER, "5"),
    (_REFUSED, "2 3 6 12 22"),
    (_BARRED, "7"),
    (_DEAD, "33"),
    (_SENDER, "15 23 29"),
)
#: `err-code` of a receipt; 0 is none.
ERRORS = _table(
    (_LATER, "1 8 12 99"),
    (_HANDSET, "2 7"),
    (_DEAD, "3"),
    (_OPTED_OUT, "9"),
    (_BARRED, "4 5 13 14 15"),
    (_REFUSED, "6 10 11"),
)

"""What the codes and statuses of Twilio mean.

Errors: https://www.twilio.com/docs/api/errors
Statuses: https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks

The same codes come in answers and in status callbacks.
"""

from gateway.model import wire
from gateway.model.values import replace

#: By `MessageStatus`.
EVENTS = {
    "accepted": wire.ReceiptEvent.ACCEPTED,
    "scheduled": wire.ReceiptEvent.ACCEPTED,
    "queued": wire.ReceiptEvent.ACCEPTED,
    "sending": wire.ReceiptEvent.ACCEPTED,
    "sent": wire.ReceiptEvent.SENT,
    "partially_delivered": wire.ReceiptEvent.SENT,
    "delivered": wire.ReceiptEvent.DELIVERED,
    "read": wire.ReceiptEvent.READ,
    "undelivered": wire.ReceiptEvent.FAILED,
    "failed": wire.ReceiptEvent.FAILED,
    "canceled": wire.ReceiptEvent.FAILED,
}
#: STOP, or blocked by the user: about the sender alone.
OPTED_OUT = frozenset({21610, 30630, 63014, 63033})
EXPIRED = 30036

_RECIPIENT, _PROVIDER = wire.Scope.RECIPIENT, wire.Scope.PROVIDER
# docs/api/errors: codes of answers and of callbacks, by what they mean to us.
_GROUPS: tuple[tuple[wire.Rejected | wire.Deferred, frozenset[int]], ...] = (
    (
        wire.Deferred(code="", detail="account or token refused", cause=wire.Cause.CREDENTIAL),
        frozenset({10001, 20003, 20005, 20006, 20403, 20404, 21701, 21705, 30002}),
    ),
    (
        wire.Deferred(code="", detail="over a limit", cause=wire.Cause.THROTTLED),
        frozenset({14107, 20429, 21611, 30001, 30022, 30023, 30027, 30454, 63017, 63018, 63038}),
    ),
    (
        wire.Deferred(code="", detail="trouble at Twilio or the carrier"),
        frozenset({20500, 20503, 20504, 30008, 30017, 30020, 30021, 30410, 30500})
        | frozenset({63009, 63010, 63012}),
    ),
    (  # handset off, blocked for hours by fraud protection, quiet hours by law
        wire.Deferred(code="", detail="not now", cause=wire.Cause.RECIPIENT),
        frozenset({30003, 30450, 30453, 30485, 30610}),
    ),
    (wire.Rejected(code="", detail="validity period ended"), frozenset({EXPIRED})),
    (
        wire.Rejected(code="", detail="opted out", scope=_RECIPIENT, suppress=True, opted_out=True),
        OPTED_OUT,
    ),
    (  # whoever sends it
        wire.Rejected(code="", detail="known litigator", scope=_RECIPIENT, suppress=True),
        frozenset({30640}),
    ),
    (
        wire.Rejected(code="", detail="no such mobile number", scope=_RECIPIENT, suppress=True),
        frozenset({21211, 21217, 21614, 21635, 30005, 30006, 63003, 63024}),
    ),
    (
        wire.Rejected(code="", detail="number cannot be reached", scope=_RECIPIENT),
        frozenset({21214, 21265, 21266, 21268, 21604, 30004, 30011, 63036}),
    ),
    (
        wire.Rejected(code="", detail="content refused"),
        frozenset({21602, 21617, 21618, 21619, 21620, 21623, 21654, 21655, 21656})
        | frozenset({30007, 30010, 30019, 30038, 63005, 63013, 63016}),
    ),
    (
        wire.Rejected(code="", detail="sender not usable", scope=_PROVIDER),
        frozenset({21212, 21408, 21601, 21603, 21606, 21608, 21609, 21612, 21659, 21660, 21661})
        | frozenset({21702, 21703, 21704, 30018, 30024, 30032, 30033, 30034, 30037})
        | frozenset({30040, 30041, 30042}),
    ),
)
RESULTS = {code: replace(result, code=str(code)) for result, codes in _GROUPS for code in codes}

"""Exceptions: what is raised when nobody can answer. Expected answers are values (`wire`).

GatewayError
├─ SettingsError          the configuration cannot be used
├─ RequestError           the caller's fault; becomes a 4xx problem body
│  ├─ InvalidMessage
│  ├─ KeyConflict
│  ├─ NotFound
│  ├─ StateConflict
│  ├─ Unauthorised
│  ├─ Forbidden
│  └─ TooManyRequests
├─ StoreError
│  ├─ StoreUnavailable    try again later; becomes 503
│  └─ StoreMismatch       schema newer or older than the program, or the file is taken
├─ TransportError
│  ├─ NotSent             no byte of the request left: safe to repeat
│  └─ AnswerLost          bytes left, no readable answer: the outcome is unknown
└─ ReceiptError
   ├─ BadSignature
   ├─ ErrandFailed          what it needs could not be fetched; becomes 503
   └─ UnreadableReceipt
"""

from collections.abc import Sequence

from gateway.model.values import Value


class GatewayError(Exception):
    """Base of everything that the gateway raises on purpose."""


class SettingsError(GatewayError):
    """The configuration cannot be used; `faults` lists every reason, not the first.

    Each fault is one line that begins with the key's path, such as `lanes.sms.providers: …`.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


class Fault(Value, kw_only=False):
    """One thing wrong with a request."""

    #: JSON path from the body's root, such as `to.phone` or `chain[1].channel`
    field: str
    #: what is wrong and what would be right; never repeats the value
    detail: str


class RequestError(GatewayError):
    """The caller's fault. `faults` names the fields; may be empty where no field is to blame."""

    status = 400
    title = "Bad request"

    def __init__(self, detail: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults = tuple(faults)


class InvalidMessage(RequestError):
    """The body is readable and says something that cannot be done."""

    status = 422
    title = "Invalid message"


class KeyConflict(RequestError):
    """The idempotency key was used before with another body."""

    status = 409
    title = "Idempotency key reused"


class NotFound(RequestError):
    """No such thing, or it belongs to another tenant."""

    status = 404
    title = "Not found"


class StateConflict(RequestError):
    """The message is past the point where this could be done."""

    status = 409
    title = "Conflict"


class Unauthorised(RequestError):
    """No key, an unknown key or a revoked one."""

    status = 401
    title = "Unauthorised"


class Forbidden(RequestError):
    """The key is good, its scopes do not cover this."""

    status = 403
    title = "Forbidden"


class TooManyRequests(RequestError):
    """Over the tenant's rate; `retry_after` in seconds."""

    status = 429
    title = "Too many requests"

    def __init__(self, detail: str, retry_after: float) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class StoreError(GatewayError):
    """Something about the database."""


class StoreUnavailable(StoreError):
    """The store cannot commit now (disk full, database down): nothing was stored, try again."""


class StoreMismatch(StoreError):
    """The store cannot be opened by this program as it is; the text says what to do."""


class TransportError(GatewayError):
    """A provider could not be asked, or its answer never came."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        #: short and free of addresses and bodies: it is stored and shown to the tenant
        self.reason = reason


class NotSent(TransportError):
    """Failed before the first byte of the message left: repeating is safe."""


class AnswerLost(TransportError):
    """Bytes of the message left, and no readable answer came: the outcome is unknown."""


class ReceiptError(GatewayError):
    """An inbound report cannot be used."""


class BadSignature(ReceiptError):
    """It does not prove to come from the provider."""


class ErrandFailed(ReceiptError):
    """What would prove or complete it could not be fetched now: the provider is to try again."""


class UnreadableReceipt(ReceiptError):
    """Its body is not what the provider documents."""
